//! What is known of cards: data, not code.
//!
//! A [`QuirkTable`] has a row for each card that wants something else than the default, keyed by manufacturer, OEM and
//! product of the CID; the default comes last. The configuration can add rows, which go first, and override single
//! options. The options and their values are those of `docs/ASSD.md` section 7; where the command set is not public the
//! defaults take no risk: no command that a card may not know, no repetition that may do something twice.

mod value;

use crate::host::WriteToken;
use crate::sd::{Cid, Function};
use std::time::Duration;
use thiserror::Error;
use value::OptionValue;

/// Where a card must be told to stop with CMD12 after CMD34 and CMD35.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stop {
    /// Send it; stop sending it once the card has not answered.
    #[default]
    Learn,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// How many bytes CMD36 delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PsiLength {
    /// 32 after CMD16(32); where that does not work, 512.
    #[default]
    Auto,
    /// 32.
    Short,
    /// A block of 512 with the register in front.
    Block,
}

/// An option and its value are not as they should be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum QuirkError {
    /// No option has this name.
    #[error("no option is called {name:?}; there are {}", QuirkOverrides::NAMES.join(", "))]
    Name {
        /// As it was given.
        name: String,
    },
    /// The value is not one of those allowed.
    #[error("{name}: {value:?} is not possible; allowed is {allowed}")]
    Value {
        /// The option.
        name: &'static str,
        /// As it was given.
        value: String,
        /// What it can be.
        allowed: &'static str,
    },
}

macro_rules! quirks {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, $word:literal, $codec:expr;)*) => {
        /// How to treat a card.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Quirks {
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Default for Quirks {
            /// A card of which nothing is known.
            fn default() -> Self {
                Quirks { $($name: $default,)* }
            }
        }

        /// Options to be set over others; an option that is `None` stays.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct QuirkOverrides {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl QuirkOverrides {
            /// Overrides nothing.
            pub const NONE: QuirkOverrides = QuirkOverrides { $($name: None,)* };
            /// The names of the options.
            pub const NAMES: &'static [&'static str] = &[$($word),*];

            /// Sets the option called `name` from its value in words or digits.
            ///
            /// # Errors
            /// No such option, or a value that it cannot have; both say what there is.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), QuirkError> {
                match name {
                    $($word => {
                        let codec: OptionValue<$type> = $codec;
                        self.$name = Some(codec.read($word, value)?);
                    })*
                    _ => return Err(QuirkError::Name { name: name.to_owned() }),
                }
                Ok(())
            }

            /// Puts what is set here over `quirks`.
            pub fn apply(&self, quirks: &mut Quirks) {
                $(if let Some(value) = &self.$name {
                    quirks.$name = value.clone();
                })*
            }
        }
    };
}

quirks! {
    /// The function of CMD6 group 2; `None`: 4 if offered, else 1.
    function: Option<Function> = None, "function", value::FUNCTION;
    /// The security system, 0..=15 (from 2.0 on); `None`: the lowest one the card has.
    system: Option<u8> = None, "system", value::SYSTEM;
    /// How many bytes CMD36 delivers.
    psi_length: PsiLength = PsiLength::Auto, "psi_length", value::PSI_LENGTH;
    /// The start token of CMD35 in SPI mode, one block.
    write_token: WriteToken = WriteToken::Single, "write_token", value::WRITE_TOKEN;
    /// CMD12 after CMD35.
    stop_after_write: Stop = Stop::Learn, "stop_after_write", value::STOP;
    /// CMD12 after CMD34.
    stop_after_read: Stop = Stop::Learn, "stop_after_read", value::STOP;
    /// Most blocks of a secure token, 1..=128.
    blocks_max: u16 = 1, "blocks_max", value::BLOCKS_MAX;
    /// The card knows this project's direct write (CMD57, CMD50).
    direct_write: bool = false, "direct_write", value::YES_NO;
    /// Where there is no direct write: files go with WRITE FILE (`80 54`).
    write_file: bool = true, "write_file", value::YES_NO;
    /// The card knows checked tokens.
    checked: bool = false, "checked", value::YES_NO;
    /// CMD34 directly after CMD34 gives the same answer again.
    rereads: bool = false, "rereads", value::YES_NO;
    /// After an unclear reply to CMD35 "idle" says that the command was not taken: the card never skips "complete".
    idle_means_untaken: bool = false, "idle_means_untaken", value::YES_NO;
    /// An aborted command is followed by a reset of the secure core (CMD37) before the next one.
    reset_after_abort: bool = true, "reset_after_abort", value::YES_NO;
    /// How often a command that was certainly not taken is sent again, 0..=100.
    retries: u32 = 3, "retries", value::RETRIES;
    /// CMD37 select and reset at every entry.
    reset_on_enter: bool = false, "reset_on_enter", value::YES_NO;
    /// Checksums in SPI mode (CMD59). Wanted before the card is known: a row of the table has no effect on it.
    crc: bool = true, "crc", value::ON_OFF;
    /// Clock in SPI mode in Hz, 100 000..=50 000 000. Wanted before the card is known: a row of the table has no effect on it.
    clock_hz: u32 = 25_000_000, "clock_hz", value::CLOCK;
    /// How long an answer may take, in seconds 1..=86 400; longer where the card's properties register says so.
    answer_timeout: Duration = Duration::from_secs(60), "answer_timeout_s", value::SECONDS;
}

