//! The commands of the scenario, byte by byte (GlobalPlatform 2.3.1 chapter 11; docs/CARD.md for the card's own).

use smcard_batch::{CommandApdu, Form};

/// AID of the card manager.
pub const CARD_MANAGER: &[u8] = &smcard_card::CARD_MANAGER_AID;

/// A short command without Le.
///
/// # Panics
/// If `data` is longer than 255 bytes: a mistake in the scenario.
#[must_use]
pub fn command(cla: u8, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Vec<u8> {
    CommandApdu::new(cla, ins, p1, p2, data).to_vec().expect("short data")
}

/// Bytes behind their length.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("a short field")], bytes].concat()
}

/// An object with a tag of one byte.
fn object(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag][..], &counted(value)].concat()
}

/// SELECT by name.
#[must_use]
pub fn select(aid: &[u8]) -> Vec<u8> {
    command(0x00, 0xA4, 0x04, 0x00, aid)
}

/// INSTALL \[for load\].
#[must_use]
pub fn for_load(package: &[u8]) -> Vec<u8> {
    command(0x80, 0xE6, 0x02, 0x00, &[&counted(package)[..], &[0, 0, 0, 0]].concat())
}

/// `C4`, the length, load file data.
fn load_file_block(data: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(data.len()).expect("a small load file").to_be_bytes();
    [&[0xC4, 0x82, high, low], data].concat()
}

/// The LOAD commands that carry a load file in blocks of `size` bytes.
#[must_use]
pub fn load(data: &[u8], size: usize) -> Vec<Vec<u8>> {
    let file = load_file_block(data);
    let blocks: Vec<_> = file.chunks(size).collect();
    let numbered = blocks.iter().enumerate().map(|(number, block)| {
        let last = if number + 1 == blocks.len() { 0x80 } else { 0 };
        command(0x80, 0xE8, last, u8::try_from(number).expect("few blocks"), block)
    });
    numbered.collect()
}

/// One LOAD in the direct form, which only a batch knows.
#[must_use]
pub fn load_direct(data: &[u8]) -> Vec<u8> {
    let data = load_file_block(data);
    let command = CommandApdu { cla: 0x80, ins: 0xE8, p1: 0x80, p2: 0, data: &data, le: None, form: Form::Direct };
    command.to_vec().expect("a small load file")
}

/// INSTALL \[for install and make selectable\] with application parameters.
#[must_use]
pub fn for_install(package: &[u8], instance: &[u8], parameters: &[u8]) -> Vec<u8> {
    let module = super::packages::module(package);
    let parameters = counted(&object(0xC9, parameters));
    let fields = [counted(package), counted(&module), counted(instance), vec![1, 0], parameters, vec![0]];
    command(0x80, 0xE6, 0x0C, 0x00, &fields.concat())
}

/// INSTALL \[for personalization\].
#[must_use]
pub fn for_personalization(instance: &[u8]) -> Vec<u8> {
    command(0x80, 0xE6, 0x20, 0x00, &[&[0, 0][..], &counted(instance), &[0, 0, 0]].concat())
}

/// STORE DATA, the only one of its row.
#[must_use]
pub fn store_data(data: &[u8]) -> Vec<u8> {
    command(0x80, 0xE2, 0x80, 0x00, data)
}

/// STORE DATA of a data object of the issuer security domain.
#[must_use]
pub fn store_object(tag: u8, value: &[u8]) -> Vec<u8> {
    store_data(&object(tag, value))
}

/// DELETE, with what belongs to it.
#[must_use]
pub fn delete(aid: &[u8]) -> Vec<u8> {
    command(0x80, 0xE4, 0x00, 0x80, &object(0x4F, aid))
}

/// SET STATUS of the card.
#[must_use]
pub fn set_life_cycle(state: u8) -> Vec<u8> {
    command(0x80, 0xF0, 0x80, state, CARD_MANAGER)
}

/// SET STATUS of an application: locked, or not.
#[must_use]
pub fn set_locked(instance: &[u8], locked: bool) -> Vec<u8> {
    command(0x80, 0xF0, 0x40, if locked { 0x80 } else { 0x00 }, instance)
}

/// RENAME FILE.
#[must_use]
pub fn rename(id: u16, name: &str) -> Vec<u8> {
    command(0x80, 0x56, 0x00, 0x00, &[&id.to_be_bytes()[..], name.as_bytes()].concat())
}

/// ERASE FILE.
#[must_use]
pub fn erase(id: u16) -> Vec<u8> {
    command(0x80, 0x58, 0x00, 0x00, &id.to_be_bytes())
}

/// START by name, the whole file; a failure comes as count and status word.
#[must_use]
pub fn start(name: &str) -> Vec<u8> {
    command(0x80, 0x5A, 0x01, 0x00, &[&counted(name.as_bytes())[..], &[0; 8]].concat())
}

/// CLEAR.
pub const CLEAR: &[u8] = &[0x80, 0x5C, 0x00, 0x00];
/// CONFIRM.
pub const CONFIRM: &[u8] = &[0x80, 0x5E, 0x00, 0x00];
/// SELECT of the NDEF file of a tag.
pub const SELECT_MESSAGE: &[u8] = &[0x00, 0xA4, 0x00, 0x0C, 0x02, 0xE1, 0x04];

/// UPDATE BINARY of the whole message, behind its length.
#[must_use]
pub fn write_message(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a short message");
    command(0x00, 0xD6, 0x00, 0x00, &[&length.to_be_bytes()[..], message].concat())
}
