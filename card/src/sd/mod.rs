//! The SD front: the emulated card down to SD commands and SPI bytes.
//!
//! What is specified, what the field does and what was decided is in `docs/ASSD.md`. [`Profile`] holds the oddities.
//!
//! # Contract
//!
//! * Whatever a host sends, in whatever order, nothing here panics, waits for it, or allocates for it beyond one token (64
//!   KiB) and one answer.
//! * A command or block whose checksum is wrong has no effect.
//! * The secure core works beside the bus ([`Executor`]); while it does, the status register says so and the memory is served.
//! * CMD37, CMD0, and a loss of power break off what the core does, as a loss of power would.
//! * With counted time and an inline executor everything is deterministic.

mod area;
mod commands;

mod direct;
mod engine;
mod executor;
pub mod faults;
mod loss;
mod memory;
mod native;
mod plug;
mod profile;
mod registers;
mod secure;
mod spi;
mod switch;
mod time;
mod transfer;

pub use area::{Area, BLOCK, FileArea, RamArea};
pub use executor::{Executor, Worked};
pub use native::SdCard;
pub use plug::{Inspection, PlugError, SdOptions, SlotHandle};
pub use profile::{BlockLengthCommand, FUNCTION_1, FUNCTION_4, ModeLoss, Profile, PsiLength, SdVersion, WriteTokens};
pub use spi::SpiCard;
pub use time::BusTime;
