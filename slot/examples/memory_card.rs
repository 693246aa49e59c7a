//! A card of one's own in the slot: a plain SDHC memory card without secure commands, backed by a file.
//!
//! `cargo run -p smcard-slot --example memory_card -- SOCKET FILE`, then `smcard-slot --socket SOCKET ctl eject` and the like.
#![forbid(unsafe_code)]

use smcard_link::{SdBus, SdResponse, Transfer};
use smcard_slot::bay::Bay;
use smcard_slot::options;
use smcard_slot::sdhci::Controller;
use smcard_slot::serve::{Server, Signals};
use smcard_slot::socket::Listener;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK: u64 = 512;
/// Ready, no error; the state stands in bits 12 to 9.
const READY: u32 = 1 << 8;
const APP_COMMAND: u32 = 1 << 5;
const RCA: u32 = 0x5ED1 << 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle = 0,
    Ready = 1,
    Identification = 2,
    Standby = 3,
    Transfer = 4,
    Sending = 5,
    Receiving = 6,
}

/// What the data lines carry.
enum Data {
    Nothing,
    Register(Vec<u8>),
    Memory { block: u64, many: bool },
}

struct Card {
    file: File,
    blocks: u64,
    powered: bool,
    state: State,
    application: bool,
    data: Data,
}

impl Card {
    fn open(path: &Path) -> Result<Box<dyn SdBus>, String> {
        let failed = |error| format!("{}: {error}", path.display());
        let file = File::options().read(true).write(true).open(path).map_err(failed)?;
        // The capacity of SDHC counts in pieces of 512 KiB.
        let blocks = file.metadata().map_err(failed)?.len() / BLOCK / 1024 * 1024;
        if blocks == 0 {
            return Err(format!("{}: at least 512 KiB are needed", path.display()));
        }
        let data = Data::Nothing;
        Ok(Box::new(Card { file, blocks, powered: false, state: State::Idle, application: false, data }))
    }

    fn csd(&self) -> [u8; 16] {
        let size = u32::try_from(self.blocks / 1024 - 1).unwrap_or(0x3F_FFFF).min(0x3F_FFFF).to_be_bytes();
        [0x40, 0x0E, 0, 0x32, 0x59, 0x59, 0, size[1], size[2], size[3], 0x7F, 0x80, 0x0A, 0x40, 0, 1]
    }

    fn status(&self, extra: u32) -> Option<SdResponse> {
        // Ready for data, and the state.
        Some(SdResponse::Short(READY | (self.state as u32) << 9 | extra))
    }

    fn send(&mut self, state: State, data: Data) -> Option<SdResponse> {
        let response = self.status(0);
        self.state = state;
        self.data = data;
        response
    }

    fn application_command(&mut self, index: u8) -> Option<SdResponse> {
        match index {
            6 | 42 => self.status(APP_COMMAND),
            13 => self.send(State::Sending, Data::Register(vec![0; 64])),
            41 => {
                self.state = State::Ready;
                Some(SdResponse::Short(0xC0FF_8000))
            }
            51 => self.send(State::Sending, Data::Register(vec![0x02, 0x35, 0x80, 0, 0, 0, 0, 0])),
            _ => None,
        }
    }
}

impl SdBus for Card {
    fn command(&mut self, index: u8, argument: u32) -> Option<SdResponse> {
        if !self.powered {
            return None;
        }
        if std::mem::take(&mut self.application) {
            return self.application_command(index);
        }
        let addressed = argument & 0xFFFF_0000 == RCA;
        match index {
            0 => {
                self.state = State::Idle;
                None
            }
            2 => {
                self.state = State::Identification;
                Some(SdResponse::Long(*b"\x7FEXPLAIN\x10\x12\x34\x56\x78\x01\x9A\x01"))
            }
            3 => {
                self.state = State::Standby;
                Some(SdResponse::Short(RCA | 0x0500))
            }
            6 => self.send(State::Sending, Data::Register(switch_status(argument))),
            7 => {
                self.state = if addressed { State::Transfer } else { State::Standby };
                if addressed { self.status(0) } else { None }
            }
            8 => Some(SdResponse::Short(argument & 0xFFF)),
            9 => Some(SdResponse::Long(self.csd())),
            10 => Some(SdResponse::Long(*b"\x7FEXPLAIN\x10\x12\x34\x56\x78\x01\x9A\x01")),
            12 => self.send(State::Transfer, Data::Nothing),
            13 | 16 => self.status(0),
            17 | 18 => self.send(State::Sending, Data::Memory { block: argument.into(), many: index == 18 }),
            24 | 25 => self.send(State::Receiving, Data::Memory { block: argument.into(), many: index == 25 }),
            55 => {
                self.application = true;
                self.status(APP_COMMAND)
            }
            _ => None,
        }
    }

    fn read_block(&mut self, bytes: &mut [u8]) -> Transfer {
        match (&mut self.data, self.state) {
            (Data::Register(register), State::Sending) if register.len() == bytes.len() => {
                bytes.copy_from_slice(register);
                self.state = State::Transfer;
                self.data = Data::Nothing;
                Transfer::Done
            }
            (Data::Memory { block, many }, State::Sending) if *block < self.blocks && bytes.len() == 512 => {
                if self.file.read_exact_at(bytes, *block * BLOCK).is_err() {
                    return Transfer::Nothing;
                }
                *block += 1;
                if !*many {
                    self.state = State::Transfer;
                }
                Transfer::Done
            }
            _ => Transfer::Nothing,
        }
    }

    fn write_block(&mut self, bytes: &[u8]) -> Transfer {
        match (&mut self.data, self.state) {
            (Data::Memory { block, many }, State::Receiving) if *block < self.blocks && bytes.len() == 512 => {
                if self.file.write_all_at(bytes, *block * BLOCK).is_err() {
                    return Transfer::Nothing;
                }
                *block += 1;
                if !*many {
                    self.state = State::Transfer;
                }
                Transfer::Done
            }
            _ => Transfer::Nothing,
        }
    }

    fn is_busy(&mut self) -> bool {
        false
    }

    fn set_power(&mut self, on: bool) {
        self.powered = on;
        self.state = State::Idle;
        self.data = Data::Nothing;
    }

    fn is_present(&mut self) -> bool {
        true
    }
}

/// High speed can be had, nothing else.
fn switch_status(argument: u32) -> Vec<u8> {
    let mut status = vec![0; 64];
    for (place, byte) in status.iter_mut().zip([0, 100, 0x80, 1, 0x80, 1, 0x80, 1, 0x80, 1, 0x80, 1, 0x80, 3]) {
        *place = byte;
    }
    let fast = argument & 0xF == 1;
    status[16] = u8::from(fast);
    status
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::Builder::new().parse_filters("info").parse_env("SMCARD_LOG").init();
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(socket), Some(image)) = (arguments.next(), arguments.next()) else { return Err("SOCKET FILE".into()) };
    let signals = Signals::new()?;
    let mut bay = Bay::new(Controller::new(), Box::new(|path: &Path| Card::open(path)));
    bay.insert(&image)?;
    let mut control = socket.clone().into_os_string();
    control.push(".ctl");
    println!("QEMU: {}", options::qemu(&socket, false));
    let (listener, control) = (Listener::bind(&socket)?, Listener::bind(Path::new(&control))?);
    Server::new(bay, listener, control).run(&signals, false)?;
    Ok(())
}
