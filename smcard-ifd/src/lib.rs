//! The IFD handler that pcscd loads to find smcardd's emulated card: a reader whose slot is a Unix socket.
//!
//! ```text
//! /etc/reader.conf.d/smcard:
//! FRIENDLYNAME "smcard"
//! DEVICENAME   /run/smcard/pcsc.sock
//! LIBPATH      /usr/lib/pcsc/drivers/serial/libsmcard_ifd.so
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`abi`] | names and numbers of pcsc-lite's `ifdhandler.h` and `reader.h` |
//! | [`exports`] | the functions pcscd calls; the only ones with pointers |
//! | [`reader`] | one reader: power, commands, time limits, presence |
//! | [`wire`] | messages on the socket |
//! | [`properties`] | what the reader says of itself (PC/SC part 10) |
//!
//! # Preconditions
//!
//! * pcscd keeps the contract of `ifdhandler.h`: pointers are valid for the lengths that go with them, for the duration
//!   of the call. Null pointers are tolerated.
//!
//! # Invariants
//!
//! * No panic crosses the boundary: every export catches it and answers [`abi::IFD_COMMUNICATION_ERROR`].
//! * A response belongs to the command before it. Where one does not come whole and in time, the connection is given
//!   up, so that a late one meets nobody.
//! * At most one connection a reader; presence is looked at without a message, so nothing wakes the card.
//! * Nothing that crosses the socket is logged; buffers are not kept between calls.
//!
//! # Failure model
//!
//! | what happens | answer |
//! |---|---|
//! | no daemon, no card in its slot, or it turned us away | 616 absent |
//! | the card gives no answer: it issues itself, or has been reset elsewhere (`00` on the socket) | 613 time-out |
//! | no whole answer within [`reader::Limits`] | 613 time-out; the connection is closed |
//! | the connection broke in a command | 612 communication error |
//! | a response longer than pcscd's buffer | 618 insufficient buffer |
//!
//! A reader without daemon is a reader without card: pcscd is never kept from starting.

#![deny(unsafe_code)]

pub mod abi;
#[allow(unsafe_code, reason = "the edge to C")]
pub mod exports;
pub mod properties;
pub mod reader;
mod table;
pub mod wire;
