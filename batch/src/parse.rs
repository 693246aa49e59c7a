//! Views of a batch: checked once, walked without copying.

use crate::apdu::CommandApdu;
use crate::fault::{Fault, Reason};
use crate::format::{
    BODY_OFFSET, COMMAND_LENGTH_LEN, FLAG_CONFIRM, FLAG_RECOVERY, Header, RECOVERY_PAIR_LEN, RecoveryPoint, checksum,
};
use std::fmt;

/// A batch whose every byte has been checked. Borrows the file, copies nothing.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    header: Header,
    count: u32,
    recovery: &'a [u8],
    body: &'a [u8],
    first: usize,
}

/// One command of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// Its number, the first being 1.
    pub number: u32,
    /// Where its four-byte length stands: bytes from the start of the body.
    pub offset: u32,
    /// The command, its data a slice of the batch itself.
    pub apdu: CommandApdu<'a>,
    raw: &'a [u8],
}

impl<'a> Command<'a> {
    /// The command's bytes as they stand in the batch, without the length before them.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.raw
    }
}

impl<'a> Batch<'a> {
    /// Checks a whole batch file: header, length, checksum, every command and every recovery point. Linear in its length.
    ///
    /// # Errors
    /// The first fault with its offset from the start of the file.
    pub fn parse(file: &'a [u8]) -> Result<Self, Fault> {
        let header = Header::parse(file)?;
        let body = body_of(file, &header)?;
        if checksum(body) != header.body_crc {
            return Err(Fault { offset: 12, reason: Reason::Checksum });
        }
        Self::walk(header, body)
    }

    /// As [`Batch::parse`], for a file whose checksum has already been taken (`body_crc`), as by a card that took it
    /// while the file streamed in.
    ///
    /// # Errors
    /// As [`Batch::parse`].
    pub fn parse_with_checksum(file: &'a [u8], body_crc: u32) -> Result<Self, Fault> {
        let header = Header::parse(file)?;
        let body = body_of(file, &header)?;
        if body_crc != header.body_crc {
            return Err(Fault { offset: 12, reason: Reason::Checksum });
        }
        Self::walk(header, body)
    }

    fn walk(header: Header, body: &'a [u8]) -> Result<Self, Fault> {
        let mut cursor = Cursor { body, at: 0 };
        let count = cursor.u32().ok_or(cursor.fault(Reason::HeaderCut))?;
        let recovery = if header.flags & FLAG_RECOVERY == 0 { &[][..] } else { cursor.recovery()? };
        let first = cursor.at;

        let mut points = recovery.chunks_exact(RECOVERY_PAIR_LEN).map(point).peekable();
        let mut last_point = 0;
        let points_at = first - recovery.len();
        let mut checked = 0;
        let point_fault = |index: usize, reason| {
            let offset = BODY_OFFSET + points_at + index * RECOVERY_PAIR_LEN;
            Fault { offset: u32::try_from(offset).unwrap_or(u32::MAX), reason }
        };
        for number in 1..=count {
            while let Some(next) = points.peek() {
                if next.command <= last_point {
                    return Err(point_fault(checked, Reason::RecoveryNumber));
                }
                if next.command > number {
                    break;
                }
                if usize::try_from(next.offset) != Ok(cursor.at) {
                    return Err(point_fault(checked, Reason::RecoveryOffset));
                }
                last_point = next.command;
                checked += 1;
                points.next();
            }
            cursor.command()?;
        }
        if points.next().is_some() {
            return Err(point_fault(checked, Reason::RecoveryNumber));
        }
        if cursor.at != body.len() {
            return Err(cursor.fault(Reason::CommandTrailing));
        }
        Ok(Batch { header, count, recovery, body, first })
    }

    /// The number of commands.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> Header {
        self.header
    }

    /// True where what the batch installs wants CONFIRM before its first use.
    #[must_use]
    pub fn needs_confirmation(&self) -> bool {
        self.header.flags & FLAG_CONFIRM != 0
    }

    /// True where the batch carries recovery information, even if it names no point.
    #[must_use]
    pub fn has_recovery(&self) -> bool {
        self.header.flags & FLAG_RECOVERY != 0
    }

    /// The recovery points, ascending by command number.
    pub fn recovery_points(&self) -> impl ExactSizeIterator<Item = RecoveryPoint> + use<'a> {
        self.recovery.chunks_exact(RECOVERY_PAIR_LEN).map(point)
    }

    /// The largest recovery point not beyond command `number` (system S7.6). A card asks before each command, so the search
    /// halves.
    #[must_use]
    pub fn recovery_point_before(&self, number: u32) -> Option<RecoveryPoint> {
        let (mut from, mut to) = (0, self.recovery_points().len());
        let mut found = None;
        while from < to {
            let middle = from.midpoint(to);
            match self.recovery_points().nth(middle) {
                Some(point) if point.command <= number => {
                    found = Some(point);
                    from = middle + 1;
                }
                _ => to = middle,
            }
        }
        found
    }

    /// All commands in order.
    #[must_use]
    pub fn commands(&self) -> Commands<'a> {
        Commands { cursor: Cursor { body: self.body, at: self.first }, next: 1, count: self.count }
    }

    /// The commands from a recovery point on.
    #[must_use]
    pub fn commands_from(&self, point: RecoveryPoint) -> Commands<'a> {
        let at = usize::try_from(point.offset).unwrap_or(usize::MAX);
        Commands { cursor: Cursor { body: self.body, at }, next: point.command, count: self.count }
    }
}

