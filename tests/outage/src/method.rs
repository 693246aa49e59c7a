//! The ways an application gets onto a card, each driven by the daemon's own terminal.

use crate::application::{Application, delete};
use crate::breaks::Breaks;
use crate::cable::Cable;
use crate::world::World;
use anyhow::{Result, ensure};
use smcard_card::scp03::{SecurityLevel, StaticKeys};
use smcard_ioctl::FailureFormat;
use smcard_link::RecoveryKind;
use smcardd::terminal::{Attempt, Conclusion, Conduct, IssueRecord, KeyRing, Manager, Next, Order, Table, Target};
use std::time::Duration;

/// How an application gets onto a card whose link breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    /// Command by command over a secure channel. After a break everything is deleted and loaded again.
    OneByOne,
    /// The same, but packages that are complete stay.
    PackageByPackage,
    /// One direct write and START, on a card that recovers like this. After a break START again.
    SelfIssue(RecoveryKind),
}

/// All of them.
pub(crate) const METHODS: [Method; 5] = [
    Method::OneByOne,
    Method::PackageByPackage,
    Method::SelfIssue(RecoveryKind::Restart),
    Method::SelfIssue(RecoveryKind::Function),
    Method::SelfIssue(RecoveryKind::Command),
];

impl Method {
    pub(crate) fn name(self) -> String {
        match self {
            Method::OneByOne => "one by one, from zero".to_owned(),
            Method::PackageByPackage => "one by one, from the package".to_owned(),
            Method::SelfIssue(kind) => format!("self-issue, {}", kind.word()),
        }
    }

    /// What the card of this method recovers like.
    pub(crate) fn recovery(self) -> RecoveryKind {
        match self {
            Method::SelfIssue(kind) => kind,
            // Makes no difference: nothing is issued from a batch.
            Method::OneByOne | Method::PackageByPackage => RecoveryKind::Restart,
        }
    }
}

/// What became of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    /// When the application was there; `None` where the terminal gave up.
    pub(crate) finished: Option<Duration>,
    /// When the run ended, either way.
    pub(crate) ended: Duration,
    /// Commands of the application that the card has begun.
    pub(crate) begun: u32,
    /// Breaks met.
    pub(crate) breaks: u32,
    /// How often somebody, or somebody's script, had to begin again what the terminal had given up.
    pub(crate) aided: u32,
}

/// Lets the terminal work until the application is on a new card, or until a break behind `limit`.
pub(crate) fn run(
    method: Method,
    application: &Application,
    image: Vec<u8>,
    breaks: Breaks,
    limit: Duration,
) -> Result<Outcome> {
    let world = World::new(breaks);
    let cable = Cable::plug(image, method.recovery(), world.clone())?;
    let ring = KeyRing::new(StaticKeys::test(), 0, SecurityLevel::C_MAC);
    let manager = Manager::new(Box::new(cable), Some(ring), true);
    let mut terminal = Terminal { manager, world: world.clone(), limit, aided: 0 };
    let finished = match method {
        Method::OneByOne | Method::PackageByPackage => {
            terminal.load(application, method == Method::PackageByPackage)?
        }
        Method::SelfIssue(_) => terminal.self_issue(application)?,
    };
    let (ended, begun, breaks) = (world.now(), world.begun(), world.breaks());
    if finished.is_some() {
        world.calm();
        terminal.check(application)?;
    }
    Ok(Outcome { finished: finished.map(|()| ended), ended, begun, breaks, aided: terminal.aided })
}

/// Somebody's script takes so long to begin again.
pub(crate) const SCRIPT: Duration = Duration::from_millis(100);
/// Bytes of one piece of a direct write.
const PIECE: usize = 4096;

/// The terminal of one run.
struct Terminal {
    manager: Manager,
    world: World,
    limit: Duration,
    aided: u32,
}

/// How far loading one by one has come, as the terminal knows it.
#[derive(Default)]
struct Progress {
    /// Packages begun since they were last deleted.
    begun: usize,
    /// Packages that are complete.
    complete: usize,
}

