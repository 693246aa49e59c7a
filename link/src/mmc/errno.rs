//! What an errno of the MMC ioctls says. Host drivers differ in it.

use crate::{BusFault, Taken};
use std::io;
use std::time::Duration;

/// What follows the command that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Follows {
    Nothing,
    Busy,
    Read,
    Write,
}

/// What is known beside the errno.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    pub(super) follows: Follows,
    /// The command was done, in part at least; `false`: the ioctl failed before.
    pub(super) begun: bool,
    /// The card has answered it.
    pub(super) answered: bool,
    /// The host is `mmc_spi`, whose good response is zero: "answered" cannot be told.
    pub(super) spi: bool,
    pub(super) limit: Duration,
}

/// A fault, whether the card may have acted, and whether CMD13 can say more.
pub(super) struct Judgement {
    pub(super) fault: BusFault,
    pub(super) taken: Taken,
    pub(super) ask: bool,
}

/// Judges an errno.
pub(super) fn judge(error: io::Error, at: Circumstances) -> Judgement {
    let no = |fault| Judgement { fault, taken: Taken::No, ask: false };
    let unknown = |fault| Judgement { fault, taken: Taken::Unknown, ask: false };
    let Some(errno) = error.raw_os_error() else { return unknown(BusFault::Io(error)) };
    match errno {
        libc::ENODEV | libc::ENOMEDIUM | libc::ENXIO => unknown(BusFault::Removed),
        libc::EPERM | libc::EACCES => no(BusFault::Forbidden(
            "MMC commands need the capability CAP_SYS_RAWIO, and the node of the whole disk (not of a partition)"
                .into(),
        )),
        // mmc_spi: R1 says illegal.
        libc::ENOSYS => no(BusFault::Illegal),
        // mmc_spi: R1 says parameter or address.
        libc::EFAULT if at.spi => no(BusFault::Argument),
        // A reader that filters commands (vub300) refuses those without data and writes, and lets reads run out.
        libc::EINVAL => no(BusFault::Illegal),
        libc::ECONNRESET => no(BusFault::Illegal),
        libc::EOVERFLOW | libc::EBUSY | libc::ENOMEM | libc::EINTR if !at.begun => no(BusFault::Io(error)),
        libc::ETIMEDOUT | libc::EIO | libc::EILSEQ if at.spi => match (at.follows, errno) {
            (Follows::Write, libc::EILSEQ) => no(BusFault::BlockCrc),
            (Follows::Write, _) => unknown(BusFault::BlockUnclear),
            (Follows::Read, libc::EILSEQ) => unknown(BusFault::DataCrc),
            (Follows::Read, libc::ETIMEDOUT) => unknown(BusFault::DataTimeout(at.limit)),
            (Follows::Busy, libc::ETIMEDOUT) => unknown(BusFault::BusyTimeout(at.limit)),
            (_, libc::ETIMEDOUT) => unknown(BusFault::NoResponse),
            (_, libc::EILSEQ) => no(BusFault::CommandCrc),
            _ => unknown(BusFault::Card),
        },
        libc::ETIMEDOUT | libc::EIO | libc::EILSEQ if !at.answered => {
            // Without a response the host sends no data.
            let taken = if at.follows == Follows::Write { Taken::No } else { Taken::Unknown };
            Judgement { fault: BusFault::NoResponse, taken, ask: true }
        }
        libc::ETIMEDOUT => match at.follows {
            Follows::Read => unknown(BusFault::DataTimeout(at.limit)),
            Follows::Write | Follows::Busy => unknown(BusFault::BusyTimeout(at.limit)),
            Follows::Nothing => unknown(BusFault::NoResponse),
        },
        libc::EILSEQ => match at.follows {
            Follows::Write => no(BusFault::BlockCrc),
            Follows::Read => unknown(BusFault::DataCrc),
            Follows::Nothing | Follows::Busy => unknown(BusFault::NoResponse),
        },
        libc::EIO => match at.follows {
            Follows::Write => unknown(BusFault::BlockUnclear),
            _ => unknown(BusFault::Card),
        },
        _ => unknown(BusFault::Io(error)),
    }
}

