//! The secure side of the card: states, registers and tokens of ASSD 1.1 and 2.0 (`docs/ASSD.md`).

use super::direct::Writes;
use super::engine::Refusal;
use super::executor::{Core, Job, Outcome};
use super::profile::Profile;
use super::time::picoseconds;
use smcard_link::assd::{
    BLOCK, CHECKED, Checksum, PSI_LENGTH, Register, SecureState, TokenError, Version, blocks_of, error, read_token,
    write_token,
};
use smcard_link::{Answer, LinkError};
use std::time::Duration;
use zeroize::Zeroizing;

/// The systems of the properties register; both are the one card manager.
const SYSTEMS: u16 = 0x0003;
/// CMD37: select and reset.
const SELECT: u32 = 1;

/// What the core is working on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    Nothing,
    Command,
    Open(u32),
    Commit,
    /// Something whose outcome nobody wants any more.
    Dropped,
}

/// The secure side.
pub(crate) struct Secure {
    pub(super) core: Box<dyn Core>,
    pub(super) work: Work,
    /// The outcome is not seen before this time.
    due: u64,
    state: SecureState,
    pub(super) error: u8,
    system_failed: bool,
    system: u8,
    pub(super) writes: Writes,
    /// The command's blocks, as they come.
    command: Zeroizing<Vec<u8>>,
    checksum: Checksum,
    answer: Zeroizing<Vec<u8>>,
    token: Zeroizing<Vec<u8>>,
    /// CMD34 may read the last answer again.
    again: bool,
    /// The core has been used since it was reset.
    used: bool,
}

impl Secure {
    pub(crate) fn new(core: Box<dyn Core>) -> Self {
        Secure {
            core,
            work: Work::Nothing,
            due: 0,
            state: SecureState::Idle,
            error: error::NONE,
            system_failed: false,
            system: 0,
            writes: Writes::default(),
            command: Zeroizing::default(),
            checksum: Checksum::None,
            answer: Zeroizing::default(),
            token: Zeroizing::default(),
            again: false,
            used: true,
        }
    }

    pub(crate) fn state(&self) -> SecureState {
        self.state
    }

    /// True where the core has a job: only the status register is served.
    pub(super) fn is_occupied(&self) -> bool {
        self.work != Work::Nothing
    }

    /// Takes what the core has done.
    pub(crate) fn refresh(&mut self, now: u64, look: bool) {
        if self.work == Work::Nothing || now < self.due {
            return;
        }
        let Some(outcome) = self.core.poll(look) else { return };
        match (std::mem::replace(&mut self.work, Work::Nothing), outcome) {
            (Work::Command, Outcome::Answer(Ok(answer))) => {
                self.answer = Zeroizing::new(answer.to_bytes());
                self.state = SecureState::Complete;
            }
            (Work::Command, Outcome::Answer(Err(error))) => self.fail(&error),
            (Work::Open(length), Outcome::Opened(opened)) => {
                let opened = opened.map(|opened| self.writes.opened(opened, length));
                self.result(opened);
            }
            (Work::Commit, Outcome::Answer(answer)) => self.result(answer.map(Ok)),
            _ => {}
        }
    }

    fn result(&mut self, result: Result<Result<Answer, smcard_link::WriteId>, LinkError>) {
        match result {
            Ok(Ok(answer)) => self.writes.set_result(&answer),
            // More writes are open than have numbers: another interface has the others.
            Ok(Err(surplus)) => {
                self.core.device().write_abort(surplus);
                self.writes.set_result(&Answer::status(0x6985));
            }
            Err(error) => {
                self.writes.drop_result();
                self.fail(&error);
            }
        }
    }

    /// The core gave no answer.
    fn fail(&mut self, cause: &LinkError) {
        self.state = SecureState::Aborted;
        self.error = error::CONDITION;
        self.system_failed = matches!(cause, LinkError::Mute(_));
    }

    /// What was refused before is over; what was aborted stays so.
    pub(super) fn clear_refusal(&mut self) {
        if self.state != SecureState::Aborted {
            self.error = error::NONE;
        }
    }

