//! Why a list of commands cannot be read or written.

use crate::aid::AidError;
use crate::apdu::ApduError;
use crate::hex::Hex;
use std::fmt;
use thiserror::Error;

/// Where in an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A line of a text, the first being 1.
    Line(usize),
    /// Bytes from the start of the file.
    Offset(usize),
    /// A command of a batch, the first being 1.
    Command(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Offset(offset) => write!(f, "offset {offset}"),
            Place::Command(number) => write!(f, "command {number}"),
        }
    }
}

/// The first fault, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{place}: {reason}")]
pub struct ScriptFault {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub reason: ScriptReason,
}

/// What is wrong. Never shows what a command carries.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ScriptReason {
    /// Bytes that are neither a text nor a template.
    #[error("neither a text nor a command scripting template")]
    NotText,
    /// A batch already.
    #[error("this is a batch already")]
    Batch,
    /// A zip file.
    #[error("this is a zip, perhaps a CAP file")]
    CapFile,
    /// A line of a list that is neither an APDU nor a response.
    #[error("neither an APDU in hexadecimal digits nor a response")]
    NotApdu,
    /// Bytes that are no command.
    #[error("{0}")]
    Apdu(ApduError),
    /// The direct-reference form outside a batch.
    #[error("direct reference form, which only a batch can carry")]
    Direct,
    /// A status word other than 9000 is expected.
    #[error("the list expects the status word {}, but a batch goes on after 9000 only", Hex(.0))]
    Expected([u8; 2]),
    /// What is expected is no status word.
    #[error("a status word has four hexadecimal digits")]
    StatusWord,
    /// Not a command scripting template.
    #[error("begins with {found:02X}, {name}; a command scripting template begins with AA or AE")]
    Template {
        /// The tag found.
        found: u8,
        /// Its name.
        name: &'static str,
    },
    /// A TLV that carries no command.
    #[error("TLV {tag:02X}, {name}, is no command; a batch carries C-APDUs (22) only")]
    Tag {
        /// Its tag.
        tag: u8,
        /// Its name in ETSI TS 101 220.
        name: &'static str,
    },
    /// A length that is not one of BER in at most four bytes, or not definite.
    #[error("a length is malformed")]
    Length,
    /// A TLV that ends behind the input or its template.
    #[error("a TLV says {claimed} bytes, {present} follow")]
    Cut {
        /// Bytes that its length claims.
        claimed: usize,
        /// Bytes there.
        present: usize,
    },
    /// The template of indefinite length does not end.
    #[error("the template of indefinite length (AE) does not end with 00 00")]
    EndMissing,
    /// Bytes behind the template.
    #[error("bytes follow the template")]
    Trailing,
    /// A word that is no command of GPShell.
    #[error("{0} is no command of GPShell that is known here")]
    UnknownCommand(String),
    /// A command of GPShell that cannot be in a batch.
    #[error("{command} cannot be in a batch: {why}")]
    NotForBatch {
        /// The command.
        command: &'static str,
        /// Why.
        why: &'static str,
    },
    /// An option that GPShell does not have.
    #[error("{0} is no option of GPShell that is known here")]
    UnknownOption(String),
    /// An option without, or with a wrong value.
    #[error("option {option} needs {needs}")]
    OptionValue {
        /// The option.
        option: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// An environment variable.
    #[error("the script takes a value from the environment, with ${{...}}")]
    Variable,
    /// A quote that does not end in its line.
    #[error("a quote does not end in its line")]
    Quote,
    /// An AID.
    #[error("option {option}: {error}")]
    Aid {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        error: AidError,
    },
    /// A CAP file that the script names, or what is asked of it.
    #[error("{0}")]
    Cap(String),
    /// A command with more data than a short APDU has.
    #[error("the command would have {0} data bytes, 255 is the most")]
    TooLong(usize),
}

impl ScriptReason {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            ScriptReason::Batch => "'smcardctl inspect' shows it, 'smcardctl export' makes a list of it",
            ScriptReason::CapFile => "'smcardctl pack' makes a batch of a CAP file",
            ScriptReason::NotText | ScriptReason::Template { .. } => "check which file it is, or name its --format",
            ScriptReason::NotApdu | ScriptReason::Apdu(_) | ScriptReason::StatusWord => {
                "one APDU a line, in hexadecimal; '#', '//' and ';' begin a comment"
            }
            ScriptReason::Direct => "'smcardctl pack' without --direct makes LOAD commands of any interface",
            ScriptReason::Expected(_) => "remove the command, or what is expected of it",
            ScriptReason::Tag { .. } => "remove it from the template",
            ScriptReason::Length | ScriptReason::Cut { .. } | ScriptReason::EndMissing | ScriptReason::Trailing => {
                "make or copy the template again"
            }
            ScriptReason::UnknownCommand(_) | ScriptReason::UnknownOption(_) => "correct it, or name another --format",
            ScriptReason::NotForBatch { .. } => "remove the line",
            ScriptReason::Variable => "write the value into the script",
            ScriptReason::OptionValue { .. } | ScriptReason::Quote | ScriptReason::Aid { .. } => "correct the line",
            ScriptReason::Cap(_) => "correct the line or its CAP file",
            ScriptReason::TooLong(_) => "shorten its parameters",
        }
    }
}
