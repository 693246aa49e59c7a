//! Reading and writing the fields of a record: big-endian numbers, byte strings behind a two-byte length, AIDs behind a
//! one-byte length.

use smcard_batch::aid::Aid;

/// Collects the fields of a record.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// At most 65 535 bytes; the callers' bounds (APDU lengths, names) are far below.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let kept = bytes.get(..usize::from(length)).unwrap_or(bytes);
        self.u16(length).raw(kept)
    }

    pub(crate) fn aid(self, aid: &Aid) -> Self {
        let bytes = aid.as_bytes();
        self.u8(u8::try_from(bytes.len()).unwrap_or(0)).raw(bytes)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads the fields of a record. Every method gives `None` where the record is too short or malformed.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub(crate) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.raw(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.raw(usize::from(length))
    }

    pub(crate) fn aid(&mut self) -> Option<Aid> {
        let length = self.u8()?;
        Aid::new(self.raw(usize::from(length))?).ok()
    }

    /// `Some` only where nothing is left: a record longer than its fields is as wrong as one too short.
    pub(crate) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_nothing_else_does() {
        let aid: Aid = "A0000001510000".parse().expect("an AID");
        let bytes = Writer::new().u8(1).u16(2).u32(3).bytes(b"four").aid(&aid).finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.u8(), reader.u16(), reader.u32()), (Some(1), Some(2), Some(3)));
        assert_eq!((reader.bytes(), reader.aid()), (Some(&b"four"[..]), Some(aid)));
        assert_eq!(reader.end(), Some(()));
        for cut in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..cut]);
            let all = (reader.u8(), reader.u16(), reader.u32(), reader.bytes(), reader.aid());
            assert!(all.4.is_none(), "cut at {cut}");
        }
    }
}
