//! Lists of commands as other tools write them, read into commands for a batch and written back.
//!
//! | format | what it is | read | written |
//! |---|---|---|---|
//! | [`list`] | one APDU a line, in hexadecimal, also with the marks of common logs | yes | yes |
//! | [`gpshell`] | scripts of GPShell, as far as they name APDUs or standard commands | yes | no |
//! | [`etsi`] | command scripting templates of ETSI TS 102 226, section 5.2.1 | yes | yes |
//!
//! # Contract
//!
//! * Arbitrary bytes are accepted without panic, in time and memory linear in the input (and in the CAP files that a script
//!   names); the first fault is named with its line or offset.
//! * No fault and no note shows what a command carries: a file of commands may hold keys.
//! * A command is never changed. What is left out or would end otherwise than with the other tool is told in a [`Note`].
//! * What [`list::write`] and [`etsi::write`] make is read back as the same commands. Both refuse the direct-reference
//!   form, which only a batch knows.

pub mod etsi;
mod fault;
pub mod gpshell;
mod hex;
pub mod list;
mod note;

pub use fault::{Place, ScriptFault, ScriptReason};
pub use note::{Note, NoteKind};

use crate::apdu::{ApduError, CommandApdu};
use crate::build::{BatchBuilder, BuildError};
use crate::format::MAGIC;
use crate::issue::Recovery;
use std::fmt;
use zeroize::Zeroize;

/// A format of command lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One APDU a line.
    List,
    /// A script of GPShell.
    Gpshell,
    /// A command scripting template of ETSI TS 102 226.
    Etsi,
}

/// The format that these bytes look like: a template begins with `AA` or `AE`, which no text does, and a script with a command
/// of GPShell; any other text is a list.
///
/// # Errors
/// A batch, a CAP file, or what is no text.
pub fn detect(bytes: &[u8]) -> Result<Format, ScriptFault> {
    let refuse = |reason| Err(ScriptFault { place: Place::Offset(0), reason });
    match bytes {
        [0xAA | 0xAE, ..] => Ok(Format::Etsi),
        [b'P', b'K', 3, 4, ..] => refuse(ScriptReason::CapFile),
        _ if bytes.starts_with(&MAGIC) => refuse(ScriptReason::Batch),
        _ => {
            let text = text(bytes)?;
            Ok(if gpshell::looks_like(text) { Format::Gpshell } else { Format::List })
        }
    }
}

/// The text of a file, without a byte order mark.
///
/// # Errors
/// Not UTF-8: the offset of the first byte that is not.
pub fn text(bytes: &[u8]) -> Result<&str, ScriptFault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ScriptFault { place: Place::Offset(error.valid_up_to()), reason: ScriptReason::NotText })?;
    Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text))
}

/// Commands that were read, and what is to be said about them.
#[derive(Default)]
pub struct Script {
    /// The commands one behind the other.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    notes: Vec<Note>,
}

impl Script {
    /// Room for the commands of an input of this many bytes, so that growing leaves no copies behind.
    fn with_capacity(bytes: usize) -> Self {
        Script { bytes: Vec::with_capacity(bytes), ends: Vec::new(), notes: Vec::new() }
    }

    /// The number of commands.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The commands in order, each short or extended.
    pub fn commands(&self) -> impl Iterator<Item = CommandApdu<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, &end)| CommandApdu::parse(self.bytes.get(start..end)?).ok())
    }

    /// What was left out, and what would end otherwise than with the other tool; in the order of the input.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The commands as a batch. With [`Recovery::Functions`] a point stands before every command that begins something: not
    /// before LOAD, not before a further block of STORE DATA, and behind a SELECT by name or MANAGE CHANNEL only before the next
    /// SELECT, because what follows is meant for the application selected.
    ///
    /// # Errors
    /// A batch that is too long or has too many recovery points.
    pub fn build(&self, recovery: Recovery, confirm: bool) -> Result<BatchBuilder, BuildError> {
        let mut batch = BatchBuilder::new();
        batch.confirm(confirm);
        if recovery != Recovery::None {
            batch.with_recovery();
        }
        let mut selected = false;
        for command in self.commands() {
            let select = is_select(&command);
            let begins = select || !(selected || continues(&command));
            if recovery == Recovery::Commands || (recovery == Recovery::Functions && begins) {
                batch.recovery_point();
            }
            selected = if select { !command.data.is_empty() } else { selected || is_manage_channel(&command) };
            batch.push(&command)?;
        }
        Ok(batch)
    }

    fn note(&mut self, place: Place, kind: NoteKind) {
        self.notes.push(Note { place, kind });
    }

    /// Appends a command as an interface takes it, and notes what a card would refuse in a batch.
    fn push(&mut self, place: Place, bytes: &[u8]) -> Result<(), ScriptFault> {
        let command = CommandApdu::parse(bytes).map_err(|error| {
            let reason = match error {
                ApduError::DirectOutsideBatch => ScriptReason::Direct,
                error => ScriptReason::Apdu(error),
            };
            ScriptFault { place, reason }
        })?;
        if let Some(kind) = note::of_session(&command) {
            self.note(place, kind);
        }
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Appends a command that was made here.
    fn push_made(&mut self, place: Place, command: &CommandApdu<'_>) -> Result<(), ScriptFault> {
        let mut bytes = command.to_vec().map_err(|error| ScriptFault { place, reason: ScriptReason::Apdu(error) })?;
        let pushed = self.push(place, &bytes);
        bytes.zeroize();
        pushed
    }
}

impl Drop for Script {
    /// Commands may hold keys and personal data.
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Script {
    /// Counts only: the contents are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script of {} commands, {} notes", self.ends.len(), self.notes.len())
    }
}

fn is_select(command: &CommandApdu<'_>) -> bool {
    command.cla & 0x80 == 0 && command.ins == 0xA4 && command.p1 == 0x04
}

fn is_manage_channel(command: &CommandApdu<'_>) -> bool {
    command.cla & 0x80 == 0 && command.ins == 0x70
}

/// LOAD belongs to the INSTALL \[for load\] before it, a further block of STORE DATA to the first.
fn continues(command: &CommandApdu<'_>) -> bool {
    command.cla & 0x80 != 0 && (command.ins == 0xE8 || (command.ins == 0xE2 && command.p2 != 0))
}

/// The commands of a batch for a format that does not know direct reference.
fn interindustry<'a>(batch: &crate::Batch<'a>) -> Result<Vec<crate::Command<'a>>, ScriptFault> {
    let direct = batch.commands().find(|command| command.apdu.form == crate::Form::Direct);
    match direct {
        Some(command) => Err(ScriptFault { place: Place::Command(command.number), reason: ScriptReason::Direct }),
        None => Ok(batch.commands().collect()),
    }
}

#[cfg(test)]
mod tests;
