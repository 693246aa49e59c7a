//! The guest's memory, as the files the monitor passed.

use crate::memory::{GuestMemory, Unreachable};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Most maps that are kept; a machine has a few dozen.
pub const MAPS_MAX: usize = 1024;

/// A piece of guest memory.
#[derive(Debug)]
struct Map {
    size: u64,
    /// Where it begins in the file.
    offset: u64,
    /// `None`: the monitor did not share it.
    file: Option<File>,
    readable: bool,
    writable: bool,
}

/// What a device may do with a piece of memory, and where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First guest physical address.
    pub address: u64,
    /// Bytes, not 0.
    pub size: u64,
    /// Where it begins in its file.
    pub offset: u64,
    /// The device may read it.
    pub readable: bool,
    /// The device may write it.
    pub writable: bool,
}

/// The pieces of the guest's memory that can be reached. They do not overlap.
#[derive(Debug, Default)]
pub struct Maps(BTreeMap<u64, Map>);

impl Maps {
    /// Adds a piece.
    ///
    /// # Errors
    /// `EINVAL`: empty, or beyond the end of the address space or of what a file can be; `EEXIST`: it overlaps another;
    /// `ENOSPC`: there are [`MAPS_MAX`].
    pub fn map(&mut self, piece: Piece, file: Option<File>) -> Result<(), Errno> {
        let Piece { address, size, offset, readable, writable } = piece;
        let last = address.checked_add(size.checked_sub(1).ok_or(Errno::INVAL)?).ok_or(Errno::INVAL)?;
        let end = offset.checked_add(size).ok_or(Errno::INVAL)?;
        if i64::try_from(end).is_err() {
            return Err(Errno::INVAL);
        }
        if let Some((start, map)) = self.0.range(..=last).next_back() {
            if start.saturating_add(map.size - 1) >= address {
                return Err(Errno::EXIST);
            }
        }
        if self.0.len() >= MAPS_MAX {
            return Err(Errno::NOSPC);
        }
        self.0.insert(address, Map { size, offset, file, readable, writable });
        Ok(())
    }

    /// Takes away all pieces that lie within a range.
    ///
    /// # Errors
    /// `EINVAL`: a piece lies within it by half; nothing has changed then.
    pub fn unmap(&mut self, address: u64, size: u64) -> Result<(), Errno> {
        let last = address.checked_add(size.checked_sub(1).ok_or(Errno::INVAL)?).ok_or(Errno::INVAL)?;
        let reaches = |(start, map): (&u64, &Map), beyond: u64| start.saturating_add(map.size - 1) > beyond;
        let cut_at_start =
            address > 0 && self.0.range(..address).next_back().is_some_and(|map| reaches(map, address - 1));
        let cut_at_end = self.0.range(address..=last).next_back().is_some_and(|map| reaches(map, last));
        if cut_at_start || cut_at_end {
            return Err(Errno::INVAL);
        }
        self.0.retain(|start, _| !(address..=last).contains(start));
        Ok(())
    }

    /// Takes everything away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// True where some of the memory was told without a file to reach it by.
    #[must_use]
    pub fn has_unshared(&self) -> bool {
        self.0.values().any(|map| map.file.is_none())
    }

    /// Calls `visit` with the file, the place in it and the number of bytes for each piece of a range.
    fn visit(
        &self,
        address: u64,
        length: usize,
        allowed: impl Fn(&Map) -> bool,
        mut visit: impl FnMut(&File, u64, std::ops::Range<usize>) -> Option<()>,
    ) -> Option<()> {
        let mut done = 0;
        while done < length {
            let at = address.checked_add(u64::try_from(done).ok()?)?;
            let (start, map) = self.0.range(..=at).next_back()?;
            let within = at - start;
            let left = map.size.checked_sub(within).filter(|left| *left > 0)?;
            let file = map.file.as_ref().filter(|_| allowed(map))?;
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(length - done);
            visit(file, map.offset.checked_add(within)?, done..done + count)?;
            done += count;
        }
        Some(())
    }
}

impl GuestMemory for Maps {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Unreachable> {
        let length = bytes.len();
        let read = |file: &File, at, range| file.read_exact_at(bytes.get_mut(range)?, at).ok();
        self.visit(address, length, |map| map.readable, read).ok_or(Unreachable { address, length })
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Unreachable> {
        let length = bytes.len();
        let write = |file: &File, at, range| file.write_all_at(bytes.get(range)?, at).ok();
        self.visit(address, length, |map| map.writable, write).ok_or(Unreachable { address, length })
    }

