//! Power cuts, at every write and barrier of a scenario, in every way a write can tear; and again after that.

use super::driver::{Broken, Driver};
use super::model::{self, Model, Step};
use crate::FlashError;
use crate::io::Barrier;
use crate::layout::Layout;
use crate::sim::{Fault, Simulator, Tear};
use crate::store::Store;

/// One page a half (seven sectors for frames) makes compactions frequent, and four data pages make reuse frequent.
fn layout() -> Layout {
    Layout::small(1, 4)
}

/// Small and large commits, uploads, shared extents, reuse of space; crosses several compactions.
pub(super) fn scenario() -> Vec<Step> {
    vec![
        Step::Change(vec![(1, Some(20)), (2, Some(300))]),
        Step::Upload { key: 10, length: 5000, piece: 3000 },
        Step::Change(vec![(1, Some(700)), (2, None)]),
        Step::Shadow { from: 10, to: 11 },
        Step::Change(vec![(10, None), (3, Some(0))]),
        Step::Extend { key: 11, length: 600 },
        Step::Change(vec![(1, Some(1500)), (4, Some(40))]),
        Step::Change(vec![(4, Some(41))]),
        Step::Change(vec![(4, Some(42)), (11, None)]),
        Step::Upload { key: 12, length: 8192, piece: 4096 },
        Step::Change(vec![(12, None)]),
        Step::Upload { key: 13, length: 8000, piece: 4000 },
        Step::Change(vec![(1, None)]),
        Step::Change(vec![(5, Some(900)), (6, Some(900))]),
    ]
}

/// Counts, so that a check which checks nothing is noticed.
#[derive(Default, Debug)]
struct Count {
    cuts: u64,
    rolled_back: u64,
    completed: u64,
}

/// An exploration of all cuts, or what it found.
struct Explorer {
    steps: Vec<Step>,
    left_out: Option<Barrier>,
    count: Count,
}

/// A broken promise, and the cuts that lead to it: the call each struck at, and how it tore.
#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug when a check fails")]
struct Finding {
    cuts: Vec<(u64, Tear)>,
    step: usize,
    broken: Broken,
}

impl Explorer {
    fn new(left_out: Option<Barrier>) -> Self {
        Self { steps: scenario(), left_out, count: Count::default() }
    }

    /// Runs up to `length` steps from `from` on `medium` with the power cut at each call in turn; tears what is pending
    /// in each of the ways that `tears` lists for the depth; opens, checks, and goes on in the same manner as long as
    /// `tears` has another level.
    fn explore(
        &mut self,
        medium: &Simulator,
        model: &Model,
        (from, length): (usize, usize),
        levels: &[fn(&Simulator) -> Vec<Tear>],
        cuts: &mut Vec<(u64, Tear)>,
    ) -> Result<(), Finding> {
        let Some((tears, deeper)) = levels.split_first() else { return Ok(()) };
        for call in 0.. {
            let mut armed = medium.clone();
            armed.arm(call, Fault::Power);
            let Some((torn, step, before, after)) = self.run(armed, model, from, length) else { break };
            for tear in tears(&torn) {
                let mut left = torn.clone();
                left.tear(tear);
                cuts.push((call, tear));
                self.count.cuts += 1;
                let finding = |broken| Finding { cuts: cuts.clone(), step, broken };
                let reopened = Driver::reopen(left.clone(), self.left_out, &[&before, &after]).map_err(finding)?;
                if before != after {
                    let count = &mut self.count;
                    *if reopened.model == after { &mut count.completed } else { &mut count.rolled_back } += 1;
                }
                let found = reopened.model.clone();
                let next = if before != after && found == after { step + 1 } else { step };
                self.go_on(reopened, next).map_err(finding)?;
                self.explore(&left, &found, (next, 2), deeper, cuts)?;
                cuts.pop();
            }
        }
        Ok(())
    }