    /// Breaks off what is in progress, with a condition error; whether the core does it nevertheless is open.
    pub(super) fn abort(&mut self) {
        if self.state == SecureState::InProgress {
            self.state = SecureState::Aborted;
            self.error = error::CONDITION;
            self.work = Work::Dropped;
        }
    }

    /// The mode ends: what is in progress is broken off, an answer is dropped. The core keeps its sessions otherwise.
    pub(crate) fn leave(&mut self) {
        if self.is_occupied() {
            self.reset();
            self.settle();
        }
        self.forget();
    }

    /// Waits for a reset that the card cannot show on its bus; it takes as long as one step of the core.
    pub(super) fn settle(&mut self) {
        while self.core.is_resetting() {
            self.core.wait(Duration::from_millis(10));
        }
    }

    /// As after power-on. A core that nobody has used since is left alone.
    pub(crate) fn restart(&mut self) {
        if self.used || self.core.device().power.is_off() {
            self.reset();
        } else {
            self.forget();
        }
    }

    /// Resets the core.
    pub(crate) fn reset(&mut self) {
        self.core.reset();
        self.used = false;
        self.forget();
        self.writes = Writes::default();
        self.system = 0;
        self.system_failed = false;
    }

    /// The supply goes.
    pub(crate) fn power_off(&mut self) {
        self.core.power_off();
        self.forget();
        self.writes = Writes::default();
    }

    fn forget(&mut self) {
        self.work = Work::Nothing;
        self.state = SecureState::Idle;
        self.error = error::NONE;
        self.command.clear();
        self.answer.clear();
        self.token.clear();
        self.again = false;
    }

    /// CMD36: the register, or the refusal of one that is not there.
    pub(crate) fn register(&mut self, number: u32, profile: &Profile, now: u64) -> Result<[u8; PSI_LENGTH], Refusal> {
        self.again = false;
        match Register::from_number(number) {
            Some(Register::Status) => {
                self.refresh(now, true);
                Ok(self.status(profile))
            }
            Some(Register::Properties) => Ok(properties(profile)),
            Some(Register::Random) | None => Err(Refusal::Parameter),
        }
    }

    fn status(&self, profile: &Profile) -> [u8; PSI_LENGTH] {
        let mut register = [0; PSI_LENGTH];
        register[0] = self.state as u8;
        register[1] = self.error;
        register[2] = if self.system_failed { 0x80 } else { 0 };
        register[3] = self.writes.state(self.work);
        if profile.version >= Version::V2_0 {
            register[6] = self.system;
        }
        if self.state == SecureState::Complete {
            let blocks = u16::try_from(blocks_of(self.answer.len(), self.checksum)).unwrap_or(u16::MAX);
            [register[8], register[9]] = blocks.to_be_bytes();
        }
        register
    }

    /// CMD37.
    pub(crate) fn control(&mut self, argument: u32, profile: &Profile) -> Result<(), Refusal> {
        let system = argument >> 8 & 0xF;
        let known = if profile.version >= Version::V2_0 { SYSTEMS >> system & 1 == 1 } else { system == 0 };
        if argument & !0xF00 != SELECT || !known {
            return Err(Refusal::Parameter);
        }
        self.reset();
        self.system = u8::try_from(system).unwrap_or(0);
        if !profile.control_busy {
            self.settle();
        }
        Ok(())
    }

    /// CMD35: how many blocks will come.
    pub(crate) fn begin_command(&mut self, argument: u32, profile: &Profile, now: u64) -> Result<u32, Refusal> {
        let (blocks, checksum) = token_argument(argument, profile)?;
        self.refresh(now, false);
        if self.is_occupied() || self.core.is_resetting() {
            return Err(Refusal::Illegal);
        }
        self.forget();
        self.checksum = checksum;
        Ok(blocks)
    }

    /// The next block of a command. `last`: the token is whole with it; `false` then says that it arrived damaged.
    pub(crate) fn command_block(&mut self, block: &[u8], last: bool) -> bool {
        self.command.extend_from_slice(block);
        if !last || self.checksum == Checksum::None {
            return true;
        }
        let intact = read_token(&self.command, self.checksum) != Err(TokenError::Checksum);
        if !intact {
            self.command.clear();
        }
        intact
    }

