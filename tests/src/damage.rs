//! Batches with something wrong in them, one for each way.

use smcard_batch::format::{BODY_OFFSET, checksum};
use smcard_batch::{Batch, BatchBuilder, CommandApdu, Fault, Reason};

/// A damaged batch.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What is wrong, and where.
    pub fault: Fault,
}

/// One batch for each fault class that bytes of a whole file can have. [`Reason::HeaderCut`] and [`Reason::BodyCut`] are
/// missing: a file that is too short is found by its close, not by its bytes. [`Reason::TooLong`] is missing: it takes
/// 4 GiB.
///
/// # Panics
/// If the parser finds another fault than the one put in.
#[must_use]
pub fn all() -> Vec<Damaged> {
    let mut list = Vec::new();
    let mut add = |reason: Reason, bytes: Vec<u8>| {
        let fault = Batch::parse(&bytes).unwrap_err();
        assert_eq!(fault.reason, reason);
        list.push(Damaged { bytes, fault });
    };
    let whole = sample(true);
    let header = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        bytes
    };
    add(Reason::Magic, header(3, b'X'));
    add(Reason::Version, header(4, 9));
    add(Reason::Flags, header(5, 0x81));
    add(Reason::Reserved, header(7, 1));
    add(Reason::Trailing, [&whole[..], &[0]].concat());
    add(Reason::Checksum, header(whole.len() - 1, 0x55));
    // Body: count (4) | recovery length (2) | pairs of number (4) and offset (4) | commands.
    add(Reason::RecoveryCut, body(&whole, 4, &[0xFF, 0xF8]));
    add(Reason::RecoveryLength, body(&whole, 4, &[0, 15]));
    add(Reason::RecoveryNumber, body(&whole, 14, &9_u32.to_be_bytes()));
    add(Reason::RecoveryOffset, body(&whole, 18, &[0, 0, 0, 1]));
    let plain = sample(false);
    add(Reason::CommandCut, body(&plain, 4, &u32::MAX.to_be_bytes()));
    // Lc says five bytes, two follow.
    add(Reason::CommandForm, body(&plain, 12, &[5]));
    add(Reason::CommandTrailing, body(&plain, 0, &1_u32.to_be_bytes()));
    list
}

/// A batch of two commands, the second with a recovery point where they are wanted.
fn sample(recovery: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    let point = |builder: &mut BatchBuilder| {
        if recovery {
            builder.recovery_point();
        }
    };
    point(&mut builder);
    builder.push(&CommandApdu::new(0x80, 0xE2, 0x00, 0x00, &[1, 2])).unwrap();
    point(&mut builder);
    builder.push(&CommandApdu::new(0x80, 0xE2, 0x80, 0x01, &[3, 4])).unwrap();
    builder.finish().unwrap()
}

/// `batch` with other bytes at an offset of its body, and the checksum to match.
fn body(batch: &[u8], at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = batch.to_vec();
    bytes[BODY_OFFSET + at..][..patch.len()].copy_from_slice(patch);
    let sum = checksum(&bytes[BODY_OFFSET..]).to_be_bytes();
    bytes[12..16].copy_from_slice(&sum);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_that_can_be_told_has_its_batch() {
        let told: Vec<Reason> = all().iter().map(|damaged| damaged.fault.reason).collect();
        for reason in Reason::ALL {
            let elsewhere = matches!(reason, Reason::HeaderCut | Reason::BodyCut | Reason::TooLong);
            assert!(elsewhere || told.contains(reason), "{reason:?}");
        }
    }
}
