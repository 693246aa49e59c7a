//! What a card of silicon takes for its own work, and when a host that polls notices.
//!
//! The times are the default model of smcard's performance figures: what loaders' logs and the JCAlgTest database show.

use smcard_batch::{Batch, CommandApdu};
use smcard_card::scp03::SecurityLevel;
use std::time::Duration;

/// A LOAD block (JCOP4: 44 to 60 ms).
const LOAD: Duration = Duration::from_millis(50);
/// Linking, with the last block (JCOP4: 692 ms).
const LINK: Duration = Duration::from_millis(700);
/// An atomic write of 256 bytes: what every other command of an issue takes, and a commit of recovery.
const ATOMIC: Duration = Duration::from_micros(2_500);
/// A plain write of 256 bytes.
const PLAIN: Duration = Duration::from_micros(900);
/// AES over 256 bytes (Java Card in a microSD).
const AES: Duration = Duration::from_micros(4_700);

/// One command, without its way and without a secure channel.
#[must_use]
pub fn command(apdu: &CommandApdu<'_>) -> Duration {
    match apdu.ins {
        0xE8 if apdu.p1 & 0x80 != 0 => LOAD + LINK,
        0xE8 => LOAD,
        _ => ATOMIC,
    }
}

/// All commands of a batch, and a commit for each recovery point.
#[must_use]
pub fn issue(batch: &Batch<'_>) -> Duration {
    let points = u32::try_from(batch.recovery_points().len()).unwrap_or(u32::MAX);
    batch.commands().map(|numbered| command(&numbered.apdu)).sum::<Duration>() + ATOMIC * points
}

/// A file of this many bytes on its way into the store.
#[must_use]
pub fn stored(bytes: usize) -> Duration {
    per_256(PLAIN, bytes)
}

/// The secure channel's work on a command of `bytes` data and its answer without data.
#[must_use]
pub fn channel(level: SecurityLevel, bytes: usize) -> Duration {
    // CMAC runs over chaining value, header, data; encryption over the counter and the padded data.
    let mac = per_256(AES, 16 + 5 + bytes);
    let enc = per_256(AES, 16 + (bytes + 1).next_multiple_of(16));
    let response = per_256(AES, 16 + 2);
    match level {
        SecurityLevel::AUTHENTICATED => Duration::ZERO,
        SecurityLevel::C_MAC => mac,
        SecurityLevel::C_MAC_C_ENC => mac + enc,
        _ => mac + enc + response,
    }
}

fn per_256(time: Duration, bytes: usize) -> Duration {
    time * u32::try_from(bytes).unwrap_or(u32::MAX) / 256
}

/// What a host that polls pays for work of this length on top of the one look that it takes anyway: the waits (1 ms,
/// growing by half to 16 ms) and a look after each.
#[must_use]
pub fn noticed(work: Duration, look: Duration) -> Duration {
    let (mut passed, mut gap) = (Duration::ZERO, Duration::from_millis(1));
    while passed < work {
        passed += look + gap;
        gap = (gap + gap / 2).min(Duration::from_millis(16));
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_noticed_at_the_first_look_behind_it() {
        let look = Duration::from_micros(100);
        let ms = Duration::from_millis;
        assert_eq!(noticed(Duration::ZERO, look), Duration::ZERO);
        assert_eq!(noticed(Duration::from_micros(50), look), ms(1) + look);
        assert_eq!(noticed(ms(2), look), ms(1) + Duration::from_micros(1_500) + look * 2);
    }

    #[test]
    fn a_load_of_60_kib_takes_what_logs_show() {
        let file = crate::batches::medium().expect("a batch");
        let seconds = issue(&Batch::parse(&file).expect("a batch")).as_secs_f64();
        assert!((12.0..=14.0).contains(&seconds), "{seconds}");
    }
}
