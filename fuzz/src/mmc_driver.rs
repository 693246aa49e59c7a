//! Whatever the kernel says to an ioctl, the MMC driver ends with an error or with what it was asked for.

use smcard_link::assd::{AssdCard, AssdOptions};
use smcard_link::mmc::{BYTES_MAX, COMMANDS_MAX, IocCommand, IocData, MmcHost, MmcPort, Registers, SENTINEL};
use smcard_link::sd::{Cid, Command, Csd, Scr, index};
use smcard_link::{CardHost, Clock, Data, SecureCard, Step, Trace, WriteToken};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Errnos that host drivers are known for, and one that is none.
const ERRNOS: [i32; 14] = [
    libc::ETIMEDOUT,
    libc::EIO,
    libc::EILSEQ,
    libc::EINVAL,
    libc::ECONNRESET,
    libc::ENOSYS,
    libc::ENOMEDIUM,
    libc::ENODEV,
    libc::EPERM,
    libc::EOVERFLOW,
    libc::EBUSY,
    libc::EFAULT,
    libc::EINTR,
    9999,
];
/// A card of this project, so that the driver uses all it can.
const OURS: Cid = Cid([0, b'S', b'M', b'S', b'M', b'C', b'R', b'D', 0x10, 1, 2, 3, 4, 0x01, 0xA1, 0]);
/// Lists that an answer may take: polls for as long as an answer may take, each tried as often as polls are.
const LISTS: u64 = 200_000;

/// A card that is as it should be, for as long as it takes to open it: what comes then is the input's.
#[derive(Default)]
pub struct Calm {
    steps: u32,
    outstanding: bool,
}

impl Calm {
    /// Steps until a card is open, at the most.
    const STEPS: u32 = 45;

    /// Does a step while it lasts; `false` afterwards.
    pub fn step(&mut self, opcode: u32, argument: u32, into: Option<&mut [u8]>) -> bool {
        self.steps += 1;
        if self.steps > Self::STEPS {
            return false;
        }
        self.outstanding = opcode == 35 || self.outstanding && opcode != 34;
        let Some(into) = into else { return true };
        match (opcode, argument) {
            (6, _) => (into[11], into[16]) = (0x13, 0x40),
            (36, 4) => (into[0], into[1], into[2], into[4], into[13]) = (1, 1, 2, 1, 3),
            (36, _) => into[0] = if self.outstanding { 2 } else { 0 },
            _ => {
                into[..4].copy_from_slice(&[0, 4, 0x90, 0x00]);
                seal(into);
            }
        }
        true
    }
}

/// A result or a state of a direct write of 3000 bytes, as CMD50 delivers it.
pub fn direct(argument: u32, byte: u8, into: &mut [u8]) {
    if argument == 0 {
        into[..5].copy_from_slice(&[0, 5, byte % 9, 0x90, 0x00]);
    } else {
        into[0] = u8::from(byte % 16 != 0);
        into[6..8].copy_from_slice(&3000_u16.to_be_bytes());
        into[11] = byte / 16;
    }
    seal(into);
}

/// Puts the CRC-32 of all before them into the last four bytes.
pub fn seal(block: &mut [u8]) {
    if let Some((body, tail)) = block.split_last_chunk_mut::<4>() {
        *tail = crc32fast::hash(body).to_be_bytes();
    }
}

/// A kernel that says the bytes of the input.
struct Kernel {
    calm: Option<Calm>,
    input: Vec<u8>,
    at: usize,
    spi: bool,
    lists: Arc<AtomicU64>,
    time: Arc<AtomicU64>,
}

impl Kernel {
    fn next(&mut self) -> u8 {
        let byte = self.input.get(self.at % self.input.len().max(1)).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    fn word(&mut self) -> u32 {
        u32::from_be_bytes([self.next(), self.next(), self.next(), self.next()])
    }

    /// A response, most often a good one.
    fn response(&mut self) -> u32 {
        match self.next() % 8 {
            0 => self.word(),
            1 => 0,
            2 => 0x0040_0900,
            3 => SENTINEL,
            _ => 0x0000_0900,
        }
    }

    fn fill(&mut self, opcode: u32, argument: u32, into: &mut [u8]) {
        into.fill(0);
        match self.next() % 4 {
            0 => into.iter_mut().for_each(|byte| *byte = self.next()),
            _ if opcode == 6 => {
                into[11] = 0x13;
                into[16] = 0x40;
            }
            _ if opcode == 36 && argument == 4 => (into[2], into[4], into[13]) = (self.next() % 4, 1, 3),
            _ if opcode == 36 => (into[0], into[3], into[9]) = (self.next() % 4, self.next() % 3, self.next() % 4),
            _ if opcode == 50 && self.next() % 4 != 0 => direct(argument, self.next(), into),
            _ => {
                // A token, its checksum in place.
                let length = u16::from(self.next()) + 4;
                into[..2].copy_from_slice(&length.to_be_bytes());
                into[2..12].copy_from_slice(&[self.next(); 10]);
                seal(into);
            }
        }
    }
}

impl MmcPort for Kernel {
    fn identify(&mut self) -> io::Result<Registers> {
        Ok(Registers { rca: 1, cid: OURS, csd: Csd([0; 16]), scr: Some(Scr([2; 8])) })
    }

