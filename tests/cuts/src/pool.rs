//! Work for all processors: items in a row, each taken by whoever is free.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs `work` on as many threads as there are processors. Each thread makes its own state with `begin`, takes items by
/// their number until `items` are gone or it says stop, and hands its state back.
pub fn run<S: Send>(items: usize, begin: impl Fn() -> S + Sync, work: impl Fn(&mut S, usize) -> bool + Sync) -> Vec<S> {
    let next = AtomicUsize::new(0);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..processors)
            .map(|_| {
                scope.spawn(|| {
                    let mut state = begin();
                    loop {
                        let item = next.fetch_add(1, Ordering::Relaxed);
                        if item >= items || !work(&mut state, item) {
                            return state;
                        }
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_taken_once() {
        let states = run(100, Vec::new, |taken, item| {
            taken.push(item);
            true
        });
        let mut all: Vec<_> = states.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..100));
    }

    #[test]
    fn who_says_stop_stops() {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let taken: usize = run(
            1000,
            || 0,
            |taken, _| {
                *taken += 1;
                false
            },
        )
        .into_iter()
        .sum();
        assert_eq!(taken, processors);
    }
}
