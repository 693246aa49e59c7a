//! All runs of all methods at all rates.

use crate::application::Application;
use crate::breaks::Breaks;
use crate::figures::Figures;
use crate::method::{METHODS, Method, Outcome, run};
use anyhow::{Context, Result};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Bytes of the applications.
pub(crate) const SIZES: [usize; 3] = [30_000, 100_000, 1_000_000];
/// Breaks an hour.
pub(crate) const RATES: [u32; 8] = [0, 6, 12, 30, 60, 120, 300, 600];
/// A run that has taken so many times what loading one by one takes undisturbed is given up at the next break.
pub(crate) const LIMIT: u32 = 10;

/// One method at all rates.
pub(crate) struct Line {
    pub(crate) method: Method,
    /// One for each of [`RATES`].
    pub(crate) figures: Vec<Figures>,
}

/// One application.
pub(crate) struct Survey {
    pub(crate) application: Application,
    /// What loading one by one takes undisturbed.
    pub(crate) undisturbed: Duration,
    pub(crate) lines: Vec<Line>,
}

impl Survey {
    /// So many runs for each method and rate. The same seed gives the same figures. A run has the same breaks with every
    /// method, and at another rate the same ones closer together, so that what differs is not chance.
    pub(crate) fn new(size: usize, runs: u32, seed: u64) -> Result<Self> {
        let application = Application::new(size)?;
        let card = application.card(Method::OneByOne.recovery())?;
        let alone = run(Method::OneByOne, &application, card, Breaks::Never, Duration::MAX)?;
        let undisturbed = alone.finished.context("an undisturbed load ends")?;
        let mut lines = Vec::new();
        for method in METHODS {
            // With one package they are the same.
            if method == Method::PackageByPackage && application.packages.len() == 1 {
                continue;
            }
            let card = application.card(method.recovery())?;
            let figures = RATES.map(|rate| {
                let runs = if rate == 0 { 1 } else { runs };
                let outcomes = in_parallel(runs, |number| {
                    let breaks = Breaks::per_hour(rate, seed_of(seed, number));
                    run(method, &application, card.clone(), breaks, undisturbed * LIMIT)
                })?;
                Ok(Figures::new(&outcomes, application.count))
            });
            lines.push(Line { method, figures: figures.into_iter().collect::<Result<_>>()? });
            eprintln!("{size} bytes: {} is done", method.name());
        }
        Ok(Survey { application, undisturbed, lines })
    }
}

/// Another one for each run.
fn seed_of(seed: u64, number: u64) -> u64 {
    seed.rotate_left(32) ^ number
}

/// The outcomes in the order of their numbers, whichever thread had them.
fn in_parallel(runs: u32, run: impl Fn(u64) -> Result<Outcome> + Sync) -> Result<Vec<Outcome>> {
    let next = AtomicU64::new(0);
    let work = || -> Result<Vec<(u64, Outcome)>> {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= u64::from(runs) {
                return Ok(done);
            }
            done.push((number, run(number).with_context(|| format!("run {number}"))?));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut all = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("a run panicked")));
        joined.collect::<Result<Vec<_>>>()
    })?
    .concat();
    all.sort_unstable_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, outcome)| outcome).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Mean;

    #[test]
    fn the_same_seed_gives_the_same_figures() {
        let figures = |seed| {
            let survey = Survey::new(5_000, 20, seed).expect("a survey");
            survey.lines.iter().map(|line| format!("{:?}", line.figures)).collect::<Vec<_>>()
        };
        assert_eq!(figures(1), figures(1));
        assert_ne!(figures(1), figures(2));
    }

    /// A try of length T that begins at zero after each break of rate λ, with R lost at each: (1/λ + R)(exp(λT) - 1).
    #[test]
    fn starting_from_zero_costs_what_the_theory_says() {
        let application = Application::new(30_000).expect("an application");
        let card = application.card(Method::OneByOne.recovery()).expect("a card");
        let outcomes = in_parallel(3_000, |number| {
            run(Method::OneByOne, &application, card.clone(), Breaks::per_hour(600, number), Duration::MAX)
        });
        let Mean::Exact(mean) = Figures::new(&outcomes.expect("runs"), application.count).seconds else {
            panic!("all finish");
        };
        // 7.706 s the first time, and a DELETE of 50 ms each time after.
        let (gap, lost, length) = (6.0, 3.1, 7.74);
        let theory = (gap + lost) * (f64::exp(length / gap) - 1.0);
        assert!((mean / theory - 1.0).abs() < 0.05, "{mean} s, and not {theory} s");
    }
}
