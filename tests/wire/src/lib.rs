//! What crosses the wire: the same card on a function call, on SPI and in an SD slot.
//!
//! * [`scenario`]: whole stories over all three cables, with the same answers and the same bytes in the card's flash;
//! * [`cable`], [`line`](mod@line), [`medium`], [`terminal`], [`batches`]: what they are told with;
//! * [`noise`]: bits turned round, lost and doubled; what becomes of a million transfers;
//! * [`removal`]: the card is pulled everywhere;
//! * [`traffic`], [`efficiency`], [`delay`]: what it costs, in clocks; [`throughput`]: in time; [`table`], [`page`]: where that is told.
//!
//! Time is counted, not waited for; the same arguments give the same figures.

#![forbid(unsafe_code)]

pub mod batches;
pub mod cable;
pub mod delay;
pub mod efficiency;
pub mod line;
pub mod medium;
pub mod noise;
pub mod page;
pub mod removal;
pub mod scenario;
pub mod table;
pub mod terminal;
pub mod throughput;
pub mod traffic;
