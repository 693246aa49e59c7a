//! A small host on SPI: byte by byte, patient, with checksums.

use super::Apdus;
use super::native::seal;
use smcard_card::sd::SpiCard;
use smcard_link::assd::{BLOCK, Checksum, DirectRead, DirectWrite, SecureState, Status, read_token, write_token};
use smcard_link::sd::{Command, Function, ResponseKind, SwitchArgument, SwitchStatus, crc16};
use smcard_link::{Answer, Clock, SpiBus};
use std::time::Duration;

pub struct SpiHost<B: SpiBus = SpiCard> {
    pub bus: B,
    pub clock: Box<dyn Clock>,
    pub high: bool,
    /// Start token for one block of CMD35, and whether FD follows it.
    pub token: (u8, bool),
    pub psi: usize,
}

/// Why a host gave up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// No response.
    Silent,
    /// R1 with error bits.
    R1(u8),
    /// No token in time, or an error token.
    NoData(u8),
    /// The checksum of a block.
    Crc,
    /// The data response.
    Response(u8),
    Busy,
}

const IDLE: u8 = 0x01;
/// An erase sequence was cleared; the command is executed all the same.
const ERASE_RESET: u8 = 0x02;

impl SpiHost<SpiCard> {
    pub fn new(card: SpiCard) -> Self {
        let clock = Box::new(card.time());
        let mut host = Self::on(card, clock);
        host.bring_up();
        host
    }
}

impl<B: SpiBus> SpiHost<B> {
    /// On any bus; not brought up yet.
    pub fn on(bus: B, clock: Box<dyn Clock>) -> Self {
        SpiHost { bus, clock, high: false, token: (0xFE, false), psi: 32 }
    }

    pub fn byte(&mut self, byte: u8) -> u8 {
        let mut message = [byte];
        self.bus.exchange(&mut message).expect("the controller");
        message[0]
    }

    pub fn deselect(&mut self) {
        self.bus.select(false).expect("the controller");
        self.byte(0xFF);
    }

    pub fn bring_up(&mut self) {
        self.bus.set_clock(400_000).expect("the controller");
        self.bus.select(false).expect("the controller");
        self.bus.exchange(&mut [0xFF; 10]).expect("the controller");
        assert!((0..10).any(|_| self.command(0, 0, false) == Ok(vec![IDLE])), "CMD0");
        let v2 = match self.command(8, 0x1AA, false) {
            Ok(r7) => r7[3..] == [0x01, 0xAA],
            Err(Trouble::R1(0x05)) => false,
            other => panic!("CMD8: {other:?}"),
        };
        let _ = self.command(59, 1, false);
        let hcs = if v2 { 1 << 30 } else { 0 };
        let end = self.clock.now() + Duration::from_secs(1);
        while self.application(41, hcs) != Ok(vec![0]) {
            assert!(self.clock.now() < end, "ACMD41");
            self.clock.sleep(Duration::from_millis(5));
        }
        let ocr = self.command(58, 0, false).expect("CMD58");
        self.high = ocr[1] & 0x40 != 0;
        self.bus.set_clock(25_000_000).expect("the controller");
    }

    /// A command; the response stays on the bus where `data` follows it.
    pub fn command(&mut self, index: u8, argument: u32, data: bool) -> Result<Vec<u8>, Trouble> {
        self.send(Command::new(index, argument), false, data)
    }

    pub fn application(&mut self, index: u8, argument: u32) -> Result<Vec<u8>, Trouble> {
        self.command(55, 0, false)?;
        self.send(Command::new(index, argument), true, false)
    }

    fn send(&mut self, command: Command, application: bool, data: bool) -> Result<Vec<u8>, Trouble> {
        self.bus.select(true).expect("the controller");
        self.bus.exchange(&mut command.frame().0).expect("the controller");
        if command.index == 12 {
            self.byte(0xFF);
        }
        let r1 = (0..16).map(|_| self.byte(0xFF)).find(|byte| byte & 0x80 == 0);
        let Some(r1) = r1 else {
            self.deselect();
            return Err(Trouble::Silent);
        };
        if r1 & !(IDLE | ERASE_RESET) != 0 {
            self.deselect();
            return Err(Trouble::R1(r1 & !ERASE_RESET));
        }
        let more = match command.spi_response(application) {
            ResponseKind::R1 | ResponseKind::R1b => 0,
            ResponseKind::R2 => 1,
            ResponseKind::R3 | ResponseKind::R7 => 4,
        };
        let mut response = vec![r1 & !ERASE_RESET];
        response.extend((0..more).map(|_| self.byte(0xFF)));
        if command.spi_response(application) == ResponseKind::R1b {
            self.not_busy()?;
        }
        if !data {
            self.deselect();
        }
        Ok(response)
    }

    pub fn not_busy(&mut self) -> Result<(), Trouble> {
        let end = self.clock.now() + Duration::from_secs(5);
        while self.byte(0xFF) != 0xFF {
            if self.clock.now() > end {
                return Err(Trouble::Busy);
            }
        }
        Ok(())
    }

    /// One block from the card: its token, itself, its checksum.
    pub fn block(&mut self, length: usize) -> Result<Vec<u8>, Trouble> {
        let end = self.clock.now() + Duration::from_secs(1);
        loop {
            match self.byte(0xFF) {
                0xFE => break,
                0xFF if self.clock.now() < end => {}
                other => return Err(Trouble::NoData(other)),
            }
        }
        let mut block = vec![0xFF; length + 2];
        self.bus.exchange(&mut block).expect("the controller");
        let crc = block.split_off(length);
        if crc == crc16(&block).to_be_bytes() { Ok(block) } else { Err(Trouble::Crc) }
    }

