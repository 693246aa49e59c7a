//! Medians of interleaved rounds.

use anyhow::Result;
use std::time::{Duration, Instant};

/// The times of one way of doing something.
#[derive(Clone, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The middle one; of an even number the later of the two.
    pub(crate) fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    pub(crate) fn min(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    pub(crate) fn max(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }

    /// How many times longer this takes than `other`, by the medians.
    pub(crate) fn over(&self, other: &Samples) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64()
    }
}

/// Runs every way once in each round, in another order each time, so that whatever slows the machine down for a while
/// slows all of them. `run` does one and gives the time of the part that counts. One round before the first is not kept.
pub(crate) fn interleave<W>(
    rounds: usize,
    ways: &[W],
    mut run: impl FnMut(&W) -> Result<Duration>,
) -> Result<Vec<Samples>> {
    let mut samples = vec![Samples::default(); ways.len()];
    for round in 0..=rounds {
        for step in 0..ways.len() {
            let index = (step + round) % ways.len();
            let time = run(&ways[index])?;
            if round > 0 {
                samples[index].push(time);
            }
        }
    }
    Ok(samples)
}

/// The time that `act` takes, and what it gives.
pub(crate) fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = act();
    (result, begin.elapsed())
}

/// A time in the unit that reads best.
pub(crate) fn show(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        1.0.. => format!("{seconds:.2} s"),
        1e-3.. => format!("{:.2} ms", seconds * 1e3),
        1e-6.. => format!("{:.1} µs", seconds * 1e6),
        _ => format!("{:.0} ns", seconds * 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_no_mean() {
        let mut samples = Samples::default();
        [9, 1, 2, 1000, 3].map(Duration::from_millis).into_iter().for_each(|time| samples.push(time));
        assert_eq!((samples.median(), samples.min()), (Duration::from_millis(3), Duration::from_millis(1)));
    }

    #[test]
    fn every_way_runs_in_every_round_and_the_first_round_is_not_kept() {
        let mut order = Vec::new();
        let samples = interleave(3, &['a', 'b'], |way| {
            order.push(*way);
            Ok(Duration::from_millis(order.len() as u64))
        });
        assert_eq!(order.iter().collect::<String>(), "abbaabba");
        assert_eq!(samples.expect("no error").iter().map(|way| way.0.len()).collect::<Vec<_>>(), [3, 3]);
    }

    #[test]
    fn times_have_the_unit_that_reads_best() {
        for (nanoseconds, text) in
            [(640, "640 ns"), (7_640, "7.6 µs"), (2_345_678, "2.35 ms"), (1_500_000_000, "1.50 s")]
        {
            assert_eq!(show(Duration::from_nanos(nanoseconds)), text);
        }
    }
}
