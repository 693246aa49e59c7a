//! The life of one card: kills, restarts, and what is checked in between.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use smcard_tests::{Mounted, Setup, run};

use crate::card::{Card, Issue, Operation};
use crate::choice::JOBS;
use crate::client::Place;
use crate::id::LifeId;
use crate::ledger::{FileOperation, Files, Known, Ledger, shown};
use crate::load::{Operator, Preparer, Work};
use crate::observe::{Observed, observe};
use crate::random::Random;
use crate::report::Report;
use crate::stock;

/// Room for all that two clients and an issue with its way back can take.
const IMAGE: &str = "32M";
/// Exit code of a process that was killed.
const KILLED: i32 = 128 + 9;
/// Longest time until a killed process is gone.
const LIMIT: Duration = Duration::from_secs(10);
/// Lines of a daemon's log that are shown with a broken promise.
const LOG_LINES: usize = 60;
/// What the daemon logs of a power cut that was configured.
const CUT: &str = "as configured, the power goes";

/// A card that is killed.
#[derive(Debug)]
pub struct Life {
    id: LifeId,
    mounted: Mounted,
    operator: Operator,
    preparer: Preparer,
    ledger: Ledger,
    report: Report,
    empty: Option<u64>,
    forgets: bool,
}

/// A card lives through `kills` kills; what they came to is added to `report`.
///
/// # Errors
/// A promise was broken: which, the id, the ledger's last lines and the daemon's log, for people.
///
/// # Panics
/// Where the harness cannot go on, as without `/dev/fuse`.
pub fn live(id: LifeId, kills: u64, report: &mut Report) -> Result<(), String> {
    Life::new(id, false).live(kills, report)
}

/// Like [`live`], with a card that after each kill is what it was when the load began: to show that this is noticed.
///
/// # Errors
/// As [`live`]; that there is none would be the failure.
///
/// # Panics
/// As [`live`].
pub fn live_forgetful(id: LifeId, kills: u64, report: &mut Report) -> Result<(), String> {
    Life::new(id, true).live(kills, report)
}

impl Life {
    fn new(id: LifeId, forgets: bool) -> Self {
        let mounted = Mounted::unmounted(Setup::new().size(IMAGE).recovery(id.recovery.name()));
        Place::furnish(&mounted);
        let none = || Known::new(Files::new());
        Life {
            id,
            mounted,
            operator: Operator { files: none(), card: Known::new(Card::new(id.recovery)) },
            preparer: Preparer { files: none() },
            ledger: Ledger::default(),
            report: Report::default(),
            empty: None,
            forgets,
        }
    }

