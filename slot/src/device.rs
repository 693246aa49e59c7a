//! A device behind PCI: what a bus sees of it.

use crate::memory::GuestMemory;
use std::time::Duration;

/// When a device wants to be called again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Not before the host touches a register or something comes from outside.
    Idle,
    /// At once: there is more to do.
    Now,
    /// After this time.
    After(Duration),
}

/// What a device says of itself in its configuration space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// PCI vendor.
    pub vendor: u16,
    /// PCI device.
    pub device: u16,
    /// Base class, subclass, programming interface: the upper three bytes of register 8.
    pub class: [u8; 3],
    /// Revision.
    pub revision: u8,
}

/// A PCI function with one memory region and one interrupt line.
///
/// Register accesses never wait; what takes time is done in [`Device::step`].
pub trait Device {
    /// What it is.
    fn identity(&self) -> Identity;

    /// Bytes of its memory region, a power of two, at least 16.
    fn region_size(&self) -> u64;

    /// Reads registers. What no register has is 0.
    fn read(&mut self, offset: u64, bytes: &mut [u8]);

    /// Writes registers.
    fn write(&mut self, offset: u64, bytes: &[u8]);

    /// As after power-on.
    fn reset(&mut self);

    /// Goes on with what is under way; called after each access and when the last answer's time has come. `now` never
    /// goes back.
    fn step(&mut self, now: Duration, memory: &dyn GuestMemory) -> Pace;

    /// True while the interrupt line is up.
    fn line(&self) -> bool;
}