impl fmt::Debug for Batch<'_> {
    /// Counts only: the contents are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch of {} commands, {} bytes, ", self.count, self.header.file_len())?;
        write!(f, "{} recovery points", self.recovery_points().len())
    }
}

/// The commands of a checked batch in order.
#[derive(Clone)]
pub struct Commands<'a> {
    cursor: Cursor<'a>,
    next: u32,
    count: u32,
}

impl<'a> Iterator for Commands<'a> {
    type Item = Command<'a>;

    fn next(&mut self) -> Option<Command<'a>> {
        if self.next > self.count {
            return None;
        }
        let offset = u32::try_from(self.cursor.at).ok()?;
        let (raw, apdu) = self.cursor.command().ok()?;
        let number = self.next;
        self.next = number.checked_add(1)?;
        Some(Command { number, offset, apdu, raw })
    }
}

fn body_of<'a>(file: &'a [u8], header: &Header) -> Result<&'a [u8], Fault> {
    let present = u32::try_from(file.len()).map_err(|_| Fault { offset: u32::MAX, reason: Reason::TooLong })?;
    if present < header.file_len() {
        return Err(Fault { offset: present, reason: Reason::BodyCut });
    }
    if present > header.file_len() {
        return Err(Fault { offset: header.file_len(), reason: Reason::Trailing });
    }
    file.get(BODY_OFFSET..).ok_or(Fault { offset: present, reason: Reason::HeaderCut })
}

/// The point that eight bytes spell; any other number of bytes spells command 0, which no batch has.
fn point(pair: &[u8]) -> RecoveryPoint {
    match *pair {
        [n0, n1, n2, n3, o0, o1, o2, o3] => RecoveryPoint {
            command: u32::from_be_bytes([n0, n1, n2, n3]),
            offset: u32::from_be_bytes([o0, o1, o2, o3]),
        },
        _ => RecoveryPoint { command: 0, offset: 0 },
    }
}

