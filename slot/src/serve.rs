//! The program's loop: one thread that waits for the machine, for the control socket, for signals and for the card's time.

use crate::bay::{Bay, Receptacle};
use crate::control::Control;
use crate::device::Pace;
use crate::memory::GuestMemory;
use crate::socket::Listener;
use crate::vfio::Session;
use crate::vfio::connection::{Connection, ConnectionError};
use crate::vfio::dma::Maps;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;
use thiserror::Error;

/// Messages that are served before signals, requests and the card have their turn again.
const MESSAGES_AT_ONCE: usize = 64;

/// What the system refuses.
#[derive(Debug, Error)]
#[error("{what}: {source}")]
pub struct SystemError {
    what: &'static str,
    source: io::Error,
}

/// Signals that end the program: SIGINT, SIGTERM and SIGHUP.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks them, for this thread and all it will start, so that they can be waited for.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn new() -> Result<Self, SystemError> {
        let set = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let refused = |source: nix::Error| SystemError { what: "waiting for signals", source: source.into() };
        set.thread_block().map_err(refused)?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map(Signals).map_err(refused)
    }

    fn has_come(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }
}

/// Why the loop has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// A signal.
    Signal,
    /// The machine has gone, and one was enough.
    Machine,
}

/// A device that is served to one machine after the other.
pub struct Server<R: Receptacle> {
    bay: Bay<R>,
    listener: Listener,
    control: Control,
    machine: Option<(Connection, Session)>,
    /// The memory where there is no machine.
    nothing: Maps,
    begin: Instant,
}

struct Ready {
    signal: bool,
    listener: bool,
    machine: bool,
    control: bool,
}

impl<R: Receptacle> Server<R> {
    /// Machines come to `listener`, requests to `control`.
    pub fn new(bay: Bay<R>, listener: Listener, control: Listener) -> Self {
        let control = Control::new(control);
        Server { bay, listener, control, machine: None, nothing: Maps::default(), begin: Instant::now() }
    }

    /// Serves until a signal comes, or with `once` until the first machine has gone. Then the card is pulled out.
    ///
    /// # Errors
    /// The system does not let it wait.
    pub fn run(mut self, signals: &Signals, once: bool) -> Result<End, SystemError> {
        let end = self.serve(signals, once);
        // An empty slot is as good.
        let _ = self.bay.eject();
        end
    }

    fn serve(&mut self, signals: &Signals, once: bool) -> Result<End, SystemError> {
        loop {
            let pace = self.step();
            let ready = self.wait(signals, pace)?;
            if ready.signal && signals.has_come() {
                return Ok(End::Signal);
            }
            if ready.control {
                let (bay, machine) = (&mut self.bay, self.machine.is_some());
                self.control.serve(|request| bay.perform(&request, machine));
            }
            if ready.machine {
                if let Err(error) = self.messages() {
                    match error {
                        ConnectionError::Closed => log::info!("{error}"),
                        error => log::error!("the machine is given up: {error}"),
                    }
                    self.machine = None;
                    self.bay.device().reset();
                    if once {
                        return Ok(End::Machine);
                    }
                }
            }
            if ready.listener {
                self.accept();
            }
        }
    }

    /// Lets the device go on, and tells the guest if it has to say something.
    fn step(&mut self) -> Pace {
        let device = self.bay.device();
        let memory: &dyn GuestMemory = self.machine.as_ref().map_or(&self.nothing, |(_, session)| session.memory());
        let pace = device.step(self.begin.elapsed(), memory);
        if let Some((_, session)) = &mut self.machine {
            session.update(device);
        }
        pace
    }

    fn wait(&self, signals: &Signals, pace: Pace) -> Result<Ready, SystemError> {
        let listener = self.listener.socket().as_fd();
        // Without a machine the listener stands in its place.
        let machine = self.machine.as_ref().map_or(listener, |(connection, _)| connection.as_fd());
        let mut descriptors = vec![signals.0.as_fd(), listener, machine];
        descriptors.extend(self.control.descriptors());
        let mut polled: Vec<_> = descriptors.iter().map(|descriptor| PollFd::new(descriptor, PollFlags::IN)).collect();
        let timeout = match pace {
            Pace::Idle => None,
            Pace::Now => Some(Timespec::default()),
            // Longer than the system can wait is for ever.
            Pace::After(time) => Timespec::try_from(time).ok(),
        };
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(SystemError { what: "waiting for the machine", source: error.into() }),
        }
        let mut ready = polled.iter().map(|polled| !polled.revents().is_empty());
        let mut next = || ready.next().unwrap_or(false);
        let (signal, listener, machine) = (next(), next(), next() && self.machine.is_some());
        Ok(Ready { signal, listener, machine, control: ready.any(|ready| ready) })
    }

    fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.socket().accept() else { return };
        if self.machine.is_some() {
            log::warn!("a second machine is sent away: a slot serves one");
            return;
        }
        match Connection::new(stream) {
            Ok(connection) => {
                log::info!("a virtual machine has connected");
                self.machine = Some((connection, Session::new(self.bay.device())));
            }
            Err(error) => log::error!("a virtual machine cannot be served: {error}"),
        }
    }

    /// Serves what the machine has sent.
    fn messages(&mut self) -> Result<(), ConnectionError> {
        for _ in 0..MESSAGES_AT_ONCE {
            let Some((connection, session)) = &mut self.machine else { return Ok(()) };
            let Some(message) = connection.receive()? else { return Ok(()) };
            if let Some(answer) = session.handle(message, self.bay.device()) {
                connection.send(&answer)?;
            }
            // What the card does at once is done before the guest asks for it.
            self.step();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
