//! What a command prints: the same facts as text or as JSON.

use std::io::{self, Write};

use serde::Serialize;

use crate::exit::{Exit, Failure};

/// What a command has to say. Serialised it is the JSON twin of the text.
pub(crate) trait Report: Serialize {
    /// Writes the text.
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// Where reports go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
}

impl Output {
    /// Prints a report on stdout. A reader that has gone away is no error: it has read what it wanted.
    pub(crate) fn show(self, report: &impl Report) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        let made = if self.json {
            serde_json::to_writer(&mut bytes, report).map_err(io::Error::from).and_then(|()| writeln!(bytes))
        } else {
            report.text(&mut bytes)
        };
        made.and_then(|()| print(&bytes)).map_err(|error| Failure::file("standard output".as_ref(), &error))
    }

    /// Prints the report of something the card was asked for. Where it `failed`, text says so in one line on stderr,
    /// JSON in the report itself.
    pub(crate) fn conclude(self, report: &impl Report, failed: Option<Failure>) -> Result<Exit, Failure> {
        match failed {
            Some(failure) if !self.json => Err(failure),
            Some(failure) => self.show(report).map(|()| failure.exit),
            None => self.show(report).map(|()| Exit::Done),
        }
    }
}

/// Writes to stdout; a closed pipe is no error.
pub(crate) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
