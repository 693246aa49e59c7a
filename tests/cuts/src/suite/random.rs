//! Suite `random`: cuts at random, in rows of random length, for as long as one likes.

use crate::course::Course;
use crate::driver::{Broken, Stopped};
use crate::explore::{Allowed, Count, Ended, Explorer};
use crate::id::{Cut, Id};
use crate::pool;
use crate::report::{Failure, Report};
use smcard_flash::sim::{Random, Simulator, Tear};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Name of the suite. Its ids are those of suite `cuts`.
pub const NAME: &str = "random";

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// After so many cuts.
    pub cuts: u64,
    /// Or after so much time.
    pub time: Duration,
}

/// Longest row of cuts.
const ROW: usize = 5;
/// Calls after a reopening among which the next cut strikes.
const REACH: usize = 30;

/// A medium at the moment when the power went, not yet torn.
struct Torn {
    course: usize,
    call: u64,
    simulator: Simulator,
    stopped: Stopped,
}

/// Every moment of every course at which something was pending.
fn moments(courses: &[Course]) -> Vec<Torn> {
    let all: Vec<_> = (0..courses.len()).flat_map(|c| (0..courses[c].calls).map(move |call| (c, call))).collect();
    let parts = pool::run(all.len(), Vec::new, |torn, item| {
        let (course, call) = all[item];
        let Course { start, fresh, case, .. } = &courses[course];
        let steps = 0..case.scenario.steps.len();
        if let Ok(Ended::Struck(simulator, stopped)) =
            Explorer::new(&courses[course]).run(start, fresh, steps, Some(call))
        {
            if !simulator.has_failed_at_barrier() {
                torn.push(Torn { course, call, simulator, stopped });
            }
        }
        true
    });
    parts.into_iter().flatten().collect()
}

/// A way to tear what is pending.
fn tear(simulator: &Simulator, random: &mut Random) -> Tear {
    match random.below(12) {
        0 => Tear::Nothing,
        1 => Tear::Everything,
        2 => Tear::Prefix(random.below(simulator.pending_bytes())),
        3 => Tear::Suffix(random.below(simulator.pending_bytes())),
        4 => Tear::Bit(random.below(simulator.pending_bits())),
        5 => Tear::AllButBit(random.below(simulator.pending_bits())),
        6 => Tear::Sectors(random.next() % 100_000),
        7 => Tear::Garbage(random.next() % 100_000),
        _ => Tear::Random(random.next() % 1_000_000_000),
    }
}

/// One row of cuts, and what follows; the number of cuts.
fn row(
    explorer: &mut Explorer<'_>,
    from: &Torn,
    all: usize,
    random: &mut Random,
    cuts: &mut Vec<Cut>,
) -> Result<(), Broken> {
    let mut torn = from.simulator.clone();
    let mut stopped = from.stopped.clone();
    let mut call = from.call;
    for left in (0..=random.below(ROW)).rev() {
        let cut = Cut { call, tear: tear(&torn, random) };
        cuts.push(cut);
        torn.tear(cut.tear);
        let allowed = Allowed::after(&stopped);
        let found = explorer.find(&torn, &allowed)?;
        let steps = found.next..(found.next + 3).min(all);
        if left > 0 {
            call = random.below(REACH) as u64;
            if let Ended::Struck(simulator, again) = explorer.run(&torn, &found.model, steps.clone(), Some(call))? {
                (torn, stopped) = (simulator, again);
                continue;
            }
        }
        return explorer.go_on(&torn, &found.model, &steps);
    }
    Ok(())
}

/// Cuts at random until `length` is reached, beginning with `seed`. `tell` hears how far it is, about every ten seconds.
pub fn run(courses: &[Course], seed: u64, length: Length, tell: impl Fn(String) + Sync) -> Report {
    let start = Instant::now();
    let moments = moments(courses);
    let done = AtomicU64::new(0);
    let told = Mutex::new(start);
    let stop = AtomicBool::new(false);
    let begin = || (courses.iter().map(Explorer::new).collect::<Vec<_>>(), None::<Failure>);
    let parts = pool::run(usize::MAX, begin, |(explorers, failure), item| {
        let mut random = Random::new(seed.wrapping_add(item as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let from = &moments[random.below(moments.len())];
        let mut cuts = Vec::new();
        let all = courses[from.course].case.scenario.steps.len();
        let ended = row(&mut explorers[from.course], from, all, &mut random, &mut cuts);
        let count = done.fetch_add(cuts.len() as u64, Ordering::Relaxed) + cuts.len() as u64;
        if let Err(broken) = ended {
            let case = courses[from.course].name.clone();
            let id = Id { suite: super::cuts::NAME.to_owned(), case, cuts };
            *failure = Some(Failure { id: id.to_string(), what: broken.to_string() });
            stop.store(true, Ordering::Relaxed);
        }
        if let Ok(mut last) = told.try_lock() {
            if last.elapsed() > Duration::from_secs(10) {
                *last = Instant::now();
                tell(format!("{count} random cuts in {:.0} s", start.elapsed().as_secs_f64()));
            }
        }
        count < length.cuts && start.elapsed() < length.time && !stop.load(Ordering::Relaxed)
    });
    let mut report = Report { suite: NAME, ..Report::default() };
    let mut count = Count::default();
    for (explorers, failure) in parts {
        explorers.iter().for_each(|explorer| count.add(&explorer.count));
        report.failures.extend(failure);
    }
    report.passed = u64::from(report.failures.is_empty());
    report.tried = done.into_inner();
    report.time = start.elapsed();
    report.details = format!(
        "\n         seed {seed}; found before {}, within {}, after {}",
        count.rolled_back, count.within, count.completed
    );
    report
}
