//! Where the card stands, as everybody may know: the line of `status`, the answer to STATUS.
//!
//! A [`View`] is what the card thread last saw. It is read without asking the card.

mod issue;

pub use issue::{Again, Ended, Running, ended_line};

use crate::terminal::{CardInfo, IssueRecord, IssueState, Memory};
use issue::{done, failed};
use smcard_ioctl::abi;
use smcard_ioctl::{CardState, CardStatus};
use smcard_link::{CardProperties, Counters};
use std::time::{Duration, Instant};

/// What the daemon knows of the card.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What does not change.
    pub properties: CardProperties,
    /// No card answers.
    pub gone: bool,
    /// Security level of the secure channel; 0 = none.
    pub auth_level: u8,
    /// Why no channel can be had without somebody asking for it.
    pub no_channel: Option<String>,
    /// The keys are the well-known test keys.
    pub test_keys: bool,
    /// There are keys.
    pub has_keys: bool,
    /// Life cycle and kinds, as the card told last.
    pub card: Option<CardInfo>,
    /// Protected memory, as the card told last, less what was written since.
    pub memory: Memory,
    /// What went over the link.
    pub counters: Counters,
    /// The issue that runs.
    pub running: Option<Running>,
    /// The last issue that ended since the mount.
    pub ended: Option<Ended>,
    /// The end of the last issue is still what matters: nothing has come after it.
    pub ended_is_news: bool,
    /// Issues that have ended since the mount.
    pub issues: u64,
    /// Where the last issue stands, as the card told; `None` = not known.
    pub record: Option<IssueRecord>,
    /// The progress table wants no START before RESET or CLEAR.
    pub stopped: bool,
    /// Why the last upload was refused; empty after one that was taken.
    pub upload_error: String,
    /// Grows with every change that a waiting program wants to know.
    pub generation: u64,
}

impl View {
    /// Where the card stands.
    #[must_use]
    pub fn state(&self) -> CardState {
        if self.running.is_some() {
            return CardState::Issuing;
        }
        if self.gone {
            return CardState::None;
        }
        match &self.ended {
            Some(ended) if self.ended_is_news && ended.result.success => CardState::Done,
            Some(_) if self.ended_is_news => CardState::Failed,
            _ if self.auth_level != 0 => CardState::Authenticated,
            _ => CardState::Ready,
        }
    }

    /// The line of `status`, without line feed.
    #[must_use]
    pub fn line(&self, now: Instant) -> String {
        let mut line = match (self.state(), &self.running, &self.ended) {
            (CardState::Issuing, Some(running), _) => running.line(now),
            (CardState::None, ..) => "none: the card is gone".to_owned(),
            (CardState::Done, _, Some(ended)) => done(ended),
            (CardState::Failed, _, Some(ended)) => failed(ended),
            (state, ..) => state.as_str().to_owned(),
        };
        if self.running.is_some() || self.gone {
            return line;
        }
        if self.confirm_needed() {
            line.push_str("; waits for confirm");
        }
        let answered = |ended: &Ended| ended.silence.is_none();
        let told = self.state() == CardState::Failed && self.ended.as_ref().is_some_and(answered);
        if let Some(record) = self.unfinished().filter(|_| !told) {
            line.push_str(&format!(
                "; an issue stopped after {} of {}: start goes on or over, clear removes it",
                record.given, record.total
            ));
        }
        if self.stopped {
            line.push_str("; stopped by the progress table: reset or clear before the next start");
        }
        if let Some(reason) = self.no_channel.as_ref().filter(|_| self.auth_level == 0) {
            line.push_str(&format!("; not authenticated: {reason}"));
        }
        if !self.upload_error.is_empty() {
            line.push_str(&format!("; last upload refused: {}", self.upload_error));
        }
        line
    }

    /// The answer to STATUS, for a descriptor that may submit operations or not.
    #[must_use]
    pub fn answer(&self, operator: bool, now: Instant) -> CardStatus {
        let ended = self.ended.as_ref();
        let result = ended.map(|ended| ended.result);
        let last_error = ended.and_then(|ended| ended.silence.as_ref()).map_or(0, |(errno, _)| *errno);
        let mut facts = 0;
        let interrupted = self.unfinished().is_some_and(|record| matches!(record.sw, 0 | 0x9000));
        for (fact, holds) in [
            (abi::FACT_CONFIRM_NEEDED, self.confirm_needed()),
            (abi::FACT_INTERRUPTED, interrupted),
            (abi::FACT_CLEAR_POSSIBLE, self.unfinished().is_some()),
            (abi::FACT_OPERATOR, operator),
            (abi::FACT_TEST_KEYS, self.test_keys),
        ] {
            facts |= if holds { fact } else { 0 };
        }
        CardStatus {
            state: self.state(),
            auth_level: self.auth_level,
            life_cycle: self.card.map_or(0, |card| card.life_cycle),
            last_sw: result.map_or(0, |result| result.sw),
            facts,
            given: result.map_or(0, |result| result.given),
            total: result.map_or(0, |result| result.total),
            kept: result.map_or(Some(0), |result| result.kept),
            last_error,
            elapsed: match (&self.running, ended) {
                (Some(running), _) => now.saturating_duration_since(running.since),
                (None, Some(ended)) => ended.elapsed,
                (None, None) => Duration::ZERO,
            },
            free_bytes: self.memory.free,
            exchanges: self.counters.exchanges,
            issue_exchanges: ended.map_or(0, |ended| ended.exchanges),
            issues: self.issues,
            line: self.line(now),
            upload_error: self.upload_error.clone(),
        }
    }

