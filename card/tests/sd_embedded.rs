//! A host that is not ours: the published crate `embedded-sdmmc` initialises the card with its own SPI code and works on a FAT
//! volume in the open memory; the volume was made by `fatfs`, which also reads it afterwards.

mod wire;

use embedded_hal::spi::{ErrorKind, ErrorType, Operation, SpiDevice};
use embedded_sdmmc::{Mode, SdCard, TimeSource, Timestamp, VolumeIdx, VolumeManager};
use smcard_card::sd::{BusTime, FileArea, Profile, SdOptions, SpiCard};
use smcard_link::{Clock, SpiBus};
use std::io::{Cursor, Read};
use std::path::Path;
use std::time::Duration;
use wire::{inline, new_card, pattern, profile};

const MEMORY: usize = 16 << 20;
/// First block of the partition.
const FIRST: usize = 64;

/// The card as a device of `embedded-hal`: chip select goes up after every transaction.
struct HalDevice(SpiCard);

#[derive(Debug)]
struct HalError;

impl embedded_hal::spi::Error for HalError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for HalDevice {
    type Error = HalError;
}

impl HalDevice {
    fn exchange(&mut self, bytes: &mut [u8]) -> Result<(), HalError> {
        self.0.exchange(bytes).map_err(|_| HalError)
    }
}

impl SpiDevice for HalDevice {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), HalError> {
        self.0.select(true).map_err(|_| HalError)?;
        for operation in operations {
            match operation {
                Operation::Read(into) => {
                    into.fill(0xFF);
                    self.exchange(into)?;
                }
                Operation::Write(bytes) => self.exchange(&mut bytes.to_vec())?,
                Operation::Transfer(into, bytes) => {
                    let length = into.len();
                    let mut message = bytes.to_vec();
                    message.resize(message.len().max(length), 0xFF);
                    self.exchange(&mut message)?;
                    into.copy_from_slice(&message[..length]);
                }
                Operation::TransferInPlace(bytes) => self.exchange(bytes)?,
                Operation::DelayNs(ns) => self.0.time().sleep(Duration::from_nanos(u64::from(*ns))),
            }
        }
        self.0.select(false).map_err(|_| HalError)
    }
}

struct HalDelay(BusTime);

impl embedded_hal::delay::DelayNs for HalDelay {
    fn delay_ns(&mut self, ns: u32) {
        self.0.sleep(Duration::from_nanos(u64::from(ns)));
    }
}

struct Midnight;

impl TimeSource for Midnight {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp { year_since_1970: 56, zero_indexed_month: 0, zero_indexed_day: 0, hours: 0, minutes: 0, seconds: 0 }
    }
}

/// A memory with one FAT16 partition that holds one file.
fn formatted(path: &Path) {
    let mut volume = Cursor::new(vec![0; MEMORY - FIRST * 512]);
    let options = fatfs::FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat16).bytes_per_cluster(512);
    fatfs::format_volume(&mut volume, options).expect("a volume");
    {
        let system = fatfs::FileSystem::new(&mut volume, fatfs::FsOptions::new()).expect("a file system");
        let mut file = system.root_dir().create_file("FIRST.TXT").expect("a file");
        std::io::Write::write_all(&mut file, b"made by fatfs").expect("written");
    }
    let mut memory = vec![0; FIRST * 512];
    let blocks = u32::try_from(MEMORY / 512 - FIRST).expect("small");
    memory[0x1BE + 4] = 0x0E;
    memory[0x1BE + 8..0x1BE + 12].copy_from_slice(&64_u32.to_le_bytes());
    memory[0x1BE + 12..0x1BE + 16].copy_from_slice(&blocks.to_le_bytes());
    memory[510..512].copy_from_slice(&[0x55, 0xAA]);
    memory.extend(volume.into_inner());
    std::fs::write(path, memory).expect("a file");
}

fn works(word: &str, profile: Profile) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("card.sd");
    formatted(&path);
    let area = Box::new(FileArea::open_or_create(&path, 0).expect("an area"));
    let options = SdOptions { profile, area, executor: inline(0), time: BusTime::counted() };
    let mut card = new_card().into_spi(options).expect("a card");
    let delay = HalDelay(card.time());
    // The crate leaves the first 74 clocks to its caller.
    card.exchange(&mut [0xFF; 10]).expect("the controller");
    let sd = SdCard::new(HalDevice(card), delay);
    if word != "sdsc" {
        // The crate reads the CSD of every card that knows CMD8 as one of version 2.
        assert_eq!(sd.num_bytes().expect("a size"), 16 << 20, "{word}");
    }
    let data = pattern(20_000, 8);
    let manager: VolumeManager<_, _> = VolumeManager::new(sd, Midnight);
    let volume = manager.open_volume(VolumeIdx(0)).expect("the volume");
    let root = volume.open_root_dir().expect("the root");
    let mut text = [0; 13];
    let first = root.open_file_in_dir("FIRST.TXT", Mode::ReadOnly).expect("the file of fatfs");
    assert_eq!(first.read(&mut text).expect("read"), 13);
    assert_eq!(&text, b"made by fatfs");
    first.close().expect("closed");
    let second = root.open_file_in_dir("SECOND.BIN", Mode::ReadWriteCreateOrTruncate).expect("a new file");
    second.write(&data).expect("written");
    second.close().expect("closed");
    let second = root.open_file_in_dir("SECOND.BIN", Mode::ReadOnly).expect("the new file");
    let mut again = vec![0; data.len()];
    let mut at = 0;
    while at < again.len() {
        at += second.read(&mut again[at..]).expect("read");
    }
    assert_eq!(again, data, "{word}");
    second.close().expect("closed");
    root.delete_file_in_dir("FIRST.TXT").expect("deleted");
    root.close().expect("closed");
    volume.close().expect("closed");
    drop(manager);

    let memory = std::fs::read(&path).expect("the memory");
    let volume = Cursor::new(memory[FIRST * 512..].to_vec());
    let system = fatfs::FileSystem::new(volume, fatfs::FsOptions::new()).expect("still a file system");
    let names: Vec<_> = system.root_dir().iter().map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["SECOND.BIN"]);
    let mut read = Vec::new();
    system.root_dir().open_file("SECOND.BIN").expect("the file").read_to_end(&mut read).expect("read");
    assert_eq!(read, data, "{word}");
}

#[test]
fn embedded_sdmmc_works_on_a_fat_volume_of_the_card() {
    for word in ["standard", "plain", "sdsc", "sd-1.10", "cmd16-refused", "slow", "strict"] {
        works(word, profile(word));
    }
}
