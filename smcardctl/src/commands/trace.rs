//! `trace`: what crossed the wire to the card, for a bug report.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use serde::Serialize;

use crate::card::Card;
use crate::cli::Trace;
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report, print};

/// More than smcardd keeps.
const TRACE_MAX: u64 = 64 << 20;
/// How often a trace that is followed is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The lines, the oldest first.
#[derive(Debug, PartialEq, Serialize)]
struct Lines {
    lines: Vec<String>,
}

pub(crate) fn run(card: &Card, output: Output, options: &Trace) -> Result<Exit, Failure> {
    if let Some(path) = &options.output {
        let text = read(card)?;
        // A report may stand there already: it is not overwritten by mistake.
        let mut file = File::create_new(path).map_err(|error| Failure::file(path, &error))?;
        let written = text.iter().try_for_each(|line| writeln!(file, "{line}")).and_then(|()| file.sync_all());
        written.map_err(|error| Failure::file(path, &error))?;
        return Ok(Exit::Done);
    }
    if !options.follow {
        output.show(&Lines { lines: read(card)? })?;
        return Ok(Exit::Done);
    }
    let mut last = None;
    loop {
        let lines = read(card)?;
        for line in news(&lines, last) {
            let line = if output.json { serde_json::json!({ "line": line }).to_string() } else { line.clone() };
            let told = print(format!("{line}\n").as_bytes());
            told.map_err(|error| Failure::file("standard output".as_ref(), &error))?;
        }
        last = lines.iter().rev().find_map(|line| number(line)).or(last);
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The trace that smcardd keeps, line by line.
fn read(card: &Card) -> Result<Vec<String>, Failure> {
    let path = card.folder.join("trace");
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(TRACE_MAX).read_to_end(&mut text));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(
            Exit::Gone,
            "trace",
            format!("{} is not there", printable(&path.to_string_lossy())),
            "mount a card there with smcardd, or name its folder with --card",
        ),
        io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::NotPermitted, "trace", "not permitted", "the trace is for operators")
        }
        _ => Failure::file(&path, &error),
    })?;
    Ok(String::from_utf8_lossy(&text).lines().map(printable).collect())
}

/// The number that a line begins with.
fn number(line: &str) -> Option<u64> {
    line.split_whitespace().next()?.parse().ok()
}

/// The lines behind number `last`.
fn news(lines: &[String], last: Option<u64>) -> impl Iterator<Item = &String> {
    lines.iter().filter(move |line| match (number(line), last) {
        (Some(number), Some(last)) => number > last,
        (None, Some(_)) => false,
        (_, None) => true,
    })
}

impl Report for Lines {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(text: &str) -> (tempfile::TempDir, Card) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("trace"), text).unwrap();
        let card = Card { folder: folder.path().to_owned() };
        (folder, card)
    }

    #[test]
    fn a_trace_goes_to_a_new_file_and_never_over_an_old_one() {
        let (folder, card) = mounted("1 a\n2 b\n");
        let report = folder.path().join("report.txt");
        let options = Trace { output: Some(report.clone()), follow: false };
        run(&card, Output { json: false }, &options).unwrap();
        assert_eq!(std::fs::read_to_string(&report).unwrap(), "1 a\n2 b\n");
        let failure = run(&card, Output { json: false }, &options).unwrap_err();
        assert_eq!(failure.exit, Exit::BadInput);
    }

    #[test]
    fn only_what_is_new_is_told_again() {
        let lines: Vec<String> = ["3 x", "4 y", "no number", "5 z"].map(str::to_owned).to_vec();
        let told = |last| news(&lines, last).cloned().collect::<Vec<_>>();
        assert_eq!(told(None), lines);
        assert_eq!(told(Some(3)), ["4 y", "5 z"]);
        assert_eq!(told(Some(5)), [""; 0]);
    }

    #[test]
    fn no_card_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let card = Card { folder: folder.path().to_owned() };
        let failure = run(&card, Output { json: false }, &Trace { output: None, follow: false }).unwrap_err();
        assert_eq!(failure.exit, Exit::Gone);
    }
}
