//! Hexadecimal digits as people and logs write them.

use zeroize::Zeroizing;

/// Digits of either case in pairs; spaces, tabs and colons may stand between bytes. `None` for anything else, and for no
/// digits at all.
pub(super) fn bytes(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    let mut high: Option<u8> = None;
    for byte in text.bytes() {
        let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (high.take(), digit, byte) {
            (None, Some(digit), _) => high = Some(digit),
            (Some(high), Some(low), _) => out.push(high << 4 | low),
            (None, None, b' ' | b'\t' | b':') => {}
            _ => return None,
        }
    }
    (high.is_none() && !out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_stand_between_bytes_only() {
        for text in ["00a40400", "00 A4 04 00", "00:a4:04:00", " 00a4\t0400 "] {
            assert_eq!(bytes(text).as_deref().map(Vec::as_slice), Some(&[0, 0xA4, 4, 0][..]), "{text}");
        }
        for text in ["", " ", "0", "00a", "0 0", "0x00", "00-a4", "zz", "\u{ff10}0"] {
            assert!(bytes(text).is_none(), "{text}");
        }
    }
}
