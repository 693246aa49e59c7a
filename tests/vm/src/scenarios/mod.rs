//! What is shown, one file a partner.

mod board;
mod daemon;
mod issue;
mod reader;
mod slot;

use crate::scenario::Scenario;

/// All scenarios, in the order they run.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [reader::ALL, slot::ALL, daemon::ALL, board::ALL].concat()
}
