//! Reading TLV structures in the card's answers (ISO/IEC 7816-4, annex E; GlobalPlatform 2.3.1, 11.1.5).
//!
//! The card's answers are input from outside: a reader never goes beyond its bytes, and a malformed rest ends it.

/// The objects of a TLV structure, one after the other.
pub(super) struct Objects<'a> {
    rest: &'a [u8],
}

/// The rest of the bytes is no TLV object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The objects in `bytes`.
#[must_use]
pub(super) fn objects(bytes: &[u8]) -> Objects<'_> {
    Objects { rest: bytes }
}

impl<'a> Iterator for Objects<'a> {
    /// Tag (one or two bytes, as a number) and value.
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let object = split(self.rest);
        self.rest = object.map_or(&[], |(_, _, rest)| rest);
        Some(object.map(|(tag, value, _)| (tag, value)).ok_or(Malformed))
    }
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (tag, rest) = if first & 0x1F == 0x1F {
        let (&second, rest) = rest.split_first()?;
        // Tags of three bytes are not used here.
        (second & 0x80 == 0).then_some(())?;
        (u16::from_be_bytes([first, second]), rest)
    } else {
        (u16::from(first), rest)
    };
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7F => (usize::from(length), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (&length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(length)), rest)
        }
        0x83 => {
            let (&[a, b, c], rest) = rest.split_first_chunk::<3>()?;
            (usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?, rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<(u16, Vec<u8>), Malformed>> {
        objects(bytes).map(|object| object.map(|(tag, value)| (tag, value.to_vec()))).collect()
    }

    #[test]
    fn tags_and_lengths_of_every_form() {
        assert_eq!(
            read(&[0x4F, 2, 1, 2, 0x9F, 0x70, 1, 7, 0xC5, 0x81, 1, 9, 0xE3, 0x82, 0, 1, 5]),
            [Ok((0x4F, vec![1, 2])), Ok((0x9F70, vec![7])), Ok((0xC5, vec![9])), Ok((0xE3, vec![5]))]
        );
        assert_eq!(read(&[0x80, 0x83, 0, 0, 1, 5]), [Ok((0x80, vec![5]))]);
    }

    #[test]
    fn whatever_is_cut_or_odd_ends_the_reading() {
        for bytes in
            [&[0x4F][..], &[0x9F], &[0x9F, 0x80, 0], &[0x4F, 3, 1], &[0x4F, 0x84, 0, 0, 0, 0], &[0x4F, 0x82, 1]]
        {
            assert_eq!(read(bytes), [Err(Malformed)], "{bytes:02X?}");
        }
    }
}
