//! `apdu`: commands to the card, one after the other.

use std::io::{self, Write};

use serde::Serialize;
use smcard_batch::StatusWord;
use smcard_ioctl::Outcome;

use crate::card::{Card, errno};
use crate::cli::Apdu;
use crate::exit::{Exit, Failure};
use crate::hex;
use crate::output::{Output, Report};

const WHAT: &str = "apdu";

/// A command and what the card said.
#[derive(Debug, PartialEq, Serialize)]
struct Exchange {
    command: String,
    /// Response data, without the status word.
    response: String,
    sw: String,
    meaning: String,
    seconds: f64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Exchanges(Vec<Exchange>);

pub(crate) fn run(card: &Card, output: Output, options: &Apdu) -> Result<Exit, Failure> {
    let client = card.operate(WHAT)?;
    let mut exchanges = Vec::new();
    let mut exit = Exit::Done;
    for command in &options.commands {
        let command = &command.0;
        let outcome = client.transmit(command).and_then(|ticket| client.wait(ticket, None));
        let exchange = outcome.map_err(|error| Failure::client(WHAT, &error)).and_then(|outcome| {
            let processed = StatusWord(outcome.sw).is_processed();
            exit = if processed { Exit::Done } else { Exit::Refused };
            Exchange::new(command, &outcome)
        });
        match exchange {
            Ok(exchange) if output.json => exchanges.push(exchange),
            // At once: the next may take long.
            Ok(exchange) => output.show(&Exchanges(vec![exchange]))?,
            Err(failure) if output.json => {
                return broken(output, exchanges, command, failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    if output.json {
        output.show(&Exchanges(exchanges))?;
    }
    Ok(exit)
}

/// One array in any case: what was answered, then the command that was not, with the error.
fn broken(output: Output, exchanges: Vec<Exchange>, command: &[u8], failure: Failure) -> Result<Exit, Failure> {
    #[derive(Serialize)]
    struct Broken {
        command: String,
        error: String,
        advice: String,
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Element {
        Answered(Exchange),
        Broken(Broken),
    }
    #[derive(Serialize)]
    struct Elements(Vec<Element>);
    impl Report for Elements {
        fn text(&self, _: &mut dyn Write) -> io::Result<()> {
            Ok(())
        }
    }
    let Failure { exit, why, advice, .. } = failure;
    let last = Element::Broken(Broken { command: hex::show(command), error: why, advice });
    output.show(&Elements(exchanges.into_iter().map(Element::Answered).chain([last]).collect()))?;
    Ok(exit)
}

impl Exchange {
    fn new(command: &[u8], outcome: &Outcome) -> Result<Self, Failure> {
        if outcome.error != 0 {
            let why = format!("the card did not answer ({})", errno(outcome.error));
            return Err(Failure::new(Exit::Gone, WHAT, why, "'smcardctl status' shows the card"));
        }
        let response = outcome.response.as_bytes();
        let data = response.len().checked_sub(2).and_then(|end| response.get(..end)).unwrap_or_default();
        let sw = StatusWord(outcome.sw);
        Ok(Self {
            command: hex::show(command),
            response: hex::show(data),
            sw: sw.to_string(),
            meaning: sw.meaning(),
            seconds: outcome.duration.as_secs_f64(),
        })
    }
}

impl Report for Exchanges {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Exchange { command, response, sw, meaning, .. } in &self.0 {
            writeln!(out, "> {command}")?;
            if response.is_empty() {
                writeln!(out, "< {sw} ({meaning})")?;
            } else {
                writeln!(out, "< {response} {sw} ({meaning})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_ioctl::{OperationKind, OperationState};
    use std::time::Duration;

    fn outcome(response: &[u8], sw: u16, error: i32) -> Outcome {
        Outcome {
            state: OperationState::Done,
            kind: OperationKind::Transmit,
            error,
            sw,
            given: 0,
            total: 0,
            kept: Some(0),
            exchanges: 1,
            duration: Duration::from_millis(2),
            response: smcard_ioctl::Apdu::new(response),
        }
    }

    #[test]
    fn data_and_status_word_are_told_apart() {
        let exchange = Exchange::new(&[0, 0xA4, 4, 0], &outcome(&[0x6F, 0, 0x90, 0], 0x9000, 0)).unwrap();
        assert_eq!((exchange.response.as_str(), exchange.sw.as_str()), ("6F00", "9000"));
        let bare = Exchange::new(&[0, 0xA4, 4, 0], &outcome(&[0x6A, 0x82], 0x6A82, 0)).unwrap();
        let mut text = Vec::new();
        Exchanges(vec![exchange, bare]).text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, "> 00A40400\n< 6F00 9000 (success)\n> 00A40400\n< 6a82 (application or file not found)\n");
    }

    #[test]
    fn silence_is_no_answer() {
        let failure = Exchange::new(&[0; 4], &outcome(&[], 0, 110)).unwrap_err();
        assert_eq!(failure.exit, Exit::Gone);
    }
}
