//! One issue from START to what follows it: the self-issue manager acts by the progress table (system S5.2, S5.3).
//!
//! A [`Conduct`] does one step after the other and never waits: where the table wants a pause it says so, and whoever
//! drives it comes back, or breaks it off. The only commands it gives are START, CLEAR and CONFIRM, which need no keys
//! (S5.4); beside them it asks the card where it stands.

use super::generator::Target;
use super::inventory::{IssueRecord, IssueState};
use super::manager::Manager;
use super::order::{Conclusion, Next, Order, Step};
use super::progress::{Action, Decision, End, Progress, Table};
use super::receiver::IssueResult;
use crate::refusal::Refusal;
use smcard_link::{Answer, LinkError};

/// An issue under way.
#[derive(Debug)]
pub struct Conduct {
    order: Order,
    progress: Progress,
    step: Step,
    /// The power has to go off and on before the next step.
    off: bool,
    conclusion: Conclusion,
}

impl Conduct {
    /// Begins; nothing has been sent.
    #[must_use]
    pub fn new(order: Order, table: &Table) -> Self {
        let result = IssueResult { success: false, sw: 0, given: 0, total: order.total, kept: None };
        let record = order.before;
        let conclusion = Conclusion { result, silence: None, answer: None, exchanges: 0, record, stop: false };
        Conduct { order, progress: Progress::new(table), step: Step::Start, off: false, conclusion }
    }

    /// Does what comes next, until the issue has ended or a pause is due.
    pub fn step(&mut self, manager: &mut Manager) -> Next {
        loop {
            if let Some(next) = self.once(manager) {
                return next;
            }
        }
    }

    /// The failure of the link that the next step is to mend.
    #[must_use]
    pub fn silence(&self) -> Option<&LinkError> {
        self.conclusion.silence.as_ref()
    }

    /// The card was taken out: whatever the table had in mind, nothing follows.
    pub fn card_gone(&mut self) {
        self.conclusion.record = None;
        if !self.conclusion.result.success {
            self.conclusion.silence = Some(LinkError::Gone);
            self.conclusion.answer = None;
        }
    }

    /// Ends here, for the end of all steps or in the middle.
    #[must_use]
    pub fn conclude(mut self, manager: &mut Manager) -> Conclusion {
        let result = self.conclusion.result;
        let gone = matches!(self.conclusion.silence, Some(LinkError::Gone));
        if !result.success && result.given > 0 && result.kept.is_none() && !gone {
            self.find_kept(manager);
        }
        self.conclusion
    }

    fn once(&mut self, manager: &mut Manager) -> Option<Next> {
        if self.off {
            if let Err(error) = manager.sender_mut().reset() {
                return self.silent(manager, error);
            }
            self.off = false;
        }
        let before = manager.exchanges();
        let Order { target, format, total, .. } = &self.order;
        let answered = match self.step {
            Step::Start => {
                let started = manager.start(target, *format, *total);
                started.map(|(result, answer)| (Some(result), answer))
            }
            Step::Clear => manager.clear().map(|answer| (None, answer)),
            Step::Confirm => manager.confirm().map(|answer| (None, answer)),
        };
        self.conclusion.exchanges += manager.exchanges() - before;
        match answered {
            Ok((Some(result), answer)) => self.started(manager, result, answer),
            Ok((None, answer)) => self.followed(&answer),
            Err(error) => self.silent(manager, error),
        }
    }

    /// START was answered.
    fn started(&mut self, manager: &mut Manager, result: IssueResult, answer: Answer) -> Option<Next> {
        (self.conclusion.silence, self.conclusion.answer) = (None, Some(answer));
        self.conclusion.result = result;
        if result.success {
            return self.succeeded(manager, None);
        }
        let IssueResult { sw, given, .. } = result;
        let decision = self.progress.decide(End { sw: Some(sw), given: Some(given) });
        log::info!("START: {sw:04x} after {given}: {}", decision.action.word());
        // What an unfinished issue is now nobody has asked yet; a refused START has changed nothing.
        self.conclusion.record = self.order.before.filter(|_| given == 0);
        self.off = decision.action == Action::Resume;
        self.act(decision)
    }

    /// The whole batch is issued, as the answer says or, where it was lost, the card's record.
    fn succeeded(&mut self, manager: &mut Manager, record: Option<IssueRecord>) -> Option<Next> {
        let decision = self.progress.decide(End { sw: Some(0x9000), given: Some(self.conclusion.result.given) });
        let record = record.or_else(|| self.expected()).or_else(|| ask(manager, "whether it wants CONFIRM"));
        if let Some(IssueRecord { given, total, kept, .. }) = record {
            self.conclusion.result = IssueResult { given, total, kept: Some(kept), ..self.conclusion.result };
        }
        self.conclusion.record = record;
        self.conclusion.stop = decision.action == Action::Stop;
        let wanted = record.is_some_and(|record| record.state == IssueState::ConfirmNeeded);
        if decision.action != Action::Confirm || !wanted {
            return Some(Next::Ended);
        }
        self.step = Step::Confirm;
        None
    }

    /// The record that the card has now, where everything about the batch is known.
    fn expected(&self) -> Option<IssueRecord> {
        let Order { target: Target::Id { id: file, .. }, total: total @ 1.., confirm: Some(confirm), .. } = self.order
        else {
            return None;
        };
        let state = if confirm { IssueState::ConfirmNeeded } else { IssueState::Done };
        Some(IssueRecord { state, file, given: total, total, sw: 0, kept: total })
    }

