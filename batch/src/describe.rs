//! A command in words, for people who look into a batch.
//!
//! Names what a command does and to whom, never what it carries: the contents of LOAD, STORE DATA, PUT KEY and of commands
//! this module does not know are only counted. AIDs and install parameters' lengths are shown, parameters are not.

use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::hex::Hex;
use crate::parse::Command;

/// Class bit: the data is in secure messaging, hence not readable.
const SECURE: u8 = 0x04;

/// The command in words: `DELETE A0000000620101`. A command whose data does not have the form that its instruction asks for is
/// described by its header and length.
#[must_use]
pub fn describe(command: &CommandApdu<'_>) -> String {
    Narrator::default().describe(command)
}

/// Describes the commands of a batch one after the other, remembering what is being loaded.
#[derive(Default, Clone, Debug)]
pub struct Narrator {
    package: Option<String>,
}

impl Narrator {
    /// The next command of a batch in words.
    #[must_use]
    pub fn next(&mut self, command: &Command<'_>) -> String {
        self.describe(&command.apdu)
    }

    /// The next command in words.
    #[must_use]
    pub fn describe(&mut self, command: &CommandApdu<'_>) -> String {
        if command.cla & SECURE != 0 && command.cla & 0x40 == 0 && command.ins != 0x82 {
            return format!("{}, in secure messaging", plain(command));
        }
        self.known(command).unwrap_or_else(|| plain(command))
    }

    fn known(&mut self, command: &CommandApdu<'_>) -> Option<String> {
        let CommandApdu { cla, ins, p1, p2, data, .. } = *command;
        let bytes = count(data.len());
        let global_platform = cla & 0x80 != 0;
        Some(match ins {
            0xA4 if p1 == 0x04 && data.is_empty() => "SELECT the card manager".to_owned(),
            0xA4 if p1 == 0x04 => format!("SELECT {}{}", aid(data), if p2 & 2 == 0 { "" } else { ", next occurrence" }),
            0xA4 => format!("SELECT FILE {}", aid(data)),
            0x70 if !global_platform && p1 == 0 => "MANAGE CHANNEL, open".to_owned(),
            0x70 if !global_platform => format!("MANAGE CHANNEL, close {p2}"),
            0xB0 if !global_platform => format!("READ BINARY at {}", u16::from_be_bytes([p1, p2])),
            0xD6 if !global_platform => format!("UPDATE BINARY at {}, {bytes}", u16::from_be_bytes([p1, p2])),
            0xCA => format!("GET DATA {p1:02X}{p2:02X}"),
            _ if !global_platform => return None,
            0x50 => format!("INITIALIZE UPDATE with key version {p1}"),
            0x82 => format!("EXTERNAL AUTHENTICATE, security level {p1:02X}"),
            0xD8 => format!("PUT KEY, {}, key {}, {bytes} not shown", key_version(p1), p2 & 0x7F),
            0xE2 => format!("STORE DATA block {p2}{}, {bytes} not shown", last(p1)),
            0xE4 => delete(data, p2)?,
            0xE6 => self.install(p1, data)?,
            0xE8 => {
                let of = self.package.as_ref().map(|package| format!(" of {package}")).unwrap_or_default();
                format!("LOAD block {p2}{of}, {bytes}{}", last(p1))
            }
            0xF0 => format!("SET STATUS of {}{} to {p2:02X}", status_scope(p1), aid_or_nothing(data)),
            0xF2 => format!("GET STATUS of {}", status_scope(p1)),
            _ => return None,
        })
    }

