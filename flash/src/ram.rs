//! A medium in memory, for tests and comparisons.

use std::io;

use crate::layout::{PAGE, index};
use crate::medium::{Medium, beyond_the_end};

/// A medium on a `Vec<u8>`. Nothing survives the value; the barrier costs nothing.
pub struct RamMedium {
    bytes: Vec<u8>,
}

impl RamMedium {
    /// A blank medium of `size` bytes, rounded up to whole pages as [`MappedFile::create`](crate::MappedFile::create)
    /// does.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self { bytes: vec![0; index(size.next_multiple_of(PAGE))] }
    }

    /// A medium that holds exactly `bytes`.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The content.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Medium for RamMedium {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let size = self.len();
        let place = index(offset).checked_add(data.len()).and_then(|end| self.bytes.get_mut(index(offset)..end));
        place.ok_or_else(|| beyond_the_end(offset, data.len(), size))?.copy_from_slice(data);
        Ok(())
    }

    fn barrier(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_whole_pages() {
        assert_eq!(RamMedium::new(1).len(), PAGE);
        assert_eq!(RamMedium::new(PAGE).len(), PAGE);
    }

    #[test]
    fn a_write_past_the_end_is_refused_and_changes_nothing() {
        let mut medium = RamMedium::new(PAGE);
        for offset in [PAGE - 1, PAGE, PAGE + 1, u64::MAX] {
            let error = medium.write(offset, &[1, 2]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "offset {offset}");
        }
        assert!(medium.bytes().iter().all(|&byte| byte == 0));
        medium.write(PAGE - 2, &[1, 2]).unwrap();
        assert_eq!(medium.bytes()[4094..], [1, 2]);
    }
}
