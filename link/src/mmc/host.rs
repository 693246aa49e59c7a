//! The host controller behind the kernel, as the secure command set wants it.

use super::errno::{self, Circumstances, Follows, Judgement};
use super::port::{BYTES_MAX, COMMANDS_MAX, IocCommand, IocData, MmcPort, SENTINEL, flags};
use crate::sd::{CardState, CardStatus, Cid, Command, R1, index};
use crate::{BusError, BusFault, CardHost, Clock, Data, Identity, Step, Taken, Trace};
use std::io;
use std::time::Duration;

/// Limits where a step has none.
const READ_LIMIT: Duration = Duration::from_millis(100);
const BUSY_LIMIT: Duration = Duration::from_millis(500);
/// How often CMD13 is sent before a card counts as silent.
const STATUS_TRIES: u32 = 8;
/// Error bits of a response that speak of the command before.
const OF_THE_ONE_BEFORE: CardStatus = CardStatus::ILLEGAL_COMMAND.with(CardStatus::COM_CRC_ERROR);
/// Error bits that refuse an argument.
const ARGUMENT: CardStatus = CardStatus::OUT_OF_RANGE.with(CardStatus::ADDRESS_ERROR).with(CardStatus::BLOCK_LEN_ERROR);

/// A card in a slot.
pub struct MmcHost {
    port: Box<dyn MmcPort>,
    clock: Box<dyn Clock>,
    trace: Trace,
    rca: u16,
    transactions: u64,
}

/// A command that failed, before it is known what the card says of it.
struct Failure {
    at: usize,
    error: io::Error,
    circumstances: Circumstances,
    response: u32,
    blocks: u32,
}

impl MmcHost {
    /// The card behind `port`.
    #[must_use]
    pub fn new(port: Box<dyn MmcPort>, clock: Box<dyn Clock>, trace: Trace) -> Self {
        MmcHost { port, clock, trace, rca: 0, transactions: 0 }
    }

