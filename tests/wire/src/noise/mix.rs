//! A mix of transfers on a wire with noise, and the judgement of each.
//!
//! What prepares a transfer (the selection of an application, a secure channel) and what looks at its effect goes over a
//! quiet wire. The transfer itself does not.

use super::ledger::{self, Ledger};
use super::{Noise, Random};
use crate::batches;
use crate::cable::{Cable, Rig, Setup};
use crate::terminal::{SELECT_MANAGER, authenticate, identifier, select, send, start, upload, write};
use anyhow::{Context, Result, ensure};
use smcard_batch::BatchBuilder;
use smcard_card::scp03::SecurityLevel;
use smcard_card::sd::{Executor, Worked};
use smcard_fixtures::aid;
use smcard_link::sd::{Command, index};
use smcard_link::{Data, LinkError, Step, WriteToken};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a block.
const BLOCK: usize = 512;
/// Blocks of open memory that are used.
const BLOCKS: u32 = 64;
/// How often a block of memory is tried. What noise has left behind at the card, half a command for instance, may take the first
/// command on a quiet wire with it.
const TRIES: u32 = 4;
/// The name of the batch that is written; always the same, so that it takes the place of the one before.
const NAME: &str = "noise.batch";

/// What became of the transfers of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// All.
    pub transfers: u64,
    /// Right, and nothing had to be repeated.
    pub at_once: u64,
    /// Right, after something had been repeated.
    pub repaired: u64,
    /// An error was told.
    pub reported: u64,
    /// Of these: what became of the command is not known.
    pub unknown: u64,
    /// Neither right nor told.
    pub wrong: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.transfers += other.transfers;
        self.at_once += other.at_once;
        self.repaired += other.repaired;
        self.reported += other.reported;
        self.unknown += other.unknown;
        self.wrong += other.wrong;
    }
}

/// What became of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// APDUs to an application.
    pub apdus: Tally,
    /// Direct writes of batches.
    pub writes: Tally,
    /// STARTs.
    pub starts: Tally,
    /// Blocks of plain memory, one attempt or more each.
    pub blocks: Tally,
    /// Attempts at reading and at writing them.
    pub attempts: (u64, u64),
    /// Commands that an application has executed more than once.
    pub twice: u64,
    /// Commands that it has executed and nobody had sent like that.
    pub strange: u64,
    /// How often the card had to be opened anew.
    pub reopened: u64,
    /// Bits turned round, lost or doubled.
    pub faults: u64,
}

impl Outcome {
    /// All that the secure command set carries.
    #[must_use]
    pub fn secure(&self) -> Tally {
        let mut all = self.apdus;
        all += self.writes;
        all += self.starts;
        all
    }
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.apdus += other.apdus;
        self.writes += other.writes;
        self.starts += other.starts;
        self.blocks += other.blocks;
        self.attempts = (self.attempts.0 + other.attempts.0, self.attempts.1 + other.attempts.1);
        self.twice += other.twice;
        self.strange += other.strange;
        self.reopened += other.reopened;
        self.faults += other.faults;
    }
}

/// How a transfer ended, as the terminal sees it.
enum Verdict {
    Right,
    Reported { unknown: bool },
    Wrong,
}

/// A card with the counting application on it, on a wire with noise.
pub struct Mix {
    rig: Rig,
    ledger: Ledger,
    random: Random,
    /// What the open memory holds.
    memory: Vec<[u8; BLOCK]>,
    outcome: Outcome,
    /// The counting application is selected.
    selected: bool,
}

/// A card that has the counting application.
///
/// # Errors
/// It cannot be installed.
pub fn prepared() -> Result<Vec<u8>> {
    let ledger = Ledger::default();
    let applications = Arc::new(move || Box::new(ledger::Counting(ledger.clone())) as Box<_>);
    let mut rig = Rig::new(Cable::Call, Setup { applications: Some(applications), ..Setup::default() })?;
    let id = upload(rig.card(), "app.batch", &batches::small()?)?;
    send(rig.card(), &start(id, 0))?;
    let image = rig.image().bytes().clone();
    Ok(image)
}

