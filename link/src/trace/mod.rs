//! What crosses the wire, in words, for bug reports.
//!
//! A [`Trace`] goes into everything that speaks with a card; it is cheap, and off unless somebody listens. A [`Recorder`]
//! keeps the latest lines. Of payloads only lengths are told, of APDUs the header and the status word: a trace can be
//! given away.
//!
//! # Format
//!
//! One line an event: seconds since the recorder was made, a mark, the text.
//!
//! | mark | event |
//! |---|---|
//! | `>` | a command: number, name, argument, argument in words |
//! | `<` | a response, or data from the card (length only) |
//! | `>>`, `<<` | data to the card and from it: length only |
//! | `=` | a register, decoded |
//! | `C`, `R` | C-APDU: header and lengths; R-APDU: length and status word |
//! | `~` | the card was busy |
//! | `#` | a note: what the driver decided |
//! | `!` | an error |
//!
//! What repeats itself, as polls do, stands once and is followed by a line with the mark `*` that says how often.

mod recorder;
mod words;

pub use recorder::Recorder;
pub use words::argument_in_words;

use crate::sd::Command;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What sort of event a line tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Mark {
    /// A command.
    Command,
    /// A response.
    Response,
    /// Data to the card.
    Sent,
    /// Data from the card.
    Received,
    /// A register.
    Register,
    /// A command APDU.
    CommandApdu,
    /// A response APDU.
    ResponseApdu,
    /// Busy.
    Busy,
    /// What the driver decided.
    Note,
    /// An error.
    Error,
}

impl Mark {
    /// The characters in front of the text.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Mark::Command => ">",
            Mark::Response => "<",
            Mark::Sent => ">>",
            Mark::Received => "<<",
            Mark::Register => "=",
            Mark::CommandApdu => "C",
            Mark::ResponseApdu => "R",
            Mark::Busy => "~",
            Mark::Note => "#",
            Mark::Error => "!",
        }
    }
}

/// Takes the events of a [`Trace`]. It is called from the thread that speaks with the card, and must not wait.
pub trait TraceSink: Send + Sync {
    /// An event.
    fn event(&self, mark: Mark, text: fmt::Arguments<'_>);

    /// A round of commands begins that may repeat the one before it: a poll.
    fn round(&self) {}
}

/// Where the events of a driver go. Clones go to the same place.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<dyn TraceSink>>);

impl Trace {
    /// To nowhere.
    #[must_use]
    pub const fn off() -> Self {
        Trace(None)
    }

    /// To `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn TraceSink>) -> Self {
        Trace(Some(sink))
    }