    pub fn read(&mut self, index: u8, argument: u32, length: usize, blocks: usize) -> Result<Vec<u8>, Trouble> {
        self.command(index, argument, true)?;
        let mut data = Vec::new();
        for _ in 0..blocks {
            match self.block(length) {
                Ok(block) => data.extend(block),
                Err(trouble) => {
                    self.deselect();
                    return Err(trouble);
                }
            }
        }
        if index != 18 {
            self.deselect();
        }
        Ok(data)
    }

    /// Sends one block and reads what the card says of it.
    pub fn send_block(&mut self, token: u8, block: &[u8]) -> Result<(), Trouble> {
        let mut message = vec![0xFF, token];
        message.extend_from_slice(block);
        message.extend_from_slice(&crc16(block).to_be_bytes());
        self.bus.exchange(&mut message).expect("the controller");
        let response = (0..8).map(|_| self.byte(0xFF)).find(|byte| *byte != 0xFF).unwrap_or(0xFF);
        self.not_busy()?;
        if response & 0x1F == 0x05 { Ok(()) } else { Err(Trouble::Response(response)) }
    }

    pub fn write(&mut self, index: u8, argument: u32, data: &[u8]) -> Result<(), Trouble> {
        self.command(index, argument, true)?;
        let several = data.len() > BLOCK || index == 25;
        let (token, stop) = match (several, index) {
            (true, _) => (0xFC, true),
            (false, 35) => self.token,
            (false, _) => (0xFE, false),
        };
        let mut result = Ok(());
        for block in data.chunks(BLOCK) {
            result = self.send_block(token, block);
            if result.is_err() {
                break;
            }
        }
        if stop {
            self.bus.exchange(&mut [0xFD, 0xFF]).expect("the controller");
            self.not_busy()?;
        }
        self.deselect();
        result
    }

    pub fn switch(&mut self, argument: SwitchArgument) -> SwitchStatus {
        let bytes = self.read(6, argument.0, 64, 1).expect("CMD6");
        SwitchStatus(bytes.try_into().expect("64 bytes"))
    }

    pub fn enter(&mut self, function: Function) {
        let entered = (0..10).any(|_| self.switch(SwitchArgument::set(function)).result(2) == function as u8);
        assert!(entered, "the function is not taken");
    }

    pub fn register(&mut self, number: u32) -> Result<Vec<u8>, Trouble> {
        let _ = self.command(16, 32, false);
        let register = self.read(36, number, self.psi, 1);
        let _ = self.command(16, 512, false);
        register.map(|register| register[..32].to_vec())
    }

    pub fn status(&mut self) -> Status {
        Status(self.register(0).expect("the status register").try_into().expect("32 bytes"))
    }

    pub fn until_done(&mut self) -> Status {
        for _ in 0..10_000 {
            let status = self.status();
            if status.state() != Ok(SecureState::InProgress) && status.memory_state() != 1 {
                return status;
            }
            self.clock.sleep(Duration::from_millis(4));
        }
        panic!("the core does not end");
    }

    /// Writes a whole file into protected memory, in transfers of `blocks`.
    pub fn direct_write(&mut self, name: &[u8], file: &[u8], blocks: usize) -> Answer {
        let mut open = [0; BLOCK];
        open[..4].copy_from_slice(&u32::try_from(file.len()).expect("small").to_be_bytes());
        open[4] = u8::try_from(name.len()).expect("small");
        open[5..5 + name.len()].copy_from_slice(name);
        seal(&mut open);
        self.write(57, DirectWrite::Open.argument(), &open).expect("OPEN");
        assert_eq!(self.until_done().memory_state(), 2);
        let opened = self.result();
        if opened.sw != 0x9000 {
            return opened;
        }
        let write = opened.data[0];
        let mut padded = file.to_vec();
        padded.resize(file.len().next_multiple_of(BLOCK), 0);
        for (number, piece) in padded.chunks(blocks * BLOCK).enumerate() {
            let first = u16::try_from((number * blocks) & 0xFFFF).expect("masked");
            let count = u16::try_from(piece.len() / BLOCK).expect("small");
            self.write(57, DirectWrite::Data { write, first, blocks: count }.argument(), piece).expect("DATA");
        }
        let mut commit = [0; BLOCK];
        commit[..4].copy_from_slice(&crc32fast::hash(file).to_be_bytes());
        seal(&mut commit);
        self.write(57, DirectWrite::Commit { write }.argument(), &commit).expect("COMMIT");
        assert_eq!(self.until_done().memory_state(), 2);
        self.result()
    }

    pub fn result(&mut self) -> Answer {
        let block = self.read(50, DirectRead::Result.argument(), BLOCK, 1).expect("CMD50");
        Answer::from_bytes(read_token(&block, Checksum::Crc32).expect("a token")).expect("an answer")
    }
}

impl<B: SpiBus> Apdus for SpiHost<B> {
    fn apdu(&mut self, apdu: &[u8]) -> Answer {
        let token = write_token(apdu, Checksum::None).expect("fits");
        let blocks = u32::try_from(token.len() / BLOCK).expect("small");
        self.write(35, blocks, &token).expect("CMD35");
        assert_eq!(self.until_done().state(), Ok(SecureState::Complete));
        let blocks = u32::from(self.status().read_blocks().max(1));
        let token = self.read(34, blocks, BLOCK, usize::try_from(blocks).expect("small")).expect("CMD34");
        Answer::from_bytes(read_token(&token, Checksum::None).expect("a token")).expect("an answer")
    }
}