    /// CLEAR has taken back what the last issue left.
    pub fn cleared(&mut self) {
        let open = self.unfinished().is_some() || self.confirm_needed();
        self.ended_is_news = false;
        self.stopped = false;
        if open {
            self.record = Some(IssueRecord::default());
        }
        if let Some(ended) = self.ended.as_mut().filter(|_| open) {
            ended.result.kept = Some(0);
        }
    }

    /// What an unfinished issue left: the counts, as the card told.
    #[must_use]
    pub fn unfinished(&self) -> Option<IssueRecord> {
        self.record.filter(|record| record.state == IssueState::Unfinished)
    }

    /// The card wants CONFIRM.
    #[must_use]
    pub fn confirm_needed(&self) -> bool {
        self.record.is_some_and(|record| record.state == IssueState::ConfirmNeeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{IssueResult, Step};

    fn ended(result: IssueResult, silence: Option<(i32, String)>) -> View {
        let (name, elapsed) = ("app.batch".into(), Duration::from_millis(12));
        let ended = Ended { name, result, silence, exchanges: 2, elapsed };
        View { ended: Some(ended), ended_is_news: true, issues: 1, ..View::default() }
    }

    fn failure(given: u32) -> IssueResult {
        IssueResult { success: false, sw: 0x6A84, given, total: 245, kept: Some(given / 2) }
    }

    #[test]
    fn the_line_says_where_the_card_stands() {
        let now = Instant::now();
        let mut view = View::default();
        assert_eq!(view.line(now), "ready");
        view.no_channel = Some("no keys are configured".into());
        assert_eq!(view.line(now), "ready; not authenticated: no keys are configured");
        view.auth_level = 0x33;
        assert_eq!(view.line(now), "authenticated");
        view.upload_error = "app.batch: offset 12: damaged".into();
        assert_eq!(view.line(now), "authenticated; last upload refused: app.batch: offset 12: damaged");
        let again = Again { step: Step::Start, due: now + Duration::from_millis(3600), time: 2, limit: 5 };
        view.running = Some(Running { name: "app.batch".into(), since: now, again: None });
        let later = now + Duration::from_millis(3210);
        assert_eq!(view.line(later), "issuing app.batch for 3.2 s (the card tells no count meanwhile)");
        view.running = Some(Running { name: "app.batch".into(), since: now, again: Some(again) });
        assert_eq!(view.line(later), "recovering: waiting 0.4 s before START again (try 2 of 5)");
        let line = view.line(now + Duration::from_secs(4));
        assert_eq!(line, "issuing app.batch for 4.0 s, START again (try 2 of 5) (the card tells no count meanwhile)");
        view.running = None;
        view.gone = true;
        assert_eq!(view.line(now), "none: the card is gone");
    }

    #[test]
    fn the_end_of_an_issue_is_told_with_its_count() {
        let now = Instant::now();
        assert_eq!(ended(failure(7), None).line(now), "failed 6a84 after 7 of 245 (not enough memory): app.batch");
        assert_eq!(ended(failure(0), None).line(now), "failed 6a84 at start (not enough memory): app.batch");
        let success = IssueResult { success: true, sw: 0x9000, given: 12, total: 12, kept: Some(12) };
        assert_eq!(ended(success, None).line(now), "done app.batch: 12 commands, 2 exchanges, 0.012 s");
        let silence = IssueResult { sw: 0, ..failure(4) };
        let cut = ended(silence, Some((125, "the power went during the exchange".into())));
        assert_eq!(cut.line(now), "failed without an answer (the power went during the exchange): app.batch");
        assert_eq!(
            (cut.state(), cut.answer(true, now).last_error, cut.answer(true, now).given),
            (CardState::Failed, 125, 4)
        );
    }

    #[test]
    fn an_interrupted_issue_shows_until_it_is_cleared() {
        let now = Instant::now();
        let record = IssueRecord { state: IssueState::Unfinished, file: 1, given: 3, total: 9, sw: 0, kept: 2 };
        let mut view = View { record: Some(record), ..View::default() };
        assert!(view.line(now).starts_with("ready; an issue stopped after 3 of 9"));
        let facts = view.answer(false, now).facts;
        assert_eq!(facts, abi::FACT_INTERRUPTED | abi::FACT_CLEAR_POSSIBLE);
        view.record = Some(IssueRecord { state: IssueState::ConfirmNeeded, ..IssueRecord::default() });
        assert_eq!(view.line(now), "ready; waits for confirm");
        assert_eq!(view.answer(true, now).facts, abi::FACT_CONFIRM_NEEDED | abi::FACT_OPERATOR);
    }

    #[test]
    fn status_answers_with_the_last_issues_figures() {
        let answer = ended(failure(7), None).answer(false, Instant::now());
        assert_eq!((answer.last_sw, answer.given, answer.total, answer.issue_exchanges), (0x6A84, 7, 245, 2));
        assert_eq!((answer.state, answer.issues, answer.kept), (CardState::Failed, 1, Some(3)));
        assert_eq!(answer.elapsed, Duration::from_millis(12));
    }
}
