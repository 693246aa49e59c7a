//! `[terminal]` and `[[progress]]`: how the terminal goes about an issue.

use crate::terminal::progress::{Action, Given, Row, RowError, Said, Table};
use crate::terminal::watchdog::Limits;
use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::time::Duration;
use toml::Spanned;

/// The longest time limit: a day.
const TIMEOUT_MAX_S: f64 = 24.0 * 3600.0;

/// `[terminal]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terminal {
    /// How long the card may take for an exchange, seconds.
    #[serde(deserialize_with = "seconds")]
    pub answer_timeout_s: Duration,
    /// How long beside that for each command of an issue, seconds.
    #[serde(deserialize_with = "seconds")]
    pub command_timeout_s: Duration,
    /// Who gives CONFIRM.
    pub confirm: Confirm,
}

/// Who gives CONFIRM after an issue that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// The terminal, at once.
    Auto,
    /// The operator.
    Manual,
}

impl Default for Terminal {
    fn default() -> Self {
        let Limits { answer, command } = Limits::default();
        Terminal { answer_timeout_s: answer, command_timeout_s: command, confirm: Confirm::Auto }
    }
}

impl Terminal {
    /// The time limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits { answer: self.answer_timeout_s, command: self.command_timeout_s }
    }
}

/// One row of `[[progress]]`, as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowText {
    #[serde(default = "any", deserialize_with = "given")]
    given: Given,
    #[serde(deserialize_with = "said")]
    sw: Vec<Said>,
    #[serde(deserialize_with = "action")]
    action: Action,
    limit: Option<u32>,
    backoff_ms: Option<u32>,
    backoff_max_ms: Option<u32>,
}

impl RowText {
    fn row(&self) -> Result<Row, String> {
        let RowText { given, sw, action, limit, backoff_ms, backoff_max_ms } = self;
        let mut row = Row::new(*given, sw.clone(), *action);
        if !action.repeats() && (limit.is_some() || backoff_ms.is_some() || backoff_max_ms.is_some()) {
            return Err(RowError::HappensOnce.to_string());
        }
        let millis = |value: u32| Duration::from_millis(value.into());
        row.limit = limit.unwrap_or(row.limit);
        row.backoff = backoff_ms.map_or(row.backoff, millis);
        row.backoff_max = backoff_max_ms.map_or(row.backoff_max.max(row.backoff), millis);
        row.check().map_err(|error| error.to_string())?;
        Ok(row)
    }
}

/// The table of these rows and those that ship. An error names the row and its line.
pub(super) fn table(text: &str, rows: Vec<Spanned<RowText>>, confirm: Confirm) -> Result<Table, String> {
    let named = |(number, row): (usize, Spanned<RowText>)| {
        let line = text.get(..row.span().start).map_or(0, |before| before.matches('\n').count() + 1);
        row.get_ref().row().map_err(|error| format!("line {line}, row {number} of [[progress]]: {error}"))
    };
    let rows: Result<Vec<Row>, String> = (1..).zip(rows).map(named).collect();
    Ok(Table::new(rows?, confirm == Confirm::Auto))
}

/// The parser's error, which names the line; within the table the row as well.
pub(super) fn name_row(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.end)).unwrap_or_default();
    let headers = || before.lines().map(str::trim_start).filter(|line| line.starts_with('['));
    let row = headers().filter(|line| line.starts_with("[[progress]]")).count();
    match headers().next_back() {
        Some(last) if last.starts_with("[[progress]]") => format!("row {row} of [[progress]]: {error}"),
        _ => error.to_string(),
    }
}

fn any() -> Given {
    Given::Any
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if (0.0..=TIMEOUT_MAX_S).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(de::Error::invalid_value(de::Unexpected::Float(seconds), &"seconds from 0 to 86400"))
}

fn action<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Action, D::Error> {
    let word = String::deserialize(deserializer)?;
    let known = "\"retry\", \"resume\", \"clear\", \"confirm\", \"report\" or \"stop\"";
    Action::from_word(&word).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&word), &known))
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
    struct Counts;
    impl de::Visitor<'_> for Counts {
        type Value = Given;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a count, \"any\", or a range such as \"1..=3\" or \"4..\"")
        }
        fn visit_i64<E: de::Error>(self, count: i64) -> Result<Given, E> {
            let bad = || E::invalid_value(de::Unexpected::Signed(count), &self);
            u32::try_from(count).map(|count| Given::Range(count, count)).map_err(|_| bad())
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
            Given::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_any(Counts)
}

fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Said>, D::Error> {
    struct Words;
    impl<'de> de::Visitor<'de> for Words {
        type Value = Vec<Said>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("status words such as \"6a84\" or \"65xx\", \"any\", or \"none\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<Said>, E> {
            let said = Said::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
            Ok(vec![said])
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut words: A) -> Result<Vec<Said>, A::Error> {
            let mut all = Vec::new();
            while let Some(word) = words.next_element::<String>()? {
                all.extend(Words.visit_str::<A::Error>(&word)?);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(Words)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use crate::terminal::progress::{End, Progress};

    fn error(text: &str) -> String {
        Config::parse(text).unwrap_err()
    }

    #[test]
    fn rows_are_read_in_their_order() {
        let text = "[[progress]]\nsw = \"6a84\"\ngiven = \"1..=3\"\naction = \"clear\"\n\n[[progress]]\n\
                    sw = [\"65xx\", \"none\"]\ngiven = 4\naction = \"retry\"\nlimit = 1\nbackoff_ms = 20000\n";
        let mut progress = Progress::new(&Config::parse(text).unwrap().table);
        let mut decide = |sw, given| progress.decide(End { sw, given: Some(given) });
        assert_eq!(decide(Some(0x6A84), 2).action, Action::Clear);
        let retry = decide(None, 4);
        assert_eq!((retry.action, retry.pause, retry.limit), (Action::Retry, Duration::from_secs(20), 1));
        assert_eq!(decide(None, 4).action, Action::Report, "the limit of the configuration is the limit");
        assert_eq!(decide(None, 5).action, Action::Resume, "what it does not name is done as without one");
        assert_eq!(decide(Some(0x6581), 5).action, Action::Report);
    }

    #[test]
    fn an_error_names_line_and_row() {
        let first = "[[progress]]\nsw = \"6a84\"\naction = \"clear\"\n";
        for (bad, line) in [
            ("[[progress]]\nsw = \"6a8\"\naction = \"clear\"\n", 5),
            ("[[progress]]\nsw = \"6a84\"\naction = \"clean\"\n", 6),
            ("[[progress]]\nsw = [\"none\", \"7\"]\naction = \"clear\"\n", 5),
            ("[[progress]]\nsw = \"none\"\ngiven = \"3..1\"\naction = \"clear\"\n", 6),
            ("[[progress]]\nsw = \"none\"\naction = \"clear\"\ncolour = 1\n", 7),
            ("[[progress]]\naction = \"clear\"\n", 4),
            ("[[progress]]\nsw = \"9000\"\naction = \"clear\"\n", 4),
            ("[[progress]]\nsw = \"6a84\"\naction = \"clear\"\nlimit = 2\n", 4),
            ("[[progress]]\nsw = \"none\"\naction = \"retry\"\nlimit = 0\n", 4),
            ("[[progress]]\nsw = []\naction = \"report\"\n", 4),
        ] {
            let error = error(&format!("{first}{bad}"));
            assert!(error.contains(&format!("line {line}")) && error.contains("row 2 of [[progress]]"), "{error}");
        }
        let elsewhere = error(&format!("{first}[session]\nlevel = \"77\"\n"));
        assert!(elsewhere.contains("line 5") && !elsewhere.contains("row"), "{elsewhere}");
    }

    #[test]
    fn time_limits_may_be_fractions_and_must_make_sense() {
        let text = "[terminal]\nanswer_timeout_s = 0.25\ncommand_timeout_s = 3\nconfirm = \"manual\"\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.terminal.limits().issue(2), Duration::from_millis(6250));
        let mut progress = Progress::new(&config.table);
        assert_eq!(progress.decide(End { sw: Some(0x9000), given: Some(1) }).action, Action::Report);
        for bad in ["-1", "1e9", "nan", "\"5\""] {
            assert!(error(&format!("[terminal]\nanswer_timeout_s = {bad}\n")).contains("line 2"), "{bad}");
        }
    }
}
