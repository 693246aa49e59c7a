//! The ioctl interface of a mounted secure memory card's control file.
//!
//! One file, `control`, in the root of the mount, takes what file operations cannot say: let the card issue itself,
//! send it an APDU, authenticate, reset. This crate is the whole interface: the numbers, the structures, the checks
//! of the daemon's side ([`Request`]) and the safe functions of the client's side ([`Client`]). The C header
//! `include/smcard.h` is made from the same definitions. `docs/ioctl/` has one page for each ioctl.
//!
//! # Contract
//!
//! * **Fixed structures.** Every ioctl is `_IOWR(0xC5, nr, struct)`. A structure has a fixed size, fixed-width fields
//!   at natural alignment, no padding and no pointers; integers are in host byte order, commands and responses are
//!   bytes as on the wire. In a request, `reserved` and the unused part of arrays are zero; answer fields are ignored.
//! * **Head.** Eight bytes begin every structure: `result` (answer), `version` and `flags` (request).
//! * **No ioctl waits.** VERSION, STATUS and RESULT answer at once from the daemon's memory. The others *submit*:
//!   they return a ticket, the card does the work. poll(2) reports `POLLIN` while a finished operation of this open
//!   file has not been fetched; RESULT fetches it. A client that dies in between loses nothing but the answer.
//! * **Tickets.** A ticket belongs to the open file that got it. Operations of all clients run one after the other in
//!   the order of submission. The daemon keeps the last [`TICKETS_MAX`](abi::TICKETS_MAX) operations of an open file;
//!   a submission beyond them drops the oldest fetched one, and where none has been fetched fails with `ENOBUFS`.
//!   RESULT may be asked again for a ticket it keeps. Closing the file forgets its tickets; operations under way end
//!   on their own.
//! * **Long APDUs.** One write(2) hands over one whole command (a later write replaces it); TRANSMIT with
//!   [`TRANSMIT_EXTENDED`](abi::TRANSMIT_EXTENDED) sends and forgets it. After a RESULT with
//!   [`RESULT_MORE`](abi::RESULT_MORE), read(2) gives the whole response from its beginning, then end of file.
//!
//! # Failure model
//!
//! The errno of an ioctl tells usage and transport only. A status word of the card, whatever it says, is a result.
//!
//! | errno | meaning |
//! |---|---|
//! | `ENOTTY` | not an ioctl of the control file, or not the control file |
//! | `EINVAL` | wrong size, version, flag bits or a field's value |
//! | `EACCES` | the file is not open for writing, or the caller is no operator |
//! | `EBUSY` | START while the card issues itself; anything but RESET during another open file's dialogue |
//! | `ENODEV` | the card is gone |
//! | `EAGAIN` | RESULT: the operation runs |
//! | `ENOENT` | RESULT: unknown ticket |
//! | `ENOBUFS` | too many results that nobody fetched |
//! | `ENODATA` | TRANSMIT: nothing was written before |
//! | `EMSGSIZE` | write(2): more than one APDU can have |
//! | `EOPNOTSUPP` | VERSION does not announce the capability |
//!
//! # Units
//!
//! Lengths in bytes, `elapsed_ms` in milliseconds, `nanoseconds` in nanoseconds, counts in commands or exchanges. A
//! status word is the number its two bytes make, the first high (0x9000).

pub mod abi;
mod answer;
mod apdu;
mod client;
mod layout;
pub mod number;
mod request;
pub mod text;
mod value;

pub use answer::{CardStatus, Outcome, UnknownValue, VersionInfo};
pub use apdu::Apdu;
pub use client::{Client, ClientError, ControlFile, Descriptor, Event, Readiness, Ticket};
pub use layout::{FieldLayout, Layout, Structure, WrongSize};
pub use request::{Operation, Request, RequestError, Selector, StartRequest, accepted};
pub use value::{CardState, FailureFormat, OperationKind, OperationState, life_cycle_name};
