//! What many runs come to.

use crate::method::Outcome;
use std::time::Duration;

/// A mean, as far as the runs tell.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Mean {
    /// Every run finished: it is their mean.
    Exact(f64),
    /// Some did not. All that was spent, shared among those that finished: what a finish costs where each try begins at
    /// zero (Wald's equation).
    Estimate(f64),
    /// Too few finished to tell; it is more than this, which they spent before they were given up.
    Above(f64),
}

/// Fewer runs that finished say too little of the others.
const FEW: usize = 10;

/// The figures of one method at one rate.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Times of the runs that finished, ascending.
    finished: Vec<Duration>,
    runs: usize,
    /// Seconds until the application is there.
    pub(crate) seconds: Mean,
    /// Commands given again.
    pub(crate) again: Mean,
    /// Share of all runs that finished and needed nobody, 0 to 1.
    pub(crate) unaided: f64,
}

impl Figures {
    /// Of the runs with an application of so many commands.
    pub(crate) fn new(outcomes: &[Outcome], commands: u32) -> Self {
        let mut finished: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.finished).collect();
        finished.sort_unstable();
        let runs = outcomes.len();
        let mean = |value: fn(&Outcome) -> f64, least: f64| {
            let all: f64 = outcomes.iter().map(value).sum();
            let for_each = |number: usize| all / number as f64 - least;
            match finished.len() {
                number if number == runs => Mean::Exact(for_each(runs)),
                number if number >= FEW => Mean::Estimate(for_each(number)),
                _ => Mean::Above(for_each(runs)),
            }
        };
        let seconds = mean(|outcome| outcome.ended.as_secs_f64(), 0.0);
        let again = mean(|outcome| f64::from(outcome.begun), f64::from(commands));
        let unaided = outcomes.iter().filter(|outcome| outcome.finished.is_some() && outcome.aided == 0).count();
        Figures { seconds, again, unaided: unaided as f64 / runs as f64, finished, runs }
    }

    /// Share of all runs that finished within this time, 0 to 1.
    pub(crate) fn within(&self, time: Duration) -> f64 {
        self.finished.partition_point(|finished| *finished <= time) as f64 / self.runs as f64
    }

    /// The time within which half of the runs finished; `None` where less than half did.
    pub(crate) fn median(&self) -> Option<Duration> {
        self.finished.get((self.runs - 1) / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ended: u64, finished: bool, begun: u32, aided: u32) -> Outcome {
        let ended = Duration::from_secs(ended);
        Outcome { finished: finished.then_some(ended), ended, begun, breaks: 0, aided }
    }

    #[test]
    fn shares_are_of_all_runs() {
        let runs = [(30, true, 14, 0), (10, true, 10, 0), (99, false, 50, 1), (20, true, 12, 2)];
        let runs: Vec<_> =
            runs.iter().map(|(t, finished, begun, aided)| outcome(*t, *finished, *begun, *aided)).collect();
        let figures = Figures::new(&runs.repeat(4), 10);
        let within = [9, 10, 29, 1000].map(|seconds| figures.within(Duration::from_secs(seconds)));
        assert_eq!(within, [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(figures.median(), Some(Duration::from_secs(20)));
        assert_eq!(figures.seconds, Mean::Estimate(159.0 / 3.0));
        assert_eq!(figures.again, Mean::Estimate(86.0 / 3.0 - 10.0));
        assert_eq!(figures.unaided, 0.5);
        assert_eq!(Figures::new(&runs, 10).seconds, Mean::Above(159.0 / 4.0), "three say too little");
    }

    #[test]
    fn what_never_finishes_has_no_median_and_no_mean() {
        let figures = Figures::new(&[outcome(50, false, 31, 0), outcome(60, false, 40, 0)], 10);
        assert_eq!(figures.median(), None);
        assert_eq!((figures.seconds, figures.again), (Mean::Above(55.0), Mean::Above(25.5)));
        let figures = Figures::new(&[outcome(50, true, 10, 0), outcome(60, true, 10, 0)], 10);
        assert_eq!((figures.seconds, figures.again), (Mean::Exact(55.0), Mean::Exact(0.0)));
    }
}
