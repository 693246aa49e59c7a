//! An emulated secure memory card. (Contract to follow with the card manager.)
#![forbid(unsafe_code)]

pub mod scp03;
