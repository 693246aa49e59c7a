//! The kernel's part for a card that has no kernel above it: what `mmc_block` and the MMC core do with an ioctl, done to
//! an [`SdBus`].
//!
//! Written from what Linux 6.1 to 6.12 do: identification at power-on, CMD55 before application commands, no repetition,
//! the end at the first error, CMD13 after writes and R1b, errnos as an SDHCI host has them. A card that is pulled out is
//! ENOMEDIUM once and ENODEV for ever, as with a disk that is gone; a power cycle finds a card that was put in again.

use super::port::{BYTES_MAX, IocCommand, IocData, MmcPort, Registers, flags};
use crate::sd::{CardState, CardStatus, Cid, Command, Csd, Ocr, Scr, index};
use crate::{Clock, SdBus, SdResponse, Trace, Transfer};
use std::io;
use std::time::Duration;

/// Most commands of one list (`MMC_IOC_MAX_CMDS`).
const LIST_MAX: usize = 255;
/// Longest block that the host takes.
const BLOCK_MAX: usize = 512;
/// How long initialisation may take (PLSS section 4.2.3).
const INITIALISATION: Duration = Duration::from_secs(1);
/// Where a command has no limit of its own for being busy.
const BUSY_LIMIT: Duration = Duration::from_secs(10);
/// Where it has none for data.
const READ_LIMIT: Duration = Duration::from_millis(100);
const WRITE_LIMIT: Duration = Duration::from_secs(3);

/// A kernel for one card.
pub struct SoftKernel<B> {
    bus: B,
    clock: Box<dyn Clock>,
    trace: Trace,
    name: String,
    card: Card,
}

enum Card {
    /// Not brought up.
    Off,
    /// In transfer state.
    Up(Registers),
    /// Pulled out, and told.
    Gone,
}

/// Gaps between polls: 32 us at first, twice as long each time, at most 32 ms.
struct Backoff(Duration);

impl Backoff {
    const fn new() -> Self {
        Backoff(Duration::from_micros(32))
    }

