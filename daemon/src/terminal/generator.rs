//! The command generator (system S5.1): the bytes of every command the terminal gives by itself.
//!
//! None of them sets keys, identifiers or application data (S5.4): START, what follows an issue, questions, and the
//! housekeeping of the file management table.

use smcard_batch::{ApduError, CommandApdu};
use smcard_ioctl::FailureFormat;

/// P1 of START: the data names the file instead of its identifier.
const BY_NAME: u8 = 0x01;
/// P1 of RENAME FILE: an existing file of the new name is replaced.
const REPLACE: u8 = 0x01;
/// "All there is" in an extended Le field.
const EXTENDED_LE_ALL: u32 = 65_536;

/// Which batch START means, as the card is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The only one in the store.
    Only,
    /// The file of this name, from `offset`, not beyond `length` bytes.
    Name {
        /// 1 to 255 bytes.
        name: Vec<u8>,
        /// First byte of the batch within the file.
        offset: u32,
        /// Bytes the issuer may read from there.
        length: u32,
    },
    /// The file with this identifier, likewise.
    Id {
        /// File identifier.
        id: u16,
        /// First byte of the batch within the file.
        offset: u32,
        /// Bytes the issuer may read from there.
        length: u32,
    },
}

/// What GET DATA asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardData {
    /// The file management table.
    Files,
    /// How the last issue stands.
    Issue,
    /// Protected memory.
    Memory,
    /// Life cycle, recovery, privilege, session.
    Card,
}

impl CardData {
    /// Its tag.
    #[must_use]
    pub fn tag(self) -> u16 {
        match self {
            CardData::Files => 0xDF71,
            CardData::Issue => 0xDF72,
            CardData::Memory => 0xDF73,
            CardData::Card => 0xDF74,
        }
    }
}

/// SELECT of the card manager: by an empty name (GlobalPlatform 2.3.1, 11.9).
#[must_use]
pub fn select_manager() -> Vec<u8> {
    vec![0x00, 0xA4, 0x04, 0x00, 0x00]
}

/// START (`80 5A`), which makes the card issue itself.
///
/// # Errors
/// A name longer than 255 bytes.
pub fn start(target: &Target, format: FailureFormat) -> Result<Vec<u8>, ApduError> {
    let mut data = Vec::new();
    let p1 = match target {
        Target::Only => 0,
        Target::Name { name, .. } => {
            data.push(u8::try_from(name.len()).map_err(|_| ApduError::DataTooLong(name.len()))?);
            data.extend_from_slice(name);
            BY_NAME
        }
        Target::Id { id, .. } => {
            data.extend_from_slice(&id.to_be_bytes());
            0
        }
    };
    if let Target::Name { offset, length, .. } | Target::Id { offset, length, .. } = target {
        data.extend_from_slice(&offset.to_be_bytes());
        data.extend_from_slice(&length.to_be_bytes());
    }
    let p2 = match format {
        FailureFormat::Data => 0,
        FailureFormat::Counter => 1,
    };
    CommandApdu::new(0x80, 0x5A, p1, p2, &data).to_vec()
}

/// CLEAR (`80 5C`): removes what an unfinished issue has written.
#[must_use]
pub fn clear() -> Vec<u8> {
    vec![0x80, 0x5C, 0x00, 0x00]
}

/// CONFIRM (`80 5E`): makes a card that asked for it usable.
#[must_use]
pub fn confirm() -> Vec<u8> {
    vec![0x80, 0x5E, 0x00, 0x00]
}

/// GET DATA with room for everything in the answer.
///
/// # Errors
/// None that happens: the form carries the length.
pub fn get_data(what: CardData) -> Result<Vec<u8>, ApduError> {
    let [p1, p2] = what.tag().to_be_bytes();
    CommandApdu::new(0x80, 0xCA, p1, p2, &[]).with_le(EXTENDED_LE_ALL).to_vec()
}

/// ERASE FILE (`80 58`) of one file.
///
/// # Errors
/// None that happens: two bytes of data fit.
pub fn erase(id: u16) -> Result<Vec<u8>, ApduError> {
    CommandApdu::new(0x80, 0x58, 0x00, 0x00, &id.to_be_bytes()).to_vec()
}

/// RENAME FILE (`80 56`); with `replace` an existing file of the new name gives way.
///
/// # Errors
/// A name that no command holds.
pub fn rename(id: u16, name: &[u8], replace: bool) -> Result<Vec<u8>, ApduError> {
    let data = [&id.to_be_bytes(), name].concat();
    CommandApdu::new(0x80, 0x56, if replace { REPLACE } else { 0 }, 0x00, &data).to_vec()
}

/// GET STATUS (GlobalPlatform 2.3.1, 11.4) of one kind of card content, every entry, in TLV form; `next` asks for the
/// entries behind the last answer.
///
/// # Errors
/// None that happens: two bytes of data fit.
pub fn get_status(kind: u8, next: bool) -> Result<Vec<u8>, ApduError> {
    let p2 = if next { 0x03 } else { 0x02 };
    CommandApdu::new(0x80, 0xF2, kind, p2, &[0x4F, 0x00]).with_le(256).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_names_the_file_as_the_design_says() {
        let start = |target, format| start(&target, format).unwrap();
        assert_eq!(start(Target::Only, FailureFormat::Data), [0x80, 0x5A, 0, 0]);
        assert_eq!(
            start(Target::Id { id: 0x0102, offset: 3, length: 0x0400 }, FailureFormat::Counter),
            [0x80, 0x5A, 0, 1, 10, 1, 2, 0, 0, 0, 3, 0, 0, 4, 0]
        );
        assert_eq!(
            start(Target::Name { name: b"ab".to_vec(), offset: 0, length: 5 }, FailureFormat::Data),
            [0x80, 0x5A, 1, 0, 11, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 5]
        );
    }

    #[test]
    fn a_name_of_255_bytes_takes_the_extended_form() {
        let command =
            start(&Target::Name { name: vec![b'n'; 255], offset: 0, length: 0 }, FailureFormat::Data).unwrap();
        assert_eq!(command[4..7], [0, 0x01, 0x08]);
        let long = Target::Name { name: vec![b'n'; 256], offset: 0, length: 0 };
        assert_eq!(start(&long, FailureFormat::Data), Err(ApduError::DataTooLong(256)));
    }

    #[test]
    fn the_other_commands_are_as_the_card_knows_them() {
        assert_eq!(get_data(CardData::Issue).unwrap(), [0x80, 0xCA, 0xDF, 0x72, 0, 0, 0]);
        assert_eq!(erase(0x0203).unwrap(), [0x80, 0x58, 0, 0, 2, 2, 3]);
        assert_eq!(rename(1, b"x", true).unwrap(), [0x80, 0x56, 1, 0, 3, 0, 1, b'x']);
        assert_eq!(get_status(0x40, false).unwrap(), [0x80, 0xF2, 0x40, 2, 2, 0x4F, 0, 0]);
        assert_eq!(get_status(0x20, true).unwrap(), [0x80, 0xF2, 0x20, 3, 2, 0x4F, 0, 0]);
    }
}
