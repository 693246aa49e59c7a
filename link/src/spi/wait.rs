//! Waiting for a card, by the clock.

use super::SpiHost;
use super::trouble::Trouble;
use crate::BusFault;
use crate::sd::{Command, index};
use std::time::Duration;

/// Until data begin where the caller has no opinion (PLSS section 4.6.2.1).
const READ_LIMIT: Duration = Duration::from_millis(100);
/// Busy after a block where the caller has no opinion: 500 ms by PLSS section 4.6.2.2; cards that took 900 are known.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(1);
/// Busy after a command where the caller has no opinion.
pub(super) const BUSY_LIMIT: Duration = Duration::from_secs(1);
/// Shortest and longest gap between two polls of a card that makes its host wait.
const GAP: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(5));

/// Bytes of a look at a busy card, which works whether it is clocked or not.
const LOOK_BUSY: usize = 2;
/// Bytes of a look for data: a part of the time until they begin may be counted in clocks (NSAC of the CSD).
const LOOK_DATA: usize = 64;

/// A wait: small looks in growing number at once, then few bytes each with growing gaps, so that a long wait costs few
/// clocks and adds little to itself.
pub(super) struct Wait {
    since: Duration,
    limit: Duration,
    look: usize,
    rounds: u32,
    over: bool,
}

impl SpiHost {
    /// Begins to wait for data, for `limit` or, where that is zero, for what the specification allows.
    pub(super) fn wait_data(&self, limit: Duration) -> Wait {
        self.wait(limit, READ_LIMIT, LOOK_DATA)
    }

    fn wait(&self, limit: Duration, default: Duration, look: usize) -> Wait {
        let limit = if limit.is_zero() { default } else { limit };
        Wait { since: self.wire.now(), limit, look, rounds: 0, over: false }
    }

    /// Clocks a few bytes more. `Ok(false)`: the time is over, and the card has been looked at since.
    pub(super) fn wait_more(&mut self, wait: &mut Wait) -> Result<bool, Trouble> {
        if wait.over {
            return Ok(false);
        }
        let bytes = match wait.rounds {
            rounds @ 0..4 => 4 << rounds,
            _ => {
                let waited = self.wire.now().saturating_sub(wait.since);
                self.wire.sleep((waited / 8).clamp(GAP.0, GAP.1));
                wait.look
            }
        };
        wait.rounds = wait.rounds.saturating_add(1);
        wait.over = self.wire.now().saturating_sub(wait.since) >= wait.limit;
        self.wire.clock(bytes)?;
        Ok(true)
    }

    /// Waits until the card is no longer busy: a whole byte FF.
    pub(super) fn wait_ready(&mut self, limit: Duration, default: Duration) -> Result<(), Trouble> {
        if self.wire.seek_ones() {
            return Ok(());
        }
        let mut wait = self.wait(limit, default, LOOK_BUSY);
        while self.wait_more(&mut wait)? {
            if self.wire.seek_ones() {
                self.trace.busy(self.wire.now().saturating_sub(wait.since));
                return Ok(());
            }
        }
        self.unsure = true;
        Err(Trouble::unknown(BusFault::BusyTimeout(wait.limit), ""))
    }

    /// Makes sure that the card is ready for a command. Costs nothing where that is known.
    pub(super) fn ready(&mut self) -> Result<(), Trouble> {
        if self.unsure {
            self.wire.select(true)?;
            self.wire.send(&[], 1)?;
            self.wait_ready(Duration::ZERO, BUSY_LIMIT).map_err(|trouble| Trouble {
                taken: crate::Taken::No,
                seen: "the card was busy before the command".into(),
                ..trouble
            })?;
            self.unsure = false;
        }
        if self.checks_in_doubt {
            // What has come for a block cannot be told from a command to a card that waits for no block.
            self.send_good(Command::new(index::CRC_ON_OFF, 1), 0).map_err(|trouble| {
                self.unsure = true;
                Trouble { taken: crate::Taken::No, ..trouble }
            })?;
            self.wire.end()?;
            self.checks_in_doubt = false;
        }
        Ok(())
    }
}

impl Wait {
    /// How long it was allowed to take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }
}