    /// INSTALL by its P1 (GPC 2.3.1 table 11-41).
    fn install(&mut self, p1: u8, data: &[u8]) -> Option<String> {
        let mut rest = data;
        let (first, second) = (counted(&mut rest)?, counted(&mut rest)?);
        let text = match p1 & 0x7F {
            0x02 => {
                let package = aid(first);
                let text = format!("INSTALL [for load] package {package}, security domain {}", aid_or_current(second));
                self.package = Some(package);
                text
            }
            p1 @ (0x04 | 0x0C) => {
                let (instance, privileges) = (counted(&mut rest)?, counted(&mut rest)?);
                let parameters = install_parameters(rest);
                let purpose = if p1 == 0x04 { "install" } else { "install and make selectable" };
                format!(
                    "INSTALL [for {purpose}] applet {} of {} as {}, privileges {}{parameters}",
                    aid(second),
                    aid(first),
                    aid(instance),
                    aid(privileges)
                )
            }
            0x08 => format!("INSTALL [for make selectable] {}", aid(counted(&mut rest)?)),
            0x10 => format!("INSTALL [for extradition] {} to {}", aid(counted(&mut rest)?), aid_or_current(first)),
            0x20 => format!("INSTALL [for personalization] {}", aid(counted(&mut rest)?)),
            0x40 => format!("INSTALL [for registry update] {}", aid_or_current(counted(&mut rest)?)),
            _ => return None,
        };
        Some(text)
    }
}

/// Header and length only.
fn plain(command: &CommandApdu<'_>) -> String {
    let CommandApdu { cla, ins, p1, p2, data, .. } = *command;
    let header = format!("{cla:02X} {ins:02X} {p1:02X} {p2:02X}");
    if data.is_empty() { header } else { format!("{header} with {}", count(data.len())) }
}

fn count(bytes: usize) -> String {
    if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") }
}

fn last(p1: u8) -> &'static str {
    if p1 & 0x80 == 0 { "" } else { ", last" }
}

fn key_version(p1: u8) -> String {
    match p1 & 0x7F {
        0 => "add a key version".to_owned(),
        version => format!("replace key version {version}"),
    }
}

fn status_scope(p1: u8) -> &'static str {
    match p1 {
        0x80 => "the card",
        0x60 => "security domain and its applications",
        0x40 => "applications",
        0x20 => "load files",
        0x10 => "load files and modules",
        _ => "unknown",
    }
}

/// An AID or a part of one; anything longer is no AID and only counted.
fn aid(bytes: &[u8]) -> String {
    if bytes.len() <= Aid::MAX { Hex(bytes).to_string() } else { count(bytes.len()) }
}

fn aid_or_nothing(bytes: &[u8]) -> String {
    if bytes.is_empty() { String::new() } else { format!(" {}", aid(bytes)) }
}

fn aid_or_current(bytes: &[u8]) -> String {
    if bytes.is_empty() { "that runs the batch".to_owned() } else { aid(bytes) }
}

/// DELETE by AID or by key (GPC 2.3.1 section 11.2).
fn delete(data: &[u8], p2: u8) -> Option<String> {
    let (&tag, mut rest) = data.split_first()?;
    let value = counted(&mut rest)?;
    Some(match tag {
        0x4F if p2 & 0x80 != 0 => format!("DELETE {} and all that belongs to it", aid(value)),
        0x4F => format!("DELETE {}", aid(value)),
        0xD0 | 0xD2 => "DELETE key".to_owned(),
        _ => return None,
    })
}

/// The bytes behind a length of one byte; `rest` is what follows them.
fn counted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&length, behind) = rest.split_first()?;
    let (value, behind) = behind.split_at_checked(usize::from(length))?;
    *rest = behind;
    Some(value)
}

