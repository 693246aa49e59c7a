//! `status`: where the card stands.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::io::{self, Write};

use serde::Serialize;
use smcard_batch::StatusWord;
use smcard_ioctl::{CardStatus, abi, life_cycle_name};

use crate::card::{self, Card, errno};
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report};

const WHAT: &str = "status";

/// The last issue.
#[derive(Debug, PartialEq, Serialize)]
struct Last {
    sw: Option<String>,
    meaning: Option<String>,
    given: u32,
    commands: u32,
    kept: Option<u32>,
    exchanges: u64,
    seconds: f64,
    error: Option<String>,
}

/// Everything that is known without asking the card.
#[derive(Debug, PartialEq, Serialize)]
struct Status {
    state: &'static str,
    line: String,
    life_cycle: Option<String>,
    auth_level: Option<String>,
    free_bytes: u64,
    exchanges: u64,
    issues: u64,
    last_issue: Option<Last>,
    upload_error: Option<String>,
    confirm_needed: bool,
    interrupted: bool,
    clear_possible: bool,
    operator: bool,
    test_keys: bool,
    /// The files of card/.
    card: BTreeMap<String, String>,
}

pub(crate) fn run(card: &Card, output: Output) -> Result<Exit, Failure> {
    let client = card.look(WHAT)?;
    // Reading a value may make smcardd ask the card for it, which changes others: the second reading agrees with STATUS.
    values(card)?;
    let status = client.status().map_err(|error| Failure::client(WHAT, &error))?;
    output.show(&Status::new(&status, values(card)?))?;
    Ok(Exit::Done)
}

/// The files of card/.
fn values(card: &Card) -> Result<BTreeMap<String, String>, Failure> {
    let entries = card.entries(WHAT, "card")?.into_iter();
    let value = |entry: DirEntry| {
        let value = card::value(&entry.path())?;
        Some((printable(&entry.file_name().to_string_lossy()), value))
    };
    Ok(entries.filter_map(value).collect())
}

impl Status {
    fn new(status: &CardStatus, card: BTreeMap<String, String>) -> Self {
        let fact = |bit| status.facts & bit != 0;
        let life_cycle = match (status.life_cycle, life_cycle_name(status.life_cycle)) {
            (0, _) => None,
            (_, Some(name)) => Some(name.to_owned()),
            (value, None) => Some(format!("{value:02x}")),
        };
        let sw = (status.last_sw != 0).then_some(StatusWord(status.last_sw));
        let last_issue = (status.issues != 0).then(|| Last {
            sw: sw.map(|sw| sw.to_string()),
            meaning: sw.map(StatusWord::meaning),
            given: status.given,
            commands: status.total,
            kept: status.kept,
            exchanges: status.issue_exchanges,
            seconds: status.elapsed.as_secs_f64(),
            error: (status.last_error != 0).then(|| errno(status.last_error)),
        });
        Self {
            state: status.state.as_str(),
            line: printable(&status.line),
            life_cycle,
            auth_level: (status.auth_level != 0).then(|| format!("{:02x}", status.auth_level)),
            free_bytes: status.free_bytes,
            exchanges: status.exchanges,
            issues: status.issues,
            last_issue,
            upload_error: (!status.upload_error.is_empty()).then(|| printable(&status.upload_error)),
            confirm_needed: fact(abi::FACT_CONFIRM_NEEDED),
            interrupted: fact(abi::FACT_INTERRUPTED),
            clear_possible: fact(abi::FACT_CLEAR_POSSIBLE),
            operator: fact(abi::FACT_OPERATOR),
            test_keys: fact(abi::FACT_TEST_KEYS),
            card,
        }
    }
}

