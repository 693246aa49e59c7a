//! Frames and half headers: what the journal is made of, sector by sector.
//!
//! All numbers are big-endian. A journal half is a header sector, then frames. The header:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `SMCARDJH` |
//! | 8 | 8 | generation, from 1 |
//! | 16 | 488 | 0 |
//! | 504 | 8 | CRC-64/XZ of the 504 bytes before |
//!
//! A frame is a run of whole sectors, each with a header of 40 bytes and a piece of the payload:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `SMFR` |
//! | 4 | 4 | number of this sector in its frame, from 0 |
//! | 8 | 8 | generation of the half it was written for |
//! | 16 | 8 | sequence: number of the commit; making the image is the first |
//! | 24 | 4 | kind: 0 commit, 1 snapshot |
//! | 28 | 4 | bytes of the payload of the whole frame |
//! | 32 | 8 | in sector 0: CRC-64/XZ of the whole frame with this field 0; in the others 0 |
//! | 40 | 472 | payload, filled up with 0 |
//!
//! Payload never stands where a header is looked for, so no content can pass for a frame.

use crc::{CRC_64_XZ, Crc, Table};
use zeroize::Zeroizing;

use crate::layout::{SECTOR, SECTOR_BYTES};

/// The checksum of everything that the store must tell from the remains of a torn write.
///
/// 64 bits: remains pass a checksum of n bits once in 2^n times. With 32, a test of 10^9 cuts would find a sound
/// algorithm broken once in five runs.
pub(crate) static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

/// Generations and sequences stay below this, so that adding one never overflows.
const NUMBERS: u64 = 1 << 63;

/// See [`any_frame`].
const PATIENCE: usize = 16;

const HALF_MAGIC: [u8; 8] = *b"SMCARDJH";
const FRAME_MAGIC: [u8; 4] = *b"SMFR";
const HEADER: usize = 40;
const PIECE: usize = SECTOR - HEADER;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The changes of one commit.
    Commit,
    /// All records after the commit of this sequence.
    Snapshot,
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Self::Commit => 0,
            Self::Snapshot => 1,
        }
    }
}

/// The header sector of a half.
pub(crate) fn encode_header(generation: u64) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    sector[..8].copy_from_slice(&HALF_MAGIC);
    sector[8..16].copy_from_slice(&generation.to_be_bytes());
    let checksum = CHECKSUM.checksum(&sector[..SECTOR - 8]);
    sector[SECTOR - 8..].copy_from_slice(&checksum.to_be_bytes());
    sector
}

/// The generation of a half, or `None` if its header is blank, torn or damaged.
pub(crate) fn decode_header(sector: &[u8; SECTOR]) -> Option<u64> {
    let generation = number64(sector, 8);
    let sound = sector[..8] == HALF_MAGIC
        && CHECKSUM.checksum(&sector[..SECTOR - 8]) == number64(sector, SECTOR - 8)
        && (1..NUMBERS).contains(&generation);
    sound.then_some(generation)
}

/// Which frame: everything in its header but the checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label {
    pub(crate) kind: Kind,
    pub(crate) generation: u64,
    pub(crate) sequence: u64,
}

/// Bytes of the frame that carries a payload of `payload` bytes.
pub(crate) fn frame_size(payload: u64) -> u64 {
    payload.div_ceil(PIECE as u64).max(1).saturating_mul(SECTOR_BYTES)
}

/// The longest payload of a frame of at most `size` bytes.
pub(crate) fn payload_capacity(size: u64) -> u64 {
    size / SECTOR_BYTES * (PIECE as u64)
}

/// The frame as it stands in the journal. `None` if the payload is longer than a frame can say.
pub(crate) fn encode_frame(label: Label, payload: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let length = u32::try_from(payload.len()).ok()?;
    let sectors = payload.len().div_ceil(PIECE).max(1);
    let mut frame = Zeroizing::new(vec![0; sectors * SECTOR]);
    let mut pieces = payload.chunks(PIECE);
    for (number, sector) in (0u32..).zip(frame.chunks_exact_mut(SECTOR)) {
        sector[..4].copy_from_slice(&FRAME_MAGIC);
        sector[4..8].copy_from_slice(&number.to_be_bytes());
        sector[8..16].copy_from_slice(&label.generation.to_be_bytes());
        sector[16..24].copy_from_slice(&label.sequence.to_be_bytes());
        sector[24..28].copy_from_slice(&label.kind.code().to_be_bytes());
        sector[28..32].copy_from_slice(&length.to_be_bytes());
        let piece = pieces.next().unwrap_or_default();
        sector[HEADER..HEADER + piece.len()].copy_from_slice(piece);
    }
    let checksum = CHECKSUM.checksum(&frame);
    frame[32..HEADER].copy_from_slice(&checksum.to_be_bytes());
    Some(frame)
}

