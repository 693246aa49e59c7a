//! Which data pages are in use, and by whom.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::extent::Extent;
use crate::layout::PAGE;

/// The extents in use. Everything else in the data area is free.
///
/// Invariant: the extents lie in the data area, are not empty and do not overlap. One without reservation, reference
/// and view is free, even if it is still listed.
pub(crate) struct Space {
    pages: Range<u32>,
    listed: BTreeMap<u32, Use>,
}

struct Use {
    count: u32,
    reserved: bool,
    references: u32,
    /// Shared with every view of the extent.
    pin: Arc<()>,
}

impl Use {
    fn reserved(count: u32) -> Self {
        Self { count, reserved: true, references: 0, pin: Arc::new(()) }
    }

    fn is_live(&self) -> bool {
        self.reserved || self.references > 0
    }

    fn is_viewed(&self) -> bool {
        Arc::strong_count(&self.pin) > 1
    }

    fn is_free(&self) -> bool {
        !self.is_live() && !self.is_viewed()
    }
}

impl Space {
    /// A data area of `pages`, all free.
    pub(crate) fn new(pages: Range<u32>) -> Self {
        Self { pages, listed: BTreeMap::new() }
    }

    /// Reserves the smallest free run that holds `count` pages; among equals the first.
    ///
    /// Best fit keeps long runs long: a batch must be contiguous.
    pub(crate) fn reserve(&mut self, count: u32) -> Option<Extent> {
        if count == 0 {
            return None;
        }
        self.listed.retain(|_, used| !used.is_free());
        let (_, first) = self.gaps().filter(|gap| gap.count >= count).map(|gap| (gap.count, gap.first)).min()?;
        self.listed.insert(first, Use::reserved(count));
        Some(Extent { first, count })
    }

    /// Ends a reservation.
    pub(crate) fn release(&mut self, extent: Extent) {
        if let Some(found) = self.find(extent) {
            found.reserved = false;
        }
    }

    /// Whether the extent is reserved or referred to.
    pub(crate) fn is_live(&self, extent: Extent) -> bool {
        self.look_up(extent).is_some()
    }

    /// The pin of a live extent, for a view.
    pub(crate) fn pin(&self, extent: Extent) -> Option<Arc<()>> {
        self.look_up(extent).map(|found| Arc::clone(&found.pin))
    }

    /// Whether a view of the extent lives.
    pub(crate) fn is_viewed(&self, extent: Extent) -> bool {
        self.look_up(extent).is_some_and(Use::is_viewed)
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
            let before = self.listed.range(..end).next_back();
            if before.is_some_and(|(&first, found)| first + found.count > extent.first) {
                return Err("extents that overlap");
            }
            self.listed.insert(extent.first, Use::reserved(extent.count));
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
        let used = || self.listed.iter().filter(|(_, used)| !used.is_free());
        let starts = std::iter::once(self.pages.start).chain(used().map(|(&first, used)| first + used.count));
        let ends = used().map(|(&first, _)| first).chain(std::iter::once(self.pages.end));
        starts.zip(ends).filter(|(start, end)| start < end).map(|(first, end)| Extent { first, count: end - first })
    }

    fn look_up(&self, extent: Extent) -> Option<&Use> {
        self.listed.get(&extent.first).filter(|found| found.count == extent.count && found.is_live())
    }

    fn find(&mut self, extent: Extent) -> Option<&mut Use> {
        self.listed.get_mut(&extent.first).filter(|found| found.count == extent.count && found.is_live())
    }
}