impl Terminal {
    /// Begins again until it works; `None` at a break behind the limit.
    fn insist<T>(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<T>) -> Result<Option<T>> {
        loop {
            match attempt(self) {
                Ok(value) => return Ok(Some(value)),
                Err(error) if !self.world.is_down() => return Err(error),
                Err(_) => {}
            }
            if self.is_over() {
                return Ok(None);
            }
            self.begin_again()?;
        }
    }

    fn is_over(&self) -> bool {
        self.world.now() >= self.limit
    }

    fn begin_again(&mut self) -> Result<()> {
        self.aided += 1;
        self.world.wait(SCRIPT);
        if self.world.is_down() {
            self.manager.sender_mut().reset()?;
        }
        Ok(())
    }

    /// Writes the batch and lets the daemon's terminal conduct the issue, by the progress table that ships.
    fn self_issue(&mut self, application: &Application) -> Result<Option<()>> {
        let Some(id) = self.insist(|terminal| terminal.upload(&application.batch))? else { return Ok(None) };
        let table = Table::default();
        let mut order = Order {
            target: Target::Id { id, offset: 0, length: 0 },
            format: FailureFormat::Data,
            total: application.count,
            confirm: Some(false),
            before: Some(IssueRecord::default()),
        };
        let mut conduct = Conduct::new(order.clone(), &table);
        loop {
            let next = conduct.step(&mut self.manager);
            if let Next::Again { pause, .. } = next {
                if self.is_over() {
                    return Ok(None);
                }
                self.world.wait(pause);
                continue;
            }
            let Conclusion { result, silence, record, .. } = conduct.conclude(&mut self.manager);
            if result.success {
                return Ok(Some(()));
            }
            ensure!(silence.is_some(), "the issue failed with {:04X} at command {}", result.sw, result.given);
            if self.is_over() {
                return Ok(None);
            }
            self.begin_again()?;
            order.before = record;
            conduct = Conduct::new(order.clone(), &table);
        }
    }

    fn upload(&mut self, batch: &[u8]) -> Result<u16> {
        self.manager.ensure_channel()?;
        let length = u32::try_from(batch.len())?;
        let id = self.manager.write_open(b"application.batch", length)?;
        for piece in batch.chunks(PIECE) {
            self.manager.write_chunk(id, piece)?;
        }
        Ok(self.manager.write_commit(id, length)?)
    }

    fn load(&mut self, application: &Application, keep: bool) -> Result<Option<()>> {
        let mut progress = Progress::default();
        self.insist(|terminal| {
            if !keep {
                progress.complete = 0;
            }
            terminal.load_rest(application, &mut progress)
        })
    }

    /// Deletes what may be there of packages that are not complete, and loads them.
    fn load_rest(&mut self, application: &Application, progress: &mut Progress) -> Result<()> {
        self.manager.sender_mut().forget();
        let opened = self.manager.authenticate(None, None)?;
        ensure!(opened == Some(Attempt::Opened), "{opened:?}");
        let begun = progress.complete..progress.begun;
        for package in application.packages.get(begun).unwrap_or_default().iter().rev() {
            let sw = self.manager.sender_mut().secured(&delete(&package.aid)?)?.sw;
            ensure!(matches!(sw, 0x9000 | 0x6A88), "DELETE answered {sw:04X}");
        }
        progress.begun = progress.complete;
        for package in application.packages.iter().skip(progress.complete) {
            progress.begun += 1;
            for command in &package.commands {
                let sw = self.manager.sender_mut().secured(command)?.sw;
                ensure!(sw == 0x9000, "instruction {:02X?} answered {sw:04X}", command.get(1));
            }
            progress.complete += 1;
        }
        Ok(())
    }

    /// The application answers.
    fn check(&mut self, application: &Application) -> Result<()> {
        let length = u8::try_from(application.instance.len())?;
        let select = [&[0x00, 0xA4, 0x04, 0x00, length], &application.instance[..]].concat();
        let sw = self.manager.sender_mut().raw(&select)?.sw;
        ensure!(sw == 0x9000, "the application is not there: {sw:04X}");
        Ok(())
    }
}