    /// All blocks have come: the core begins.
    pub(crate) fn begin_work(&mut self, profile: &Profile, now: u64) {
        match read_token(&self.command, self.checksum) {
            Ok(apdu) if apdu.len() >= smcard_link::assd::TOKEN_MIN => {
                let job = Job::Transmit(Zeroizing::new(apdu.to_vec()));
                self.state = SecureState::InProgress;
                self.work_on(Work::Command, job, profile, now);
            }
            _ => {
                self.state = SecureState::Aborted;
                self.error = error::CONDITION;
            }
        }
        self.command.clear();
    }

    /// Gives the core a job.
    pub(super) fn work_on(&mut self, work: Work, job: Job, profile: &Profile, now: u64) {
        self.core.start(job);
        self.used = true;
        self.work = work;
        self.due = now.saturating_add(picoseconds(profile.work_time));
    }

    /// A command whose blocks will not come any more has never been there.
    pub(crate) fn drop_command(&mut self) {
        self.command.clear();
    }

    /// CMD34: makes the token; how many blocks it has.
    pub(crate) fn begin_answer(&mut self, argument: u32, profile: &Profile, now: u64) -> Result<u32, Refusal> {
        let (blocks, checksum) = token_argument(argument, profile)?;
        self.refresh(now, false);
        if self.state != SecureState::Complete && !self.again {
            return Err(Refusal::Illegal);
        }
        let mut token = Zeroizing::new(write_token(&self.answer, checksum).map_err(|_| Refusal::Parameter)?);
        let wanted = usize::try_from(blocks).unwrap_or(usize::MAX).saturating_mul(BLOCK);
        if token.len() > wanted {
            return Err(Refusal::Parameter);
        }
        if token.len() < wanted {
            token.resize(wanted, 0);
            if checksum == Checksum::Crc32 {
                seal(&mut token);
            }
        }
        self.token = token;
        Ok(blocks)
    }

    /// A block of the token.
    pub(crate) fn answer_block(&self, number: u32) -> &[u8] {
        let start = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(BLOCK);
        self.token.get(start..start.saturating_add(BLOCK)).unwrap_or_default()
    }

    /// The whole token has been sent.
    pub(crate) fn answer_sent(&mut self, profile: &Profile) {
        self.state = SecureState::Idle;
        self.again = profile.rereads;
        self.token.clear();
        if !self.again {
            self.answer.clear();
        }
    }

    /// A command that has nothing to do with the last answer: it cannot be read again.
    pub(crate) fn no_reread(&mut self) {
        self.again = false;
    }
}

/// Blocks and kind of a token, from the argument of CMD34 or CMD35. One field driver sets bit 31 for one-bit buses.
fn token_argument(argument: u32, profile: &Profile) -> Result<(u32, Checksum), Refusal> {
    let blocks = argument & 0xFFFF;
    let checked = argument & CHECKED != 0;
    let odd = argument & !(0x8000_FFFF | CHECKED) != 0 || (checked && !profile.checked);
    if odd || blocks == 0 || blocks > u32::from(profile.blocks_max) {
        return Err(Refusal::Parameter);
    }
    Ok((blocks, if checked { Checksum::Crc32 } else { Checksum::None }))
}

/// Puts the CRC-32 of all before them into the last four bytes.
pub(super) fn seal(block: &mut [u8]) {
    if let Some((body, tail)) = block.split_last_chunk_mut::<4>() {
        *tail = crc32fast::hash(body).to_be_bytes();
    }
}

fn properties(profile: &Profile) -> [u8; PSI_LENGTH] {
    let mut register = [0; PSI_LENGTH];
    register[0] = profile.read_latency;
    register[1] = profile.write_latency;
    register[2] = profile.version.0;
    if profile.protected_memory {
        register[4] = 1;
        register[5] = 1;
        register[6] = profile.memory_latency;
    }
    register[7] = profile.write_busy;
    if profile.version >= Version::V2_0 {
        [register[12], register[13]] = SYSTEMS.to_be_bytes();
        register[15] = profile.control_latency;
    }
    register
}