    fn live(mut self, kills: u64, report: &mut Report) -> Result<(), String> {
        let id = self.id;
        let lived = (0..kills)
            .try_for_each(|kill| self.one_kill(kill).map_err(|broken| format!("{id}: kill {}: {broken}", kill + 1)));
        let lived = lived.and_then(|()| self.end().map_err(|broken| format!("{id}: at the end: {broken}")));
        report.add(&self.report);
        lived.map_err(|broken| {
            let [before, last] = ["log.before", "log"].map(|name| {
                let log = std::fs::read_to_string(self.mounted.folder().join(name)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
            });
            let ledger = self.ledger.text();
            format!(
                "{broken}\nthe clients' ledger:\n{ledger}the killed daemon's log:\n{before}\nthe last one's:\n{last}"
            )
        })
    }

    fn one_kill(&mut self, kill: u64) -> Result<(), String> {
        let mut random = Random::part(self.id.seed, kill);
        if kill > 0 && random.chance(15) {
            return self.kill_early(random.micros(0, 12_000));
        }
        self.configure(&mut random)?;
        self.start()?;
        self.check()?;
        if random.chance(33) {
            self.settle(&mut random)?;
        }
        let (from, to) = *random.pick(&[(100, 4_000), (4_000, 20_000), (20_000, 80_000)]);
        let delay = random.micros(from, to);
        let before = self.mounted.folder().join("before.img");
        let copy =
            |from: &Path, to: &Path| std::fs::copy(from, to).map_err(|error| format!("{}: {error}", to.display()));
        if self.forgets {
            copy(&self.mounted.image(), &before)?;
        }
        self.load_and_kill(delay, &mut random)?;
        if self.forgets {
            copy(&before, &self.mounted.image())?;
        }
        Ok(())
    }

    /// For some daemons the card's power goes as well, now and then, so that they are killed while they mend that; some
    /// leave CONFIRM to the operator.
    fn configure(&mut self, random: &mut Random) -> Result<(), String> {
        let mut commands: Vec<u64> = Vec::new();
        if random.chance(30) {
            commands = [(); 3].map(|()| 1 + random.next() % 400).into();
            commands.push(1 + random.next() % 12);
        }
        let (pause, confirm) = (1 + random.next() % 15, random.pick(&["auto", "manual"]));
        let config = format!(
            "[terminal]\nconfirm = \"{confirm}\"\n[emulated]\ncut_at_commands = {commands:?}\n\
             [[progress]]\nsw = [\"none\"]\naction = \"resume\"\nbackoff_ms = {pause}\n"
        );
        std::fs::write(self.mounted.config(), config).map_err(|error| format!("the configuration: {error}"))
    }

    fn start(&mut self) -> Result<(), String> {
        let (log, before) = (self.mounted.folder().join("log"), self.mounted.folder().join("log.before"));
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        self.report.cuts += u64::try_from(text.matches(CUT).count()).unwrap();
        // What a daemon logs is of use around a broken promise alone.
        std::fs::write(&before, text)
            .and_then(|()| std::fs::write(&log, ""))
            .map_err(|error| format!("logs: {error}"))?;
        self.mounted.try_mount().map_err(|log| format!("the daemon does not start again:\n{log}"))?;
        self.ledger.note("daemon", "started");
        self.operator.card.became(Card::powered_on);
        Ok(())
    }

    /// Starts the daemon and kills it before, or while, or just after its mount answers.
    fn kill_early(&mut self, after: Duration) -> Result<(), String> {
        self.ledger.note("daemon", &format!("started, and killed after {after:?}"));
        let mut command = self.mounted.command();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|error| format!("smcardd: {error}"))?;
        thread::sleep(after);
        child.kill().map_err(|error| format!("smcardd: {error}"))?;
        let ended = run::wait(&mut child, LIMIT).ok_or("a killed daemon does not end")?;
        let code = run::code(ended);
        if code != KILLED {
            return Err(format!("the daemon ended with {code} while it started"));
        }
        self.report.early += 1;
        Ok(())
    }

    /// Both clients work; the daemon is killed under them.
    fn load_and_kill(&mut self, delay: Duration, random: &mut Random) -> Result<(), String> {
        let place = Place::new(&self.mounted);
        let daemon = self.mounted.daemon().pid();
        let daemon = i32::try_from(daemon).ok().and_then(Pid::from_raw).ok_or("a process without an id")?;
        let mut randoms = [Random::new(random.next()), Random::new(random.next())];
        let mut reports = [Report::default(), Report::default()];
        let [first, second] = &mut randoms;
        let [for_operator, for_preparer] = &mut reports;
        let work = Work { place: &place, ledger: &self.ledger };
        let (operator, preparer) = (&mut self.operator, &mut self.preparer);
        let worked = thread::scope(|scope| {
            let operator = scope.spawn(|| operator.work(work, first, for_operator));
            let preparer = scope.spawn(|| preparer.work(work, second, for_preparer));
            thread::sleep(delay);
            place.kill();
            let killed = kill_process(daemon, Signal::KILL);
            work.ledger.note("daemon", "killed");
            let worked = [operator, preparer].map(|client| client.join().unwrap_or_else(|panic| resume_unwind(panic)));
            killed.map_err(|error| format!("kill: {error}")).and(worked.into_iter().collect::<Result<(), String>>())
        });
        reports.iter().for_each(|report| self.report.add(report));
        let code = self.mounted.daemon().wait();
        self.mounted.forget();
        worked?;
        if code != KILLED {
            return Err(format!("the daemon ended by itself, with {code}"));
        }
        self.report.kills += 1;
        Ok(())
    }

