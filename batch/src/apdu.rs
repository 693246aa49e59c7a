//! Command APDUs as borrowed views (ISO/IEC 7816-4 section 5.2), and the third form that only a batch knows.
//!
//! A [`CommandApdu`] points into the bytes it was parsed from, so that one card manager serves a command that came over
//! an interface (copied into the APDU buffer) and one that stands in the command store (referred to in place).

use std::fmt;
use thiserror::Error;

/// Bytes of the header CLA INS P1 P2.
pub const HEADER_LEN: usize = 4;
/// Longest data field of a short APDU.
pub const SHORT_DATA_MAX: usize = 255;
/// Longest data field of an extended APDU.
pub const EXTENDED_DATA_MAX: usize = 65_535;
/// Header, three zero bytes and a four-byte length: what stands before the data in the direct form.
pub const DIRECT_PREFIX_LEN: usize = 11;

/// How the lengths of a command are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Lc and Le of one byte.
    Short,
    /// Lc and Le of two bytes behind a zero.
    Extended,
    /// `00 00 00` and a four-byte length: an extended Lc of zero, which ISO leaves unused. Only inside a batch, for
    /// direct reference: one LOAD carries an application of any size.
    Direct,
}

/// A command, its data borrowed from where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CommandApdu<'a> {
    /// Class byte.
    pub cla: u8,
    /// Instruction byte.
    pub ins: u8,
    /// First parameter byte.
    pub p1: u8,
    /// Second parameter byte.
    pub p2: u8,
    /// The data field, empty in cases 1 and 2.
    pub data: &'a [u8],
    /// The number of response bytes expected (Ne); `None` where no Le field is present. 256 or 65536 stand for "all".
    pub le: Option<u32>,
    /// How the lengths are written.
    pub form: Form,
}

/// Why bytes are not a command APDU. Says nothing of the data itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ApduError {
    /// Fewer than the four bytes of a header.
    #[error("{0} bytes are too few for a command header of 4")]
    TooShort(usize),
    /// The length field and the bytes that follow disagree.
    #[error("length field says {claimed} data bytes, {present} bytes follow")]
    Length {
        /// Data bytes that the length field claims.
        claimed: usize,
        /// Bytes present behind the length field.
        present: usize,
    },
    /// The length field itself is cut short or malformed.
    #[error("malformed length field")]
    LengthField,
    /// The direct form is only for batches.
    #[error("direct reference form is not allowed outside a batch")]
    DirectOutsideBatch,
    /// More data than the form can carry.
    #[error("{0} data bytes do not fit the form")]
    DataTooLong(usize),
    /// Ne of zero or above what the form can express.
    #[error("Le of {0} cannot be written in this form")]
    Le(u32),
}

impl<'a> CommandApdu<'a> {
    /// A command with data and no Le, in the shortest ISO form that holds it ([`Form::Direct`] above 65 535 bytes).
    #[must_use]
    pub fn new(cla: u8, ins: u8, p1: u8, p2: u8, data: &'a [u8]) -> Self {
        let form = match data.len() {
            0..=SHORT_DATA_MAX => Form::Short,
            256..=EXTENDED_DATA_MAX => Form::Extended,
            _ => Form::Direct,
        };
        CommandApdu { cla, ins, p1, p2, data, le: None, form }
    }

    /// The same command with Ne = `le`; a short form grows to extended where 256 does not hold it.
    #[must_use]
    pub fn with_le(mut self, le: u32) -> Self {
        if le > 256 && self.form == Form::Short {
            self.form = Form::Extended;
        }
        self.le = Some(le);
        self
    }

