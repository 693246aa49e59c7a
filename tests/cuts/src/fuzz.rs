//! What must hold for arbitrary images. Panics where it does not.
//!
//! The input says how a good image is changed: bytes overwritten, bits flipped, sectors copied; checksums put right, so
//! that what they guard is reached; records changed by a proper commit. Opening never panics, hangs, or accepts what the
//! checksums deny; the card that opens answers, and its image opens again.

use crate::golden;
use crate::terminal::{Silence, Terminal};
use crate::{apdu, batches};
use crc::{CRC_64_XZ, Crc, Table};
use smcard_flash::sim::Simulator;
use smcard_flash::{Changes, Key, Medium, RamMedium, Record, Store};
use std::collections::BTreeMap;
use std::sync::OnceLock;

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

const SECTOR: usize = 512;
const PAGE: usize = 4096;
/// Changes made at most: each may be a commit.
const OPERATIONS: usize = 24;

/// All records of an image: bytes, address and size of the extent.
type Records = BTreeMap<u32, (Vec<u8>, Option<(u64, u64)>)>;

/// A good image, and every state that its journal holds: what may be found if no checksum is put right.
struct Base {
    image: Vec<u8>,
    states: Vec<Records>,
}

fn records(image: &[u8]) -> Option<Records> {
    let store = Store::open(RamMedium::from_bytes(image.to_vec())).ok()?;
    let record = |(key, record): (Key, &Record)| {
        (key.0, (record.bytes.clone(), record.extent.map(|extent| (extent.address(), extent.capacity()))))
    };
    Some(store.range(..).map(record).collect())
}

fn bases() -> &'static [Base] {
    static BASES: OnceLock<Vec<Base>> = OnceLock::new();
    BASES.get_or_init(|| {
        let images = golden::small().expect("good images");
        images.into_iter().map(|image| Base { states: states(&image), image }).collect()
    })
}

/// The states that are left when the last commits, or the newer header, are unreadable.
fn states(image: &[u8]) -> Vec<Records> {
    let mut states = Vec::new();
    let data = golden::SMALL_DATA_START;
    let mut one_half = image.to_vec();
    let halves = [2 * PAGE, (2 * PAGE).midpoint(data)];
    for blank in [None, Some(halves[0]), Some(halves[1])] {
        one_half.copy_from_slice(image);
        if let Some(header) = blank {
            one_half[header..header + SECTOR].fill(0);
        }
        states.extend(records(&one_half));
        // From the end, one sector less at a time.
        for half in halves {
            let mut shorter = one_half.clone();
            for sector in (half + 2 * SECTOR..half + (data - 2 * PAGE) / 2).step_by(SECTOR).rev() {
                shorter[sector..sector + SECTOR].fill(0);
                states.extend(records(&shorter));
            }
        }
    }
    states.sort();
    states.dedup();
    states
}

/// The fuzzer's bytes; zero when they are gone.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn number(&mut self) -> usize {
        self.bytes(3).iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }
}

/// The target.
pub fn image(data: &[u8]) {
    let mut input = Input(data);
    let bases = bases();
    let base = &bases[usize::from(input.byte()) % bases.len()];
    let mut image = base.image.clone();
    let mut sealed = false;
    for _ in 0..OPERATIONS {
        if input.0.is_empty() {
            break;
        }
        sealed |= change(&mut image, &mut input);
    }
    if let (Some(found), false) = (records(&image), sealed) {
        assert!(base.states.contains(&found), "accepted though no checksum was put right");
    }
    use_card(image);
}

/// One change; true if it put a checksum right.
fn change(image: &mut Vec<u8>, input: &mut Input<'_>) -> bool {
    let operation = input.byte() % 8;
    // Superblocks and journal are the smaller and the more interesting part.
    let range = if input.byte() < 200 { golden::SMALL_DATA_START } else { image.len() };
    let at = input.number() % range;
    let (sector, page) = (at / SECTOR * SECTOR, at / PAGE * PAGE);
    match operation {
        0 => {
            let length = usize::from(input.byte()).min(image.len() - at);
            let bytes = input.bytes(length);
            image[at..at + bytes.len()].copy_from_slice(bytes);
        }
        1 => image[at] ^= 1 << (input.byte() % 8),
        2 => {
            let from = input.number() % range / SECTOR * SECTOR;
            image.copy_within(from..from + SECTOR, sector);
        }
        3 => {
            seal(&mut image[page..page + PAGE], PAGE - 8);
            return true;
        }
        4 => {
            seal(&mut image[sector..sector + SECTOR], SECTOR - 8);
            return true;
        }
        5 => {
            seal_frame(image, sector);
            return true;
        }
        _ => return commit(image, input),
    }
    false
}