impl Default for QuirkOverrides {
    fn default() -> Self {
        Self::NONE
    }
}

/// Cards with something in common; `None` is any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CardMatch {
    /// Manufacturer.
    pub manufacturer: Option<u8>,
    /// OEM or application identifier.
    pub oem: Option<[u8; 2]>,
    /// Product name.
    pub product: Option<[u8; 5]>,
}

impl CardMatch {
    /// True where the card with this CID is one of them.
    #[must_use]
    pub fn matches(&self, cid: &Cid) -> bool {
        self.manufacturer.is_none_or(|manufacturer| manufacturer == cid.manufacturer())
            && self.oem.is_none_or(|oem| oem == cid.oem())
            && self.product.is_none_or(|product| product == cid.product())
    }
}

/// A row: these cards want that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuirkRow {
    /// Which cards.
    pub cards: CardMatch,
    /// What is other than the default with them.
    pub quirks: QuirkOverrides,
}

/// The card of this project.
const SMCRD: QuirkRow = QuirkRow {
    cards: CardMatch { manufacturer: Some(0x00), oem: Some(*b"SM"), product: Some(*b"SMCRD") },
    quirks: QuirkOverrides {
        stop_after_write: Some(Stop::No),
        stop_after_read: Some(Stop::No),
        blocks_max: Some(128),
        direct_write: Some(true),
        checked: Some(true),
        rereads: Some(true),
        idle_means_untaken: Some(true),
        reset_after_abort: Some(false),
        retries: Some(8),
        ..QuirkOverrides::NONE
    },
};

/// Rows, the first that matches wins; behind them all the default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuirkTable {
    rows: Vec<QuirkRow>,
    overrides: QuirkOverrides,
}

impl Default for QuirkTable {
    /// What this crate knows.
    fn default() -> Self {
        QuirkTable { rows: vec![SMCRD], overrides: QuirkOverrides::NONE }
    }
}

impl QuirkTable {
    /// Adds a row in front of those that are there.
    pub fn add(&mut self, row: QuirkRow) {
        self.rows.insert(0, row);
    }

    /// Sets what goes over every row.
    pub fn override_all(&mut self, overrides: QuirkOverrides) {
        self.overrides = overrides;
    }

    /// How to treat the card with this CID.
    #[must_use]
    pub fn find(&self, cid: &Cid) -> Quirks {
        let mut quirks = Quirks::default();
        if let Some(row) = self.rows.iter().find(|row| row.cards.matches(cid)) {
            row.quirks.apply(&mut quirks);
        }
        self.overrides.apply(&mut quirks);
        quirks
    }

    /// How to treat a card before it has told its CID: the default under the overrides.
    #[must_use]
    pub fn unknown(&self) -> Quirks {
        let mut quirks = Quirks::default();
        self.overrides.apply(&mut quirks);
        quirks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Cid = Cid([0x00, b'S', b'M', b'S', b'M', b'C', b'R', b'D', 0x10, 1, 2, 3, 4, 0x01, 0xA1, 0]);
    const OTHER: Cid = Cid([0x03, b'S', b'D', b'S', b'U', b'0', b'4', b'G', 0x80, 1, 2, 3, 4, 0x00, 0xC1, 0]);

    #[test]
    fn the_rows_are_those_of_the_protocol_page() {
        let table = QuirkTable::default();
        let ours = table.find(&OURS);
        assert_eq!((ours.blocks_max, ours.retries, ours.psi_length), (128, 8, PsiLength::Auto));
        assert!(ours.direct_write && ours.checked && ours.rereads && ours.idle_means_untaken && ours.write_file);
        assert_eq!((ours.stop_after_write, ours.stop_after_read), (Stop::No, Stop::No));
        let other = table.find(&OTHER);
        assert_eq!(other, Quirks::default());
        assert!(!other.direct_write && !other.checked && !other.rereads && !other.idle_means_untaken);
        assert_eq!((other.blocks_max, other.retries, other.answer_timeout), (1, 3, Duration::from_secs(60)));
    }

    #[test]
    fn the_first_row_that_matches_wins_and_overrides_go_over_it() {
        let mut table = QuirkTable::default();
        let mut quirks = QuirkOverrides::NONE;
        quirks.set("retries", "1").unwrap();
        quirks.set("blocks_max", "4").unwrap();
        table.add(QuirkRow { cards: CardMatch { manufacturer: Some(3), ..CardMatch::default() }, quirks });
        let mut over = QuirkOverrides::NONE;
        over.set("retries", "7").unwrap();
        table.override_all(over);
        assert_eq!((table.find(&OTHER).retries, table.find(&OTHER).blocks_max), (7, 4));
        assert_eq!((table.find(&OURS).retries, table.find(&OURS).blocks_max), (7, 128));
        assert_eq!(table.unknown().retries, 7);
    }

    #[test]
    fn a_name_or_value_that_is_none_is_told_with_what_there_is() {
        let mut overrides = QuirkOverrides::NONE;
        let error = overrides.set("blocks", "1").unwrap_err().to_string();
        assert!(error.contains("\"blocks\"") && error.contains("blocks_max") && error.contains("clock_hz"), "{error}");
        let error = overrides.set("blocks_max", "129").unwrap_err();
        assert_eq!(error.to_string(), "blocks_max: \"129\" is not possible; allowed is 1 to 128");
        assert_eq!(overrides, QuirkOverrides::NONE);
    }
}
