//! How an issue ended: the report that `start` and `wait` share.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use smcard_batch::StatusWord;
use smcard_ioctl::{CardStatus, Outcome, abi};

use crate::card::{errno, in_words};
use crate::exit::{Exit, Failure};
use crate::output::Report;

/// An issue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Issue {
    /// `done`, `failed`, or `busy` while it runs; `none` where there was none.
    state: &'static str,
    /// Status word in four digits; `null` where the card gave none.
    sw: Option<String>,
    /// The status word in words.
    meaning: Option<String>,
    /// Commands in the batch; 0 = not known.
    commands: u32,
    /// Commands the card was given, the failing one included.
    given: u32,
    /// Commands whose effect stands on the card, from the first on; `null` where the card did not say.
    kept: Option<u32>,
    /// Exchanges with the card, the upload's included.
    exchanges: u64,
    /// From START to the answer.
    seconds: f64,
    /// Whether the card wants CONFIRM before first use.
    confirm_needed: bool,
    /// Why the card did not answer.
    error: Option<String>,
    /// What to do next.
    next: Option<String>,
}

/// The numbers of an issue that ended.
struct Numbers {
    sw: u16,
    error: i32,
    commands: u32,
    given: u32,
    kept: Option<u32>,
    exchanges: u64,
    duration: Duration,
    confirm_needed: bool,
}

impl Issue {
    fn ended(numbers: &Numbers) -> Self {
        let &Numbers { sw, error, commands, given, kept, exchanges, duration, confirm_needed } = numbers;
        let done = error == 0 && StatusWord(sw).is_success();
        let next = match (done, error) {
            (true, _) if confirm_needed => Some("'smcardctl confirm' makes the new application usable".to_owned()),
            (true, _) => None,
            (false, 0) => Some(advice(sw, given, kept)),
            (false, _) => {
                Some("'smcardctl status' shows the card; 'smcardctl start' goes on as its recovery says".to_owned())
            }
        };
        Self {
            state: if done { "done" } else { "failed" },
            sw: (sw != 0).then(|| StatusWord(sw).to_string()),
            meaning: (sw != 0).then(|| StatusWord(sw).meaning()),
            commands,
            given,
            kept,
            exchanges,
            seconds: duration.as_secs_f64(),
            confirm_needed,
            error: (error != 0).then(|| errno(error)),
            next,
        }
    }

    /// From the result of START.
    pub(crate) fn from_outcome(outcome: &Outcome, confirm_needed: bool) -> Self {
        Self::ended(&Numbers {
            sw: outcome.sw,
            error: outcome.error,
            commands: outcome.total,
            given: outcome.given,
            kept: outcome.kept,
            exchanges: outcome.exchanges,
            duration: outcome.duration,
            confirm_needed,
        })
    }

    /// From the status of a card that does not issue: how the last issue ended, or that there was none.
    pub(crate) fn from_status(status: &CardStatus) -> Self {
        if status.issues == 0 {
            let next = Some("'smcardctl start' begins one".to_owned());
            return Self { state: "none", next, ..Self::running(Duration::ZERO) };
        }
        Self::ended(&Numbers {
            sw: status.last_sw,
            error: status.last_error,
            commands: status.total,
            given: status.given,
            kept: status.kept,
            exchanges: status.issue_exchanges,
            duration: status.elapsed,
            confirm_needed: status.facts & abi::FACT_CONFIRM_NEEDED != 0,
        })
    }

    /// An issue that runs. The card tells no count meanwhile.
    pub(crate) fn running(elapsed: Duration) -> Self {
        Self {
            state: "busy",
            sw: None,
            meaning: None,
            commands: 0,
            given: 0,
            kept: Some(0),
            exchanges: 0,
            seconds: elapsed.as_secs_f64(),
            confirm_needed: false,
            error: None,
            next: Some("'smcardctl wait' waits for the end".to_owned()),
        }
    }

