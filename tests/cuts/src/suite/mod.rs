//! The suites.

pub mod create;
pub mod cuts;
pub mod errors;
pub mod random;
pub mod sabotage;
