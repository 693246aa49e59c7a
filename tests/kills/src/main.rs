#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a check that cannot go on fails")]
//! Kills `smcardd` many times and prints what it came to.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use smcard_kills::card::Recovery;
use smcard_kills::random::Random;
use smcard_kills::{LifeId, Report, live};

/// Kills smcardd at random moments under load and checks after each restart that nothing acknowledged is lost and
/// nothing half issued can be seen.
#[derive(Debug, Parser)]
struct Arguments {
    /// Kills, together.
    #[arg(long, default_value_t = 240)]
    kills: u64,
    /// Kills that one card lives through.
    #[arg(long, default_value_t = 80)]
    per_card: u64,
    /// What the ids of the cards are drawn from; without it, the time.
    #[arg(long)]
    seed: Option<u64>,
    /// Cards at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only this life, KIND:SEED as a failure prints it, with --per-card kills.
    #[arg(long)]
    id: Option<LifeId>,
    /// Begins no card after this many seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = arguments.seed.unwrap_or_else(clock);
    let begun = Instant::now();
    let limit = arguments.seconds.map(Duration::from_secs);
    let (lives, report, broken) = (AtomicU64::new(0), Mutex::new(Report::default()), Mutex::new(Vec::new()));
    let per_card = arguments.per_card.clamp(1, arguments.kills.max(1));
    let cards = if arguments.id.is_some() { 1 } else { arguments.kills.div_ceil(per_card) };
    println!("seed {seed}: {cards} cards, {per_card} kills each");
    let work = || {
        loop {
            let number = lives.fetch_add(1, Ordering::Relaxed);
            let late = limit.is_some_and(|limit| begun.elapsed() > limit);
            if number >= cards || late || !broken.lock().unwrap().is_empty() {
                break;
            }
            let recovery = *Recovery::ALL.iter().cycle().nth(usize::try_from(number % 3).unwrap()).unwrap();
            let id = arguments.id.unwrap_or_else(|| LifeId { recovery, seed: Random::part(seed, number).next() });
            let mut own = Report::default();
            let lived = live(id, per_card, &mut own);
            let mut all = report.lock().unwrap();
            all.add(&own);
            if number % 10 == 9 {
                println!(
                    "{:6.0} s: {} kills, {} acknowledged",
                    begun.elapsed().as_secs_f64(),
                    all.all_kills(),
                    all.acknowledged()
                );
            }
            drop(all);
            if let Err(text) = lived {
                broken.lock().unwrap().push(text);
            }
        }
    };
    thread::scope(|scope| (0..arguments.jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    let (report, broken) = (report.into_inner().unwrap(), broken.into_inner().unwrap());
    println!("{report}\nin {:.1} s", begun.elapsed().as_secs_f64());
    for text in &broken {
        eprintln!("BROKEN {text}");
    }
    println!("{} passed, {} failed", report.lives, broken.len());
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
