//! What is on the card: reading its answers to GET DATA and GET STATUS.
//!
//! The card's answers are input from outside. What does not fit is left out and counted, so that one odd entry hides
//! no other; nothing here trusts a length, a name or a number.

use super::tlv::objects;
use smcard_link::{NAME_MAX, PrivilegeKind, RecoveryKind};

/// Most entries that are taken from one list.
pub const ENTRIES_MAX: usize = 4096;
/// Longest application identifier (ISO/IEC 7816-4, 8.2.1.2), bytes.
const AID_MAX: usize = 16;

/// One file of the file management table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its identifier.
    pub id: u16,
    /// Its name: 1 to 255 bytes, no slash, no zero, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// Bytes.
    pub size: u32,
    /// Commands in it; 0 = not known.
    pub commands: u32,
}

/// Where the last issue stands (GET DATA `DF72`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IssueRecord {
    /// How it stands.
    pub state: IssueState,
    /// Identifier of its file.
    pub file: u16,
    /// Commands given.
    pub given: u32,
    /// Commands in the batch.
    pub total: u32,
    /// Status word of its end.
    pub sw: u16,
    /// Commands whose effect stands on the card, from the first on; never more than were given.
    pub kept: u32,
}

/// The states of an issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IssueState {
    /// There was none, or it was cleared.
    #[default]
    None,
    /// It failed or was interrupted; what it wrote is still there.
    Unfinished,
    /// It succeeded.
    Done,
    /// It succeeded and waits for CONFIRM.
    ConfirmNeeded,
}

/// Protected memory in bytes (GET DATA `DF73`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Memory {
    /// All of it.
    pub capacity: u64,
    /// Not in use.
    pub free: u64,
    /// The longest file that could be written.
    pub largest: u64,
}

/// The card itself (GET DATA `DF74`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardInfo {
    /// Life cycle (GlobalPlatform 2.3.1, table 11-6).
    pub life_cycle: u8,
    /// What it does with a broken issue.
    pub recovery: Option<RecoveryKind>,
    /// How it leaves privileged mode.
    pub privilege: Option<PrivilegeKind>,
    /// Security level of the current session; 0 = none.
    pub level: u8,
}

/// One entry of GET STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its AID, 5 to 16 bytes.
    pub aid: Vec<u8>,
    /// Life cycle state byte.
    pub state: u8,
    /// Privileges, first byte; 0 for a package.
    pub privileges: u8,
    /// AID of its package.
    pub package: Option<Vec<u8>>,
    /// Major and minor version of a package.
    pub version: Option<(u8, u8)>,
    /// AIDs of the modules of a package.
    pub modules: Vec<Vec<u8>>,
}

/// A list and the number of entries that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Entries left out because they make no sense.
    pub left_out: usize,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Listing { entries: Vec::new(), left_out: 0 }
    }
}

/// The value of the one data object an answer to GET DATA holds; `None` where it is another or not alone.
#[must_use]
pub fn data_object(tag: u16, data: &[u8]) -> Option<Vec<u8>> {
    let mut all = objects(data);
    match (all.next(), all.next()) {
        (Some(Ok((found, value))), None) if found == tag => Some(value.to_vec()),
        _ => None,
    }
}

/// Reads the file management table (`DF71`): an `E5` for each file with `80` identifier, `81` name, `82` size, `83`
/// state and `84` number of commands. Only complete files (state 00) are listed.
#[must_use]
pub fn files(data: &[u8]) -> Listing<StoredFile> {
    list(data, 0xE5, |value| {
        let (mut id, mut name, mut size, mut state, mut commands) = (None, None, None, None, 0);
        for object in objects(value) {
            match object.ok()? {
                (0x80, value) => id = Some(u16::from_be_bytes(value.try_into().ok()?)),
                (0x81, value) => name = Some(value),
                (0x82, value) => size = Some(u32::from_be_bytes(value.try_into().ok()?)),
                (0x83, &[value]) => state = Some(value),
                (0x84, value) => commands = u32::from_be_bytes(value.try_into().ok()?),
                _ => {}
            }
        }
        let name = name.filter(|name| is_file_name(name))?.to_vec();
        (state? == 0).then_some(StoredFile { id: id?, name, size: size?, commands })
    })
}

