//! Images that no loss of power can have made: refused with a reason, and not touched.

use std::fs;
use std::os::unix::fs::FileExt;

use crate::layout::{Half, Layout, SECTOR, index};
use crate::sim::Random;
use crate::store::Store;
use crate::{Changes, FlashError, Key, MappedFile, PAGE, RamMedium, Record};

fn layout() -> Layout {
    Layout::small(1, 4)
}

/// An image that compacted once, at the seventh commit, and then committed three times: the second half is active, with a header, a snapshot and
/// three frames of one sector each; the first is retired.
fn image() -> Vec<u8> {
    let mut store = Store::format_with(RamMedium::new(layout().size()), layout(), [7; 16]).unwrap();
    for number in 0..10u8 {
        let extent = (number == 9).then(|| store.reserve(1).unwrap());
        let mut changes = Changes::new();
        changes.put(Key(number.into()), Record { bytes: vec![number; 8], extent });
        store.commit(changes).unwrap();
    }
    assert_eq!(store.stats().compactions, 1);
    store.into_medium().into_bytes()
}

/// The active half of [`image`].
fn active() -> usize {
    index(layout().start_of(Half::Second))
}

/// A file that holds an image, to be damaged.
struct ImageFile(tempfile::NamedTempFile);

impl ImageFile {
    fn new(bytes: &[u8]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all_at(bytes, 0).unwrap();
        Self(file)
    }

    /// Opens the image with one byte changed, and sees that this leaves it as it is.
    fn open_with(&self, sound: &[u8], at: usize) -> Result<(), FlashError> {
        let mut damaged = sound.to_vec();
        damaged[at] ^= 0x10;
        self.0.as_file().write_all_at(&damaged[at..=at], at as u64).unwrap();
        let opened = self.open(&damaged);
        self.0.as_file().write_all_at(&sound[at..=at], at as u64).unwrap();
        opened
    }

    fn open(&self, content: &[u8]) -> Result<(), FlashError> {
        let opened = MappedFile::open(self.0.path()).and_then(Store::open).map(drop);
        assert_eq!(fs::read(self.0.path()).unwrap(), content, "opening changed the file");
        opened
    }
}

fn open_file(bytes: &[u8]) -> Result<(), FlashError> {
    ImageFile::new(bytes).open(bytes)
}

#[test]
fn a_sound_image_opens() {
    open_file(&image()).unwrap();
}

#[test]
fn every_byte_of_a_header_counts() {
    let sound = image();
    let file = ImageFile::new(&sound);
    let superblocks = 0..index(2 * PAGE);
    let header = active()..active() + SECTOR;
    for at in superblocks.chain(header) {
        let error = file.open_with(&sound, at).expect_err("damage goes unnoticed");
        let clear = match &error {
            FlashError::Superblock { offset, copy: Some(copy) } => {
                index(*offset) == at / 4096 * 4096 && index(*copy) != index(*offset)
            }
            FlashError::Journal { offset, .. } => at >= active() && *offset == layout().start_of(Half::First),
            _ => false,
        };
        assert!(clear, "byte {at}: {error}");
    }
}

#[test]
fn every_byte_of_a_commit_that_others_follow_counts() {
    let sound = image();
    let file = ImageFile::new(&sound);
    let last_frame = active() + 4 * SECTOR;
    for at in active() + SECTOR..last_frame {
        let error = file.open_with(&sound, at).expect_err("damage goes unnoticed");
        let sector = at / SECTOR * SECTOR;
        assert!(matches!(&error, FlashError::Journal { offset, .. } if index(*offset) == sector), "byte {at}: {error}");
        assert!(error.to_string().contains(&sector.to_string()), "{error}");
    }
}

#[test]
fn cut_and_grown_images_are_refused() {
    let sound = image();
    for length in [0, 1, 4095, 4096, 8191, 8192, active(), sound.len() - 4096, sound.len() - 1] {
        let error = open_file(&sound[..length]).expect_err("it was cut");
        match error {
            FlashError::Magic { offset: 0 } => assert!(length < 4096, "{length}"),
            FlashError::Length { recorded, actual } => {
                assert_eq!((index(recorded), index(actual)), (sound.len(), length));
            }
            other => panic!("cut to {length}: {other}"),
        }
    }
    for more in [1, 4096] {
        let error = open_file(&[sound.as_slice(), &vec![0; more]].concat()).expect_err("it has grown");
        assert!(error.to_string().contains("made longer"), "{error}");
    }
}

#[test]
fn random_damage_never_panics_and_never_makes_up_a_state() {
    let sound = image();
    let states: Vec<_> = (0..=10u8).map(states_after).collect();
    let mut random = Random::new(1);
    let (mut refused, mut rolled_back) = (0, 0);
    for _ in 0..20_000 {
        let mut damaged = sound.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(damaged.len());
            let length = [1, 8, 512][random.below(3)].min(damaged.len() - at);
            match random.below(3) {
                0 => damaged[at..at + length].fill(0),
                1 => damaged[at..at + length].iter_mut().for_each(|byte| *byte = random.byte()),
                _ => damaged.copy_within(at..at + length, random.below(sound.len() - length)),
            }
        }
        match Store::open(RamMedium::from_bytes(damaged)) {
            Err(_) => refused += 1,
            Ok(store) => {
                let found: Vec<_> = store.range(..).map(|(key, record)| (key.0, record.bytes.clone())).collect();
                let state = states.iter().position(|state| *state == found);
                assert!(matches!(state, Some(7..=10)), "state {state:?}: {found:?}");
                rolled_back += u32::from(state != Some(10));
                for extent in store.range(..).filter_map(|(_, record)| record.extent) {
                    assert_eq!(store.bytes(extent).len() as u64, extent.capacity());
                }
            }
        }
    }
    // Damage that leaves no later commit readable cannot be told from a torn one.
    assert!(refused > 4000 && rolled_back > 100, "{refused} refused, {rolled_back} rolled back");
}

fn states_after(commits: u8) -> Vec<(u32, Vec<u8>)> {
    (0..commits).map(|number| (number.into(), vec![number; 8])).collect()
}
