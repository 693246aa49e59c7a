//! Where things stand in an image.
//!
//! ```text
//! offset            what
//! 0                 superblock                 one page
//! 4096              copy of the superblock     one page
//! 8192              journal half 0             `half` bytes
//! 8192 + half       journal half 1             `half` bytes
//! 8192 + 2·half     data pages                 to the end of the image
//! ```

use crate::error::FlashError;

/// Bytes of a page: the unit of an extent.
pub const PAGE: u64 = 4096;

/// The smallest image, in bytes: 1 MiB.
pub const MIN_SIZE: u64 = 1 << 20;

/// The largest image, in bytes: 1 TiB. Page numbers have 32 bits, of which this uses 28.
pub const MAX_SIZE: u64 = 1 << 40;

/// Bytes of a sector: the unit of a journal write. A torn write spoils no sector it does not touch.
pub(crate) const SECTOR: usize = 512;

/// [`SECTOR`] as an offset.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// Smallest and largest journal half that an image made here has, in bytes.
const HALF_RANGE: (u64, u64) = (64 << 10, 1 << 20);

/// The journal half is this part of the image: 256 KiB of 64 MiB.
const HALF_SHARE: u64 = 256;

/// The place of everything in an image of a given size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    size: u64,
    half: u64,
}

impl Layout {
    /// The layout of a new image.
    ///
    /// # Errors
    ///
    /// [`FlashError::Size`] if `size`, rounded up to whole pages, is not in [`MIN_SIZE`]..=[`MAX_SIZE`].
    pub(crate) fn for_size(size: u64) -> Result<Self, FlashError> {
        if !(MIN_SIZE..=MAX_SIZE).contains(&size) {
            return Err(FlashError::Size { asked: size, least: MIN_SIZE, most: MAX_SIZE });
        }
        let (least, most) = HALF_RANGE;
        let half = (size / HALF_SHARE).next_multiple_of(PAGE).clamp(least, most);
        Ok(Self { size: size.next_multiple_of(PAGE), half })
    }

    /// The layout that a superblock records, or `None` if no image can have it.
    pub(crate) fn recorded(size: u64, half: u64) -> Option<Self> {
        let whole = size % PAGE == 0 && half % PAGE == 0;
        let bounded = size <= MAX_SIZE && (PAGE..=HALF_RANGE.1).contains(&half);
        let room = size > 2 * PAGE + 2 * HALF_RANGE.1.min(half);
        (whole && bounded && room).then_some(Self { size, half })
    }

    /// Bytes of the image.
    pub(crate) fn size(self) -> u64 {
        self.size
    }

    /// Bytes of one journal half.
    pub(crate) fn half(self) -> u64 {
        self.half
    }

    /// Offset of a journal half.
    pub(crate) fn start_of(self, half: Half) -> u64 {
        2 * PAGE + if half == Half::First { 0 } else { self.half }
    }

    /// Offset of the first data page.
    pub(crate) fn data_start(self) -> u64 {
        2 * PAGE + 2 * self.half
    }

    /// Page numbers of the data area.
    pub(crate) fn data_pages(self) -> std::ops::Range<u32> {
        page_number(self.data_start())..page_number(self.size)
    }
}

/// One of the two halves of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Half {
    /// The half in which a new image begins.
    First,
    /// The other.
    Second,
}

impl Half {
    /// The half that is not this one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// An offset as an index. One that the address space cannot hold becomes an index that no slice has.
pub(crate) fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// The number of the page at `offset`, which is at most [`MAX_SIZE`].
fn page_number(offset: u64) -> u32 {
    u32::try_from(offset / PAGE).unwrap_or(u32::MAX)
}

#[cfg(any(test, feature = "sim"))]
impl Layout {
    /// A layout with small halves, so that tests cross many compactions.
    pub(crate) fn small(half_pages: u64, data_pages: u64) -> Self {
        let half = half_pages * PAGE;
        Self { size: 2 * PAGE + 2 * half + data_pages * PAGE, half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_grow_with_the_image() {
        for (size, half) in
            [(MIN_SIZE, 64 << 10), (16 << 20, 64 << 10), (64 << 20, 256 << 10), (1 << 30, 1 << 20), (MAX_SIZE, 1 << 20)]
        {
            let layout = Layout::for_size(size).unwrap();
            assert_eq!(layout.half(), half, "image of {size} bytes");
            assert_eq!(Layout::recorded(size, half), Some(layout), "a superblock may record what is made");
        }
    }

    #[test]
    fn sizes_out_of_range_are_refused_and_the_rest_rounded_up() {
        assert!(matches!(Layout::for_size(MIN_SIZE - 1), Err(FlashError::Size { asked, .. }) if asked == MIN_SIZE - 1));
        assert!(matches!(Layout::for_size(MAX_SIZE + 1), Err(FlashError::Size { .. })));
        assert_eq!(Layout::for_size(MIN_SIZE + 1).unwrap().size(), MIN_SIZE + PAGE);
    }

    #[test]
    fn layouts_without_room_or_off_the_page_are_not_recorded() {
        assert_eq!(Layout::recorded(4 * PAGE, PAGE), None, "no data page");
        assert!(Layout::recorded(5 * PAGE, PAGE).is_some());
        assert_eq!(Layout::recorded(5 * PAGE + 1, PAGE), None);
        assert_eq!(Layout::recorded(5 * PAGE, PAGE / 2), None);
        assert_eq!(Layout::recorded(5 * PAGE, 0), None);
        assert_eq!(Layout::recorded(MAX_SIZE, u64::MAX - PAGE + 1), None);
        assert_eq!(Layout::recorded(MAX_SIZE + PAGE, PAGE), None);
    }

    #[test]
    fn the_areas_follow_one_another() {
        let layout = Layout::small(1, 4);
        assert_eq!(layout.start_of(Half::First), 8192);
        assert_eq!(layout.start_of(Half::Second), 12288);
        assert_eq!(layout.data_start(), 16384);
        assert_eq!(layout.data_pages(), 4..8);
        assert_eq!(layout.size(), 32768);
    }
}
