//! Bytes of a medium that are read while the store goes on.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::layout::index;

/// A part of a medium that stays readable, and unchanged, while the store is written to.
///
/// On a [`MappedFile`](crate::MappedFile) it refers to the map: nothing is copied. Media that cannot share their bytes
/// copy them. As long as a view, or a clone of it, lives, its extent is neither written nor given to anybody else, and
/// the image file stays locked.
///
/// `Debug` shows the length only: the bytes may be secret.
#[derive(Clone)]
pub struct View {
    source: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
    /// Tell the medium and the store that the view lives.
    pins: [Option<Arc<()>>; 2],
}

impl View {
    /// A view of a copy.
    pub(crate) fn copied(bytes: &[u8]) -> Self {
        let range = 0..bytes.len();
        Self { source: Arc::new(Zeroizing::new(bytes.to_vec())), range, pins: [None, None] }
    }

    /// A view into shared bytes. The medium sees by `pin` whether it lives.
    pub(crate) fn shared(source: Arc<dyn AsRef<[u8]> + Send + Sync>, range: &Range<u64>, pin: Arc<()>) -> Self {
        Self { source, range: index(range.start)..index(range.end), pins: [Some(pin), None] }
    }

    /// Lets the store see whether the view lives.
    pub(crate) fn pinned(self, pin: Arc<()>) -> Self {
        let [medium, _] = self.pins;
        Self { pins: [medium, Some(pin)], ..self }
    }
}

impl Deref for View {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.source).as_ref().get(self.range.clone()).unwrap_or_default()
    }
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("View").field("length", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", View::copied(&[0xAB; 3])), "View { length: 3, .. }");
    }

    #[test]
    fn both_pins_live_as_long_as_any_clone() {
        let (medium, store) = (Arc::new(()), Arc::new(()));
        let source = Arc::new(vec![1, 2, 3, 4]);
        let view = View::shared(source, &(1..3), Arc::clone(&medium)).pinned(Arc::clone(&store));
        let clone = view.clone();
        drop(view);
        assert_eq!(*clone, [2, 3]);
        assert_eq!((Arc::strong_count(&medium), Arc::strong_count(&store)), (2, 2));
        drop(clone);
        assert_eq!((Arc::strong_count(&medium), Arc::strong_count(&store)), (1, 1));
    }
}