    /// The failure this issue is for `what`, if it is one.
    pub(crate) fn failure(&self, what: &str) -> Option<Failure> {
        if self.state != "failed" {
            return None;
        }
        let next = self.next.as_deref().unwrap_or_default();
        if let Some(error) = &self.error {
            let stands = match (self.given, self.commands) {
                (0, _) => String::new(),
                (given, 0) => format!("; it stands behind command {given}; {}", kept(self.kept)),
                (given, all) => format!("; it stands behind command {given} of {all}; {}", kept(self.kept)),
            };
            let why = format!("the card did not answer ({error}){stands}");
            return Some(Failure::new(Exit::Gone, what, why, next));
        }
        let sw = self.sw.as_deref().and_then(|sw| u16::from_str_radix(sw, 16).ok()).unwrap_or(0);
        let why = match (self.given, self.commands) {
            (0, _) => format!("the card refused START with {}", in_words(sw)),
            (given, 0) => format!("command {given} failed with {}; {}", in_words(sw), kept(self.kept)),
            (given, all) => format!("command {given} of {all} failed with {}; {}", in_words(sw), kept(self.kept)),
        };
        Some(Failure::new(Exit::Refused, what, why, next))
    }
}

/// What stays on the card.
fn kept(commands: Option<u32>) -> String {
    match commands {
        Some(0) => "nothing of it is kept".to_owned(),
        Some(1) => "command 1 stays carried out".to_owned(),
        Some(n) => format!("commands 1 to {n} stay carried out"),
        None => "the card did not say what stays of it".to_owned(),
    }
}

/// What to do about a failure, by the status word of the command that failed, or of START itself (`given` 0).
fn advice(sw: u16, given: u32, kept: Option<u32>) -> String {
    let mend = match (StatusWord(sw), given) {
        (StatusWord::NOT_FOUND | StatusWord::REFERENCE_NOT_FOUND | StatusWord::WRONG_DATA, 0) => {
            return "'smcardctl list' shows the batches in the store; name one".to_owned();
        }
        (StatusWord::CONDITIONS_NOT_SATISFIED, 0) => {
            return "where an issue from another batch is unfinished, start that one again or 'smcardctl clear'; \
                    'smcardctl status' shows the card"
                .to_owned();
        }
        (_, 0) => return "'smcardctl status' shows the card".to_owned(),
        (StatusWord::NOT_ENOUGH_MEMORY, _) => "remove batches or applications to make room, then start again",
        (StatusWord::SECURITY_NOT_SATISFIED, _) => {
            "the batch was written without the rights it needs: have it written again"
        }
        _ => "have the batch corrected ('smcardctl inspect' names its commands)",
    };
    // The card keeps the issue open even where nothing of it stands: it takes no other batch before CLEAR.
    let clear = match kept {
        Some(0) => "'smcardctl clear' before another batch can be started",
        Some(_) => "'smcardctl clear' undoes them",
        None => "'smcardctl clear' undoes what stays",
    };
    format!("{clear}; {mend}")
}