    fn multi(&mut self, commands: &mut [IocCommand<'_>]) -> io::Result<()> {
        assert!(commands.len() <= COMMANDS_MAX);
        self.lists.fetch_add(1, Ordering::Relaxed);
        if let Some(calm) = &mut self.calm {
            let mut all = true;
            for command in commands.iter_mut() {
                let into = match &mut command.data {
                    IocData::Read(into) => Some(&mut **into),
                    _ => None,
                };
                all &= calm.step(command.opcode, command.argument, into);
                command.response[0] = 0x0000_0900;
            }
            if all {
                return Ok(());
            }
            self.calm = None;
        }
        let kind = self.next();
        let fails = kind % 4 == 0;
        let end = if fails { usize::from(self.next()) % (commands.len() + 1) } else { commands.len() };
        for (at, command) in commands.iter_mut().enumerate() {
            let bytes = command.block as usize * command.blocks as usize;
            match &mut command.data {
                IocData::None => assert_eq!(bytes, 0),
                IocData::Write(from) => assert_eq!(from.len(), bytes),
                IocData::Read(into) => {
                    assert_eq!(into.len(), bytes);
                    if at <= end {
                        self.fill(command.opcode, command.argument, into);
                    }
                }
            }
            assert!(bytes <= BYTES_MAX);
            // The one that fails may leave a response.
            if at < end || (at == end && self.next() % 2 == 0) {
                command.response[0] = self.response();
            }
        }
        self.time.fetch_add(100, Ordering::Relaxed);
        if fails {
            let errno = ERRNOS[usize::from(self.next()) % ERRNOS.len()];
            // A card that is gone ends everything; let it be so now and then only.
            let last = matches!(errno, libc::ENODEV | libc::ENOMEDIUM | libc::EPERM) && self.next() % 8 != 0;
            return Err(io::Error::from_raw_os_error(if last { libc::ETIMEDOUT } else { errno }));
        }
        Ok(())
    }

    fn blocks_max(&self) -> usize {
        usize::from(self.input.first().copied().unwrap_or(0)) * 8
    }

    fn is_spi(&self) -> bool {
        self.spi
    }

    fn describe(&self) -> String {
        "a kernel".to_owned()
    }
}

/// Microseconds that only waiting and ioctls let pass.
struct Virtual(Arc<AtomicU64>);

impl Clock for Virtual {
    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&mut self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).expect("a short time"), Ordering::Relaxed);
    }
}

/// The first byte says what sort of host it is, the others are what the kernel says.
pub fn mmc_driver(data: &[u8]) {
    let Some((kind, input)) = data.split_first() else { return };
    let (lists, time) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let host = |calm| {
        let (lists, time) = (lists.clone(), time.clone());
        let port = Kernel { calm, input: input.to_vec(), at: 0, spi: kind % 4 == 0, lists, time: time.clone() };
        MmcHost::new(Box::new(port), Box::new(Virtual(time)), Trace::off())
    };
    steps(&mut host(None));
    let bounded = |what: &str| {
        let lists = lists.swap(0, Ordering::Relaxed);
        assert!(lists < LISTS, "{what} took {lists} ioctls");
    };
    bounded("steps");
    let Ok(mut card) = AssdCard::open(Box::new(host((kind & 0x40 == 0).then(Calm::default))), AssdOptions::default())
    else {
        return;
    };
    bounded("opening");
    drive(&mut card, bounded);
}

fn steps(host: &mut MmcHost) {
    let _ = host.bring_up();
    let (mut into, from) = ([0; 1024], [0x5A; 1536]);
    step(host, Command::new(index::SEND_PSI, 0), Data::Read { block: 32, into: &mut into[..32] });
    step(host, Command::new(index::WRITE_SEC_CMD, 1), Data::Write { from: &from[..512], token: WriteToken::Single });
    step(host, Command::new(index::READ_SEC_CMD, 2), Data::Read { block: 512, into: &mut into });
    step(host, Command::new(index::DIRECT_SECURE_WRITE, 3), Data::Write { from: &from, token: WriteToken::Single });
    step(host, Command::new(index::CONTROL_ASSD_SYSTEM, 1), Data::Busy);
    step(host, Command::new(index::SEND_PSI, 0), Data::Read { block: 0, into: &mut into });
    step(host, Command::new(index::SET_BLOCKLEN, 512), Data::None);
}

fn step(host: &mut MmcHost, command: Command, data: Data<'_>) {
    if let Err((error, at)) = host.run(&mut [Step { command, data, limit: Duration::ZERO }]) {
        let text = error.to_string();
        assert!(at == 0 && !text.is_empty() && text.len() < 1000, "{at}: {text}");
    }
}

/// Everything a terminal asks of a card.
pub fn drive(card: &mut AssdCard, bounded: impl Fn(&str)) {
    let told = |text: String| assert!(!text.is_empty() && text.len() < 1000, "{text}");
    match card.transmit(&[0x00, 0xA4, 0x04, 0x00]) {
        Ok(answer) => assert!(answer.data.len() <= 0xFFFF),
        Err(error) => told(error.to_string()),
    }
    bounded("SELECT");
    let _ = card.transmit(&[0x80; 2000]);
    bounded("a long command");
    match card.write_open(b"a.batch", 3000) {
        Ok(Ok(id)) => {
            if let Err(error) = card.write_chunk(id, &[0xA5; 3000]) {
                told(error.to_string());
            }
            bounded("bytes of a file");
            if let Err(error) = card.write_commit(id) {
                told(error.to_string());
            }
            bounded("COMMIT");
        }
        Ok(Err(_)) => {}
        Err(error) => told(error.to_string()),
    }
    bounded("OPEN");
    if let Err(error) = card.reset() {
        told(error.to_string());
    }
    bounded("a reset");
    let _ = (card.status(), card.counters());
}
