//! The medium on an image file.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use memmap2::{Mmap, MmapOptions};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl, posix_fallocate};

use crate::error::FlashError;
use crate::holders;
use crate::layout::Layout;

use crate::medium::{Medium, beyond_the_end};
use crate::view::View;

/// An image file: read through a shared map, so that content is referred to in place; written with `pwrite`, so that
/// a full disk or a failing one is an error and not a signal; `fdatasync` is the barrier.
///
/// The file system must keep maps and writes coherent, as all local ones of Linux do.
///
/// Holds an open-file-description lock for its whole life: one writer at a time. Whoever cuts the file short in spite
/// of the lock kills the process with SIGBUS at its next read there; that is the price of reading in place.
pub struct MappedFile {
    mapped: Arc<Mapped>,
    /// The views that live, and some that are gone.
    views: Mutex<Vec<(Range<u64>, Weak<()>)>>,
}

/// What the file and its views share. The lock goes with the last of them.
struct Mapped {
    map: Mmap,
    file: File,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl MappedFile {
    /// Makes a blank image file of `size` bytes, rounded up to whole pages, readable and writable by its owner only.
    /// All its blocks are allocated and the file and its directory entry are durable.
    ///
    /// # Errors
    ///
    /// [`FlashError::Size`] for a size that no image can have; [`FlashError::File`] if the file exists (it is never
    /// touched) or the host refuses; a file that was begun is removed.
    pub fn create(path: impl AsRef<Path>, size: u64) -> Result<Self, FlashError> {
        Self::create_exact(path.as_ref(), Layout::for_size(size)?.size())
    }

    pub(crate) fn create_exact(path: &Path, size: u64) -> Result<Self, FlashError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path).map_err(failed("create", path))?;
        let made = Self::fill(file, path, size);
        if made.is_err() {
            // The file is ours and worth nothing; should it stay, the next attempt says so.
            let _ = std::fs::remove_file(path);
        }
        made
    }

    fn fill(file: File, path: &Path, size: u64) -> Result<Self, FlashError> {
        let file = lock(file, path)?;
        let length = i64::try_from(size).map_err(|error| failed("allocate", path)(io::Error::other(error)))?;
        posix_fallocate(&file, 0, length).map_err(|errno| failed("allocate", path)(errno.into()))?;
        zero(&file, size).map_err(failed("write", path))?;
        file.sync_all().map_err(failed("flush", path))?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed("flush the directory of", path))?;
        Self::map(file, path)
    }

    /// Opens an image file for reading and writing. Changes nothing in it.
    ///
    /// # Errors
    ///
    /// [`FlashError::Locked`] if another process, or another value of this type, has it open;
    /// [`FlashError::File`] if it is no regular file or the host refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FlashError> {
        let path = path.as_ref();
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed("open", path))?;
        let file = lock(file, path)?;
        Self::map(file, path)
    }

    fn map(file: File, path: &Path) -> Result<Self, FlashError> {
        if !file.metadata().map_err(failed("examine", path))?.is_file() {
            return Err(failed("use", path)(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        // SAFETY: the map is read only and of a regular file. This process writes to it only in `Medium::write`, whose
        // `&mut self` excludes every borrow by `Medium::bytes`, and which refuses the ranges of views that live; other
        // processes that follow the lock, which lives as long as the map, do not write at all.
        let map = unsafe { MmapOptions::new().map(&file) }.map_err(failed("map", path))?;
        Ok(Self { mapped: Arc::new(Mapped { map, file }), views: Mutex::default() })
    }
}

impl Medium for MappedFile {
    fn len(&self) -> u64 {
        self.mapped.map.len() as u64
    }

    fn bytes(&self) -> &[u8] {
        &self.mapped.map
    }

    fn view(&self, offset: u64, length: u64) -> View {
        let range = offset.min(self.len())..offset.saturating_add(length).min(self.len());
        let pin = Arc::new(());
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.retain(|(_, view)| view.strong_count() > 0);
        views.push((range.clone(), Arc::downgrade(&pin)));
        View::shared(Arc::clone(&self.mapped) as _, &range, pin)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset.saturating_add(data.len() as u64);
        if end > self.len() {
            return Err(beyond_the_end(offset, data.len(), self.len()));
        }
        let views = self.views.get_mut().unwrap_or_else(PoisonError::into_inner);
        views.retain(|(_, view)| view.strong_count() > 0);
        if views.iter().any(|(range, _)| range.start < end && offset < range.end) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a view of these bytes is in use"));
        }
        self.mapped.file.write_all_at(data, offset)
    }

    fn expect_barrier(&mut self, offset: u64, length: u64) {
        let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return };
        let file = self.mapped.file.as_raw_fd();
        // SAFETY: the descriptor is open as long as `self.mapped` lives; the call gets no memory of ours. Not every file
        // system can do it, so the answer is of no interest; a failed write is kept by the kernel for `fdatasync`.
        let _ = unsafe { libc::sync_file_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    }

    fn barrier(&mut self) -> io::Result<()> {
        self.mapped.file.sync_data()
    }
}

/// Writes zeros everywhere. Blocks that are only allocated are converted at the first flush after a write to them, in a
/// transaction of the file system's own: a commit with a fresh extent of 60 KB took 99 µs without this, 60 µs with it.
fn zero(file: &File, size: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < size {
        let length = usize::try_from(size - offset).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all_at(zeros.get(..length).unwrap_or(&zeros), offset)?;
        offset += u64::try_from(length).unwrap_or(u64::MAX);
    }
    Ok(())
}

/// Takes the lock, or says who has it.
#[expect(clippy::cast_possible_truncation, reason = "the constants are 1 and 0")]
fn lock(file: File, path: &Path) -> Result<File, FlashError> {
    let whole_file = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file)) {
        Ok(_) => Ok(file),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            let metadata = file.metadata().map_err(failed("examine", path))?;
            drop(file);
            let holders = holders::of_file(metadata.dev(), metadata.ino());
            Err(FlashError::Locked { path: path.to_owned(), holders })
        }
        Err(errno) => Err(failed("lock", path)(errno.into())),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FlashError {
    let path: PathBuf = path.to_owned();
    move |source| FlashError::File { action, path, source }
}

#[cfg(test)]
mod tests;
