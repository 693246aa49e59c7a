//! Runs card and model in step, and names the promise that breaks.

use crate::apdu;
use crate::effect::Effect;
use crate::model::{Model, Outcome};
use crate::scenario::{Action, Scenario};
use crate::terminal::{Silence, Terminal};
use std::fmt;
use std::sync::Arc;

/// A promise that a card did not keep.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// After a cut the card opens.
    #[error("the card does not open: {0}")]
    Opens(String),
    /// What a command changes is there wholly or not at all, and nothing acknowledged is lost.
    #[error("a state that cannot be:\n{found}\nthe nearest of {} allowed would be:\n{}", .allowed.len(), nearest(.found, .allowed))]
    Atomic {
        /// The view of the card.
        found: String,
        /// The views it might have.
        allowed: Vec<String>,
    },
    /// What was durable at a moment stays so, whichever way what was pending tears.
    #[error("state {found} of the step was reached, though {least} stood when nothing pending took effect")]
    Ordered {
        /// Which of the step's states.
        found: usize,
        /// Which of them if nothing pending takes effect.
        least: usize,
    },
    /// Each state that recovery may go on from is made durable.
    #[error("state {missing} of the step never became durable:\n{view}")]
    Kept {
        /// Which of the step's states.
        missing: usize,
        /// What it looks like.
        view: String,
    },
    /// A card that came back works.
    #[error("step {step} does not work: {what}")]
    Works {
        /// Number of the step.
        step: usize,
        /// What is wrong.
        what: String,
    },
    /// A step that was repeated ends as if it had not been cut.
    #[error("the steps end in:\n{found}\nand not, as without a cut, in:\n{expected}")]
    Ends {
        /// The view of the card.
        found: String,
        /// The view without a cut.
        expected: String,
    },
    /// A card whose medium failed is mute until it is switched on again.
    #[error("the card is not mute after a failure: {0}")]
    Mute(String),
}

/// The allowed view that shares the most lines with the one found.
fn nearest<'a>(found: &str, allowed: &'a [String]) -> &'a str {
    let shared = |view: &&String| view.lines().filter(|line| found.lines().any(|other| other == *line)).count();
    allowed.iter().max_by_key(shared).map_or("", String::as_str)
}

/// Where the power went.
#[derive(Clone)]
pub struct Stopped {
    /// The step in hand.
    pub step: usize,
    /// The states that its exchange goes through; the first is the one before it.
    pub states: Vec<Model>,
    /// Whether the step is done with the last of them.
    pub completes: bool,
}

/// Why a step did not end.
pub enum Halt {
    /// The card went mute.
    Stopped(Stopped),
    /// It broke a promise.
    Broken(Broken),
}

/// A case: a scenario for a card that recovers in a certain way.
#[derive(Clone)]
pub struct Case {
    /// What happens.
    pub scenario: Scenario,
    /// Whether batches have recovery information.
    pub points: bool,
}

/// A step in hand.
struct Step<'a> {
    case: &'a Case,
    number: usize,
    terminal: &'a mut Terminal,
    model: &'a mut Model,
}

impl Case {
    /// Makes step `number`. The model follows the card.
    ///
    /// # Errors
    /// The card went mute, or does not answer as it must.
    pub fn step(&self, terminal: &mut Terminal, model: &mut Model, number: usize) -> Result<(), Halt> {
        match self.scenario.steps.get(number) {
            Some(action) => Step { case: self, number, terminal, model }.run(action),
            None => Ok(()),
        }
    }
}