    fn next(&mut self) -> Duration {
        let gap = self.0;
        self.0 = (gap * 2).min(Duration::from_millis(32));
        gap
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl<B: SdBus> SoftKernel<B> {
    /// A kernel over `bus`, whose supply is switched on with the first use. `name` says in words what the card hangs on.
    #[must_use]
    pub fn new(bus: B, clock: Box<dyn Clock>, name: String, trace: Trace) -> Self {
        SoftKernel { bus, clock, trace, name, card: Card::Off }
    }

    /// The bus, for whoever wants to use the card beside the kernel.
    pub fn bus(&mut self) -> &mut B {
        &mut self.bus
    }

    fn command(&mut self, index: u8, argument: u32) -> io::Result<SdResponse> {
        self.bus.command(index, argument).ok_or_else(|| errno(libc::ETIMEDOUT))
    }

    fn short(&mut self, index: u8, argument: u32) -> io::Result<u32> {
        match self.command(index, argument)? {
            SdResponse::Short(response) => Ok(response),
            SdResponse::Long(_) => Err(errno(libc::EILSEQ)),
        }
    }

    fn long(&mut self, index: u8, argument: u32) -> io::Result<[u8; 16]> {
        match self.command(index, argument)? {
            SdResponse::Long(response) => Ok(response),
            SdResponse::Short(_) => Err(errno(libc::EILSEQ)),
        }
    }

    fn application(&mut self, rca: u16, index: u8, argument: u32) -> io::Result<u32> {
        let status = CardStatus(self.short(index::APP_CMD, u32::from(rca) << 16)?);
        if !status.contains(CardStatus::APP_CMD) {
            return Err(errno(libc::EOPNOTSUPP));
        }
        self.short(index, argument)
    }

    /// From power-on to transfer state (PLSS section 4.2).
    fn power_on(&mut self) -> io::Result<Registers> {
        if !self.bus.is_present() {
            return Err(errno(libc::ENOMEDIUM));
        }
        self.bus.set_power(true);
        // Has no response.
        let _ = self.bus.command(index::GO_IDLE_STATE, 0);
        let version_2 = match self.short(index::SEND_IF_COND, 0x1AA) {
            Ok(echo) if echo & 0xFFF == 0x1AA => true,
            Ok(_) => return Err(errno(libc::EIO)),
            Err(_) => false,
        };
        let wanted = Ocr::VOLTAGES | if version_2 { Ocr::CCS } else { 0 };
        let (start, mut backoff) = (self.clock.now(), Backoff::new());
        while !Ocr(self.application(0, index::ACMD_SD_SEND_OP_COND, wanted)?).is_ready() {
            if self.clock.now().saturating_sub(start) >= INITIALISATION {
                return Err(errno(libc::ETIMEDOUT));
            }
            self.clock.sleep(backoff.next());
        }
        let cid = Cid(self.long(index::ALL_SEND_CID, 0)?);
        let [high, low, ..] = self.short(index::SEND_RELATIVE_ADDR, 0)?.to_be_bytes();
        let rca = u16::from_be_bytes([high, low]);
        let address = u32::from(rca) << 16;
        let csd = Csd(self.long(index::SEND_CSD, address)?);
        let selected = CardStatus(self.short(index::SELECT_CARD, address)?);
        if selected.contains(CardStatus::CARD_IS_LOCKED) {
            return Ok(Registers { rca, cid, csd, scr: None });
        }
        let mut scr = [0; 8];
        self.application(rca, index::ACMD_SEND_SCR, 0)?;
        self.read(&mut scr, 8, READ_LIMIT)?;
        // Four bits.
        self.application(rca, index::ACMD_SET_BUS_WIDTH, 2)?;
        Ok(Registers { rca, cid, csd, scr: Some(Scr(scr)) })
    }

    fn up(&mut self) -> io::Result<Registers> {
        match self.card {
            Card::Gone => Err(errno(libc::ENODEV)),
            _ if !self.bus.is_present() => {
                self.card = Card::Gone;
                Err(errno(libc::ENOMEDIUM))
            }
            Card::Up(registers) => Ok(registers),
            Card::Off => {
                let registers = self.power_on()?;
                self.card = Card::Up(registers);
                self.trace.note(format_args!("identified: card {:04X}", registers.rca));
                Ok(registers)
            }
        }
    }

    /// Blocks from the card.
    fn read(&mut self, into: &mut [u8], block: usize, limit: Duration) -> io::Result<()> {
        for block in into.chunks_mut(block.max(1)) {
            let (start, mut backoff) = (self.clock.now(), Backoff::new());
            loop {
                match self.bus.read_block(block) {
                    Transfer::Done => break,
                    Transfer::Crc => return Err(errno(libc::EILSEQ)),
                    Transfer::Nothing => return Err(errno(libc::ETIMEDOUT)),
                    Transfer::Wait => self.pass(start, limit, &mut backoff)?,
                }
            }
        }
        Ok(())
    }

    /// Blocks to the card; between them it may be busy.
    fn write(&mut self, from: &[u8], block: usize, limit: Duration) -> io::Result<()> {
        for block in from.chunks(block.max(1)) {
            let (start, mut backoff) = (self.clock.now(), Backoff::new());
            loop {
                match self.bus.write_block(block) {
                    Transfer::Done => break,
                    Transfer::Crc => return Err(errno(libc::EILSEQ)),
                    Transfer::Nothing => return Err(errno(libc::ETIMEDOUT)),
                    Transfer::Wait => self.pass(start, limit, &mut backoff)?,
                }
            }
        }
        Ok(())
    }

    fn pass(&mut self, start: Duration, limit: Duration, backoff: &mut Backoff) -> io::Result<()> {
        if self.clock.now().saturating_sub(start) >= limit {
            return Err(errno(libc::ETIMEDOUT));
        }
        self.clock.sleep(backoff.next());
        Ok(())
    }

    /// One command with all that the kernel does round it.
    fn one(&mut self, rca: u16, command: &mut IocCommand<'_>) -> io::Result<()> {
        let Ok(index) = u8::try_from(command.opcode) else { return Err(errno(libc::EINVAL)) };
        let index = Command::new(index, 0).index;
        let block = usize::try_from(command.block).unwrap_or(usize::MAX);
        let length = match &command.data {
            IocData::None => 0,
            IocData::Read(into) => into.len(),
            IocData::Write(from) => from.len(),
        };
        let has_data = !matches!(command.data, IocData::None);
        let blocks = usize::try_from(command.blocks).unwrap_or(usize::MAX);
        if has_data && (block == 0 || block > BLOCK_MAX || block.checked_mul(blocks) != Some(length)) {
            return Err(errno(libc::EINVAL));
        }
        command.response = [0; 4];
        if command.application {
            let status = CardStatus(self.short(index::APP_CMD, u32::from(rca) << 16)?);
            if !status.contains(CardStatus::APP_CMD) {
                return Err(errno(libc::EOPNOTSUPP));
            }
        }
        match self.command(index, command.argument)? {
            SdResponse::Short(response) => command.response[0] = response,
            SdResponse::Long(response) => {
                for (word, bytes) in command.response.iter_mut().zip(response.chunks_exact(4)) {
                    *word = bytes.try_into().map_or(0, u32::from_be_bytes);
                }
            }
        }
        let limit = match (command.data_timeout_ns, &command.data) {
            (0, IocData::Write(_)) => WRITE_LIMIT,
            (0, _) => READ_LIMIT,
            (nanoseconds, _) => Duration::from_nanos(u64::from(nanoseconds)),
        };
        let is_write = matches!(command.data, IocData::Write(_));
        match &mut command.data {
            IocData::None => {}
            IocData::Read(into) => self.read(into, block, limit)?,
            IocData::Write(from) => self.write(from, block, limit)?,
        }
        if is_write || command.flags & flags::BUSY != 0 {
            let limit = match command.cmd_timeout_ms {
                0 => BUSY_LIMIT,
                milliseconds => Duration::from_millis(u64::from(milliseconds)),
            };
            self.ready(rca, limit, &mut command.response[0])?;
        }
        Ok(())
    }

    /// CMD13 until the card is ready in transfer state; the answers are gathered in `response`.
    fn ready(&mut self, rca: u16, limit: Duration, response: &mut u32) -> io::Result<()> {
        let (start, mut backoff) = (self.clock.now(), Backoff::new());
        let mut gathered = 0;
        loop {
            if !self.bus.is_busy() {
                let status = CardStatus(self.short(index::SEND_STATUS, u32::from(rca) << 16)?);
                gathered |= status.0;
                *response = gathered;
                if status.contains(CardStatus::READY_FOR_DATA) && status.state() == Some(CardState::Transfer) {
                    return Ok(());
                }
            }
            self.pass(start, limit, &mut backoff)?;
        }
    }
}

impl<B: SdBus> MmcPort for SoftKernel<B> {
    fn identify(&mut self) -> io::Result<Registers> {
        self.up()
    }

    fn multi(&mut self, commands: &mut [IocCommand<'_>]) -> io::Result<()> {
        if commands.len() > LIST_MAX {
            return Err(errno(libc::EINVAL));
        }
        for command in commands.iter() {
            let bytes = u64::from(command.block) * u64::from(command.blocks);
            if usize::try_from(bytes).map_or(true, |bytes| bytes > BYTES_MAX) {
                return Err(errno(libc::EOVERFLOW));
            }
        }
        let rca = self.up()?.rca;
        for command in commands {
            if let Err(error) = self.one(rca, command) {
                // The slot notices before anybody else.
                return Err(self.up().err().unwrap_or(error));
            }
        }
        Ok(())
    }

    fn blocks_max(&self) -> usize {
        BYTES_MAX / BLOCK_MAX
    }

    fn power_cycle(&mut self) -> io::Result<bool> {
        self.bus.set_power(false);
        self.card = Card::Off;
        // A card needs its supply below 0.5 V for 1 ms (PLSS section 6.4.1.2).
        self.clock.sleep(Duration::from_millis(1));
        self.up().map(|_| true)
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}