    fn is_reachable(&self) -> bool {
        self.0.values().any(|map| map.file.is_some() && map.readable && map.writable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(address: u64, size: u64, offset: u64) -> Piece {
        Piece { address, size, offset, readable: true, writable: true }
    }

    fn file(size: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        file
    }

    #[test]
    fn a_copy_goes_across_neighbouring_pieces() {
        let (low, high) = (file(0x1000), file(0x3000));
        let mut maps = Maps::default();
        maps.map(piece(0x1000, 0x1000, 0), Some(low.try_clone().unwrap())).unwrap();
        maps.map(piece(0x2000, 0x1000, 0x2000), Some(high.try_clone().unwrap())).unwrap();
        maps.write(0x1FFE, b"abcd").unwrap();
        let mut bytes = [0; 2];
        low.read_exact_at(&mut bytes, 0xFFE).unwrap();
        assert_eq!(&bytes, b"ab");
        high.read_exact_at(&mut bytes, 0x2000).unwrap();
        assert_eq!(&bytes, b"cd");
        let mut bytes = [0; 4];
        maps.read(0x1FFE, &mut bytes).unwrap();
        assert_eq!(&bytes, b"abcd");
    }

    #[test]
    fn what_is_not_there_or_not_allowed_is_unreachable() {
        let mut maps = Maps::default();
        assert!(!maps.is_reachable());
        maps.map(Piece { writable: false, ..piece(0, 0x1000, 0) }, Some(file(0x1000))).unwrap();
        assert!(!maps.is_reachable());
        maps.map(piece(0x1000, 0x2000, 0), Some(file(0x1000))).unwrap();
        maps.map(piece(0x8000, 0x1000, 0), None).unwrap();
        assert!(maps.is_reachable() && maps.has_unshared());
        let mut bytes = [0; 8];
        assert!(maps.read(0, &mut bytes).is_ok());
        assert!(maps.write(0, &bytes).is_err(), "read-only");
        assert!(maps.read(0x1FFC, &mut bytes).is_err(), "the file ends there");
        assert!(maps.read(0x8000, &mut bytes).is_err(), "not shared");
        for address in [0x2FFC, 0x3000, u64::MAX, u64::MAX - 7] {
            assert!(maps.read(address, &mut bytes).is_err(), "{address:#x}");
        }
    }

    #[test]
    fn pieces_do_not_overlap_and_make_sense() {
        let mut maps = Maps::default();
        maps.map(piece(0x2000, 0x1000, 0), None).unwrap();
        for (address, size) in [(0x2000, 0x1000), (0x1000, 0x1001), (0x2FFF, 1), (0, u64::MAX), (0x2800, 0x10)] {
            assert_eq!(
                maps.map(piece(address, size, 0), None),
                Err(if size == u64::MAX { Errno::INVAL } else { Errno::EXIST })
            );
        }
        assert_eq!(maps.map(piece(0, 0, 0), None), Err(Errno::INVAL));
        assert_eq!(maps.map(piece(u64::MAX, 2, 0), None), Err(Errno::INVAL));
        assert_eq!(maps.map(piece(0, 1, u64::MAX), None), Err(Errno::INVAL));
        maps.map(piece(0x1000, 0x1000, 0), None).unwrap();
        maps.map(piece(u64::MAX, 1, 0), None).unwrap();
        for n in 3..u64::try_from(MAPS_MAX).unwrap() {
            maps.map(piece(0x10_0000 + n * 0x1000, 0x1000, 0), None).unwrap();
        }
        assert_eq!(maps.map(piece(0, 1, 0), None), Err(Errno::NOSPC));
    }

    #[test]
    fn unmapping_takes_whole_pieces() {
        let mut maps = Maps::default();
        for start in [0x1000, 0x2000, 0x4000] {
            maps.map(piece(start, 0x1000, 0), Some(file(0x1000))).unwrap();
        }
        assert_eq!(maps.unmap(0x1800, 0x1000), Err(Errno::INVAL));
        assert_eq!(maps.unmap(0x1000, 0x1800), Err(Errno::INVAL));
        assert_eq!(maps.unmap(0x1000, 0), Err(Errno::INVAL));
        maps.unmap(0x1000, 0x2000).unwrap();
        assert_eq!(maps.0.len(), 1);
        maps.unmap(0x1000, 0x2000).unwrap();
        maps.clear();
        assert!(!maps.is_reachable());
    }
}
