//! The power cut at every call, torn in every way; and again in what follows.

use crate::course::Course;
use crate::driver::{Broken, Halt, Stopped};
use crate::id::Cut;
use crate::image::{self, Dump};
use crate::model::Model;
use crate::observe::observe;
use crate::tears::{Thoroughness, tears};
use crate::terminal::Terminal;
use crate::view::{of_model, without_sequence};
use smcard_flash::sim::{Fault, Simulator, Tear};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Views kept at most: a few ten megabytes.
const VIEWS: usize = 2000;

/// How one level of cuts is explored.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// How the pending writes tear.
    pub thoroughness: Thoroughness,
    /// Steps from the one that was cut, itself included, in which the power goes again.
    pub steps: usize,
    /// Calls at most.
    pub calls: u64,
}

/// What was done, so that a check which checks nothing is noticed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Count {
    /// Cuts by depth.
    pub cuts: [u64; 3],
    /// Cuts after which the step had not happened.
    pub rolled_back: u64,
    /// Cuts after which it was in the middle: an issue that goes on.
    pub within: u64,
    /// Cuts after which it had happened.
    pub completed: u64,
}

impl Count {
    /// All cuts.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.cuts.iter().sum()
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.cuts.iter_mut().zip(other.cuts).for_each(|(cuts, more)| *cuts += more);
        self.rolled_back += other.rolled_back;
        self.within += other.within;
        self.completed += other.completed;
    }
}

/// A broken promise, and the cuts that led to it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The cuts, first to last.
    pub cuts: Vec<Cut>,
    /// What broke.
    pub broken: Broken,
}

/// The states that a card may be in after a cut, as the next power-on shows them.
pub struct Allowed {
    step: usize,
    completes: bool,
    models: Vec<Model>,
    views: Vec<String>,
}

/// A card found after a cut.
pub struct Found {
    /// Which of the allowed states.
    pub state: usize,
    /// What it holds.
    pub model: Model,
    /// The step to go on with: the one that was cut, or the one behind it.
    pub next: usize,
}

/// Where a run got to.
#[expect(clippy::large_enum_variant, reason = "lives for a moment")]
pub enum Ended {
    /// The power went.
    Struck(Simulator, Stopped),
    /// It did not.
    Through(Simulator, Model),
}

/// State `1` of a step with `2` states was found after a cut in step `0`.
pub type Seen = (usize, usize, usize);

/// Explores a course.
pub struct Explorer<'a> {
    course: &'a Course,
    views: HashMap<Dump, Arc<str>>,
    /// What was done.
    pub count: Count,
    /// The states that were found after first cuts.
    pub seen: BTreeSet<Seen>,
}

impl Allowed {
    /// From where the card went mute.
    #[must_use]
    pub fn after(stopped: &Stopped) -> Self {
        let models: Vec<_> = stopped.states.iter().map(Model::after_power_on).collect();
        let views = models.iter().map(of_model).collect();
        Allowed { step: stopped.step, completes: stopped.completes, models, views }
    }

    /// These, or the others.
    #[must_use]
    pub fn or(&self, others: Self) -> Self {
        let models = self.models.iter().cloned().chain(others.models).collect();
        let views = self.views.iter().cloned().chain(others.views).collect();
        Allowed { models, views, ..others }
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// The view of a state.
    #[must_use]
    pub fn view(&self, state: usize) -> &str {
        &self.views[state]
    }

    /// The states that differ from all before them.
    #[must_use]
    pub fn distinct(&self) -> Vec<usize> {
        (0..self.views.len()).filter(|&at| !self.views[..at].contains(&self.views[at])).collect()
    }
}

impl<'a> Explorer<'a> {
    /// Nothing explored.
    #[must_use]
    pub fn new(course: &'a Course) -> Self {
        Explorer { course, views: HashMap::new(), count: Count::default(), seen: BTreeSet::new() }
    }

    /// The view of the card on a medium; cards with the same records are looked at once.
    ///
    /// # Errors
    /// It does not open.
    pub fn view(&mut self, simulator: &Simulator) -> Result<Arc<str>, Broken> {
        let dump = image::dump(simulator).map_err(|error| Broken::Opens(error.to_string()))?;
        if let Some(view) = self.views.get(&dump) {
            return Ok(Arc::clone(view));
        }
        let view: Arc<str> = observe(simulator).map_err(Broken::Opens)?.into();
        if self.views.len() >= VIEWS {
            self.views.clear();
        }
        self.views.insert(dump, Arc::clone(&view));
        Ok(view)
    }

    /// Opens a card and makes steps, with the power cut at a call if one is given.
    ///
    /// # Errors
    /// It broke a promise.
    pub fn run(
        &mut self,
        simulator: &Simulator,
        model: &Model,
        steps: Range<usize>,
        call: Option<u64>,
    ) -> Result<Ended, Broken> {
        let mut armed = simulator.clone();
        if let Some(call) = call {
            armed.arm(call, Fault::Power);
        }
        let mut model = model.clone();
        let mut terminal = match Terminal::open(armed) {
            Ok(terminal) => terminal,
            Err(refused) if refused.is_failure() && refused.simulator.has_failed() => {
                let stopped = Stopped { step: steps.start, states: vec![model], completes: false };
                return Ok(Ended::Struck(refused.simulator, stopped));
            }
            Err(refused) => return Err(Broken::Opens(refused.error.to_string())),
        };
        for step in steps {
            match self.course.case.step(&mut terminal, &mut model, step) {
                Ok(()) => {}
                Err(Halt::Broken(broken)) => return Err(broken),
                Err(Halt::Stopped(stopped)) => {
                    let torn = terminal.close();
                    if !torn.has_failed() {
                        return Err(Broken::Works { step, what: "mute though nothing failed".to_owned() });
                    }
                    return Ok(Ended::Struck(torn, stopped));
                }
            }
        }
        let simulator = terminal.close();
        if simulator.has_failed() {
            return Err(Broken::Works { step: 0, what: "a failure that nobody told of".to_owned() });
        }
        Ok(Ended::Through(simulator, model))
    }

