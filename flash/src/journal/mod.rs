//! The journal: two halves, one of them active.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::entry;
use crate::error::FlashError;
use crate::frame::{self, Frame, Kind, Label};
use crate::io::{Barrier, Io};
use crate::layout::{Half, Layout, SECTOR, SECTOR_BYTES, index};
use crate::medium::Medium;
use crate::record::{Key, Record};

/// Where the journal stands.
///
/// # Layout
///
/// The half with the highest generation in a valid header is *active*. It holds a snapshot of all records, then the
/// commits since, each a frame in whole sectors; the longest run of valid frames with consecutive sequences is the
/// committed state. What follows is the remains of a torn commit or of the half's earlier life.
///
/// # Why the writes come in this order
///
/// A commit is **appended** if there is room and it is not the first since opening. Its frame touches only sectors after
/// the last valid frame, so tearing it can spoil nothing committed. Valid, it is the commit; torn, its checksum fails and
/// the state is the one before. Remains that it does not cover are never read as a frame: sector 0 of a frame says so and
/// names its generation and sequence, and no payload stands where that is looked for. Frames of an earlier life have
/// another generation; a torn commit of this life has no second sector 0.
///
/// The first commit since opening is not appended because a torn one may stand there that lacks very little: a second
/// write, torn as well, could bring just those bits (most of a label are the same in both), and make the first one valid
/// after all. Nothing is ever written over a torn commit of the same generation.
///
/// Otherwise it is **compacted**: all records, its changes included, go as a snapshot to the other half; barrier; then
/// that half's header with the next generation; barrier. By power lost at one of these points:
///
/// * *in the snapshot*: the other half's header is what it was, blank or of an older generation, and loses. It was
///   not torn by this, being in a sector of its own. The active half is whole.
/// * *in the header*: torn, it is invalid and loses; whole, its half has the snapshot, since the barrier came between.
/// * *after it*: both halves are valid and the newer wins.
/// * *again, in a second attempt*: the first attempt left at most a part of a snapshot of the same generation, without
///   a valid header (else it would be active now). The second overwrites its sector 0, so no frame remains of it.
///
/// With the next append the old half is **retired**: its header is blanked, in the same barrier, for from the barrier
/// before on it is not needed. From then on damage to the active header cannot bring the old state back unnoticed.
///
/// # After opening
///
/// What was read may not be durable: a flush that failed leaves pages that are shown for a while and yet never written.
/// Only the last thing written before the failure can be concerned, since after it the store was mute: the last commit, or the
/// header if none followed its snapshot. Before the first write, be it of a commit or to an extent (whose pages may be
/// free only by that commit), that part is therefore written again, from memory (the same bytes, which cannot
/// harm them), and a barrier follows.
pub(crate) struct Journal {
    layout: Layout,
    active: Half,
    generation: u64,
    /// Number of the last commit; making the image is the first.
    sequence: u64,
    /// Bytes of the active half in use, its header included.
    fill: u64,
    /// The part to be confirmed, and its offset.
    doubtful: Option<(u64, Zeroizing<Vec<u8>>)>,
    /// The other half has a valid header too.
    retire: bool,
    /// Nothing was committed since opening: a torn commit may stand after the last valid frame.
    opened: bool,
}

impl Journal {
    /// Writes an empty journal on a blank medium; not durable yet.
    pub(crate) fn create<M: Medium>(layout: Layout, io: &mut Io<M>) -> Result<Self, FlashError> {
        let label = Label { kind: Kind::Snapshot, generation: 1, sequence: 1 };
        let mut journal = Self::begin(layout, Half::First, label.generation, false);
        let frame = frame::encode_frame(label, &[]).ok_or_else(|| journal.full(0))?;
        let start = layout.start_of(journal.active);
        io.write(start, &frame::encode_header(label.generation))?;
        io.write(start + SECTOR_BYTES, &frame)?;
        journal.sequence = label.sequence;
        journal.fill += frame.len() as u64;
        Ok(journal)
    }

    fn begin(layout: Layout, active: Half, generation: u64, retire: bool) -> Self {
        Self { layout, active, generation, sequence: 0, fill: SECTOR_BYTES, doubtful: None, retire, opened: false }
    }

