//! Lines of text in fields of fixed size.

/// What stands at the end of a text that did not fit.
const CUT: &str = "...";

/// A text as a field: UTF-8, closed and filled with zeros.
///
/// A text longer than `N - 1` bytes is cut at a character and ends with `...`, so that the reader sees the cut; one
/// that holds a zero ends there.
pub fn to_field<const N: usize>(text: &str) -> [u8; N] {
    let text = text.split('\0').next().unwrap_or_default();
    let mut field = [0; N];
    let room = N.saturating_sub(1);
    let (kept, mark) = if text.len() <= room {
        (text, "")
    } else {
        let mut end = room.saturating_sub(CUT.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        (text.get(..end).unwrap_or_default(), CUT)
    };
    for (to, from) in field.iter_mut().take(room).zip(kept.bytes().chain(mark.bytes())) {
        *to = from;
    }
    field
}

/// The text in a field: up to the first zero, or the whole field where there is none. Bytes that are not UTF-8 are
/// replaced.
pub fn from_field(field: &[u8]) -> String {
    String::from_utf8_lossy(bytes_of(field)).into_owned()
}

/// The bytes in a field up to the first zero.
pub(crate) fn bytes_of(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_comes_back() {
        assert_eq!(from_field(&to_field::<8>("ready")), "ready");
        assert_eq!(from_field(&to_field::<8>("1234567")), "1234567");
        assert_eq!(from_field(&to_field::<8>("")), "");
    }

    #[test]
    fn a_text_that_does_not_fit_shows_that_it_was_cut() {
        assert_eq!(from_field(&to_field::<8>("12345678")), "1234...");
        // A two-byte character that would be halved goes whole.
        assert_eq!(from_field(&to_field::<8>("123\u{e9}5678")), "123...");
        assert_eq!(to_field::<8>("a long text")[7], 0);
        assert_eq!(to_field::<1>("a"), [0]);
        assert_eq!(to_field::<0>("a"), [0; 0]);
    }

    #[test]
    fn a_field_without_a_closing_zero_is_read_whole() {
        assert_eq!(from_field(b"abc"), "abc");
        assert_eq!(from_field(&[0xFF, 0, b'x']), "\u{fffd}");
    }
}
