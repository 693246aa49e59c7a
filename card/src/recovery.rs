//! Interruption history and recovery: what the last issue came to, and where an interrupted one goes on (system S7).
//!
//! How far an issue got is kept where the recovery kind demands: `restart` keeps the count in RAM, so that after a power
//! cut nothing of the issue is left; `command` commits the count with each command's changes; `function` commits both
//! at the recovery points, so that state and count always roll back together.

use crate::memory::{Kind, Memory, Reader, Writer};
use crate::registry;
use smcard_batch::Batch;
use smcard_flash::{Key, Record};
use smcard_link::RecoveryKind;

/// How the last issue stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum IssueState {
    /// It failed or was interrupted: START goes on, CLEAR takes it back.
    Unfinished = 1,
    /// It is finished.
    Done = 2,
    /// It is finished, and what it installed waits for CONFIRM.
    AwaitingConfirmation = 3,
}

/// The interruption history: one record, replaced by each commit of an issue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct History {
    pub(crate) state: IssueState,
    /// Identifier of the file issued from.
    pub(crate) file: u16,
    /// CRC-32 of the batch's body and its length: what the batch is known by.
    pub(crate) batch: BatchIdentity,
    /// Commands given to the card manager, a failing one included.
    pub(crate) given: u32,
    /// Commands in the batch.
    pub(crate) total: u32,
    /// Commands whose effect is kept: the issue goes on behind them.
    pub(crate) kept: u32,
    /// The status word that ended it; 0 where no command failed.
    pub(crate) sw: u16,
}

/// What a batch is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchIdentity {
    pub(crate) crc: u32,
    pub(crate) length: u32,
}

impl BatchIdentity {
    pub(crate) fn of(batch: &Batch<'_>) -> Self {
        BatchIdentity { crc: batch.header().body_crc, length: batch.header().file_len() }
    }
}

impl History {
    /// The history as the flash has it; `None` before the first issue and after CLEAR.
    pub(crate) fn load(memory: &Memory) -> Option<Self> {
        Self::read(&memory.get(Kind::History.key(0))?.bytes)
    }

    /// A damaged history is a reason not to open the card.
    pub(crate) fn check(memory: &Memory) -> Result<(), String> {
        match memory.get(Kind::History.key(0)) {
            Some(record) if Self::read(&record.bytes).is_none() => {
                Err("the record of the last issue is damaged".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What CLEAR would bring back must be whole, and nothing is to be brought back where no issue is open.
    pub(crate) fn check_shadows(memory: &Memory) -> Result<(), String> {
        let shadows = memory.shadows().ok_or("what an unfinished issue would bring back is damaged")?;
        if !shadows.is_empty() && !Self::is_open(memory) {
            return Err("remains of an issue that is over".to_owned());
        }
        let changed_by_issues = [
            Kind::LifeCycle,
            Kind::Keys,
            Kind::LoadFile,
            Kind::Application,
            Kind::ApplicationData,
            Kind::DataObject,
            Kind::LoadSession,
        ];
        let whole = |(key, record): &(Key, Option<Record>)| {
            changed_by_issues.iter().any(|kind| kind.has(*key))
                && record.as_ref().is_none_or(|record| registry::is_whole(*key, record))
        };
        if shadows.iter().all(whole) {
            Ok(())
        } else {
            Err("what an unfinished issue would bring back is damaged".to_owned())
        }
    }

    /// True where an issue wants to be gone on with, cleared or confirmed before card content may change otherwise.
    pub(crate) fn is_open(memory: &Memory) -> bool {
        Self::load(memory).is_some_and(|history| history.state != IssueState::Done)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let history = History {
            state: match reader.u8()? {
                1 => IssueState::Unfinished,
                2 => IssueState::Done,
                3 => IssueState::AwaitingConfirmation,
                _ => return None,
            },
            file: reader.u16()?,
            batch: BatchIdentity { crc: reader.u32()?, length: reader.u32()? },
            given: reader.u32()?,
            total: reader.u32()?,
            kept: reader.u32()?,
            sw: reader.u16()?,
        };
        reader.end()?;
        Some(history)
    }

    /// The record to commit.
    pub(crate) fn record(&self) -> Record {
        let bytes = Writer::new()
            .u8(self.state as u8)
            .u16(self.file)
            .u32(self.batch.crc)
            .u32(self.batch.length)
            .u32(self.given)
            .u32(self.total)
            .u32(self.kept)
            .u16(self.sw)
            .finish();
        Record { bytes, extent: None }
    }

    /// The data object `DF72`: state (1), file (2), given (4), total (4), status word (2), kept (4).
    pub(crate) fn data_object(history: Option<&History>) -> Vec<u8> {
        let Some(history) = history else { return vec![0; 17] };
        Writer::new()
            .u8(history.state as u8)
            .u16(history.file)
            .u32(history.given)
            .u32(history.total)
            .u16(history.sw)
            .u32(history.kept)
            .finish()
    }
}

/// Whether the issue's changes are committed before command `next` (1-based) is given, provided that nothing is in hand
/// that the power takes with it.
pub(crate) fn is_commit_point(kind: RecoveryKind, batch: &Batch<'_>, next: u32) -> bool {
    match kind {
        RecoveryKind::Restart => false,
        RecoveryKind::Command => true,
        RecoveryKind::Function if batch.has_recovery() => {
            batch.recovery_point_before(next).is_some_and(|point| point.command == next)
        }
        RecoveryKind::Function => true,
    }
}
