//! The card is pulled at every step of its wire: in the middle of every byte on SPI, before every command, block and look on
//! an SD bus. Or its data line sticks there. When it is in again it is whole.

use crate::batches;
use crate::cable::{Cable, Rig, Setup};
use crate::noise::ledger::{self, Ledger};
use crate::noise::mix::prepared;
use crate::table::Table;
use crate::terminal::{ISSUE_STATE, LISTING, SELECT_MANAGER, authenticate, identifier, select, send, start, write};
use anyhow::{Context, Result, anyhow, bail, ensure};
use smcard_card::scp03::SecurityLevel;
use smcard_card::sd::faults::Faults;
use smcard_fixtures::aid;
use smcard_link::LinkError;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

/// Bytes clocked while the card is out (SPI).
const OUT: u64 = 700;
/// How often a terminal looks whether the card is back.
const LOOKS: u32 = 1_000;

/// What the card is doing when it is pulled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// One APDU to an application that counts.
    Apdu,
    /// The direct write of a batch of 2 KiB.
    Write,
    /// A START.
    Start,
}

impl Deed {
    /// All of them.
    pub const ALL: [Deed; 3] = [Deed::Apdu, Deed::Write, Deed::Start];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Deed::Apdu => "an APDU",
            Deed::Write => "a direct write of 2 KiB",
            Deed::Start => "START",
        }
    }
}

/// What happens to the card.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mishap {
    /// It is pulled, and put in again.
    Pulled,
    /// Its data line is low for so many bytes (SPI).
    Stuck(u64),
}

/// What came of it everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pulls {
    /// Places.
    pub places: u64,
    /// The deed was done all the same.
    pub done: u64,
    /// The terminal heard of an error, and nothing had happened.
    pub undone: u64,
    /// It heard of an error, and it had happened.
    pub happened: u64,
}

/// A card with the counting application, and what the deed needs.
struct Scene {
    rig: Rig,
    ledger: Ledger,
    /// The command that counts, in the APDU or in the batch.
    number: u32,
    command: Vec<u8>,
    file: Vec<u8>,
}

impl Scene {
    fn new(cable: Cable, deed: Deed, image: &[u8], faults: Faults) -> Result<Self> {
        let ledger = Ledger::default();
        let theirs = ledger.clone();
        let setup = Setup {
            applications: Some(Arc::new(move || Box::new(ledger::Counting(theirs.clone())))),
            faults,
            ..Setup::default()
        };
        let mut rig = Rig::with_image(cable, setup, image.to_vec())?;
        let (number, mut command) = ledger.issue();
        let mut file = batches::small()?;
        match deed {
            Deed::Apdu => drop(send(rig.card(), &select(aid::NDEF_APPLET))?),
            Deed::Write => drop(authenticate(rig.card(), SecurityLevel::C_MAC)?),
            Deed::Start => {
                let mut builder = smcard_batch::BatchBuilder::new();
                builder.push_bytes(&select(aid::NDEF_APPLET))?.push_bytes(&command)?;
                file = builder.finish()?;
                authenticate(rig.card(), SecurityLevel::C_MAC)?;
                let id = identifier(&write(rig.card(), "counting.batch", &file)?)?;
                command = start(id, 0);
            }
        }
        Ok(Scene { rig, ledger, number, command, file })
    }

    fn act(&mut self, deed: Deed) -> Result<(), LinkError> {
        let answer = match deed {
            Deed::Apdu | Deed::Start => self.rig.card().transmit(&self.command)?,
            Deed::Write => write(self.rig.card(), "pulled.batch", &self.file)?,
        };
        if answer.is_success() { Ok(()) } else { Err(LinkError::Malformed(format!("{:04X}", answer.sw))) }
    }

    /// True where the deed has been done, by the card's own account.
    fn is_done(&mut self, deed: Deed) -> Result<bool> {
        match deed {
            Deed::Apdu | Deed::Start => {
                let executed = self.ledger.executed(self.number);
                ensure!(executed <= 1, "executed {executed} times");
                Ok(executed == 1)
            }
            Deed::Write => {
                let listing = send(self.rig.card(), &LISTING)?.data;
                let listed = listing.windows(12).any(|name| name == b"pulled.batch");
                ensure!(!listed || self.rig.image().holds(&self.file), "what is listed is not what was written");
                Ok(listed)
            }
        }
    }

