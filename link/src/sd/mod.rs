//! Wire formats of SD cards: what a host and a card both have to read and write.
//!
//! Sources: SD Specifications Part 1, Physical Layer Simplified Specification 4.10 ("PLSS"). Multi-byte fields are
//! big-endian, as on the wire. Everything here is a value or a view; nothing waits and nothing is sent.

mod command;
mod crc;
mod registers;
mod response;
mod switch;
mod token;

pub use command::{Command, Frame, FrameError, Kind, ResponseKind, index};
pub use crc::{crc7, crc16};
pub use registers::{Capacity, Cid, Csd, Ocr, Scr, cid_text};
pub use response::{CardState, CardStatus, R1, R2};
pub use switch::{Function, NOT_POSSIBLE, SwitchArgument, SwitchStatus};
pub use token::{DataResponse, ErrorToken, START_BLOCK, START_MULTI, STOP_MULTI};
