//! A card for tests: it does what cards with the secure command set do, and what a test has ordered to go wrong.

use crate::assd::{
    BLOCK, CHECKED, Checksum, DirectRead, DirectWrite, Register, SecureState, WriteState, blocks_of, error, read_token,
    write_token,
};
use crate::sd::{Cid, Command, SwitchArgument, SwitchStatus, index};
use crate::{BusError, BusFault, CardHost, Data, Identity, PowerSwitch, Step, Taken};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub(super) const OURS: Cid = Cid([0, b'S', b'M', b'S', b'M', b'C', b'R', b'D', 0x10, 1, 2, 3, 4, 0x01, 0xA1, 0]);
pub(super) const OTHER: Cid = Cid([3, b'S', b'D', b'S', b'U', b'0', b'4', b'G', 0x80, 1, 2, 3, 4, 0x00, 0xC1, 0]);

/// Something that goes wrong with a command, once.
pub(super) struct Mishap {
    pub(super) command: u8,
    fault: fn() -> BusFault,
    taken: Taken,
    /// The card does what was asked nevertheless; of a transfer, as many blocks.
    done: Option<usize>,
    /// It happens without the host noticing.
    silent: bool,
    and_then: Option<fn(&mut Double)>,
}

impl Mishap {
    pub(super) fn new(fault: fn() -> BusFault, taken: Taken) -> Self {
        Mishap { command: 0, fault, taken, done: None, silent: false, and_then: None }
    }

    /// The card has refused a block as damaged.
    pub(super) fn refused() -> Self {
        Self::new(|| BusFault::BlockCrc, Taken::No)
    }

    /// Nothing can be told, and the card has not taken it.
    pub(super) fn unclear() -> Self {
        Self::new(|| BusFault::BlockUnclear, Taken::Unknown)
    }

    /// What the card sent arrived damaged.
    pub(super) fn damaged() -> Self {
        Self::new(|| BusFault::DataCrc, Taken::Unknown)
    }

    /// The card does it nevertheless.
    pub(super) fn done(mut self) -> Self {
        self.done = Some(usize::MAX);
        self
    }

    /// Of a transfer the card takes so many blocks.
    pub(super) fn blocks(mut self, blocks: usize) -> Self {
        self.done = Some(blocks);
        self
    }

    pub(super) fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    pub(super) fn and_then(mut self, act: fn(&mut Double)) -> Self {
        self.and_then = Some(act);
        self
    }
}

/// What the core does with a command.
pub(super) enum Reaction {
    Answer(Vec<u8>),
    Abort(u8),
    Stuck,
}

/// A direct write of the card.
pub(super) struct Received {
    pub(super) name: Vec<u8>,
    pub(super) length: u32,
    pub(super) blocks: Vec<u8>,
}

pub(super) struct Double {
    pub(super) cid: Cid,
    pub(super) now: Duration,
    pub(super) present: bool,
    pub(super) has_switch: bool,
    pub(super) offered: u16,
    pub(super) function: u8,
    pub(super) switch_busy: u32,
    /// It offers the mode and does not answer in it.
    pub(super) lies: bool,
    pub(super) length_refused: bool,
    pub(super) psi_block: bool,
    pub(super) properties: [u8; 32],
    pub(super) system: u8,
    pub(super) state: SecureState,
    pub(super) error: u8,
    pub(super) system_error: bool,
    /// Polls until an answer is there.
    pub(super) polls: u32,
    pub(super) react: fn(&[u8]) -> Reaction,
    pub(super) can_cycle: bool,
    pub(super) executed: Vec<Vec<u8>>,
    pub(super) commands: Vec<Command>,
    pub(super) resets: u32,
    pub(super) cycles: u32,
    pub(super) mishaps: VecDeque<Mishap>,
    pub(super) writes: Vec<Option<Received>>,
    pub(super) open_sw: u16,
    pub(super) files: Vec<Received>,
    /// Cuts the power when the card has worked on something for so long.
    pub(super) cut_at: Option<(Duration, Arc<dyn PowerSwitch>)>,
    length: u32,
    left: u32,
    pending: Option<Reaction>,
    answer: Vec<u8>,
    result: Vec<u8>,
    memory_state: u8,
}

/// The card's own state, and for everything else INS and 9000.
fn react(apdu: &[u8]) -> Reaction {
    Reaction::Answer(match apdu {
        [0x80, 0xCA, 0xDF, 0x74, ..] => vec![0xDF, 0x74, 4, 7, 2, 1, 0, 0x90, 0],
        _ => vec![apdu[1], 0x90, 0],
    })
}

