#![forbid(unsafe_code)]
//! Runs the scenarios in virtual machines and prints a table of how they went.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;
use smcard_vm::scenario::{self, Outcome};
use smcard_vm::scenarios;
use smcard_vm::snapshot::Snapshot;
use smcard_vm::{Rig, Scenario};

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
    let mut outcomes: Vec<Outcome> = Vec::new();
    for scenario in (0..arguments.times).flat_map(|_| &chosen) {
        let outcome = scenario::run(scenario, &rig, &snapshot);
        match &outcome.failure {
            Some(failure) => eprintln!("{} FAILED: {failure}", scenario.name),
            None => eprintln!("{} ok, {:.1} s", scenario.name, outcome.took.as_secs_f64()),
        }
        outcomes.push(outcome);
    }
    print!("{}", scenario::table(&outcomes));
    Ok(outcomes.iter().all(|outcome| outcome.failure.is_none()))
}
