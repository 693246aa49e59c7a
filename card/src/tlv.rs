//! BER-TLV with tags of one or two bytes and lengths up to three bytes behind 8X (ISO/IEC 8825-1; GlobalPlatform 2.3.1).

/// Appends tag, length and value.
pub(crate) fn push(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let [high, low] = tag.to_be_bytes();
    if high != 0 {
        out.push(high);
    }
    out.push(low);
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    match length.to_be_bytes() {
        [0, 0, 0, short @ 0..=0x7F] => out.push(short),
        [0, 0, 0, byte] => out.extend_from_slice(&[0x81, byte]),
        [0, 0, a, b] => out.extend_from_slice(&[0x82, a, b]),
        [0, a, b, c] => out.extend_from_slice(&[0x83, a, b, c]),
        [a, b, c, d] => out.extend_from_slice(&[0x84, a, b, c, d]),
    }
    out.extend_from_slice(value);
}

/// Tag, length and value in a vector of their own.
pub(crate) fn object(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 6);
    push(&mut out, tag, value);
    out
}

/// Reads the tag and the length at the beginning of `bytes`: tag, length, and what follows (which may be shorter than
/// the length: a load file arrives in blocks).
pub(crate) fn header(bytes: &[u8]) -> Option<(u16, u32, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (tag, rest) = if first & 0x1F == 0x1F {
        let (&second, rest) = rest.split_first()?;
        if second & 0x80 != 0 {
            return None;
        }
        (u16::from_be_bytes([first, second]), rest)
    } else {
        (u16::from(first), rest)
    };
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (u32::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x0F))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | u32::from(*byte)), rest)
        }
        _ => return None,
    };
    Some((tag, length, rest))
}

/// Splits the first whole object off: tag, value, rest.
pub(crate) fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (tag, length, rest) = header(bytes)?;
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((tag, value, rest))
}

/// All objects in a row; `None` where they do not fill `bytes` exactly.
pub(crate) fn all(mut bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut objects = Vec::new();
    while !bytes.is_empty() {
        let (tag, value, rest) = split(bytes)?;
        objects.push((tag, value));
        bytes = rest;
    }
    Some(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_form_is_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            for tag in [0x4F, 0x9F70, 0x00E3] {
                let value = vec![0x5A; length];
                let object = object(tag, &value);
                assert_eq!(split(&object), Some((tag, &value[..], &[][..])), "{length} bytes");
                assert_eq!(split(&object[..object.len() - 1]), None);
            }
        }
        assert_eq!(header(&[0xC4, 0x82, 0x01]), None);
        assert_eq!(header(&[0xC4, 0x80]), None, "no indefinite length");
        assert_eq!(all(&[0x4F, 0x01, 0xAA, 0x4F]), None);
    }
}
