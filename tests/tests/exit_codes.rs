//! Every exit code of `smcardctl` that its help documents, brought about by a situation in which people meet it.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use smcard_fixtures::Layer;
use smcard_tests::run::{code, wait};
use smcard_tests::setup::Keys;
use smcard_tests::{Mounted, Setup, batch, binaries, damage, run};

/// Runs `smcardctl` twice, as text and as JSON: both end with `code`. An error is one line on stderr as text, and one
/// JSON value on stdout. Gives the text's stderr.
#[track_caller]
fn ends_with(card: &Mounted, arguments: &[&str], code: i32) -> String {
    let json = card.ctl(&[arguments, &["--json"]].concat());
    assert_eq!(json.code, code, "{arguments:?} --json: {json:?}");
    assert!(json.json().is_object() || json.json().is_array(), "{json:?}");
    assert_eq!(json.stderr, "", "{arguments:?} --json");
    said(card, arguments, code)
}

/// Runs `smcardctl` once, as text.
#[track_caller]
fn said(card: &Mounted, arguments: &[&str], code: i32) -> String {
    let text = card.ctl(arguments).expect(code);
    if code != 0 {
        let what = format!("smcardctl: {}: ", arguments[0]);
        assert!(text.stderr.starts_with("smcardctl: "), "{arguments:?}: {text:?}");
        assert!(text.stderr.starts_with(&what) || text.stderr.contains('/'), "{arguments:?}: {text:?}");
        assert_eq!(text.stderr.lines().count(), 1, "one line: {text:?}");
        assert!(text.stderr.contains("; "), "what to do is said: {text:?}");
    }
    text.stderr
}

#[test]
fn the_help_documents_them_all() {
    let help = run(Command::new(binaries::smcardctl()).arg("--help")).ok().stdout;
    let manual = run(Command::new(binaries::smcardctl()).arg("man")).ok().stdout;
    for code in ["0", "1", "2", "3", "4", "5", "130"] {
        let row = |line: &&str| line.split_whitespace().next() == Some(code);
        assert!(help.lines().any(|line| row(&line)), "{code} in --help");
        assert!(manual.lines().any(|line| row(&line)), "{code} in the manual");
    }
}

#[test]
fn zero_is_done() {
    let card = Setup::new().mount();
    card.put(batch::again_small(), "again.batch");
    let every: [&[&str]; 9] = [
        &["status"],
        &["list"],
        &["apps"],
        &["start"],
        &["wait"],
        &["apdu", "00A4040000"],
        &["clear"],
        &["reset"],
        &["authenticate"],
    ];
    for arguments in every {
        ends_with(&card, arguments, 0);
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(card.ctl(&["completions", shell]).ok().stdout.contains("smcardctl"));
    }
    let file = card.file("a.batch", batch::ndef());
    ends_with(&card, &["inspect", file.to_str().unwrap()], 0);
}

#[test]
fn one_is_a_card_that_said_no_or_is_busy() {
    let card = Setup::new().slow(20).mount();
    ends_with(&card, &["start", "no-such.batch"], 1);
    ends_with(&card, &["confirm"], 1);
    // The last status word of `apdu` is the exit code; both answers are printed.
    let refused = card.ctl(&["apdu", "00A4040000", "00A4040005F000000001"]).expect(1);
    assert!(refused.stdout.contains("6a82"), "{refused:?}");
    card.put(batch::failing(), "failing.batch");
    assert!(said(&card, &["start"], 1).contains("command 3 of 3 failed"));
    ends_with(&card, &["wait"], 1);
    card.ctl(&["clear"]).ok();

    card.put(&batch::long(50), "long.batch");
    card.ctl(&["start", "long.batch", "--no-wait"]).ok();
    assert!(ends_with(&card, &["start", "long.batch"], 1).contains("the card is issuing"));
    assert!(ends_with(&card, &["wait", "--timeout", "0.01"], 1).contains("still issuing"));
}

#[test]
fn two_is_wrong_use() {
    let card = Setup::new().mount();
    let every: [&[&str]; 6] =
        [&["start", "--id", "x"], &["start", "a", "b"], &["apdu", "xyz"], &["apdu"], &["pack"], &["no-such-command"]];
    for arguments in every {
        let json = card.ctl(&[arguments, &["--json"]].concat()).expect(2);
        assert_eq!(json.json()["error"]["exit"], 2, "{json:?}");
        assert_ne!(card.ctl(arguments).expect(2).stderr, "");
    }
    ends_with(&card, &["start", "issue/a.batch"], 2);
}