impl Report for Status {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.line)?;
        let width = self.card.keys().map(|name| name.len() + "card/".len()).fold(16, usize::max);
        let mut row = |name: &str, value: &str| writeln!(out, "  {name:<width$} {value}");
        if let Some(life_cycle) = &self.life_cycle {
            row("life cycle", life_cycle)?;
        }
        row("secure channel", &self.auth_level.as_ref().map_or("none".to_owned(), |level| format!("level {level}")))?;
        row("free", &format!("{} bytes", self.free_bytes))?;
        row("exchanges", &self.exchanges.to_string())?;
        match &self.last_issue {
            None => row("issues", "none yet")?,
            Some(last) => {
                let end = match (&last.error, &last.sw, &last.meaning) {
                    (Some(error), ..) => format!("no answer ({error})"),
                    (None, Some(sw), Some(meaning)) => format!("{sw} ({meaning})"),
                    _ => "no status word".to_owned(),
                };
                let Last { given, commands, kept, exchanges, seconds, .. } = last;
                let kept = kept.map_or(String::new(), |kept| format!(", {kept} kept"));
                row(
                    "last issue",
                    &format!("{end}, {given} of {commands} commands{kept}, {exchanges} exchanges, {seconds:.3} s"),
                )?;
                row("issues", &self.issues.to_string())?;
            }
        }
        for (name, value) in &self.card {
            row(&format!("card/{name}"), value)?;
        }
        let notes = [
            (self.interrupted, "an issue was interrupted; 'smcardctl start' goes on as the card's recovery says"),
            (self.clear_possible, "an issue is unfinished; 'smcardctl clear' takes back what it has left"),
            (self.confirm_needed, "the new application waits for 'smcardctl confirm'"),
            (self.test_keys, "the card uses well-known test keys: anybody can change it"),
        ];
        for (_, note) in notes.iter().filter(|(applies, _)| *applies) {
            row("note", note)?;
        }
        if let Some(error) = &self.upload_error {
            row("last upload", &format!("refused: {error}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_ioctl::CardState;
    use std::time::Duration;

    fn status() -> CardStatus {
        CardStatus {
            state: CardState::Failed,
            auth_level: 0x33,
            life_cycle: 0x0F,
            last_sw: 0x6A84,
            facts: abi::FACT_CLEAR_POSSIBLE | abi::FACT_OPERATOR,
            given: 7,
            total: 12,
            kept: Some(4),
            last_error: 0,
            elapsed: Duration::from_millis(31),
            free_bytes: 1_048_576,
            exchanges: 9,
            issue_exchanges: 2,
            issues: 1,
            line: "failed 6a84 after 7".to_owned(),
            upload_error: "offset 12: damaged\x1b".to_owned(),
        }
    }

    #[test]
    fn text_tells_every_fact_that_matters() {
        let values = BTreeMap::from([("cid".to_owned(), "00ff".to_owned())]);
        let mut text = Vec::new();
        Status::new(&status(), values).text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let expected = "failed 6a84 after 7\n  life cycle       SECURED\n  secure channel   level 33\n  \
                        free             1048576 bytes\n  exchanges        9\n  \
                        last issue       6a84 (not enough memory), 7 of 12 commands, 4 kept, 2 exchanges, 0.031 s\n  \
                        issues           1\n  card/cid         00ff\n  \
                        note             an issue is unfinished; 'smcardctl clear' takes back what it has left\n  \
                        last upload      refused: offset 12: damaged\\u{1b}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_has_null_where_nothing_is_known() {
        let fresh = CardStatus {
            issues: 0,
            life_cycle: 0,
            auth_level: 0,
            upload_error: String::new(),
            state: CardState::Ready,
            line: "ready".to_owned(),
            ..status()
        };
        let json = serde_json::to_value(Status::new(&fresh, BTreeMap::new())).unwrap();
        assert_eq!(json["state"], "ready");
        for name in ["life_cycle", "auth_level", "last_issue", "upload_error"] {
            assert!(json[name].is_null(), "{name}");
        }
        assert_eq!((&json["operator"], &json["test_keys"]), (&true.into(), &false.into()));
    }
}
