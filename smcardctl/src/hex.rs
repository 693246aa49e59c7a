//! Bytes as people write them.

/// Reads hexadecimal digits; spaces and colons may stand between bytes.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut half: Option<u8> = None;
    for c in text.chars() {
        let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (digit, half) {
            (Some(low), Some(high)) => {
                bytes.push(high << 4 | low);
                half = None;
            }
            (Some(high), None) => half = Some(high),
            (None, None) if c == ' ' || c == ':' => {}
            (None, _) => return Err(format!("{c:?} is no hexadecimal digit of a whole byte")),
        }
    }
    match half {
        None => Ok(bytes),
        Some(_) => Err("half a byte at the end: hexadecimal digits come in pairs".to_owned()),
    }
}

/// Upper-case digits without separators.
pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_may_stand_between_bytes_only() {
        let select = vec![0x00, 0xA4, 0x04, 0x00];
        for text in ["00a40400", "00 A4 04 00", "00:a4:04:00", " 00a4  0400 "] {
            assert_eq!(parse(text), Ok(select.clone()), "{text}");
        }
        for text in ["0", "00a", "0 0", "0x00", "00-a4", "zz", "\u{ff10}0"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(show(&select), "00A40400");
    }
}