    /// Opens and makes steps until the armed cut strikes: the medium, the step, and the models before and after it.
    /// `None` if it did not strike.
    fn run(
        &self,
        mut medium: Simulator,
        model: &Model,
        from: usize,
        length: usize,
    ) -> Option<(Simulator, usize, Model, Model)> {
        let Ok(store) = Store::open_without(&mut medium, self.left_out) else {
            return Some((medium, from, model.clone(), model.clone()));
        };
        let mut driver = Driver { store, model: model.clone() };
        for (number, step) in self.steps.iter().enumerate().skip(from).take(length) {
            if driver.step(number, step).is_err() {
                let before = driver.model;
                let after = model::after(&before, number, step);
                return Some((medium, number, before, after));
            }
        }
        None
    }

    /// A store that came back works: makes the next steps, and holds what they leave after the power went again.
    fn go_on(&self, mut driver: Driver<Simulator>, from: usize) -> Result<(), Broken> {
        for (number, step) in self.steps.iter().enumerate().skip(from).take(2) {
            driver.step(number, step).map_err(Broken::Works)?;
        }
        driver.check()?;
        let mut medium = driver.store.into_medium();
        medium.tear(Tear::Nothing);
        Driver { store: Store::open(medium).map_err(Broken::Opens)?, model: driver.model }.check()
    }
}

pub(super) fn formatted() -> Simulator {
    let store = Store::format_with(Simulator::for_layout(layout()), layout(), [7; 16]).unwrap();
    store.into_medium()
}

/// Every shape; every byte and bit of what is short, a good sample of what is long.
fn all_tears(medium: &Simulator) -> Vec<Tear> {
    let (bytes, bits) = (medium.pending_bytes(), medium.pending_bits());
    let mut tears = vec![Tear::Nothing, Tear::Everything];
    tears.extend((0..3).flat_map(|write| [Tear::Only(write), Tear::Without(write)]));
    // An odd stride meets every residue of sector and page.
    let stride = |all: usize| if all <= 512 { 1 } else { (all / 256) | 1 };
    tears.extend((1..bytes).step_by(stride(bytes)).flat_map(|n| [Tear::Prefix(n), Tear::Suffix(n)]));
    tears.extend((0..bits).step_by(stride(bits)).flat_map(|n| [Tear::Bit(n), Tear::AllButBit(n)]));
    tears.extend((0..100).flat_map(|seed| [Tear::Random(seed), Tear::Sectors(seed), Tear::Garbage(seed)]));
    tears
}

fn some_tears(medium: &Simulator) -> Vec<Tear> {
    let bytes = medium.pending_bytes();
    let mut tears = vec![Tear::Nothing, Tear::Everything, Tear::Only(0), Tear::Without(0)];
    tears.extend([Tear::Prefix(bytes / 3), Tear::Suffix(bytes / 3), Tear::Bit(0), Tear::AllButBit(1)]);
    tears.extend((0..3).flat_map(|seed| [Tear::Random(seed), Tear::Sectors(seed), Tear::Garbage(seed)]));
    tears
}

fn explore(left_out: Option<Barrier>, levels: &[fn(&Simulator) -> Vec<Tear>]) -> Result<Count, Finding> {
    let mut explorer = Explorer::new(left_out);
    let length = explorer.steps.len();
    explorer.explore(&formatted(), &Model::new(), (0, length), levels, &mut Vec::new())?;
    Ok(explorer.count)
}

#[test]
fn the_scenario_crosses_compactions_and_reuses_space() {
    let mut driver = Driver { store: Store::open(formatted()).unwrap(), model: Model::new() };
    for (number, step) in scenario().iter().enumerate() {
        driver.step(number, step).unwrap();
        driver.check().unwrap();
    }
    let stats = driver.store.stats();
    assert_eq!(stats.commits, 14);
    assert!(stats.compactions >= 3, "{stats:?}");
    assert!(stats.compactions <= 8, "appends are tested too: {stats:?}");
    assert!(stats.bytes_written > driver.store.capacity(), "data pages are used again: {stats:?}");
}

