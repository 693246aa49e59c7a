//! `docs/SEMANTICS.md`: its examples are run, in order, and must print what it says.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::fs;
use std::time::Duration;

use smcard_tests::run::{bash, run, shell, until};
use smcard_tests::{binaries, console, proc};

/// Where the document has its card. The test has it elsewhere and translates.
const PLACE: &str = "/mnt/securecard";

/// The folder the examples run in, and what they mount; taken away in the end.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::Builder::new().prefix("smcard-doc.").tempdir().unwrap());
        for folder in [place.mountpoint(), place.folder()] {
            fs::create_dir(folder).unwrap();
        }
        for (name, spec) in smcard_fixtures::specs() {
            fs::write(place.folder().join(name), smcard_fixtures::assemble(&spec).zip()).unwrap();
        }
        place
    }

    fn mountpoint(&self) -> std::path::PathBuf {
        self.0.path().join("card")
    }

    fn folder(&self) -> std::path::PathBuf {
        self.0.path().join("work")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        while !proc::mounts_at(&self.mountpoint()).is_empty() {
            let output = shell(&format!("umount -l {}", self.mountpoint().display()));
            if output.code != 0 {
                eprintln!("the mount is left: {output:?}");
                break;
            }
        }
        let argument = self.mountpoint().display().to_string();
        if !until(Duration::from_secs(5), || proc::with_argument(&argument).is_empty()) {
            eprintln!("the daemon is left: {:?}", proc::with_argument(&argument));
        }
    }
}

#[test]
fn the_examples_print_what_the_document_says() {
    let document = fs::read_to_string(binaries::source("docs/SEMANTICS.md")).unwrap();
    let examples = console::examples(&document);
    assert!(examples.len() > 40, "the document has lost its examples");
    let place = Place::new();
    let mountpoint = place.mountpoint().display().to_string();
    for example in examples {
        let mut command = bash(&format!("exec 2>&1; {}", example.command.replace(PLACE, &mountpoint)));
        let output = run(command.current_dir(place.folder()).env("SMCARD", &mountpoint));
        example.check(&output.stdout.replace(&mountpoint, PLACE)).unwrap_or_else(|why| panic!("SEMANTICS.md, {why}"));
    }
    assert_eq!(proc::mounts_at(&place.mountpoint()), [], "the document ends with its card unmounted");
}

#[test]
fn every_errno_of_the_daemon_is_in_the_table() {
    let document = fs::read_to_string(binaries::source("docs/SEMANTICS.md")).unwrap();
    let table = fs::read_to_string(binaries::source("daemon/src/refusal.rs")).unwrap();
    let mut names: Vec<&str> = table
        .split("Errno::")
        .skip(1)
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(rest.len());
            &rest[..end]
        })
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        // As C has it; rustix leaves the E out and spells one in full.
        let name = if name == "ACCESS" { "EACCES".to_owned() } else { format!("E{name}") };
        assert!(document.contains(&format!("`{name}`")), "{name} is not in docs/SEMANTICS.md");
    }
}