    /// CMD13; `None` where the card does not answer it or the host is an SPI host. An error where it is gone.
    fn card_status(&mut self) -> Result<Option<CardStatus>, io::Error> {
        let mut command = self.status_command();
        self.transactions += 1;
        self.trace.command(Command::new(index::SEND_STATUS, command.argument));
        match self.port.multi(std::slice::from_mut(&mut command)) {
            Ok(()) if self.port.is_spi() => Ok(None),
            Ok(()) => {
                let status = CardStatus(command.response[0]);
                self.trace.response(&status);
                Ok(Some(status))
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIMEDOUT | libc::EIO | libc::EILSEQ)) => {
                self.trace.response(&"none");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn status_command(&self) -> IocCommand<'static> {
        let argument = if self.port.is_spi() { 0 } else { u32::from(self.rca) << 16 };
        IocCommand::plain(u32::from(index::SEND_STATUS), argument, flags::STATUS)
    }

    /// What became of a command that nothing says it was answered: the card's status tells, and is thereby cleared.
    fn ask(&mut self, judgement: &mut Judgement, seen: &mut String) {
        let status = match self.card_status() {
            Ok(Some(status)) => status,
            Ok(None) => {
                seen.push_str(", nor is CMD13 answered");
                return;
            }
            Err(error) => {
                let at = Circumstances {
                    follows: Follows::Nothing,
                    begun: false,
                    answered: false,
                    spi: self.port.is_spi(),
                    limit: Duration::ZERO,
                };
                let Judgement { fault, .. } = errno::judge(error, at);
                if matches!(fault, BusFault::Removed | BusFault::Forbidden(_)) {
                    judgement.fault = fault;
                }
                return;
            }
        };
        seen.push_str(&format!(", CMD13 says {status:?}"));
        if status.contains(CardStatus::ILLEGAL_COMMAND) {
            *judgement = Judgement { fault: BusFault::Illegal, taken: Taken::No, ask: false };
        } else if status.contains(CardStatus::COM_CRC_ERROR) {
            *judgement = Judgement { fault: BusFault::CommandCrc, taken: Taken::No, ask: false };
        }
        self.end_transfer(status);
    }

    /// Gets a card out of a transfer that it takes for unfinished: it would know no other command there.
    fn end_transfer(&mut self, status: CardStatus) {
        if !matches!(status.state(), Some(CardState::Data | CardState::Receive)) {
            return;
        }
        self.trace.note(format_args!("the card waits in the middle of a transfer"));
        self.transactions += 1;
        let mut stop = IocCommand::plain(u32::from(index::STOP_TRANSMISSION), 0, flags::R1B);
        self.trace.command(Command::new(index::STOP_TRANSMISSION, 0));
        if self.port.multi(std::slice::from_mut(&mut stop)).is_err() {
            // It had come to its end by itself: CMD12 was illegal, which no later command shall hear of. Where the card
            // does not answer at all the next command says so.
            let _ = self.card_status();
        }
    }

    fn failed(&mut self, command: Command, failure: Failure) -> BusError {
        let Failure { error, circumstances, response, blocks, .. } = failure;
        let mut seen = errno::name(&error);
        if circumstances.answered && !circumstances.spi {
            seen.push_str(&format!(", response {:?}", CardStatus(response)));
        }
        let answered = circumstances.answered;
        let mut judgement = errno::judge(error, circumstances);
        if answered {
            // No data came, or none was taken, because the card had refused the command.
            if let Some(refused) = self.refused(command, response, circumstances.follows) {
                judgement = Judgement { fault: refused.fault, taken: refused.taken, ask: false };
            }
        }
        if judgement.ask && circumstances.begun {
            self.ask(&mut judgement, &mut seen);
        } else if blocks > 1 && !matches!(judgement.fault, BusFault::Removed | BusFault::BusyTimeout(_)) {
            // Of a transfer that broke off in the middle the card waits for the rest.
            if let Ok(Some(status)) = self.card_status() {
                self.end_transfer(status);
            }
        }
        BusError { command, fault: judgement.fault, taken: judgement.taken, seen, blocks: 0 }
    }

    /// The error bits that the card itself sent with a response.
    fn refused(&self, command: Command, response: u32, follows: Follows) -> Option<BusError> {
        if self.port.is_spi() || response == SENTINEL {
            return None;
        }
        let status = CardStatus(response);
        let errors = CardStatus(status.0 & CardStatus::ERRORS.0 & !OF_THE_ONE_BEFORE.0);
        if !errors.is_error() {
            return None;
        }
        let fault = if errors.intersects(ARGUMENT) { BusFault::Argument } else { BusFault::Card };
        // What follows a write are the answers of several CMD13: they do not say when the error came.
        let taken = if follows == Follows::Write { Taken::Unknown } else { Taken::No };
        Some(BusError { command, fault, taken, seen: format!("{status:?}"), blocks: 0 })
    }
}

fn follows(data: &Data<'_>) -> Follows {
    match data {
        Data::None => Follows::Nothing,
        Data::Busy => Follows::Busy,
        Data::Read { .. } => Follows::Read,
        Data::Write { .. } => Follows::Write,
    }
}

fn limit_of(step: &Step<'_>) -> Duration {
    match step.data {
        Data::None | Data::Read { .. } => step.limit.max(READ_LIMIT),
        Data::Busy | Data::Write { .. } => step.limit.max(BUSY_LIMIT),
    }
}

/// The kernel's command for a step; `None` where its data are no whole blocks or too many.
fn ioc<'a>(step: &'a mut Step<'_>) -> Option<IocCommand<'a>> {
    let limit = limit_of(step);
    let Step { command, data, .. } = step;
    let mut ioc = IocCommand::plain(u32::from(command.index), command.argument, flags::R1);
    let nanoseconds = u32::try_from(limit.as_nanos()).unwrap_or(u32::MAX);
    let milliseconds = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1);
    let counted = |bytes: usize, block: usize| {
        let whole = block > 0 && bytes > 0 && bytes % block == 0 && bytes <= BYTES_MAX;
        Some((u32::try_from(block).ok()?, u32::try_from(bytes / block.max(1)).ok()?)).filter(|_| whole)
    };
    match data {
        Data::None => {}
        Data::Busy => (ioc.flags, ioc.cmd_timeout_ms) = (flags::R1B, milliseconds),
        Data::Read { block, into } => {
            (ioc.block, ioc.blocks) = counted(into.len(), *block)?;
            into.fill(0);
            (ioc.flags, ioc.data_timeout_ns, ioc.data) = (flags::R1_DATA, nanoseconds, IocData::Read(into));
        }
        Data::Write { from, .. } => {
            (ioc.block, ioc.blocks) = counted(from.len(), 512)?;
            (ioc.flags, ioc.data_timeout_ns, ioc.data) = (flags::R1_DATA, nanoseconds, IocData::Write(from));
            ioc.cmd_timeout_ms = milliseconds;
        }
    }
    Some(ioc)
}

impl CardHost for MmcHost {
    fn bring_up(&mut self) -> Result<Identity, BusError> {
        let command = Command::new(index::SEND_STATUS, 0);
        let error = |error, begun: bool| {
            let circumstances =
                Circumstances { follows: Follows::Nothing, begun, answered: false, spi: false, limit: Duration::ZERO };
            let seen = errno::name(&error);
            let Judgement { fault, taken, .. } = errno::judge(error, circumstances);
            BusError { command, fault, taken, seen, blocks: 0 }
        };
        let registers = self.port.identify().map_err(|found| error(found, true))?;
        self.rca = registers.rca;
        self.trace.note(format_args!("{}: the card is {:04X}", self.port.describe(), registers.rca));
        let mut status = None;
        for _ in 0..STATUS_TRIES {
            status = self.card_status().map_err(|found| error(found, false))?;
            if status.is_some() || self.port.is_spi() {
                break;
            }
        }
        match status {
            Some(status) if status.contains(CardStatus::CARD_IS_LOCKED) => {
                let seen = format!("{status:?}");
                return Err(BusError { command, fault: BusFault::Locked, taken: Taken::No, seen, blocks: 0 });
            }
            None if !self.port.is_spi() => {
                let (fault, seen) = (BusFault::NoResponse, String::new());
                return Err(BusError { command, fault, taken: Taken::No, seen, blocks: 0 });
            }
            _ => {}
        }
        let has_switch = registers.scr.is_none_or(|scr| scr.has_switch());
        Ok(Identity { cid: Cid(registers.cid.0), has_switch })
    }

