//! Buffers between the FUSE thread and the card thread.
//!
//! A chunk is copied once, out of the FUSE request; its buffer comes back when the card has it. Contents of batches are
//! secret, so buffers are wiped: all of them when the last upload has ended.

use std::fmt;
use zeroize::Zeroizing;

/// Buffers that are kept for the next chunk.
const SPARE_MAX: usize = 4;
/// A write is answered before the card has it only while no more than this is on its way, in bytes.
pub const AHEAD_MAX: usize = 3 << 20;
/// Nor while more chunks than this are, however small.
const CHUNKS_AHEAD_MAX: usize = 16;

/// Bytes on their way to the card; wiped when dropped.
pub struct Chunk(Zeroizing<Vec<u8>>);

impl Chunk {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.0.len())
    }
}

/// Hands out chunks and takes them back.
#[derive(Debug, Default)]
pub struct Pool {
    spare: Vec<Chunk>,
    on_the_way: usize,
    chunks: usize,
}

impl Pool {
    /// A chunk holding `parts`, one after the other.
    pub fn fill(&mut self, parts: &[&[u8]]) -> Chunk {
        let mut chunk = self.spare.pop().unwrap_or_else(|| Chunk(Zeroizing::new(Vec::new())));
        chunk.0.clear();
        let length = parts.iter().map(|part| part.len()).sum();
        if chunk.0.capacity() < length {
            // Growing in place would leave a copy behind.
            chunk = Chunk(Zeroizing::new(Vec::with_capacity(length)));
        }
        for part in parts {
            chunk.0.extend_from_slice(part);
        }
        self.on_the_way += length;
        self.chunks += 1;
        chunk
    }

    /// Takes a chunk back.
    pub fn take_back(&mut self, chunk: Chunk) {
        self.on_the_way = self.on_the_way.saturating_sub(chunk.0.len());
        self.chunks = self.chunks.saturating_sub(1);
        if self.spare.len() < SPARE_MAX {
            self.spare.push(chunk);
        }
    }

    /// True while a writer may be answered before the card has its bytes.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.on_the_way <= AHEAD_MAX && self.chunks <= CHUNKS_AHEAD_MAX
    }

    /// Wipes and gives back the memory of what is not in use.
    pub fn wipe(&mut self) {
        self.spare.clear();
        self.spare.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_are_used_again() {
        let mut pool = Pool::default();
        let chunk = pool.fill(&[b"ab", b"cd"]);
        assert_eq!(chunk.as_bytes(), b"abcd");
        let place = chunk.as_bytes().as_ptr();
        pool.take_back(chunk);
        let chunk = pool.fill(&[b"xyz"]);
        assert_eq!((chunk.as_bytes(), chunk.as_bytes().as_ptr()), (&b"xyz"[..], place));
        pool.take_back(chunk);
        assert_eq!(pool.on_the_way, 0);
    }

    #[test]
    fn writers_wait_once_enough_is_on_its_way() {
        let mut pool = Pool::default();
        let megabyte = vec![0; 1 << 20];
        let chunks: Vec<_> = (0..4).map(|_| pool.fill(&[&megabyte])).collect();
        assert!(!pool.has_room());
        for chunk in chunks {
            pool.take_back(chunk);
        }
        assert!(pool.has_room());
        let chunks: Vec<_> = (0..17).map(|_| pool.fill(&[b"x"])).collect();
        assert!(!pool.has_room(), "many small ones as well");
        drop(chunks);
    }

    #[test]
    fn debug_shows_no_contents() {
        assert_eq!(format!("{:?}", Pool::default().fill(&[b"key"])), "Chunk(3 bytes)");
    }
}
