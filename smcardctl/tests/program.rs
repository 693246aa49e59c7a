//! The program as scripts see it: exit codes, streams, and what happens when nobody listens.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn smcardctl(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smcardctl"));
    command.args(args).env_remove("SMCARD").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    smcardctl(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Every command that needs a card.
const ON_A_CARD: [&[&str]; 10] = [
    &["status"],
    &["start"],
    &["wait"],
    &["list"],
    &["apps"],
    &["apdu", "00A40400"],
    &["clear"],
    &["confirm"],
    &["reset"],
    &["authenticate"],
];

#[test]
fn without_a_card_every_command_ends_with_3_and_one_line() {
    let empty = tempfile::tempdir().unwrap();
    let card = empty.path().to_str().unwrap();
    for args in ON_A_CARD {
        let output = run(&[&["--card", card], args].concat());
        assert_eq!(output.status.code(), Some(3), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let said = text(&output.stderr);
        assert!(said.starts_with(&format!("smcardctl: {}: ", args[0])), "{said}");
        assert!(said.contains(card) && said.contains("; mount a card there"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn with_json_an_error_is_one_object_on_stdout() {
    let empty = tempfile::tempdir().unwrap();
    let card = empty.path().to_str().unwrap();
    let usage: &[&str] = &["start", "--id", "70000"];
    let input: &[&str] = &["inspect", "/nonexistent.batch"];
    for (args, exit) in ON_A_CARD.into_iter().map(|args| (args, 3)).chain([(usage, 2), (input, 5)]) {
        let output = run(&[&["--json", "--card", card], args].concat());
        assert_eq!(output.status.code(), Some(exit), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {}", text(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let error = &json["error"];
        assert_eq!(error["exit"], exit, "{json}");
        for field in ["what", "why", "advice"] {
            assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {json}");
        }
    }
}

#[test]
fn the_card_can_be_named_by_the_environment() {
    let output = smcardctl(&["status"]).env("SMCARD", "/somewhere/else").output().unwrap();
    assert!(text(&output.stderr).contains("/somewhere/else/control"));
}

#[test]
fn a_control_file_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    File::create(folder.path().join("control")).unwrap();
    let output = run(&["--card", folder.path().to_str().unwrap(), "reset"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("is not the control file of a mounted card"), "{}", text(&output.stderr));
}

#[test]
fn wrong_use_ends_with_2_and_help_with_0() {
    for args in [&[][..], &["frobnicate"], &["apdu"], &["pack", "a.cap"], &["start", "a/b"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
    for args in [&["--help"][..], &["--version"], &["help", "pack"], &["start", "--help"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
    // Not a terminal: no colours.
    assert!(!text(&run(&["--help"]).stdout).contains('\x1b'));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for args in [&["man"][..], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let output = smcardctl(args).stdout(OwnedFd::from(writer)).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = smcardctl(&["man"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("No space left"), "{}", text(&output.stderr));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("inspect"), "{shell}");
    }
}

#[test]
fn a_batch_goes_from_pack_to_inspect() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cap, batch) = (path("tag.cap"), path("tag.batch"));
    std::fs::write(&cap, smcard_fixtures::ndef_cap()).unwrap();
    let packed = run(&["pack", &cap, "-o", &batch, "--direct", "--json"]);
    assert_eq!(packed.status.code(), Some(0), "{}", text(&packed.stderr));
    let packed: serde_json::Value = serde_json::from_slice(&packed.stdout).unwrap();

    let shown = run(&["inspect", &batch, "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["commands"].as_array().map(Vec::len), Some(3));
    for field in ["bytes", "confirmation_needed"] {
        assert_eq!(shown[field], packed[field], "{field}");
    }

    // One bit of the stored batch turns over.
    let mut bytes = std::fs::read(&batch).unwrap();
    *bytes.last_mut().unwrap() ^= 0x10;
    std::fs::write(&batch, bytes).unwrap();
    let damaged = run(&["inspect", &batch]);
    assert_eq!(damaged.status.code(), Some(5));
    let said = text(&damaged.stderr);
    assert!(said.starts_with(&format!("smcardctl: {batch}: offset 12: ")), "{said}");
    assert!(Path::new(&cap).exists());
}
