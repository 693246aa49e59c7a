//! A client that never stops asking, whatever the card is doing.

use crate::card::Card;
use pcsc::Error;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Commands whose answers cannot be taken for each other's: the tag of a data object says which it is.
const QUESTIONS: [[u8; 5]; 3] =
    [[0x80, 0xCA, 0xDF, 0x72, 0x00], [0x80, 0xCA, 0xDF, 0x73, 0x00], [0x80, 0xCA, 0x00, 0x66, 0x00]];

/// How many commands found the card answering, how many did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered.
    pub answers: u64,
    /// Not answered: the card was issuing itself.
    pub silences: u64,
}

/// Asks until standard input ends, then tells the counts.
///
/// # Panics
/// If an answer is not the one to the question before it, or pcscd says something else than that there is none.
pub fn hammer(reader: &str) -> Counts {
    let ended = AtomicBool::new(false);
    let mut counts = Counts::default();
    let card = Card::connect(reader);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            ended.store(true, Ordering::Release);
        });
        for question in QUESTIONS.iter().cycle() {
            if ended.load(Ordering::Acquire) {
                break;
            }
            match card.transmit(question) {
                // What comes over vpcd where the card gives no answer.
                Ok(response) if response == [0x00] => counts.silences += 1,
                Err(Error::NotTransacted) => counts.silences += 1,
                Ok(response) => {
                    counts.answers += 1;
                    assert!(response.ends_with(&[0x90, 0x00]), "{response:02X?} to {question:02X?}");
                    let tag = if question[2] == 0 { &question[3..4] } else { &question[2..4] };
                    assert!(response.starts_with(tag), "{response:02X?} to {question:02X?}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    counts
}