/// True for what can be a name in `issue/`.
#[must_use]
pub fn is_file_name(name: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
        && !matches!(name, b"." | b"..")
}

/// Reads the record of the last issue (`DF72`, 17 bytes); `None` for another length or an unknown state.
#[must_use]
pub fn issue(data: &[u8]) -> Option<IssueRecord> {
    let &[state, f0, f1, g0, g1, g2, g3, t0, t1, t2, t3, s0, s1, k0, k1, k2, k3] = data.first_chunk::<17>()?;
    let state = match state {
        0 => IssueState::None,
        1 => IssueState::Unfinished,
        2 => IssueState::Done,
        3 => IssueState::ConfirmNeeded,
        _ => return None,
    };
    let given = u32::from_be_bytes([g0, g1, g2, g3]);
    (data.len() == 17).then_some(IssueRecord {
        state,
        file: u16::from_be_bytes([f0, f1]),
        given,
        total: u32::from_be_bytes([t0, t1, t2, t3]),
        sw: u16::from_be_bytes([s0, s1]),
        kept: u32::from_be_bytes([k0, k1, k2, k3]).min(given),
    })
}

/// Reads the figures of protected memory (`DF73`, 24 bytes); `None` for another length.
#[must_use]
pub fn memory(data: &[u8]) -> Option<Memory> {
    let (capacity, rest) = data.split_first_chunk()?;
    let (free, rest) = rest.split_first_chunk()?;
    let largest = rest.try_into().ok()?;
    Some(Memory {
        capacity: u64::from_be_bytes(*capacity),
        free: u64::from_be_bytes(*free),
        largest: u64::from_be_bytes(largest),
    })
}

/// Reads the card's own state (`DF74`, 4 bytes); `None` for another length.
#[must_use]
pub fn card(data: &[u8]) -> Option<CardInfo> {
    let &[life_cycle, recovery, privilege, level] = data else { return None };
    let recovery = match recovery {
        0 => Some(RecoveryKind::Restart),
        1 => Some(RecoveryKind::Command),
        2 => Some(RecoveryKind::Function),
        _ => None,
    };
    let privilege = match privilege {
        0 => Some(PrivilegeKind::Auto),
        1 => Some(PrivilegeKind::Hold),
        _ => None,
    };
    // Bit 8 says that a channel is open, whatever its level.
    Some(CardInfo { life_cycle, recovery, privilege, level: level & 0x7F })
}

/// Reads an answer to GET STATUS: an `E3` for each entry with `4F` AID, `9F70` state, `C5` privileges, `C4` package,
/// `CE` version and `84` modules (GlobalPlatform 2.3.1, tables 11-36 and 11-37).
#[must_use]
pub fn contents(data: &[u8]) -> Listing<Content> {
    list(data, 0xE3, |value| {
        let mut aid = None;
        let mut content =
            Content { aid: Vec::new(), state: 0, privileges: 0, package: None, version: None, modules: Vec::new() };
        for object in objects(value) {
            match object.ok()? {
                (0x4F, value) => aid = Some(value),
                (0x9F70, &[state, ..]) => content.state = state,
                (0xC5, &[first, ..]) => content.privileges = first,
                (0xC4 | 0xCC, value) if is_aid(value) && content.package.is_none() => {
                    content.package = Some(value.to_vec());
                }
                (0xCE, &[major, minor]) => content.version = Some((major, minor)),
                (0x84, value) if is_aid(value) && content.modules.len() < ENTRIES_MAX => {
                    content.modules.push(value.to_vec());
                }
                _ => {}
            }
        }
        content.aid = aid.filter(|aid| is_aid(aid))?.to_vec();
        Some(content)
    })
}

fn is_aid(bytes: &[u8]) -> bool {
    (1..=AID_MAX).contains(&bytes.len())
}