    /// True where somebody listens.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn event(&self, mark: Mark, text: fmt::Arguments<'_>) {
        if let Some(sink) = &self.0 {
            sink.event(mark, text);
        }
    }

    /// A round of commands begins that may repeat the one before it.
    pub fn round(&self) {
        if let Some(sink) = &self.0 {
            sink.round();
        }
    }

    /// A command, not after CMD55.
    pub fn command(&self, command: Command) {
        self.any_command(command, false);
    }

    /// A command after CMD55.
    pub fn application_command(&self, command: Command) {
        self.any_command(command, true);
    }

    fn any_command(&self, command: Command, application: bool) {
        if self.is_on() {
            let letter = if application { "A" } else { "" };
            let (name, words) = (command.name(application), argument_in_words(command, application));
            let colon = if words.is_empty() { "" } else { ": " };
            self.event(
                Mark::Command,
                format_args!("{letter}CMD{} {name} {:08X}{colon}{words}", command.index, command.argument),
            );
        }
    }

    /// A response: [`crate::sd::R1`], [`crate::sd::R2`], [`crate::sd::CardStatus`], or words.
    pub fn response(&self, response: &dyn fmt::Debug) {
        self.event(Mark::Response, format_args!("{response:?}"));
    }

    /// The content of a register, as its type shows it. Nothing secret stands in registers.
    pub fn register(&self, register: &dyn fmt::Debug) {
        self.event(Mark::Register, format_args!("{register:?}"));
    }

    /// So many bytes went to the card.
    pub fn sent(&self, bytes: usize) {
        self.event(Mark::Sent, format_args!("{bytes} bytes"));
    }

    /// So many bytes came from the card.
    pub fn received(&self, bytes: usize) {
        self.event(Mark::Received, format_args!("{bytes} bytes"));
    }

    /// A command APDU: header and length are told.
    pub fn command_apdu(&self, apdu: &[u8]) {
        if let &[cla, ins, p1, p2, ref rest @ ..] = apdu {
            let lc = rest.first();
            match lc {
                Some(lc) => self.event(
                    Mark::CommandApdu,
                    format_args!("{cla:02X} {ins:02X} {p1:02X} {p2:02X} {lc:02X}, {} bytes", apdu.len()),
                ),
                None => self.event(Mark::CommandApdu, format_args!("{cla:02X} {ins:02X} {p1:02X} {p2:02X}, 4 bytes")),
            }
        } else {
            self.event(Mark::CommandApdu, format_args!("{} bytes, which is no APDU", apdu.len()));
        }
    }

    /// A response APDU: length and status word are told.
    pub fn response_apdu(&self, apdu: &[u8]) {
        match apdu {
            [data @ .., sw1, sw2] => {
                self.event(Mark::ResponseApdu, format_args!("{} bytes, {sw1:02X}{sw2:02X}", data.len()));
            }
            short => self.event(Mark::ResponseApdu, format_args!("{} bytes, which is no APDU", short.len())),
        }
    }

    /// The card was busy for so long.
    pub fn busy(&self, time: Duration) {
        self.event(Mark::Busy, format_args!("busy for {time:?}"));
    }

    /// What the driver decided, and why. Never with data of the card.
    pub fn note(&self, text: fmt::Arguments<'_>) {
        self.event(Mark::Note, text);
    }

    /// An error.
    pub fn error(&self, error: &dyn fmt::Display) {
        self.event(Mark::Error, format_args!("{error}"));
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Trace(on)" } else { "Trace(off)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assd::Status;

    #[test]
    fn events_read_as_words_and_tell_no_payload() {
        let recorder = Arc::new(Recorder::new(100));
        let trace = Trace::new(recorder.clone());
        trace.command(Command::new(36, 4));
        trace.application_command(Command::new(13, 0));
        trace.response(&crate::sd::CardStatus(0x0000_0900));
        trace.register(&Status([0; 32]));
        trace.command_apdu(&[0x80, 0x82, 1, 0, 0x10, 0xAB, 0xEB, 0xAD]);
        trace.command_apdu(&[0xAB]);
        trace.response_apdu(&[0xAB, 0xEB, 0x90, 0x00]);
        trace.sent(512);
        let text = recorder.text();
        assert!(text.contains(">  CMD36 SEND_PSI 00000004: properties register"), "{text}");
        assert!(text.contains(">  ACMD13 SD_STATUS 00000000"), "{text}");
        assert!(text.contains("<  status 00000900 Transfer ready for data"), "{text}");
        assert!(text.contains("=  SR idle, system 0"), "{text}");
        assert!(text.contains("C  80 82 01 00 10, 8 bytes"), "{text}");
        assert!(text.contains("R  2 bytes, 9000") && text.contains(">> 512 bytes"), "{text}");
        assert!(!text.contains("AB") && !text.contains("EB"), "{text}");
    }

    #[test]
    fn a_trace_that_is_off_tells_nothing_and_clones_share_a_sink() {
        let recorder = Arc::new(Recorder::new(10));
        assert!(!Trace::off().is_on() && !Trace::default().is_on());
        Trace::off().note(format_args!("lost"));
        Trace::new(recorder.clone()).clone().note(format_args!("kept"));
        assert_eq!(recorder.lines().len(), 1);
        assert!(recorder.text().contains("#  kept"));
    }
}
