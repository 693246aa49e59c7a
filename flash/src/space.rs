//! Which data pages are in use, and by whom.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::extent::Extent;
use crate::layout::PAGE;

/// The extents in use. Everything else in the data area is free.
///
/// Invariant: the extents lie in the data area, are not empty and do not overlap; each has a reservation or at least
/// one reference.
pub(crate) struct Space {
    pages: Range<u32>,
    in_use: BTreeMap<u32, Use>,
}

struct Use {
    count: u32,
    reserved: bool,
    references: u32,
}

impl Space {
    /// A data area of `pages`, all free.
    pub(crate) fn new(pages: Range<u32>) -> Self {
        Self { pages, in_use: BTreeMap::new() }
    }

    /// Reserves the smallest free run that holds `count` pages; among equals the first.
    ///
    /// Best fit keeps long runs long: a batch must be contiguous.
    pub(crate) fn reserve(&mut self, count: u32) -> Option<Extent> {
        if count == 0 {
            return None;
        }
        let (_, first) = self.gaps().filter(|gap| gap.count >= count).map(|gap| (gap.count, gap.first)).min()?;
        self.in_use.insert(first, Use { count, reserved: true, references: 0 });
        Some(Extent { first, count })
    }

    /// Ends a reservation.
    pub(crate) fn release(&mut self, extent: Extent) {
        if let Some(found) = self.find(extent) {
            found.reserved = false;
            self.drop_if_unused(extent);
        }
    }

    /// Whether the extent is reserved or referred to.
    pub(crate) fn is_live(&self, extent: Extent) -> bool {
        self.in_use.get(&extent.first).is_some_and(|found| found.count == extent.count)
    }

    /// Counts a reference to a live extent. It takes the place of a reservation.
    pub(crate) fn refer(&mut self, extent: Extent) {
        if let Some(found) = self.find(extent) {
            found.references = found.references.saturating_add(1);
            found.reserved = false;
        }
    }

    /// Takes a reference back; with the last one the extent is free.
    pub(crate) fn unrefer(&mut self, extent: Extent) {
        if let Some(found) = self.find(extent) {
            found.references = found.references.saturating_sub(1);
            self.drop_if_unused(extent);
        }
    }

    /// Counts a reference found in an image.
    ///
    /// # Errors
    ///
    /// What is wrong with the extent.
    pub(crate) fn adopt(&mut self, extent: Extent) -> Result<(), &'static str> {
        let end = extent.first.checked_add(extent.count).filter(|&end| end <= self.pages.end);
        let Some(end) = end.filter(|_| extent.count > 0 && extent.first >= self.pages.start) else {
            return Err("an extent outside the data area");
        };
        if !self.is_live(extent) {
            let before = self.in_use.range(..end).next_back();
            if before.is_some_and(|(&first, found)| first + found.count > extent.first) {
                return Err("extents that overlap");
            }
            self.in_use.insert(extent.first, Use { count: extent.count, reserved: false, references: 0 });
        }
        self.refer(extent);
        Ok(())
    }

    /// Bytes of the data area.
    pub(crate) fn capacity(&self) -> u64 {
        u64::from(self.pages.end - self.pages.start) * PAGE
    }

    /// Bytes free.
    pub(crate) fn free(&self) -> u64 {
        self.gaps().map(|gap| gap.capacity()).sum()
    }

    /// Bytes of the longest free run.
    pub(crate) fn largest_free(&self) -> u64 {
        self.gaps().map(|gap| gap.capacity()).max().unwrap_or(0)
    }

    /// The free runs, ascending.
    fn gaps(&self) -> impl Iterator<Item = Extent> {
        let starts =
            std::iter::once(self.pages.start).chain(self.in_use.iter().map(|(&first, used)| first + used.count));
        let ends = self.in_use.keys().copied().chain(std::iter::once(self.pages.end));
        starts.zip(ends).filter(|(start, end)| start < end).map(|(first, end)| Extent { first, count: end - first })
    }

    fn find(&mut self, extent: Extent) -> Option<&mut Use> {
        self.in_use.get_mut(&extent.first).filter(|found| found.count == extent.count)
    }

    fn drop_if_unused(&mut self, extent: Extent) {
        if self.find(extent).is_some_and(|found| !found.reserved && found.references == 0) {
            self.in_use.remove(&extent.first);
        }
    }
}