impl Double {
    fn new(cid: Cid) -> Self {
        let mut properties = [0; 32];
        (properties[0], properties[1], properties[2], properties[7]) = (1, 1, 2, 1);
        (properties[4], properties[6], properties[13], properties[15]) = (1, 1, 3, 1);
        Double {
            cid,
            now: Duration::ZERO,
            present: true,
            has_switch: true,
            offered: 0x8013,
            function: 0,
            switch_busy: 0,
            lies: false,
            length_refused: false,
            psi_block: false,
            properties,
            system: 0,
            state: SecureState::Idle,
            error: 0,
            system_error: false,
            polls: 2,
            react,
            can_cycle: true,
            executed: Vec::new(),
            commands: Vec::new(),
            resets: 0,
            cycles: 0,
            mishaps: VecDeque::new(),
            writes: (0..8).map(|_| None).collect(),
            open_sw: 0x9000,
            files: Vec::new(),
            cut_at: None,
            length: 512,
            left: 0,
            pending: None,
            answer: Vec::new(),
            result: Vec::new(),
            memory_state: 0,
        }
    }

    /// The mode is lost, and with it what the core held.
    pub(super) fn lose_mode(&mut self) {
        self.function = 0;
        self.reset_core();
    }

    fn reset_core(&mut self) {
        (self.state, self.error, self.pending, self.memory_state) = (SecureState::Idle, 0, None, 0);
        self.writes.iter_mut().for_each(|write| *write = None);
    }

    fn secure(&self) -> Result<(), BusFault> {
        if self.function == 0 || self.lies { Err(BusFault::Illegal) } else { Ok(()) }
    }

    fn register(&mut self, number: u32, into: &mut [u8]) -> Result<(), BusFault> {
        self.secure()?;
        let wanted = if self.psi_block { BLOCK } else { 32 };
        if into.len() != wanted {
            return Err(BusFault::DataCrc);
        }
        match Register::from_number(number) {
            Some(Register::Properties) => into[..32].copy_from_slice(&self.properties),
            Some(Register::Status) => {
                self.advance();
                let status = &mut into[..32];
                (status[0], status[1], status[6]) = (self.state as u8, self.error, self.system);
                (status[2], status[3]) = (u8::from(self.system_error) << 7, self.memory_state);
                if self.state == SecureState::Complete {
                    let blocks = blocks_of(self.answer.len(), Checksum::Crc32);
                    [status[8], status[9]] = u16::try_from(blocks).unwrap().to_be_bytes();
                }
            }
            _ => return Err(BusFault::Argument),
        }
        Ok(())
    }

    fn advance(&mut self) {
        if self.left > 0 {
            self.left -= 1;
            return;
        }
        if self.memory_state == 1 {
            self.memory_state = 2;
        }
        match self.pending.take() {
            Some(Reaction::Answer(answer)) => (self.state, self.answer) = (SecureState::Complete, answer),
            Some(Reaction::Abort(error)) => (self.state, self.error) = (SecureState::Aborted, error),
            Some(Reaction::Stuck) => self.pending = Some(Reaction::Stuck),
            None => {}
        }
    }

    fn step(&mut self, command: Command, data: &mut Data<'_>, most: usize) -> Result<(), BusFault> {
        match (command.index, data) {
            (index::SWITCH_FUNC, Data::Read { into, .. }) => self.switch(SwitchArgument(command.argument), into),
            (index::SET_BLOCKLEN, _) if self.length_refused => return Err(BusFault::Illegal),
            (index::SET_BLOCKLEN, _) => self.length = command.argument,
            (index::SEND_PSI, Data::Read { into, .. }) => self.register(command.argument, into)?,
            (index::CONTROL_ASSD_SYSTEM, _) => {
                self.secure()?;
                self.resets += 1;
                self.system = u8::try_from(command.argument >> 8 & 0xF).unwrap();
                self.reset_core();
            }
            (index::STOP_TRANSMISSION, _) => return Err(BusFault::NoResponse),
            (index::WRITE_SEC_CMD, Data::Write { from, .. }) => self.begin(command.argument, from)?,
            (index::READ_SEC_CMD, Data::Read { into, .. }) => self.deliver(command.argument, into)?,
            (index::DIRECT_SECURE_WRITE, Data::Write { from, .. }) => {
                self.direct(DirectWrite::from_argument(command.argument).unwrap(), from, most)?;
            }
            (index::DIRECT_SECURE_READ, Data::Read { into, .. }) => self.tell(command.argument, into)?,
            _ => return Err(BusFault::Illegal),
        }
        Ok(())
    }

