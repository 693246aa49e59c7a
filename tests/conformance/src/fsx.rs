//! fsx (the Rust one): each of its operations for itself, and those that a drop box can do together.

use crate::expected::{Case, Outcome};
use anyhow::Result;
use smcard_tests::Mounted;
use smcard_tests::run::run as run_program;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

const OPERATIONS: [&str; 14] = [
    "close_open",
    "invalidate",
    "mapread",
    "mapwrite",
    "read",
    "write",
    "truncate",
    "fsync",
    "fdatasync",
    "posix_fallocate",
    "punch_hole",
    "sendfile",
    "posix_fadvise",
    "copy_file_range",
];

/// Operations that do nothing on an empty file and pass without having run: they get content by `write`.
const NEED_CONTENT: [&str; 6] = ["invalidate", "mapread", "read", "punch_hole", "sendfile", "copy_file_range"];

/// What a drop box can do, in one run.
const TOGETHER: [&str; 4] = ["close_open", "fsync", "fdatasync", "posix_fadvise"];

/// Runs a case for each operation, and one for those that go together.
pub(crate) fn run(card: &Mounted) -> Result<Vec<Case>> {
    let mut cases = vec![case(card, "together", &TOGETHER, 2_000)?];
    for operation in OPERATIONS {
        let content = NEED_CONTENT.contains(&operation).then_some("write");
        let operations: Vec<_> = [operation].into_iter().chain(content).collect();
        cases.push(case(card, operation, &operations, 200)?);
    }
    Ok(cases)
}

fn case(card: &Mounted, name: &str, operations: &[&str], steps: u32) -> Result<Case> {
    let mut configuration = "[weights]\n".to_owned();
    for known in OPERATIONS {
        writeln!(configuration, "{known} = {}", u8::from(operations.contains(&known)))?;
    }
    let file = card.file("fsx.toml", configuration.as_bytes());
    let target = card.path("issue").join(name);
    let output = run_program(
        Command::new("fsx")
            .args(["-N", &steps.to_string(), "-S", "1", "-f"])
            .arg(file)
            .arg("-P")
            .arg(card.scratch())
            .arg(&target)
            .env("RUST_BACKTRACE", "0"),
    );
    // A write that was refused takes the file with it.
    let _ = fs::remove_file(target);
    let outcome = if output.code == 0 {
        Outcome::Passed
    } else {
        let lines = output.stderr.lines().chain(output.stdout.lines()).map(str::trim);
        let said = lines.filter(|line| line.contains("rr") && !line.contains("seed")).take(2);
        Outcome::Failed(said.collect::<Vec<_>>().join("; "))
    };
    Ok(Case { name: name.to_owned(), outcome })
}
