//! What of the pending writes takes effect when the power goes.

use super::Write;
use super::random::Random;
use crate::layout::SECTOR;

/// A way in which pending writes take effect in part. Bytes and bits are counted through all writes in the order in
/// which they were made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tear {
    /// Nothing.
    Nothing,
    /// All of it.
    Everything,
    /// The first so many bytes.
    Prefix(usize),
    /// The last so many bytes.
    Suffix(usize),
    /// Only the write of this number, from 0.
    Only(usize),
    /// All but the write of this number.
    Without(usize),
    /// Of all bits to be changed, only the one of this number.
    Bit(usize),
    /// Of all bits to be changed, all but the one of this number.
    AllButBit(usize),
    /// Each sector wholly or not at all, in any order, at random by this seed.
    Sectors(u64),
    /// Each sector wholly, not at all, or torn at a byte of which any subset of the changed bits took effect; in any
    /// order; at random by this seed.
    Random(u64),
    /// As `Sectors`, and some sectors of superblock and journal that were to change hold garbage instead. Worse than
    /// the failure model: holds because the store never writes to a sector that holds anything committed.
    Garbage(u64),
}

impl Tear {
    pub(super) fn apply(self, durable: &mut [u8], pending: &[Write], managed: usize) {
        let total = pending.iter().map(|write| write.data.len()).sum::<usize>();
        match self {
            Self::Nothing => {}
            Self::Everything => window(durable, pending, 0, total),
            Self::Prefix(length) => window(durable, pending, 0, length),
            Self::Suffix(length) => window(durable, pending, total.saturating_sub(length), total),
            Self::Only(chosen) => pending.iter().skip(chosen).take(1).for_each(|write| put(durable, write)),
            Self::Without(chosen) => {
                let others = pending.iter().enumerate().filter(|&(number, _)| number != chosen);
                others.for_each(|(_, write)| put(durable, write));
            }
            Self::Bit(chosen) => {
                if let Some((place, mask)) = changed_bit(durable, pending, chosen) {
                    durable[place] ^= mask;
                }
            }
            Self::AllButBit(chosen) => {
                let bit = changed_bit(durable, pending, chosen);
                window(durable, pending, 0, total);
                if let Some((place, mask)) = bit {
                    durable[place] ^= mask;
                }
            }
            Self::Sectors(seed) => {
                pieces(
                    durable,
                    pending,
                    Random::new(seed),
                    |_, _, random| {
                        if random.one_in(2) { Piece::Whole } else { Piece::Lost }
                    },
                )
            }
            Self::Random(seed) => pieces(durable, pending, Random::new(seed), |_, _, random| match random.below(4) {
                0 => Piece::Lost,
                1 => Piece::Whole,
                _ => Piece::Torn,
            }),
            Self::Garbage(seed) => {
                pieces(durable, pending, Random::new(seed), |place, changes, random| match random.below(3) {
                    0 => Piece::Lost,
                    1 if place < managed && changes => Piece::Garbage,
                    _ => Piece::Whole,
                })
            }
        }
    }
}

/// What becomes of the part of a write that lies in one sector.
enum Piece {
    Lost,
    Whole,
    Torn,
    Garbage,
}

/// Applies the bytes from `start` to `end` of all writes.
fn window(durable: &mut [u8], pending: &[Write], start: usize, end: usize) {
    let mut position = 0;
    for Write { offset, data } in pending {
        let from = start.saturating_sub(position).min(data.len());
        let to = end.saturating_sub(position).min(data.len()).max(from);
        durable[offset + from..offset + to].copy_from_slice(&data[from..to]);
        position += data.len();
    }
}

fn put(durable: &mut [u8], write: &Write) {
    durable[write.offset..write.offset + write.data.len()].copy_from_slice(&write.data);
}

/// The places where all writes together change a byte, and the bits that differ there.
pub(super) fn differences(durable: &[u8], pending: &[Write]) -> Vec<(usize, u8)> {
    let bytes = pending
        .iter()
        .flat_map(|Write { offset, data }| data.iter().enumerate().map(move |(at, &byte)| (offset + at, byte)));
    let mut bytes: Vec<_> = bytes.collect();
    // Of several writes to a place, which a stable sort keeps in order, the last counts.
    bytes.reverse();
    bytes.sort_by_key(|&(place, _)| place);
    bytes.dedup_by_key(|&mut (place, _)| place);
    bytes.into_iter().map(|(at, byte)| (at, byte ^ durable[at])).filter(|&(_, bits)| bits != 0).collect()
}

/// The place and the mask of a bit among those that change.
fn changed_bit(durable: &[u8], pending: &[Write], mut chosen: usize) -> Option<(usize, u8)> {
    for (place, bits) in differences(durable, pending) {
        let ones = bits.count_ones() as usize;
        if chosen < ones {
            return (0..8).map(|bit| 1 << bit).filter(|mask| bits & mask != 0).nth(chosen).map(|mask| (place, mask));
        }
        chosen -= ones;
    }
    None
}

/// Cuts all writes at sector boundaries, shuffles the pieces, and lets `fate` choose what becomes of each.
fn pieces(durable: &mut [u8], pending: &[Write], mut random: Random, fate: impl Fn(usize, bool, &mut Random) -> Piece) {
    let mut pieces = Vec::new();
    for Write { offset, data } in pending {
        let mut rest = data.as_slice();
        let mut place = *offset;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((SECTOR - place % SECTOR).min(rest.len()));
            pieces.push((place, piece));
            place += piece.len();
            rest = later;
        }
    }
    for unsorted in (1..pieces.len()).rev() {
        pieces.swap(unsorted, random.below(unsorted + 1));
    }
    for (place, piece) in pieces {
        let target = &mut durable[place..place + piece.len()];
        match fate(place, target != piece, &mut random) {
            Piece::Lost => {}
            Piece::Whole => target.copy_from_slice(piece),
            Piece::Garbage => target.iter_mut().for_each(|byte| *byte = random.byte()),
            Piece::Torn => {
                let torn = random.below(piece.len());
                let mask = match random.below(4) {
                    0 => 0,
                    1 => 0xFF,
                    _ => random.byte(),
                };
                target[torn] ^= (target[torn] ^ piece[torn]) & mask;
                if random.one_in(2) {
                    target[..torn].copy_from_slice(&piece[..torn]);
                } else {
                    target[torn + 1..].copy_from_slice(&piece[torn + 1..]);
                }
            }
        }
    }
}
