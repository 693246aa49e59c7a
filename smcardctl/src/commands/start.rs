//! `start`: the card issues itself.

use std::time::Duration;

use smcard_ioctl::{CardState, Client, ClientError, Outcome, Selector, StartRequest, Ticket, abi};

use crate::card::Card;
use crate::cli::Start;
use crate::commands::issue::Issue;
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;
use crate::progress::Progress;

const WHAT: &str = "start";

/// What Ctrl-C says.
pub(crate) const DETACHED: &str = "detached: the card goes on; 'smcardctl wait' waits for the end";

pub(crate) fn run(card: &Card, output: Output, options: Start) -> Result<Exit, Failure> {
    let timeout = options.wait.timeout;
    let no_wait = options.no_wait;
    let request = request(options)?;
    interrupt::detach_with(DETACHED.to_owned());
    let client = card.operate(WHAT)?;
    let ticket = match client.start(&request) {
        Ok(ticket) => ticket,
        Err(error @ ClientError::Busy { .. }) => {
            return match client.status() {
                Ok(status) if status.state == CardState::Issuing => {
                    output.conclude(&Issue::running(status.elapsed), Some(issuing(WHAT)))
                }
                // Only a dialogue is left, or an issue that has ended since.
                _ => Err(Failure::client(WHAT, &error)),
            };
        }
        Err(error) => return Err(Failure::client(WHAT, &error)),
    };
    if no_wait {
        output.show(&Issue::running(Duration::ZERO))?;
        return Ok(Exit::Done);
    }
    let Some(outcome) = wait(&client, ticket, timeout)? else {
        return output.conclude(&Issue::running(timeout.unwrap_or_default()), Some(still_running(WHAT)));
    };
    // The result says nothing of it; a daemon that is gone by now has told the main thing already.
    let confirm = client.status().is_ok_and(|status| status.facts & abi::FACT_CONFIRM_NEEDED != 0);
    let issue = Issue::from_outcome(&outcome, confirm);
    output.conclude(&issue, issue.failure(WHAT))
}

/// Somebody's issue runs.
fn issuing(what: &str) -> Failure {
    Failure::new(Exit::Refused, what, "the card is issuing", "'smcardctl wait' waits for the end of the issue")
}

/// The time limit is over first.
pub(crate) fn still_running(what: &str) -> Failure {
    Failure::new(Exit::Refused, what, "the card is still issuing", "'smcardctl wait' waits for the end")
}

fn request(options: Start) -> Result<StartRequest, Failure> {
    let selector = match (options.name, options.id) {
        (Some(name), _) => Selector::Name(base_name(&name)?.into_bytes()),
        (None, Some(id)) => Selector::Id(id),
        (None, None) => Selector::Only,
    };
    Ok(StartRequest {
        selector,
        offset: options.offset,
        length: options.length.unwrap_or(0),
        ..StartRequest::default()
    })
}

/// A name in issue/; a path is a slip that deserves its own words.
fn base_name(name: &str) -> Result<String, Failure> {
    if name.contains('/') {
        let advice = "name the batch as 'smcardctl list' does; a file elsewhere is copied into issue/ first";
        return Err(Failure::new(Exit::Usage, WHAT, format!("{name} is a path, not a name in issue/"), advice));
    }
    Ok(name.to_owned())
}

/// The outcome, or `None` where the time limit is over first.
fn wait(client: &Client, ticket: Ticket, timeout: Option<Duration>) -> Result<Option<Outcome>, Failure> {
    let _progress = Progress::waiting("the card is issuing");
    match client.wait(ticket, timeout) {
        Ok(outcome) => Ok(Some(outcome)),
        Err(ClientError::Pending(_)) => Ok(None),
        Err(error) => Err(Failure::client(WHAT, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Wait;

    fn options(name: Option<&str>, id: Option<u16>) -> Start {
        Start {
            name: name.map(str::to_owned),
            id,
            offset: 16,
            length: Some(100),
            no_wait: false,
            wait: Wait { timeout: None },
        }
    }

    #[test]
    fn the_request_says_what_the_options_say() {
        let by_name = request(options(Some("app.batch"), None)).unwrap();
        assert_eq!(by_name.selector, Selector::Name(b"app.batch".to_vec()));
        assert_eq!((by_name.offset, by_name.length), (16, 100));
        assert_eq!(request(options(None, Some(7))).unwrap().selector, Selector::Id(7));
        assert_eq!(request(options(None, None)).unwrap().selector, Selector::Only);
    }

    #[test]
    fn a_path_is_no_name() {
        let failure = request(options(Some("issue/app.batch"), None)).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }
}
