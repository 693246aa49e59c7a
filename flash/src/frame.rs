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
