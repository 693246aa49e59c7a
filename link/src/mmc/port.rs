//! What one open device offers: lists of commands.

use crate::sd::{Cid, Csd, Scr};
use std::fmt;
use std::io;

/// Most bytes of data of one command (`MMC_IOC_MAX_BYTES`).
pub const BYTES_MAX: usize = 512 * 1024;
/// Most commands of one list here; the kernel takes 255.
pub const COMMANDS_MAX: usize = 8;
/// What stands in `response[0]` before a command was done: no card answers so.
pub const SENTINEL: u32 = 0xFFFF_FFFF;

/// How a command is answered and what follows it, for SD and for SPI hosts at once (`include/linux/mmc/core.h`).
pub mod flags {
    /// R1, no data.
    pub const R1: u32 = 0x095;
    /// R1b, no data.
    pub const R1B: u32 = 0x49D;
    /// R1, then data.
    pub const R1_DATA: u32 = 0x0B5;
    /// CMD13: R1 from an SD host, R2 from an SPI host.
    pub const STATUS: u32 = 0x195;
    /// A busy response follows: part of [`R1B`].
    pub const BUSY: u32 = 0x008;
}

/// Data of a command.
pub enum IocData<'a> {
    /// None.
    None,
    /// From the card.
    Read(&'a mut [u8]),
    /// To the card.
    Write(&'a [u8]),
}

impl fmt::Debug for IocData<'_> {
    /// Lengths only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IocData::None => f.write_str("none"),
            IocData::Read(into) => write!(f, "read {} bytes", into.len()),
            IocData::Write(from) => write!(f, "write {} bytes", from.len()),
        }
    }
}

/// A command as the kernel takes it (`struct mmc_ioc_cmd`).
#[derive(Debug)]
pub struct IocCommand<'a> {
    /// Comes after CMD55, which the kernel sends.
    pub application: bool,
    /// Index.
    pub opcode: u32,
    /// Argument.
    pub argument: u32,
    /// The response: in word 0 what R1 says, of a long response all four.
    pub response: [u32; 4],
    /// [`flags`].
    pub flags: u32,
    /// Bytes of a block.
    pub block: u32,
    /// Blocks.
    pub blocks: u32,
    /// How long data may let wait, in nanoseconds; 0: as the CSD says.
    pub data_timeout_ns: u32,
    /// How long the card may be busy, in milliseconds; 0: 10 s.
    pub cmd_timeout_ms: u32,
    /// Its data.
    pub data: IocData<'a>,
}

impl IocCommand<'_> {
    /// A command without data and with R1.
    #[must_use]
    pub const fn plain(opcode: u32, argument: u32, flags: u32) -> Self {
        IocCommand {
            application: false,
            opcode,
            argument,
            response: [SENTINEL, 0, 0, 0],
            flags,
            block: 0,
            blocks: 0,
            data_timeout_ns: 0,
            cmd_timeout_ms: 0,
            data: IocData::None,
        }
    }
}

/// What the system has read of a card while bringing it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    /// Address on the bus, for CMD13.
    pub rca: u16,
    /// CID.
    pub cid: Cid,
    /// CSD.
    pub csd: Csd,
    /// SCR; a locked card does not give it.
    pub scr: Option<Scr>,
}

/// One open device with a card behind it.
pub trait MmcPort: Send {
    /// What the system knows of the card.
    ///
    /// # Errors
    /// There is no card (ENOMEDIUM, ENODEV), or it does not come up.
    fn identify(&mut self) -> io::Result<Registers>;

    /// Does the commands, at most [`COMMANDS_MAX`], with nothing of anybody else's in between, up to the first that fails.
    /// Responses come back also then.
    ///
    /// # Errors
    /// As `ioctl(2)` has them; see [`super::MmcHost`].
    fn multi(&mut self, commands: &mut [IocCommand<'_>]) -> io::Result<()>;

    /// Most blocks of 512 bytes in one command.
    fn blocks_max(&self) -> usize;

    /// True where the kernel reaches the card over SPI (`mmc_spi`): responses are other ones.
    fn is_spi(&self) -> bool {
        false
    }

    /// Switches the supply off and on; `false`: not possible.
    ///
    /// # Errors
    /// As [`MmcPort::identify`].
    fn power_cycle(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    /// What it is, in words.
    fn describe(&self) -> String;
}