    /// Finds out in which of the allowed states a card is.
    ///
    /// # Errors
    /// In none of them.
    pub fn find(&mut self, left: &Simulator, allowed: &Allowed) -> Result<Found, Broken> {
        let view = self.view(left)?;
        let Some(state) = allowed.views.iter().position(|allowed| **allowed == *view) else {
            return Err(Broken::Atomic { found: view.to_string(), allowed: allowed.views.clone() });
        };
        let done =
            allowed.completes && allowed.views[0] != *view && allowed.views.last().is_some_and(|last| **last == *view);
        match (state, done) {
            (0, _) => self.count.rolled_back += 1,
            (_, true) => self.count.completed += 1,
            (_, false) => self.count.within += 1,
        }
        Ok(Found { state, model: allowed.models[state].clone(), next: allowed.step + usize::from(done) })
    }

    /// What ran through holds what it said, even if the power goes at once; and it ends like the course without a cut.
    ///
    /// # Errors
    /// It does not.
    pub fn finish(&mut self, mut simulator: Simulator, model: &Model, steps: &Range<usize>) -> Result<(), Broken> {
        simulator.tear(Tear::Nothing);
        let found = self.view(&simulator)?;
        let expected = of_model(&model.after_power_on());
        if *found != *expected {
            return Err(Broken::Atomic { found: found.to_string(), allowed: vec![expected] });
        }
        let last = steps.end.min(self.course.reference.len()).checked_sub(1);
        if let Some(expected) = last.filter(|last| *last >= steps.start).map(|last| &self.course.reference[last]) {
            if without_sequence(&found) != without_sequence(expected) {
                return Err(Broken::Ends { found: found.to_string(), expected: expected.clone() });
            }
        }
        Ok(())
    }

    /// All cuts at one call of the whole course; false if the course makes fewer calls.
    ///
    /// # Errors
    /// What broke.
    pub fn explore_call(&mut self, call: u64, levels: &[Level]) -> Result<bool, Finding> {
        let course = self.course;
        let steps = 0..course.case.scenario.steps.len();
        let mut cuts = Vec::new();
        let from = (&course.start, &course.fresh, steps);
        let explored = self.explore_at(from, call, levels, &mut cuts);
        explored.map_err(|broken| Finding { cuts, broken })
    }

    /// As [`Explorer::explore_call`], for a run of some steps. On error `cuts` is where.
    fn explore_at(
        &mut self,
        (simulator, model, steps): (&Simulator, &Model, Range<usize>),
        call: u64,
        levels: &[Level],
        cuts: &mut Vec<Cut>,
    ) -> Result<bool, Broken> {
        let Some((level, deeper)) = levels.split_first() else { return Ok(false) };
        cuts.push(Cut { call, tear: Tear::Nothing });
        let (torn, stopped) = match self.run(simulator, model, steps.clone(), Some(call))? {
            Ended::Struck(torn, stopped) => (torn, stopped),
            Ended::Through(simulator, model) => {
                cuts.pop();
                self.finish(simulator, &model, &steps)?;
                return Ok(false);
            }
        };
        let depth = cuts.len() - 1;
        let allowed = Allowed::after(&stopped);
        let thoroughness = if torn.has_failed_at_barrier() { Thoroughness::Few } else { level.thoroughness };
        let mut least = None;
        for tear in tears(&torn, thoroughness) {
            cuts[depth].tear = tear;
            let mut left = torn.clone();
            left.tear(tear);
            if let Some(count) = self.count.cuts.get_mut(depth) {
                *count += 1;
            }
            let found = self.find(&left, &allowed)?;
            let least = *least.get_or_insert(found.state);
            if !(least..=least + 1).contains(&found.state) {
                return Err(Broken::Ordered { found: found.state, least });
            }
            if depth == 0 {
                self.seen.insert((allowed.step, found.state, allowed.views.len()));
            }
            self.explore_on(&left, &found, deeper, cuts)?;
        }
        cuts.pop();
        Ok(true)
    }

    /// A card found after a cut goes on: without another cut, and with one at each of its next calls.
    fn explore_on(
        &mut self,
        left: &Simulator,
        found: &Found,
        levels: &[Level],
        cuts: &mut Vec<Cut>,
    ) -> Result<(), Broken> {
        let steps = levels.first().map_or(2, |level| level.steps);
        let all = self.course.case.scenario.steps.len();
        let steps = found.next..(found.next + steps).min(all);
        if let Some(level) = levels.first() {
            for call in 0..level.calls {
                if !self.explore_at((left, &found.model, steps.clone()), call, levels, cuts)? {
                    return Ok(());
                }
            }
        }
        self.go_on(left, &found.model, &steps)
    }

    /// Steps without a cut, which end as if there had been none before.
    ///
    /// # Errors
    /// They do not.
    pub fn go_on(&mut self, left: &Simulator, model: &Model, steps: &Range<usize>) -> Result<(), Broken> {
        match self.run(left, model, steps.clone(), None)? {
            Ended::Through(simulator, model) => self.finish(simulator, &model, steps),
            Ended::Struck(..) => {
                Err(Broken::Works { step: steps.start, what: "mute though nothing failed".to_owned() })
            }
        }
    }
}