impl Mix {
    /// Opens a card that was [`prepared`].
    ///
    /// # Errors
    /// It does not come up.
    pub fn new(cable: Cable, noise: Noise, one_in: u32, seed: u64, image: Vec<u8>) -> Result<Self> {
        let ledger = Ledger::default();
        let theirs = ledger.clone();
        let worked = if seed % 2 == 0 { Worked::First } else { Worked::Last };
        let setup = Setup {
            applications: Some(Arc::new(move || Box::new(ledger::Counting(theirs.clone())))),
            faults: noise.faults(one_in, seed),
            executor: Executor::Inline { polls: 1, worked },
            ..Setup::default()
        };
        let rig = Rig::with_image(cable, setup, image)?;
        let memory = (0..BLOCKS).map(|_| [0; BLOCK]).collect();
        let random = Random::new(!seed);
        Ok(Mix { rig, ledger, random, memory, outcome: Outcome::default(), selected: false })
    }

    /// Does `transfers` of them at least.
    ///
    /// # Errors
    /// The card does not do on a quiet wire what it must.
    pub fn run(mut self, transfers: u64) -> Result<Outcome> {
        while self.outcome.secure().transfers + self.outcome.blocks.transfers < transfers {
            match self.random.below(10) {
                0 => self.issue().context("a batch")?,
                1..6 => self.apdu().context("an APDU")?,
                6..8 => self.read().context("reading memory")?,
                _ => self.write().context("writing memory")?,
            }
        }
        self.outcome.twice = self.ledger.twice();
        self.outcome.strange = self.ledger.strange();
        let counts = self.rig.faults().counts();
        self.outcome.faults = counts.to_card + counts.from_card + counts.slips;
        Ok(self.outcome)
    }

    /// Lets `act` happen in noise, and judges it.
    fn noisy<T>(
        &mut self,
        kind: fn(&mut Outcome) -> &mut Tally,
        act: impl FnOnce(&mut Rig) -> T,
        judge: impl FnOnce(&mut Self, T) -> Verdict,
    ) -> Result<()> {
        let before = self.rig.troubles();
        self.rig.faults().pause(false);
        let done = act(&mut self.rig);
        self.rig.faults().pause(true);
        let repeated = self.rig.troubles() > before;
        let verdict = judge(self, done);
        let tally = kind(&mut self.outcome);
        tally.transfers += 1;
        match verdict {
            Verdict::Right if repeated => tally.repaired += 1,
            Verdict::Right => tally.at_once += 1,
            Verdict::Reported { unknown } => {
                tally.reported += 1;
                tally.unknown += u64::from(unknown);
                self.settle()?;
            }
            Verdict::Wrong => {
                tally.wrong += 1;
                self.settle()?;
            }
        }
        Ok(())
    }

    /// After an error, on a quiet wire: the card answers.
    fn settle(&mut self) -> Result<()> {
        self.selected = false;
        if let Err(first) = self.rig.card().transmit(&SELECT_MANAGER) {
            self.outcome.reopened += 1;
            self.rig.open().with_context(|| format!("opened anew after: {first}"))?;
            send(self.rig.card(), &SELECT_MANAGER)?;
        }
        Ok(())
    }

    fn apdu(&mut self) -> Result<()> {
        if !self.selected {
            send(self.rig.card(), &select(aid::NDEF_APPLET))?;
            self.selected = true;
        }
        let (number, command) = self.ledger.issue();
        self.noisy(
            |outcome| &mut outcome.apdus,
            |rig| rig.card().transmit(&command),
            |mix, answered| {
                let executed = mix.ledger.executed(number);
                match answered {
                    Ok(answer) if (answer.sw, executed) == (0x9000, 1) && answer.data == ledger::answer(number) => {
                        Verdict::Right
                    }
                    Ok(_) => Verdict::Wrong,
                    Err(error) => told(&error, executed),
                }
            },
        )
    }

