//! What a medium can do, and what the store may rely on.

use std::io;

use crate::layout::index;
use crate::view::View;

/// A byte-addressed medium of fixed size with a write barrier.
///
/// All offsets are bytes from the start of the image.
///
/// # Contract
///
/// * [`bytes`](Medium::bytes) shows the effect of every [`write`](Medium::write) that returned `Ok`, at once.
/// * When [`barrier`](Medium::barrier) returns `Ok`, every write that returned `Ok` before it survives a loss of power.
/// * Until then a loss of power may leave any part of any write done or undone, as the failure model in the crate
///   documentation says. The same holds for a write or barrier that returned an error.
/// * A write of bytes equal to those that stand there changes nothing, even if power is lost during it.
pub trait Medium {
    /// Size of the medium in bytes. Constant for the life of the value.
    fn len(&self) -> u64;

    /// Whether the medium has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole content, [`len`](Medium::len) bytes.
    fn bytes(&self) -> &[u8];

    /// The bytes of a range, to be kept while others are written. A medium that shares its bytes refuses to write to
    /// them (`ResourceBusy`) as long as the view lives; this default copies. Cut off at the end of the medium.
    fn view(&self, offset: u64, length: u64) -> View {
        let end = offset.saturating_add(length).min(self.len());
        View::copied(self.bytes().get(index(offset)..index(end)).unwrap_or_default())
    }

    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    ///
    /// The host's error; any part of `data` may then have been written. A range beyond the end is
    /// `InvalidInput`, and nothing was written.
    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Says that a barrier will come for these bytes, which were written: what it takes may begin now, so that the
    /// barrier has less to wait for. Promises nothing; what goes wrong is the barrier's to tell.
    fn expect_barrier(&mut self, offset: u64, length: u64) {
        let _ = (offset, length);
    }

    /// Returns when everything written before is durable.
    ///
    /// # Errors
    ///
    /// The host's error; any part of what was written since the last successful barrier may then be lost, and a
    /// later barrier does not bring it back.
    fn barrier(&mut self) -> io::Result<()>;
}

/// Forwards to what a pointer points to.
macro_rules! forward {
    ($pointer:ty) => {
        impl<M: Medium + ?Sized> Medium for $pointer {
            fn len(&self) -> u64 {
                (**self).len()
            }

            fn bytes(&self) -> &[u8] {
                (**self).bytes()
            }

            fn view(&self, offset: u64, length: u64) -> View {
                (**self).view(offset, length)
            }

            fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
                (**self).write(offset, data)
            }

            fn expect_barrier(&mut self, offset: u64, length: u64) {
                (**self).expect_barrier(offset, length);
            }

            fn barrier(&mut self) -> io::Result<()> {
                (**self).barrier()
            }
        }
    };
}

forward!(Box<M>);
forward!(&mut M);

/// The error of a write that would leave the medium.
pub(crate) fn beyond_the_end(offset: u64, length: usize, size: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("write of {length} bytes at offset {offset} passes the end of the medium at {size}"),
    )
}
