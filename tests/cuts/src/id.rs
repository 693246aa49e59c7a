//! Names of what was tried, from which it can be tried again.

use crate::tears::{code, decode};
use smcard_flash::sim::Tear;
use std::fmt;
use std::str::FromStr;

/// A cut: the call at which the power goes, from 0 since the card was switched on, and what becomes of the pending
/// writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The call.
    pub call: u64,
    /// The tear.
    pub tear: Tear,
}

/// `suite:case:cuts`, for example `cuts:function-points:w17b3.w2e`: the power goes at call 17 and of the pending writes
/// only bit 3 takes effect; after that at call 2, and everything does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Id {
    /// Name of the suite.
    pub suite: String,
    /// Name of the case in it.
    pub case: String,
    /// The cuts, first to last.
    pub cuts: Vec<Cut>,
}

/// An id that is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no id; one looks like cuts:function-points:w17b3.w2e")]
pub struct NoId(String);

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}{}", self.call, code(self.tear))
    }
}

impl FromStr for Cut {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix('w').ok_or(())?;
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or(())?;
        let (call, tear) = rest.split_at(end);
        Ok(Cut { call: call.parse().map_err(drop)?, tear: decode(tear).ok_or(())? })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cuts: Vec<_> = self.cuts.iter().map(Cut::to_string).collect();
        write!(f, "{}:{}:{}", self.suite, self.case, cuts.join("."))
    }
}

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let no_id = || NoId(text.to_owned());
        let [suite, case, cuts] = text.split(':').collect::<Vec<_>>()[..] else { return Err(no_id()) };
        let cuts = cuts.split('.').filter(|cut| !cut.is_empty()).map(Cut::from_str).collect::<Result<Vec<_>, _>>();
        Ok(Id { suite: suite.to_owned(), case: case.to_owned(), cuts: cuts.map_err(|()| no_id())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back() {
        for text in ["cuts:function-points:w17b3.w2e", "create:command:w0n", "errors:restart:"] {
            assert_eq!(text.parse::<Id>().expect("an id").to_string(), text);
        }
        let cuts = "a:b:w17b3.w2e".parse::<Id>().expect("an id").cuts;
        assert_eq!(cuts, [Cut { call: 17, tear: Tear::Bit(3) }, Cut { call: 2, tear: Tear::Everything }]);
        for wrong in ["", "a:b", "a:b:c", "a:b:w", "a:b:w1", "a:b:w1e:d", "a:b:w1e,w2e", "a:b:17e"] {
            assert!(wrong.parse::<Id>().is_err(), "{wrong}");
        }
    }
}
