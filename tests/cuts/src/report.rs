//! What a suite did, and what it found.

use std::fmt;
use std::time::Duration;

/// A broken promise with the id under which it is tried again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The id.
    pub id: String,
    /// What broke.
    pub what: String,
}

/// The result of a suite.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its name.
    pub suite: &'static str,
    /// Cases that passed.
    pub passed: u64,
    /// What broke; one for each case.
    pub failures: Vec<Failure>,
    /// Cuts or faults made, in all.
    pub tried: u64,
    /// More figures, in words.
    pub details: String,
    /// Time taken.
    pub time: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "FAILED {}\n  {}", failure.id, failure.what.replace('\n', "\n  "))?;
        }
        let seconds = self.time.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.tried as f64 / seconds.max(1e-6);
        write!(
            f,
            "{:8} {:>4} cases passed, {} failed; {:>9} tried in {seconds:.1} s ({rate:.0}/s){}",
            self.suite,
            self.passed,
            self.failures.len(),
            self.tried,
            self.details
        )
    }
}
