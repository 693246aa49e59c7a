//! Keeps the latest lines of a trace.

use super::{Mark, TraceSink};
use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest text of a line in bytes; what is longer ends with `...`.
const LINE_MAX: usize = 240;
/// Longest round in lines that is still compared with the one before it.
const ROUND_MAX: usize = 64;

/// A bounded record of a trace: the latest lines, with time stamps. Rounds that repeat themselves are counted, not kept.
pub struct Recorder {
    start: Instant,
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Line>,
    /// Number of the first of `lines`, counted from the recorder's beginning.
    first: u64,
    /// How many of the last lines belong to the round before the current one; `None` where there is none to compare with.
    before: Option<usize>,
    /// Lines of the current round; `None` outside of rounds.
    current: Option<Vec<Line>>,
    repeats: u64,
}

#[derive(Clone)]
struct Line {
    time: Duration,
    mark: &'static str,
    text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.time.as_secs(), self.time.subsec_micros());
        write!(f, "{seconds:6}.{micros:06} {:<2} {}", self.mark, self.text)
    }
}

impl Recorder {
    /// A record of at most `limit` lines (at least one).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Recorder { start: Instant::now(), limit: limit.max(1), state: Mutex::default() }
    }

    /// The lines kept, oldest first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.since(0).1
    }

    /// The lines from number `number` on as far as they are kept, and the number to ask with next. Lines are numbered from
    /// the recorder's beginning, so that a gap shows.
    #[must_use]
    pub fn since(&self, number: u64) -> (u64, Vec<String>) {
        let mut state = self.lock();
        state.settle(self.limit, self.start.elapsed());
        let skip = usize::try_from(number.saturating_sub(state.first)).unwrap_or(usize::MAX);
        let lines = state.lines.iter().skip(skip).map(ToString::to_string).collect();
        (state.first + u64::try_from(state.lines.len()).unwrap_or(u64::MAX), lines)
    }

    /// Lines that were lost because the record was full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lock().first
    }

    /// All that is kept as one text, with a first line about what was lost.
    #[must_use]
    pub fn text(&self) -> String {
        let (next, lines) = self.since(0);
        let lost = next.saturating_sub(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        let mut text = String::new();
        if lost > 0 {
            // A `String` takes everything.
            let _ = writeln!(text, "({lost} lines before these were not kept)");
        }
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A line more or less is no reason to stop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        write!(f, "Recorder of {} lines, {} kept, {} lost", self.limit, state.lines.len(), state.first)
    }
}

impl State {
    fn push(&mut self, limit: usize, line: Line) {
        if self.lines.len() >= limit {
            self.lines.pop_front();
            self.first += 1;
        }
        self.lines.push_back(line);
    }

    /// Ends the current round: it is either one repetition more or lines of its own.
    fn close(&mut self, limit: usize, time: Duration) {
        let Some(round) = self.current.take().filter(|round| !round.is_empty()) else { return };
        if self.before.is_some_and(|count| self.ends_with(&round, count)) {
            self.repeats += 1;
            return;
        }
        self.tell_repeats(limit, time);
        let count = round.len();
        for line in round {
            self.push(limit, line);
        }
        self.before = Some(count).filter(|count| *count <= limit);
    }

    fn ends_with(&self, round: &[Line], count: usize) -> bool {
        let kept = self.lines.iter().rev().take(count).rev();
        round.len() == count && round.iter().zip(kept).all(|(a, b)| a.mark == b.mark && a.text == b.text)
    }

    fn tell_repeats(&mut self, limit: usize, time: Duration) {
        let repeats = std::mem::take(&mut self.repeats);
        if repeats > 0 {
            let times = if repeats == 1 { "once".to_owned() } else { format!("{repeats} times") };
            self.push(limit, Line { time, mark: "*", text: format!("the same {times} more") });
        }
    }

    /// Brings everything into `lines`.
    fn settle(&mut self, limit: usize, time: Duration) {
        self.close(limit, time);
        self.tell_repeats(limit, time);
        self.before = None;
    }
}

impl TraceSink for Recorder {
    fn event(&self, mark: Mark, text: fmt::Arguments<'_>) {
        let time = self.start.elapsed();
        let mut text = text.to_string().replace(['\n', '\r'], " ");
        if text.len() > LINE_MAX {
            let end = (0..=LINE_MAX - 3).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push_str("...");
        }
        let line = Line { time, mark: mark.sign(), text };
        let mut state = self.lock();
        match &mut state.current {
            Some(round) if round.len() < ROUND_MAX => round.push(line),
            _ => {
                state.settle(self.limit, time);
                state.push(self.limit, line);
            }
        }
    }

    fn round(&self) {
        let time = self.start.elapsed();
        let mut state = self.lock();
        state.close(self.limit, time);
        state.current = Some(Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(recorder: &Recorder) -> Vec<String> {
        recorder.lines().iter().map(|line| line.get(14..).unwrap_or_default().to_owned()).collect()
    }

    fn note(recorder: &Recorder, text: &str) {
        recorder.event(Mark::Note, format_args!("{text}"));
    }

    #[test]
    fn the_oldest_lines_go_and_it_is_said() {
        let recorder = Recorder::new(3);
        for number in 0..5 {
            note(&recorder, &number.to_string());
        }
        assert_eq!(texts(&recorder), ["#  2", "#  3", "#  4"]);
        assert_eq!(recorder.lost(), 2);
        assert!(recorder.text().starts_with("(2 lines before these were not kept)\n"));
        let (next, lines) = recorder.since(4);
        assert_eq!((next, lines.len()), (5, 1));
        note(&recorder, "more");
        assert_eq!(recorder.since(next).1.len(), 1);
    }

    #[test]
    fn rounds_that_repeat_themselves_are_counted() {
        let recorder = Recorder::new(100);
        for answer in ["idle", "working", "working", "working", "done"] {
            recorder.round();
            note(&recorder, "ask");
            note(&recorder, answer);
        }
        let expected = ["#  ask", "#  idle", "#  ask", "#  working", "*  the same 2 times more", "#  ask", "#  done"];
        assert_eq!(texts(&recorder), expected);
    }

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        let recorder = Recorder::new(10);
        note(&recorder, &format!("a\nb{}", "ä".repeat(500)));
        let line = &texts(&recorder)[0];
        assert!(line.starts_with("#  a b") && line.ends_with("...") && line.len() <= LINE_MAX + 3, "{line}");
    }

    #[test]
    fn a_round_without_end_is_kept_as_it_comes() {
        let recorder = Recorder::new(1000);
        recorder.round();
        for number in 0..ROUND_MAX * 2 {
            note(&recorder, &number.to_string());
        }
        assert_eq!(recorder.lines().len(), ROUND_MAX * 2);
    }
}
