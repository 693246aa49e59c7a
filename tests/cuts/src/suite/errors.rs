//! Suite `errors`: the host fails a call, or the process is killed at it. The card says so, is mute, and comes back.

use crate::course::Course;
use crate::driver::{Broken, Halt, Stopped};
use crate::explore::{Allowed, Ended, Explorer, Found};
use crate::id::{Cut, Id};
use crate::model::Model;
use crate::pool;
use crate::report::{Failure, Report};
use crate::tears::{Thoroughness, tears};
use crate::terminal::{Silence, Terminal};
use smcard_flash::Medium;
use smcard_flash::sim::{Fault, Simulator, Tear};
use std::time::Instant;

/// Name in ids.
pub const NAME: &str = "errors";

/// Calls after a failed one at which the power goes.
const NEXT_CALLS: u64 = 16;

/// How calls fail, with the words of ids.
pub const FAULTS: [(&str, Fault); 5] = [
    ("eio", Fault::Error(libc::EIO)),
    ("enospc", Fault::Error(libc::ENOSPC)),
    ("nothing-written", Fault::Short(0)),
    ("little-written", Fault::Short(300)),
    ("killed", Fault::Power),
];

/// How the card comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// It is switched off and on.
    Reset,
    /// So it is, but the host fails once more, and then not again.
    ResetTwice,
    /// The image is opened by another process.
    Reopen,
    /// So it is, and what the failure lost is not shown any more from the first flush on.
    Forgotten,
    /// The power of the host goes, too, and nothing pending takes effect.
    PowerLoss,
    /// The same, and some sectors take effect.
    PowerLossTorn,
}

