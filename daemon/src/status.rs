//! Where the card stands, as everybody may know: the line of `status`, the answer to STATUS.
//!
//! A [`View`] is what the card thread last saw. It is read without asking the card.

use crate::terminal::{CardInfo, IssueRecord, IssueResult, IssueState, Memory};
use smcard_batch::StatusWord;
use smcard_ioctl::abi;
use smcard_ioctl::{CardState, CardStatus};
use smcard_link::{CardProperties, Counters};
use std::time::{Duration, Instant};

/// An issue that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// What is issued, for people.
    pub name: String,
    /// Since when.
    pub since: Instant,
}

/// How an issue ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What was issued, for people.
    pub name: String,
    /// What the card said, or the link's errno and words where it said nothing.
    pub result: Result<IssueResult, (i32, String)>,
    /// Exchanges, those of the upload included.
    pub exchanges: u64,
    /// How long it took.
    pub elapsed: Duration,
}

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
    /// What an unfinished issue left: the counts, as the card told.
    pub unfinished: Option<IssueRecord>,
    /// The card wants CONFIRM.
    pub confirm_needed: bool,
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
            Some(ended) if self.ended_is_news => match &ended.result {
                Ok(result) if result.success => CardState::Done,
                _ => CardState::Failed,
            },
            _ if self.auth_level != 0 => CardState::Authenticated,
            _ => CardState::Ready,
        }
    }

    /// The line of `status`, without line feed.
    #[must_use]
    pub fn line(&self, now: Instant) -> String {
        let mut line = match (self.state(), &self.running, &self.ended) {
            (CardState::Issuing, Some(running), _) => {
                let seconds = now.saturating_duration_since(running.since).as_secs_f64();
                format!("issuing {} for {seconds:.1} s (the card tells no count meanwhile)", running.name)
            }
            (CardState::None, ..) => "none: the card is gone".to_owned(),
            (CardState::Done, _, Some(ended)) => done(ended),
            (CardState::Failed, _, Some(ended)) => failed(ended),
            (state, ..) => state.as_str().to_owned(),
        };
        if self.running.is_some() || self.gone {
            return line;
        }
        if self.confirm_needed {
            line.push_str("; waits for confirm");
        }
        let told = self.state() == CardState::Failed && self.ended.as_ref().is_some_and(|ended| ended.result.is_ok());
        if let Some(record) = self.unfinished.filter(|_| !told) {
            line.push_str(&format!(
                "; an issue stopped after {} of {}: start goes on or over, clear removes it",
                record.given, record.total
            ));
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
        let result = ended.and_then(|ended| ended.result.as_ref().ok());
        let last_error = ended.and_then(|ended| ended.result.as_ref().err()).map_or(0, |(errno, _)| *errno);
        let mut facts = 0;
        let interrupted = self.unfinished.is_some_and(|record| matches!(record.sw, 0 | 0x9000));
        for (fact, holds) in [
            (abi::FACT_CONFIRM_NEEDED, self.confirm_needed),
            (abi::FACT_INTERRUPTED, interrupted),
            (abi::FACT_CLEAR_POSSIBLE, self.unfinished.is_some()),
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
            kept: match ended {
                None => Some(0),
                Some(_) => result.and_then(|result| result.kept),
            },
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
        let open = self.unfinished.take().is_some() | std::mem::take(&mut self.confirm_needed);
        self.ended_is_news = false;
        if let Some(Ended { result: Ok(IssueResult { kept, .. }), .. }) = self.ended.as_mut().filter(|_| open) {
            *kept = Some(0);
        }
    }

    /// Takes over the card's own record of its last issue.
    pub fn take_record(&mut self, record: IssueRecord) {
        self.unfinished = (record.state == IssueState::Unfinished).then_some(record);
        self.confirm_needed = record.state == IssueState::ConfirmNeeded;
    }
}

/// How an issue ended, in one line; also what `card/last_issue` says.
#[must_use]
pub fn ended_line(ended: &Ended) -> String {
    if ended.result.as_ref().is_ok_and(|result| result.success) { done(ended) } else { failed(ended) }
}

fn done(ended: &Ended) -> String {
    let Ended { name, exchanges, elapsed, .. } = ended;
    let seconds = elapsed.as_secs_f64();
    match &ended.result {
        Ok(result) if result.total != 0 => {
            format!("done {name}: {} commands, {exchanges} exchanges, {seconds:.3} s", result.total)
        }
        _ => format!("done {name}: {exchanges} exchanges, {seconds:.3} s"),
    }
}

fn failed(ended: &Ended) -> String {
    match &ended.result {
        Ok(IssueResult { sw, given: 0, .. }) => {
            format!("failed {} at start ({}): {}", StatusWord(*sw), StatusWord(*sw).meaning(), ended.name)
        }
        Ok(IssueResult { sw, given, total, .. }) => {
            let of = if *total == 0 { String::new() } else { format!(" of {total}") };
            format!("failed {} after {given}{of} ({}): {}", StatusWord(*sw), StatusWord(*sw).meaning(), ended.name)
        }
        Err((_, text)) => format!("failed without an answer ({text}): {}", ended.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(result: Result<IssueResult, (i32, String)>) -> View {
        let ended = Ended { name: "app.batch".into(), result, exchanges: 2, elapsed: Duration::from_millis(12) };
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
        view.running = Some(Running { name: "app.batch".into(), since: now });
        let later = now + Duration::from_millis(3210);
        assert_eq!(view.line(later), "issuing app.batch for 3.2 s (the card tells no count meanwhile)");
        view.running = None;
        view.gone = true;
        assert_eq!(view.line(now), "none: the card is gone");
    }

    #[test]
    fn the_end_of_an_issue_is_told_with_its_count() {
        let now = Instant::now();
        assert_eq!(ended(Ok(failure(7))).line(now), "failed 6a84 after 7 of 245 (not enough memory): app.batch");
        assert_eq!(ended(Ok(failure(0))).line(now), "failed 6a84 at start (not enough memory): app.batch");
        let success = IssueResult { success: true, sw: 0x9000, given: 12, total: 12, kept: Some(12) };
        assert_eq!(ended(Ok(success)).line(now), "done app.batch: 12 commands, 2 exchanges, 0.012 s");
        let cut = ended(Err((125, "the power went during the exchange".into())));
        assert_eq!(cut.line(now), "failed without an answer (the power went during the exchange): app.batch");
        assert_eq!((cut.state(), cut.answer(true, now).last_error), (CardState::Failed, 125));
    }

    #[test]
    fn an_interrupted_issue_shows_until_it_is_cleared() {
        let now = Instant::now();
        let mut view = View::default();
        view.take_record(IssueRecord { state: IssueState::Unfinished, file: 1, given: 3, total: 9, sw: 0, kept: 2 });
        assert!(view.line(now).starts_with("ready; an issue stopped after 3 of 9"));
        let facts = view.answer(false, now).facts;
        assert_eq!(facts, abi::FACT_INTERRUPTED | abi::FACT_CLEAR_POSSIBLE);
        view.take_record(IssueRecord { state: IssueState::ConfirmNeeded, ..IssueRecord::default() });
        assert_eq!(view.line(now), "ready; waits for confirm");
        assert_eq!(view.answer(true, now).facts, abi::FACT_CONFIRM_NEEDED | abi::FACT_OPERATOR);
    }

    #[test]
    fn status_answers_with_the_last_issues_figures() {
        let answer = ended(Ok(failure(7))).answer(false, Instant::now());
        assert_eq!((answer.last_sw, answer.given, answer.total, answer.issue_exchanges), (0x6A84, 7, 245, 2));
        assert_eq!((answer.state, answer.issues, answer.kept), (CardState::Failed, 1, Some(3)));
        assert_eq!(answer.elapsed, Duration::from_millis(12));
    }
}
