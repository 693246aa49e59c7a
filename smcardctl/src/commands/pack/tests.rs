//! Packing whole CAP files.

use std::fs;
use std::path::PathBuf;

use clap::Parser;
use smcard_batch::Batch;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Packs `cap` with these options; the batch, or why there is none.
fn pack(cap: &[u8], options: &[&str]) -> Result<Vec<u8>, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let (input, output): (PathBuf, PathBuf) = (folder.path().join("a.cap"), folder.path().join("a.batch"));
    fs::write(&input, cap).unwrap();
    let paths = [input.to_str().unwrap(), "-o", output.to_str().unwrap()];
    let cli = Cli::try_parse_from([&["smcardctl", "pack"], &paths[..], options].concat()).unwrap();
    let Command::Pack(options) = cli.command else { panic!("not pack") };
    let result = super::run(Output { json: true }, &options);
    // Where nothing was packed, nothing stands.
    assert_eq!(output.exists(), result.is_ok());
    result.map(|_| fs::read(output).unwrap())
}

fn words(file: &[u8]) -> Vec<String> {
    let mut narrator = smcard_batch::describe::Narrator::default();
    Batch::parse(file).unwrap().commands().map(|command| narrator.next(&command)).collect()
}

#[test]
fn a_package_is_loaded_and_its_applets_installed() {
    let words = words(&pack(&smcard_fixtures::ndef_cap(), &[]).unwrap());
    assert!(words[0].starts_with("INSTALL [for load] package F0534D4341524401"), "{words:?}");
    let last = words.last().unwrap();
    assert!(last.contains("F0534D434152440101 of F0534D4341524401 as F0534D434152440101"), "{words:?}");
    assert!(words[1..words.len() - 1].iter().all(|word| word.starts_with("LOAD block")), "{words:?}");
}

#[test]
fn direct_reference_makes_one_load_of_any_size() {
    let file = pack(&smcard_fixtures::library_cap(), &["--direct", "--recovery", "function"]).unwrap();
    let batch = Batch::parse(&file).unwrap();
    assert_eq!(batch.count(), 3);
    let load = batch.commands().nth(1).unwrap();
    assert!(load.apdu.data.len() > 1_000_000, "{}", load.apdu.data.len());
    let points: Vec<u32> = batch.recovery_points().map(|point| point.command).collect();
    assert_eq!(points, [1, 3]);
}

#[test]
fn what_blocks_cannot_carry_is_refused_with_the_way_out() {
    let failure = pack(&smcard_fixtures::library_cap(), &[]).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.line().contains("--direct"), "{}", failure.line());
}

#[test]
fn an_applet_can_have_another_aid_and_parameters() {
    let options = ["--applet", "F0534D434152440101=D2760000850101,priv=04,params=0102", "--confirm", "--block", "100"];
    let file = pack(&smcard_fixtures::ndef_cap(), &options).unwrap();
    assert!(Batch::parse(&file).unwrap().needs_confirmation());
    let last = words(&file).pop().unwrap();
    assert!(last.contains("as D2760000850101, privileges 04, 2 bytes of parameters"), "{last}");
    let failure = pack(&smcard_fixtures::ndef_cap(), &["--applet", "A000000001"]).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.line().contains("has no applet A000000001"), "{}", failure.line());
}

#[test]
fn nothing_is_installed_where_nothing_is_asked_for() {
    let words = words(&pack(&smcard_fixtures::wallet_cap(), &["--no-install"]).unwrap());
    assert!(words.last().unwrap().starts_with("LOAD"), "{words:?}");
}

#[test]
fn commands_of_a_file_stand_behind_the_installs() {
    let folder = tempfile::tempdir().unwrap();
    let more = folder.path().join("more.apdu");
    fs::write(&more, "00A4040007D2760000850101\n80E28000 02 CAFE\n").unwrap();
    let options = ["--direct", "--also", more.to_str().unwrap(), "--recovery", "command"];
    let file = pack(&smcard_fixtures::ndef_cap(), &options).unwrap();
    let words = words(&file);
    assert_eq!(words[3..], ["SELECT D2760000850101", "STORE DATA block 0, last, 2 bytes not shown"]);
    assert_eq!(Batch::parse(&file).unwrap().recovery_points().len(), 5);
}

#[test]
fn what_is_no_cap_file_ends_with_5() {
    for (bytes, says) in [(&b"SMCB"[..], "zip"), (&smcard_fixtures::ndef_cap()[..1000], "zip")] {
        let failure = pack(bytes, &[]).unwrap_err();
        assert_eq!(failure.exit, Exit::BadInput);
        assert!(failure.line().contains("a.cap: ") && failure.line().contains(says), "{}", failure.line());
    }
}
