//! `record` and `record.log`: what is done to an emulated card, as a batch (`docs/RECORD.md`).
//!
//! Written into `record`: `start`, `stop` or `forget`. Read from it, once stopped: the batch. The files are there only where
//! the configuration allows recording; the kernel keeps everybody but operators out.

use super::Core;
use super::browse::Opened;
use super::state::Handle;
use crate::core::OpenFlags;
use crate::refusal::Refusal;
use crate::tree::Node;
use smcard_card::recording::{RecordingError, Summary};
use std::fmt;
use zeroize::Zeroizing;

/// An open `record`.
pub struct RecordHandle {
    /// Opened for writing.
    pub writable: bool,
    /// The batch, as it was when the file was opened; empty where there was none.
    pub batch: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for RecordHandle {
    /// The length only: a recording is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordHandle of {} bytes", self.batch.len())
    }
}

impl Core {
    /// The entries of the root.
    pub(super) fn top(&self) -> impl Iterator<Item = (&'static str, Node)> {
        let recording = if self.recording.is_some() { &Node::RECORDING[..] } else { &[] };
        Node::TOP.into_iter().chain(recording.iter().copied())
    }

    /// Opens `record`.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where recording is not allowed; [`Refusal::TooLong`] for a recording that became too long.
    pub(super) fn open_record(&self, flags: OpenFlags) -> Result<Opened, Refusal> {
        let recorder = self.recording.as_ref().ok_or(Refusal::NotFound)?;
        let batch = match recorder.batch() {
            Ok(batch) => batch,
            Err(RecordingError::NotEnded) => Zeroizing::default(),
            Err(_) if flags.write => Zeroizing::default(),
            Err(error) => {
                log::warn!("record: {error}");
                return Err(Refusal::TooLong);
            }
        };
        let handle = RecordHandle { writable: flags.write, batch };
        Ok(Opened { fh: self.update(|state| state.open(Handle::Record(handle))), stream: false })
    }

    /// Opens `record.log`.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where recording is not allowed.
    pub(super) fn open_record_log(&self) -> Result<Opened, Refusal> {
        let recorder = self.recording.as_ref().ok_or(Refusal::NotFound)?;
        let text = log_text(&recorder.summary());
        Ok(Opened { fh: self.update(|state| state.open(Handle::Value(text.into_bytes()))), stream: false })
    }

    /// Does what was written into `record`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another word.
    pub(super) fn order(&self, word: &[u8]) -> Result<(), Refusal> {
        let recorder = self.recording.as_ref().ok_or(Refusal::NotFound)?;
        match word.trim_ascii() {
            b"start" => {
                log::warn!("recording: what is done to the card is kept until it is forgotten or the card unmounted");
                recorder.start();
            }
            b"stop" => {
                recorder.stop();
                log::info!("recording ended: {} commands", recorder.summary().commands);
            }
            b"forget" => recorder.forget(),
            _ => return Err(Refusal::Invalid("record takes the words start, stop and forget")),
        }
        Ok(())
    }
}

/// One line how it stands, then one for each reason why commands were left out: how many, a tab, the reason.
fn log_text(summary: &Summary) -> String {
    let Summary { running, commands, left_out } = summary;
    let state = if *running { "recording" } else { "stopped" };
    let lines = left_out.iter().map(|(reason, count)| format!("{count}\t{reason}\n"));
    format!("{state} {commands}\n") + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_lines_for_programs_and_people() {
        let summary = Summary { running: true, commands: 12, left_out: vec![("refused", 2), ("keys", 1)] };
        assert_eq!(log_text(&summary), "recording 12\n2\trefused\n1\tkeys\n");
        assert_eq!(log_text(&Summary::default()), "stopped 0\n");
    }
}
