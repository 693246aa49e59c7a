//! Importing whole files.

use std::fs;

use clap::Parser;
use smcard_batch::Batch;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Imports a file of this name beside `a.cap`; the batch, or why there is none.
fn import(name: &str, bytes: &[u8], options: &[&str]) -> Result<Vec<u8>, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join(name), folder.path().join("out.batch"));
    fs::write(folder.path().join("a.cap"), smcard_fixtures::ndef_cap()).unwrap();
    fs::write(&input, bytes).unwrap();
    let paths = [input.to_str().unwrap(), "-o", output.to_str().unwrap()];
    let cli = Cli::try_parse_from([&["smcardctl", "import"], &paths[..], options].concat()).unwrap();
    let Command::Import(options) = cli.command else { panic!("not import") };
    let result = super::run(Output { json: true }, &options);
    // Where nothing was imported, nothing stands.
    assert_eq!(output.exists(), result.is_ok());
    result.map(|_| fs::read(output).unwrap())
}

fn headers(file: &[u8]) -> Vec<[u8; 4]> {
    let batch = Batch::parse(file).unwrap();
    batch.commands().map(|command| *command.bytes().first_chunk().unwrap()).collect()
}

#[test]
fn every_format_is_known_by_its_looks() {
    let list = import("a.apdu", b"# two\n> 00A4040000\n< 9000\n80E28000 02 CAFE == 9000\n", &[]).unwrap();
    assert_eq!(headers(&list), [[0, 0xA4, 4, 0], [0x80, 0xE2, 0x80, 0]]);
    let template = import("a.bin", b"\xAE\x80\x22\x05\x80\xE2\x90\x00\x00\x00\x00", &[]).unwrap();
    assert_eq!(headers(&template), [[0x80, 0xE2, 0x90, 0]]);
    let digits = import("a.hex", b"AA07220580E2900000\n", &["--format", "etsi"]).unwrap();
    assert!(digits == template);
    let script =
        import("a.txt", b"mode_211\nopen_sc -key 00\ninstall -file a.cap\n", &["--recovery", "function"]).unwrap();
    let headers = headers(&script);
    assert_eq!(headers.first(), Some(&[0x80, 0xE6, 2, 0]));
    assert_eq!(headers.last(), Some(&[0x80, 0xE6, 0x0C, 0]));
    assert_eq!(Batch::parse(&script).unwrap().recovery_points().len(), 2);
}

#[test]
fn flags_reach_the_batch() {
    let file = import("a.apdu", b"80E28000\n80E28001\n", &["--confirm", "--recovery", "command"]).unwrap();
    let batch = Batch::parse(&file).unwrap();
    assert!(batch.needs_confirmation());
    assert_eq!(batch.recovery_points().len(), 2);
}

#[test]
fn a_fault_names_file_and_line_and_hides_contents() {
    for (name, text, place, says) in [
        ("a.apdu", &b"00A4040000\nCAFE"[..], "a.apdu:2: ", "too few"),
        ("a.apdu", b"secret", "a.apdu:1: ", "neither an APDU"),
        ("a.apdu", b"00A4040000 == 6A82", "a.apdu:1: ", "6A82"),
        ("a.apdu", b"# nothing", "a.apdu: ", "names no command"),
        ("a.txt", b"mode_211\nput_sc_key -mac_key CAFE", "a.txt:2: ", "put_sc_key cannot be in a batch"),
        ("a.txt", b"install -file b.cap", "a.txt:1: ", "b.cap: No such file"),
        ("a.bin", b"\xAA\x03\x81\x01\x00", "a.bin: offset 2: ", "immediate action"),
        ("a.bin", b"SMCB\x01", "a.bin: offset 0: ", "a batch already"),
        ("a.bin", b"PK\x03\x04", "a.bin: offset 0: ", "pack"),
    ] {
        let failure = import(name, text, &[]).unwrap_err();
        let line = failure.line();
        assert_eq!(failure.exit, Exit::BadInput, "{line}");
        assert!(line.contains(place) && line.contains(says), "{line} should say {place}{says}");
        assert!(!line.contains("CAFE") && !line.contains("secret"), "{line}");
        assert!(!failure.advice.is_empty(), "{line}");
    }
}

#[test]
fn the_script_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.apdu");
    fs::write(&path, "00A4040000").unwrap();
    let name = path.to_str().unwrap();
    let cli = Cli::try_parse_from(["smcardctl", "import", name, "-o", name]).unwrap();
    let Command::Import(options) = cli.command else { panic!("not import") };
    assert_eq!(super::run(Output { json: true }, &options).unwrap_err().exit, Exit::Usage);
    assert_eq!(fs::read(&path).unwrap(), b"00A4040000");
}
