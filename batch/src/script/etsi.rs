//! Command scripting templates of remote application management (ETSI TS 102 226 section 5.2.1; tags in ETSI TS 101 220
//! tables 7.18 and 7.19): `AA` and a length, or `AE 80` and `00 00` at the end; inside, C-APDUs in TLVs `22` of definite length.

use super::{Place, Script, ScriptFault, ScriptReason, interindustry};
use crate::Batch;
use crate::issue::push_ber_length;
use zeroize::Zeroizing;

const DEFINITE: u8 = 0xAA;
const INDEFINITE: u8 = 0xAE;
const COMMAND: u8 = 0x22;
/// The length that says: until the end mark.
const UNTIL_END: u8 = 0x80;
const END: [u8; 2] = [0, 0];
/// Tag and the longest length.
const HEAD_MAX: usize = 6;

/// Reads a template, in bytes or as hexadecimal digits.
///
/// # Errors
/// The first fault, with its offset; in a template written in digits, counted in the bytes that these spell.
pub fn parse(input: &[u8]) -> Result<Script, ScriptFault> {
    if input.first().is_some_and(|first| !matches!(first, &DEFINITE | &INDEFINITE)) {
        let digits = std::str::from_utf8(input).map(|text| Zeroizing::new(text.replace(['\r', '\n'], " ")));
        if let Some(bytes) = digits.ok().and_then(|digits| super::hex::bytes(&digits)) {
            return template(&bytes);
        }
    }
    template(input)
}

fn template(input: &[u8]) -> Result<Script, ScriptFault> {
    let mut cursor = Cursor { input, at: 0 };
    let (content, trailing) = match cursor.byte() {
        Some(DEFINITE) => {
            let content = cursor.value()?;
            (content, cursor.at)
        }
        Some(INDEFINITE) => {
            if cursor.byte() != Some(UNTIL_END) {
                return Err(fault(1, ScriptReason::Length));
            }
            (cursor, input.len())
        }
        Some(found) => return Err(fault(0, ScriptReason::Template { found, name: name(found) })),
        None => return Err(fault(0, ScriptReason::Cut { claimed: 2, present: 0 })),
    };
    let indefinite = input.first() == Some(&INDEFINITE);
    let mut script = Script::with_capacity(content.input.len());
    let mut content = content;
    loop {
        let at = content.at;
        match content.byte() {
            None if indefinite => return Err(fault(at, ScriptReason::EndMissing)),
            None => break,
            Some(0) if indefinite => {
                if content.byte() != END.last().copied() {
                    return Err(fault(at, ScriptReason::EndMissing));
                }
                break;
            }
            Some(COMMAND) => {
                let value = content.value()?;
                script.push(Place::Offset(at), value.input.get(value.at..).unwrap_or_default())?;
            }
            Some(tag) => return Err(fault(at, ScriptReason::Tag { tag, name: name(tag) })),
        }
    }
    let end = if indefinite { content.at } else { trailing };
    if end == input.len() { Ok(script) } else { Err(fault(end, ScriptReason::Trailing)) }
}

/// Writes the commands of a batch as one template of definite length (`AA`).
///
/// # Errors
/// A command in the direct-reference form; more than 4 GiB.
pub fn write(batch: &Batch<'_>) -> Result<Zeroizing<Vec<u8>>, ScriptFault> {
    let commands = interindustry(batch)?;
    let length = |bytes: usize| u32::try_from(bytes).map_err(|_| fault(0, ScriptReason::Length));
    let room: usize = commands.iter().map(|command| command.bytes().len() + HEAD_MAX).sum();
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    for command in &commands {
        content.push(COMMAND);
        push_ber_length(&mut content, length(command.bytes().len())?);
        content.extend_from_slice(command.bytes());
    }
    let mut out = Zeroizing::new(Vec::with_capacity(content.len() + HEAD_MAX));
    out.push(DEFINITE);
    push_ber_length(&mut out, length(content.len())?);
    out.extend_from_slice(&content);
    Ok(out)
}

fn fault(offset: usize, reason: ScriptReason) -> ScriptFault {
    ScriptFault { place: Place::Offset(offset), reason }
}

/// The names that ETSI TS 101 220 gives to tags, for those who wonder why theirs is refused.
fn name(tag: u8) -> &'static str {
    match tag {
        0x22 => "a C-APDU without its template",
        0x23 => "an R-APDU",
        0x80 => "the number of commands executed",
        0x81 => "an immediate action",
        0x82 => "an error action",
        0x83 => "script chaining",
        0x90 => "a bad format report",
        0xAB | 0xAF => "a response scripting template",
        _ => "unknown",
    }
}

