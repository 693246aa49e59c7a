//! What stands between a guesser and the keys: sequence counters, the try counter and its back-off.
//!
//! None of it belongs to the command in hand or to an issue. Each change is committed by itself and at once, so that no
//! failure, power cut or CLEAR brings a counter back.

use super::Manager;
use crate::memory::Kind;
use crate::refusal::{Refusal, refuse};
use crate::scp::keyset::KeyType;
use smcard_batch::StatusWord;
use smcard_flash::{Changes, Record};
use std::time::{Duration, Instant};

/// Failed authentications in a row that block a key set.
pub(super) const TRIES: u8 = 32;
/// So many of them cost no time.
const FREE_TRIES: u8 = 4;
/// The waiting time doubles so often.
const DOUBLINGS: u32 = 6;

/// When a key set may be tried again: time since the last failure, or since power-on, which is never earlier.
pub(super) struct BackOff {
    unit: Duration,
    since: Instant,
}

impl BackOff {
    pub(super) fn new(unit: Duration) -> Self {
        BackOff { unit, since: Instant::now() }
    }

    /// What is left to wait after so many failures in a row.
    fn left(&self, failures: u8) -> Duration {
        let Some(over) = failures.checked_sub(FREE_TRIES).filter(|over| *over > 0) else { return Duration::ZERO };
        let doublings = u32::from(over - 1).min(DOUBLINGS);
        self.unit.saturating_mul(1 << doublings).saturating_sub(self.since.elapsed())
    }
}

impl Manager {
    /// Whether the key set may be tried now.
    ///
    /// # Errors
    /// 6983 where it has been tried too often for good, 6985 while it rests.
    pub(super) fn may_try(&self, key_version: u8) -> Result<(), Refusal> {
        let failures = self.failures(key_version);
        if failures >= TRIES {
            log::warn!("key set {key_version:02X} is blocked: {failures} failed authentications in a row");
            return refuse(StatusWord::METHOD_BLOCKED);
        }
        let left = self.back_off.left(failures);
        if left.is_zero() {
            return Ok(());
        }
        log::info!("key set {key_version:02X} rests for {left:.1?} after {failures} failed authentications in a row");
        refuse(StatusWord::CONDITIONS_NOT_SATISFIED)
    }

    /// Takes a try away, durable, before anything is checked: cutting the power gives none back.
    pub(super) fn count_try(&mut self, key_version: u8) -> Result<(), Refusal> {
        let failures = self.failures(key_version).saturating_add(1);
        if failures > TRIES {
            return refuse(StatusWord::METHOD_BLOCKED);
        }
        self.back_off.since = Instant::now();
        let mut changes = Changes::new();
        let record = Record { bytes: vec![failures], extent: None };
        changes.put(Kind::Failures.key(u32::from(key_version)), record);
        Ok(self.memory.flash_mut().commit(changes)?)
    }

    /// The host has proved the keys: all tries are there again. `counts` moves the sequence counter on.
    pub(super) fn proved(&mut self, key_version: u8, counts: bool) -> Result<(), Refusal> {
        let mut changes = Changes::new();
        changes.delete(Kind::Failures.key(u32::from(key_version)));
        if counts {
            let next = self.sequence(key_version).saturating_add(1);
            changes.put(Kind::Sequence.key(u32::from(key_version)), counter_record(next));
        }
        Ok(self.memory.flash_mut().commit(changes)?)
    }

    fn failures(&self, key_version: u8) -> u8 {
        let record = self.memory.flash().get(Kind::Failures.key(u32::from(key_version)));
        // A record that says nothing is one of a blocked key set.
        record.map_or(0, |record| record.bytes.first().copied().unwrap_or(TRIES))
    }

    /// The sequence counter of a key set; 0 for one that has never been used.
    pub(super) fn sequence(&self, key_version: u8) -> u32 {
        let record = self.memory.flash().get(Kind::Sequence.key(u32::from(key_version)));
        record.map_or(0, |record| record.bytes.iter().fold(0, |count, byte| count << 8 | u32::from(*byte)))
    }

    /// Counts the sequence counter up before it is used, durable at once (Amendment D section 6.2.2.1).
    ///
    /// # Errors
    /// 6985 where it has come to its end: the key set is spent.
    pub(super) fn next_sequence(&mut self, key_version: u8) -> Result<[u8; 3], Refusal> {
        let next = self.unspent_sequence(key_version, KeyType::Aes)?.saturating_add(1);
        let mut changes = Changes::new();
        changes.put(Kind::Sequence.key(u32::from(key_version)), counter_record(next));
        self.memory.flash_mut().commit(changes)?;
        let [_, a, b, c] = next.to_be_bytes();
        Ok([a, b, c])
    }

    /// The sequence counter of a key set, where it is not at its end (FFFFFF for SCP03, FFFF for SCP02).
    ///
    /// # Errors
    /// 6985.
    pub(super) fn unspent_sequence(&self, key_version: u8, kind: KeyType) -> Result<u32, Refusal> {
        let count = self.sequence(key_version);
        let end = match kind {
            KeyType::Aes => 0x00FF_FFFF,
            KeyType::Des => 0xFFFF,
        };
        if count >= end {
            log::warn!("key set {key_version:02X} is spent: its sequence counter is at its end");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        Ok(count)
    }
}

/// The record of a sequence counter, three bytes for either protocol.
pub(super) fn counter_record(count: u32) -> Record {
    let [_, a, b, c] = count.to_be_bytes();
    Record { bytes: vec![a, b, c], extent: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_64_units() {
        let resting = BackOff::new(Duration::from_secs(3600));
        for (failures, hours) in [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (10, 32), (11, 64), (12, 64), (31, 64)] {
            let left = resting.left(failures);
            let full = Duration::from_secs(3600 * hours);
            assert!(left <= full && left + Duration::from_secs(60) >= full, "{failures} failures: {left:?}");
        }
        assert_eq!(BackOff::new(Duration::ZERO).left(31), Duration::ZERO);
    }
}
