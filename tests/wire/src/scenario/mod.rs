//! The same story over every cable: same answers, same listing, same bytes in the card's flash.

mod disturbed;
mod issue;
mod journal;
mod refused;

pub use journal::{Cost, Journal};

use crate::cable::{Cable, Rig, Setup};
use anyhow::{Context, Result};
use std::fmt::Write as _;

type Prepare = Box<dyn Fn() -> Result<Setup> + Send + Sync>;
type Run = Box<dyn Fn(&mut Rig, &mut Journal) -> Result<()> + Send + Sync>;

/// A story.
pub struct Scenario {
    /// What happens in it.
    pub name: String,
    prepare: Prepare,
    run: Run,
}

/// What came of it on one cable.
pub struct Outcome {
    /// What the terminal saw, line by line.
    pub lines: Vec<String>,
    /// What its parts cost.
    pub costs: Vec<Cost>,
    /// The card's flash at the end.
    pub image: Vec<u8>,
}

impl Scenario {
    fn new(
        name: impl Into<String>,
        prepare: impl Fn() -> Result<Setup> + Send + Sync + 'static,
        run: impl Fn(&mut Rig, &mut Journal) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Scenario { name: name.into(), prepare: Box::new(prepare), run: Box::new(run) }
    }

    /// Tells it on a cable.
    ///
    /// # Errors
    /// Something that must succeed did not.
    pub fn tell(&self, cable: Cable) -> Result<Outcome> {
        let told = || {
            let mut rig = Rig::new(cable, (self.prepare)()?)?;
            let mut journal = Journal::default();
            (self.run)(&mut rig, &mut journal)?;
            journal.close(&mut rig)?;
            let image = rig.image().bytes().clone();
            Ok(Outcome { lines: journal.lines, costs: journal.costs, image })
        };
        let outcome: Result<Outcome> = told();
        outcome.with_context(|| format!("{}, {}", self.name, cable.name()))
    }

    /// Tells it on all cables; what is not the same, in words.
    ///
    /// # Errors
    /// As [`Scenario::tell`].
    pub fn differences(&self) -> Result<(Vec<(Cable, Outcome)>, String)> {
        let mut outcomes: Vec<(Cable, Outcome)> = Vec::new();
        let mut differences = String::new();
        for cable in Cable::ALL {
            let outcome = self.tell(cable)?;
            if let Some((_, first)) = outcomes.first() {
                compare(&mut differences, &format!("{}, {}", self.name, cable.name()), first, &outcome);
            }
            outcomes.push((cable, outcome));
        }
        Ok((outcomes, differences))
    }
}

// Writing to a String cannot fail.
fn compare(differences: &mut String, name: &str, first: &Outcome, other: &Outcome) {
    for number in 0..first.lines.len().max(other.lines.len()) {
        let (a, b) = (first.lines.get(number), other.lines.get(number));
        if a != b {
            let none = "nothing".to_owned();
            let _ = writeln!(differences, "{name}: {} where it should be {}", b.unwrap_or(&none), a.unwrap_or(&none));
        }
    }
    let differs = first.image.iter().zip(&other.image).position(|(a, b)| a != b);
    if let Some(at) = differs {
        let count = first.image.iter().zip(&other.image).filter(|(a, b)| a != b).count();
        let _ = writeln!(differences, "{name}: {count} bytes of the flash differ, the first at {at:#x}");
    }
}

/// All of them. `thorough`: the power goes at every command of the application of 60 KiB, too.
#[must_use]
pub fn all(thorough: bool) -> Vec<Scenario> {
    let mut all = issue::scenarios();
    all.extend(refused::scenarios());
    all.extend(disturbed::scenarios(thorough));
    all
}