/// A place in the body.
#[derive(Clone)]
struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn fault(&self, reason: Reason) -> Fault {
        Fault { offset: u32::try_from(BODY_OFFSET.saturating_add(self.at)).unwrap_or(u32::MAX), reason }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.body.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn recovery(&mut self) -> Result<&'a [u8], Fault> {
        let cut = self.fault(Reason::RecoveryCut);
        let length: [u8; 2] = self.take(2).and_then(|bytes| bytes.try_into().ok()).ok_or(cut)?;
        let length = usize::from(u16::from_be_bytes(length));
        if length % RECOVERY_PAIR_LEN != 0 {
            return Err(Fault { reason: Reason::RecoveryLength, ..cut });
        }
        self.take(length).ok_or(cut)
    }

    /// The next command; on a fault the cursor stays before it.
    fn command(&mut self) -> Result<(&'a [u8], CommandApdu<'a>), Fault> {
        let start = self.at;
        let cut = self.fault(Reason::CommandCut);
        let length = self.u32().and_then(|length| usize::try_from(length).ok());
        let Some(raw) = length.and_then(|length| self.take(length)) else {
            self.at = start;
            return Err(cut);
        };
        match CommandApdu::parse_in_batch(raw) {
            Ok(apdu) => Ok((raw, apdu)),
            Err(_) => {
                self.at = start + COMMAND_LENGTH_LEN;
                Err(self.fault(Reason::CommandForm))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::BatchBuilder;

    fn sample() -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        let mut add = |data: &[u8]| {
            builder.recovery_point().push(&CommandApdu::new(0x80, 0xE2, 0, 0, data)).expect("fits");
        };
        add(&[1, 2, 3]);
        add(&[]);
        add(&[0xAA; 300]);
        add(&vec![0x55; 70_000]);
        builder.finish().expect("a batch")
    }

    fn reseal(file: &mut [u8]) {
        let crc = checksum(&file[BODY_OFFSET..]);
        file[12..16].copy_from_slice(&crc.to_be_bytes());
    }

    fn reason(file: &[u8]) -> Reason {
        Batch::parse(file).expect_err("a fault").reason
    }

    #[test]
    fn commands_are_slices_of_the_file() {
        let file = sample();
        let batch = Batch::parse(&file).expect("a batch");
        let range = file.as_ptr_range();
        assert_eq!(batch.count(), 4);
        assert_eq!(batch.commands().map(|command| command.apdu.data.len()).collect::<Vec<_>>(), [3, 0, 300, 70_000]);
        for command in batch.commands().filter(|command| !command.apdu.data.is_empty()) {
            assert!(range.contains(&command.apdu.data.as_ptr()));
        }
    }

    #[test]
    fn an_issue_can_go_on_at_every_recovery_point() {
        let file = sample();
        let batch = Batch::parse(&file).expect("a batch");
        for (point, expected) in batch.recovery_points().zip(1..) {
            let rest: Vec<_> = batch.commands_from(point).map(|command| command.number).collect();
            assert_eq!(rest, (expected..=4).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_nearest_earlier_recovery_point_is_found() {
        for points in 0..=9_u32 {
            let mut builder = BatchBuilder::new();
            builder.with_recovery();
            for number in 1..=20 {
                if number % 2 == 0 && number <= points * 2 {
                    builder.recovery_point();
                }
                builder.push(&CommandApdu::new(0x80, 0xE2, 0, 0, &[1])).expect("fits");
            }
            let file = builder.finish().expect("a batch");
            let batch = Batch::parse(&file).expect("a batch");
            for number in 0..=u32::from(u8::MAX) {
                let found = batch.recovery_point_before(number).map(|point| point.command);
                let expected = (number / 2).min(points) * 2;
                assert_eq!(found, (expected > 0).then_some(expected), "{number} with {points} points");
            }
        }
    }

    #[test]
    fn the_first_fault_is_named() {
        let good = sample();
        let change = |at: usize, byte: u8| {
            let mut file = good.clone();
            file[at] = byte;
            file
        };
        assert_eq!(reason(b""), Reason::HeaderCut);
        assert_eq!(reason(b"SMC"), Reason::HeaderCut);
        assert_eq!(reason(b"#!/bin/sh"), Reason::Magic);
        assert_eq!(reason(&change(4, 2)), Reason::Version);
        assert_eq!(reason(&change(5, 0x80)), Reason::Flags);
        assert_eq!(reason(&change(7, 1)), Reason::Reserved);
        assert_eq!(reason(&change(100, 7)), Reason::Checksum);
        assert_eq!(reason(&good[..good.len() - 1]), Reason::BodyCut);
        assert_eq!(reason(&[&good[..], &[0]].concat()), Reason::Trailing);
    }

    #[test]
    fn faults_inside_a_sealed_body_are_named() {
        let good = sample();
        let change = |at: usize, bytes: &[u8]| {
            let mut file = good.clone();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            reseal(&mut file);
            Batch::parse(&file).expect_err("a fault")
        };
        assert_eq!(change(16, &[0, 0, 0, 3]).reason, Reason::RecoveryNumber);
        assert_eq!(change(16, &[0, 0, 0, 5]).reason, Reason::CommandCut);
        assert_eq!(change(20, &[0, 31]), Fault { offset: 20, reason: Reason::RecoveryLength });
        assert_eq!(change(22 + 8, &[0, 0, 0, 1]), Fault { offset: 30, reason: Reason::RecoveryNumber });
        assert_eq!(change(22 + 4, &[0, 0, 0, 9]), Fault { offset: 22, reason: Reason::RecoveryOffset });
        let first = 22 + 4 * 8;
        assert_eq!(change(first, &[0, 0, 0, 3]), Fault { offset: 58, reason: Reason::CommandForm });
        assert_eq!(change(first, &[0xFF; 4]), Fault { offset: 54, reason: Reason::CommandCut });
    }

    #[test]
    fn recovery_information_longer_than_the_file_is_a_fault() {
        let mut builder = BatchBuilder::new();
        builder.recovery_point().push(&CommandApdu::new(0x80, 0xE2, 0, 0, &[1])).expect("fits");
        let mut file = builder.finish().expect("a batch");
        file[20..22].copy_from_slice(&[0, 64]);
        reseal(&mut file);
        assert_eq!(Batch::parse(&file).err(), Some(Fault { offset: 20, reason: Reason::RecoveryCut }));
    }

    #[test]
    fn bytes_behind_the_last_command_are_a_fault() {
        let mut builder = BatchBuilder::new();
        builder.push(&CommandApdu::new(0x80, 0xE2, 0, 0, &[1])).expect("fits");
        let mut file = builder.finish().expect("a batch");
        file.push(0);
        let length = u32::try_from(file.len() - BODY_OFFSET).expect("small");
        file[8..12].copy_from_slice(&length.to_be_bytes());
        reseal(&mut file);
        assert_eq!(reason(&file), Reason::CommandTrailing);
    }
}
