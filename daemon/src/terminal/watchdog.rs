//! The time limit on an exchange (system S7.1): the terminal learns that the power has failed from an answer that does
//! not come.
//!
//! A card that hangs on a wire is waited for by its driver. One that is called like a function comes back when it
//! likes, so another thread cuts its power when the limit has passed; the call then ends at once.

use smcard_link::PowerSwitch;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a card may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For any exchange.
    pub answer: Duration,
    /// For each command of an issue, beside that.
    pub command: Duration,
}

/// Commands that a batch is taken to hold where that is not known.
const COMMANDS_UNKNOWN: u32 = 10_000;

impl Default for Limits {
    /// A minute, and two seconds for each command.
    fn default() -> Self {
        Limits { answer: Duration::from_secs(60), command: Duration::from_secs(2) }
    }
}

impl Limits {
    /// For the issue of a batch of `commands`; 0 = not known.
    #[must_use]
    pub fn issue(&self, commands: u32) -> Duration {
        let commands = if commands == 0 { COMMANDS_UNKNOWN } else { commands };
        self.answer.saturating_add(self.command.saturating_mul(commands))
    }
}

/// Cuts the power of one card when its time is up.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    watch: Mutex<Watch>,
    changed: Condvar,
    power: Arc<dyn PowerSwitch>,
}

#[derive(Default)]
struct Watch {
    /// When the power is cut.
    deadline: Option<Instant>,
    /// When the thread looks next; `None` while it sleeps without end.
    looks: Option<Instant>,
    bitten: bool,
    ending: bool,
}

impl Watchdog {
    /// One for the card with this switch. Where the system has no thread for it, nothing is watched, and the log says so.
    pub(super) fn new(power: Arc<dyn PowerSwitch>) -> Self {
        let shared = Arc::new(Shared { watch: Mutex::default(), changed: Condvar::new(), power });
        let watching = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || watching.run());
        if let Err(error) = &thread {
            log::error!("no thread to watch the card's time limit: {error}");
        }
        Watchdog { shared, thread: thread.ok() }
    }

    /// Runs an exchange; the flag says whether the power was cut because it lasted longer than `limit`.
    pub(super) fn watch<T>(&self, limit: Duration, exchange: impl FnOnce() -> T) -> (T, bool) {
        {
            let mut watch = self.shared.lock();
            watch.deadline = Instant::now().checked_add(limit);
            // A thread that looks earlier anyway need not be woken.
            if watch.deadline.is_some_and(|deadline| watch.looks.is_none_or(|looks| deadline < looks)) {
                self.shared.changed.notify_one();
            }
        }
        let result = exchange();
        let mut watch = self.shared.lock();
        watch.deadline = None;
        (result, std::mem::take(&mut watch.bitten))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It ends at once, and has nothing to say.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut watch = self.lock();
        while !watch.ending {
            let now = Instant::now();
            let Some(deadline) = watch.deadline else {
                watch.looks = None;
                watch = self.changed.wait(watch).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if deadline <= now {
                (watch.deadline, watch.bitten) = (None, true);
                // Under the lock: an exchange that ends now waits until the power is really off.
                self.power.cut();
                continue;
            }
            watch.looks = Some(deadline);
            let rest = deadline.saturating_duration_since(now);
            watch = self.changed.wait_timeout(watch, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Switch(Mutex<Sender<()>>);

    impl PowerSwitch for Switch {
        fn cut(&self) {
            self.0.lock().unwrap().send(()).unwrap();
        }
    }

    #[test]
    fn the_power_is_cut_when_the_time_is_up_and_not_before() {
        let (tx, rx) = channel();
        let dog = Watchdog::new(Arc::new(Switch(Mutex::new(tx))));
        for _ in 0..100 {
            assert!(!dog.watch(Duration::from_secs(60), || ()).1);
        }
        let begun = Instant::now();
        let (cut, bitten) = dog.watch(Duration::from_millis(20), || rx.recv_timeout(Duration::from_secs(20)));
        assert!(bitten && cut.is_ok());
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert!(!dog.watch(Duration::from_secs(60), || ()).1, "once");
        assert!(rx.try_recv().is_err());
    }

    #[test]
    fn a_longer_limit_before_does_not_make_a_shorter_one_late() {
        let (tx, rx) = channel();
        let dog = Watchdog::new(Arc::new(Switch(Mutex::new(tx))));
        dog.watch(Duration::from_secs(3600), || std::thread::sleep(Duration::from_millis(5)));
        let (cut, bitten) = dog.watch(Duration::from_millis(10), || rx.recv_timeout(Duration::from_secs(20)));
        assert!(bitten && cut.is_ok());
    }

    #[test]
    fn limits_grow_with_the_batch() {
        let limits = Limits { answer: Duration::from_secs(3), command: Duration::from_millis(500) };
        assert_eq!(limits.issue(4), Duration::from_secs(5));
        assert_eq!(limits.issue(0), Duration::from_secs(5003));
        let endless = Limits { answer: Duration::MAX, ..limits };
        assert_eq!(endless.issue(u32::MAX), Duration::MAX);
    }
}
