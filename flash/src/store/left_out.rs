//! The store with a barrier missing, to show that the checks notice.

use super::Store;
use crate::error::FlashError;
use crate::io::{Barrier, Io};
use crate::layout::Layout;
use crate::medium::Medium;

impl<M: Medium> Store<M> {
    /// As [`Store::open`], without a barrier there and later.
    pub(crate) fn open_without(medium: M, barrier: Option<Barrier>) -> Result<Self, FlashError> {
        Self::open_io(Io { left_out: barrier, ..Io::new(medium) }).map_err(|failed| failed.1)
    }

    /// As [`Store::format`], without a barrier.
    pub(crate) fn format_without(medium: M, layout: Layout, barrier: Option<Barrier>) -> Result<Self, FlashError> {
        Self::format_io(Io { left_out: barrier, ..Io::new(medium) }, layout, [7; 16])
    }
}
