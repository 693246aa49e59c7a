//! The open memory area: what an ordinary reader of memory cards sees.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a block.
pub const BLOCK: usize = 512;

/// Where the open memory lies. Offsets and lengths are bytes.
pub trait Area: Send {
    /// Its length. Constant for the life of the value.
    fn length(&self) -> u64;

    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// A range beyond the end, or the host's error.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes `from` at `offset`.
    ///
    /// # Errors
    /// As [`Area::read`]; any part of it may then have been written.
    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()>;

    /// Makes `length` bytes from `offset` zero.
    ///
    /// # Errors
    /// As [`Area::write`].
    fn erase(&mut self, offset: u64, length: u64) -> io::Result<()>;

    /// Returns when everything written before is durable. Called when the supply goes in good order; what a host has
    /// written survives the end of this program at once, and a failure of the host machine only after this.
    ///
    /// # Errors
    /// The host's error.
    fn flush(&mut self) -> io::Result<()>;
}

/// A memory area in a file, sparse where nothing was written.
#[derive(Debug)]
pub struct FileArea {
    file: File,
    length: u64,
}

impl FileArea {
    /// Opens the file at `path`, or makes one of `length` bytes. One that exists keeps its size.
    ///
    /// # Errors
    /// The host's.
    pub fn open_or_create(path: &Path, length: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() == 0 {
            file.set_len(length)?;
        }
        let length = file.metadata()?.len();
        Ok(FileArea { file, length })
    }
}

impl Area for FileArea {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        within(self.length, offset, from.len())?;
        self.file.write_all_at(from, offset)
    }

    fn erase(&mut self, offset: u64, length: u64) -> io::Result<()> {
        const PIECE: usize = 64 << 10;
        let zeros = [0; BLOCK];
        let mut piece = vec![0; PIECE];
        let end = offset.checked_add(length).filter(|end| *end <= self.length).ok_or(io::ErrorKind::InvalidInput)?;
        let mut at = offset;
        while at < end {
            let size = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
            let Some(piece) = piece.get_mut(..size) else { break };
            self.file.read_exact_at(piece, at)?;
            // What is zero already may be a hole, and stays one.
            for block in piece.chunks(BLOCK) {
                let zeros = zeros.get(..block.len()).unwrap_or_default();
                if block != zeros {
                    self.file.write_all_at(zeros, at)?;
                }
                at += u64::try_from(block.len()).unwrap_or(0);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A memory area in RAM, gone with the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RamArea(Vec<u8>);

impl RamArea {
    /// `length` bytes of zero.
    #[must_use]
    pub fn new(length: usize) -> Self {
        RamArea(vec![0; length])
    }

    /// These bytes.
    #[must_use]
    pub fn with(bytes: Vec<u8>) -> Self {
        RamArea(bytes)
    }
}

impl Area for RamArea {
    fn length(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        into.copy_from_slice(slice(&mut self.0, offset, into.len())?);
        Ok(())
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        slice(&mut self.0, offset, from.len())?.copy_from_slice(from);
        Ok(())
    }

    fn erase(&mut self, offset: u64, length: u64) -> io::Result<()> {
        slice(&mut self.0, offset, usize::try_from(length).unwrap_or(usize::MAX))?.fill(0);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slice(bytes: &mut [u8], offset: u64, length: usize) -> io::Result<&mut [u8]> {
    let start = usize::try_from(offset).ok();
    let range = start.and_then(|start| Some(start..start.checked_add(length)?));
    range.and_then(|range| bytes.get_mut(range)).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn within(length: u64, offset: u64, size: usize) -> io::Result<()> {
    let end = u64::try_from(size).ok().and_then(|size| offset.checked_add(size));
    if end.is_some_and(|end| end <= length) { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn behaves(area: &mut dyn Area) {
        let mut block = [0; BLOCK];
        area.write(1024, &[0xA5; BLOCK]).unwrap();
        area.write(1536, &[0x5A; BLOCK]).unwrap();
        area.read(1024, &mut block).unwrap();
        assert_eq!(block, [0xA5; BLOCK]);
        area.erase(0, 1536).unwrap();
        area.read(1024, &mut block).unwrap();
        assert_eq!(block, [0; BLOCK]);
        area.read(1536, &mut block).unwrap();
        assert_eq!(block, [0x5A; BLOCK]);
        let end = area.length();
        assert!(area.read(end - 511, &mut block).is_err() && area.write(end, &block).is_err());
        assert!(area.erase(end - 512, 513).is_err() && area.erase(u64::MAX, 1).is_err());
        area.flush().unwrap();
    }

    #[test]
    fn areas_keep_what_is_written_and_refuse_what_lies_outside() {
        behaves(&mut RamArea::new(64 << 10));
        let folder = tempfile::tempdir().unwrap();
        behaves(&mut FileArea::open_or_create(&folder.path().join("card.sd"), 64 << 10).unwrap());
    }

    #[test]
    fn a_file_stays_sparse_and_keeps_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card.sd");
        let mut area = FileArea::open_or_create(&path, 64 << 20).unwrap();
        area.write(32 << 20, &[1; BLOCK]).unwrap();
        area.erase(0, 16 << 20).unwrap();
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20);
        assert_eq!(FileArea::open_or_create(&path, 1 << 20).unwrap().length(), 64 << 20);
    }
}