#[test]
fn three_is_a_card_or_daemon_that_is_gone() {
    let mut card = Setup::new().slow(20).mount();
    card.put(&batch::long(100), "long.batch");
    let mut waiting = card.ctl_command(&["start"]).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    card.daemon().end(Signal::KILL);
    // A client that waits sees the connection break.
    assert_eq!(wait(&mut waiting, Duration::from_secs(5)).map(code), Some(3));
    let every: [&[&str]; 10] = [
        &["status"],
        &["list"],
        &["apps"],
        &["start"],
        &["wait"],
        &["apdu", "00A4040000"],
        &["clear"],
        &["confirm"],
        &["reset"],
        &["authenticate"],
    ];
    for arguments in every {
        ends_with(&card, arguments, 3);
    }
    card.forget();
    card.mount();
    card.unmount();
    for arguments in every {
        assert!(ends_with(&card, arguments, 3).contains("mount a card there"), "{arguments:?}");
    }
}

#[test]
fn four_is_not_permitted() {
    // Keys the card does not know.
    let card = Setup::new().keys(Keys::Wrong).mount();
    ends_with(&card, &["authenticate"], 4);
    // Not an operator: an ordinary user, and a file they may not read.
    let card = Setup::new().groups("users", "games").mount();
    let client = card.scratch().join("smcardctl");
    fs::copy(binaries::smcardctl(), &client).unwrap();
    let secret = card.file("secret.batch", batch::ndef());
    card.shell("chmod 600 secret.batch").ok();
    let secret = secret.display().to_string();
    let every: [&[&str]; 4] = [&["start"], &["clear"], &["list"], &["inspect", &secret]];
    for arguments in every {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&client);
        let output = run(command.arg("--card").arg(card.mountpoint()).args(arguments)).expect(4);
        assert_eq!(output.stderr.lines().count(), 1, "{arguments:?}: {output:?}");
    }
}

#[test]
fn five_is_a_file_that_is_not_what_it_must_be() {
    let card = Setup::new().mount();
    let path = |name: &str, bytes: &[u8]| card.file(name, bytes).display().to_string();
    for (n, damaged) in damage::all().iter().enumerate() {
        let file = path(&format!("damaged{n}.batch"), &damaged.bytes);
        let text = ends_with(&card, &["inspect", &file], 5);
        assert!(text.contains(&damaged.fault.to_string()), "{text}");
    }
    let output = card.scratch().join("out.batch").display().to_string();
    // What takes a linker or a verifier to see is not looked at.
    for damaged in smcard_fixtures::damaged().iter().filter(|damaged| damaged.layer != Layer::Code) {
        let cap = path("damaged.cap", &damaged.bytes);
        ends_with(&card, &["pack", &cap, "-o", &output], 5);
    }
    assert!(!fs::exists(&output).unwrap(), "nothing half made is left");
    ends_with(&card, &["pack", "/nonexistent.cap", "-o", &output], 5);
    ends_with(&card, &["inspect", "/nonexistent.batch"], 5);
}

#[test]
fn pack_writes_straight_into_a_card_or_leaves_nothing() {
    let card = Setup::new().mount();
    let cap = card.file("ndef.cap", &smcard_fixtures::ndef_cap()).display().to_string();
    let inside = card.path("issue/ndef.batch").display().to_string();
    ends_with(&card, &["pack", &cap, "-o", &inside], 0);
    card.ctl(&["start"]).ok();
    let full = Setup::new().size("1M").mount();
    let cap = full.file("library.cap", &smcard_fixtures::library_cap()).display().to_string();
    let inside = full.path("issue/library.batch").display().to_string();
    let text = ends_with(&full, &["pack", &cap, "-o", &inside, "--direct"], 3);
    assert!(text.contains("No space left on device"), "{text}");
    assert_eq!(full.batches(), []);
}

#[test]
fn one_hundred_and_thirty_is_ctrl_c() {
    let card = Setup::new().slow(20).mount();
    card.put(&batch::long(50), "long.batch");
    let output = card.shell("smcardctl start & sleep 0.3; kill -INT $!; wait $!");
    // A job in the background of a script ignores Ctrl-C unless it asks for it, and this one does.
    assert_eq!(output.code, 130, "{output:?}");
    assert!(card.value("status").starts_with("issuing"), "the card goes on");
    card.ctl(&["wait"]).ok();
}

#[test]
fn a_closed_standard_output_is_no_error() {
    let card = Setup::new().mount();
    card.put(batch::again_small(), "again.batch");
    for command in ["status", "status --json", "list", "apps", "start", "man", "completions bash", "apdu 00A4040000"] {
        for redirection in ["> >(exec true)", ">&-", "| true"] {
            let script = format!("smcardctl {command} {redirection}; echo ${{PIPESTATUS[0]}} >&2");
            let output = card.shell(&script);
            assert_eq!(output.stderr, "0\n", "{script}");
        }
    }
    let full = card.shell("smcardctl status > /dev/full").expect(3);
    assert!(full.stderr.contains("standard output: No space left on device"), "{full:?}");
}