    /// One multi-command. The kernel does not look at error bits: where the card refuses a step by them, those behind it
    /// have been done too. Steps that change something are therefore sent alone.
    fn run(&mut self, steps: &mut [Step<'_>]) -> Result<(), (BusError, usize)> {
        let known: Vec<(Command, Follows, Duration)> =
            steps.iter().map(|step| (step.command, follows(&step.data), limit_of(step))).collect();
        let refuse = |at: usize, text: &str| {
            let command = known.get(at).map_or(Command::new(0, 0), |known| known.0);
            let fault = BusFault::Io(io::Error::new(io::ErrorKind::InvalidInput, text.to_owned()));
            (BusError { command, fault, taken: Taken::No, seen: String::new(), blocks: 0 }, at)
        };
        if steps.len() > COMMANDS_MAX {
            return Err(refuse(0, "more steps than one multi-command takes"));
        }
        let mut commands = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter_mut().enumerate() {
            commands.push(ioc(step).ok_or_else(|| refuse(at, "no whole blocks, or more than 512 KiB"))?);
        }
        let result = self.port.multi(&mut commands);
        let done: Vec<(u32, u32, usize)> = commands
            .iter()
            .map(|command| {
                let bytes = match &command.data {
                    IocData::None => 0,
                    IocData::Read(into) => into.len(),
                    IocData::Write(from) => from.len(),
                };
                (command.response[0], command.blocks, bytes)
            })
            .collect();
        drop(commands);
        // The failed one is the last that has been begun.
        let begun = done.iter().rposition(|(response, ..)| *response != SENTINEL);
        let failure = result.err().map(|error| {
            let mut at = begun.unwrap_or(0);
            let answered =
                |at: usize| done.get(at).is_some_and(|(response, ..)| *response != 0 && *response != SENTINEL);
            let without_data = known.get(at).is_some_and(|(_, follows, _)| *follows == Follows::Nothing);
            if without_data && begun.is_some() && answered(at) && at + 1 < known.len() {
                // It cannot have failed: it was answered, and nothing follows it. The next one left no response at all.
                at += 1;
            }
            let (_, follows, limit) =
                known.get(at).copied().unwrap_or((Command::new(0, 0), Follows::Nothing, READ_LIMIT));
            let circumstances = Circumstances {
                follows,
                begun: begun.is_some(),
                answered: answered(at),
                spi: self.port.is_spi(),
                limit,
            };
            let (response, blocks) = done.get(at).map_or((SENTINEL, 0), |(response, blocks, _)| (*response, *blocks));
            Failure { at, error, circumstances, response, blocks }
        });
        let end = failure.as_ref().map_or(known.len(), |failure| failure.at);
        for (at, ((command, follows, _), (response, blocks, bytes))) in known.iter().zip(&done).enumerate() {
            if at > end {
                break;
            }
            self.transactions += 1 + u64::from(*blocks);
            self.trace.command(*command);
            if at == end {
                break;
            }
            match self.port.is_spi() {
                true => self.trace.response(&R1(response.to_le_bytes()[0])),
                false => self.trace.response(&CardStatus(*response)),
            }
            match follows {
                Follows::Read => self.trace.received(*bytes),
                Follows::Write => self.trace.sent(*bytes),
                Follows::Nothing | Follows::Busy => {}
            }
            if let Some(error) = self.refused(*command, *response, *follows) {
                return Err((error, at));
            }
        }
        match failure {
            None => Ok(()),
            Some(failure) => {
                let at = failure.at;
                let command = known.get(at).map_or(Command::new(0, 0), |known| known.0);
                Err((self.failed(command, failure), at))
            }
        }
    }

    fn blocks_max(&self) -> usize {
        self.port.blocks_max().clamp(1, BYTES_MAX / 512)
    }

    fn transactions(&self) -> u64 {
        self.transactions
    }

    fn power_cycle(&mut self) -> io::Result<bool> {
        match self.port.power_cycle() {
            // No card came back: bringing it up tells so.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOMEDIUM | libc::ENODEV)) => Ok(true),
            other => other,
        }
    }

    fn sleep(&mut self, time: Duration) {
        self.clock.sleep(time);
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn describe(&self) -> String {
        self.port.describe()
    }
}