/// The length of the parameters' C9, where there are any.
fn install_parameters(field: &[u8]) -> String {
    let value = match field {
        [0x81, _, 0xC9, value @ ..] | [_, 0xC9, value @ ..] => value,
        _ => &[],
    };
    let length = match *value {
        [0x81, length, ..] | [length @ ..=0x7F, ..] => usize::from(length),
        _ => 0,
    };
    if length == 0 { String::new() } else { format!(", {} of parameters", count(length)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(hex: &str) -> String {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("a byte");
        let bytes: Vec<u8> = digits.chunks(2).map(pair).collect();
        describe(&CommandApdu::parse_in_batch(&bytes).expect("a command"))
    }

    /// The recorded load session of GlobalPlatform library tests (SCP02), in plain, and its neighbours.
    #[test]
    fn what_an_issue_is_made_of_has_words() {
        for (hex, text) in [
            ("00A4040000", "SELECT the card manager"),
            ("00A4040007D276000085010100", "SELECT D2760000850101"),
            ("80E400800A4F08D0D1D2D3D4D50101", "DELETE D0D1D2D3D4D50101 and all that belongs to it"),
            ("80E40000094F07D0D1D2D3D4D501", "DELETE D0D1D2D3D4D501"),
            (
                "80E602001E 07D0D1D2D3D4D501 08A000000003000000 00 0A EF08C6020160C80207D0 00",
                "INSTALL [for load] package D0D1D2D3D4D501, security domain A000000003000000",
            ),
            (
                "80E602000C 07D0D1D2D3D4D501 00 00 00 00 00",
                "INSTALL [for load] package D0D1D2D3D4D501, security domain that runs the batch",
            ),
            (
                "80E60C0026 07D0D1D2D3D4D501 08D0D1D2D3D4D50101 08D0D1D2D3D4D50102 0102 08 C902AABBEF02C800 00",
                "INSTALL [for install and make selectable] applet D0D1D2D3D4D50101 of D0D1D2D3D4D501 as \
                 D0D1D2D3D4D50102, privileges 02, 2 bytes of parameters",
            ),
            ("80F28002024F0000", "GET STATUS of the card"),
            ("80F0800700", "SET STATUS of the card to 07"),
            ("80CA006600", "GET DATA 0066"),
            ("8050300008FDF38259A1E0DE4400", "INITIALIZE UPDATE with key version 48"),
            ("84823300108C36F96BCC00724A4E13AD591D7DA3F0", "EXTERNAL AUTHENTICATE, security level 33"),
            ("84F2200208AC6A59024BED84CC", "84 F2 20 02 with 8 bytes, in secure messaging"),
            ("801234560100", "80 12 34 56 with 1 byte"),
            ("80123456", "80 12 34 56"),
        ] {
            assert_eq!(words(hex), text, "{hex}");
        }
    }

    #[test]
    fn what_is_carried_is_not_shown() {
        for (hex, text) in [
            ("80E8000004C4820157", "LOAD block 0, 4 bytes"),
            ("80E8800101AA", "LOAD block 1, 1 byte, last"),
            ("80E28003 02 CAFE", "STORE DATA block 3, last, 2 bytes not shown"),
            ("80D80081 03 CAFEAA", "PUT KEY, add a key version, key 1, 3 bytes not shown"),
            ("80D83001 02 CAFE", "PUT KEY, replace key version 48, key 1, 2 bytes not shown"),
            ("00D60002 02 CAFE", "UPDATE BINARY at 2, 2 bytes"),
        ] {
            assert_eq!(words(hex), text, "{hex}");
        }
    }

    #[test]
    fn what_is_too_long_for_an_aid_is_only_counted() {
        let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x00, &[0xAB; 3000]);
        assert_eq!(describe(&select), "SELECT 3000 bytes");
        let mut install = Vec::new();
        for _ in 0..4 {
            install.push(0xFF);
            install.extend([0xAB; 255]);
        }
        let words = describe(&CommandApdu::new(0x80, 0xE6, 0x0C, 0x00, &install));
        assert!(words.contains("applet 255 bytes of 255 bytes") && words.len() < 200, "{words}");
    }

    #[test]
    fn a_malformed_install_is_only_counted() {
        assert_eq!(words("80E60C0003 07D0D1"), "80 E6 0C 00 with 3 bytes");
        assert_eq!(words("80E4000001 4F"), "80 E4 00 00 with 1 byte");
    }

    #[test]
    fn a_load_names_the_package_announced_before() {
        let mut narrator = Narrator::default();
        let data = [5, 0xA0, 0, 0, 0, 1, 0, 0, 0, 0];
        let announced = narrator.describe(&CommandApdu::new(0x80, 0xE6, 2, 0, &data));
        assert_eq!(announced, "INSTALL [for load] package A000000001, security domain that runs the batch");
        let block = CommandApdu::new(0x80, 0xE8, 0x80, 3, &[0x55; 247]);
        assert_eq!(narrator.describe(&block), "LOAD block 3 of A000000001, 247 bytes, last");
    }
}
