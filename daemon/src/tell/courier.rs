//! One receiver's thread: takes what waits in its folder there, one after the other, again and again until it is taken.

use super::TellError;
use super::outbox::{Entry, Folder, OutboxError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a receiver's thread gets to end what it does, a command to be killed.
const FAREWELL: Duration = Duration::from_millis(300);

/// Takes results to a receiver.
pub trait Courier: Send {
    /// Who it is, for the log.
    fn name(&self) -> String;

    /// Takes one result there and comes back when the receiver has it, within a bounded time. `stop` says that the daemon
    /// ends: nothing is waited for any longer then.
    ///
    /// # Errors
    /// Why the receiver does not have it, in words. It will be tried again.
    fn deliver(&mut self, entry: &Entry, stop: &Stop) -> Result<(), String>;

    /// Nothing more is to be taken for now.
    fn rest(&mut self) {}
}

/// How long to wait before a result is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After the first failure; doubled for each one after.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
    /// How often to look for what another daemon has put there.
    pub look: Duration,
}

impl Default for Pace {
    /// One second to five minutes; every minute.
    fn default() -> Self {
        let [first, longest, look] = [1, 300, 60].map(Duration::from_secs);
        Pace { first, longest, look }
    }
}

#[derive(Default)]
struct Signals {
    work: bool,
    stop: bool,
}

/// Says that the daemon ends.
#[derive(Clone, Default)]
pub struct Stop(Arc<(Mutex<Signals>, Condvar)>);

impl Stop {
    fn lock(&self) -> MutexGuard<'_, Signals> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, change: impl FnOnce(&mut Signals)) {
        change(&mut self.lock());
        self.0.1.notify_all();
    }

    /// True when the daemon ends.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.lock().stop
    }

    /// Waits; true when the daemon ends meanwhile.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let waited = self.0.1.wait_timeout_while(self.lock(), time, |signals| !signals.stop);
        waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }

    /// Waits for work, at most so long; false when the daemon ends.
    fn work(&self, time: Duration) -> bool {
        let idle = |signals: &mut Signals| !signals.stop && !signals.work;
        let mut signals =
            self.0.1.wait_timeout_while(self.lock(), time, idle).unwrap_or_else(PoisonError::into_inner).0;
        signals.work = false;
        !signals.stop
    }
}

/// The thread of one receiver.
pub(super) struct Delivery {
    folder: Folder,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Delivery {
    pub(super) fn begin(folder: Folder, courier: Box<dyn Courier>, pace: Pace) -> Result<Self, TellError> {
        let stop = Stop::default();
        let (from, stopping) = (folder.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("tell".into());
        let thread = thread.spawn(move || run(&from, courier, pace, &stopping)).map_err(TellError::Thread)?;
        Ok(Delivery { folder, stop, thread: Some(thread) })
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Something new waits.
    pub(super) fn wake(&self) {
        self.stop.signal(|signals| signals.work = true);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.stop.signal(|signals| signals.stop = true);
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + FAREWELL;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        // One that still waits for the network ends with the process; what it carries stays in the outbox.
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Delivery from {:?}", self.folder)
    }
}

fn run(folder: &Folder, mut courier: Box<dyn Courier>, pace: Pace, stop: &Stop) {
    let mut pause = pace.first;
    let mut wait = Duration::ZERO;
    while stop.work(wait) {
        wait = match drain(folder, courier.as_mut(), stop) {
            Ok(()) => {
                pause = pace.first;
                pace.look
            }
            Err(_) if stop.is_set() => return,
            Err(error) => {
                log::warn!("{}: {error}; again in {:.1} s", courier.name(), pause.as_secs_f64());
                let wait = pause;
                pause = pause.saturating_mul(2).min(pace.longest);
                wait
            }
        };
        courier.rest();
    }
}

fn drain(folder: &Folder, courier: &mut dyn Courier, stop: &Stop) -> Result<(), String> {
    let words = |error: OutboxError| error.to_string();
    let names = folder.waiting().map_err(words)?;
    if names.is_empty() {
        return Ok(());
    }
    let _lock = folder.lock().map_err(words)?;
    for name in names {
        // Another daemon may have taken it while the lock was waited for.
        let Some(entry) = folder.read(&name).map_err(words)? else { continue };
        courier.deliver(&entry, stop)?;
        log::info!("{}: told of issue {}-{}", courier.name(), entry.cid, entry.number);
        folder.remove(&name).map_err(words)?;
    }
    Ok(())
}
