//! What is asked of the terminal, and what comes of it.

use super::generator::Target;
use super::inventory::IssueRecord;
use super::receiver::IssueResult;
use smcard_ioctl::FailureFormat;
use smcard_link::{Answer, LinkError};
use std::time::Duration;

/// What is to be issued, and what is known of it.
#[derive(Clone, Debug)]
pub struct Order {
    /// The batch.
    pub target: Target,
    /// How the card tells a failure.
    pub format: FailureFormat,
    /// Commands in the batch; 0 = not known.
    pub total: u32,
    /// Whether it wants CONFIRM; `None` = not known.
    pub confirm: Option<bool>,
    /// The card's record of the issue before; `None` = not known.
    pub before: Option<IssueRecord>,
}

/// The command that is given next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// START.
    Start,
    /// CLEAR.
    Clear,
    /// CONFIRM.
    Confirm,
}

impl Step {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::Start => "START",
            Step::Clear => "CLEAR",
            Step::Confirm => "CONFIRM",
        }
    }
}

/// What comes after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same again, after a pause.
    Again {
        /// The command.
        step: Step,
        /// How long to wait.
        pause: Duration,
        /// The how-manieth repetition.
        time: u32,
        /// How many there may be.
        limit: u32,
    },
    /// Nothing: the issue has ended.
    Ended,
}

/// How an issue ended.
#[derive(Debug)]
pub struct Conclusion {
    /// What the card said; where it did not answer, how far it is known to have come.
    pub result: IssueResult,
    /// The failure of the link that ended it.
    pub silence: Option<LinkError>,
    /// The answer to the last START.
    pub answer: Option<Answer>,
    /// Exchanges of START, CLEAR and CONFIRM; questions are not among them.
    pub exchanges: u64,
    /// Where the card stands now; `None` = not known.
    pub record: Option<IssueRecord>,
    /// The table wants no START before an operator has looked.
    pub stop: bool,
}
