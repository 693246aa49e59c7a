//! Files for cards without protected memory: WRITE FILE, an APDU for each piece. Every one is an exchange.

use super::AssdCard;
use crate::{Answer, LinkError, NAME_MAX, WriteId};
use zeroize::Zeroizing;

/// CLA and INS.
const WRITE_FILE: [u8; 2] = [0x80, 0x54];
/// Operations (P1).
const OPEN: u8 = 0x00;
const DATA: u8 = 0x01;
const COMMIT: u8 = 0x02;
const ABORT: u8 = 0x03;
/// Bytes of the offset in front of the data.
const OFFSET: usize = 4;
/// Header and Lc of a command with extended length.
const EXTENDED_HEAD: usize = 7;

impl AssdCard {
    pub(super) fn file_open(&mut self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        if !self.wire.quirks.write_file {
            return Err(LinkError::Write("the card has no protected memory, and option write_file is off"));
        }
        // The length stands before the name, and a short command carries both.
        if name.len() > NAME_MAX - 4 {
            return Ok(Err(Answer::status(0x6A80)));
        }
        let data = [&length.to_be_bytes()[..], name].concat();
        let mut command = write_file(OPEN, 0, &data);
        command.push(0);
        let answer = self.counted(&command)?;
        match (answer.is_success(), &answer.data[..]) {
            (false, _) => Ok(Err(Answer::status(answer.sw))),
            (true, &[number]) => {
                let unit = self.wire.apdu_max().saturating_sub(EXTENDED_HEAD + OFFSET).clamp(1, 0xFFFF - OFFSET);
                Ok(Ok(self.writes.add(number, length, unit, false)))
            }
            (true, _) => Err(LinkError::Malformed("WRITE FILE was answered without the number of the write".into())),
        }
    }

    pub(super) fn put_command(&mut self, number: u8, offset: u32, bytes: &[u8]) -> Result<(), LinkError> {
        let data = Zeroizing::new([&offset.to_be_bytes()[..], bytes].concat());
        let command = Zeroizing::new(write_file(DATA, number, &data));
        let answer = self.counted(&command)?;
        if answer.is_success() { Ok(()) } else { Err(LinkError::FileRefused(answer.sw)) }
    }
}

/// COMMIT with the CRC-32 of the whole file; an answer is expected.
pub(super) fn commit(number: u8, crc: u32) -> Vec<u8> {
    let mut command = write_file(COMMIT, number, &crc.to_be_bytes());
    command.push(0);
    command
}

/// ABORT.
pub(super) fn abort(number: u8) -> Vec<u8> {
    write_file(ABORT, number, &[])
}

/// A command without Le, short where its data allow.
fn write_file(operation: u8, number: u8, data: &[u8]) -> Vec<u8> {
    let mut command = Vec::with_capacity(EXTENDED_HEAD + data.len() + 1);
    command.extend_from_slice(&WRITE_FILE);
    command.extend_from_slice(&[operation, number]);
    match (u8::try_from(data.len()), u16::try_from(data.len())) {
        (Ok(0), _) => {}
        (Ok(short), _) => command.push(short),
        (Err(_), long) => {
            command.push(0);
            command.extend_from_slice(&long.unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    command.extend_from_slice(data);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_short_where_they_can_be() {
        assert_eq!(write_file(OPEN, 0, &[1, 2]), [0x80, 0x54, 0, 0, 2, 1, 2]);
        assert_eq!(abort(3), [0x80, 0x54, 3, 3]);
        assert_eq!(commit(1, 0x1234_5678), [0x80, 0x54, 2, 1, 4, 0x12, 0x34, 0x56, 0x78, 0]);
        let long = write_file(DATA, 7, &[0xAA; 256]);
        assert_eq!(long[..8], [0x80, 0x54, 1, 7, 0, 1, 0, 0xAA]);
        assert_eq!(long.len(), 7 + 256);
    }
}
