//! How the program ends: stable exit codes, and the one line that says what went wrong.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use smcard_ioctl::ClientError;

/// The exit codes. They are a promise to scripts; a new reason gets a new code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// The card said no, or is busy.
    Refused = 1,
    /// Wrong use of the program.
    Usage = 2,
    /// The link, the card or the system failed.
    Gone = 3,
    /// Not permitted.
    NotPermitted = 4,
    /// A file given to the program is not what it must be.
    BadInput = 5,
}

/// Ended by Ctrl-C while waiting: 128 + SIGINT, as shells count.
pub(crate) const INTERRUPTED: i32 = 130;

/// Why a command did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What was being done.
    pub(crate) what: String,
    /// What went wrong.
    pub(crate) why: String,
    /// What to do about it; may be empty.
    pub(crate) advice: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: why.into(), advice: advice.into() }
    }

    /// A file or folder that cannot be read or written.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        let (exit, advice) = match error.kind() {
            io::ErrorKind::PermissionDenied => (Exit::NotPermitted, "ask for the right to it"),
            io::ErrorKind::NotFound => (Exit::BadInput, "check the name"),
            io::ErrorKind::AlreadyExists => (Exit::BadInput, "choose another name"),
            io::ErrorKind::StorageFull => (Exit::Gone, "make room there; on a card, remove batches or applications"),
            io::ErrorKind::ResourceBusy => (Exit::Refused, "on a card, 'smcardctl wait' waits for the end of an issue"),
            _ => (Exit::Gone, ""),
        };
        Self::new(exit, printable(&path.to_string_lossy()), system(error), advice)
    }

    /// A call to the control file that failed; `what` is the command.
    pub(crate) fn client(what: &str, error: &ClientError) -> Self {
        let (exit, advice) = match error {
            ClientError::NotACard { .. } => {
                (Exit::Gone, "mount a card there with smcardd, or name its folder with --card")
            }
            ClientError::NotPermitted { .. } => {
                (Exit::NotPermitted, "operators are those who may write the control file")
            }
            ClientError::Gone { .. } => (Exit::Gone, "check that the card is there and smcardd runs"),
            ClientError::Busy { .. } => (Exit::Refused, "try again when it has ended; 'smcardctl reset' ends it"),
            ClientError::Usage { source, .. } if source.kind() == io::ErrorKind::Unsupported => {
                (Exit::Refused, "smcardd or its card cannot do this: it has no keys, or takes short APDUs only")
            }
            ClientError::Value { .. } | ClientError::Usage { .. } => (Exit::Usage, "see 'smcardctl --help'"),
            ClientError::Version { .. } | ClientError::Answer { .. } => {
                (Exit::Gone, "install smcardctl and smcardd of the same version")
            }
            _ => (Exit::Gone, "'smcardctl status' shows the card"),
        };
        let why = match error {
            ClientError::NotACard { path, source } => {
                let path = printable(&path.to_string_lossy());
                format!("{path} is not the control file of a mounted card ({})", system(source))
            }
            ClientError::NotPermitted { .. } => "not permitted".to_owned(),
            ClientError::Busy { .. } => "another program is in a dialogue with the card".to_owned(),
            ClientError::Gone { source, .. } => format!("the card is gone ({})", system(source)),
            ClientError::Usage { source, .. } => format!("smcardd refuses the request ({})", system(source)),
            ClientError::Io { source, .. } => system(source),
            other => other.to_string(),
        };
        Self::new(exit, what, why, advice)
    }

    /// `what: why; advice`, on one line.
    pub(crate) fn line(&self) -> String {
        let advice = if self.advice.is_empty() { String::new() } else { format!("; {}", self.advice) };
        format!("{}: {}{advice}", self.what, self.why)
    }

    /// Tells the failure: one line on stderr, or one object on stdout.
    pub(crate) fn tell(&self, json: bool) {
        #[derive(Serialize)]
        struct Error<'a> {
            what: &'a str,
            why: &'a str,
            advice: &'a str,
            exit: u8,
        }
        #[derive(Serialize)]
        struct Object<'a> {
            error: Error<'a>,
        }
        let Self { exit, what, why, advice } = self;
        // Nobody is left to be told where even this cannot be written.
        let _ = if json {
            let object = Object { error: Error { what, why, advice, exit: *exit as u8 } };
            serde_json::to_string(&object).map_err(io::Error::from).and_then(|line| writeln!(io::stdout(), "{line}"))
        } else {
            writeln!(io::stderr(), "smcardctl: {}", self.line())
        };
    }
}

/// An error of the system in words, without the number that the words replace.
pub(crate) fn system(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.rsplit_once(" (os error ")) {
        (Some(_), Some((words, _))) => words.to_owned(),
        _ => text,
    }
}

/// A text from a card or a file system, fit for a terminal: control characters are escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::new(Exit::Gone, "status", "no card", "mount one");
        assert_eq!(failure.line(), "status: no card; mount one");
        let failure = Failure::new(Exit::Gone, "status", "no card", "");
        assert_eq!(failure.line(), "status: no card");
    }

    #[test]
    fn errors_end_with_the_documented_codes() {
        let exit = |error: ClientError| Failure::client("x", &error).exit as u8;
        let os = io::Error::from_raw_os_error;
        assert_eq!(exit(ClientError::Busy { operation: "START" }), 1);
        assert_eq!(exit(ClientError::Usage { operation: "START", source: os(22) }), 2);
        assert_eq!(exit(ClientError::Gone { operation: "START", source: os(19) }), 3);
        assert_eq!(exit(ClientError::NotACard { path: "x".into(), source: os(2) }), 3);
        assert_eq!(exit(ClientError::NotPermitted { operation: "START" }), 4);
        assert_eq!(Failure::file(Path::new("x"), &os(2)).exit as u8, 5);
        assert_eq!(Failure::file(Path::new("x"), &os(13)).exit as u8, 4);
        assert_eq!(Failure::file(Path::new("x"), &os(16)).exit as u8, 1);
        assert_eq!(Failure::file(Path::new("x"), &os(28)).exit as u8, 3);
    }

    #[test]
    fn a_missing_capability_is_a_refusal_and_says_why() {
        let source = io::Error::from(io::ErrorKind::Unsupported);
        let failure = Failure::client("authenticate", &ClientError::Usage { operation: "AUTHENTICATE", source });
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.line().contains("no keys"), "{}", failure.line());
    }

    #[test]
    fn system_errors_are_words() {
        let error = ClientError::Gone { operation: "START", source: io::Error::from_raw_os_error(19) };
        assert!(Failure::client("start", &error).line().starts_with("start: the card is gone (No such device); "));
        assert_eq!(system(&io::Error::other("own (os error 1)")), "own (os error 1)");
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable("Grüße"), "Grüße");
    }
}
