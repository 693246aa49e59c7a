//! The secure command set of the SD Association (ASSD, before it McEX), and what this project adds to it.
//!
//! What is known of ASSD outside the SD Association, what is not, and what was decided here is in `docs/ASSD.md`. Fields
//! are big-endian.

mod card;
mod direct;
mod psi;
mod token;

pub use card::{AssdCard, AssdOptions, OpenError};
pub use direct::{DirectRead, DirectWrite, OPEN_HEAD, WriteState};
pub use psi::{PSI_LENGTH, Properties, Register, SecureState, Status, Version, error};
pub use token::{
    APDU_MAX, BLOCK, CHECKED, CHECKSUM, Checksum, SHORT_TOKEN_APDU_MAX, TOKEN_MIN, TokenError, blocks_of, read_token,
    write_token,
};