    fn switch(&mut self, argument: SwitchArgument, into: &mut [u8]) {
        let mut status = SwitchStatus::new();
        let wanted = argument.group(2);
        status.set_supported(2, self.offered);
        let offered = wanted == 0xF || self.offered >> wanted & 1 == 1;
        if self.switch_busy > 0 && argument.is_set() {
            self.switch_busy -= 1;
            status.set_busy(2, wanted);
            status.set_result(2, self.function);
        } else if offered {
            if argument.is_set() && wanted != 0xF {
                self.function = wanted;
            }
            status.set_result(2, if wanted == 0xF { self.function } else { wanted });
        } else {
            status.set_result(2, 0xF);
        }
        into.copy_from_slice(&status.0);
    }

    fn begin(&mut self, argument: u32, from: &[u8]) -> Result<(), BusFault> {
        self.secure()?;
        assert!(self.length == 512 || self.length_refused, "CMD35 with blocks of {}", self.length);
        assert_eq!(usize::try_from(argument & 0xFFFF).unwrap() * BLOCK, from.len());
        if self.state == SecureState::InProgress {
            return Err(BusFault::Illegal);
        }
        let checksum = if argument & CHECKED == 0 { Checksum::None } else { Checksum::Crc32 };
        let apdu = read_token(from, checksum).expect("a token").to_vec();
        self.pending = Some((self.react)(&apdu));
        self.executed.push(apdu);
        (self.state, self.error, self.left) = (SecureState::InProgress, 0, self.polls);
        Ok(())
    }

    fn deliver(&mut self, argument: u32, into: &mut [u8]) -> Result<(), BusFault> {
        self.secure()?;
        if self.state != SecureState::Complete && self.cid != OURS || self.answer.is_empty() {
            return Err(BusFault::Illegal);
        }
        let checksum = if argument & CHECKED == 0 { Checksum::None } else { Checksum::Crc32 };
        let token = write_token(&self.answer, checksum).unwrap();
        into[..token.len()].copy_from_slice(&token);
        self.state = SecureState::Idle;
        Ok(())
    }

    fn direct(&mut self, write: DirectWrite, from: &[u8], most: usize) -> Result<(), BusFault> {
        self.secure()?;
        let answer = match write {
            DirectWrite::Open => {
                let (length, name) =
                    (u32::from_be_bytes(from[..4].try_into().unwrap()), &from[5..5 + usize::from(from[4])]);
                let number = self.writes.iter().position(Option::is_none).unwrap();
                self.writes[number] = Some(Received { name: name.to_vec(), length, blocks: Vec::new() });
                let [high, low] = self.open_sw.to_be_bytes();
                if self.open_sw == 0x9000 { vec![u8::try_from(number).unwrap(), high, low] } else { vec![high, low] }
            }
            DirectWrite::Data { write, first, blocks } => {
                assert_eq!(usize::from(blocks) * BLOCK, from.len());
                let Some(open) = &mut self.writes[usize::from(write)] else { return Err(BusFault::Argument) };
                let received = u32::try_from(open.blocks.len() / BLOCK).unwrap();
                let start = DirectWrite::position(first, received).expect("a position");
                let skip = usize::try_from(received - start).unwrap() * BLOCK;
                let end = most.saturating_mul(BLOCK).min(from.len());
                open.blocks.extend_from_slice(from.get(skip..end).unwrap_or_default());
                return Ok(());
            }
            DirectWrite::Commit { write } => {
                let Some(open) = self.writes[usize::from(write)].take() else { return Err(BusFault::Argument) };
                let length = usize::try_from(open.length).unwrap();
                let crc = open.blocks.get(..length).map(crc32fast::hash);
                let answer = match crc {
                    None => vec![0x67, 0x00],
                    Some(crc) if crc.to_be_bytes() != from[..4] => vec![0x6A, 0x80],
                    Some(_) => vec![0x12, 0x34, 0x90, 0x00],
                };
                self.files.push(open);
                answer
            }
            DirectWrite::Abort { write } => {
                self.writes[usize::from(write)] = None;
                return Ok(());
            }
        };
        (self.result, self.memory_state, self.left) = (answer, 1, self.polls);
        Ok(())
    }

