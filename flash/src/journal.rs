//! The journal: two halves, one of them active.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::entry;
use crate::error::FlashError;
use crate::frame::{self, Frame, Kind, Label};
use crate::io::Io;
use crate::layout::{Half, Layout, SECTOR, SECTOR_BYTES, index};
use crate::medium::Medium;
use crate::record::{Key, Record};

/// Where the journal stands.
pub(crate) struct Journal {
    layout: Layout,
    active: Half,
    generation: u64,
    sequence: u64,
    /// Bytes of the active half in use, its header included.
    fill: u64,
    /// What a failed flush before opening may have lost: offset and length. See [`Journal::confirm`].
    doubtful: Option<(u64, u64)>,
    /// The other half still has a valid header of an older generation.
    retire: bool,
}

impl Journal {
    /// Writes an empty journal on a blank medium.
    pub(crate) fn create<M: Medium>(layout: Layout, io: &mut Io<M>) -> Result<Self, FlashError> {
        let mut journal = Self {
            layout,
            active: Half::Second,
            generation: 0,
            sequence: 0,
            fill: SECTOR_BYTES,
            doubtful: None,
            retire: false,
        };
        journal.compact(io, &[])?;
        journal.retire = false;
        journal.sequence = 0;
        Ok(journal)
    }

    /// Finds the committed state. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`FlashError::Journal`] if the journal cannot come from any loss of power.
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
        let start = layout.start_of(active);
        let half = image.get(index(start)..index(start + layout.half())).unwrap_or_default();
        let mut records = BTreeMap::new();
        let mut journal = Self { layout, active, generation, sequence: 0, fill: SECTOR_BYTES, doubtful: None, retire };
        while let Some(frame) = half.get(index(journal.fill)..).and_then(|rest| frame::decode_frame(rest, generation)) {
            journal.accept(&frame).map_err(|reason| damaged(start + journal.fill, reason))?;
            entry::replay(&frame.payload, &mut records).map_err(|reason| damaged(start + journal.fill, reason))?;
            journal.fill += frame.size;
        }
        if journal.doubtful.is_none() {
            return Err(damaged(start + SECTOR_BYTES, "the half has no snapshot"));
        }
        let rest = half.get(index(journal.fill)..).unwrap_or_default();
        let later = (0..rest.len()).step_by(SECTOR).any(|at| frame::decode_frame(&rest[at..], generation).is_some());
        if later {
            return Err(damaged(start + journal.fill, "a frame is unreadable though later ones were committed"));
        }
        Ok((journal, records))
    }

    /// Takes the label of the next frame into the state, if it is the one that must come.
    fn accept(&mut self, frame: &Frame) -> Result<(), &'static str> {
        let Label { kind, sequence, .. } = frame.label;
        let start = self.layout.start_of(self.active);
        match (kind, self.fill == SECTOR_BYTES) {
            (Kind::Snapshot, true) => self.doubtful = Some((start, SECTOR_BYTES)),
            (Kind::Commit, false) if sequence == self.sequence + 1 => {
                self.doubtful = Some((start + self.fill, frame.size));
            }
            (Kind::Snapshot, false) => return Err("a snapshot amid commits"),
            (Kind::Commit, true) => return Err("the half does not begin with a snapshot"),
            (Kind::Commit, false) => return Err("a frame out of sequence"),
        }
        self.sequence = sequence;
        Ok(())
    }

    /// Whether a commit of `payload` bytes can be appended to the active half.
    pub(crate) fn fits(&self, payload: u64) -> bool {
        frame::frame_size(payload) <= self.layout.half() - self.fill
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
        if let Some((offset, length)) = self.doubtful {
            let found = io.medium.bytes().get(index(offset)..index(offset + length)).unwrap_or_default();
            let found = Zeroizing::new(found.to_vec());
            io.write(offset, &found)?;
            io.barrier()?;
            self.doubtful = None;
        }
        Ok(())
    }

    /// Appends a commit and makes it durable.
    pub(crate) fn append<M: Medium>(&mut self, io: &mut Io<M>, payload: &[u8]) -> Result<(), FlashError> {
        let label = Label { kind: Kind::Commit, generation: self.generation, sequence: self.sequence + 1 };
        let frame = frame::encode_frame(label, payload).ok_or_else(|| self.full(payload))?;
        if self.retire {
            io.write(self.layout.start_of(self.active.other()), &[0; SECTOR])?;
        }
        io.write(self.layout.start_of(self.active) + self.fill, &frame)?;
        io.barrier()?;
        self.retire = false;
        self.sequence += 1;
        self.fill += frame.len() as u64;
        Ok(())
    }

    /// Commits by writing all records, the changes included, to the other half.
    pub(crate) fn compact<M: Medium>(&mut self, io: &mut Io<M>, payload: &[u8]) -> Result<(), FlashError> {
        let generation = self.generation + 1;
        let label = Label { kind: Kind::Snapshot, generation, sequence: self.sequence + 1 };
        let frame = frame::encode_frame(label, payload).ok_or_else(|| self.full(payload))?;
        let other = self.active.other();
        let start = self.layout.start_of(other);
        io.write(start + SECTOR_BYTES, &frame)?;
        io.barrier()?;
        io.write(start, &frame::encode_header(generation))?;
        io.barrier()?;
        self.active = other;
        self.generation = generation;
        self.sequence += 1;
        self.fill = SECTOR_BYTES + frame.len() as u64;
        self.retire = true;
        Ok(())
    }

    fn full(&self, payload: &[u8]) -> FlashError {
        FlashError::Full { asked: payload.len() as u64, largest: self.capacity() }
    }
}

fn damaged(offset: u64, reason: &'static str) -> FlashError {
    FlashError::Journal { offset, reason }
}