    /// Compares what the card shows with what is known.
    fn check(&mut self) -> Result<Observed, String> {
        let observed = observe(&self.mounted)?;
        let Observed { files, record, selectable, .. } = &observed;
        // What is not the operator's must be the preparer's: a file of nobody breaks a promise as well.
        let (jobs, boxes): (BTreeMap<_, _>, _) =
            files.clone().into_iter().partition(|(name, _)| JOBS.contains(&name.as_str()));
        let mut found = Vec::new();
        for (who, known, shows) in
            [("operator", &mut self.operator.files, jobs), ("preparer", &mut self.preparer.files, boxes)]
        {
            let seen = known.seen(|files| shown(files) == shows);
            found.extend(seen.map_err(|()| {
                let allowed: Vec<_> = known.states().iter().map(shown).collect();
                format!("the {who}'s files are {shows:?}, and the ledger allows {allowed:?}")
            })?);
        }
        let card = &mut self.operator.card;
        let seen = card.seen(|card| card.record() == *record && card.selectable() == *selectable);
        found.extend(seen.map_err(|()| {
            let allowed: Vec<_> = card.states().iter().map(|card| (card.issue, card.selectable())).collect();
            format!("the card shows {record:?} and selects {selectable:02X?}; the ledger allows {allowed:02X?}")
        })?);
        for (what, found) in found {
            self.ledger.note("check", &format!("{what} that got no answer: {found:?}"));
            self.report.found(what, found);
        }
        self.empty.get_or_insert(observed.free);
        Ok(observed)
    }

    /// Ends an open issue at rest, or takes it back, and checks; then starts one of the preparer's files, which must do
    /// what its batch says.
    fn settle(&mut self, random: &mut Random) -> Result<(), String> {
        if self.operator.card.guess().is_open() {
            self.end_issue(random.chance(70))?;
            self.report.settled += 1;
        }
        let boxes: Vec<_> = self.preparer.files.guess().clone().into_iter().collect();
        if !boxes.is_empty() && random.chance(50) {
            let (name, batch) = random.pick(&boxes);
            self.operate(Operation::Start(*batch), name)?;
        }
        self.check().map(drop)
    }

    /// Ends an open issue by START, if that is wanted and its batch is there, or by CLEAR.
    fn end_issue(&mut self, forward: bool) -> Result<(), String> {
        let files = self.operator.files.guess();
        match self.operator.card.guess().issue {
            Issue::Unfinished { batch, .. } if forward => {
                let held = files.iter().find(|(_, held)| **held == batch).map(|(name, _)| name.clone());
                let Some(name) = held else { return self.operate(Operation::Clear, "") };
                self.operate(Operation::Start(batch), &name)
            }
            Issue::Awaiting(_) if forward => self.operate(Operation::Confirm, ""),
            _ => self.operate(Operation::Clear, ""),
        }
    }

    fn operate(&mut self, operation: Operation, name: &str) -> Result<(), String> {
        let place = Place::new(&self.mounted);
        self.operator.once(Work { place: &place, ledger: &self.ledger }, operation, name)
    }

    /// Takes everything off the card and looks whether all of its memory is free again.
    fn end(&mut self) -> Result<(), String> {
        self.start()?;
        self.check()?;
        if self.operator.card.guess().is_open() {
            self.operate(Operation::Clear, "")?;
            self.check()?;
        }
        let names: Vec<String> = [&self.operator.files, &self.preparer.files]
            .iter()
            .flat_map(|files| files.guess().keys().cloned())
            .collect();
        let place = Place::new(&self.mounted);
        names.into_iter().try_for_each(|name| place.file_at_rest(&FileOperation::Remove(name)))?;
        let packages = self.operator.card.guess().content.packages().clone();
        for package in packages {
            let batch = stock::removal_of(&package);
            place.file_at_rest(&FileOperation::Copy(batch, JOBS[0].to_owned()))?;
            self.operate(Operation::Start(batch), JOBS[0])?;
            place.file_at_rest(&FileOperation::Remove(JOBS[0].to_owned()))?;
        }
        self.operator.files = Known::new(Files::new());
        self.preparer.files = Known::new(Files::new());
        let left = self.check()?;
        if !left.selectable.is_empty() || self.empty != Some(left.free) {
            return Err(format!("an emptied card has {} bytes free, and a new one {:?}", left.free, self.empty));
        }
        self.mounted.unmount();
        self.report.lives += 1;
        Ok(())
    }
}
