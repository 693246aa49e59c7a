//! Simulated time, and the link that breaks in it. Nobody sleeps: who takes time says how much.

use crate::breaks::Breaks;
use crate::profile::RECONNECT;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The link broke; the clock stands at that moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Broken;

/// The time and the link of one run, as terminal, cable and card see it.
#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<State>>);

struct State {
    now: Duration,
    breaks: Breaks,
    next: Option<Duration>,
    down: bool,
    seen: u32,
    begun: u32,
}

impl World {
    /// The beginning: the link is up.
    pub(crate) fn new(mut breaks: Breaks) -> Self {
        let next = breaks.after(Duration::ZERO);
        World(Arc::new(Mutex::new(State { now: Duration::ZERO, breaks, next, down: false, seen: 0, begun: 0 })))
    }

    /// Time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.lock().now
    }

    /// True from a break until the link is up again.
    pub(crate) fn is_down(&self) -> bool {
        self.lock().down
    }

    /// From here on the link lasts.
    pub(crate) fn calm(&self) {
        let mut state = self.lock();
        (state.breaks, state.next) = (Breaks::Never, None);
    }

    /// Breaks that somebody met.
    pub(crate) fn breaks(&self) -> u32 {
        self.lock().seen
    }

    /// Commands of the application that the card has begun.
    pub(crate) fn begun(&self) -> u32 {
        self.lock().begun
    }

    /// Something that needs the link takes this long, if the link lasts.
    pub(crate) fn pass(&self, time: Duration) -> Result<(), Broken> {
        let mut state = self.lock();
        if state.down {
            return Err(Broken);
        }
        let end = state.now + time;
        match state.next {
            Some(next) if next < end => {
                // A break while nobody used the link is met by whoever uses it first.
                state.now = state.now.max(next);
                state.down = true;
                state.seen += 1;
                Err(Broken)
            }
            _ => {
                state.now = end;
                Ok(())
            }
        }
    }

    /// The same for a command of the application.
    pub(crate) fn give(&self, time: Duration) -> Result<(), Broken> {
        let mut state = self.lock();
        state.begun += u32::from(!state.down);
        drop(state);
        self.pass(time)
    }

    /// The terminal waits.
    pub(crate) fn wait(&self, time: Duration) {
        self.lock().now += time;
    }

    /// The link comes up again.
    pub(crate) fn reconnect(&self) {
        let mut state = self.lock();
        state.now += RECONNECT;
        state.down = false;
        let now = state.now;
        state.next = state.breaks.after(now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_clock_adds_up() {
        let world = World::new(Breaks::Never);
        assert_eq!((world.pass(s(2)), world.give(s(3))), (Ok(()), Ok(())));
        world.wait(s(10));
        assert_eq!((world.now(), world.begun(), world.breaks()), (s(15), 1, 0));
    }

    #[test]
    fn a_break_ends_what_it_meets_and_everything_until_the_link_is_back() {
        let world = World::new(Breaks::At(vec![s(5), s(6), s(20)]));
        assert_eq!(world.pass(s(5)), Ok(()), "done as it breaks");
        assert_eq!(world.give(s(4)), Err(Broken));
        assert_eq!((world.now(), world.begun()), (s(5), 1), "begun, and not done");
        assert_eq!(world.give(s(1)), Err(Broken));
        assert_eq!((world.now(), world.begun(), world.breaks()), (s(5), 1, 1), "nothing is begun without a link");
        world.reconnect();
        assert_eq!(world.now(), s(5) + RECONNECT);
        assert_eq!(world.pass(s(20)), Err(Broken));
        assert_eq!(world.now(), s(20), "a link that is down does not break: not at 6");
    }

    #[test]
    fn a_break_in_a_wait_is_met_by_the_next_exchange() {
        let world = World::new(Breaks::At(vec![s(3)]));
        world.wait(s(7));
        assert_eq!(world.pass(s(1)), Err(Broken));
        assert_eq!(world.now(), s(7));
    }
}
