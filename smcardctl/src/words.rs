//! Commands in words: what a card content command does, without showing what it carries.
//!
//! Names and fields are GlobalPlatform Card Specification 2.3.1, chapter 11; SELECT and MANAGE CHANNEL ISO/IEC 7816-4.
//! AIDs, key versions and lengths are shown; keys, parameters and load file data never.

mod install;

use smcard_batch::CommandApdu;
use smcard_batch::aid::Aid;

/// A command in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    /// Name of the command, `INS xx` where it has none here.
    pub(crate) name: String,
    /// What it does, to whom; may be empty.
    pub(crate) detail: String,
}

impl Words {
    fn new(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), detail: detail.into() }
    }
}

/// Says what a command is. A command that is none of those known, or whose data do not fit it, is named by its bytes.
pub(crate) fn of(command: &CommandApdu<'_>) -> Words {
    let &CommandApdu { cla, ins, p1, p2, data, .. } = command;
    // Bit 8: GlobalPlatform and the project's own; else interindustry. The rest is channel and secure messaging.
    match (cla & 0x80 != 0, ins) {
        (false, 0xA4) if p1 == 0x04 => Words::new("SELECT", select(data, p2)),
        (false, 0x70) => Words::new("MANAGE CHANNEL", if p1 == 0x80 { "close" } else { "open" }),
        (_, 0xCA | 0xCB) => Words::new("GET DATA", format!("tag {:04X}", u16::from_be_bytes([p1, p2]))),
        (true, 0xE6) => install::words(p1, data),
        (true, 0xE8) => Words::new("LOAD", load(p1, p2, data.len())),
        (true, 0xE4) => Words::new("DELETE", delete(p2, data)),
        (true, 0xE2) => Words::new("STORE DATA", block(p1, p2, data.len())),
        (true, 0xD8) => Words::new("PUT KEY", put_key(p1, data)),
        (true, 0xF0) => Words::new("SET STATUS", set_status(p1, p2, data)),
        (true, 0xF2) => Words::new("GET STATUS", registry(p1)),
        (true, 0x50) => Words::new("INITIALIZE UPDATE", format!("key version {p1}")),
        (true, 0x82) => Words::new("EXTERNAL AUTHENTICATE", format!("security level {p1:02X}")),
        (true, 0x5A) => Words::new("START", ""),
        (true, 0x5C) => Words::new("CLEAR", ""),
        (true, 0x5E) => Words::new("CONFIRM", ""),
        _ => Words::new(&format!("INS {ins:02X}"), format!("class {cla:02X}, P1 {p1:02X}, P2 {p2:02X}")),
    }
}

/// An AID in digits; what is none is shown by its length only, for it may be anything.
fn aid(bytes: &[u8]) -> String {
    Aid::new(bytes).map_or_else(|_| format!("({} bytes that are no AID)", bytes.len()), |aid| aid.to_string())
}

/// `1 byte`, `2 bytes`.
fn bytes(n: usize) -> String {
    if n == 1 { "1 byte".to_owned() } else { format!("{n} bytes") }
}

fn select(data: &[u8], p2: u8) -> String {
    let which = if p2 & 0x03 == 0x02 { "next " } else { "" };
    if data.is_empty() { "the issuer security domain".to_owned() } else { format!("{which}{}", aid(data)) }
}

fn block(p1: u8, p2: u8, length: usize) -> String {
    let last = if p1 & 0x80 != 0 { ", last" } else { "" };
    format!("block {p2}{last}, {}", bytes(length))
}

/// LOAD: one block of many, or the whole load file in one command (direct reference).
fn load(p1: u8, p2: u8, length: usize) -> String {
    match (p2, p1 & 0x80 != 0) {
        (0, true) => format!("the whole load file, {}", bytes(length)),
        _ => block(p1, p2, length),
    }
}

fn delete(p2: u8, data: &[u8]) -> String {
    let related = if p2 & 0x80 != 0 { " and what belongs to it" } else { "" };
    match tlv(data) {
        Some((0x4F, name, _)) => format!("{}{related}", aid(name)),
        Some((0xD0 | 0xD2, ..)) => "keys".to_owned(),
        _ => String::new(),
    }
}

fn put_key(p1: u8, data: &[u8]) -> String {
    let to = data.first().map_or_else(String::new, |version| format!(", new version {version}"));
    match p1 & 0x7F {
        0 => format!("add{to}"),
        old => format!("replace version {old}{to}"),
    }
}

fn set_status(p1: u8, state: u8, data: &[u8]) -> String {
    let who = match p1 & 0xE0 {
        0x80 => "the card".to_owned(),
        0x40 => aid(data),
        0x60 => format!("{} and what belongs to it", aid(data)),
        _ => format!("P1 {p1:02X}"),
    };
    match (p1 & 0xE0, smcard_ioctl::life_cycle_name(state)) {
        (0x80, Some(name)) => format!("{who} to {name}"),
        _ => format!("{who} to state {state:02X}"),
    }
}

fn registry(p1: u8) -> String {
    match p1 & 0xF0 {
        0x80 => "the issuer security domain",
        0x40 => "applications",
        0x20 => "load files",
        0x10 => "load files and their modules",
        _ => "",
    }
    .to_owned()
}

/// The first data object with a tag and a length of one byte each: tag, value, what follows.
fn tlv(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = data.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(usize::from(length))?;
    Some((tag, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(hex: &str) -> String {
        let bytes = crate::hex::parse(hex).unwrap();
        let Words { name, detail } = of(&CommandApdu::parse_in_batch(&bytes).unwrap());
        format!("{name}: {detail}")
    }

    #[test]
    fn card_content_commands_are_named_with_their_objects() {
        for (command, words) in [
            ("00A4040008A000000151000000", "SELECT: A000000151000000"),
            ("00A40400", "SELECT: the issuer security domain"),
            ("80E48000 09 4F07D2760000850101", "DELETE: D2760000850101"),
            ("80E40080 09 4F07D2760000850101", "DELETE: D2760000850101 and what belongs to it"),
            ("80E80000 03 C48101", "LOAD: block 0, 3 bytes"),
            ("80E88005 01 00", "LOAD: block 5, last, 1 byte"),
            ("80E88000 02 C400", "LOAD: the whole load file, 2 bytes"),
            ("80E28001 01 FF", "STORE DATA: block 1, last, 1 byte"),
            ("80D80081 01 30", "PUT KEY: add, new version 48"),
            ("80D83081 01 31", "PUT KEY: replace version 48, new version 49"),
            ("80F0800F", "SET STATUS: the card to SECURED"),
            ("80F04007 07 D2760000850101", "SET STATUS: D2760000850101 to state 07"),
            ("80F21000 02 4F00", "GET STATUS: load files and their modules"),
            ("80CA0066 00", "GET DATA: tag 0066"),
            ("80AABBCC", "INS AA: class 80, P1 BB, P2 CC"),
        ] {
            assert_eq!(say(command), words, "{command}");
        }
    }

    #[test]
    fn data_that_do_not_fit_are_not_shown() {
        // 17 bytes are no AID, a DELETE cut short names nothing.
        let secret = "C0FFEEC0FFEEC0FFEEC0FFEEC0FFEEC0FF";
        assert_eq!(say(&format!("00A40400 11 {secret}")), "SELECT: (17 bytes that are no AID)");
        assert_eq!(say("80E40000 03 4F07D2"), "DELETE: ");
        for command in ["80E28000", "80D80081", "80E88000"] {
            assert!(!say(&format!("{command} 11 {secret}")).contains("C0FFEE"));
        }
    }
}
