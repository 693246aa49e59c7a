//! How a command ends when it does not succeed: the card says no, or the card itself has failed.

use smcard_batch::StatusWord;
use smcard_flash::FlashError;

/// Why a command did not succeed. A status word is the card's answer; a failure of the medium ends the session: the card
/// goes mute until it is reopened.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The card says no.
    Status(StatusWord),
    /// The medium failed under the card.
    Medium(FlashError),
}

impl From<StatusWord> for Refusal {
    fn from(sw: StatusWord) -> Self {
        Refusal::Status(sw)
    }
}

impl From<FlashError> for Refusal {
    fn from(error: FlashError) -> Self {
        match error {
            FlashError::Full { .. } => Refusal::Status(StatusWord::NOT_ENOUGH_MEMORY),
            error => Refusal::Medium(error),
        }
    }
}

/// The response data of a command that succeeded (status word 9000 or a warning), or why it did not.
pub(crate) type Outcome = Result<Response, Refusal>;

/// Response data with a status word that counts as processed.
#[derive(Default)]
pub(crate) struct Response {
    pub(crate) data: Vec<u8>,
    /// `None` stands for 9000.
    pub(crate) warning: Option<StatusWord>,
}

impl Response {
    pub(crate) fn data(data: Vec<u8>) -> Self {
        Response { data, warning: None }
    }

    pub(crate) fn sw(&self) -> StatusWord {
        self.warning.unwrap_or(StatusWord::SUCCESS)
    }
}

/// `Err` with this status word.
pub(crate) fn refuse<T>(sw: StatusWord) -> Result<T, Refusal> {
    Err(Refusal::Status(sw))
}
