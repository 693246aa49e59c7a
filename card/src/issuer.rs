//! The card issuer: takes the trigger, walks the batch, counts the commands given, judges each response (system S1.8–S1.11).
//!
//! A command is never copied: what the card manager gets is the place in the command store where the command stands
//! (system S6.2). The issuer reads nothing beyond the length the trigger gives.

use crate::manager::{Context, Manager, Origin, Processed, Trigger};
use crate::privilege::{Power, PowerFate};
use crate::recovery::{BatchIdentity, History, IssueState, is_commit_point};
use crate::response::{Judgement, ResponseTable};
use crate::store;
use smcard_batch::{Batch, StatusWord};
use smcard_flash::FlashError;
use smcard_link::{Answer, RecoveryKind};
use std::time::Duration;

/// How an issue ended before its answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The power went.
    PowerCut,
    /// The medium failed.
    Medium(FlashError),
}

impl From<FlashError> for Broken {
    fn from(error: FlashError) -> Self {
        Broken::Medium(error)
    }
}

/// What the issuer works with.
pub(crate) struct Issuer<'a> {
    pub(crate) manager: &'a mut Manager,
    pub(crate) power: &'a Power,
    /// Time that each command takes, for cards that are to be as slow as real ones; zero by default.
    pub(crate) delay: Duration,
    /// Says of each command whether the power goes in it.
    pub(crate) fate: Option<&'a PowerFate>,
    pub(crate) table: ResponseTable,
}

impl Issuer<'_> {
    /// Issues: the answer is what goes out to the terminal.
    pub(crate) fn run(&mut self, trigger: &Trigger) -> Result<Answer, Broken> {
        let contents = store::contents(self.manager.memory.flash(), &trigger.file);
        let batch = match store::batch_in(&contents, trigger.offset, trigger.length) {
            Ok(batch) => batch,
            Err(Ok(fault)) => {
                log::warn!("START: {:?} is no batch (any more): {fault}", trigger.file);
                return Ok(Answer::status(StatusWord::WRONG_DATA.0));
            }
            Err(Err(sw)) => return Ok(Answer::status(sw.0)),
        };
        let Some(kept) = self.resume(trigger, &batch)? else {
            log::info!("START: an issue from another batch is unfinished; CLEAR or go on with that one");
            return Ok(Answer::status(StatusWord::CONDITIONS_NOT_SATISFIED.0));
        };
        log::info!(
            "issue from {:?} with the authority of key version {:02X}, command {} of {}",
            trigger.file,
            trigger.file.authority,
            u64::from(kept) + 1,
            batch.count()
        );
        if kept == 0 {
            self.manager.foresee(&batch);
        }
        let interface = self.manager.swap_context(Context::of_issue(trigger.file.authority));
        self.manager.memory.open_group();
        if kept > 0 {
            self.manager.restore_load();
        }
        let ended = self.walk(trigger, &batch, kept);
        self.manager.drop_load();
        self.manager.memory.close_group();
        self.manager.swap_context(interface);
        ended
    }

    /// The number of commands to skip: 0 for a new issue, what is kept of an unfinished one. `None`: the unfinished
    /// issue is of another batch.
    fn resume(&mut self, trigger: &Trigger, batch: &Batch<'_>) -> Result<Option<u32>, FlashError> {
        let Some(history) = History::load(&self.manager.memory) else { return Ok(Some(0)) };
        match history.state {
            IssueState::Done => Ok(Some(0)),
            IssueState::AwaitingConfirmation => Ok(None),
            IssueState::Unfinished if history.batch != BatchIdentity::of(batch) => Ok(None),
            IssueState::Unfinished if self.manager.settings.recovery == RecoveryKind::Restart => {
                self.manager.memory.undo_group(None)?;
                Ok(Some(0))
            }
            IssueState::Unfinished => {
                log::info!("file {:04X}: going on behind command {}", trigger.file.id, history.kept);
                Ok(Some(history.kept.min(batch.count())))
            }
        }
    }

    fn walk(&mut self, trigger: &Trigger, batch: &Batch<'_>, mut kept: u32) -> Result<Answer, Broken> {
        let kind = self.manager.settings.recovery;
        let history = |state, given, kept, sw| History {
            state,
            file: trigger.file.id,
            batch: BatchIdentity::of(batch),
            given,
            total: batch.count(),
            kept,
            sw,
        };
        let skipped = usize::try_from(kept).unwrap_or(usize::MAX);
        let mut last = Answer::status(StatusWord::SUCCESS.0);
        let mut given = kept;
        for command in batch.commands().skip(skipped) {
            if self.power.is_off() || (!self.delay.is_zero() && self.power.wait(self.delay)) {
                return Err(Broken::PowerCut);
            }
            if given > kept && self.manager.is_at_rest() && is_commit_point(kind, batch, command.number) {
                self.manager.save_load()?;
                self.manager.memory.accept()?;
                kept = given;
                self.manager.memory.commit_group(history(IssueState::Unfinished, given, kept, 0).record())?;
            }
            if self.fate.is_some_and(|goes| goes(&command.apdu)) {
                return Err(Broken::PowerCut);
            }
            given = command.number;
            last = match self.manager.process(Origin::Issuer, &command.apdu)? {
                Processed::Answer(answer) => answer,
                Processed::Trigger(_) => Answer::status(StatusWord::CONDITIONS_NOT_SATISFIED.0),
            };
            let sw = StatusWord(last.sw);
            if self.table.judge(sw) == Judgement::Failure {
                log::info!("issue failed: {sw:?} ({}) at command {given} of {}", sw.meaning(), batch.count());
                self.manager.memory.drop_group();
                let failed = history(IssueState::Unfinished, given, kept, sw.0);
                self.manager.memory.commit_group(failed.record())?;
                return Ok(trigger.format.failure(given, sw));
            }
        }
        self.manager.abort_load();
        self.manager.memory.accept()?;
        if batch.needs_confirmation() {
            let waiting = history(IssueState::AwaitingConfirmation, given, given, 0);
            self.manager.memory.commit_group(waiting.record())?;
        } else {
            self.manager.memory.finish_group(history(IssueState::Done, given, given, 0).record())?;
        }
        log::info!("issue done: {given} commands");
        Ok(last)
    }
}