fn list<T>(data: &[u8], tag: u16, read: impl Fn(&[u8]) -> Option<T>) -> Listing<T> {
    let mut listing = Listing::default();
    for object in objects(data) {
        match object.ok().filter(|(found, _)| *found == tag).and_then(|(_, value)| read(value)) {
            Some(entry) if listing.entries.len() < ENTRIES_MAX => listing.entries.push(entry),
            _ => listing.left_out += 1,
        }
    }
    listing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: &[u8], value: &[u8]) -> Vec<u8> {
        [tag, &[u8::try_from(value.len()).unwrap()], value].concat()
    }

    fn file(id: u16, name: &[u8], state: u8) -> Vec<u8> {
        let parts = [
            tlv(&[0x80], &id.to_be_bytes()),
            tlv(&[0x81], name),
            tlv(&[0x82], &100_u32.to_be_bytes()),
            tlv(&[0x83], &[state]),
            tlv(&[0x84], &7_u32.to_be_bytes()),
        ];
        tlv(&[0xE5], &parts.concat())
    }

    #[test]
    fn complete_files_with_sensible_names_are_listed() {
        let table = [file(1, b"app.batch", 0), file(2, b"half", 1), file(3, b"../etc", 0), file(4, b"..", 0)].concat();
        let listing = files(&table);
        assert_eq!(listing.entries, [StoredFile { id: 1, name: b"app.batch".to_vec(), size: 100, commands: 7 }]);
        assert_eq!(listing.left_out, 3);
        assert_eq!(files(&[0xE5, 0x7F, 1]).left_out, 1);
        assert_eq!(files(&[]), Listing::default());
    }

    #[test]
    fn the_fixed_records_are_read_to_the_byte() {
        let record = [3, 0, 9, 0, 0, 0, 7, 0, 0, 0, 12, 0x6A, 0x84, 0, 0, 0, 5];
        assert_eq!(
            issue(&record),
            Some(IssueRecord { state: IssueState::ConfirmNeeded, file: 9, given: 7, total: 12, sw: 0x6A84, kept: 5 })
        );
        let boasting = [1, 0, 9, 0, 0, 0, 7, 0, 0, 0, 12, 0, 0, 0xFF, 0, 0, 0];
        assert_eq!(issue(&boasting).map(|record| record.kept), Some(7));
        assert_eq!(issue(&record[..16]), None);
        assert_eq!(issue(&[4; 17]), None);
        let figures: Vec<u8> = [64_u64, 32, 16].iter().flat_map(|n| n.to_be_bytes()).collect();
        assert_eq!(memory(&figures), Some(Memory { capacity: 64, free: 32, largest: 16 }));
        assert_eq!(memory(&figures[1..]), None);
        let info = card(&[0x0F, 2, 1, 0xB3]).unwrap();
        assert_eq!((info.life_cycle, info.level), (0x0F, 0x33));
        assert_eq!((info.recovery, info.privilege), (Some(RecoveryKind::Function), Some(PrivilegeKind::Hold)));
        assert_eq!(card(&[1, 2, 3]), None);
    }

    #[test]
    fn an_answer_to_get_data_holds_the_object_that_was_asked_for() {
        assert_eq!(data_object(0xDF71, &[0xDF, 0x71, 1, 9]), Some(vec![9]));
        assert_eq!(data_object(0xDF71, &[0xDF, 0x71, 0]), Some(vec![]));
        for odd in [&[][..], &[0xDF, 0x72, 1, 9], &[0xDF, 0x71, 2, 9], &[0xDF, 0x71, 0, 0x4F, 0]] {
            assert_eq!(data_object(0xDF71, odd), None);
        }
    }

    #[test]
    fn card_content_is_read_and_the_odd_entry_left_out() {
        let app = [
            tlv(&[0x4F], &[0xD2; 7]),
            tlv(&[0x9F, 0x70], &[0x07]),
            tlv(&[0xC5], &[0x80, 0, 0]),
            tlv(&[0xC4], &[0xA0; 5]),
        ]
        .concat();
        let package = [tlv(&[0x4F], &[0xA0; 5]), tlv(&[0xCE], &[1, 2]), tlv(&[0x84], &[0xD2; 7])].concat();
        let listing = contents(&[tlv(&[0xE3], &app), tlv(&[0xE3], &package), tlv(&[0xE3], &[])].concat());
        assert_eq!(listing.left_out, 1);
        assert_eq!(listing.entries[0].package, Some(vec![0xA0; 5]));
        assert_eq!((listing.entries[0].state, listing.entries[0].privileges), (7, 0x80));
        assert_eq!(listing.entries[1].version, Some((1, 2)));
        assert_eq!(listing.entries[1].modules, [vec![0xD2; 7]]);
    }
}
