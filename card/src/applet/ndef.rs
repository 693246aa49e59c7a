//! An NFC Forum Type 4 Tag (Type 4 Tag Technical Specification 1.0, mapping version 2.0): a capability container and one
//! NDEF file that can be read and written.

use super::{Applet, AppletMemory, AppletResult};
use smcard_batch::{CommandApdu, StatusWord};

/// AID of the package this applet stands for.
pub const PACKAGE_AID: [u8; 8] = [0xF0, 0x53, 0x4D, 0x43, 0x41, 0x52, 0x44, 0x01];
/// AID under which readers look for a Type 4 Tag.
pub const INSTANCE_AID: [u8; 7] = [0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01];

/// Bytes of the NDEF file: a length of two bytes, then the message.
pub const FILE_SIZE: usize = 2048;
const CC_FILE: [u8; 2] = [0xE1, 0x03];
const NDEF_FILE: [u8; 2] = [0xE1, 0x04];
/// Most data bytes of one READ BINARY or UPDATE BINARY.
const BLOCK_MAX: usize = 0xF6;

/// Length, mapping version 2.0, MLe, MLc, then the NDEF file control TLV: E104, 2048 bytes, free to read and to write.
const CAPABILITY_CONTAINER: [u8; 15] =
    [0x00, 0x0F, 0x20, 0x00, 0xF6, 0x00, 0xF6, 0x04, 0x06, 0xE1, 0x04, 0x08, 0x00, 0x00, 0x00];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Selected {
    Nothing,
    CapabilityContainer,
    Ndef,
}

/// The applet. Which file is selected is forgotten with each SELECT by name.
pub struct Ndef {
    selected: Selected,
}

impl Ndef {
    /// Nothing selected.
    #[must_use]
    pub fn new() -> Self {
        Ndef { selected: Selected::Nothing }
    }

    fn select_file(&mut self, command: &CommandApdu<'_>) -> AppletResult {
        if (command.p1, command.p2) != (0x00, 0x0C) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        self.selected = match <[u8; 2]>::try_from(command.data) {
            Ok(CC_FILE) => Selected::CapabilityContainer,
            Ok(NDEF_FILE) => Selected::Ndef,
            Ok(_) => return Err(StatusWord::NOT_FOUND),
            Err(_) => return Err(StatusWord::WRONG_LENGTH),
        };
        Ok(Vec::new())
    }

    fn read(&self, memory: &dyn AppletMemory, command: &CommandApdu<'_>) -> AppletResult {
        let file = match self.selected {
            Selected::Nothing => return Err(StatusWord::COMMAND_NOT_ALLOWED),
            Selected::CapabilityContainer => CAPABILITY_CONTAINER.to_vec(),
            Selected::Ndef => file_of(memory),
        };
        let offset = usize::from(u16::from_be_bytes([command.p1, command.p2]));
        let wanted = command.le.ok_or(StatusWord::WRONG_LENGTH)?;
        let length = usize::try_from(wanted).unwrap_or(usize::MAX).min(BLOCK_MAX);
        let rest = file.get(offset..).filter(|rest| !rest.is_empty()).ok_or(StatusWord::WRONG_OFFSET)?;
        Ok(rest.get(..length).unwrap_or(rest).to_vec())
    }

    fn update(&self, memory: &mut dyn AppletMemory, command: &CommandApdu<'_>) -> AppletResult {
        if self.selected != Selected::Ndef {
            return Err(StatusWord::COMMAND_NOT_ALLOWED);
        }
        let offset = usize::from(u16::from_be_bytes([command.p1, command.p2]));
        if command.data.len() > BLOCK_MAX {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let mut file = file_of(memory);
        let place = offset.checked_add(command.data.len()).and_then(|end| file.get_mut(offset..end));
        place.ok_or(StatusWord::WRONG_OFFSET)?.copy_from_slice(command.data);
        store(memory, &file)?;
        Ok(Vec::new())
    }
}

impl Default for Ndef {
    fn default() -> Self {
        Self::new()
    }
}

/// The whole file; the memory keeps it without the zero bytes at its end.
fn file_of(memory: &dyn AppletMemory) -> Vec<u8> {
    let mut file = memory.read().to_vec();
    file.resize(FILE_SIZE, 0);
    file
}

fn store(memory: &mut dyn AppletMemory, file: &[u8]) -> Result<(), StatusWord> {
    let used = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    memory.write(file.get(..used).unwrap_or(file))
}

/// Length, then the message.
fn with_length(message: &[u8]) -> Result<Vec<u8>, StatusWord> {
    let length = u16::try_from(message.len()).ok().filter(|length| usize::from(*length) + 2 <= FILE_SIZE);
    let mut file = length.ok_or(StatusWord::NOT_ENOUGH_MEMORY)?.to_be_bytes().to_vec();
    file.extend_from_slice(message);
    Ok(file)
}

impl Applet for Ndef {
    /// The parameters are the NDEF message to begin with; none makes an empty tag.
    fn install(&mut self, memory: &mut dyn AppletMemory, parameters: &[u8]) -> Result<(), StatusWord> {
        store(memory, &with_length(parameters)?)
    }