    fn tell(&mut self, argument: u32, into: &mut [u8]) -> Result<(), BusFault> {
        self.secure()?;
        match DirectRead::from_argument(argument).unwrap() {
            DirectRead::Result if self.result.is_empty() => return Err(BusFault::Illegal),
            DirectRead::Result => {
                into.copy_from_slice(&write_token(&self.result, Checksum::Crc32).unwrap());
                self.memory_state = 0;
            }
            DirectRead::State { write } => {
                let open = self.writes[usize::from(write)].as_ref();
                let state = WriteState {
                    open: open.is_some(),
                    length: open.map_or(0, |open| open.length),
                    received: open.map_or(0, |open| u32::try_from(open.blocks.len() / BLOCK).unwrap()),
                };
                into[..12].copy_from_slice(&state.to_bytes());
                let crc = crc32fast::hash(&into[..BLOCK - 4]);
                into[BLOCK - 4..].copy_from_slice(&crc.to_be_bytes());
            }
        }
        Ok(())
    }
}

/// The card, for the driver and for the test at once.
#[derive(Clone)]
pub(super) struct Handle(Arc<Mutex<Double>>);

impl Handle {
    pub(super) fn new(cid: Cid) -> Self {
        Handle(Arc::new(Mutex::new(Double::new(cid))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Double> {
        self.0.lock().unwrap()
    }

    pub(super) fn resets(&self) -> u32 {
        self.lock().resets
    }

    pub(super) fn cycles(&self) -> u32 {
        self.lock().cycles
    }

    pub(super) fn function(&self) -> u8 {
        self.lock().function
    }

    pub(super) fn system(&self) -> u8 {
        self.lock().system
    }

    pub(super) fn files(&self) -> usize {
        self.lock().files.len()
    }

    /// Commands with this index so far.
    pub(super) fn count(&self, index: u8) -> usize {
        self.lock().commands.iter().filter(|command| command.index == index).count()
    }

    /// The next command with this index goes wrong so, once those before it have.
    pub(super) fn fail(&self, command: u8, mishap: Mishap) {
        self.lock().mishaps.push_back(Mishap { command, ..mishap });
    }
}

fn failed(command: Command, fault: BusFault, taken: Taken) -> BusError {
    BusError { command, fault, taken, seen: "a test".to_owned(), blocks: 0 }
}

impl CardHost for Handle {
    fn bring_up(&mut self) -> Result<Identity, BusError> {
        let double = self.lock();
        if !double.present {
            return Err(failed(Command::new(0, 0), BusFault::Removed, Taken::No));
        }
        Ok(Identity { cid: double.cid, has_switch: double.has_switch })
    }

    fn run(&mut self, steps: &mut [Step<'_>]) -> Result<(), (BusError, usize)> {
        let mut double = self.lock();
        for (at, step) in steps.iter_mut().enumerate() {
            let command = step.command;
            double.commands.push(command);
            if !double.present {
                return Err((failed(command, BusFault::Removed, Taken::Unknown), at));
            }
            let due = double.mishaps.iter().position(|mishap| mishap.command == command.index);
            let mishap = due.and_then(|due| double.mishaps.remove(due));
            let Some(mishap) = mishap else {
                double.step(command, &mut step.data, usize::MAX).map_err(|fault| {
                    let taken = if matches!(fault, BusFault::DataCrc) { Taken::Unknown } else { Taken::No };
                    (failed(command, fault, taken), at)
                })?;
                continue;
            };
            if let Some(blocks) = mishap.done {
                // Where it cannot do it, it has been spared.
                let _ = double.step(command, &mut step.data, blocks);
            }
            if let Some(act) = mishap.and_then {
                act(&mut double);
            }
            if mishap.silent {
                if let Data::Read { into, .. } = &mut step.data {
                    into[7] ^= 0x10;
                }
                continue;
            }
            return Err((failed(command, (mishap.fault)(), mishap.taken), at));
        }
        Ok(())
    }

    fn blocks_max(&self) -> usize {
        1024
    }

    fn transactions(&self) -> u64 {
        u64::try_from(self.lock().commands.len()).unwrap()
    }

    fn power_cycle(&mut self) -> io::Result<bool> {
        let mut double = self.lock();
        if double.can_cycle {
            double.cycles += 1;
            double.lose_mode();
        }
        Ok(double.can_cycle)
    }

    fn sleep(&mut self, time: Duration) {
        let mut double = self.lock();
        double.now += time;
        let now = double.now;
        if let Some((_, switch)) = double.cut_at.take_if(|(at, _)| *at <= now) {
            switch.cut();
        }
    }

    fn now(&self) -> Duration {
        self.lock().now
    }

    fn describe(&self) -> String {
        "a double".to_owned()
    }
}

/// Condition error, for reactions.
pub(super) const CONDITION: u8 = error::CONDITION;