/// A frame found in the journal.
pub(crate) struct Frame {
    pub(crate) label: Label,
    /// Bytes it takes in the journal.
    pub(crate) size: u64,
    pub(crate) payload: Zeroizing<Vec<u8>>,
}

/// What sector 0 says of a frame, not yet believed.
struct Claim<'a> {
    label: Label,
    length: usize,
    frame: &'a [u8],
}

impl<'a> Claim<'a> {
    /// Looks at the start of `region`; `None` if no frame of `generation` can begin there.
    fn read(region: &'a [u8], generation: u64) -> Option<Self> {
        let first = region.get(..SECTOR)?;
        if first[..4] != FRAME_MAGIC || number32(first, 4) != 0 || number64(first, 8) != generation {
            return None;
        }
        let kind = match number32(first, 24) {
            0 => Kind::Commit,
            1 => Kind::Snapshot,
            _ => return None,
        };
        let sequence = Some(number64(first, 16)).filter(|&sequence| sequence < NUMBERS)?;
        let length = usize::try_from(number32(first, 28)).ok()?;
        let frame = region.get(..length.div_ceil(PIECE).max(1).checked_mul(SECTOR)?)?;
        Some(Self { label: Label { kind, generation, sequence }, length, frame })
    }

    /// The frame, if its checksum and the headers of all its sectors agree.
    fn verify(&self) -> Option<Frame> {
        let mut digest = CHECKSUM.digest();
        digest.update(&self.frame[..32]);
        digest.update(&[0; 8]);
        digest.update(&self.frame[HEADER..]);
        if digest.finalize() != number64(self.frame, 32) {
            return None;
        }
        let mut payload = Zeroizing::new(Vec::with_capacity(self.frame.len()));
        for (number, sector) in (0u32..).zip(self.frame.chunks_exact(SECTOR)) {
            if sector[..4] != FRAME_MAGIC || number32(sector, 4) != number || sector[8..32] != self.frame[8..32] {
                return None;
            }
            payload.extend_from_slice(&sector[HEADER..]);
        }
        payload.truncate(self.length);
        Some(Frame { label: self.label, size: self.frame.len() as u64, payload })
    }
}

/// Reads the frame of `generation` at the start of `region`; `None` if no such frame stands there whole.
pub(crate) fn decode_frame(region: &[u8], generation: u64) -> Option<Frame> {
    Claim::read(region, generation)?.verify()
}

/// Whether a whole frame of `generation` begins at any sector of `region`.
///
/// What a torn commit leaves costs little to look through. A region made to cost more than [`PATIENCE`] times its
/// length was not left by one, and counts as holding a frame.
pub(crate) fn any_frame(region: &[u8], generation: u64) -> bool {
    let mut patience = region.len().saturating_mul(PATIENCE);
    for start in (0..region.len()).step_by(SECTOR) {
        let Some(claimed) = Claim::read(&region[start..], generation) else { continue };
        let Some(rest) = patience.checked_sub(claimed.frame.len()) else { return true };
        patience = rest;
        if claimed.verify().is_some() {
            return true;
        }
    }
    false
}

fn number32(sector: &[u8], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&sector[offset..offset + 4]);
    u32::from_be_bytes(bytes)
}

