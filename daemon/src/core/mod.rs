//! The file system without FUSE: every operation of the mount as a method.
//!
//! [`Core`] is shared by the FUSE thread, which calls these methods and never waits, and the card thread, which takes
//! [`Job`]s. What both know is one [`State`] behind one lock; the lock is never held while somebody is answered, woken
//! or the card is asked.
//!
//! An operation that needs the card takes a [`Reply`] and may answer later, from the card thread. One that does not
//! returns its answer.

mod batches;
mod browse;
mod operations;
mod record;
mod state;

pub use batches::OpenFlags;
pub use browse::{DirEntry, Opened, StatFs};
pub use operations::Readiness;
pub(crate) use operations::Resolved;
pub use state::{Handle, State};

use crate::control::Outcome;
use crate::job::{Job, Parts};
use crate::queue::{Popped, Queue};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::status::View;
use crate::tree::Rights;
use smcard_card::CommandRecorder;
use smcard_link::{PowerSwitch, Recorder};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Most jobs that wait for the card, beside what must not be lost.
const QUEUE_MAX: usize = 1024;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Thread, as FUSE tells it; 0 where it is in no name space of ours.
    pub tid: u32,
}

/// What the core needs to know of the world.
pub struct Surroundings {
    /// Ownership and modes.
    pub rights: Rights,
    /// The process a thread belongs to.
    pub process_of: fn(u32) -> Option<u32>,
    /// The card's power switch.
    pub power: Option<Arc<dyn PowerSwitch>>,
    /// What crosses the wire to the card.
    pub trace: Arc<Recorder>,
    /// What records the commands of an emulated card; `None` where the configuration does not allow it.
    pub recording: Option<CommandRecorder>,
}

/// The file system.
pub struct Core {
    state: Mutex<State>,
    queue: Queue<Job>,
    rights: Rights,
    process_of: fn(u32) -> Option<u32>,
    power: Mutex<Option<Arc<dyn PowerSwitch>>>,
    recording: Option<CommandRecorder>,
    mounted: SystemTime,
}

impl Core {
    /// A file system for a card of which `view` is known.
    #[must_use]
    pub fn new(view: View, surroundings: Surroundings) -> Arc<Self> {
        let Surroundings { rights, process_of, power, trace, recording } = surroundings;
        Arc::new(Core {
            state: Mutex::new(State::new(view, trace)),
            queue: Queue::new(QUEUE_MAX),
            rights,
            process_of,
            power: Mutex::new(power),
            recording,
            mounted: SystemTime::now(),
        })
    }

    /// The owner of what nobody uploaded.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.rights.uid
    }

    /// The next job for the card thread.
    pub fn next_job(&self, timeout: Option<Duration>) -> Popped<Job> {
        self.queue.pop(timeout)
    }

    /// The card has another power switch, or none.
    pub(crate) fn set_power(&self, power: Option<Arc<dyn PowerSwitch>>) {
        *self.power.lock().unwrap_or_else(PoisonError::into_inner) = power;
    }

    /// The card may have been taken out: the card thread looks.
    pub fn look(&self) {
        // Refused only where the daemon is ending.
        let _ = self.queue.push_always(Job::Look);
    }

    /// Somebody has changed what the card holds over another of its interfaces.
    pub fn content_changed(&self) {
        self.update(|state| {
            state.stale = state.stale.and(Parts::OPEN).and(Parts::APPS);
            state.changed();
        });
    }

    /// Ends the service: jobs that wait are dropped, those who wait for them answered. A running issue is broken off by
    /// cutting the power, so that the card thread comes back at once.
    pub fn close(&self) {
        self.queue.close();
        let running = self.update(|state| {
            state.ending = true;
            state.view.running.is_some()
        });
        if running {
            log::warn!("an issue is running: its power is cut, START goes on or over as the card's recovery says");
            self.cut_power();
        }
    }

    /// The card thread has ended: no issue runs any more, and operations that wait will not be done.
    pub fn ended(&self) {
        self.queue.close();
        self.update(|state| {
            state.ending = true;
            state.view.running = None;
            for handle in state.handles.values_mut() {
                if let Handle::Control(control) = handle {
                    control.abandon(Outcome::failed(Refusal::Ending.errno()), Instant::now());
                }
            }
            state.changed();
        });
    }

    /// Reads the state.
    pub fn read<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state, then wakes the programs to which that is news.
    pub fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, wakers) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = change(&mut state);
            (result, state.wakers())
        };
        for wake in wakers {
            wake();
        }
        result
    }

    /// Why the queue did not take a job.
    fn not_taken(&self) -> Refusal {
        if self.read(|state| state.ending) { Refusal::Ending } else { Refusal::QueueFull }
    }

    pub(crate) fn cut_power(&self) {
        match &*self.power.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(power) => power.cut(),
            None => log::warn!("this card has no power switch: the issue goes on"),
        }
    }

    /// Goes on with `then` once the wanted parts are fresh. Nothing is asked of the card while an issue runs, its
    /// result is awaited, a batch is on its way or a program is in a dialogue; then what is known must do.
    fn fresh(self: &Arc<Self>, wanted: Parts, then: impl FnOnce(&Arc<Core>) + Send + 'static) {
        let stale = self.read(|state| state.refreshable(wanted));
        if stale == Parts::NONE {
            return then(self);
        }
        if let Err(Job::Refresh(_, then)) = self.queue.push(Job::Refresh(stale, Box::new(then))) {
            then(self);
        }
    }

    /// Goes on with `then` once a secure channel is open, or answers why none can be.
    fn with_channel<T: 'static>(
        self: &Arc<Self>,
        reply: Reply<T>,
        then: impl FnOnce(&Arc<Core>, Reply<T>) + Send + 'static,
    ) {
        match self.read(State::admit) {
            Err(refusal) => reply.refuse(refusal),
            Ok(true) => then(self, reply),
            Ok(false) => {
                let job = Job::Channel(Box::new(move |core: &Arc<Core>, channel: Result<(), Refusal>| match channel {
                    Ok(()) => then(core, reply),
                    Err(refusal) => reply.refuse(refusal),
                }));
                if let Err(Job::Channel(then)) = self.queue.push(job) {
                    then(self, Err(self.not_taken()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