    /// Reads a command as an interface delivers it: short or extended.
    ///
    /// # Errors
    /// Any byte too many or too few; the direct form.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ApduError> {
        let command = Self::parse_in_batch(bytes)?;
        if command.form == Form::Direct { Err(ApduError::DirectOutsideBatch) } else { Ok(command) }
    }

    /// Reads a command as it stands in a batch: short, extended or direct.
    ///
    /// # Errors
    /// Any byte too many or too few.
    pub fn parse_in_batch(bytes: &'a [u8]) -> Result<Self, ApduError> {
        let Some((&[cla, ins, p1, p2], rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(ApduError::TooShort(bytes.len()));
        };
        let make = |data, le, form| CommandApdu { cla, ins, p1, p2, data, le, form };
        match rest {
            [] => Ok(make(&[], None, Form::Short)),
            [le] => Ok(make(&[], Some(short_le(*le)), Form::Short)),
            [0, a, b] => Ok(make(&[], Some(extended_le(*a, *b)), Form::Extended)),
            [0, 0, 0, direct @ ..] => {
                let Some((length, data)) = direct.split_first_chunk::<4>() else {
                    return Err(ApduError::LengthField);
                };
                let claimed = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if claimed == data.len() {
                    Ok(make(data, None, Form::Direct))
                } else {
                    Err(ApduError::Length { claimed, present: data.len() })
                }
            }
            [0, a, b, tail @ ..] => {
                let claimed = usize::from(u16::from_be_bytes([*a, *b]));
                match tail.split_at_checked(claimed) {
                    Some((data, [])) => Ok(make(data, None, Form::Extended)),
                    Some((data, [a, b])) => Ok(make(data, Some(extended_le(*a, *b)), Form::Extended)),
                    _ => Err(ApduError::Length { claimed, present: tail.len() }),
                }
            }
            [0, ..] => Err(ApduError::LengthField),
            [lc, tail @ ..] => {
                let claimed = usize::from(*lc);
                match tail.split_at_checked(claimed) {
                    Some((data, [])) => Ok(make(data, None, Form::Short)),
                    Some((data, [le])) => Ok(make(data, Some(short_le(*le)), Form::Short)),
                    _ => Err(ApduError::Length { claimed, present: tail.len() }),
                }
            }
        }
    }

    /// Number of bytes [`CommandApdu::encode`] makes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let data = self.data.len();
        let fields = match (self.form, data, self.le) {
            (Form::Direct, ..) => DIRECT_PREFIX_LEN - HEADER_LEN,
            (Form::Short, 0, le) => usize::from(le.is_some()),
            (Form::Short, _, le) => 1 + usize::from(le.is_some()),
            (Form::Extended, 0, le) => 3 * usize::from(le.is_some()),
            (Form::Extended, _, le) => 3 + 2 * usize::from(le.is_some()),
        };
        HEADER_LEN + fields + data
    }

    /// Appends the command's bytes to `out`.
    ///
    /// # Errors
    /// Data or Le that the form cannot carry; `out` is unchanged then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), ApduError> {
        let too_long = ApduError::DataTooLong(self.data.len());
        let le_error = |le| ApduError::Le(le);
        let header = [self.cla, self.ins, self.p1, self.p2];
        match self.form {
            Form::Short => {
                let lc = u8::try_from(self.data.len()).map_err(|_| too_long)?;
                let le = self.le.map(|le| short_le_byte(le).ok_or(le_error(le))).transpose()?;
                out.extend_from_slice(&header);
                if lc > 0 {
                    out.push(lc);
                    out.extend_from_slice(self.data);
                }
                out.extend(le);
            }
            Form::Extended => {
                let lc = u16::try_from(self.data.len()).map_err(|_| too_long)?;
                let le = self.le.map(|le| extended_le_bytes(le).ok_or(le_error(le))).transpose()?;
                out.extend_from_slice(&header);
                if lc > 0 || le.is_some() {
                    out.push(0);
                }
                if lc > 0 {
                    out.extend_from_slice(&lc.to_be_bytes());
                    out.extend_from_slice(self.data);
                }
                out.extend(le.into_iter().flatten());
            }
            Form::Direct => {
                let length = u32::try_from(self.data.len()).map_err(|_| too_long)?;
                if let Some(le) = self.le {
                    return Err(le_error(le));
                }
                out.extend_from_slice(&header);
                out.extend_from_slice(&[0, 0, 0]);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(self.data);
            }
        }
        Ok(())
    }

    /// The command's bytes.
    ///
    /// # Errors
    /// As [`CommandApdu::encode`].
    pub fn to_vec(&self) -> Result<Vec<u8>, ApduError> {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode(&mut out)?;
        Ok(out)
    }
}

impl fmt::Debug for CommandApdu<'_> {
    /// Header and lengths only: the data may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}{:02X}{:02X}{:02X} ", self.cla, self.ins, self.p1, self.p2)?;
        write!(f, "{:?} with {} data bytes, Le {:?}", self.form, self.data.len(), self.le)
    }
}

fn short_le(byte: u8) -> u32 {
    if byte == 0 { 256 } else { u32::from(byte) }
}

