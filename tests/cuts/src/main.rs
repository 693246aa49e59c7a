//! Cuts the power of a card everywhere, and says what came of it.
#![forbid(unsafe_code)]

use clap::{Parser, ValueEnum};
use smcard_cuts::course::Course;
use smcard_cuts::golden::{self, Golden};
use smcard_cuts::id::Id;
use smcard_cuts::replay;
use smcard_cuts::report::Report;
use smcard_cuts::suite::errors::Way;
use smcard_cuts::suite::random::Length;
use smcard_cuts::suite::{create, cuts, errors, random, sabotage};
use smcard_cuts::tears::Thoroughness;
use smcard_fixtures::zip;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Cuts the power of a card at every write and flush of its life, lets the host fail there, and checks what is left.
///
/// Without arguments: everything that runs on every change. Every failure is printed with an id that --id takes.
#[derive(Parser)]
#[command(name = "smcard-cuts")]
struct Arguments {
    /// Only this suite (may be given several times)
    #[arg(long, value_name = "SUITE")]
    suite: Vec<Suite>,
    /// Rows of at most so many cuts in suite `cuts`, 1 to 3
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    depth: u8,
    /// So many cuts in suite `random`
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    random: u64,
    /// At most so many seconds of suite `random`
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000)]
    seconds: u64,
    /// Begin suite `random` with this number; another begins elsewhere
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write golden images of this version into a folder; none is ever written over
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Do again what an id names, and say what happens
    #[arg(long, value_name = "ID")]
    id: Option<Id>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    Create,
    Cuts,
    Errors,
    Sabotage,
    Random,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(folder) = &arguments.images {
        return match write_images(folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(what) => {
                eprintln!("smcard-cuts: {what}");
                ExitCode::FAILURE
            }
        };
    }
    let courses = match Course::all() {
        Ok(courses) => courses,
        Err(what) => {
            println!("FAILED without any cut\n  {what}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(id) = &arguments.id {
        env_logger::Builder::new().filter_level(log::LevelFilter::Info).init();
        return again(&courses, id);
    }
    let start = Instant::now();
    let mut reports = Vec::new();
    let mut add = |report: Report| {
        println!("{report}");
        reports.push(report);
    };
    let wanted = |suite| arguments.suite.is_empty() || arguments.suite.contains(&suite);
    if wanted(Suite::Create) {
        add(create::run(Thoroughness::Every));
    }
    if wanted(Suite::Cuts) {
        let all = [&cuts::ONCE[..], &cuts::TWICE, &cuts::THRICE];
        all.iter().take(arguments.depth.into()).for_each(|levels| add(cuts::run(&courses, levels)));
    }
    if wanted(Suite::Errors) {
        add(errors::run(&courses, &Way::ALL));
    }
    if wanted(Suite::Sabotage) {
        courses.iter().filter(|course| course.name == "command").for_each(|course| add(sabotage::run(course)));
    }
    if wanted(Suite::Random) {
        let length = Length { cuts: arguments.random, time: Duration::from_secs(arguments.seconds) };
        add(random::run(&courses, arguments.seed, length, |progress| eprintln!("{progress}")));
    }
    let passed: u64 = reports.iter().map(|report| report.passed).sum();
    let failed: usize = reports.iter().map(|report| report.failures.len()).sum();
    let tried: u64 = reports.iter().map(|report| report.tried).sum();
    println!("{passed} passed, {failed} failed; {tried} tried in {:.1} s", start.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Golden images, each deflated, with its view in words beside it.
fn write_images(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for Golden { name, bytes, view } in golden::all()? {
        let archive = zip::deflated(&[zip::Entry::new("card.img", bytes)]).map_err(|error| error.to_string())?;
        for (extension, content) in [("zip", archive.as_slice()), ("txt", view.as_bytes())] {
            let path = folder.join(format!("{name}.{extension}"));
            let made = File::create_new(&path).and_then(|mut file| file.write_all(content));
            made.map_err(|error| format!("{}: {error}", path.display()))?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// Does again what an id names.
fn again(courses: &[Course], id: &Id) -> ExitCode {
    let mut tell = |text: String| println!("{text}");
    let ended = match id.suite.as_str() {
        create::NAME => create::replay(id, &mut tell),
        errors::NAME => errors::replay(courses, id, &mut tell),
        cuts::NAME => match courses.iter().find(|course| course.name == id.case) {
            Some(course) => replay::follow(course, &id.cuts, &mut tell).map_err(|broken| broken.to_string()),
            None => Err("no such case".to_owned()),
        },
        _ => Err("no such suite".to_owned()),
    };
    match ended {
        Ok(()) => {
            println!("passed {id}");
            ExitCode::SUCCESS
        }
        Err(what) => {
            println!("FAILED {id}\n  {}", what.replace('\n', "\n  "));
            ExitCode::FAILURE
        }
    }
}