impl Way {
    /// All of them, with the words of ids.
    pub const ALL: [(&'static str, Self); 6] = [
        ("reset", Self::Reset),
        ("reset-twice", Self::ResetTwice),
        ("reopen", Self::Reopen),
        ("forgotten", Self::Forgotten),
        ("power-loss", Self::PowerLoss),
        ("power-loss-torn", Self::PowerLossTorn),
    ];
}

/// The card fell silent: where, and the terminal that heard it.
struct Failed {
    terminal: Terminal,
    stopped: Stopped,
}

/// Runs the course until the call fails. `None` if it makes fewer calls.
fn run_until(course: &Course, call: u64, fault: Fault) -> Result<Option<Failed>, Broken> {
    let mut armed = course.start.clone();
    armed.arm(call, fault);
    let mut model = course.fresh.clone();
    let mut terminal = match Terminal::open(armed) {
        Ok(terminal) => terminal,
        Err(refused) if refused.is_failure() => {
            // Said at once, and nothing came of it.
            let mut simulator = refused.simulator;
            simulator.restart();
            return reopen(simulator).map(|_| None);
        }
        Err(refused) => return Err(Broken::Opens(refused.error.to_string())),
    };
    for step in 0..course.case.scenario.steps.len() {
        match course.case.step(&mut terminal, &mut model, step) {
            Ok(()) => {}
            Err(Halt::Stopped(stopped)) => return Ok(Some(Failed { terminal, stopped })),
            Err(Halt::Broken(broken)) => return Err(broken),
        }
    }
    if terminal.close().has_failed() { Err(Broken::Mute("nobody was told".to_owned())) } else { Ok(None) }
}

fn reopen(simulator: Simulator) -> Result<Terminal, Broken> {
    Terminal::open(simulator).map_err(|refused| Broken::Opens(refused.error.to_string()))
}

/// Nothing gets through. (The simulator asserts that nothing is tried on the medium.)
fn check_mute(terminal: &mut Terminal) -> Result<(), Broken> {
    let silences = [
        terminal.send(&[0x80, 0xCA, 0xDF, 0x72, 0x00]).err(),
        terminal.send(crate::apdu::CLEAR).err(),
        terminal.authenticate().err(),
        terminal.stream("file", &[0; 20]).err(),
    ];
    let talking = silences.iter().position(|silence| !matches!(silence, Some(Silence::Mute)));
    talking.map_or(Ok(()), |which| Err(Broken::Mute(format!("exchange {which} after the failure got through"))))
}

/// The card comes back in some way: its medium then.
fn come_back(failed: Failed, way: Way) -> Result<Simulator, Broken> {
    let mut terminal = failed.terminal;
    let switch_on = |terminal: &mut Terminal| {
        terminal
            .reset()
            .map_err(|silence| Broken::Works { step: failed.stopped.step, what: format!("reset: {silence:?}") })
    };
    match way {
        Way::Reset => {
            terminal.revive(None);
            switch_on(&mut terminal)?;
        }
        Way::ResetTwice => {
            terminal.revive(Some(Fault::Error(libc::EIO)));
            match terminal.reset() {
                Err(Silence::Mute) => {}
                other => return Err(Broken::Mute(format!("a reset whose opening fails says {other:?}"))),
            }
            check_mute(&mut terminal)?;
            terminal.revive(None);
            switch_on(&mut terminal)?;
        }
        Way::Reopen | Way::Forgotten | Way::PowerLoss | Way::PowerLossTorn => {}
    }
    let mut simulator = terminal.close();
    simulator.restart();
    match way {
        Way::Forgotten => simulator.forget(),
        Way::PowerLoss => simulator.tear(Tear::Nothing),
        Way::PowerLossTorn => simulator.tear(Tear::Sectors(simulator.calls())),
        Way::Reset | Way::ResetTwice | Way::Reopen => {}
    }
    Ok(simulator)
}

/// One failed call, one way back. False if the course makes fewer calls.
fn try_one(explorer: &mut Explorer<'_>, course: &Course, call: u64, fault: Fault, way: Way) -> Result<bool, Broken> {
    let Some(mut failed) = run_until(course, call, fault)? else { return Ok(call == 0) };
    check_mute(&mut failed.terminal)?;
    let allowed = Allowed::after(&failed.stopped);
    let simulator = come_back(failed, way)?;
    let found = explorer.find(&simulator, &allowed)?;
    let all = course.case.scenario.steps.len();
    let steps = found.next..(found.next + 2).min(all);
    // Until the next write what a failed flush lost is only shown.
    if !steps.is_empty() {
        explorer.go_on(&simulator, &found.model, &steps)?;
    }
    if fault == Fault::Error(libc::EIO) && matches!(way, Way::Reopen | Way::Forgotten) {
        cut_then(explorer, &simulator, &found, &allowed)?;
    }
    if fault == Fault::Power && way != Way::ResetTwice {
        stays(explorer, simulator, &found.model)?;
    }
    Ok(true)
}

/// After the failure the power goes, at each of the next calls. What the failed flush lost may be lost now.
fn cut_then(explorer: &mut Explorer<'_>, left: &Simulator, found: &Found, before: &Allowed) -> Result<(), Broken> {
    for call in 0..NEXT_CALLS {
        let Ended::Struck(torn, stopped) = explorer.run(left, &found.model, found.next..found.next + 2, Some(call))?
        else {
            break;
        };
        let allowed = before.or(Allowed::after(&stopped));
        for tear in tears(&torn, Thoroughness::Few) {
            let mut left = torn.clone();
            left.tear(tear);
            explorer.find(&left, &allowed)?;
        }
    }
    Ok(())
}

/// What was shown once to who opened the image stays, even if the power goes then. (Not so after a failed flush.)
fn stays(explorer: &mut Explorer<'_>, simulator: Simulator, model: &Model) -> Result<(), Broken> {
    let opened = reopen(simulator)?.close();
    debug_assert!(!opened.is_empty());
    explorer.finish(opened, model, &(0..0))
}

/// Lets every call of every course fail, in each way there is.
#[must_use]
pub fn run(courses: &[Course], ways: &[(&str, Way)]) -> Report {
    let start = Instant::now();
    let mut report = Report { suite: NAME, ..Report::default() };
    for course in courses {
        let calls = usize::try_from(course.calls).unwrap_or(usize::MAX);
        let parts = pool::run(
            calls,
            || (Explorer::new(course), 0, None),
            |(explorer, tried, failure), call| {
                *failure = try_all(explorer, course, call as u64, ways, tried);
                failure.is_none()
            },
        );
        report.tried += parts.iter().map(|(_, tried, _)| tried).sum::<u64>();
        match parts.into_iter().find_map(|(_, _, failure)| failure) {
            Some(failure) => report.failures.push(failure),
            None => report.passed += 1,
        }
    }
    report.time = start.elapsed();
    report
}

/// Lets every call of a course fail, on this thread.
#[must_use]
pub fn explore_here(course: &Course, ways: &[(&str, Way)]) -> (u64, Option<Failure>) {
    let mut explorer = Explorer::new(course);
    let mut tried = 0;
    let failure = (0..course.calls).find_map(|call| try_all(&mut explorer, course, call, ways, &mut tried));
    (tried, failure)
}

/// One call fails with every fault, and comes back in every way.
fn try_all(
    explorer: &mut Explorer<'_>,
    course: &Course,
    call: u64,
    ways: &[(&str, Way)],
    tried: &mut u64,
) -> Option<Failure> {
    for (fault_word, fault) in FAULTS {
        for (way_word, way) in ways {
            *tried += 1;
            if let Err(broken) = try_one(explorer, course, call, fault, *way) {
                let case = format!("{}+{fault_word}+{way_word}", course.name);
                let cuts = vec![Cut { call, tear: Tear::Nothing }];
                let id = Id { suite: NAME.to_owned(), case, cuts };
                return Some(Failure { id: id.to_string(), what: broken.to_string() });
            }
        }
    }
    None
}

/// Does again what an id names.
///
/// # Errors
/// What breaks.
pub fn replay(courses: &[Course], id: &Id, tell: &mut dyn FnMut(String)) -> Result<(), String> {
    let [name, fault, way] = id.case.split('+').collect::<Vec<_>>()[..] else { return Err("no such case".to_owned()) };
    let course = courses.iter().find(|course| course.name == name).ok_or("no such case")?;
    let (_, fault) = FAULTS.into_iter().find(|(word, _)| *word == fault).ok_or("no such fault")?;
    let (_, way) = Way::ALL.into_iter().find(|(word, _)| *word == way).ok_or("no such way back")?;
    let cut = id.cuts.first().ok_or("no call")?;
    tell(format!("call {} fails with {fault:?}; the way back: {way:?}", cut.call));
    let tried = try_one(&mut Explorer::new(course), course, cut.call, fault, way);
    tried.map(drop).map_err(|broken| broken.to_string())
}
