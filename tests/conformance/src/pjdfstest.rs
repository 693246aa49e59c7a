//! pjdfstest (the Rust one), unchanged, in the flat drop box.

use crate::expected::{Case, Outcome};
use anyhow::{Context, Result, ensure};
use smcard_tests::Mounted;
use smcard_tests::run::run as run_program;
use std::fs;
use std::process::Command;

/// Runs all cases.
pub(crate) fn run(card: &Mounted) -> Result<Vec<Case>> {
    let folder = card.scratch();
    let (library, base) = (folder.join("flat.so"), folder.join("cases"));
    let compiled = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(crate::folder().join("flat.c"))
        .status()
        .context("cc")?;
    ensure!(compiled.success(), "flat.c does not compile");
    fs::create_dir(&base)?;
    // A mount namespace of its own: what flat.c mounts goes with it. The suite's users enter `base` through the folders
    // above it.
    let output = run_program(
        Command::new("unshare")
            .args(["--mount", "env"])
            .arg(format!("LD_PRELOAD={}", library.display()))
            .arg("pjdfstest")
            .arg("--configuration-file")
            .arg(crate::folder().join("pjdfstest.toml"))
            .arg("--path")
            .arg(&base)
            .env("FLAT_BASE", &base)
            .env("FLAT_TARGET", card.path("issue"))
            .env("NO_COLOR", "1")
            .env("RUST_BACKTRACE", "0"),
    );
    let cases = parse(&output.stdout);
    let total = output.stdout.lines().find_map(|line| line.strip_prefix("Summary: "));
    let total = total.and_then(|line| line.strip_suffix(" total")?.rsplit(", ").next()?.parse().ok());
    ensure!(total == Some(cases.len()), "pjdfstest ended early: {}\n{}", output.stdout, output.stderr);
    Ok(cases)
}

/// The cases in what the suite prints: a line with name and result, then lines with what went wrong.
fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let outcome = match (words.next(), words.next(), words.next()) {
            (Some(name), Some("ok"), None) => Some((name, Outcome::Passed)),
            (Some(name), Some("FAILED"), None) => Some((name, Outcome::Failed(String::new()))),
            (Some(name), Some("skipped"), None) => Some((name, Outcome::Skipped)),
            _ => None,
        };
        match (outcome, cases.last_mut()) {
            (Some((name, outcome)), _) => cases.push(Case { name: name.to_owned(), outcome }),
            (None, Some(Case { outcome: Outcome::Failed(said), .. })) if line.starts_with(['\t', ' ']) => {
                if !said.is_empty() {
                    said.push_str("; ");
                }
                said.push_str(line.trim());
            }
            _ => {}
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_with_what_the_suite_says_of_them() {
        let text = "\
            open::a                      ok\n\
            open::b::fifo                FAILED\n\
            \tassertion `left == right` failed\n  left: Err(ENOENT)\n right: Err(ENAMETOOLONG)\n\
            open::c                      skipped\n\tNot configured\n\n\
            Summary: 1 failed, 1 skipped, 1 passed, 0 expected failures, 3 total\n";
        let said = "assertion `left == right` failed; left: Err(ENOENT); right: Err(ENAMETOOLONG)";
        let expected = [
            ("open::a", Outcome::Passed),
            ("open::b::fifo", Outcome::Failed(said.to_owned())),
            ("open::c", Outcome::Skipped),
        ];
        assert_eq!(parse(text), expected.map(|(name, outcome)| Case { name: name.to_owned(), outcome }));
    }
}