    /// Opens the card that was put in again; it may be out for a while yet.
    fn open_again(&mut self) -> Result<()> {
        let mut last = None;
        for _ in 0..LOOKS {
            match self.rig.open() {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(error).context("the card does not come back"),
            None => bail!("nobody looked"),
        }
    }

    /// The card that is in again is whole: it answers, and the deed can be done.
    fn check(&mut self, deed: Deed) -> Result<bool> {
        send(self.rig.card(), &SELECT_MANAGER)?;
        send(self.rig.card(), &ISSUE_STATE)?;
        let done = self.is_done(deed)?;
        send(self.rig.card(), &select(aid::NDEF_APPLET))?;
        let (number, command) = self.ledger.issue();
        let answer = send(self.rig.card(), &command)?;
        ensure!(answer.data == ledger::answer(number), "a strange answer");
        send(self.rig.card(), &SELECT_MANAGER)?;
        authenticate(self.rig.card(), SecurityLevel::C_MAC)?;
        let file = batches::small()?;
        ensure!(write(self.rig.card(), "after.batch", &file)?.is_success(), "a direct write afterwards is refused");
        ensure!(self.rig.image().holds(&file), "what was written afterwards is not there");
        ensure!(self.ledger.strange() == 0, "the application got something that nobody had sent");
        Ok(done)
    }
}

/// The steps of the deed, from the first to behind the last, counted from when the card was new.
fn steps(cable: Cable, deed: Deed, image: &[u8]) -> Result<Range<u64>> {
    let mut scene = Scene::new(cable, deed, image, Faults::default())?;
    // On an SD bus they are counted from when the deed begins.
    let count = |rig: &Rig| if cable == Cable::Spi { rig.traffic().clocks / 8 } else { rig.traffic().steps };
    let begin = count(&scene.rig);
    scene.act(deed)?;
    let end = count(&scene.rig);
    Ok(if cable == Cable::Spi { begin..end } else { 0..end - begin })
}

/// Lets it happen at every `stride`th step of a deed.
///
/// # Errors
/// A card was not whole afterwards: which step, and what was wrong.
pub fn everywhere(cable: Cable, deed: Deed, mishap: Mishap, stride: usize) -> Result<Pulls> {
    let image = prepared()?;
    let mut pulls = Pulls::default();
    for step in steps(cable, deed, &image)?.step_by(stride) {
        let told = || format!("{}, {}, {mishap:?} at step {step}", cable.name(), deed.name());
        let heard = once(cable, deed, mishap, &image, step).with_context(told)?;
        pulls.places += 1;
        match heard {
            (true, true) => pulls.done += 1,
            (false, true) => pulls.happened += 1,
            (false, false) => pulls.undone += 1,
            (true, false) => bail!("{}: the terminal was told that it was done, and it was not", told()),
        }
    }
    Ok(pulls)
}

/// Pulls the card everywhere on both wires: the table.
///
/// # Errors
/// As [`everywhere`].
pub fn table() -> Result<Table> {
    let about = "The card is pulled in the middle of every byte of a deed on SPI, and before every command, block and look at the busy line \
                 on the SD bus, and put in again. It is whole each time: it answers, an application executes a command once, a direct write goes \
                 through, and what it had done when it was pulled it has done whole or not at all. *Happened*: the \
                 answer was lost on its way.";
    let heads = [
        "pulled during",
        "places",
        "told as done, and done",
        "told as failed: nothing happened",
        "told as failed: happened",
    ];
    let mut table = Table::new("The card is pulled out", about, &heads);
    let cases: Vec<_> = Cable::WIRES.iter().flat_map(|cable| Deed::ALL.map(|deed| (*cable, deed))).collect();
    let results = thread::scope(|scope| {
        let pull = |&(cable, deed)| scope.spawn(move || everywhere(cable, deed, Mishap::Pulled, 1));
        let threads: Vec<_> = cases.iter().map(pull).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?).collect::<Vec<_>>()
    });
    for ((cable, deed), pulls) in cases.into_iter().zip(results) {
        let Pulls { places, done, undone, happened } = pulls?;
        let mut row = vec![format!("{}, {}", deed.name(), cable.name())];
        row.extend([places, done, undone, happened].map(|count| count.to_string()));
        table.row(row);
    }
    Ok(table)
}

/// Lets it happen once: what the terminal was told, and what had happened.
fn once(cable: Cable, deed: Deed, mishap: Mishap, image: &[u8], step: u64) -> Result<(bool, bool)> {
    let faults = match (cable, mishap) {
        (Cable::Spi, Mishap::Pulled) => Faults { removed: step..step + OUT, ..Faults::default() },
        (Cable::Spi, Mishap::Stuck(bytes)) => Faults { stuck: step..step + bytes, ..Faults::default() },
        _ => Faults::default(),
    };
    let mut scene = Scene::new(cable, deed, image, faults)?;
    if cable == Cable::Mmc {
        scene.rig.pull_after(step);
    }
    let told = scene.act(deed).is_ok();
    if cable == Cable::Mmc {
        ensure!(!scene.rig.spare(), "the card was not pulled");
        if let Some(slot) = scene.rig.slot() {
            slot.insert();
        }
    }
    scene.open_again()?;
    Ok((told, scene.check(deed)?))
}
