//! The driver over a port that answers as it was told, and the soft kernel over a small card.

use super::*;
use crate::sd::{CardState, CardStatus, Cid, Command, Csd, Scr, index};
use crate::{BusError, BusFault, CardHost, Clock, Data, SdBus, SdResponse, Step, Taken, Trace, Transfer, WriteToken};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const RCA: u16 = 0x4567;
const READY: u32 = 0x0000_0900;
const ILLEGAL: u32 = 0x0040_0900;

/// What the kernel says of the next list: an errno, and the responses of the commands that were begun.
type Said = (Option<i32>, Vec<u32>);

/// A port that says what a test has written down, and keeps what it was asked.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<(VecDeque<Said>, Vec<String>)>>);

impl Script {
    fn host(said: impl IntoIterator<Item = Said>) -> (MmcHost, Script) {
        let script = Script::default();
        script.0.lock().unwrap().0.push_back((None, vec![READY]));
        let mut host = MmcHost::new(Box::new(script.clone()), Box::new(Virtual::default()), Trace::off());
        host.bring_up().unwrap();
        let mut state = script.0.lock().unwrap();
        state.0.extend(said);
        state.1.clear();
        drop(state);
        (host, script)
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

impl MmcPort for Script {
    fn identify(&mut self) -> io::Result<Registers> {
        Ok(Registers { rca: RCA, cid: Cid([1; 16]), csd: Csd([0; 16]), scr: Some(Scr([2; 8])) })
    }

    fn multi(&mut self, commands: &mut [IocCommand<'_>]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let asked = commands.iter_mut().map(|command| {
            if let IocData::Read(into) = &mut command.data {
                assert!(into.iter().all(|byte| *byte == 0), "a buffer that is not cleared");
            }
            assert_eq!(command.response[0], SENTINEL);
            format!("{}:{:X}:{:X}", command.opcode, command.argument, command.flags)
        });
        let asked: Vec<String> = asked.collect();
        state.1.push(asked.join(" "));
        let (errno, responses) = state.0.pop_front().unwrap_or_default();
        for (command, response) in commands.iter_mut().zip(responses) {
            command.response[0] = response;
        }
        errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    fn blocks_max(&self) -> usize {
        128
    }

    fn describe(&self) -> String {
        "a script".to_owned()
    }
}

#[derive(Clone, Default)]
struct Virtual(Arc<Mutex<Duration>>);

impl Clock for Virtual {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&mut self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

fn plain(index: u8, argument: u32) -> Step<'static> {
    Step { command: Command::new(index, argument), data: Data::None, limit: Duration::ZERO }
}

fn read(index: u8, into: &mut [u8]) -> Step<'_> {
    let block = into.len().min(512);
    Step { command: Command::new(index, 0), data: Data::Read { block, into }, limit: Duration::ZERO }
}

fn write(index: u8, from: &[u8]) -> Step<'_> {
    let data = Data::Write { from, token: WriteToken::Single };
    Step { command: Command::new(index, 1), data, limit: Duration::ZERO }
}

