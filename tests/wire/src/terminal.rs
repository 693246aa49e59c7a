//! What a terminal does with a card, whatever it hangs on.

use anyhow::{Context, Result, bail, ensure};
use smcard_batch::{Batch, CommandApdu};
use smcard_card::scp03::{HostHandshake, HostSession, SecurityLevel, StaticKeys};
use smcard_link::{Answer, LinkError, SecureCard};

/// Bytes of one piece of a direct write, as a drop box gets them.
const PIECE: usize = 100_000;
/// SELECT of the card manager.
pub const SELECT_MANAGER: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];
/// GET DATA of the state of the last issue.
pub const ISSUE_STATE: [u8; 5] = [0x80, 0xCA, 0xDF, 0x72, 0x00];
/// GET DATA of the files in the command store; an answer of any length.
pub const LISTING: [u8; 7] = [0x80, 0xCA, 0xDF, 0x71, 0x00, 0x00, 0x00];
/// GET DATA of the space.
pub const SPACE: [u8; 5] = [0x80, 0xCA, 0xDF, 0x73, 0x00];
/// CLEAR.
pub const CLEAR: [u8; 4] = [0x80, 0x5C, 0x00, 0x00];
/// CONFIRM.
pub const CONFIRM: [u8; 4] = [0x80, 0x5E, 0x00, 0x00];

/// A command that must succeed.
///
/// # Errors
/// The link, or the status word.
pub fn send(card: &mut dyn SecureCard, command: &[u8]) -> Result<Answer> {
    let answer = card.transmit(command)?;
    ensure!(answer.is_success(), "{:02X?} is answered with {:04X}", command.get(..4), answer.sw);
    Ok(answer)
}

/// Opens a secure channel; the challenge is always the same.
///
/// # Errors
/// The link, or the card refuses.
pub fn authenticate(card: &mut dyn SecureCard, level: SecurityLevel) -> Result<HostSession> {
    let (handshake, command) = HostHandshake::begin(0, [0x5A; 8]);
    let answer = send(card, &command)?;
    let (session, command) = handshake.finish(&StaticKeys::test(), level, &answer.data)?;
    send(card, &command)?;
    Ok(session)
}

/// A command through a secure channel; it must succeed.
///
/// # Errors
/// The link, the channel, or the status word.
pub fn secured(card: &mut dyn SecureCard, session: &mut HostSession, command: &CommandApdu<'_>) -> Result<Answer> {
    let wrapped = session.wrap(command)?;
    let answer = session.unwrap(card.transmit(&wrapped)?)?;
    ensure!(answer.is_success(), "instruction {:02X} is answered with {:04X}", command.ins, answer.sw);
    Ok(answer)
}

/// The commands of a batch one by one.
///
/// # Errors
/// As [`secured`].
pub fn one_by_one(card: &mut dyn SecureCard, session: &mut HostSession, file: &[u8]) -> Result<()> {
    for command in Batch::parse(file)?.commands() {
        secured(card, session, &command.apdu)?;
    }
    Ok(())
}

/// A direct write of a whole file; the session must be open. What the card answers to OPEN (a refusal) or COMMIT.
///
/// # Errors
/// The link.
pub fn write(card: &mut dyn SecureCard, name: &str, file: &[u8]) -> Result<Answer, LinkError> {
    let length = u32::try_from(file.len()).map_err(|_| LinkError::Write("longer than a file can be"))?;
    let id = match card.write_open(name.as_bytes(), length)? {
        Ok(id) => id,
        Err(refusal) => return Ok(refusal),
    };
    for piece in file.chunks(PIECE) {
        if let Err(error) = card.write_chunk(id, piece) {
            card.write_abort(id);
            return Err(error);
        }
    }
    card.write_commit(id)
}

/// Opens a secure channel and writes; the file's identifier.
///
/// # Errors
/// The link, or the card refuses.
pub fn upload(card: &mut dyn SecureCard, name: &str, file: &[u8]) -> Result<u16> {
    authenticate(card, SecurityLevel::C_MAC)?;
    let answer = write(card, name, file)?;
    ensure!(answer.is_success(), "the direct write is answered with {:04X}", answer.sw);
    identifier(&answer)
}

/// The identifier in the answer to a direct write.
///
/// # Errors
/// There is none.
pub fn identifier(answer: &Answer) -> Result<u16> {
    Ok(u16::from_be_bytes(answer.data.as_slice().try_into().context("an identifier of two bytes")?))
}

/// START of a whole file; `format` is how a failure is told (P2).
#[must_use]
pub fn start(id: u16, format: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![0x80, 0x5A, 0x00, format, 0x0A, high, low, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// SELECT by name.
///
/// # Panics
/// A name longer than any.
#[must_use]
pub fn select(name: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("an AID has 16 bytes at most");
    [&[0x00, 0xA4, 0x04, 0x00, length], name].concat()
}

/// DELETE of a package with what belongs to it, through a new secure channel.
///
/// # Errors
/// As [`secured`].
pub fn delete(card: &mut dyn SecureCard, package: &[u8]) -> Result<()> {
    let Ok(length) = u8::try_from(package.len()) else { bail!("an AID has 16 bytes at most") };
    let data = [&[0x4F, length], package].concat();
    let mut session = authenticate(card, SecurityLevel::C_MAC)?;
    secured(card, &mut session, &CommandApdu::new(0x80, 0xE4, 0x00, 0x80, &data)).map(drop)
}