impl Step<'_> {
    fn run(&mut self, action: &Action) -> Result<(), Halt> {
        match action {
            Action::Upload { name, batch } => self.upload(name, *batch),
            Action::Start { name, batch } => self.start(name, *batch),
            Action::Secured(commands, effects) => {
                let after = self.model.with(effects);
                self.secured(commands, after)
            }
            Action::Plain(commands, effects) => self.plain(commands, effects),
            Action::Rename(from, to) => {
                let id = self.model.file(from).unwrap_or_default();
                let mut after = self.model.clone();
                if let Some(file) = after.files.get_mut(&id) {
                    (*to).clone_into(&mut file.name);
                }
                self.secured(&[apdu::rename(id, to)], after)
            }
            Action::Erase(name) => {
                let id = self.model.file(name).unwrap_or_default();
                let mut after = self.model.clone();
                after.files.remove(&id);
                self.secured(&[apdu::erase(id)], after)
            }
            Action::Clear => self.operator(apdu::CLEAR, self.model.cleared()),
            Action::Confirm => self.operator(apdu::CONFIRM, self.model.confirmed()),
        }
    }

    fn upload(&mut self, name: &str, batch: usize) -> Result<(), Halt> {
        self.session()?;
        let batch = &self.case.scenario.batches[batch];
        let file = batch.file(self.case.points);
        let streamed = self.terminal.stream(name, &file);
        let id = self.heard(streamed, &[])?;
        let after = self.model.with_file(name, &Arc::clone(&file), batch.commands.len());
        let committed = self.terminal.commit(id);
        let answer = self.heard(committed, std::slice::from_ref(&after))?;
        let stored = after.file(name).unwrap_or_default();
        self.expect(answer.sw == 0x9000 && answer.data == stored.to_be_bytes(), || format!("stored as {answer:?}"))?;
        *self.model = after;
        Ok(())
    }

    fn start(&mut self, name: &str, batch: usize) -> Result<(), Halt> {
        let batch = &self.case.scenario.batches[batch];
        let id = self.model.file(name).unwrap_or_default();
        let (states, outcome) = self.model.issued(id, batch, self.case.points);
        let answered = self.terminal.send(&apdu::start(name));
        let answer = self.heard(answered, &states)?;
        let as_expected = match outcome {
            Outcome::Done => answer.sw == 0x9000,
            Outcome::Failed(given, sw) => {
                answer.sw == sw && answer.data == u32::try_from(given).unwrap_or(0).to_be_bytes()
            }
        };
        self.expect(as_expected, || format!("START of {} answers {answer:?}, not {outcome:?}", batch.name))?;
        if let Some(last) = states.last() {
            *self.model = last.clone();
        }
        Ok(())
    }

    fn secured(&mut self, commands: &[Vec<u8>], after: Model) -> Result<(), Halt> {
        let sequence = self.model.sequence;
        self.session()?;
        let after = Model { sequence: after.sequence + self.model.sequence - sequence, ..after };
        for (at, command) in commands.iter().enumerate() {
            let answered = self.terminal.send_secured(command);
            let last = at + 1 == commands.len();
            let answer = self.heard(answered, if last { std::slice::from_ref(&after) } else { &[] })?;
            self.expect(answer.sw == 0x9000, || format!("command {at} answers {answer:?}"))?;
        }
        *self.model = after;
        Ok(())
    }

    fn plain(&mut self, commands: &[Vec<u8>], effects: &[Effect]) -> Result<(), Halt> {
        let after = self.model.with(effects);
        for (at, command) in commands.iter().enumerate() {
            let answered = self.terminal.send(command);
            let answer = self.heard(answered, std::slice::from_ref(&after))?;
            self.expect(answer.sw == 0x9000, || format!("command {at} answers {answer:?}"))?;
        }
        *self.model = after;
        Ok(())
    }

    fn operator(&mut self, command: &[u8], after: Model) -> Result<(), Halt> {
        let answered = self.terminal.send(command);
        let answer = self.heard(answered, std::slice::from_ref(&after))?;
        self.expect(answer.sw == 0x9000, || format!("answers {answer:?}"))?;
        *self.model = after;
        Ok(())
    }

    /// Opens a session if none is open.
    fn session(&mut self) -> Result<(), Halt> {
        if self.terminal.has_session() {
            return Ok(());
        }
        let after = self.model.with_session();
        let authenticated = self.terminal.authenticate();
        self.heard(authenticated, std::slice::from_ref(&after)).map_err(|halt| match halt {
            Halt::Stopped(stopped) => Halt::Stopped(Stopped { completes: false, ..stopped }),
            broken => broken,
        })?;
        *self.model = after;
        Ok(())
    }

    /// The answer to an exchange that goes through these states, from the one in hand.
    fn heard<T>(&self, result: Result<T, Silence>, states: &[Model]) -> Result<T, Halt> {
        result.map_err(|silence| match silence {
            Silence::Mute => {
                let states = std::iter::once(&*self.model).chain(states).cloned().collect();
                Halt::Stopped(Stopped { step: self.number, states, completes: true })
            }
            Silence::Wrong(what) => Halt::Broken(Broken::Works { step: self.number, what }),
        })
    }

    fn expect(&self, holds: bool, what: impl FnOnce() -> String) -> Result<(), Halt> {
        if holds { Ok(()) } else { Err(Halt::Broken(Broken::Works { step: self.number, what: what() })) }
    }
}

impl fmt::Debug for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped in step {} of {} states", self.step, self.states.len())
    }
}
