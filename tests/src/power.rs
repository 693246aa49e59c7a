//! A card whose power goes at chosen commands of an issue, under the real daemon, and what the daemon's log tells of it.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;
use smcard_batch::Batch;

use crate::mounted::Mounted;
use crate::setup::Setup;

/// Name of the batch in the store.
pub const NAME: &str = "app.batch";
/// What the daemon's log says of each run of the card issuer, before the number of its first command.
const RUN: &str = "with the authority of key version 30, command ";

/// A card that is new for each issue of one batch.
#[derive(Debug)]
pub struct Stage {
    card: Mounted,
    image: Vec<u8>,
    batch: Vec<u8>,
    total: u32,
}

/// An issue in spite of power cuts.
#[derive(Debug)]
pub struct Story {
    /// What `smcardctl start --json` has printed.
    pub outcome: Value,
    /// The number of the first command of each run of the issuer, the first being 1.
    pub runs: Vec<u32>,
    /// Commands given beyond those that an undisturbed issue takes.
    pub repeated: u32,
    /// Exchanges with the card from START to the end, questions included.
    pub exchanges: u64,
}

impl Stage {
    /// Makes a card.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn new(recovery: &'static str, size: &'static str, batch: &[u8]) -> Self {
        let card = Mounted::unmounted(Setup::new().size(size).recovery(recovery));
        let image = fs::read(card.image()).unwrap();
        let total = Batch::parse(batch).unwrap().count();
        Self { card, image, batch: batch.to_vec(), total }
    }

    /// Commands in the batch.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The card, mounted until the next issue.
    #[must_use]
    pub fn card(&self) -> &Mounted {
        &self.card
    }

    /// Copies the batch into the new card and starts it. The power goes as the issuer is about to give the commands
    /// `cuts`, counted over all its runs. `sections` are more of the configuration.
    ///
    /// # Panics
    /// If the card cannot be mounted, or `smcardctl` prints no JSON.
    pub fn issue(&mut self, cuts: &[u32], sections: &str) -> Story {
        if !self.card.mounts().is_empty() {
            self.card.unmount();
        }
        fs::write(self.card.image(), &self.image).unwrap();
        let mut config = String::new();
        writeln!(config, "[emulated]\ncut_at_commands = {cuts:?}\n{sections}").unwrap();
        fs::write(self.card.config(), config).unwrap();
        fs::write(self.card.folder().join("log"), "").unwrap();
        self.card.mount();
        self.card.put(&self.batch, NAME);
        // STATUS of an open file asks nobody, so it is no exchange itself.
        let client = self.card.client();
        let exchanges = || client.status().unwrap().exchanges;
        let at_first = exchanges();
        let outcome = self.card.json(&["start", NAME]);
        let exchanges = exchanges() - at_first;
        let runs = runs(&self.card.log());
        let repeated = repeated(self.total, cuts, &runs);
        Story { outcome, runs, repeated, exchanges }
    }
}

/// The first commands of the issuer's runs, as a log tells them.
fn runs(log: &str) -> Vec<u32> {
    let number = |line: &str| line.split_once(RUN)?.1.split(' ').next()?.parse().ok();
    log.lines().filter_map(number).collect()
}

/// Commands given beyond the `total` of an issue that ended well. Each run but the last has ended at one of the cuts.
fn repeated(total: u32, cuts: &[u32], runs: &[u32]) -> u32 {
    let Some(last) = runs.last() else { return 0 };
    let broken = u32::try_from(runs.len() - 1).unwrap();
    let counted = cuts.iter().max().copied().unwrap_or(0);
    // A command that the power goes at is counted, and not given.
    let given = counted.saturating_sub(broken) + (total + 1 - last);
    given - total
}

/// The first command of the run after a cut at command `cut`, by what a recovery kind promises.
///
/// # Panics
/// If the kind is not known or `batch` is none.
#[must_use]
pub fn expected_run(recovery: &str, batch: &[u8], cut: u32) -> u32 {
    let batch = Batch::parse(batch).unwrap();
    match recovery {
        "restart" => 1,
        "function" if batch.has_recovery() => batch.recovery_point_before(cut).map_or(1, |point| point.command),
        "command" | "function" => cut,
        other => panic!("no recovery {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_commands_are_counted_once_each() {
        // Cut at the fifth of nine: four were given.
        assert_eq!(repeated(9, &[5], &[1, 1]), 4);
        assert_eq!(repeated(9, &[5], &[1, 5]), 0);
        assert_eq!(repeated(9, &[5], &[1, 3]), 2);
        // Then at the next one counted, which is the first of the second run.
        assert_eq!(repeated(9, &[5, 6], &[1, 3, 3]), 2);
        assert_eq!(repeated(9, &[5, 8], &[1, 1, 1]), 6);
        assert_eq!(repeated(9, &[], &[1]), 0);
    }

    #[test]
    fn runs_are_read_from_a_log() {
        let line = |first: u32| format!("smcardd: issue from /issue/a (id 0001) {RUN}{first} of 12\nsmcardd: other\n");
        assert_eq!(runs(&[line(1), line(11)].concat()), [1, 11]);
    }
}
