//! A terminal with an emulated card in its own process: a function call for a cable.

use anyhow::{Context, Result, ensure};
use smcard_batch::cap::CapFile;
use smcard_batch::issue::{Blocks, IssuePlan, Recovery};
use smcard_batch::{Batch, CommandApdu};
use smcard_card::scp03::{HostHandshake, HostSession, SecurityLevel, StaticKeys};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_flash::Durability;
use smcard_link::{Answer, SecureCard};
use tempfile::TempDir;

/// Bytes of one piece of a direct write, as a drop box gets them.
const PIECE: usize = 1 << 20;

/// A new card on a disk, and its terminal.
pub(crate) struct Terminal {
    pub(crate) card: EmulatedCard,
    _folder: TempDir,
}

impl Terminal {
    pub(crate) fn new(options: &CreateOptions, durability: Durability) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the image")?;
        let path = folder.path().join("card.img");
        EmulatedCard::create(&path, options)?;
        let card = EmulatedCard::open(&path, OpenOptions { durability, ..OpenOptions::default() })?;
        Ok(Terminal { card, _folder: folder })
    }

    /// Sends a command that must succeed.
    pub(crate) fn send(&mut self, command: &[u8]) -> Result<Answer> {
        succeeded(self.card.transmit(command)?)
    }

    /// Opens a secure channel of a level.
    pub(crate) fn authenticate(&mut self, level: SecurityLevel) -> Result<HostSession> {
        self.send(&select_manager())?;
        let (handshake, command) = HostHandshake::begin(0, [0x5A; 8]);
        let answer = self.send(&command)?;
        let (session, command) = handshake.finish(&StaticKeys::test(), level, &answer.data)?;
        self.send(&command)?;
        Ok(session)
    }

    /// Sends one command through a secure channel; it must succeed.
    pub(crate) fn secured(&mut self, session: &mut HostSession, command: &CommandApdu<'_>) -> Result<Answer> {
        let wrapped = session.wrap(command)?;
        let answer = self.card.transmit(&wrapped)?;
        succeeded(session.unwrap(answer)?)
    }

    /// Sends all commands of a batch one by one.
    pub(crate) fn one_by_one(&mut self, session: &mut HostSession, batch: &Batch<'_>) -> Result<()> {
        for command in batch.commands() {
            self.secured(session, &command.apdu)?;
        }
        Ok(())
    }

    /// Direct write of a whole file with the secure channel that is open; gives its identifier.
    pub(crate) fn write(&mut self, name: &str, file: &[u8]) -> Result<u16> {
        let opened = self.card.write_open(name.as_bytes(), u32::try_from(file.len())?)?;
        let id = opened.map_err(|answer| anyhow::anyhow!("direct write refused: {:04X}", answer.sw))?;
        for piece in file.chunks(PIECE) {
            self.card.write_chunk(id, piece)?;
        }
        let answer = succeeded(self.card.write_commit(id)?)?;
        Ok(u16::from_be_bytes(answer.data.as_slice().try_into().context("an identifier")?))
    }

    /// Authenticates and writes.
    pub(crate) fn upload(&mut self, name: &str, file: &[u8]) -> Result<u16> {
        self.authenticate(SecurityLevel::AUTHENTICATED)?;
        self.write(name, file)
    }

    /// START: the card issues itself.
    pub(crate) fn start(&mut self, id: u16) -> Result<Answer> {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x80, 0x5A, 0x00, 0x00, 0x0A, high, low, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Deletes a package with all its instances.
    pub(crate) fn delete(&mut self, package: &[u8]) -> Result<()> {
        let mut session = self.authenticate(SecurityLevel::C_MAC)?;
        let data = delete_data(package)?;
        self.secured(&mut session, &CommandApdu::new(0x80, 0xE4, 0x00, 0x80, &data))?;
        Ok(())
    }
}

/// SELECT of the card manager.
pub(crate) fn select_manager() -> [u8; 5] {
    [0x00, 0xA4, 0x04, 0x00, 0x00]
}

/// The data of DELETE: an AID in its tag.
pub(crate) fn delete_data(package: &[u8]) -> Result<Vec<u8>> {
    Ok([&[0x4F, u8::try_from(package.len())?], package].concat())
}

pub(crate) fn succeeded(answer: Answer) -> Result<Answer> {
    ensure!(answer.is_success(), "the card answered {:04X}", answer.sw);
    Ok(answer)
}

/// The batch that installs every applet of a CAP file.
pub(crate) fn batch_of(cap: &[u8], blocks: Blocks, recovery: Recovery) -> Result<Vec<u8>> {
    let cap = CapFile::read(cap)?;
    let mut plan = IssuePlan::new(&cap);
    plan.blocks = blocks;
    plan.recovery = recovery;
    Ok(plan.install_all()?.build()?.finish()?)
}
