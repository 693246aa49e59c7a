//! A small host on the native bus.

use super::Apdus;
use smcard_card::sd::{BusTime, SdCard};
use smcard_link::assd::{BLOCK, Checksum, DirectRead, DirectWrite, SecureState, Status, read_token, write_token};
use smcard_link::sd::{CardStatus, Function, SwitchArgument, SwitchStatus};
use smcard_link::{Answer, Clock, SdBus, SdResponse, Transfer};
use std::time::Duration;

pub struct NativeHost {
    pub card: SdCard,
    pub time: BusTime,
    pub rca: u32,
    pub high: bool,
}

/// Why a host gave up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    NoResponse,
    Refused(CardStatus),
    Nothing,
    Crc,
    Busy,
}

impl NativeHost {
    /// Brings the card to *tran*, 4 bits wide.
    pub fn new(card: SdCard) -> Self {
        let mut host = NativeHost { time: card.time(), card, rca: 0, high: false };
        host.bring_up();
        host
    }

    pub fn bring_up(&mut self) {
        let card = &mut self.card;
        for _ in 0..3 {
            card.command(0, 0);
        }
        let v2 = card.command(8, 0x1AA) == Some(SdResponse::Short(0x1AA));
        let hcs = if v2 { 1 << 30 } else { 0 };
        let ocr = loop {
            assert!(card.command(55, 0).is_some(), "CMD55");
            let Some(SdResponse::Short(ocr)) = card.command(41, hcs | 0x0010_0000) else { panic!("ACMD41") };
            if ocr >> 31 == 1 {
                break ocr;
            }
            self.time.sleep(Duration::from_millis(10));
            assert!(self.time.now() < Duration::from_secs(100));
        };
        self.high = ocr >> 30 & 1 == 1;
        assert!(matches!(card.command(2, 0), Some(SdResponse::Long(_))));
        let Some(SdResponse::Short(published)) = card.command(3, 0) else { panic!("CMD3") };
        self.rca = published & 0xFFFF_0000;
        assert!(card.command(7, self.rca).is_some());
        // A locked card refuses this one.
        assert!(card.command(55, self.rca).is_some());
        card.command(6, 2);
    }

    pub fn command(&mut self, index: u8, argument: u32) -> Result<CardStatus, Trouble> {
        match self.card.command(index, argument) {
            Some(SdResponse::Short(status)) => {
                let status = CardStatus(status);
                // What the response says of the command before is not about this one.
                let before = CardStatus::ILLEGAL_COMMAND.0 | CardStatus::COM_CRC_ERROR.0 | CardStatus::ERASE_RESET.0;
                let own = CardStatus(status.0 & !before);
                if own.is_error() { Err(Trouble::Refused(own)) } else { Ok(status) }
            }
            _ => Err(Trouble::NoResponse),
        }
    }

    pub fn read(&mut self, index: u8, argument: u32, length: usize, blocks: usize) -> Result<Vec<u8>, Trouble> {
        self.command(index, argument)?;
        let mut data = vec![0; length * blocks];
        for block in data.chunks_mut(length) {
            let end = self.time.now() + Duration::from_secs(1);
            loop {
                match self.card.read_block(block) {
                    Transfer::Done => break,
                    Transfer::Wait if self.time.now() < end => self.time.sleep(Duration::from_millis(1)),
                    Transfer::Wait | Transfer::Nothing => return Err(Trouble::Nothing),
                    Transfer::Crc => return Err(Trouble::Crc),
                }
            }
        }
        Ok(data)
    }

    pub fn write(&mut self, index: u8, argument: u32, data: &[u8]) -> Result<(), Trouble> {
        self.command(index, argument)?;
        for block in data.chunks(BLOCK) {
            self.not_busy()?;
            match self.card.write_block(block) {
                Transfer::Done => {}
                Transfer::Crc => return Err(Trouble::Crc),
                Transfer::Wait | Transfer::Nothing => return Err(Trouble::Nothing),
            }
        }
        self.not_busy()
    }

    pub fn not_busy(&mut self) -> Result<(), Trouble> {
        let end = self.time.now() + Duration::from_secs(5);
        while self.card.is_busy() {
            if self.time.now() > end {
                return Err(Trouble::Busy);
            }
            self.time.sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub fn state(&mut self) -> CardStatus {
        self.command(13, self.rca).expect("CMD13")
    }

    pub fn switch(&mut self, argument: SwitchArgument) -> SwitchStatus {
        let bytes = self.read(6, argument.0, 64, 1).expect("CMD6");
        SwitchStatus(bytes.try_into().expect("64 bytes"))
    }

    /// Enters ASSD by this function.
    pub fn enter(&mut self, function: Function) {
        for _ in 0..10 {
            if self.switch(SwitchArgument::set(function)).result(2) == function as u8 {
                return;
            }
        }
        panic!("the function is not taken");
    }

    pub fn register(&mut self, number: u32) -> Result<Vec<u8>, Trouble> {
        let _ = self.command(16, 32);
        let mut register = self.read(36, number, 32, 1);
        if register == Err(Trouble::Crc) {
            register = self.read(36, number, 512, 1);
        }
        let _ = self.command(16, 512);
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
            self.time.sleep(Duration::from_millis(4));
        }
        panic!("the core does not end");
    }

    /// Writes a whole file into protected memory, in transfers of `blocks`.
    pub fn direct_write(&mut self, name: &[u8], file: &[u8], blocks: usize) -> Answer {
        let mut open = [0; BLOCK];
        open[..4].copy_from_slice(&u32::try_from(file.len()).expect("fits").to_be_bytes());
        open[4] = u8::try_from(name.len()).expect("fits");
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
            let first = u16::try_from((number * blocks) & 0xFFFF).expect("fits");
            let count = u16::try_from(piece.len() / BLOCK).expect("fits");
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

pub fn seal(block: &mut [u8]) {
    let (body, tail) = block.split_last_chunk_mut::<4>().expect("a block");
    *tail = crc32fast::hash(body).to_be_bytes();
}

impl Apdus for NativeHost {
    fn apdu(&mut self, apdu: &[u8]) -> Answer {
        let token = write_token(apdu, Checksum::None).expect("fits");
        let blocks = u32::try_from(token.len() / BLOCK).expect("fits");
        self.write(35, blocks, &token).expect("CMD35");
        assert_eq!(self.until_done().state(), Ok(SecureState::Complete));
        let blocks = u32::from(self.status().read_blocks().max(1));
        let token = self.read(34, blocks, BLOCK, usize::try_from(blocks).expect("fits")).expect("CMD34");
        Answer::from_bytes(read_token(&token, Checksum::None).expect("a token")).expect("an answer")
    }
}