fn number64(sector: &[u8], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&sector[offset..offset + 8]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label = Label { kind: Kind::Commit, generation: 1, sequence: 3 };

    fn frame(payload: &[u8]) -> Vec<u8> {
        encode_frame(LABEL, payload).unwrap().to_vec()
    }

    fn reads(region: &[u8]) -> Option<Vec<u8>> {
        decode_frame(region, 1).map(|frame| frame.payload.to_vec())
    }

    #[test]
    fn headers_are_what_the_format_says() {
        let header = encode_header(2);
        assert_eq!(header[..16], *b"SMCARDJH\0\0\0\0\0\0\0\x02");
        // Computed bit by bit by another program.
        assert_eq!(header[504..], 0x39BF_BB1B_BB69_EA5A_u64.to_be_bytes());
        assert_eq!(decode_header(&header), Some(2));
    }

    #[test]
    fn no_damaged_header_is_read() {
        for bit in 0..SECTOR * 8 {
            let mut header = encode_header(7);
            header[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_header(&header), None, "bit {bit}");
        }
        assert_eq!(decode_header(&[0; SECTOR]), None);
        assert_eq!(decode_header(&encode_header(0)), None);
        assert_eq!(decode_header(&encode_header(NUMBERS)), None);
    }

    #[test]
    fn frames_are_what_the_format_says() {
        let found = frame(&[0x5A; 609]);
        assert_eq!(found.len(), 1024);
        let mut first = b"SMFR\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\x02\x61".to_vec();
        assert_eq!(found[..32], first);
        first[7] = 1;
        assert_eq!(found[512..544], first);
        assert_eq!(found[544..552], [0; 8]);
        assert_eq!(found[552..552 + 137], [0x5A; 137]);
        assert_eq!(found[552 + 137..], [0; 335]);
    }

    #[test]
    fn the_checksum_covers_all_but_itself() {
        let mut payload = vec![1, 0, 0, 0, 9, 0, 0, 2, 0x58];
        payload.extend([0x5A; 600]);
        // Computed bit by bit by another program.
        assert_eq!(frame(&payload)[32..40], 0x0862_8809_14C2_240B_u64.to_be_bytes());
    }

    #[test]
    fn sizes_count_whole_sectors() {
        for (payload, sectors) in [(0, 1), (1, 1), (472, 1), (473, 2), (944, 2), (945, 3)] {
            assert_eq!(frame_size(payload), sectors * 512, "{payload}");
            let bytes = vec![1; usize::try_from(payload).unwrap()];
            assert_eq!(frame(&bytes).len() as u64, sectors * 512, "{payload}");
            assert_eq!(reads(&frame(&bytes)), Some(bytes), "{payload}");
            assert!(payload_capacity(sectors * 512) >= payload);
        }
        assert_eq!(payload_capacity(1023), 472);
        assert!(frame_size(u64::MAX) > u64::from(u32::MAX), "too much is much, not little");
    }

    #[test]
    fn no_damaged_frame_is_read() {
        let sound = frame(&[0xA5; 600]);
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(reads(&damaged), None, "bit {bit}");
        }
        for length in 0..sound.len() {
            assert_eq!(reads(&sound[..length]), None, "cut to {length}");
        }
        assert!(decode_frame(&sound, 2).is_none(), "of another generation");
    }

    #[test]
    fn sectors_must_agree_even_under_a_valid_checksum() {
        for at in [512, 519, 527, 535, 539, 543] {
            let mut forged = frame(&[0xA5; 600]);
            forged[at] ^= 1;
            forged[32..40].fill(0);
            let checksum = CHECKSUM.checksum(&forged);
            forged[32..40].copy_from_slice(&checksum.to_be_bytes());
            assert_eq!(reads(&forged), None, "byte {at}");
        }
    }

    #[test]
    fn a_frame_of_two_commits_is_not_read() {
        // The second commit of the same length and label was torn after its first sector.
        let (first, second) = (frame(&[1; 600]), frame(&[2; 600]));
        let mixed = [&second[..SECTOR], &first[SECTOR..]].concat();
        assert_eq!(reads(&mixed), None);
        assert!(!any_frame(&mixed, 1));
    }

    #[test]
    fn content_cannot_pass_for_a_frame() {
        let hidden = frame(b"forged");
        // Payload stands at every offset modulo the sector, among them those where a frame would begin.
        for shift in 0..SECTOR {
            let payload = [vec![0; shift], hidden.clone(), hidden.clone()].concat();
            let sound = frame(&payload);
            assert!(!any_frame(&sound[SECTOR..], 1), "shift {shift}");
        }
        assert!(any_frame(&[vec![0; SECTOR], hidden].concat(), 1), "but a real one is found");
    }

    #[test]
    fn looking_for_frames_ends() {
        // Each sector claims to begin a frame that fills all the rest.
        let mut region = vec![0; SECTOR * 256];
        for number in 0..256u32 {
            let at = number as usize * SECTOR;
            let length = u32::try_from((255 - number as usize) * PIECE + 1).unwrap();
            let claim = frame(&[]);
            region[at..at + 32].copy_from_slice(&claim[..32]);
            region[at + 28..at + 32].copy_from_slice(&length.to_be_bytes());
        }
        assert!(any_frame(&region, 1), "this is damage, not a torn commit");
        assert!(!any_frame(&region, 2));
    }
}