fn failed(host: &mut MmcHost, steps: &mut [Step<'_>]) -> (BusError, usize) {
    host.run(steps).expect_err("a failure")
}

#[test]
fn what_belongs_together_is_one_list_with_the_flags_of_both_kinds_of_hosts() {
    let (mut host, script) = Script::host([(None, vec![READY; 3]), (None, vec![READY]), (None, vec![READY])]);
    let mut into = [0xEE; 32];
    host.run(&mut [plain(16, 32), read(36, &mut into), plain(16, 512)]).unwrap();
    host.run(&mut [write(35, &[0; 512])]).unwrap();
    host.run(&mut [Step { command: Command::new(37, 1), data: Data::Busy, limit: Duration::ZERO }]).unwrap();
    assert_eq!(script.asked(), ["16:20:95 36:0:B5 16:200:95", "35:1:B5", "37:1:49D"]);
    // Commands and blocks, CMD13 of the beginning among them.
    assert_eq!(host.transactions(), 1 + 4 + 2 + 1);
}

#[test]
fn the_step_that_failed_is_found_from_the_responses() {
    let mut into = [0; 32];
    // CMD36 is not answered: it is illegal, as CMD13 tells.
    let (mut host, script) = Script::host([(Some(libc::ETIMEDOUT), vec![READY, 0, SENTINEL]), (None, vec![ILLEGAL])]);
    let (error, at) = failed(&mut host, &mut [plain(16, 32), read(36, &mut into), plain(16, 512)]);
    assert!(matches!((&error.fault, error.taken, at), (BusFault::Illegal, Taken::No, 1)), "{error}");
    assert_eq!(script.asked()[1], "13:45670000:195");
    // Its data come damaged.
    let (mut host, _) = Script::host([(Some(libc::EILSEQ), vec![READY, READY, SENTINEL])]);
    let (error, at) = failed(&mut host, &mut [plain(16, 32), read(36, &mut into), plain(16, 512)]);
    assert!(matches!((&error.fault, error.taken, at), (BusFault::DataCrc, Taken::Unknown, 1)), "{error}");
    // A kernel that leaves no response of the one that failed: the one before it has no data that could have.
    let (mut host, _) = Script::host([(Some(libc::ETIMEDOUT), vec![READY]), (None, vec![ILLEGAL])]);
    let (error, at) = failed(&mut host, &mut [plain(16, 32), read(36, &mut into), plain(16, 512)]);
    assert!(matches!((&error.fault, at), (BusFault::Illegal, 1)), "{error}");
    // The ioctl itself fails: nothing was sent, and nothing more is.
    let (mut host, script) = Script::host([(Some(libc::EPERM), vec![])]);
    let (error, at) = failed(&mut host, &mut [plain(16, 32), read(36, &mut into)]);
    assert!(matches!((&error.fault, error.taken, at), (BusFault::Forbidden(_), Taken::No, 0)), "{error}");
    assert_eq!(script.asked().len(), 1);
}

#[test]
fn a_card_that_does_not_answer_is_asked_what_became_of_the_command() {
    let fate = |status: Said| {
        let (mut host, script) = Script::host([(Some(libc::ETIMEDOUT), vec![0]), status]);
        let (error, _) = failed(&mut host, &mut [write(35, &[0; 512])]);
        (error.fault, error.taken, script.asked().len())
    };
    assert!(matches!(fate((None, vec![READY])), (BusFault::NoResponse, Taken::No, 2)));
    assert!(matches!(fate((None, vec![0x0080_0900])), (BusFault::CommandCrc, Taken::No, 2)));
    assert!(matches!(fate((Some(libc::ENOMEDIUM), vec![])), (BusFault::Removed, _, 2)));
    assert!(matches!(fate((Some(libc::ETIMEDOUT), vec![0])), (BusFault::NoResponse, _, 2)));
    // It waits for the block: CMD12.
    let receive = CardStatus(READY).in_state(CardState::Receive).0;
    assert!(matches!(fate((None, vec![receive])), (BusFault::NoResponse, Taken::No, 3)));
}

#[test]
fn error_bits_are_judged_here_and_those_about_the_command_before_are_not_ours() {
    let mut into = [0; 32];
    let (mut host, _) = Script::host([(None, vec![ILLEGAL])]);
    host.run(&mut [read(36, &mut into)]).unwrap();
    let (mut host, _) = Script::host([(None, vec![0x2000_0900, READY, READY])]);
    let (error, at) = failed(&mut host, &mut [plain(16, 32), read(36, &mut into), plain(16, 512)]);
    assert!(matches!((&error.fault, error.taken, at), (BusFault::Argument, Taken::No, 0)), "{error}");
    let (mut host, _) = Script::host([(None, vec![0x0008_0900])]);
    let (error, _) = failed(&mut host, &mut [write(57, &[0; 512])]);
    assert!(matches!((&error.fault, error.taken), (BusFault::Card, Taken::Unknown)), "{error}");
    // The kernel waited for the card in vain.
    let receive = CardStatus(0).in_state(CardState::Receive).0;
    let (mut host, _) = Script::host([(Some(libc::ETIMEDOUT), vec![receive])]);
    let (error, _) = failed(&mut host, &mut [write(35, &[0; 512])]);
    assert!(matches!(&error.fault, BusFault::BusyTimeout(_)) && error.seen.contains("Receive"), "{error}");
}

#[test]
fn a_transfer_that_broke_off_in_the_middle_is_ended() {
    let receive = CardStatus(0).in_state(CardState::Receive).0;
    let (mut host, script) =
        Script::host([(Some(libc::EILSEQ), vec![READY]), (None, vec![receive]), (None, vec![READY])]);
    let (error, _) = failed(&mut host, &mut [write(57, &[0; 1024])]);
    assert!(matches!((&error.fault, error.taken), (BusFault::BlockCrc, Taken::No)), "{error}");
    assert_eq!(script.asked(), ["57:1:B5", "13:45670000:195", "12:0:49D"]);
}

#[test]
fn what_no_ioctl_carries_is_refused_before_it() {
    let (mut host, script) = Script::host([]);
    for length in [0, 511, 513 * 1024] {
        assert!(host.run(&mut [write(57, &vec![0; length])]).is_err(), "{length}");
    }
    let mut steps: Vec<Step<'_>> = (0..9).map(|_| plain(16, 512)).collect();
    assert!(host.run(&mut steps).is_err());
    assert!(script.asked().is_empty());
}

#[test]
fn a_locked_card_and_an_empty_slot_are_told() {
    let script = Script::default();
    script.0.lock().unwrap().0.push_back((None, vec![CardStatus(READY).with(CardStatus::CARD_IS_LOCKED).0]));
    let mut host = MmcHost::new(Box::new(script), Box::new(Virtual::default()), Trace::off());
    assert!(matches!(host.bring_up(), Err(error) if matches!(error.fault, BusFault::Locked)));
    let mut host = kernel(Card { present: false, ..Card::default() }).0;
    assert!(matches!(host.bring_up(), Err(error) if matches!(error.fault, BusFault::Removed)));
}

/// A card with one register of 32 bytes and blocks that go where they came from.
struct Card {
    present: bool,
    state: CardState,
    illegal: bool,
    application: bool,
    op_conds: u32,
    busy: u32,
    waits: u32,
    read: Vec<u8>,
    written: Arc<Mutex<Vec<u8>>>,
    /// Blocks still to come; what becomes of the next one.
    left: usize,
    transfer: fn() -> Transfer,
    commands: Arc<Mutex<Vec<u8>>>,
}

impl Default for Card {
    fn default() -> Self {
        Card {
            present: true,
            state: CardState::Idle,
            illegal: false,
            application: false,
            op_conds: 3,
            busy: 0,
            waits: 2,
            read: Vec::new(),
            written: Arc::default(),
            left: 0,
            transfer: || Transfer::Done,
            commands: Arc::default(),
        }
    }
}

impl SdBus for Card {
    fn command(&mut self, index: u8, argument: u32) -> Option<SdResponse> {
        use CardState::{Identification, Idle, Standby, Transfer as Tran};
        if !self.present {
            return None;
        }
        self.commands.lock().unwrap().push(index);
        let application = std::mem::take(&mut self.application);
        let mut status = CardStatus(if self.busy == 0 { 0x100 } else { 0 }).in_state(self.state);
        if std::mem::take(&mut self.illegal) {
            status = status.with(CardStatus::ILLEGAL_COMMAND);
        }
        let addressed = argument >> 16 == u32::from(RCA);
        match (self.state, index) {
            (_, index::GO_IDLE_STATE) => {
                self.state = Idle;
                return None;
            }
            (Idle, index::SEND_IF_COND) => return Some(SdResponse::Short(argument)),
            (Idle, index::APP_CMD) => self.application = true,
            (Tran, index::APP_CMD) if addressed => self.application = true,
            (Idle, index::ACMD_SD_SEND_OP_COND) if application => {
                self.op_conds = self.op_conds.saturating_sub(1);
                let ready = if self.op_conds == 0 { 1 << 31 | argument } else { argument & !(1 << 30) };
                if self.op_conds == 0 {
                    self.state = CardState::Ready;
                }
                return Some(SdResponse::Short(ready));
            }
            (CardState::Ready, index::ALL_SEND_CID) => {
                self.state = Identification;
                return Some(SdResponse::Long([0xC1; 16]));
            }
            (Identification, index::SEND_RELATIVE_ADDR) => {
                self.state = Standby;
                return Some(SdResponse::Short(u32::from(RCA) << 16));
            }
            (Standby, index::SEND_CSD) if addressed => return Some(SdResponse::Long([0xC2; 16])),
            (Standby, index::SELECT_CARD) if addressed => self.state = Tran,
            (Tran, index::ACMD_SEND_SCR) if application => self.read = vec![2, 0x35, 0x80, 0, 0, 0, 0, 0],
            (Tran, index::ACMD_SET_BUS_WIDTH) if application && argument == 2 => {}
            (_, index::SEND_STATUS) if addressed => {}
            (Tran, index::SET_BLOCKLEN) => {}
            (Tran, index::SEND_PSI) => self.read = vec![0x36; 32],
            (Tran, index::WRITE_SEC_CMD) => self.left = 2,
            (Tran, index::CONTROL_ASSD_SYSTEM) => self.busy = self.busy.max(5),
            _ => {
                self.illegal = true;
                return None;
            }
        }
        if application && index == index::ACMD_SEND_SCR || self.application {
            status = status.with(CardStatus::APP_CMD);
        }
        Some(SdResponse::Short(status.0))
    }

    fn read_block(&mut self, block: &mut [u8]) -> Transfer {
        if self.waits > 0 {
            self.waits -= 1;
            return Transfer::Wait;
        }
        if self.read.len() != block.len() {
            return Transfer::Nothing;
        }
        block.copy_from_slice(&std::mem::take(&mut self.read));
        (self.transfer)()
    }

    fn write_block(&mut self, block: &[u8]) -> Transfer {
        if self.left == 0 {
            return Transfer::Nothing;
        }
        self.left -= 1;
        self.busy = 7;
        self.written.lock().unwrap().extend_from_slice(block);
        (self.transfer)()
    }

    fn is_busy(&mut self) -> bool {
        self.busy = self.busy.saturating_sub(1);
        self.busy > 0
    }

    fn set_power(&mut self, on: bool) {
        if !on {
            self.state = CardState::Idle;
        }
    }

    fn is_present(&mut self) -> bool {
        self.present
    }
}

fn kernel(card: Card) -> (MmcHost, Virtual) {
    let clock = Virtual::default();
    let soft = SoftKernel::new(card, Box::new(clock.clone()), "a card".to_owned(), Trace::off());
    (MmcHost::new(Box::new(soft), Box::new(clock.clone()), Trace::off()), clock)
}

#[test]
fn a_card_is_identified_as_the_kernel_does_it() {
    let commands = Arc::new(Mutex::new(Vec::new()));
    let (mut host, _) = kernel(Card { commands: commands.clone(), ..Card::default() });
    let identity = host.bring_up().unwrap();
    assert_eq!((identity.cid, identity.has_switch), (Cid([0xC1; 16]), true));
    assert_eq!(*commands.lock().unwrap(), [0, 8, 55, 41, 55, 41, 55, 41, 2, 3, 9, 7, 55, 51, 55, 6, 13]);
    assert!(host.power_cycle().unwrap());
    host.bring_up().unwrap();
    assert_eq!(commands.lock().unwrap().iter().filter(|command| **command == 0).count(), 2);
    let (mut host, clock) = kernel(Card { op_conds: u32::MAX, ..Card::default() });
    assert!(host.bring_up().is_err(), "it never gets ready");
    assert!(clock.now() < Duration::from_millis(1100));
}

#[test]
fn commands_go_through_the_soft_kernel_as_through_the_real_one() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let (mut host, _) = kernel(Card { written: written.clone(), ..Card::default() });
    host.bring_up().unwrap();
    let mut into = [0; 32];
    host.run(&mut [plain(16, 32), read(36, &mut into), plain(16, 512)]).unwrap();
    assert_eq!(into, [0x36; 32]);
    let blocks: Vec<u8> = (0..1024_usize).map(|at| (at % 255).to_le_bytes()[0]).collect();
    host.run(&mut [write(35, &blocks)]).unwrap();
    assert_eq!(*written.lock().unwrap(), blocks);
    host.run(&mut [Step { command: Command::new(37, 1), data: Data::Busy, limit: Duration::ZERO }]).unwrap();
    // Illegal: no response, then the bit, which is cleared by that.
    let (error, _) = failed(&mut host, &mut [plain(57, 0)]);
    assert!(matches!((&error.fault, error.taken), (BusFault::Illegal, Taken::No)), "{error}");
    host.run(&mut [plain(16, 512)]).unwrap();
}

