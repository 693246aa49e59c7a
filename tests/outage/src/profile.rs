//! How long real cards take.
//!
//! The times of a command are those that a terminal *sees*: logs of a widely used loader (GlobalPlatformPro, issues
//! with `-dvi` logs) on real Java Cards. A card that issues itself saves two parts of them, the way over the link and the
//! secure channel's work; those are measured as well, and taken off. So loading one by one costs exactly what was seen.

use smcard_link::RecoveryKind;
use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// An exchange with nothing to do in the card: the shortest that the logs show (SELECT, 15 to 57 ms).
pub(crate) const LINK: Duration = ms(15);
/// The secure channel's work for one command with a MAC (the loader's default level): AES-256 over 256 bytes on a Java
/// Card in a microSD (Feitian JavaSD, JCAlgTest database).
pub(crate) const SECURE_CHANNEL: Duration = Duration::from_micros(4_700);
/// A commit of the recovery kinds that keep count: one atomic write of 256 bytes, RAM to EEPROM, median of 39 cards
/// (JCAlgTest database).
pub(crate) const COMMIT: Duration = Duration::from_micros(2_480);
/// Bytes a second of the direct write: 128 KiB in 0.375 s with the card's busy time (SD cards, ce-atari #100).
const WRITTEN: u64 = 131_072_000 / 375;
/// Bytes a second at which START reads the batch through, to check it: the slower figure for SD blocks at 20 MHz.
const READ: u64 = 778_000;
/// From a break to the first command of the terminal: the card is noticed, powered up, reset. An assumption, the same for
/// every method.
pub(crate) const RECONNECT: Duration = ms(3_000);

/// A LOAD block of about 247 bytes (JCOP4: 44 to 60).
const LOAD: Duration = ms(50);
/// The first one (JCOP4).
const LOAD_FIRST: Duration = ms(104);
/// The last one, which links (JCOP4).
const LOAD_LAST: Duration = ms(692);
/// INSTALL for install: "the last block and INSTALL are the long ones"; taken to be as long as the last block.
const INSTALL: Duration = LOAD_LAST;
/// The middle of 15 to 57.
const SELECT: Duration = ms(36);
/// The middle of 15 to 117; taken for both commands of an authentication.
const AUTHENTICATE: Duration = ms(66);
/// GET STATUS, the middle of 22 to 49; taken for every question.
const QUESTION: Duration = ms(35);

/// Which command it is, as far as its time depends on that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind {
    ins: u8,
    p1: u8,
    p2: u8,
}

impl Kind {
    pub(crate) fn new(ins: u8, p1: u8, p2: u8) -> Self {
        Kind { ins, p1, p2 }
    }

    /// Of the bytes of a command, with or without a secure channel around it.
    pub(crate) fn of(command: &[u8]) -> Self {
        let byte = |at: usize| command.get(at).copied().unwrap_or_default();
        Kind::new(byte(1), byte(2), byte(3))
    }

    /// INSTALL and LOAD: what a batch is made of.
    pub(crate) fn is_content(self) -> bool {
        matches!(self.ins, 0xE6 | 0xE8)
    }

    pub(crate) fn is_start(self) -> bool {
        self.ins == 0x5A
    }

    /// From the terminal's first byte to the card's last one.
    pub(crate) fn seen(self) -> Duration {
        match (self.ins, self.p1, self.p2) {
            (0xE8, p1, _) if p1 & 0x80 != 0 => LOAD_LAST,
            (0xE8, _, 0) => LOAD_FIRST,
            (0xE6, p1, _) if p1 & 0x04 != 0 => INSTALL,
            (0xA4, ..) => SELECT,
            (0x50 | 0x82, ..) => AUTHENTICATE,
            (0xCA | 0xF2, ..) => QUESTION,
            // LOAD, INSTALL for load, DELETE: writes to EEPROM, without linking.
            _ => LOAD,
        }
    }

    /// The card's part of an exchange.
    pub(crate) fn in_exchange(self) -> Duration {
        self.seen() - LINK
    }

    /// As a command of a batch, on a card that recovers like this.
    pub(crate) fn in_batch(self, recovery: RecoveryKind) -> Duration {
        let commits = match recovery {
            RecoveryKind::Restart => false,
            RecoveryKind::Command => true,
            // The recovery points stand before each INSTALL.
            RecoveryKind::Function => self.ins == 0xE6,
        };
        self.seen() - LINK - SECURE_CHANNEL + if commits { COMMIT } else { Duration::ZERO }
    }
}

/// The direct write of this many bytes.
pub(crate) fn writing(bytes: usize) -> Duration {
    at_rate(bytes, WRITTEN)
}

/// START's own check of a batch of this many bytes.
pub(crate) fn checking(bytes: usize) -> Duration {
    at_rate(bytes, READ)
}

fn at_rate(bytes: usize, rate: u64) -> Duration {
    Duration::from_micros(u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000) / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 95 blocks of 23 kB took about 5 s.
    #[test]
    fn a_load_takes_what_the_log_of_a_real_one_says() {
        let blocks = (0..95).map(|n| Kind::new(0xE8, if n == 94 { 0x80 } else { 0 }, n).seen());
        let seconds = blocks.sum::<Duration>().as_secs_f64();
        assert!((4.5..=5.6).contains(&seconds), "{seconds}");
    }

    #[test]
    fn every_part_of_an_exchange_fits_into_it() {
        for ins in 0..=u8::MAX {
            for (p1, p2) in [(0, 0), (0, 1), (0x80, 9), (0x02, 0), (0x0C, 0)] {
                let kind = Kind::new(ins, p1, p2);
                assert!(kind.seen() >= LINK + SECURE_CHANNEL, "{kind:?}");
                assert!(kind.in_batch(RecoveryKind::Command) < kind.seen(), "{kind:?}");
            }
        }
    }

    #[test]
    fn a_wrapped_command_is_told_by_its_instruction() {
        assert_eq!(Kind::of(&[0x84, 0xE8, 0x80, 0x05, 0xFF]), Kind::new(0xE8, 0x80, 5));
        assert_eq!(Kind::of(&[0x80, 0x5A]).seen(), LOAD);
        assert_eq!(writing(131_072), Duration::from_millis(375));
    }
}