/// The name of an errno, for people; the number where it has none here.
pub(super) fn name(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(libc::ETIMEDOUT) => "ETIMEDOUT",
        Some(libc::EIO) => "EIO",
        Some(libc::EILSEQ) => "EILSEQ",
        Some(libc::EINVAL) => "EINVAL",
        Some(libc::ENOSYS) => "ENOSYS",
        Some(libc::EFAULT) => "EFAULT",
        Some(libc::ECONNRESET) => "ECONNRESET",
        Some(libc::ENODEV) => "ENODEV",
        Some(libc::ENOMEDIUM) => "ENOMEDIUM",
        Some(libc::EPERM) => "EPERM",
        Some(libc::EACCES) => "EACCES",
        Some(libc::EOVERFLOW) => "EOVERFLOW",
        Some(libc::EBUSY) => "EBUSY",
        Some(other) => return format!("errno {other}"),
        None => return error.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(errno: i32, follows: Follows, answered: bool, spi: bool) -> (BusFault, Taken, bool) {
        let at = Circumstances { follows, begun: true, answered, spi, limit: Duration::from_millis(500) };
        let Judgement { fault, taken, ask } = judge(io::Error::from_raw_os_error(errno), at);
        (fault, taken, ask)
    }

    /// What four host drivers make of a card that refuses a command: sdhci, rtsx_usb_sdmmc, vub300, mmc_spi.
    #[test]
    fn a_refused_command_is_told_whatever_the_host_driver_makes_of_it() {
        use Follows::{Nothing, Read, Write};
        for follows in [Nothing, Read, Write] {
            for errno in [libc::ETIMEDOUT, libc::EIO] {
                let (fault, _, ask) = judged(errno, follows, false, false);
                assert!(matches!(fault, BusFault::NoResponse) && ask, "{errno} {follows:?}");
            }
        }
        for (errno, follows, spi) in
            [(libc::EINVAL, Write, false), (libc::ECONNRESET, Read, false), (libc::ENOSYS, Write, true)]
        {
            let (fault, taken, ask) = judged(errno, follows, false, spi);
            assert!(matches!(fault, BusFault::Illegal) && taken == Taken::No && !ask, "{errno}");
        }
    }

    #[test]
    fn what_the_card_has_answered_is_not_taken_for_unanswered() {
        use Follows::{Busy, Read, Write};
        assert!(matches!(
            judged(libc::ETIMEDOUT, Read, true, false),
            (BusFault::DataTimeout(_), Taken::Unknown, false)
        ));
        assert!(matches!(judged(libc::EILSEQ, Read, true, false), (BusFault::DataCrc, Taken::Unknown, false)));
        assert!(matches!(
            judged(libc::ETIMEDOUT, Write, true, false),
            (BusFault::BusyTimeout(_), Taken::Unknown, false)
        ));
        assert!(matches!(judged(libc::EILSEQ, Write, true, false), (BusFault::BlockCrc, Taken::No, false)));
        assert!(matches!(
            judged(libc::ETIMEDOUT, Busy, true, false),
            (BusFault::BusyTimeout(_), Taken::Unknown, false)
        ));
        // Without a response no data went.
        assert!(matches!(judged(libc::ETIMEDOUT, Write, false, false), (BusFault::NoResponse, Taken::No, true)));
        // On mmc_spi that cannot be told.
        assert!(matches!(judged(libc::ETIMEDOUT, Write, false, true), (BusFault::BlockUnclear, Taken::Unknown, false)));
    }

    #[test]
    fn cards_that_are_gone_and_rights_that_are_missing_are_told() {
        for errno in [libc::ENODEV, libc::ENOMEDIUM] {
            assert!(matches!(judged(errno, Follows::Read, false, false).0, BusFault::Removed));
        }
        let (fault, taken, _) = judged(libc::EPERM, Follows::Read, false, false);
        assert!(fault.to_string().contains("CAP_SYS_RAWIO") && taken == Taken::No);
        assert_eq!(name(&io::Error::from_raw_os_error(libc::EOVERFLOW)), "EOVERFLOW");
        assert_eq!(name(&io::Error::from_raw_os_error(9999)), "errno 9999");
    }
}
