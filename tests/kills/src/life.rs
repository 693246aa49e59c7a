//! The life of one card: kills, restarts, and what is checked in between.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use smcard_tests::{Mounted, Setup, run};

use crate::card::{Card, Issue, Operation, Recovery};
use crate::choice::JOBS;
use crate::client::Place;
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
/// Lines of the daemon's log that are shown with a broken promise.
const LOG_LINES: usize = 60;
/// Bytes of that log after which it is begun anew: it is of use only around a broken promise.
const LOG_MAX: u64 = 1 << 20;

/// What fixes everything that is drawn for a card's life; written `KIND:SEED`, the seed in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeId {
    /// The card's recovery.
    pub recovery: Recovery,
    /// The seed.
    pub seed: u64,
}

impl fmt::Display for LifeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.recovery, self.seed)
    }
}

impl FromStr for LifeId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = || format!("{text}: an id is KIND:SEED, as command:00000000000000ff");
        let (kind, seed) = text.split_once(':').ok_or_else(odd)?;
        let recovery = Recovery::ALL.into_iter().find(|recovery| recovery.name() == kind).ok_or_else(odd)?;
        let seed = u64::from_str_radix(seed, 16).map_err(|_| odd())?;
        Ok(Self { recovery, seed })
    }
}

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
            let log = self.mounted.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            format!("{broken}\nthe clients' ledger:\n{}the daemon's log:\n{tail}", self.ledger.text())
        })
    }

    fn one_kill(&mut self, kill: u64) -> Result<(), String> {
        let mut random = Random::part(self.id.seed, kill);
        if kill > 0 && random.chance(15) {
            return self.kill_early(random.micros(0, 12_000));
        }
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
        let log = self.mounted.folder().join("log");
        if std::fs::metadata(&log).is_ok_and(|log| log.len() > LOG_MAX) {
            std::fs::write(&log, "").map_err(|error| format!("{}: {error}", log.display()))?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), String> {
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
        for name in names {
            std::fs::remove_file(self.mounted.path("issue").join(&name))
                .map_err(|error| format!("rm {name}: {error}"))?;
        }
        let packages = self.operator.card.guess().content.packages().clone();
        for package in packages {
            let batch = stock::removal_of(&package);
            let place = Place::new(&self.mounted);
            let copy = FileOperation::Copy(batch, "job-a".to_owned());
            place.file(&copy)?;
            self.operate(Operation::Start(batch), "job-a")?;
            place.file(&FileOperation::Remove("job-a".to_owned()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = LifeId { recovery: Recovery::Function, seed: 0xBEEF };
        assert_eq!(id.to_string(), "function:000000000000beef");
        assert_eq!(id.to_string().parse(), Ok(id));
        for odd in ["", "function", "function:", "never:1", "command:g"] {
            assert!(odd.parse::<LifeId>().is_err(), "{odd}");
        }
    }
}
