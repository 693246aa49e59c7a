//! The secure core as the SD front sees it: it is given a job, works, and is asked whether it has done.

use crate::device::Device;
use smcard_link::{Answer, LinkError, PowerSwitch, WriteId};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use zeroize::Zeroizing;

/// What the core is to do.
pub(crate) enum Job {
    /// A command APDU.
    Transmit(Zeroizing<Vec<u8>>),
    /// Open a direct write.
    Open {
        /// Its name.
        name: Vec<u8>,
        /// Its length in bytes.
        length: u32,
    },
    /// Commit a direct write.
    Commit(WriteId),
}

/// What came of it.
pub(crate) enum Outcome {
    /// The answer to an APDU or a commit.
    Answer(Result<Answer, LinkError>),
    /// A direct write is open, or refused.
    Opened(Result<Result<WriteId, Answer>, LinkError>),
}

/// Does the jobs. One at a time: the caller starts none while one is being worked on.
pub(crate) trait Core: Send {
    /// The device inside: the blocks of a direct write go straight into it.
    fn device(&self) -> &Device;

    /// Starts a job.
    fn start(&mut self, job: Job);

    /// What came of the job, once. `look`: the host has looked at the status register.
    fn poll(&mut self, look: bool) -> Option<Outcome>;

    /// Breaks the job off as a loss of power would, and brings the card up again; takes effect by and by.
    fn reset(&mut self);

    /// True until the last reset is over.
    fn is_resetting(&mut self) -> bool;

    /// Takes the supply away: the job ends as by a loss of power, nothing comes of it.
    fn power_off(&mut self);

    /// Waits until something has happened, at most that long.
    fn wait(&mut self, limit: Duration);
}

/// When a core without a thread does its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Worked {
    /// When it gets the job: a reset before the answer was fetched finds it done.
    First,
    /// When the answer is due: a reset before finds nothing done.
    Last,
}

/// Who does the work of the secure core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Executor {
    /// A thread of its own: the bus stays free while the core works. For real use.
    Thread,
    /// The caller's thread, deterministic: the answer is there when the status register has been read `polls` times. For
    /// tests.
    Inline {
        /// Readings of the status register that find the command in progress.
        polls: u32,
        /// When the work is done.
        worked: Worked,
    },
}

impl Executor {
    /// The core of `device`.
    pub(crate) fn core(self, device: Arc<Device>) -> io::Result<Box<dyn Core>> {
        Ok(match self {
            Executor::Thread => Box::new(Threaded::new(device)?),
            Executor::Inline { polls, worked } => {
                Box::new(Inline { device, polls, worked, job: None, outcome: None, left: 0 })
            }
        })
    }
}

fn work(device: &Device, job: Job) -> Outcome {
    match job {
        Job::Transmit(apdu) => Outcome::Answer(device.transmit(&apdu)),
        Job::Open { name, length } => Outcome::Opened(device.write_open(&name, length)),
        Job::Commit(id) => Outcome::Answer(device.write_commit(id)),
    }
}

struct Inline {
    device: Arc<Device>,
    polls: u32,
    worked: Worked,
    job: Option<Job>,
    outcome: Option<Outcome>,
    left: u32,
}

impl Core for Inline {
    fn device(&self) -> &Device {
        &self.device
    }

    fn start(&mut self, job: Job) {
        self.left = self.polls;
        match self.worked {
            Worked::First => self.outcome = Some(work(&self.device, job)),
            Worked::Last => self.job = Some(job),
        }
    }

    fn poll(&mut self, look: bool) -> Option<Outcome> {
        if self.left > 0 {
            self.left -= u32::from(look);
            return None;
        }
        let job = self.job.take().map(|job| work(&self.device, job));
        job.or_else(|| self.outcome.take())
    }

    fn reset(&mut self) {
        self.power_off();
        // A card that does not come up is mute, and says so to the next command.
        let _ = self.device.reset();
    }

    fn is_resetting(&mut self) -> bool {
        false
    }

    fn power_off(&mut self) {
        self.device.power.cut();
        self.job = None;
        self.outcome = None;
    }

    fn wait(&mut self, _: Duration) {}
}

enum Order {
    Work(Job, u64),
    Reset,
}

enum Report {
    Done(Outcome, u64),
    Reset,
}

struct Threaded {
    device: Arc<Device>,
    orders: Option<Sender<Order>>,
    reports: Receiver<Report>,
    /// What came of the job in hand.
    outcome: Option<Outcome>,
    thread: Option<JoinHandle<()>>,
    /// Number of the job in hand, or of the last one; what comes of earlier ones is of no interest.
    job: u64,
    working: bool,
    resets: u32,
}

impl Threaded {
    fn new(device: Arc<Device>) -> io::Result<Self> {
        let (orders, inbox) = channel::<Order>();
        let (outbox, reports) = channel();
        let theirs = Arc::clone(&device);
        let thread = std::thread::Builder::new().name("secure-core".to_owned()).spawn(move || {
            for order in inbox {
                let report = match order {
                    Order::Work(job, number) => Report::Done(work(&theirs, job), number),
                    Order::Reset => {
                        // A card that does not come up is mute, and says so to the next command.
                        let _ = theirs.reset();
                        Report::Reset
                    }
                };
                if outbox.send(report).is_err() {
                    break;
                }
            }
        })?;
        Ok(Threaded {
            device,
            orders: Some(orders),
            reports,
            outcome: None,
            thread: Some(thread),
            job: 0,
            working: false,
            resets: 0,
        })
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Reset => self.resets = self.resets.saturating_sub(1),
            Report::Done(outcome, number) if number == self.job && self.working => self.outcome = Some(outcome),
            Report::Done(..) => {}
        }
    }

    fn take_all(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            self.take(report);
        }
    }

    fn order(&mut self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok())
    }
}

impl Core for Threaded {
    fn device(&self) -> &Device {
        &self.device
    }

    fn start(&mut self, job: Job) {
        self.job += 1;
        self.working = self.order(Order::Work(job, self.job));
    }

    fn poll(&mut self, _: bool) -> Option<Outcome> {
        self.take_all();
        let outcome = self.outcome.take()?;
        self.working = false;
        Some(outcome)
    }

    fn reset(&mut self) {
        self.power_off();
        if self.order(Order::Reset) {
            self.resets += 1;
        }
    }

    fn is_resetting(&mut self) -> bool {
        if self.resets > 0 {
            self.take_all();
        }
        self.resets > 0
    }

    fn power_off(&mut self) {
        self.device.power.cut();
        self.working = false;
        self.outcome = None;
    }

    fn wait(&mut self, limit: Duration) {
        if (self.working && self.outcome.is_none()) || self.resets > 0 {
            if let Ok(report) = self.reports.recv_timeout(limit) {
                self.take(report);
            }
        }
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        self.device.power.cut();
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
