//! An SD host controller with one slot, as the SD Host Controller Simplified Specification 2.00 describes it: PIO and
//! ADMA2, 1 and 4 bits, default and high speed, 3.3 V, card detection.
//!
//! It is pure: a guest's register accesses go in at one side, an [`SdBus`](smcard_link::SdBus) hangs at the other, the guest's memory is a
//! trait and time is an argument. What a real driver sees of it is an interrupt line and registers.
//!
//! # Contract
//!
//! * **A register access never waits.** A command is sent to the card at once; data moves in [`Device::step`](crate::Device::step), which
//!   the owner calls after each access and when the time it names has come.
//! * **Nothing the guest writes can break it**: no panic, no endless walk through descriptors, no allocation beyond one
//!   block (4095 bytes), no memory access outside of what [`GuestMemory`](crate::GuestMemory) reaches.
//! * **Time limits are the guest's**: a card that is not ready within the data timeout register's time ends the transfer
//!   with a data timeout, by the clock given to `step`. Commands have no time limit: a card answers at once or never.
//! * What the specification leaves to the driver stays with the driver: a card that is pulled out ends a transfer by its
//!   time limit, while the removal interrupt comes at once.

mod access;
mod adma;
mod controller;
mod interrupts;
mod registers;
mod send;
mod slot;
mod transfer;

pub use controller::Controller;

#[cfg(test)]
mod card_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
