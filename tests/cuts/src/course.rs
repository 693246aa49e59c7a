//! The cases: every recovery kind, with and without recovery information.

use crate::driver::{Case, Halt, Stopped};
use crate::explore::Allowed;
use crate::model::Model;
use crate::scenario::{Action, Scenario};
use crate::terminal::Terminal;
use crate::view::of_model;
use smcard_card::{CreateOptions, EmulatedCard};
use smcard_flash::sim::Simulator;
use smcard_flash::{Changes, MIN_SIZE, RamMedium, Store};
use smcard_link::RecoveryKind;

/// Pages of a journal half: a few commits fill it.
const HALF: u64 = 2;
/// Pages of the data area.
const DATA: u64 = 14;

/// What makes the cards individual.
pub const INDIVIDUAL: [u8; 14] = *b"cuts card no.1";

/// A case with the card it begins with, and what it comes to without a cut.
pub struct Course {
    /// Name of the case.
    pub name: String,
    /// Scenario and batches.
    pub case: Case,
    /// A fresh card.
    pub start: Simulator,
    /// The same as a model.
    pub fresh: Model,
    /// The view after each step, as the next power-on shows it.
    pub reference: Vec<String>,
    /// Calls that the whole scenario makes.
    pub calls: u64,
    /// The states that each START goes through.
    pub starts: Vec<Stopped>,
}

/// All recovery kinds.
pub const KINDS: [RecoveryKind; 3] = [RecoveryKind::Restart, RecoveryKind::Command, RecoveryKind::Function];

/// Options of a card that is the same each time.
#[must_use]
pub fn options(recovery: RecoveryKind) -> CreateOptions {
    CreateOptions { size: MIN_SIZE, recovery, individual: Some(INDIVIDUAL), ..CreateOptions::default() }
}

/// Bytes of the data area of [`small_card`].
#[must_use]
pub fn small_capacity() -> u64 {
    DATA * smcard_flash::PAGE
}

/// A fresh card on a small medium: what a factory puts on the smallest real one, in a smaller journal.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn small_card(recovery: RecoveryKind) -> Simulator {
    let medium = EmulatedCard::format(Box::new(RamMedium::new(MIN_SIZE)), &options(recovery)).expect("a card");
    let made = Store::open(medium).expect("an image");
    let mut small = Store::format_small(Simulator::small(HALF, DATA), HALF, DATA, made.identity()).expect("an image");
    let mut changes = Changes::new();
    made.range(..).for_each(|(key, record)| changes.put(key, record.clone()));
    small.commit(changes).expect("they fit");
    small.into_medium()
}

impl Course {
    /// The course of a scenario without any cut.
    ///
    /// # Errors
    /// Which step does not work without a cut, and why.
    pub fn new(recovery: RecoveryKind, points: bool, scenario: Scenario) -> Result<Self, String> {
        let name = format!("{}{}", recovery.word(), if points { "-points" } else { "" });
        let case = Case { scenario, points };
        let start = small_card(recovery);
        let fresh = Model::fresh(recovery, small_capacity());
        let mut model = fresh.clone();
        let before = start.calls();
        let mut terminal = Terminal::open(start.clone()).map_err(|refused| refused.error.to_string())?;
        let mut reference = Vec::new();
        let mut starts = Vec::new();
        for step in 0..case.scenario.steps.len() {
            if let Action::Start { name, batch } = case.scenario.steps[step] {
                let file = model.file(name).unwrap_or_default();
                let (states, _) = model.issued(file, &case.scenario.batches[batch], points);
                let states = std::iter::once(model.clone()).chain(states).collect();
                starts.push(Stopped { step, states, completes: true });
            }
            case.step(&mut terminal, &mut model, step).map_err(|halt| match halt {
                Halt::Stopped(stopped) => format!("{name}: {stopped:?}"),
                Halt::Broken(broken) => format!("{name}: {broken}"),
            })?;
            reference.push(of_model(&model.after_power_on()));
        }
        let calls = terminal.close().calls() - before;
        Ok(Course { name, case, start, fresh, reference, calls, starts })
    }

    /// The number of each START, and the states that it goes through.
    pub fn starts(&self) -> impl Iterator<Item = (usize, Allowed)> {
        self.starts.iter().map(|stopped| (stopped.step, Allowed::after(stopped)))
    }

    /// One for each recovery kind, with and without recovery information.
    ///
    /// # Errors
    /// As [`Course::new`].
    pub fn all() -> Result<Vec<Self>, String> {
        let cases = KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]);
        cases.map(|(kind, points)| Self::new(kind, points, Scenario::life())).collect()
    }
}
