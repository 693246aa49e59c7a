//! Arguments of commands in words.

use crate::assd::{CHECKED, DirectRead, DirectWrite, Register};
use crate::sd::{Command, SwitchArgument, index};
use std::fmt::Write;

/// What an argument says, for people; empty where it says nothing. `application`: the command comes after CMD55.
#[must_use]
pub fn argument_in_words(command: Command, application: bool) -> String {
    use index as i;
    let argument = command.argument;
    if application {
        return match command.index {
            i::ACMD_SET_BUS_WIDTH => match argument {
                0 => "1 bit".to_owned(),
                2 => "4 bits".to_owned(),
                _ => String::new(),
            },
            _ => String::new(),
        };
    }
    match command.index {
        i::SWITCH_FUNC => switch(SwitchArgument(argument)),
        i::SELECT_CARD | i::SEND_CSD | i::SEND_CID | i::SEND_STATUS | i::APP_CMD if argument != 0 => {
            format!("card {:04X}", argument >> 16)
        }
        i::SET_BLOCKLEN => format!("{argument} bytes"),
        i::SEND_PSI => match Register::from_number(argument) {
            Some(Register::Status) => "status register".to_owned(),
            Some(Register::Properties) => "properties register".to_owned(),
            Some(Register::Random) => "random number register".to_owned(),
            None => format!("register {argument}, unknown"),
        },
        i::READ_SEC_CMD | i::WRITE_SEC_CMD => {
            let blocks = argument & 0xFFFF;
            let kind = if argument & CHECKED == 0 { "token" } else { "checked token" };
            format!("{kind}, {}", counted(blocks))
        }
        i::CONTROL_ASSD_SYSTEM => {
            let (system, operation) = (argument >> 8 & 0xF, argument & 0xFF);
            match operation {
                1 => format!("system {system}, select and reset"),
                other => format!("system {system}, operation {other}"),
            }
        }
        i::DIRECT_SECURE_WRITE => match DirectWrite::from_argument(argument) {
            Some(DirectWrite::Open) => "OPEN".to_owned(),
            Some(DirectWrite::Data { write, first, blocks }) => {
                format!("DATA of write {write}, {} from number {first} on", counted(u32::from(blocks)))
            }
            Some(DirectWrite::Commit { write }) => format!("COMMIT of write {write}"),
            Some(DirectWrite::Abort { write }) => format!("ABORT of write {write}"),
            None => "unknown".to_owned(),
        },
        i::DIRECT_SECURE_READ => match DirectRead::from_argument(argument) {
            Some(DirectRead::Result) => "RESULT".to_owned(),
            Some(DirectRead::State { write }) => format!("STATE of write {write}"),
            None => "unknown".to_owned(),
        },
        i::CRC_ON_OFF => if argument & 1 == 1 { "on" } else { "off" }.to_owned(),
        _ => String::new(),
    }
}

fn counted(blocks: u32) -> String {
    if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") }
}

fn switch(argument: SwitchArgument) -> String {
    let mut text = String::from(if argument.is_set() { "set" } else { "check" });
    let mut any = false;
    for group in 1..=6 {
        let function = argument.group(group);
        if function != 0xF {
            any = true;
            // A `String` takes everything.
            let _ = match (group, function) {
                (2, 0) => write!(text, ", command system 0 (memory only)"),
                (2, 1) => write!(text, ", command system 1 (ASSD 1.x)"),
                (2, 4) => write!(text, ", command system 4 (ASSD 2.x)"),
                (2, other) => write!(text, ", command system {other}"),
                (1, other) => write!(text, ", access mode {other}"),
                (other, function) => write!(text, ", group {other} function {function}"),
            };
        }
    }
    if !any {
        text.push_str(", nothing in particular");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_say_what_they_mean() {
        let words = |index, argument| argument_in_words(Command::new(index, argument), false);
        assert_eq!(words(6, 0x00FF_FFFF), "check, nothing in particular");
        assert_eq!(words(6, 0x80FF_FF4F), "set, command system 4 (ASSD 2.x)");
        assert_eq!(words(6, 0x80FF_FFF1), "set, access mode 1");
        assert_eq!(words(13, 0x4567_0000), "card 4567");
        assert_eq!(words(16, 32), "32 bytes");
        assert_eq!(words(34, 1), "token, 1 block");
        assert_eq!(words(35, 0x4000_0003), "checked token, 3 blocks");
        assert_eq!(words(36, 0), "status register");
        assert_eq!(words(36, 9), "register 9, unknown");
        assert_eq!(words(37, 0x101), "system 1, select and reset");
        assert_eq!(words(57, 0), "OPEN");
        assert_eq!(words(57, 0x5A00_1234), "DATA of write 3, 513 blocks from number 4660 on");
        assert_eq!(words(50, 0x7800_0000), "STATE of write 7");
        assert_eq!(words(17, 5), "");
        assert_eq!(argument_in_words(Command::new(6, 2), true), "4 bits");
    }
}
