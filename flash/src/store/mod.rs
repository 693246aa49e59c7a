//! The store: records and extents over a medium.

mod commit;
#[cfg(test)]
mod left_out;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use crate::entry;
use crate::error::FlashError;
use crate::extent::Extent;
use crate::io::{Barrier, Io};
use crate::journal::Journal;
use crate::layout::{Layout, PAGE, index};
use crate::medium::Medium;
use crate::record::{Key, Record};
use crate::space::Space;
use crate::stats::{Durability, Stats};
use crate::superblock::{self, Superblock};
use crate::view::View;

/// What a new image is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreateOptions {
    /// Bytes of the image, [`MIN_SIZE`](crate::MIN_SIZE) to [`MAX_SIZE`](crate::MAX_SIZE); rounded up to whole pages.
    pub size: u64,
    /// What tells this card from every other, chosen by the caller.
    pub identity: [u8; 16],
}

/// Identity, layout, journal, records and space of an image.
type Found = ([u8; 16], Layout, Journal, BTreeMap<Key, Record>, Space);

/// Records under keys, and extents of the data area, on a medium that may lose its power at any moment.
///
/// The promises are in the [crate documentation](crate).
pub struct Store<M: Medium> {
    io: Io<M>,
    identity: [u8; 16],
    journal: Journal,
    records: BTreeMap<Key, Record>,
    /// Bytes that a snapshot of `records` takes.
    live: u64,
    space: Space,
    /// Extents were written since the last barrier.
    unflushed: bool,
    mute: bool,
}

impl<M: Medium> Store<M> {
    /// Makes an empty card image on a blank medium.
    ///
    /// # Errors
    ///
    /// [`FlashError::Size`], [`FlashError::Unequal`] and [`FlashError::NotBlank`] before anything is written;
    /// [`FlashError::Medium`] if the medium fails: such an image must be removed, not opened.
    pub fn format(medium: M, options: &CreateOptions) -> Result<Self, FlashError> {
        Self::format_with(medium, Layout::for_size(options.size)?, options.identity)
    }

    /// As [`Store::format`], on a medium made by [`Simulator::small`](crate::sim::Simulator::small) with the same
    /// numbers.
    ///
    /// # Errors
    ///
    /// As [`Store::format`].
    #[cfg(any(test, feature = "sim"))]
    pub fn format_small(medium: M, half_pages: u64, data_pages: u64, identity: [u8; 16]) -> Result<Self, FlashError> {
        Self::format_with(medium, Layout::small(half_pages, data_pages), identity)
    }

    pub(crate) fn format_with(medium: M, layout: Layout, identity: [u8; 16]) -> Result<Self, FlashError> {
        Self::format_io(Io::new(medium), layout, identity)
    }

    fn format_io(mut io: Io<M>, layout: Layout, identity: [u8; 16]) -> Result<Self, FlashError> {
        let size = io.medium.len();
        if size != layout.size() {
            return Err(FlashError::Unequal { actual: size, wanted: layout.size() });
        }
        let managed = io.medium.bytes().get(..index(layout.data_start())).unwrap_or_default();
        if let Some(offset) = managed.iter().position(|&byte| byte != 0) {
            return Err(FlashError::NotBlank { offset: offset as u64 });
        }
        let journal = Journal::create(layout, &mut io)?;
        io.barrier(Barrier::Made)?;
        let page = Superblock { layout, identity }.encode();
        for offset in superblock::PLACES {
            io.write(offset, &page)?;
        }
        io.barrier(Barrier::Formatted)?;
        Ok(Self::assemble(io, identity, layout, journal))
    }

    /// Opens an image: finds the state after the last commit, and makes sure that it is durable.
    ///
    /// Takes time in proportion to the journal, not to the image, and changes no byte.
    ///
    /// # Errors
    ///
    /// One for each way an image can be wrong, see [`FlashError`].
    pub fn open(medium: M) -> Result<Self, FlashError> {
        Self::open_or_return(medium).map_err(|failed| failed.1)
    }