    /// CLEAR or CONFIRM was answered.
    fn followed(&mut self, answer: &Answer) -> Option<Next> {
        let done = answer.is_success();
        match self.step {
            _ if !done => log::warn!("{}: the card refuses it with {:04x}", self.step.name(), answer.sw),
            Step::Clear => self.cleared(),
            Step::Confirm => self.confirmed(),
            Step::Start => {}
        }
        Some(Next::Ended)
    }

    fn cleared(&mut self) {
        self.conclusion.result.kept = Some(0);
        self.conclusion.record = Some(IssueRecord::default());
    }

    fn confirmed(&mut self) {
        if let Some(record) = &mut self.conclusion.record {
            record.state = IssueState::Done;
        }
    }

    /// No answer: as after a power failure the card is switched off and on and asked where it stands (system S7.1).
    fn silent(&mut self, manager: &mut Manager, error: LinkError) -> Option<Next> {
        log::warn!("{}: {error}", self.step.name());
        let known = if matches!(error, LinkError::Gone) { Err(Refusal::Gone) } else { find_out(manager) };
        if self.step == Step::Start {
            (self.conclusion.silence, self.conclusion.answer) = (Some(error), None);
        }
        let record = match known {
            Ok(record) => record,
            Err(refusal) => return self.still_silent(&refusal),
        };
        self.off = false;
        self.conclusion.record = Some(record);
        match (self.step, record.state) {
            (Step::Start, _) if self.is_finished(&record) => {
                log::info!("the issue had ended well; its answer was lost");
                self.conclusion.silence = None;
                let IssueRecord { given, total, kept, .. } = record;
                self.conclusion.result = IssueResult { success: true, sw: 0x9000, given, total, kept: Some(kept) };
                return self.succeeded(manager, Some(record));
            }
            (Step::Clear, IssueState::None | IssueState::Done) => {
                self.cleared();
                return Some(Next::Ended);
            }
            (Step::Confirm, IssueState::Done) => return Some(Next::Ended),
            _ => {}
        }
        if self.step == Step::Start {
            self.conclusion.result = self.interrupted(&record);
            self.progress.reached(self.conclusion.result.kept.unwrap_or(0));
        }
        let given = self.conclusion.result.given;
        let decision = self.progress.decide(End { sw: None, given: Some(given) });
        log::info!("the card stands behind {given} commands: {}", decision.action.word());
        self.act(decision)
    }

    /// It does not even answer after power-on.
    fn still_silent(&mut self, refusal: &Refusal) -> Option<Next> {
        self.off = true;
        self.conclusion.record = None;
        if self.step == Step::Start {
            self.conclusion.result = IssueResult { sw: 0, given: 0, kept: None, ..self.conclusion.result };
        }
        if *refusal == Refusal::Gone {
            self.conclusion.silence = Some(LinkError::Gone).filter(|_| self.step == Step::Start);
            return Some(Next::Ended);
        }
        log::warn!("after power-on: {refusal}");
        let decision = self.progress.decide(End { sw: None, given: None });
        self.act(decision)
    }

    fn act(&mut self, decision: Decision) -> Option<Next> {
        let Decision { action, pause, time, limit } = decision;
        match action {
            Action::Retry | Action::Resume => return Some(Next::Again { step: self.step, pause, time, limit }),
            Action::Clear if self.step == Step::Start => {
                self.step = Step::Clear;
                return None;
            }
            Action::Stop => self.conclusion.stop = true,
            Action::Clear | Action::Confirm | Action::Report => {}
        }
        Some(Next::Ended)
    }

    /// Whether the record tells the end of *this* issue: a record that stood there before tells that of another.
    fn is_finished(&self, record: &IssueRecord) -> bool {
        let ended = |record: &IssueRecord| matches!(record.state, IssueState::Done | IssueState::ConfirmNeeded);
        let another = |before: IssueRecord| (before.state, before.file) != (record.state, record.file);
        ended(record) && self.is_ours(record) && self.order.before.is_some_and(another)
    }

    fn is_ours(&self, record: &IssueRecord) -> bool {
        !matches!(self.order.target, Target::Id { id, .. } if id != record.file)
    }

    /// How far an interrupted issue is known to have come.
    fn interrupted(&self, record: &IssueRecord) -> IssueResult {
        let IssueRecord { given, total, kept, .. } = *record;
        if record.state == IssueState::Unfinished && self.is_ours(record) {
            return IssueResult { success: false, sw: 0, given, total, kept: Some(kept) };
        }
        IssueResult { success: false, sw: 0, given: 0, total: self.order.total, kept: Some(0) }
    }

    /// Asks the card what of a failed issue stands: only it knows what its recovery has rolled back.
    fn find_kept(&mut self, manager: &mut Manager) {
        let result = &mut self.conclusion.result;
        self.conclusion.record = ask(manager, "what stays of the failed issue");
        // The command that failed is not among them, whatever the card says.
        result.kept = self.conclusion.record.map(|record| record.kept.min(result.given.saturating_sub(1)));
    }
}

fn ask(manager: &mut Manager, what: &str) -> Option<IssueRecord> {
    let record = manager.issue();
    record.inspect_err(|refusal| log::warn!("{what}, the card does not say: {refusal}")).ok()
}

fn find_out(manager: &mut Manager) -> Result<IssueRecord, Refusal> {
    manager.sender_mut().reset()?;
    manager.issue()
}
