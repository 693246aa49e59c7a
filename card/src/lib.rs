//! An emulated secure memory card: the secure device, with a card manager, a card issuer and a command store.
//!
//! The blocks of the system have one file each, under their own names: the card manager (`manager/`), the card issuer
//! (`issuer`), the command store ([`store`]), the privileged mode manager ([`privilege`]), response judgement and
//! calculation ([`response`]), interruption history and recovery ([`recovery`]), the SD front ([`sd`]). [`EmulatedCard`]
//! plugs the card into the link, with a function call for a cable or onto a bus. Nothing here knows of Linux, FUSE or a terminal.
//!
//! # Preconditions
//!
//! * The medium keeps the contract of [`smcard_flash::Medium`]. One process has it at a time.
//!
//! # Invariants
//!
//! * A command changes the card entirely or not at all. Outside an issue a successful command is durable when its answer
//!   leaves; during an issue changes become durable at the places the recovery kind demands, together with the count.
//! * A file of the command store lies in one piece, is a whole and valid batch, and is never read back by an interface.
//! * A command of a batch is processed where it stands: its data is not copied before the card manager reads it.
//! * From the trigger to the end of the issue no outer interface gets any processing.
//! * What an unfinished or unconfirmed issue has made cannot be selected, and CLEAR brings back exactly what was before.
//! * An issue goes on only where nothing was in hand that the power takes with it; so it ends as if never interrupted.
//!
//! # Failure model
//!
//! * The power may go between any two writes to the medium, and inside one (see `smcard_flash`). At the next power-on the
//!   card holds what it held before a command, or after it.
//! * When the medium fails, the card goes mute ([`smcard_link::LinkError::Mute`]) until it is reset; it is never half alive.
//! * An image that cannot be read in full is refused, and no byte of it changed. A parse failure never resets state.
//!
//! # Secrets
//!
//! Keys and batch contents are never logged and have no `Debug`; keys are zeroized; MACs and cryptograms are compared in
//! constant time.

#![forbid(unsafe_code)]

pub mod applet;
mod device;
mod emulated;
mod interfaces;
mod issuer;
mod manager;
mod memory;
pub mod privilege;
pub mod recording;
pub mod recovery;
mod refusal;
mod registry;
pub mod response;
mod scp;
pub mod scp02;
pub mod scp03;
pub mod sd;
mod settings;
pub mod store;
mod tlv;
mod write_file;

pub use device::{PowerOnError, RuntimeFactory};
pub use emulated::{CreateOptions, EmulatedCard, ImageError, OpenOptions, RandomSource, Scp02Keys};
pub use interfaces::SecondInterface;
pub use privilege::PowerFate;
pub use recording::CommandRecorder;
pub use registry::CARD_MANAGER_AID;
pub use settings::LifeCycle;
