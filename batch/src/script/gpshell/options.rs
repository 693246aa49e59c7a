//! The options of a line: every command takes all, and looks at its own.

use super::super::{ScriptReason, hex};
use super::words::shown;
use crate::aid::Aid;
use zeroize::Zeroizing;

/// Names of options with a value.
const NAMES: [&str; 39] = [
    "-AID",
    "-APDU",
    "-data",
    "-dataEncryption",
    "-dataFormat",
    "-element",
    "-enc_key",
    "-file",
    "-format",
    "-identifier",
    "-instAID",
    "-instParam",
    "-kek_key",
    "-key",
    "-keyDerivation",
    "-keyind",
    "-keyTemplate",
    "-keyType",
    "-keyver",
    "-mac_key",
    "-newkeyver",
    "-nvCodeLimit",
    "-nvDataLimit",
    "-pass",
    "-pkgAID",
    "-priv",
    "-protocol",
    "-reader",
    "-readerNumber",
    "-responseDataExpected",
    "-sc",
    "-scp",
    "-scpimpl",
    "-sdAID",
    "-sdParam",
    "-security",
    "-simSpecParam",
    "-uiccSystemSpecParam",
    "-vDataLimit",
];
/// The only option without a value: the script goes on where the command fails.
const NO_STOP: &str = "-noStop";

/// Options as they stand in a line.
pub(super) struct Options<'a> {
    values: Vec<(&'static str, &'a str)>,
    pub(super) no_stop: bool,
}

impl<'a> Options<'a> {
    pub(super) fn read(words: &[&'a str]) -> Result<Self, ScriptReason> {
        let mut options = Options { values: Vec::new(), no_stop: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(NO_STOP) {
                options.no_stop = true;
                continue;
            }
            let known = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(word));
            let option = known.ok_or_else(|| ScriptReason::UnknownOption(shown(word)))?;
            let value = words.next().ok_or(ScriptReason::OptionValue { option, needs: "a value" })?;
            options.values.push((option, value));
        }
        Ok(options)
    }

    /// The last value of an option counts.
    pub(super) fn text(&self, option: &str) -> Option<&'a str> {
        self.values.iter().rev().find(|(name, _)| *name == option).map(|(_, value)| *value)
    }

    pub(super) fn required(&self, option: &'static str) -> Result<&'a str, ScriptReason> {
        self.text(option).ok_or(ScriptReason::OptionValue { option, needs: "to be given" })
    }

    pub(super) fn aid(&self, option: &'static str) -> Result<Option<Aid>, ScriptReason> {
        self.text(option).map(|text| text.parse().map_err(|error| ScriptReason::Aid { option, error })).transpose()
    }

    pub(super) fn required_aid(&self, option: &'static str) -> Result<Aid, ScriptReason> {
        self.required(option)?.parse().map_err(|error| ScriptReason::Aid { option, error })
    }

    /// Bytes in hexadecimal digits; none where the option is not given.
    pub(super) fn bytes(&self, option: &'static str) -> Result<Zeroizing<Vec<u8>>, ScriptReason> {
        match self.text(option) {
            None | Some("") => Ok(Zeroizing::default()),
            Some(text) => {
                hex::bytes(text).ok_or(ScriptReason::OptionValue { option, needs: "hexadecimal digits in pairs" })
            }
        }
    }

    /// A number, decimal or hexadecimal with 0x, up to `most`; 0 where the option is not given.
    pub(super) fn number(&self, option: &'static str, most: u32, needs: &'static str) -> Result<u32, ScriptReason> {
        let Some(text) = self.text(option) else { return Ok(0) };
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.ok().filter(|number| *number <= most).ok_or(ScriptReason::OptionValue { option, needs })
    }

    /// A number of one byte.
    pub(super) fn byte(&self, option: &'static str) -> Result<u8, ScriptReason> {
        let needs = "a number up to 255";
        let number = self.number(option, u32::from(u8::MAX), needs)?;
        u8::try_from(number).map_err(|_| ScriptReason::OptionValue { option, needs })
    }
}
