//! A mount without FUSE for unit tests, with an emulated card or a double.

mod doubles;

pub(crate) use doubles::{Failing, Failures, Scripted, Sent};

use crate::card_thread::{Panicked, Reopen, Settings, Worker};
use crate::config::Config;
use crate::core::{Caller, Core, OpenFlags, Surroundings};
use crate::presence::Alarm;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::source::{self, Cable, Source};
use crate::status::View;
use crate::tell::Teller;
use crate::terminal::{KeyRing, Limits, Manager, Table};
use crate::tree::{ISSUE, Rights};
use smcard_batch::{BatchBuilder, CommandApdu};
use smcard_card::scp03::{SecurityLevel, StaticKeys, TEST_KEY_VERSION};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_flash::RamMedium;
use smcard_link::{PrivilegeKind, Recorder, RecoveryKind, SecureCard};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// The test keys at level 33.
pub(crate) fn test_ring() -> KeyRing {
    KeyRing::new(StaticKeys::test(), TEST_KEY_VERSION, SecurityLevel::ALL)
}

/// How a mount in a test is made.
pub(crate) struct Setup {
    pub(crate) ring: Option<KeyRing>,
    pub(crate) auto: bool,
    pub(crate) delay: Duration,
    pub(crate) privilege: PrivilegeKind,
    pub(crate) recovery: RecoveryKind,
    pub(crate) size: u64,
    pub(crate) table: Table,
    pub(crate) limits: Limits,
    pub(crate) teller: Option<Teller>,
}

impl Default for Setup {
    fn default() -> Self {
        let (delay, privilege, recovery) = (Duration::ZERO, PrivilegeKind::Auto, RecoveryKind::Function);
        let (table, limits) = (Table::default(), Limits::default());
        Setup {
            ring: Some(test_ring()),
            auto: true,
            delay,
            privilege,
            recovery,
            size: 4 << 20,
            table,
            limits,
            teller: None,
        }
    }
}

/// A mount without FUSE: the core, and a card thread with an emulated card.
pub(crate) struct Rig {
    pub(crate) core: Arc<Core>,
    pub(crate) failures: Failures,
    thread: Option<JoinHandle<Result<(), Panicked>>>,
}

pub(crate) const RIGHTS: Rights = Rights {
    uid: 0,
    gid: 0,
    preparer_gid: 0,
    operator_gid: 0,
    issue_mode: 0o770,
    batch_mode: 0o220,
    control_mode: 0o660,
};
pub(crate) const ME: Caller = Caller { uid: 0, tid: 42 };
pub(crate) const WRITE: OpenFlags = OpenFlags { write: true, exclusive: false };

impl Rig {
    /// With a card in RAM whose link fails where a test wants it to.
    pub(crate) fn new(setup: Setup) -> Self {
        let Setup { size, privilege, recovery, .. } = setup;
        let options = CreateOptions { size, privilege, recovery, ..CreateOptions::default() };
        let medium = EmulatedCard::format(Box::new(RamMedium::new(setup.size)), &options).unwrap();
        let options = OpenOptions { command_delay: setup.delay, ..OpenOptions::default() };
        let card = EmulatedCard::on_medium(medium, "emulated ram".into(), options).unwrap();
        let failures = Failures::default();
        let card = Failing { card, failures: failures.clone() };
        let mut rig = Self::with(setup, Box::new(card), None, &OnceLock::new());
        rig.failures = failures;
        rig
    }

    /// With the card whose image is in this place, as the daemon opens it: it can be taken out and put back.
    pub(crate) fn on_image(setup: Setup, path: &Path) -> Self {
        let served: Arc<OnceLock<Weak<Core>>> = Arc::default();
        let looking = Arc::clone(&served);
        let alarm: Alarm = Arc::new(move || {
            if let Some(core) = looking.get().and_then(Weak::upgrade) {
                core.look();
            }
        });
        let milliseconds = u64::try_from(setup.delay.as_millis()).unwrap();
        let mut config = Config::default();
        config.emulated.command_delay_ms = milliseconds;
        let known = source::Surroundings::new(&config, Arc::new(Recorder::new(64))).unwrap();
        let source = Source::Emulated(Cable::Direct, path.to_owned());
        let open = move || source.open(&known, &alarm);
        let card = open().unwrap();
        Self::with(setup, card, Some(Box::new(open)), &served)
    }

