//! What a reader leaves out, and what a batch does otherwise than the tool that a file was written for.

use super::Place;
use crate::apdu::CommandApdu;
use crate::hex::Hex;
use std::fmt;

/// Something to be said about a place of the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// What.
    pub kind: NoteKind,
}

/// What is to be said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NoteKind {
    /// A line that concerns the link or the tool; left out.
    LinkOnly(&'static str),
    /// A secure channel is opened there; left out.
    SecureChannel(&'static str),
    /// The tool goes on where this command fails.
    GoesOn(&'static str),
    /// The script ends there, lines behind are not read.
    Exit,
    /// A command of secure channel set-up stands in the batch.
    Handshake,
    /// A command in secure messaging stands in the batch.
    SecureMessaging,
    /// A log tells that this command failed.
    Failed([u8; 2]),
}

impl fmt::Display for NoteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoteKind::LinkOnly(command) => write!(f, "{command} concerns the link or the tool only; left out"),
            NoteKind::SecureChannel(command) => {
                write!(f, "{command}: a batch runs with the rights of the preparer who writes it; left out")
            }
            NoteKind::GoesOn(command) => {
                write!(
                    f,
                    "{command}: the script goes on where this fails, a batch ends there; remove the line unless it must succeed"
                )
            }
            NoteKind::Exit => f.write_str("exit: what follows is not read"),
            NoteKind::Handshake => {
                f.write_str("opens a secure channel with a session of its own; a batch needs none, remove the command")
            }
            NoteKind::SecureMessaging => f.write_str(
                "secure messaging of a session that has ended: a card will refuse it; take the commands in the clear",
            ),
            NoteKind::Failed(status) => {
                write!(f, "the log tells {} for this command; a batch ends at a command that fails", Hex(status))
            }
        }
    }
}

/// Commands that make sense only within the session they were made for.
pub(super) fn of_session(command: &CommandApdu<'_>) -> Option<NoteKind> {
    let CommandApdu { cla, ins, .. } = *command;
    match ins {
        0x50 | 0x82 if cla & 0x80 != 0 => Some(NoteKind::Handshake),
        // Commands to a reader, not to a card.
        _ if cla == 0xFF => None,
        // Channels 0 to 3 say it with bit 3, further channels with bit 6.
        _ if cla & 0x40 == 0 && cla & 0x0C != 0 => Some(NoteKind::SecureMessaging),
        _ if cla & 0x40 != 0 && cla & 0x20 != 0 => Some(NoteKind::SecureMessaging),
        _ => None,
    }
}
