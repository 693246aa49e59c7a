//! What a card's life is known by.

use std::fmt;
use std::str::FromStr;

use crate::card::Recovery;

/// What fixes everything that is drawn for a card's life; written `KIND:SEED`, the seed in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeId {
    /// The card's recovery.
    pub recovery: Recovery,
    /// The seed.
    pub seed: u64,
}

impl fmt::Display for LifeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.recovery, self.seed)
    }
}

impl FromStr for LifeId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = || format!("{text}: an id is KIND:SEED, as command:00000000000000ff");
        let (kind, seed) = text.split_once(':').ok_or_else(odd)?;
        let recovery = Recovery::ALL.into_iter().find(|recovery| recovery.name() == kind).ok_or_else(odd)?;
        let seed = u64::from_str_radix(seed, 16).map_err(|_| odd())?;
        Ok(Self { recovery, seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = LifeId { recovery: Recovery::Function, seed: 0xBEEF };
        assert_eq!(id.to_string(), "function:000000000000beef");
        assert_eq!(id.to_string().parse(), Ok(id));
        for odd in ["", "function", "function:", "never:1", "command:g"] {
            assert!(odd.parse::<LifeId>().is_err(), "{odd}");
        }
    }
}