impl Report for Issue {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { state, commands, exchanges, seconds, .. } = self;
        match *state {
            "none" => write!(out, "no issue since the card was mounted")?,
            "busy" => write!(out, "issuing (for {seconds:.1} s)")?,
            // A failure is told on stderr; this is the end of the story for a reader of stdout.
            "failed" => write!(out, "failed after {} of {commands} commands", self.given)?,
            _ => write!(out, "done: {commands} commands in {seconds:.3} s, {exchanges} exchanges")?,
        }
        match &self.next {
            Some(next) => writeln!(out, "; {next}"),
            None => writeln!(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_ioctl::{Apdu, OperationKind, OperationState};

    /// A card whose commands stand each by itself.
    fn outcome(sw: u16, given: u32, total: u32, error: i32) -> Outcome {
        let kept = if sw == 0x9000 { given } else { given.saturating_sub(1) };
        Outcome {
            state: OperationState::Failed,
            kind: OperationKind::Start,
            error,
            sw,
            given,
            total,
            kept: Some(kept),
            exchanges: 2,
            duration: Duration::from_millis(1500),
            response: Apdu::new(&[]),
        }
    }

    fn line(sw: u16, given: u32, total: u32, error: i32) -> (u8, String) {
        let failure = Issue::from_outcome(&outcome(sw, given, total, error), false).failure("start").unwrap();
        (failure.exit as u8, failure.line())
    }

    #[test]
    fn success_says_how_much_and_how_long() {
        let issue = Issue::from_outcome(&outcome(0x9000, 12, 12, 0), false);
        assert_eq!(issue.failure("start"), None);
        let mut text = Vec::new();
        issue.text(&mut text).unwrap();
        assert_eq!(text, b"done: 12 commands in 1.500 s, 2 exchanges\n");
        let json = serde_json::to_value(&issue).unwrap();
        let expected = serde_json::json!({
            "state": "done", "sw": "9000", "meaning": "success", "commands": 12, "given": 12, "kept": 12,
            "exchanges": 2, "seconds": 1.5, "confirm_needed": false, "error": null, "next": null,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_failure_names_the_command_the_reason_what_stays_and_what_to_do() {
        let (exit, line) = line(0x6A84, 7, 12, 0);
        assert_eq!(exit, 1);
        assert_eq!(
            line,
            "start: command 7 of 12 failed with 6a84 (not enough memory); commands 1 to 6 stay carried out; \
             'smcardctl clear' undoes them; remove batches or applications to make room, then start again"
        );
        assert_eq!(
            self::line(0x6A80, 1, 3, 0).1,
            "start: command 1 of 3 failed with 6a80 (wrong data); nothing of it is kept; 'smcardctl clear' before \
             another batch can be started; have the batch corrected ('smcardctl inspect' names its commands)"
        );
        assert!(self::line(0x6A80, 2, 0, 0).1.contains("command 2 failed with 6a80"));
    }

    #[test]
    fn what_stays_is_what_the_card_says_not_what_was_given() {
        let line = |kept| {
            let outcome = Outcome { kept, ..outcome(0x6A80, 7, 12, 0) };
            let issue = Issue::from_outcome(&outcome, false);
            assert_eq!(serde_json::to_value(&issue).unwrap()["kept"], serde_json::json!(kept));
            issue.failure("start").unwrap().line()
        };
        assert!(line(Some(4)).contains("; commands 1 to 4 stay carried out; 'smcardctl clear' undoes them; "));
        assert!(line(Some(1)).contains("; command 1 stays carried out; "));
        assert!(line(Some(0)).contains("; nothing of it is kept; ") && !line(Some(0)).contains("undoes"));
        assert!(line(None).contains("; the card did not say what stays of it; 'smcardctl clear' undoes what stays; "));
    }

    #[test]
    fn a_refused_start_is_told_from_a_failed_command() {
        let (exit, line) = line(0x6A82, 0, 0, 0);
        assert_eq!(exit, 1);
        assert!(line.starts_with("start: the card refused START with 6a82"), "{line}");
        assert!(line.contains("smcardctl list"), "{line}");
        assert!(self::line(0x6985, 0, 0, 0).1.contains("'smcardctl clear'"), "another batch is unfinished");
    }

    #[test]
    fn a_silent_card_is_told_from_one_that_says_no() {
        let (exit, line) = line(0, 0, 0, 110);
        assert_eq!(exit, 3);
        assert!(line.contains("did not answer"), "{line}");
        // One that was found out before it was given up.
        let (exit, line) = self::line(0, 7, 12, 110);
        assert_eq!(exit, 3);
        let stands = "); it stands behind command 7 of 12; commands 1 to 6 stay carried out; 'smcardctl status'";
        assert!(line.contains(stands), "{line}");
    }

    #[test]
    fn confirmation_is_pointed_out() {
        let issue = Issue::from_outcome(&outcome(0x9000, 1, 1, 0), true);
        let mut text = Vec::new();
        issue.text(&mut text).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("smcardctl confirm"));
    }
}