#[test]
fn the_soft_kernel_tells_damage_silence_and_removal_as_the_real_one_does() {
    let (mut host, _) = kernel(Card { transfer: || Transfer::Crc, waits: 0, ..Card::default() });
    // The SCR comes damaged already: the card does not come up.
    assert!(host.bring_up().is_err());
    let (mut host, clock) = kernel(Card::default());
    host.bring_up().unwrap();
    let mut short = [0; 31];
    let before = clock.now();
    let (error, _) = failed(&mut host, &mut [read(36, &mut short)]);
    assert!(matches!(&error.fault, BusFault::DataTimeout(_)), "{error}");
    assert!(clock.now() - before < Duration::from_secs(1));
    let mut port = SoftKernel::new(Card::default(), Box::new(Virtual::default()), String::new(), Trace::off());
    port.identify().unwrap();
    let mut command = IocCommand::plain(16, 512, flags::R1);
    let mut errno = |port: &mut SoftKernel<Card>| {
        port.multi(std::slice::from_mut(&mut command)).err().and_then(|error| error.raw_os_error())
    };
    assert_eq!(errno(&mut port), None);
    port.bus().present = false;
    assert_eq!(errno(&mut port), Some(libc::ENOMEDIUM));
    assert_eq!(errno(&mut port), Some(libc::ENODEV));
    // Put in again it is another disk.
    port.bus().present = true;
    assert_eq!(errno(&mut port), Some(libc::ENODEV));
    assert!(port.power_cycle().unwrap());
    assert_eq!(errno(&mut port), None);
}

