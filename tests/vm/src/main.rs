#![forbid(unsafe_code)]
//! Runs the scenarios in virtual machines and prints a table of how they went.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use smcard_vm::scenario::{self, Outcome};
use smcard_vm::scenarios;
use smcard_vm::slot::Slot;
use smcard_vm::snapshot::Snapshot;
use smcard_vm::{Lab, Rig, Scenario};

/// How long a command typed by hand may take.
const SHELL: Duration = Duration::from_secs(600);

/// Runs scenarios on Debian's kernel in a virtual machine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Run only scenarios whose name holds one of these.
    names: Vec<String>,

    /// Print the scenarios and what they show, and run none.
    #[arg(long)]
    list: bool,

    /// Run each this many times.
    #[arg(long, default_value_t = 1)]
    times: u32,

    /// Keep the logs of those that pass, too.
    #[arg(long)]
    keep: bool,

    /// Run no scenario: restore a machine and run the lines of standard input in it.
    #[arg(long, conflicts_with_all = ["names", "list", "times", "jobs"])]
    shell: bool,

    /// Put the card of this image into the slot of that machine.
    #[arg(long, requires = "shell", value_name = "IMAGE")]
    slot: Option<PathBuf>,

    /// How many run at the same time [default: one a processor, at most four].
    #[arg(long)]
    jobs: Option<usize>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("smcard-vm: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True if all scenarios passed.
fn run(arguments: &Arguments) -> Result<bool> {
    let chosen: Vec<Scenario> = scenarios::all()
        .into_iter()
        .filter(|scenario| {
            arguments.names.is_empty() || arguments.names.iter().any(|name| scenario.name.contains(name))
        })
        .collect();
    if chosen.is_empty() {
        bail!("no scenario has such a name; --list prints them");
    }
    if arguments.list {
        for scenario in &chosen {
            println!("{:24} {}", scenario.name, scenario.shows);
        }
        return Ok(true);
    }
    let rig = Rig::find()?;
    let started = Instant::now();
    let snapshot = Snapshot::ensure(&rig)?;
    eprintln!("guest ready after {:.1} s", started.elapsed().as_secs_f64());
    if arguments.shell {
        shell(&Lab::new(&rig, &snapshot)?, arguments.slot.as_deref())?;
        return Ok(true);
    }
    let queue: Vec<&Scenario> = (0..arguments.times).flat_map(|_| &chosen).collect();
    let jobs = arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, |count| count.get().min(4)));
    let mut outcomes =
        run_all(&queue, jobs.max(1), |scenario| scenario::run(scenario, &rig, &snapshot, arguments.keep));
    outcomes.sort_by_key(|(place, _)| *place);
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    print!("{}", scenario::table(&outcomes));
    Ok(outcomes.iter().all(|outcome| outcome.failure.is_none()))
}

/// Runs the lines of standard input in a machine.
fn shell(lab: &Lab, image: Option<&Path>) -> Result<()> {
    let mut machine = lab.machine()?;
    let mut slot = image.map(|image| Slot::start(lab, Some(image))).transpose()?;
    if let Some(slot) = &mut slot {
        slot.plug(&mut machine)?;
    }
    eprintln!("logs: {}; /share is {}", lab.path("").display(), machine.share().display());
    for line in std::io::stdin().lines() {
        let output = machine.run(&line.context("reading standard input")?, SHELL)?;
        print!("{}", output.text);
        if output.status != 0 {
            eprintln!("[{}]", output.status);
        }
    }
    Ok(())
}

/// Runs the queue, `jobs` at a time, and tells each end as it comes. The numbers are places in the queue.
fn run_all(queue: &[&Scenario], jobs: usize, run: impl Fn(&Scenario) -> Outcome + Sync) -> Vec<(usize, Outcome)> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = queue.get(place) else { return };
                    let outcome = run(scenario);
                    match &outcome.failure {
                        Some(failure) => eprintln!("{} FAILED: {failure}", scenario.name),
                        None => eprintln!("{} ok, {:.1} s", scenario.name, outcome.took.as_secs_f64()),
                    }
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((place, outcome));
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}
