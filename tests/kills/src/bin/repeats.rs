#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a check that cannot go on fails")]
//! What a power cut costs in commands: the power goes at every command of an issue, one issue for each, and the terminal
//! of the real daemon finishes it. Counts how many commands the card was given again, and how many exchanges it took.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use clap::Parser;
use smcard_batch::Batch;
use smcard_fixtures::{library_cap, ndef_cap, wallet_cap};
use smcard_tests::batch::pack;
use smcard_tests::power::{Stage, expected_run};

/// Does what the table that ships does, with a pause that does not count.
const QUICK: &str = "[[progress]]\nsw = [\"none\"]\naction = \"resume\"\nbackoff_ms = 1\n";
/// SELECT, INITIALIZE UPDATE, EXTERNAL AUTHENTICATE: what one-by-one loading begins with again. START needs no keys.
const OPENING: f64 = 3.0;
/// The batch is in the card before the power is cut: one direct write.
const UPLOAD: u64 = 1;

/// Cuts the power at every command of an issue and prints how many commands each kind of recovery gives again.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only every so manieth command.
    #[arg(long, default_value_t = 1)]
    step: usize,
    /// Cards at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Writes the table into this page, between its marks.
    #[arg(long)]
    update: Option<PathBuf>,
}

/// One row: an application on a card of one kind.
struct Row {
    application: &'static str,
    title: &'static str,
    recovery: &'static str,
    size: &'static str,
    batch: Vec<u8>,
    in_blocks: bool,
}

/// What a row came to.
#[derive(Default)]
struct Figures {
    issues: u32,
    repeated: u32,
    most: u32,
    exchanges: u64,
}

fn rows() -> Vec<Row> {
    let applications = [
        ("2 KiB in blocks", "2M", ndef_cap(), &["--applet", "F0534D434152440101=D2760000850101"][..]),
        ("60 KiB in blocks", "2M", wallet_cap(), &[]),
        ("1 MiB by direct reference", "8M", library_cap(), &["--direct"]),
    ];
    let kinds = [
        ("`restart`", "restart", "none"),
        ("`function`, points before functions", "function", "function"),
        ("`function`, without recovery information", "function", "none"),
        ("`command`", "command", "none"),
    ];
    let mut rows = Vec::new();
    for (application, size, cap, options) in applications {
        for (title, recovery, points) in kinds {
            let batch = pack(&cap, &[options, &["--recovery", points]].concat(), &[]);
            let in_blocks = !options.contains(&"--direct");
            rows.push(Row { application, title, recovery, size, batch, in_blocks });
        }
    }
    rows
}

impl Row {
    fn commands(&self) -> u32 {
        Batch::parse(&self.batch).unwrap().count()
    }

    /// An issue for each command that the power can go at.
    fn run(&self, step: usize) -> Result<Figures, String> {
        let mut stage = Stage::new(self.recovery, self.size, &self.batch);
        let mut figures = Figures::default();
        for cut in (1..=stage.total()).step_by(step) {
            let story = stage.issue(&[cut], QUICK);
            let again = expected_run(self.recovery, &self.batch, cut);
            if story.outcome["state"] != "done" || story.runs != [1, again] || story.repeated != cut - again {
                let Row { application, title, .. } = self;
                return Err(format!("{application}, {title}, cut at {cut}: {story:?}, expected to go on at {again}"));
            }
            figures.issues += 1;
            figures.repeated += story.repeated;
            figures.most = figures.most.max(story.repeated);
            figures.exchanges += UPLOAD + story.exchanges;
        }
        Ok(figures)
    }

    fn line(&self, figures: &Figures) -> String {
        let Figures { issues, repeated, most, exchanges } = *figures;
        let mean = |sum: f64| sum / f64::from(issues.max(1));
        let exchanges = u32::try_from(exchanges).map_or(f64::NAN, f64::from);
        format!(
            "| {}, {} commands | {} | {issues} | {:.1} | {most} | {:.1} |",
            self.application,
            self.commands(),
            self.title,
            mean(repeated.into()),
            mean(exchanges),
        )
    }

    /// One by one over a secure channel, from the first command again: computed, nothing is run. The DELETE of what is
    /// there already comes on top. By direct reference there is no such way.
    fn one_by_one(&self) -> Option<String> {
        let commands = self.commands();
        let mean = (f64::from(commands) - 1.0) / 2.0;
        // Up to the cut, the one that gets no answer included, then all.
        let exchanges = mean + 1.0 + OPENING + f64::from(commands);
        let line = format!(
            "| {}, {commands} commands | one by one, from zero (computed) | {commands} | {mean:.1} | {} | {exchanges:.1} |",
            self.application,
            commands - 1,
        );
        self.in_blocks.then_some(line)
    }
}

fn table(rows: &[Row], results: &[Option<Figures>]) -> String {
    let mut lines = vec![
        "| application | after the cut | cuts | commands given again, mean | most | exchanges, upload included, mean |"
            .to_owned(),
        "|---|---|--:|--:|--:|--:|".to_owned(),
    ];
    for (row, figures) in rows.iter().zip(results) {
        if row.recovery == "restart" {
            lines.extend(row.one_by_one());
        }
        lines.extend(figures.as_ref().map(|figures| row.line(figures)));
    }
    lines.join("\n") + "\n"
}

fn update(page: &PathBuf, table: &str) -> Result<(), String> {
    const MARKS: (&str, &str) = ("<!-- repeats, made by make repeats -->\n", "<!-- end of repeats -->");
    let text = fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))?;
    let parts = text.split_once(MARKS.0).and_then(|(before, rest)| Some((before, rest.split_once(MARKS.1)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{}: the marks are missing", page.display()))?;
    let text = [before, MARKS.0, "\n", table, "\n", MARKS.1, after].concat();
    fs::write(page, text).map_err(|error| format!("{}: {error}", page.display()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let rows = rows();
    let results = Mutex::new(rows.iter().map(|_| None).collect::<Vec<Option<Figures>>>());
    let (next, broken) = (Mutex::new(0..rows.len()), Mutex::new(Vec::new()));
    let take = || next.lock().unwrap().next();
    let work = || {
        while let Some(at) = take() {
            match rows[at].run(arguments.step) {
                Ok(figures) => results.lock().unwrap()[at] = Some(figures),
                Err(text) => broken.lock().unwrap().push(text),
            }
        }
    };
    thread::scope(|scope| (0..arguments.jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    let (results, mut broken) = (results.into_inner().unwrap(), broken.into_inner().unwrap());
    let table = table(&rows, &results);
    let issues: u32 = results.iter().flatten().map(|figures| figures.issues).sum();
    println!("{table}\n{issues} issues finished by the terminal in {:.1} s", begun.elapsed().as_secs_f64());
    if let Some(page) = arguments.update.as_ref().filter(|_| broken.is_empty()) {
        broken.extend(update(page, &table).err());
    }
    for text in &broken {
        eprintln!("BROKEN {text}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
