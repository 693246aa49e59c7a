//! The superblock: what the image is. Written twice when the image is made, never again.
//!
//! Big-endian, one page:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `SMCARDFL` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | page size, 4096 |
//! | 16 | 8 | image size in bytes |
//! | 24 | 8 | bytes of one journal half |
//! | 32 | 16 | identity of the card |
//! | 48 | 4040 | 0 |
//! | 4088 | 8 | CRC-64/XZ of the 4088 bytes before |

use crate::error::FlashError;
use crate::frame::CHECKSUM;
use crate::layout::{Layout, PAGE, index};

const MAGIC: [u8; 8] = *b"SMCARDFL";
const VERSION: u32 = 1;
const PAGE_SIZE: u32 = 4096;
const SIZE: usize = PAGE_SIZE as usize;

/// Offset of the superblock and of its copy.
pub(crate) const PLACES: [u64; 2] = [0, PAGE];

/// What the superblock says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Superblock {
    pub(crate) layout: Layout,
    pub(crate) identity: [u8; 16],
}

impl Superblock {
    /// The page as it stands in the image.
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        let mut page = [0; SIZE];
        page[..8].copy_from_slice(&MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_be_bytes());
        page[12..16].copy_from_slice(&PAGE_SIZE.to_be_bytes());
        page[16..24].copy_from_slice(&self.layout.size().to_be_bytes());
        page[24..32].copy_from_slice(&self.layout.half().to_be_bytes());
        page[32..48].copy_from_slice(&self.identity);
        let checksum = CHECKSUM.checksum(&page[..SIZE - 8]);
        page[SIZE - 8..].copy_from_slice(&checksum.to_be_bytes());
        page
    }

    /// Reads both copies of an image. They must be valid and equal.
    ///
    /// # Errors
    ///
    /// One for each way to be wrong, with its offset.
    pub(crate) fn read(image: &[u8]) -> Result<Self, FlashError> {
        let [first, second] = PLACES.map(|offset| {
            let page = image.get(index(offset)..).and_then(<[u8]>::first_chunk::<SIZE>);
            (offset, page.map(decode))
        });
        let actual = image.len() as u64;
        let found = match (first, second) {
            ((_, Some(Ok(block))), (_, Some(Ok(copy)))) if block == copy => block,
            ((_, Some(Ok(_))), (offset, Some(Ok(_)))) => {
                return Err(FlashError::Impossible { offset, reason: "it differs from the one at offset 0" });
            }
            ((_, Some(Ok(block))), (_, None)) => {
                return Err(FlashError::Length { recorded: block.layout.size(), actual });
            }
            ((offset, Some(Err(fault))), other) | (other, (offset, Some(Err(fault)))) => {
                let copy = matches!(other, (_, Some(Ok(_)))).then_some(other.0);
                return Err(fault.at(offset, copy));
            }
            ((offset, None), _) => return Err(FlashError::Magic { offset }),
        };
        if found.layout.size() != actual {
            return Err(FlashError::Length { recorded: found.layout.size(), actual });
        }
        Ok(found)
    }
}

/// What is wrong with one superblock.
enum Fault {
    Blank,
    Magic,
    Version(u32),
    Checksum,
    Impossible(u64, &'static str),
}

impl Fault {
    fn at(self, offset: u64, copy: Option<u64>) -> FlashError {
        if copy.is_some() {
            return FlashError::Superblock { offset, copy };
        }
        match self {
            Self::Blank => FlashError::Unfinished,
            Self::Magic => FlashError::Magic { offset },
            Self::Version(found) => FlashError::Version { offset: offset + 8, found, known: VERSION },
            Self::Checksum => FlashError::Superblock { offset, copy },
            Self::Impossible(field, reason) => FlashError::Impossible { offset: offset + field, reason },
        }
    }
}

fn decode(page: &[u8; SIZE]) -> Result<Superblock, Fault> {
    if page.iter().all(|&byte| byte == 0) {
        return Err(Fault::Blank);
    }
    if page[..8] != MAGIC {
        return Err(Fault::Magic);
    }
    let version = number32(page, 8);
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    if CHECKSUM.checksum(&page[..SIZE - 8]) != number64(page, SIZE - 8) {
        return Err(Fault::Checksum);
    }
    if number32(page, 12) != PAGE_SIZE {
        return Err(Fault::Impossible(12, "its page size is not 4096"));
    }
    let layout = Layout::recorded(number64(page, 16), number64(page, 24))
        .ok_or(Fault::Impossible(16, "no image has such sizes"))?;
    let mut identity = [0; 16];
    identity.copy_from_slice(&page[32..48]);
    Ok(Superblock { layout, identity })
}

fn number32(page: &[u8; SIZE], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&page[offset..offset + 4]);
    u32::from_be_bytes(bytes)
}