#[test]
fn a_cut_at_every_call_leaves_the_state_before_or_after() {
    let count = explore(None, &[all_tears]).unwrap();
    assert!(count.cuts > 20_000, "{count:?}");
    assert!(count.rolled_back > 1000 && count.completed > 1000, "{count:?}");
}

#[test]
fn a_second_cut_while_recovering_from_the_first_does_no_harm_either() {
    let count = explore(None, &[some_tears, some_tears]).unwrap();
    assert!(count.cuts > 20_000, "{count:?}");
}

/// A commit is torn so that almost nothing lacks, and what comes after it is another commit, torn so that almost nothing
/// takes effect: the two together must not be the first.
#[test]
fn a_torn_commit_is_not_completed_by_the_next() {
    let mut count = 0;
    let another = Step::Change(vec![(9, Some(33))]);
    let steps = scenario();
    for call in 1.. {
        let mut torn = formatted();
        torn.arm(call, Fault::Power);
        let mut driver = Driver { store: Store::open(&mut torn).unwrap(), model: Model::new() };
        let cut = steps.iter().enumerate().find(|(number, step)| driver.step(*number, step).is_err());
        let Some((number, step)) = cut else { break };
        let before = driver.model;
        let after = model::after(&before, number, step);
        let (bytes, bits) = (torn.pending_bytes(), torn.pending_bits());
        let lacking = [1, 4, 8, 16, 24, 28, 32].map(|bytes_lacking| Tear::Suffix(bytes.saturating_sub(bytes_lacking)));
        for tear in (0..bits.min(100)).map(Tear::AllButBit).chain(lacking) {
            let mut left = torn.clone();
            left.tear(tear);
            let found = Driver::reopen(left.clone(), None, &[&before, &after]).unwrap().model;
            if found == after {
                continue;
            }
            let allowed = [&before, &model::after(&before, steps.len(), &another)];
            for call in 1.. {
                let mut left = left.clone();
                left.arm(call, Fault::Power);
                let mut driver = Driver { store: Store::open(&mut left).unwrap(), model: before.clone() };
                if driver.step(steps.len(), &another).is_ok() {
                    break;
                }
                for tear in (0..4).map(Tear::Bit).chain([1, 4, 8, 16, 24, 28, 32].map(Tear::Prefix)) {
                    let mut left = left.clone();
                    left.tear(tear);
                    Driver::reopen(left, None, &allowed).unwrap();
                    count += 1;
                }
            }
        }
    }
    assert!(count > 10_000, "{count}");
}

#[test]
fn a_barrier_left_out_is_noticed() {
    for barrier in [Barrier::Extents, Barrier::Frame, Barrier::Snapshot, Barrier::Header] {
        let finding = explore(Some(barrier), &[all_tears]);
        assert!(finding.is_err(), "nobody noticed that {barrier:?} was left out: {:?}", finding.ok());
    }
}

/// Cuts formatting at every call: images made, images refused.
fn explore_format(left_out: Option<Barrier>) -> Result<(u64, u64), (u64, Tear, FlashError)> {
    let (mut made, mut refused) = (0, 0);
    for call in 0.. {
        let mut torn = Simulator::for_layout(layout());
        torn.arm(call, Fault::Power);
        if Store::format_without(&mut torn, layout(), left_out).is_ok() {
            break;
        }
        for tear in all_tears(&torn) {
            let mut left = torn.clone();
            left.tear(tear);
            match Store::open(left) {
                Ok(store) => {
                    assert_eq!((store.identity(), store.range(..).count()), ([7; 16], 0), "{call} {tear:?}");
                    made += 1;
                }
                Err(error @ FlashError::Journal { .. }) => return Err((call, tear, error)),
                Err(_) => refused += 1,
            }
        }
    }
    Ok((made, refused))
}

#[test]
fn a_cut_while_formatting_leaves_an_image_or_none() {
    let (made, refused) = explore_format(None).unwrap();
    assert!(made > 0 && refused > 1000, "{made} made, {refused} refused");
    explore_format(Some(Barrier::Made)).expect_err("a superblock without a journal is noticed");
}
