//! vfio-user: a PCI device served over a socket, as QEMU's `vfio-user-pci` speaks it (the vfio-user protocol
//! specification of the QEMU project, version 0.0, and the structures of `linux/vfio.h` that it carries).
//!
//! The side that is served here is the small one: version, device, region and interrupt information, region accesses,
//! memory maps, interrupt set-up, reset. The crate `vfio_user` would have done that too, but its server owns the thread
//! while it waits for the next message (timers and hot plug need it), allocates what a message says, and ends in a panic at
//! a version message that is not text.
//!
//! # Contract
//!
//! * The peer is the virtual machine monitor; it is not trusted further than a file it opened: every length is checked
//!   before it is used, at most [`message::BODY_MAX`] bytes and [`dma::MAPS_MAX`] maps are kept for it, and what breaks the
//!   framing ends the connection. A request that makes no sense gets an error number and changes nothing.
//! * The guest's memory is reached by reading and writing the files the monitor passed, never by mapping them: a file that
//!   is cut short gives an error there, where a mapping would end the process with a signal.
//! * All is little-endian: both ends run on one machine, and what has no little-endian machine has no QEMU with this.

pub mod connection;
pub mod dma;
pub mod interrupt;
pub mod message;
pub mod session;

pub use session::Session;