/// Puts the checksum at `at` right, which covers all before it.
fn seal(bytes: &mut [u8], at: usize) {
    let checksum = CHECKSUM.checksum(&bytes[..at]).to_be_bytes();
    bytes[at..at + 8].copy_from_slice(&checksum);
}

/// Puts the checksum of the frame that begins at a sector right, as long as the frame says it is.
fn seal_frame(image: &mut [u8], start: usize) {
    let length = image[start + 28..start + 32].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let size = length.div_ceil(SECTOR - 40).max(1).saturating_mul(SECTOR);
    let Some(frame) = image.get_mut(start..start.saturating_add(size)) else { return };
    frame[32..40].fill(0);
    let checksum = CHECKSUM.checksum(frame).to_be_bytes();
    frame[32..40].copy_from_slice(&checksum);
}

/// Changes a record, or makes one, with a commit as the card would; false if the image does not open.
fn commit(image: &mut Vec<u8>, input: &mut Input<'_>) -> bool {
    let Ok(mut store) = Store::open(RamMedium::from_bytes(image.clone())) else { return false };
    let chosen = usize::from(input.byte());
    let existing: Vec<_> = store.range(..).map(|(key, record)| (key, record.clone())).collect();
    let mut changes = Changes::new();
    match existing.get(chosen) {
        Some((key, record)) => {
            let mut record = record.clone();
            let (at, how) = (usize::from(input.byte()), input.byte());
            match how % 4 {
                0 => record.bytes.truncate(at),
                1 => record.bytes.extend(input.bytes(at)),
                2 => record.extent = existing.get(at).and_then(|(_, other)| other.extent),
                _ => record.bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= how >> 2 | 1),
            }
            changes.put(*key, record);
        }
        None => {
            let key = Key(u32::from_be_bytes([input.byte(), 0, 0, input.byte()]));
            let length = usize::from(input.byte());
            let record = Record { bytes: input.bytes(length).to_vec(), extent: None };
            if chosen == 255 { changes.delete(key) } else { changes.put(key, record) }
        }
    }
    // No room is no matter.
    let _ = store.commit(changes);
    *image = store.into_medium().into_bytes();
    true
}

/// Opens the image as a card, lets it work, and opens it again.
fn use_card(image: Vec<u8>) {
    let Ok(mut terminal) = Terminal::open(Simulator::from_bytes(image)) else { return };
    let selects = [&[][..], batches::FIRST_TAG, batches::SECOND_TAG, crate::packages::WALLET];
    let mut commands: Vec<Vec<u8>> = selects.iter().map(|aid| apdu::select(aid)).collect();
    commands.push(apdu::SELECT_MESSAGE.to_vec());
    commands.push(apdu::write_message(b"fuzz"));
    commands.push(apdu::select(apdu::CARD_MANAGER));
    let objects = [[0x00, 0x42], [0x00, 0x66], [0x00, 0xC1], [0x00, 0xE0], [0xDF, 0x71], [0xDF, 0x72], [0xDF, 0x74]];
    commands.extend(objects.map(|[p1, p2]| vec![0x80, 0xCA, p1, p2, 0x00, 0xFF, 0xFF]));
    commands.push(vec![0x80, 0x5A, 0x00, 0x00]);
    commands.push(apdu::start("app"));
    commands.push(apdu::CONFIRM.to_vec());
    commands.push(apdu::start("bad"));
    commands.push(apdu::CLEAR.to_vec());
    for command in commands {
        // While privileged mode is held nobody answers; but the medium has not failed.
        let answered = terminal.send(&command);
        assert!(!matches!(answered, Err(Silence::Mute)), "a card that opened went mute at {command:02X?}");
    }
    if terminal.authenticate().is_ok() {
        let written = terminal.stream("fuzz", &[0; 40]).map(|id| terminal.commit(id));
        drop(written);
        for subset in [0x80, 0x40, 0x10] {
            let listed = terminal.send_secured(&[0x80, 0xF2, subset, 0x02, 0x02, 0x4F, 0x00]);
            drop(listed);
        }
        let deleted = terminal.send_secured(&apdu::delete(crate::packages::TAG));
        drop(deleted);
    }
    let after = terminal.close();
    assert!(!after.is_empty());
    if let Err(refused) = Terminal::open(after) {
        panic!("a card that opened does not open again: {}", refused.error);
    }
}
