//! Scripts of GPShell, as far as they name APDUs or standard commands (gpshell(1) of GlobalPlatform 8.0).
//!
//! A line is a command and options, separated by white space or commas; a value with spaces stands in double quotes; `#` and
//! `//` begin a comment. What concerns the link, the tool or the secure channel is left out and noted. What asks the card
//! for something, and what needs keys of a session, is refused. Commands are read as with `mode_211`.
//!
//! `install` makes INSTALL \[for load\], LOAD in blocks of 247 bytes and INSTALL \[for install and make selectable\] as
//! [`crate::issue`] does, with the limits and parameters that the script gives.

mod commands;
mod data;
mod options;
mod words;

use super::{NoteKind, Place, Script, ScriptFault, ScriptReason};
use crate::aid::Aid;
use commands::Kind;
use options::Options;

/// True where the first line that says anything is a command of GPShell.
pub(super) fn looks_like(text: &str) -> bool {
    let first = text
        .lines()
        .find_map(|line| line.split([' ', '\t', ',']).find(|word| !word.is_empty()).filter(|word| !comment(word)));
    first.is_some_and(|word| commands::kind(word).is_some())
}

fn comment(word: &str) -> bool {
    word.starts_with('#') || word.starts_with("//")
}

/// Reads a script. `read_cap` gives the bytes of a CAP file that the script names, or says why it cannot.
///
/// # Errors
/// The first line that cannot be in a batch.
pub fn parse(text: &str, read_cap: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>) -> Result<Script, ScriptFault> {
    let mut reader = Reader { script: Script::with_capacity(text.len() / 2), selected: None, read_cap };
    for (number, line) in (1..).zip(text.lines()) {
        let place = Place::Line(number);
        let fault = |reason| ScriptFault { place, reason };
        let words = words::split(line).map_err(fault)?;
        let Some((command, options)) = words.split_first() else { continue };
        let kind = commands::kind(command).ok_or_else(|| fault(ScriptReason::UnknownCommand(words::shown(command))))?;
        match kind {
            Kind::Exit => {
                reader.script.note(place, NoteKind::Exit);
                break;
            }
            Kind::Link(name) => reader.script.note(place, NoteKind::LinkOnly(name)),
            Kind::Channel(name) => reader.script.note(place, NoteKind::SecureChannel(name)),
            Kind::Refused(command, why) => return Err(fault(ScriptReason::NotForBatch { command, why })),
            Kind::Command(command) => {
                let options = Options::read(options).map_err(fault)?;
                reader.command(place, command, &options)?;
            }
        }
    }
    Ok(reader.script)
}

/// What is known between the lines.
struct Reader<'a> {
    script: Script,
    /// The application selected last: GPShell's security domain where a line names none.
    selected: Option<Aid>,
    read_cap: &'a mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
}

#[cfg(test)]
mod tests;
