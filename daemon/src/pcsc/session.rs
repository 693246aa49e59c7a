//! What a reader asks of the card, from its connection to the end of it: vpcd's protocol, whoever speaks it.
//!
//! | message | meaning | answer |
//! |---|---|---|
//! | `00` | power off | none |
//! | `01`, `02` | power on, reset | none |
//! | `04` | answer to reset | the ATR |
//! | two bytes or more | a command | the response; `00` where the card gives none |
//!
//! A card that gives no answer is one byte, which no response is: vpcd knows no error, waits for an answer forever, and
//! forever for the first byte of an empty one. A card that does not come up is out of the reader: the connection ends.
//!
//! The ATR is the same always and asked for all the time, as a question whether a card is there: it costs the card
//! nothing.

use super::frame::{Frames, Received, Stream};
use super::port::Port;
use smcard_card::SecondInterface;
use smcard_link::LinkError;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// The answer to reset in the form that PC/SC part 3 section 3.1.3.2.3 gives contactless cards, `3B 8n 80 01`: T=1 may be
/// used. The historical bytes are card capabilities (ISO 7816-4 section 12.1.1.9, tag 7): selection by full and partial
/// name, data units of a byte, extended lengths. Last the check byte.
pub const ATR: [u8; 10] = [0x3B, 0x85, 0x80, 0x01, 0x80, 0x73, 0xC0, 0x01, 0x40, 0x76];

/// What stands for an answer where there is none.
const NO_ANSWER: [u8; 1] = [0x00];

const POWER_OFF: u8 = 0x00;
const POWER_ON: u8 = 0x01;
const RESET: u8 = 0x02;
const GET_ATR: u8 = 0x04;

/// What the daemon wants to know of what happens over PC/SC.
pub(super) type News = dyn Fn() + Send + Sync;

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The reader has closed it.
    ByReader,
    /// The card was taken out, has no power, or there was none.
    NoCard,
    /// The daemon is ending.
    Stopped,
}

/// A reader with the card of this port.
struct Session<'a> {
    card: SecondInterface,
    /// False once the card has not come up.
    up: bool,
    news: &'a News,
}

/// Serves a reader until it goes, the card goes, or `stop` is set.
///
/// # Errors
/// The connection broke.
pub(super) fn serve<S: Stream>(
    stream: S,
    port: &Port,
    news: &News,
    stop: &AtomicBool,
    heard: &mut bool,
) -> io::Result<Ended> {
    let Some(card) = port.card() else { return Ok(Ended::NoCard) };
    if card.power_up().is_err() {
        return Ok(Ended::NoCard);
    }
    // A reader that has just come has not given power yet.
    card.power_down();
    let mut session = Session { card, up: true, news };
    let mut frames = Frames::new(stream);
    let ended = loop {
        let answer = match frames.next() {
            Ok(Received::Message(message)) => {
                *heard = true;
                session.answer(message)
            }
            Ok(Received::Nothing) => Answer::Nothing,
            Ok(Received::End) => break Ok(Ended::ByReader),
            Err(error) => break Err(error),
        };
        if stop.load(Ordering::Acquire) {
            break Ok(Ended::Stopped);
        }
        if !session.up || !session.card.is_present() {
            break Ok(Ended::NoCard);
        }
        let sent = match answer {
            Answer::Nothing => Ok(()),
            Answer::Bytes(bytes) => frames.send(&[bytes]),
            Answer::Response(data, sw) => frames.send(&[&data, &sw.to_be_bytes()]),
        };
        if let Err(error) = sent {
            break Err(error);
        }
    };
    session.card.power_down();
    ended
}

enum Answer {
    Nothing,
    Bytes(&'static [u8]),
    Response(Vec<u8>, u16),
}

impl Session<'_> {
    fn answer(&mut self, message: &[u8]) -> Answer {
        match message {
            [POWER_OFF] => self.card.power_down(),
            [POWER_ON | RESET] => self.power_up(),
            [GET_ATR] => return Answer::Bytes(&ATR),
            [control] => log::debug!("PC/SC: control byte {control:02X} is not known"),
            [] => log::debug!("PC/SC: an empty message"),
            command => return self.transmit(command),
        }
        Answer::Nothing
    }

    fn power_up(&mut self) {
        if let Err(error) = self.card.power_up() {
            log::info!("PC/SC: the card does not come up: {error}");
            self.up = false;
        }
    }

    fn transmit(&self, command: &[u8]) -> Answer {
        match self.card.transmit(command) {
            Ok(answer) => {
                if answer.is_success() && may_change_content(command) {
                    (self.news)();
                }
                Answer::Response(answer.data, answer.sw)
            }
            Err(LinkError::NoAnswer(_)) => {
                log::debug!("PC/SC: a command while the card issues itself gets no answer");
                Answer::Bytes(&NO_ANSWER)
            }
            Err(error) => {
                log::debug!("PC/SC: no answer: {error}");
                Answer::Bytes(&NO_ANSWER)
            }
        }
    }
}

/// Commands after which the daemon has to ask the card anew; of a load only the last block.
fn may_change_content(command: &[u8]) -> bool {
    match command {
        [cla, 0xE8, p1, ..] => cla & 0x80 != 0 && p1 & 0x80 != 0,
        [cla, ins, ..] => {
            cla & 0x80 != 0 && matches!(ins, 0x54 | 0x56 | 0x58 | 0x5A | 0x5C | 0x5E | 0xD8 | 0xE2 | 0xE4 | 0xE6 | 0xF0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