    fn with(setup: Setup, card: Box<dyn SecureCard>, reopen: Option<Reopen>, served: &OnceLock<Weak<Core>>) -> Self {
        let (has_keys, power, rights) = (setup.ring.is_some(), card.power_switch(), RIGHTS);
        let mut manager = Manager::new(card, setup.ring, setup.auto);
        manager.sender_mut().set_limits(setup.limits);
        let properties = manager.sender().properties().clone();
        let trace = Arc::new(Recorder::new(64));
        let surroundings = Surroundings { rights, process_of: Some, power, trace, recording: None };
        let core = Core::new(View { properties, has_keys, ..View::default() }, surroundings);
        served.set(Arc::downgrade(&core)).unwrap();
        let settings = Settings { table: setup.table, teller: setup.teller, reopen };
        let worker = Worker::new(core.clone(), manager, settings).unwrap();
        let thread = Some(std::thread::spawn(move || worker.run()));
        Rig { core, failures: Failures::default(), thread }
    }

    /// Calls an operation and waits for its answer.
    pub(crate) fn ask<T: Send + 'static>(&self, call: impl FnOnce(&Arc<Core>, Reply<T>)) -> Result<T, Refusal> {
        wait(&self.begin(call))
    }

    /// Calls an operation whose answer comes later.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Arc<Core>, Reply<T>),
    ) -> Receiver<Result<T, Refusal>> {
        let (tx, rx) = channel();
        call(&self.core, Reply::new(move |answer| drop(tx.send(answer))));
        rx
    }

    pub(crate) fn create(&self, name: &str) -> Result<u64, Refusal> {
        let created = self.ask(|core, reply| core.create(ME, ISSUE, name.as_bytes(), WRITE, reply));
        created.map(|(_, opened)| opened.fh)
    }

    pub(crate) fn write(&self, fh: u64, offset: usize, data: &[u8]) -> Result<u32, Refusal> {
        self.ask(|core, reply| core.write(fh, offset as u64, data, reply))
    }

    /// What cp(1) does.
    pub(crate) fn copy(&self, name: &str, data: &[u8]) -> Result<(), Refusal> {
        let fh = self.create(name)?;
        let mut written = Ok(());
        for (at, piece) in data.chunks(1000).enumerate() {
            written = self.write(fh, at * 1000, piece).map(|_| ());
            if written.is_err() {
                break;
            }
        }
        let flushed = self.core.flush(ME, fh);
        self.core.release(fh);
        written.and(flushed)
    }

    pub(crate) fn unlink(&self, name: &str) -> Result<(), Refusal> {
        self.ask(|core, reply| core.unlink(ISSUE, name.as_bytes(), reply))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Refusal> {
        self.ask(|core, reply| core.rename((ISSUE, from.as_bytes()), (ISSUE, to.as_bytes()), false, reply))
    }

    /// What ls(1) shows of `issue/`: names and sizes.
    pub(crate) fn list(&self) -> Vec<(String, u64)> {
        let fh = self.ask(|core, reply| core.opendir(ISSUE, reply)).unwrap();
        let mut shown = Vec::new();
        self.core
            .readdir(fh, 2, |entry, _| {
                shown.push((String::from_utf8(entry.name.clone()).unwrap(), entry.ino));
                true
            })
            .unwrap();
        self.core.releasedir(fh);
        shown.into_iter().map(|(name, ino)| (name, self.core.getattr(ino).unwrap().size)).collect()
    }

    pub(crate) fn line(&self) -> String {
        self.core.read(|state| state.view.line(std::time::Instant::now()))
    }

    pub(crate) fn exchanges(&self) -> u64 {
        self.core.read(|state| state.view.counters.exchanges)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.core.close();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))), "the card thread panicked");
        }
    }
}

/// Waits for an answer; a lost one fails the test.
pub(crate) fn wait<T>(answer: &Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
    answer.recv_timeout(Duration::from_secs(20)).expect("an answer")
}

/// A batch of `commands` harmless commands (GET STATUS).
pub(crate) fn batch(commands: usize) -> Vec<u8> {
    batch_of(commands, &CommandApdu::new(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).with_le(256))
}

/// A batch of `commands` times the same command.
pub(crate) fn batch_of(commands: usize, command: &CommandApdu<'_>) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for _ in 0..commands {
        builder.push(command).unwrap();
    }
    builder.finish().unwrap()
}
