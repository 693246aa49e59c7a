//! The values of options as people write them.

use super::{PsiLength, QuirkError, Stop};
use crate::host::WriteToken;
use crate::sd::Function;
use std::time::Duration;

/// How an option's value is read.
pub(super) struct OptionValue<T> {
    allowed: &'static str,
    read: fn(&str) -> Option<T>,
}

impl<T> OptionValue<T> {
    pub(super) fn read(&self, name: &'static str, value: &str) -> Result<T, QuirkError> {
        let read = (self.read)(value.trim());
        read.ok_or_else(|| QuirkError::Value { name, value: value.to_owned(), allowed: self.allowed })
    }
}

fn number(value: &str, least: u32, most: u32) -> Option<u32> {
    let digits: String = value.chars().filter(|c| *c != '_').collect();
    digits.parse().ok().filter(|number| (least..=most).contains(number))
}

pub(super) const FUNCTION: OptionValue<Option<Function>> = OptionValue {
    allowed: "auto, 1 or 4",
    read: |value| match value {
        "auto" => Some(None),
        "1" => Some(Some(Function::Assd1)),
        "4" => Some(Some(Function::Assd2)),
        _ => None,
    },
};

pub(super) const SYSTEM: OptionValue<Option<u8>> = OptionValue {
    allowed: "auto or 0 to 15",
    read: |value| match value {
        "auto" => Some(None),
        other => Some(Some(u8::try_from(number(other, 0, 15)?).ok()?)),
    },
};

pub(super) const PSI_LENGTH: OptionValue<PsiLength> = OptionValue {
    allowed: "auto, 32 or 512",
    read: |value| match value {
        "auto" => Some(PsiLength::Auto),
        "32" => Some(PsiLength::Short),
        "512" => Some(PsiLength::Block),
        _ => None,
    },
};

pub(super) const WRITE_TOKEN: OptionValue<WriteToken> = OptionValue {
    allowed: "FE, FC (without a stop token) or FC+FD",
    read: |value| match value.to_ascii_uppercase().as_str() {
        "FE" => Some(WriteToken::Single),
        "FC" => Some(WriteToken::Multi),
        "FC+FD" => Some(WriteToken::MultiStop),
        _ => None,
    },
};

pub(super) const STOP: OptionValue<Stop> = OptionValue {
    allowed: "learn, yes or no",
    read: |value| match value {
        "learn" => Some(Stop::Learn),
        "yes" | "true" => Some(Stop::Yes),
        "no" | "false" => Some(Stop::No),
        _ => None,
    },
};

pub(super) const YES_NO: OptionValue<bool> = OptionValue { allowed: "yes or no", read: truth };

pub(super) const ON_OFF: OptionValue<bool> = OptionValue { allowed: "on or off", read: truth };

/// The configuration file's own words for truth are taken too.
fn truth(value: &str) -> Option<bool> {
    match value {
        "yes" | "on" | "true" => Some(true),
        "no" | "off" | "false" => Some(false),
        _ => None,
    }
}

pub(super) const BLOCKS_MAX: OptionValue<u16> =
    OptionValue { allowed: "1 to 128", read: |value| u16::try_from(number(value, 1, 128)?).ok() };

pub(super) const RETRIES: OptionValue<u32> = OptionValue { allowed: "0 to 100", read: |value| number(value, 0, 100) };

pub(super) const CLOCK: OptionValue<u32> =
    OptionValue { allowed: "100000 to 50000000 (Hz)", read: |value| number(value, 100_000, 50_000_000) };

pub(super) const SECONDS: OptionValue<Duration> = OptionValue {
    allowed: "1 to 86400 (seconds)",
    read: |value| Some(Duration::from_secs(u64::from(number(value, 1, 86_400)?))),
};

#[cfg(test)]
mod tests {
    use super::super::{QuirkOverrides, Quirks};
    use super::*;

    #[test]
    fn every_option_takes_its_values_and_no_other() {
        let good = [
            ("function", "4"),
            ("system", "15"),
            ("psi_length", "512"),
            ("write_token", "fc"),
            ("stop_after_write", "no"),
            ("stop_after_read", "learn"),
            ("blocks_max", "128"),
            ("direct_write", "yes"),
            ("write_file", "false"),
            ("checked", "true"),
            ("rereads", "yes"),
            ("idle_means_untaken", "yes"),
            ("reset_after_abort", "no"),
            ("retries", "0"),
            ("reset_on_enter", "yes"),
            ("crc", "off"),
            ("clock_hz", "10_000_000"),
            ("answer_timeout_s", "120"),
        ];
        assert_eq!(good.map(|(name, _)| name), QuirkOverrides::NAMES);
        let mut overrides = QuirkOverrides::NONE;
        for (name, value) in good {
            overrides.set(name, value).unwrap();
            assert!(overrides.set(name, "perhaps").is_err(), "{name}");
            assert!(overrides.set(name, "").is_err(), "{name}");
            assert!(overrides.set(name, "-1").is_err(), "{name}");
        }
        let mut quirks = Quirks::default();
        overrides.apply(&mut quirks);
        assert_eq!((quirks.function, quirks.system), (Some(Function::Assd2), Some(15)));
        assert_eq!((quirks.write_token, quirks.psi_length), (WriteToken::Multi, PsiLength::Block));
        assert_eq!((quirks.clock_hz, quirks.answer_timeout), (10_000_000, Duration::from_secs(120)));
        assert!(!quirks.crc && !quirks.write_file && quirks.reset_on_enter && quirks.checked);
    }
}
