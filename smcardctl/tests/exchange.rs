//! `import` and `export` as scripts use them: streams, pipes and exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smcardctl"));
    command.args(args).current_dir(folder).env_remove("SMCARD").stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_list_survives_the_way_through_a_batch_and_a_template() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("a.apdu"), "C-APDU: 00 A4 04 00 00\nSW: 9000\n80E2800002CAFE\n").unwrap();
    let output = run(at, &["import", "a.apdu", "-o", "a.batch", "--confirm"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.starts_with(b"a.batch: 2 commands, "), "{output:?}");

    let list = run(at, &["export", "a.batch"]).stdout;
    assert_eq!(
        list,
        b"# 1: SELECT the card manager\n00A4040000\n# 2: STORE DATA block 0, last, 2 bytes not shown\n80E2800002CAFE\n"
    );
    let template = run(at, &["export", "a.batch", "--format", "etsi"]).stdout;
    assert_eq!(template, b"\xAA\x10\x22\x05\x00\xA4\x04\x00\x00\x22\x07\x80\xE2\x80\x00\x02\xCA\xFE");

    fs::write(at.join("a.bin"), template).unwrap();
    let again = run(at, &["import", "a.bin", "-o", "b.batch", "--confirm"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert!(fs::read(at.join("a.batch")).unwrap() == fs::read(at.join("b.batch")).unwrap());
}

#[test]
fn json_tells_what_was_left_out_and_lost() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("a.txt"), "mode_211\ndelete -AID A000000001\n").unwrap();
    let output = run(at, &["--json", "import", "a.txt", "-o", "a.batch", "--recovery", "command"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["format"], &report["commands"]), (&"gpshell".into(), &1.into()));
    assert_eq!(report["notes"][0]["line"], 1);
    assert!(report["notes"][1]["note"].as_str().unwrap().contains("a batch ends there"), "{report}");

    let output = run(at, &["--json", "export", "a.batch", "--format", "etsi"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["content"], "AA0F220D80E40080074F05A00000000100");
    assert!(report["lost"][0].as_str().unwrap().contains("--recovery"), "{report}");
}

#[test]
fn bad_input_ends_with_5_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("a.apdu"), "00A4040000\n\nsecret\n").unwrap();
    let output = run(at, &["import", "a.apdu", "-o", "a.batch"]);
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("smcardctl: a.apdu:3: neither an APDU") && said.lines().count() == 1, "{said}");
    assert!(!said.contains("secret"));
    assert!(!at.join("a.batch").exists());
    for args in [&["export", "a.apdu"][..], &["export", "none.batch"], &["import", "none.apdu", "-o", "a.batch"]] {
        assert_eq!(run(at, args).status.code(), Some(5), "{args:?}");
    }
}