fn extended_le(high: u8, low: u8) -> u32 {
    match u16::from_be_bytes([high, low]) {
        0 => 65_536,
        le => u32::from(le),
    }
}

fn short_le_byte(le: u32) -> Option<u8> {
    match le {
        0 => None,
        256 => Some(0),
        le => u8::try_from(le).ok(),
    }
}

fn extended_le_bytes(le: u32) -> Option<[u8; 2]> {
    match le {
        0 => None,
        65_536 => Some([0, 0]),
        le => u16::try_from(le).ok().map(u16::to_be_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> CommandApdu<'_> {
        CommandApdu::parse_in_batch(bytes).expect("a command")
    }

    /// The seven cases of ISO 7816-4 table 1 and the direct form, as bytes.
    #[test]
    fn every_case_is_read_and_written_back() {
        let cases: [(&[u8], usize, Option<u32>, Form); 9] = [
            (&[0x80, 0xF2, 0x40, 0x00], 0, None, Form::Short),
            (&[0x00, 0xA4, 0x04, 0x00, 0x00], 0, Some(256), Form::Short),
            (&[0x00, 0xA4, 0x04, 0x00, 0x02, 0xA0, 0x00], 2, None, Form::Short),
            (&[0x00, 0xA4, 0x04, 0x00, 0x02, 0xA0, 0x00, 0x10], 2, Some(16), Form::Short),
            (&[0x00, 0xB0, 0x00, 0x00, 0x00, 0x01, 0x00], 0, Some(256), Form::Extended),
            (&[0x00, 0xB0, 0x00, 0x00, 0x00, 0x00, 0x00], 0, Some(65_536), Form::Extended),
            (&[0x00, 0xD6, 0x00, 0x00, 0x00, 0x00, 0x01, 0xAA], 1, None, Form::Extended),
            (&[0x00, 0xD6, 0x00, 0x00, 0x00, 0x00, 0x01, 0xAA, 0x00, 0x02], 1, Some(2), Form::Extended),
            (&[0x80, 0xE8, 0x80, 0x00, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3], 3, None, Form::Direct),
        ];
        for (bytes, data, le, form) in cases {
            let command = parse(bytes);
            assert_eq!((command.data.len(), command.le, command.form), (data, le, form), "{bytes:02X?}");
            assert_eq!(command.to_vec().as_deref(), Ok(bytes));
            assert_eq!(command.encoded_len(), bytes.len());
        }
    }

    #[test]
    fn interfaces_do_not_take_the_direct_form() {
        let bytes = [0x80, 0xE8, 0x80, 0x00, 0, 0, 0, 0, 0, 0, 1, 7];
        assert_eq!(CommandApdu::parse(&bytes), Err(ApduError::DirectOutsideBatch));
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        for bad in [
            &[0x80, 0xE8, 0x00][..],
            &[0x80, 0xE8, 0x00, 0x00, 0x03, 1, 2],
            &[0x80, 0xE8, 0x00, 0x00, 0x01, 1, 2, 3],
            &[0x80, 0xE8, 0x00, 0x00, 0x00, 0x01],
            &[0x80, 0xE8, 0x00, 0x00, 0x00, 0x00, 0x02, 1],
            &[0x80, 0xE8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01],
            &[0x80, 0xE8, 0x00, 0x00, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        ] {
            assert!(CommandApdu::parse_in_batch(bad).is_err(), "{bad:02X?}");
        }
    }

    #[test]
    fn forms_refuse_what_they_cannot_carry() {
        let long = vec![0; 65_536];
        let mut command = CommandApdu::new(0x80, 0xE8, 0x80, 0, &long);
        assert_eq!(command.form, Form::Direct);
        command.form = Form::Extended;
        assert_eq!(command.to_vec(), Err(ApduError::DataTooLong(65_536)));
        command.form = Form::Direct;
        assert_eq!(command.with_le(1).to_vec(), Err(ApduError::Le(1)));
        assert_eq!(CommandApdu::new(0, 0, 0, 0, &[]).with_le(0).to_vec(), Err(ApduError::Le(0)));
        assert_eq!(CommandApdu::new(0, 0, 0, 0, &[]).with_le(300).form, Form::Extended);
    }

    #[test]
    fn debug_shows_no_data() {
        let text = format!("{:?}", CommandApdu::new(0x80, 0xD8, 1, 2, &[0xC0, 0xFF, 0xEE]));
        assert_eq!(text, "80D80102 Short with 3 data bytes, Le None");
    }
}
