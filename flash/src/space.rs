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

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(first: u32, count: u32) -> Extent {
        Extent { first, count }
    }

    /// Pages 10..30 with 12..14, 18..19 and 25..30 in use: gaps of 2, 4 and 6 pages.
    fn gapped() -> Space {
        let mut space = Space::new(10..30);
        for used in [extent(12, 2), extent(18, 1), extent(25, 5)] {
            space.adopt(used).unwrap();
        }
        space
    }

    #[test]
    fn the_smallest_gap_that_fits_is_taken() {
        assert_eq!(gapped().reserve(1), Some(extent(10, 1)));
        assert_eq!(gapped().reserve(2), Some(extent(10, 2)));
        assert_eq!(gapped().reserve(3), Some(extent(14, 3)));
        assert_eq!(gapped().reserve(5), Some(extent(19, 5)));
        assert_eq!(gapped().reserve(7), None);
        assert_eq!(gapped().reserve(0), None);
    }

    #[test]
    fn bytes_are_counted() {
        let mut space = gapped();
        assert_eq!((space.capacity(), space.free(), space.largest_free()), (20 * PAGE, 12 * PAGE, 6 * PAGE));
        let taken = space.reserve(6).unwrap();
        assert_eq!((space.free(), space.largest_free()), (6 * PAGE, 4 * PAGE));
        space.release(taken);
        assert_eq!((space.free(), space.largest_free()), (12 * PAGE, 6 * PAGE));
        let mut full = Space::new(0..3);
        full.reserve(3).unwrap();
        assert_eq!((full.free(), full.largest_free()), (0, 0));
    }

    #[test]
    fn an_extent_lives_as_long_as_anything_refers_to_it() {
        let mut space = Space::new(0..4);
        let held = space.reserve(4).unwrap();
        space.refer(held);
        space.refer(held);
        space.release(held);
        assert!(space.is_live(held), "the reservation became a reference");
        space.unrefer(held);
        assert!(space.is_live(held));
        space.unrefer(held);
        assert!(!space.is_live(held));
        assert_eq!(space.free(), 4 * PAGE);
        assert_eq!(space.reserve(4), Some(held));
    }

    #[test]
    fn a_view_keeps_the_pages_but_not_the_extent() {
        let mut space = Space::new(0..4);
        let held = space.reserve(3).unwrap();
        let pin = space.pin(held).unwrap();
        assert!(space.is_viewed(held));
        space.release(held);
        assert!(!space.is_live(held));
        assert!(space.pin(held).is_none());
        assert_eq!((space.free(), space.reserve(2)), (PAGE, None));
        drop(pin);
        assert_eq!((space.free(), space.reserve(3)), (4 * PAGE, Some(held)));
    }

    #[test]
    fn strangers_are_ignored() {
        let mut space = gapped();
        for stranger in [extent(12, 1), extent(13, 1), extent(14, 2), extent(0, 1)] {
            assert!(!space.is_live(stranger));
            space.refer(stranger);
            space.unrefer(stranger);
            space.release(stranger);
        }
        assert_eq!(space.free(), 12 * PAGE);
    }

    #[test]
    fn images_cannot_bring_impossible_extents() {
        let outside = "an extent outside the data area";
        for bad in
            [extent(9, 2), extent(29, 2), extent(30, 1), extent(10, 0), extent(u32::MAX, 2), extent(11, u32::MAX)]
        {
            assert_eq!(gapped().adopt(bad), Err(outside), "{bad:?}");
        }
        for bad in [extent(12, 1), extent(13, 1), extent(11, 2), extent(10, 20), extent(17, 3), extent(12, 3)] {
            assert_eq!(gapped().adopt(bad), Err("extents that overlap"), "{bad:?}");
        }
        gapped().adopt(extent(12, 2)).expect("the same extent may stand in several records");
    }
}