    fn select(&mut self, _memory: &mut dyn AppletMemory) -> Result<(), StatusWord> {
        self.selected = Selected::Nothing;
        Ok(())
    }

    fn process(&mut self, memory: &mut dyn AppletMemory, command: &CommandApdu<'_>) -> AppletResult {
        if command.cla != 0x00 {
            return Err(StatusWord::CLA_UNSUPPORTED);
        }
        match command.ins {
            0xA4 => self.select_file(command),
            0xB0 => self.read(memory, command),
            0xD6 => self.update(memory, command),
            _ => Err(StatusWord::INS_UNSUPPORTED),
        }
    }

    /// Personal data of a tag is its message, in one STORE DATA.
    fn store_data(&mut self, memory: &mut dyn AppletMemory, data: &[u8], last: bool) -> Result<(), StatusWord> {
        if !last {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        store(memory, &with_length(data)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Ram(Vec<u8>);

    impl AppletMemory for Ram {
        fn read(&self) -> &[u8] {
            &self.0
        }

        fn write(&mut self, data: &[u8]) -> Result<(), StatusWord> {
            self.0 = data.to_vec();
            Ok(())
        }
    }

    fn send(tag: &mut Ndef, memory: &mut Ram, hex: &str) -> AppletResult {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
        tag.process(memory, &CommandApdu::parse(&bytes).expect("a command"))
    }

    /// NDEF detection and read procedure (Type 4 Tag specification section 5.4): CC, then length, then message.
    #[test]
    fn a_reader_finds_the_message() {
        let (mut tag, mut memory) = (Ndef::new(), Ram::default());
        tag.install(&mut memory, &[0xD1, 0x01, 0x02, 0x54, 0x00, 0x41]).expect("fits");
        tag.select(&mut memory).expect("selectable");
        assert_eq!(send(&mut tag, &mut memory, "00B000000F"), Err(StatusWord::COMMAND_NOT_ALLOWED));
        send(&mut tag, &mut memory, "00A4000C02E103").expect("the CC file");
        let cc = send(&mut tag, &mut memory, "00B000000F").expect("the CC");
        assert_eq!((cc[1], cc[2] >> 4, cc[7], cc[8]), (15, 2, 4, 6));
        send(&mut tag, &mut memory, "00A4000C02E104").expect("the NDEF file");
        assert_eq!(send(&mut tag, &mut memory, "00B0000002").as_deref(), Ok(&[0, 6][..]));
        assert_eq!(send(&mut tag, &mut memory, "00B0000206").as_deref(), Ok(&[0xD1, 1, 2, 0x54, 0, 0x41][..]));
    }

    #[test]
    fn a_writer_changes_it_and_cannot_leave_the_file() {
        let (mut tag, mut memory) = (Ndef::new(), Ram::default());
        tag.install(&mut memory, &[]).expect("an empty tag");
        send(&mut tag, &mut memory, "00A4000C02E104").expect("the NDEF file");
        send(&mut tag, &mut memory, "00D60000040002D000").expect("written");
        assert_eq!(send(&mut tag, &mut memory, "00B0000004").as_deref(), Ok(&[0, 2, 0xD0, 0][..]));
        assert_eq!(send(&mut tag, &mut memory, "00D607FF020102"), Err(StatusWord::WRONG_OFFSET));
        assert_eq!(send(&mut tag, &mut memory, "00B0080001"), Err(StatusWord::WRONG_OFFSET));
        assert_eq!(send(&mut tag, &mut memory, "00B007FF10").map(|data| data.len()), Ok(1));
        assert_eq!(tag.install(&mut memory, &[1; FILE_SIZE - 1]), Err(StatusWord::NOT_ENOUGH_MEMORY));
    }
}
