//! From the command line to the end of the daemon.
//!
//! Three threads: this one waits for what ends the daemon, one serves FUSE, one owns the card. Others sleep: in
//! sigwait(3), until a time limit of the card passes, until its image is taken away, until a result is to be told. However the daemon ends, the mount is taken away, nobody is left waiting, and the image is closed.

use crate::apps::hex;
use crate::background;
use crate::card_thread::{Settings, Worker};
use crate::config::{Authenticate, Config, ConfigError};
use crate::core::{Core, Surroundings};
use crate::fuse::Served;
use crate::keys::{self, KeyError};
use crate::logging::Logger;
use crate::mount::{self, Mount, MountError};
use crate::notify::{self, notify};
use crate::options::{Arguments, MountOptions, OptionError};
use crate::pcsc::{Pcsc, PcscError, Ports, Prepared};
use crate::presence::Alarm;
use crate::refusal::Refusal;
use crate::source::{self, Source, SourceError};
use crate::status::View;
use crate::tell::{Pace, TellError, Teller};
use crate::terminal::{KeyRing, Manager};
use nix::sys::signal::{SigSet, Signal};
use smcard_link::Recorder;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long programs may keep files open after the mount has been taken away.
const CLOSING: Duration = Duration::from_secs(2);
/// How long the threads get after that.
const LEAVING: Duration = Duration::from_secs(1);
/// Exit code after a panic (`EX_SOFTWARE` of sysexits.h).
const EXIT_SOFTWARE: u8 = 70;

