//! What is shown, one file a partner.

mod board;
mod daemon;
mod issue;
mod kernel;

use crate::scenario::Scenario;

/// All scenarios, in the order they run.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [kernel::ALL, daemon::ALL, board::ALL].concat()
}
