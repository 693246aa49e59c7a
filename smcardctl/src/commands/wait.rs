//! `wait`: the end of an issue that somebody started, or how the last one ended.

use std::time::{Duration, Instant};

use smcard_ioctl::CardState;

use crate::card::Card;
use crate::cli::Wait;
use crate::commands::issue::Issue;
use crate::commands::start::{DETACHED, still_running};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;
use crate::progress::Progress;

const WHAT: &str = "wait";

/// How long at most between two looks, for a daemon that does not report changes.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long at least, for one that reports too many.
const LEAST_PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn run(card: &Card, output: Output, options: &Wait) -> Result<Exit, Failure> {
    interrupt::detach_with(DETACHED.to_owned());
    let client = card.look(WHAT)?;
    let end = options.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut progress = None;
    loop {
        let status = client.status().map_err(|error| Failure::client(WHAT, &error))?;
        if status.state != CardState::Issuing {
            drop(progress);
            let issue = Issue::from_status(&status);
            return output.conclude(&issue, issue.failure(WHAT));
        }
        let left = end.map_or(LOOK_AGAIN, |end| end.saturating_duration_since(Instant::now()).min(LOOK_AGAIN));
        if left.is_zero() {
            drop(progress);
            return output.conclude(&Issue::running(status.elapsed), Some(still_running(WHAT)));
        }
        progress.get_or_insert_with(|| Progress::waiting("the card is issuing"));
        std::thread::sleep(LEAST_PAUSE.min(left));
        client.wait_for_state_change(left).map_err(|error| Failure::client(WHAT, &error))?;
    }
}