#[test]
fn a_card_that_stays_busy_is_waited_for_as_long_as_was_said() {
    let clock = Virtual::default();
    let mut port = SoftKernel::new(Card::default(), Box::new(clock.clone()), String::new(), Trace::off());
    port.identify().unwrap();
    let mut command = IocCommand::plain(37, 1, flags::R1B);
    command.cmd_timeout_ms = 300;
    let before = clock.now();
    port.multi(std::slice::from_mut(&mut command)).unwrap();
    assert!(clock.now() - before < Duration::from_millis(5));
    port.bus().busy = u32::MAX;
    let error = port.multi(std::slice::from_mut(&mut command)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
    let waited = clock.now() - before;
    assert!((300..400).contains(&waited.as_millis()), "{waited:?}");
    port.bus().busy = 0;
    let mut write = IocCommand::plain(35, 1, flags::R1_DATA);
    (write.block, write.blocks, write.cmd_timeout_ms) = (512, 2, 300);
    let blocks = [0; 1024];
    write.data = IocData::Write(&blocks);
    port.bus().transfer = || Transfer::Wait;
    let before = clock.now();
    write.data_timeout_ns = 50_000_000;
    let error = port.multi(std::slice::from_mut(&mut write)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
    assert!(clock.now() - before < Duration::from_millis(200));
}

#[test]
fn the_soft_kernel_has_the_limits_of_the_real_one() {
    let mut port = SoftKernel::new(Card::default(), Box::new(Virtual::default()), String::new(), Trace::off());
    let errno = |result: io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    let mut many: Vec<IocCommand<'_>> = (0..256).map(|_| IocCommand::plain(16, 512, flags::R1)).collect();
    assert_eq!(errno(port.multi(&mut many)), Some(libc::EINVAL));
    assert_eq!(errno(port.multi(&mut many[..0])), None);
    let mut big = IocCommand::plain(17, 0, flags::R1_DATA);
    (big.block, big.blocks) = (512, 1025);
    assert_eq!(errno(port.multi(std::slice::from_mut(&mut big))), Some(libc::EOVERFLOW));
    let mut into = [0; 1024];
    let mut long = IocCommand::plain(17, 0, flags::R1_DATA);
    (long.block, long.blocks, long.data) = (1024, 1, IocData::Read(&mut into));
    assert_eq!(errno(port.multi(std::slice::from_mut(&mut long))), Some(libc::EINVAL));
}