    /// A batch of several commands to the application is written and started.
    fn issue(&mut self) -> Result<()> {
        send(self.rig.card(), &SELECT_MANAGER)?;
        self.selected = false;
        authenticate(self.rig.card(), SecurityLevel::C_MAC)?;
        let count = 1 + self.random.below(30);
        let mut builder = BatchBuilder::new();
        builder.push_bytes(&select(aid::NDEF_APPLET))?;
        let mut numbers = Vec::new();
        for _ in 0..count {
            let (number, command) = self.ledger.issue();
            builder.push_bytes(&command)?;
            numbers.push(number);
        }
        let file = builder.finish()?;
        let mut id = None;
        self.noisy(
            |outcome| &mut outcome.writes,
            |rig| write(rig.card(), NAME, &file),
            |mix, answered| match answered {
                Ok(answer) if answer.is_success() => {
                    id = identifier(&answer).ok();
                    if id.is_some() && mix.rig.image().holds(&file) { Verdict::Right } else { Verdict::Wrong }
                }
                // The card has refused it: nobody goes on with it.
                Ok(_) => Verdict::Reported { unknown: false },
                Err(error) => told(&error, 0),
            },
        )?;
        let Some(id) = id else { return Ok(()) };
        let last = *numbers.last().context("a batch has a command")?;
        let begin = start(id, 0);
        self.noisy(
            |outcome| &mut outcome.starts,
            |rig| rig.card().transmit(&begin),
            |mix, answered| {
                let executed = |number: &u32| mix.ledger.executed(*number);
                let most = numbers.iter().map(executed).max().unwrap_or(0);
                let least = numbers.iter().map(executed).min().unwrap_or(0);
                match answered {
                    Ok(answer) if (least, most) == (1, 1) && answer.data == ledger::answer(last) => Verdict::Right,
                    Ok(_) => Verdict::Wrong,
                    Err(error) => told(&error, most),
                }
            },
        )
    }

    fn read(&mut self) -> Result<()> {
        let (at, number) = self.place();
        let mut attempts = 0;
        self.noisy(
            |outcome| &mut outcome.blocks,
            |rig| {
                (0..TRIES).find_map(|_| {
                    attempts += 1;
                    let mut block = [0; BLOCK];
                    let read = Data::Read { block: BLOCK, into: &mut block };
                    let done = step(rig, Command::new(index::READ_SINGLE_BLOCK, number), read);
                    done.is_ok().then_some(block)
                })
            },
            |mix, read| match read {
                Some(block) if mix.memory.get(at) == Some(&block) => Verdict::Right,
                Some(_) => Verdict::Wrong,
                None => Verdict::Reported { unknown: false },
            },
        )?;
        self.outcome.attempts.0 += attempts;
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let (at, number) = self.place();
        let mut block = [0; BLOCK];
        self.random.fill(&mut block);
        let mut attempts = 0;
        let command = Command::new(index::WRITE_BLOCK, number);
        let data = |from| Data::Write { from, token: WriteToken::Single };
        self.noisy(
            |outcome| &mut outcome.blocks,
            |rig| {
                (0..TRIES).any(|_| {
                    attempts += 1;
                    step(rig, command, data(&block)).is_ok()
                })
            },
            |mix, done| {
                let seen = (0..TRIES).find_map(|_| {
                    let mut seen = [0; BLOCK];
                    let into = Data::Read { block: BLOCK, into: &mut seen };
                    let looked = step(&mut mix.rig, Command::new(index::READ_SINGLE_BLOCK, number), into);
                    looked.is_ok().then_some(seen)
                });
                match done {
                    true if seen == Some(block) => Verdict::Right,
                    true => Verdict::Wrong,
                    false => Verdict::Reported { unknown: false },
                }
            },
        )?;
        self.outcome.attempts.1 += attempts;
        // Whatever stands there now, what is expected of it is this.
        let stands = (0..TRIES).any(|_| step(&mut self.rig, command, data(&block)).is_ok());
        ensure!(stands, "a block is not taken on a quiet wire");
        if let Some(expected) = self.memory.get_mut(at) {
            *expected = block;
        }
        Ok(())
    }

    /// A block of memory: as an index, and on the wire.
    fn place(&mut self) -> (usize, u32) {
        let at = self.random.below(u64::from(BLOCKS));
        (usize::try_from(at).unwrap_or(0), u32::try_from(at).unwrap_or(0))
    }
}

/// One command beside the secure command set.
fn step(rig: &mut Rig, command: Command, data: Data<'_>) -> Result<()> {
    let driver = rig.driver().context("a card on a wire")?;
    let steps = &mut [Step { command, data, limit: Duration::ZERO }];
    driver.host().run(steps).map_err(|(error, _)| error)?;
    Ok(())
}

/// An error has been told. It must be true: what is "not taken" was not executed.
fn told(error: &LinkError, executed: u8) -> Verdict {
    match error {
        LinkError::Untaken(_) if executed > 0 => Verdict::Wrong,
        _ if executed > 1 => Verdict::Wrong,
        error => Verdict::Reported { unknown: matches!(error, LinkError::Unknown { .. }) },
    }
}
