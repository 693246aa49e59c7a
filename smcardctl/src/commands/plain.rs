//! `clear`, `confirm`, `reset`, `authenticate`: one operation, one answer.

use std::io::{self, Write};

use serde::Serialize;
use smcard_batch::StatusWord;
use smcard_ioctl::{Client, ClientError, Outcome, Ticket};

use crate::card::{self, Card, errno, in_words};
use crate::cli::Authenticate;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Report};

/// An operation: its name, what success means, what to do about a refusal.
struct Operation {
    name: &'static str,
    success: &'static str,
    advice: &'static str,
}

/// What became of it.
#[derive(Debug, PartialEq, Serialize)]
struct Done {
    operation: &'static str,
    state: &'static str,
    sw: Option<String>,
    meaning: Option<String>,
    seconds: f64,
    error: Option<String>,
    #[serde(skip)]
    success: &'static str,
}

impl Report for Done {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.success)
    }
}

pub(crate) fn clear(card: &Card, output: Output) -> Result<Exit, Failure> {
    let operation = Operation {
        name: "clear",
        success: "cleared: what an unfinished issue had written is gone",
        advice: "'smcardctl status' shows the card",
    };
    run(card, output, &operation, Client::clear)
}

pub(crate) fn confirm(card: &Card, output: Output) -> Result<Exit, Failure> {
    let operation = Operation {
        name: "confirm",
        success: "confirmed: the new application can be used",
        advice: "'smcardctl status' says whether the card asks for it",
    };
    run(card, output, &operation, Client::confirm)
}

pub(crate) fn reset(card: &Card, output: Output) -> Result<Exit, Failure> {
    let operation = Operation {
        name: "reset",
        success: "reset: the card manager is selected, no secure channel is open",
        advice: "'smcardctl status' shows the card",
    };
    run(card, output, &operation, Client::reset)
}

pub(crate) fn authenticate(card: &Card, output: Output, options: &Authenticate) -> Result<Exit, Failure> {
    let operation = Operation {
        name: "authenticate",
        success: "authenticated: batches can be copied into issue/",
        advice: "check the keys and the key version of smcardd's configuration; cards count wrong tries",
    };
    run(card, output, &operation, |client| client.authenticate(options.level, options.key_version))
}

fn run(
    card: &Card,
    output: Output,
    operation: &Operation,
    submit: impl FnOnce(&Client) -> Result<Ticket, ClientError>,
) -> Result<Exit, Failure> {
    let client = card.operate(operation.name)?;
    let ticket = submit(&client).map_err(|error| Failure::client(operation.name, &error))?;
    let outcome = card::wait(operation.name, &client, ticket)?;
    let (done, failure) = judge(operation, &outcome);
    output.conclude(&done, failure)
}

fn judge(operation: &Operation, outcome: &Outcome) -> (Done, Option<Failure>) {
    let &Operation { name, success, advice } = operation;
    let sw = (outcome.sw != 0).then_some(StatusWord(outcome.sw));
    let other_keys =
        outcome.error != 0 && io::Error::from_raw_os_error(outcome.error).kind() == io::ErrorKind::PermissionDenied;
    let failure = if other_keys {
        Some(Failure::new(Exit::NotPermitted, name, "the card has other keys than smcardd", advice))
    } else if outcome.error != 0 {
        let why = format!("the card did not answer ({})", errno(outcome.error));
        Some(Failure::new(Exit::Gone, name, why, "check that the card is there, then 'smcardctl reset'"))
    } else if !outcome.is_done() {
        Some(Failure::new(Exit::Refused, name, format!("the card says {}", in_words(outcome.sw)), advice))
    } else {
        None
    };
    let done = Done {
        operation: name,
        state: if failure.is_none() { "done" } else { "failed" },
        sw: sw.map(|sw| sw.to_string()),
        meaning: sw.map(StatusWord::meaning),
        seconds: outcome.duration.as_secs_f64(),
        error: (outcome.error != 0).then(|| errno(outcome.error)),
        success,
    };
    (done, failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_ioctl::{Apdu, OperationKind, OperationState};
    use std::time::Duration;

    fn judged(state: OperationState, sw: u16, error: i32) -> (Done, Option<Failure>) {
        let operation = Operation { name: "confirm", success: "confirmed", advice: "look" };
        let outcome = Outcome {
            state,
            kind: OperationKind::Confirm,
            error,
            sw,
            given: 0,
            total: 0,
            kept: Some(0),
            exchanges: 1,
            duration: Duration::from_millis(250),
            response: Apdu::new(&[]),
        };
        judge(&operation, &outcome)
    }

    #[test]
    fn success_is_said_in_words_and_in_json() {
        let (done, failure) = judged(OperationState::Done, 0x9000, 0);
        assert_eq!(failure, None);
        let expected = serde_json::json!({
            "operation": "confirm", "state": "done", "sw": "9000", "meaning": "success", "seconds": 0.25, "error": null,
        });
        assert_eq!(serde_json::to_value(&done).unwrap(), expected);
    }

    #[test]
    fn refusal_and_silence_end_differently() {
        let refused = judged(OperationState::Failed, 0x6985, 0).1.unwrap();
        assert_eq!(refused.exit, Exit::Refused);
        assert_eq!(refused.line(), "confirm: the card says 6985 (conditions of use not satisfied); look");
        // AUTHENTICATE that smcardd broke off because the card did not prove that it knows the keys.
        assert_eq!(judged(OperationState::Failed, 0, 13).1.unwrap().exit, Exit::NotPermitted);
        // A reset has no status word of its own.
        assert_eq!(judged(OperationState::Done, 0, 0).1, None);
        assert_eq!(judged(OperationState::Failed, 0, 19).1.unwrap().exit, Exit::Gone);
    }
}