/// A place in the input. A value is a cursor that ends with it, so that offsets always count from the start of the file.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.input.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    /// A length of one byte, or of `81`, `82`, `83` and as many bytes; the value behind it.
    fn value(&mut self) -> Result<Cursor<'a>, ScriptFault> {
        let at = self.at;
        let malformed = fault(at, ScriptReason::Length);
        let bytes = match self.byte() {
            Some(length @ ..=0x7F) => return self.take(at, usize::from(length)),
            Some(0x81) => 1,
            Some(0x82) => 2,
            Some(0x83) => 3,
            Some(0x84) => 4,
            _ => return Err(malformed),
        };
        let mut claimed = 0_usize;
        for _ in 0..bytes {
            let byte = self.byte().ok_or_else(|| malformed.clone())?;
            claimed = claimed << 8 | usize::from(byte);
        }
        self.take(at, claimed)
    }

    fn take(&mut self, length_at: usize, claimed: usize) -> Result<Cursor<'a>, ScriptFault> {
        let present = self.input.len().saturating_sub(self.at);
        if claimed > present {
            return Err(fault(length_at, ScriptReason::Cut { claimed, present }));
        }
        let value = Cursor { input: self.input.get(..self.at + claimed).unwrap_or_default(), at: self.at };
        self.at += claimed;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::BatchBuilder;

    fn read(template: &[u8]) -> Result<Vec<Vec<u8>>, ScriptFault> {
        parse(template).map(|script| script.commands().map(|command| command.to_vec().expect("encoded")).collect())
    }

    const STORE: [u8; 5] = [0x80, 0xE2, 0x90, 0x00, 0x00];

    #[test]
    fn both_codings_are_read() {
        let definite = [&[0xAA, 7, 0x22, 5][..], &STORE].concat();
        let indefinite = [&[0xAE, 0x80, 0x22, 5][..], &STORE, &[0, 0]].concat();
        for template in [&definite[..], &indefinite, b"AA07220580E2900000", b"ae 80 22 05\n80E2900000\n0000\n"] {
            assert_eq!(read(template).as_deref(), Ok(&[STORE.to_vec()][..]), "{template:02X?}");
        }
        assert_eq!(read(&[0xAA, 0]), Ok(vec![]));
        assert_eq!(read(&[0xAE, 0x80, 0, 0]), Ok(vec![]));
    }

    #[test]
    fn faults_name_offset_and_tag() {
        let cut = |claimed, present| ScriptReason::Cut { claimed, present };
        let tag = |tag: u8| ScriptReason::Tag { tag, name: name(tag) };
        let cases: [(&[u8], usize, ScriptReason); 14] = [
            (&[], 0, cut(2, 0)),
            (&[0xAA], 1, ScriptReason::Length),
            (&[0xAA, 5, 0x22], 1, cut(5, 1)),
            (&[0xAA, 0x80, 0, 0], 1, ScriptReason::Length),
            (&[0xAA, 0x85, 0, 0, 0, 0, 0], 1, ScriptReason::Length),
            (&[0xAA, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], 1, cut(0xFFFF_FFFF, 0)),
            (&[0xAA, 3, 0x22, 2, 0], 3, cut(2, 1)),
            (&[0xAA, 3, 0x81, 1, 0], 2, tag(0x81)),
            (&[0xAE, 0x80, 0x83, 1, 1, 0, 0], 2, tag(0x83)),
            (&[0xAE, 7], 1, ScriptReason::Length),
            (&[0xAE, 0x80, 0], 2, ScriptReason::EndMissing),
            (&[0xAE, 0x80], 2, ScriptReason::EndMissing),
            (&[0xAE, 0x80, 0, 0, 7], 4, ScriptReason::Trailing),
            (&[0xAB, 0], 0, ScriptReason::Template { found: 0xAB, name: name(0xAB) }),
        ];
        for (template, offset, reason) in cases {
            assert_eq!(read(template), Err(fault(offset, reason)), "{template:02X?}");
        }
        assert!(tag(0x82).to_string().contains("error action"));
        assert!(read(&[0xAA, 4, 0x22, 2, 0x80, 0xE2]).is_err_and(|fault| fault.place == Place::Offset(2)));
    }

    #[test]
    fn a_template_is_written_as_short_as_ber_allows() {
        let mut builder = BatchBuilder::new();
        builder.push_bytes(&STORE).expect("a command");
        builder.push(&crate::CommandApdu::new(0x80, 0xE2, 0, 1, &[7; 200])).expect("a command");
        let file = builder.finish().expect("a batch");
        let template = write(&Batch::parse(&file).expect("a batch")).expect("a template");
        assert_eq!(template[..6], [0xAA, 0x81, 7 + 3 + 205, 0x22, 5, 0x80]);
        assert_eq!(template[10..13], [0x22, 0x81, 205]);
        assert_eq!(read(&template).map(|commands| commands.len()), Ok(2));
    }

    #[test]
    fn direct_reference_is_refused_by_its_number() {
        let mut builder = BatchBuilder::new();
        builder.push_bytes(&STORE).expect("a command");
        builder.push(&crate::CommandApdu::new(0x80, 0xE8, 0x80, 0, &vec![7; 70_000])).expect("a command");
        let file = builder.finish().expect("a batch");
        let batch = Batch::parse(&file).expect("a batch");
        let refused = ScriptFault { place: Place::Command(2), reason: ScriptReason::Direct };
        assert_eq!(write(&batch).err(), Some(refused.clone()));
        assert_eq!(super::super::list::write(&batch).err(), Some(refused));
    }
}