/// Why the daemon does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Mount options.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Mount point or mount.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Who is to be told.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// The second interface.
    #[error(transparent)]
    Pcsc(#[from] PcscError),
    /// The card does not say what it holds.
    #[error("the card does not answer with sense: {0}")]
    Card(Refusal),
    /// The system refuses something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// What ends the daemon.
enum Event {
    Signal(Signal),
    Unmounted(io::Result<()>),
    CardClosed,
    Panicked,
}

/// Mounts a card and serves it until it is unmounted, a signal comes or something breaks. Blocks.
///
/// # Errors
/// Nothing is mounted then, and no byte of the card has changed.
pub fn serve(arguments: &Arguments, logger: &Logger) -> Result<ExitCode, StartError> {
    let options = MountOptions::parse(&arguments.options)?;
    let config = Config::load(arguments.config.as_deref().or(options.config.as_deref()))?;
    let uid = rustix::process::geteuid().as_raw();
    let rights = config.rights(&options, uid, rustix::process::getegid().as_raw())?;
    let allow_other = config.allow_other(&options);
    let text = arguments.source.as_deref().unwrap_or_default();
    let source = Source::parse(text)?;
    if config.pcsc.is_on() {
        source.needs_second_interface()?;
    }
    let mountpoint = mount::prepare(&arguments.mountpoint.clone().unwrap_or_default())?;

    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let ring = keys::ring(&config, credentials.as_deref(), source.has_test_keys())?;
    let test_keys = ring.as_ref().is_some_and(KeyRing::is_test);
    if test_keys {
        log::warn!("the keys are the well-known test keys: everybody can be a preparer of this card");
    }
    let has_keys = ring.is_some();
    // Before any thread: each takes over which signals are blocked.
    let events = Events::new()?;
    let served: Arc<OnceLock<Weak<Core>>> = Arc::default();
    let recorder = Arc::new(Recorder::new(config.card.trace_lines));
    let known = source::Surroundings::new(&config, Arc::clone(&recorder))?;
    let ports = Ports::default();
    let known = if config.pcsc.is_on() { known.with_ports(ports.clone()) } else { known };
    let recording = known.recording(&source);
    let looking = Arc::clone(&served);
    let alarm: Alarm = Arc::new(move || {
        if let Some(core) = looking.get().and_then(Weak::upgrade) {
            core.look();
        }
    });
    let open = move || source.open(&known, &alarm);
    let card = open()?;

    let prepared = Prepared::new(&config.pcsc, config.pcsc_group()?)?;

    let auto = config.session.authenticate == Authenticate::Auto;
    let mut manager = Manager::new(card, ring, auto);
    manager.sender_mut().set_limits(config.terminal.limits());
    let properties = manager.sender().properties().clone();
    let (cid, power) = (properties.cid, manager.sender().power_switch());
    let view = View { properties, test_keys, has_keys, ..View::default() };
    let core = Core::new(view, Surroundings { rights, process_of, power, trace: recorder, recording });
    let teller = config.notify.settings(&hex(&cid))?.map(|settings| Teller::new(settings, Pace::default()));
    let settings = Settings { table: config.table, teller: teller.transpose()?, reopen: Some(Box::new(open)) };
    let _ = served.set(Arc::downgrade(&core));
    let worker = Worker::new(Arc::clone(&core), manager, settings).map_err(StartError::Card)?;

    let (mount, fd) = Mount::new(text, &mountpoint, allow_other)?;
    let ready = || -> Result<Pcsc, StartError> {
        let alarm = events.sender.clone();
        let alarm = Box::new(move || drop(alarm.send(Event::Panicked)));
        let system = |what| move |source| StartError::System { what, source };
        let served = Served::new(Arc::clone(&core), fd, allow_other, alarm).map_err(system("greeting the kernel"))?;
        let sender = events.sender.clone();
        // Where nobody receives the event, the daemon has ended.
        spawn("card", move || {
            drop(sender.send(worker.run().map_or(Event::Panicked, |()| Event::CardClosed)));
        })?;
        let sender = events.sender.clone();
        spawn("fuse", move || drop(sender.send(Event::Unmounted(served.run()))))?;
        let told = Arc::downgrade(&core);
        let pcsc = prepared.start(&ports, move || {
            if let Some(core) = told.upgrade() {
                core.content_changed();
            }
        })?;
        if arguments.child {
            let log = options.log.as_deref().or(config.log.file.as_deref());
            background::settle(logger, log).map_err(system("going into the background"))?;
        }
        Ok(pcsc)
    };
    // Readers are served until the mount is gone.
    let _pcsc = match ready() {
        Ok(pcsc) => pcsc,
        Err(error) => {
            core.close();
            if let Err(error) = mount.detach() {
                log::error!("{}: {error}", mountpoint.display());
            }
            return Err(error);
        }
    };
    log::info!("{text} is mounted at {}", mountpoint.display());
    notify(notify::READY);
    Ok(events.until_the_end(&core, &mount))
}

struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Events {
    /// Blocks the signals that end the daemon, for this thread and all it will start, and waits for them aside.
    fn new() -> Result<Self, StartError> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let system = |what| move |errno: nix::Error| StartError::System { what, source: errno.into() };
        signals.thread_block().map_err(system("blocking signals"))?;
        let (sender, receiver) = channel();
        let waiting = sender.clone();
        spawn("signals", move || {
            while let Ok(signal) = signals.wait() {
                if waiting.send(Event::Signal(signal)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Events { sender, receiver })
    }

    fn until_the_end(&self, core: &Core, mount: &Mount) -> ExitCode {
        let (code, mut unmounted) = match self.receiver.recv() {
            Ok(Event::Signal(signal)) => {
                log::info!("{}: the card is unmounted", signal.as_str());
                (ExitCode::SUCCESS, false)
            }
            Ok(Event::Unmounted(Ok(()))) => {
                log::info!("the card was unmounted");
                (ExitCode::SUCCESS, true)
            }
            Ok(Event::Unmounted(Err(error))) => {
                log::error!("the connection to the kernel broke: {error}");
                (ExitCode::FAILURE, true)
            }
            Ok(Event::CardClosed | Event::Panicked) | Err(_) => {
                log::error!("the daemon panicked; the card is unmounted");
                (ExitCode::from(EXIT_SOFTWARE), false)
            }
        };
        notify(notify::STOPPING);
        core.close();
        // Also behind a broken connection: a dead mount is not left behind. One that is not ours stays.
        if let Err(error) = mount.detach() {
            log::error!("unmounting: {error}");
        }
        let mut card_closed = false;
        for (limit, last) in [(CLOSING, false), (LEAVING, true)] {
            let deadline = Instant::now() + limit;
            while !(unmounted && card_closed) {
                match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(Event::Unmounted(_)) => unmounted = true,
                    Ok(Event::CardClosed | Event::Panicked) => card_closed = true,
                    // A second signal is impatient.
                    Ok(Event::Signal(_)) | Err(_) => break,
                }
            }
            if !unmounted && !last {
                log::warn!("files are still open: their connection is broken");
                mount.abort();
            }
        }
        code
    }
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    let spawned = thread::Builder::new().name(name.into()).spawn(work);
    spawned.map(drop).map_err(|source| StartError::System { what: "starting a thread", source })
}

/// The process a thread belongs to. FUSE tells threads, and a thread may have ended.
fn process_of(thread: u32) -> Option<u32> {
    if thread == 0 {
        return None;
    }
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:")).and_then(|process| process.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_led_back_to_its_process() {
        let this = std::process::id();
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        for thread in threads {
            let thread = thread.unwrap().file_name().to_str().unwrap().parse().unwrap();
            assert!(matches!(process_of(thread), Some(process) if process == this) || process_of(thread).is_none());
        }
        assert_eq!(process_of(this), Some(this));
        assert_eq!(process_of(0), None);
        assert_eq!(process_of(u32::MAX), None);
    }
}