fn number64(page: &[u8; SIZE], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&page[offset..offset + 8]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::MIN_SIZE;

    fn block() -> Superblock {
        let identity = std::array::from_fn(|at| u8::try_from(0x10 + at).unwrap());
        Superblock { layout: Layout::for_size(MIN_SIZE).unwrap(), identity }
    }

    fn image() -> Vec<u8> {
        let mut image = vec![0; index(MIN_SIZE)];
        image[..SIZE].copy_from_slice(&block().encode());
        image[SIZE..2 * SIZE].copy_from_slice(&block().encode());
        image
    }

    /// Changes both copies and makes their checksums right.
    fn forge(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut image = image();
        for page in image.chunks_exact_mut(SIZE).take(2) {
            page[offset..offset + bytes.len()].copy_from_slice(bytes);
            let checksum = CHECKSUM.checksum(&page[..SIZE - 8]);
            page[SIZE - 8..].copy_from_slice(&checksum.to_be_bytes());
        }
        image
    }

    #[test]
    fn the_page_is_what_the_format_says() {
        let page = block().encode();
        let mut expected = b"SMCARDFL\0\0\0\x01\0\0\x10\0".to_vec();
        expected.extend([0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        expected.extend(0x10..0x20);
        assert_eq!(page[..48], expected);
        assert!(page[48..SIZE - 8].iter().all(|&byte| byte == 0));
        // Computed bit by bit by another program.
        assert_eq!(page[SIZE - 8..], 0x6CC5_CE3F_DC51_F793_u64.to_be_bytes());
        assert_eq!(Superblock::read(&image()).unwrap(), block());
    }

    #[test]
    fn the_checksum_is_crc_64_xz() {
        assert_eq!(CHECKSUM.checksum(b"123456789"), 0x995D_C9BB_DF19_39FA);
    }

    #[test]
    fn each_fault_has_its_error() {
        let cut = |length: usize| Superblock::read(&image()[..length]).unwrap_err();
        assert!(matches!(cut(0), FlashError::Magic { offset: 0 }));
        assert!(matches!(cut(4095), FlashError::Magic { offset: 0 }));
        assert!(matches!(cut(8191), FlashError::Length { recorded: MIN_SIZE, actual: 8191 }));
        assert!(matches!(cut(8192), FlashError::Length { recorded: MIN_SIZE, actual: 8192 }));
        let mut longer = image();
        longer.push(0);
        assert!(matches!(Superblock::read(&longer), Err(FlashError::Length { .. })));

        assert!(matches!(Superblock::read(&vec![0; 8192]), Err(FlashError::Unfinished)));
        assert!(matches!(Superblock::read(&vec![b'x'; 8192]), Err(FlashError::Magic { offset: 0 })));
        let newer = Superblock::read(&forge(11, &[2])).unwrap_err();
        assert!(matches!(newer, FlashError::Version { offset: 8, found: 2, known: 1 }), "{newer}");
        for (offset, bytes) in [(12, [0, 0, 2, 0]), (20, [0, 0, 0, 1]), (28, [0, 0, 0, 0]), (24, [0xFF; 4])] {
            let error = Superblock::read(&forge(offset, &bytes)).unwrap_err();
            assert!(matches!(error, FlashError::Impossible { .. }), "{offset}: {error}");
        }
    }

    #[test]
    fn damage_to_one_copy_names_the_other() {
        for (damaged, intact) in [(0, SIZE), (SIZE, 0)] {
            for at in [0, 8, 100, SIZE - 1] {
                let mut image = image();
                image[damaged + at] ^= 1;
                match Superblock::read(&image).unwrap_err() {
                    FlashError::Superblock { offset, copy } => {
                        assert_eq!((index(offset), copy.map(index)), (damaged, Some(intact)));
                    }
                    other => panic!("byte {at} of {damaged}: {other}"),
                }
            }
        }
        let mut image = image();
        image[100] ^= 1;
        image[SIZE + 100] ^= 1;
        assert!(matches!(Superblock::read(&image), Err(FlashError::Superblock { offset: 0, copy: None })));
    }

    #[test]
    fn copies_that_differ_are_refused() {
        let mut image = image();
        let other = Superblock { identity: [1; 16], ..block() };
        image[SIZE..2 * SIZE].copy_from_slice(&other.encode());
        assert!(matches!(Superblock::read(&image), Err(FlashError::Impossible { offset: 4096, .. })));
    }
}