    /// As [`Store::open`], for who wants to try again: with the error the medium comes back.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_or_return(medium: M) -> Result<Self, Box<(M, FlashError)>> {
        Self::open_io(Io::new(medium)).map_err(|failed| Box::new((failed.0.medium, failed.1)))
    }

    fn open_io(mut io: Io<M>) -> Result<Self, (Io<M>, FlashError)> {
        match Self::found(&mut io) {
            Ok((identity, layout, journal, records, space)) => {
                let live = records.values().map(entry::put_size).sum();
                Ok(Self { live, records, space, ..Self::assemble(io, identity, layout, journal) })
            }
            Err(error) => Err((io, error)),
        }
    }

    /// What stands in an image, and is durable then.
    fn found(io: &mut Io<M>) -> Result<Found, FlashError> {
        let image = io.medium.bytes();
        let Superblock { layout, identity } = Superblock::read(image)?;
        let (journal, records) = Journal::load(image, layout)?;
        let mut space = Space::new(layout.data_pages());
        for extent in records.values().filter_map(|record| record.extent) {
            space.adopt(extent).map_err(|reason| FlashError::Journal { offset: journal.start(), reason })?;
        }
        io.barrier(Barrier::Found)?;
        Ok((identity, layout, journal, records, space))
    }

    fn assemble(io: Io<M>, identity: [u8; 16], layout: Layout, journal: Journal) -> Self {
        let space = Space::new(layout.data_pages());
        Self { io, identity, journal, records: BTreeMap::new(), live: 0, space, unflushed: false, mute: false }
    }

    /// The identity chosen when the image was made.
    pub fn identity(&self) -> [u8; 16] {
        self.identity
    }

    /// What stands under a key.
    pub fn get(&self, key: Key) -> Option<&Record> {
        self.records.get(&key)
    }

    /// The records of a range of keys, ascending. A range that ends before it starts is empty.
    pub fn range(&self, range: impl RangeBounds<Key>) -> impl Iterator<Item = (Key, &Record)> {
        let start = match range.start_bound() {
            Bound::Included(key) => Some(key.0),
            Bound::Excluded(key) => key.0.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(key) => Some(key.0),
            Bound::Excluded(key) => key.0.checked_sub(1),
            Bound::Unbounded => Some(u32::MAX),
        };
        let bounds = start.zip(end).filter(|(start, end)| start <= end);
        let found = bounds.map(|(start, end)| self.records.range(Key(start)..=Key(end)));
        found.into_iter().flatten().map(|(&key, record)| (key, record))
    }

    /// Reserves at least `bytes` bytes, contiguous, in whole pages, at least one.
    ///
    /// The reservation lives in memory: it ends when a commit refers to the extent, when it is
    /// [released](Store::release), or with the store. The content is whatever stood there before.
    ///
    /// # Errors
    ///
    /// [`FlashError::Full`] if no free run is long enough; [`FlashError::Mute`].
    pub fn reserve(&mut self, bytes: u64) -> Result<Extent, FlashError> {
        self.speak()?;
        let count = u32::try_from(bytes.div_ceil(PAGE).max(1)).ok();
        let extent = count.and_then(|count| self.space.reserve(count));
        extent.ok_or_else(|| FlashError::Full { asked: bytes, largest: self.space.largest_free() })
    }

    /// Gives back a reservation. Without effect on an extent that a committed record refers to.
    pub fn release(&mut self, extent: Extent) {
        self.space.release(extent);
    }

    /// Writes into an extent. Durable, and ordered before, the next commit.
    ///
    /// What a committed record relies on must not be written over: this write is not atomic. Writing further into a
    /// committed extent is fine.
    ///
    /// # Errors
    ///
    /// [`FlashError::DeadExtent`], [`FlashError::Viewed`] and [`FlashError::Bounds`] before anything is written; [`FlashError::Medium`], after
    /// which the store is mute; [`FlashError::Mute`].
    pub fn write(&mut self, extent: Extent, offset: u64, data: &[u8]) -> Result<(), FlashError> {
        self.speak()?;
        if !self.space.is_live(extent) {
            return Err(FlashError::DeadExtent { address: extent.address() });
        }
        if self.space.is_viewed(extent) {
            return Err(FlashError::Viewed { address: extent.address() });
        }
        let (length, capacity) = (data.len() as u64, extent.capacity());
        if offset.checked_add(length).is_none_or(|end| end > capacity) {
            return Err(FlashError::Bounds { offset, length, capacity });
        }
        self.unflushed = true;
        // The pages may be free only by a commit that is not confirmed.
        let confirmed = self.journal.confirm(&mut self.io);
        let written = confirmed.and_then(|()| self.io.write(extent.address() + offset, data));
        self.mute_on_error(written)
    }

    /// The content of an extent, its whole capacity, in place. Empty for an extent that is not in use.
    pub fn bytes(&self, extent: Extent) -> &[u8] {
        if !self.space.is_live(extent) {
            return &[];
        }
        let start = extent.address();
        self.io.medium.bytes().get(index(start)..index(start + extent.capacity())).unwrap_or_default()
    }

    /// The first `length` bytes of an extent, at most its capacity, to be kept while the store goes on. Empty for an
    /// extent that is not in use.
    ///
    /// Until the view is dropped the extent cannot be written, and is not given to anybody else even if the last
    /// record that refers to it is deleted.
    pub fn view(&self, extent: Extent, length: u64) -> View {
        match self.space.pin(extent) {
            Some(pin) => self.io.medium.view(extent.address(), length.min(extent.capacity())).pinned(pin),
            None => View::copied(&[]),
        }
    }

    /// Chooses how hard commits try from now on.
    pub fn set_durability(&mut self, durability: Durability) {
        self.io.durability = durability;
    }

    /// How hard commits try.
    pub fn durability(&self) -> Durability {
        self.io.durability
    }

    /// What the store did since it was opened or made.
    pub fn stats(&self) -> Stats {
        self.io.stats
    }

    /// Whether a write or barrier failed, so that only opening again helps.
    pub fn is_mute(&self) -> bool {
        self.mute
    }

    /// Bytes of the data area.
    pub fn capacity(&self) -> u64 {
        self.space.capacity()
    }

    /// Bytes of the data area that are free.
    pub fn free(&self) -> u64 {
        self.space.free()
    }

    /// The most bytes that [`reserve`](Store::reserve) can give now.
    pub fn largest_free(&self) -> u64 {
        self.space.largest_free()
    }

    /// The medium, as it is.
    pub fn into_medium(self) -> M {
        self.io.medium
    }

    fn speak(&self) -> Result<(), FlashError> {
        if self.mute { Err(FlashError::Mute) } else { Ok(()) }
    }

    fn mute_on_error(&mut self, result: Result<(), FlashError>) -> Result<(), FlashError> {
        self.mute |= matches!(result, Err(FlashError::Medium { .. }));
        result
    }
}