    /// Finds the committed state. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`FlashError::Journal`] if no loss of power can have left the journal so.
    pub(crate) fn load(image: &[u8], layout: Layout) -> Result<(Self, BTreeMap<Key, Record>), FlashError> {
        let generation = |half| {
            let sector = image.get(index(layout.start_of(half))..).and_then(<[u8]>::first_chunk::<SECTOR>);
            sector.and_then(frame::decode_header)
        };
        let (active, generation, retire) = match (generation(Half::First), generation(Half::Second)) {
            (Some(first), Some(second)) if first == second => {
                return Err(damaged(layout.start_of(Half::Second), "both halves have the same generation"));
            }
            (Some(first), Some(second)) if first < second => (Half::Second, second, true),
            (Some(first), second) => (Half::First, first, second.is_some()),
            (None, Some(second)) => (Half::Second, second, false),
            (None, None) => return Err(damaged(layout.start_of(Half::First), "neither half has a valid header")),
        };
        let mut journal = Self { opened: true, ..Self::begin(layout, active, generation, retire) };
        let start = layout.start_of(active);
        let half = image.get(index(start)..index(start + layout.half())).unwrap_or_default();
        let mut records = BTreeMap::new();
        while let Some(frame) = half.get(index(journal.fill)..).and_then(|rest| frame::decode_frame(rest, generation)) {
            let place = index(journal.fill)..index(journal.fill + frame.size);
            let accepted = journal
                .accept(&frame, half.get(place).unwrap_or_default())
                .and_then(|()| entry::replay(&frame.payload, &mut records));
            accepted.map_err(|reason| damaged(start + journal.fill, reason))?;
            journal.fill += frame.size;
        }
        if journal.doubtful.is_none() {
            return Err(damaged(start + SECTOR_BYTES, "the half has no snapshot"));
        }
        if frame::any_frame(half.get(index(journal.fill)..).unwrap_or_default(), generation) {
            return Err(damaged(start + journal.fill, "a commit is unreadable though later ones follow"));
        }
        Ok((journal, records))
    }

    /// Takes the next frame into the state, if it is the one that must come. `bytes` is the frame as it stands there.
    fn accept(&mut self, frame: &Frame, bytes: &[u8]) -> Result<(), &'static str> {
        let Label { kind, sequence, .. } = frame.label;
        let start = self.layout.start_of(self.active);
        match (kind, self.fill == SECTOR_BYTES) {
            (Kind::Snapshot, true) => {
                let header = frame::encode_header(self.generation);
                self.doubtful = Some((start, Zeroizing::new(header.to_vec())));
            }
            (Kind::Commit, false) if sequence == self.sequence + 1 => {
                self.doubtful = Some((start + self.fill, Zeroizing::new(bytes.to_vec())));
            }
            (Kind::Commit, false) => return Err("a commit out of sequence"),
            (Kind::Commit, true) => return Err("the half does not begin with a snapshot"),
            (Kind::Snapshot, false) => return Err("a snapshot amid commits"),
        }
        self.sequence = sequence;
        Ok(())
    }

    /// Offset of the active half.
    pub(crate) fn start(&self) -> u64 {
        self.layout.start_of(self.active)
    }

    /// Whether a commit of `payload` bytes can be appended.
    pub(crate) fn fits(&self, payload: u64) -> bool {
        !self.opened && frame::frame_size(payload) <= self.layout.half() - self.fill
    }

    /// Bytes that all records together may take.
    pub(crate) fn capacity(&self) -> u64 {
        frame::payload_capacity(self.layout.half() - SECTOR_BYTES)
    }

    /// Bytes of the active half in use.
    pub(crate) fn fill(&self) -> u64 {
        self.fill
    }

    /// Makes certain, once after opening, that what was found is durable.
    pub(crate) fn confirm<M: Medium>(&mut self, io: &mut Io<M>) -> Result<(), FlashError> {
        if io.leaves_out(Barrier::Confirmed) {
            return Ok(());
        }
        if let Some((offset, found)) = &self.doubtful {
            io.write(*offset, found)?;
            io.barrier(Barrier::Confirmed)?;
            self.doubtful = None;
        }
        Ok(())
    }

    /// Appends a commit that [fits](Journal::fits) and makes it durable.
    pub(crate) fn append<M: Medium>(&mut self, io: &mut Io<M>, payload: &[u8]) -> Result<(), FlashError> {
        let label = Label { kind: Kind::Commit, generation: self.generation, sequence: self.sequence + 1 };
        let frame = frame::encode_frame(label, payload).ok_or_else(|| self.full(payload.len()))?;
        if self.retire {
            io.write(self.layout.start_of(self.active.other()), &[0; SECTOR])?;
        }
        io.write(self.start() + self.fill, &frame)?;
        io.barrier(Barrier::Frame)?;
        self.retire = false;
        self.sequence = label.sequence;
        self.fill += frame.len() as u64;
        Ok(())
    }

    /// Commits by a snapshot in the other half. `payload` is at most [`capacity`](Journal::capacity) bytes.
    pub(crate) fn compact<M: Medium>(&mut self, io: &mut Io<M>, payload: &[u8]) -> Result<(), FlashError> {
        let label = Label { kind: Kind::Snapshot, generation: self.generation + 1, sequence: self.sequence + 1 };
        let frame = frame::encode_frame(label, payload).ok_or_else(|| self.full(payload.len()))?;
        let other = self.active.other();
        let start = self.layout.start_of(other);
        io.write(start + SECTOR_BYTES, &frame)?;
        io.barrier(Barrier::Snapshot)?;
        io.write(start, &frame::encode_header(label.generation))?;
        io.barrier(Barrier::Header)?;
        *self = Self::begin(self.layout, other, label.generation, true);
        self.sequence = label.sequence;
        self.fill += frame.len() as u64;
        Ok(())
    }

    fn full(&self, payload: usize) -> FlashError {
        FlashError::Full { asked: payload as u64, largest: self.capacity() }
    }
}

fn damaged(offset: u64, reason: &'static str) -> FlashError {
    FlashError::Journal { offset, reason }
}

#[cfg(test)]
mod tests;
