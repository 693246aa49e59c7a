//! `list`: the batches in the store.

use std::io::{self, Write};

use serde::Serialize;

use crate::card::Card;
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report};

/// One batch.
#[derive(Debug, PartialEq, Serialize)]
struct Entry {
    name: String,
    size: u64,
}

#[derive(Debug, PartialEq, Serialize)]
struct List(Vec<Entry>);

pub(crate) fn run(card: &Card, output: Output) -> Result<Exit, Failure> {
    let mut list = Vec::new();
    for entry in card.entries("list", "issue")? {
        match entry.metadata() {
            Ok(metadata) => {
                let name = entry.file_name().to_string_lossy().into_owned();
                list.push(Entry { name, size: metadata.len() });
            }
            // Removed since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::file(&entry.path(), &error)),
        }
    }
    output.show(&List(list))?;
    Ok(Exit::Done)
}

impl Report for List {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.0.iter().map(|entry| entry.size.to_string().len()).max().unwrap_or(0);
        self.0.iter().try_for_each(|Entry { name, size }| writeln!(out, "{size:>width$}  {}", printable(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stand_in_a_column_and_names_stay_on_their_line() {
        let entry = |name: &str, size| Entry { name: name.to_owned(), size };
        let mut text = Vec::new();
        List(vec![entry("a.batch", 20), entry("b\nc", 1024)]).text(&mut text).unwrap();
        assert_eq!(text, b"  20  a.batch\n1024  b\\nc\n");
    }

    #[test]
    fn a_folder_without_a_card_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let card = Card { folder: folder.path().to_owned() };
        let failure = run(&card, Output { json: false }).unwrap_err();
        assert_eq!(failure.exit, Exit::Gone);
        assert!(failure.line().contains("mount a card"), "{}", failure.line());
    }
}
