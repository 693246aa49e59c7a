//! The sample batches under `fixtures/batch/`: what the format looked like when it was fixed. They are made by the same
//! code that `smcardctl pack` uses; a change of a single byte is a change of the format.
//!
//! `SMCARD_WRITE_SAMPLES=1 cargo test -p smcard-batch --test samples` writes samples that do not exist yet.

use smcard_batch::cap::CapFile;
use smcard_batch::issue::{Blocks, Install, IssuePlan, Recovery};
use smcard_batch::{Aid, Batch, BatchBuilder, CommandApdu};
use smcard_fixtures as fixtures;
use std::path::Path;

fn plan(cap: &[u8], change: impl FnOnce(&mut IssuePlan<'_>)) -> Vec<u8> {
    let cap = CapFile::read(cap).expect("a CAP file");
    let mut plan = IssuePlan::new(&cap);
    change(&mut plan);
    plan.build().expect("a plan").finish().expect("a batch")
}

/// The tag under the AID that readers look for, with the message "Hello, card." to begin with.
fn tag(plan: &mut IssuePlan<'_>) {
    let module = Aid::new(fixtures::aid::NDEF_APPLET).expect("an AID");
    let mut install = Install::new(module, Aid::new(fixtures::aid::NDEF_INSTANCE).expect("an AID"));
    install.parameters = [&[0xD1, 0x01, 0x0F, 0x54, 0x02, 0x65, 0x6E][..], b"Hello, card."].concat();
    plan.installs.push(install);
}

/// Name, what it is for, bytes.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let ndef = fixtures::ndef_cap();
    let mut failing = BatchBuilder::new();
    for command in [
        CommandApdu::new(0x80, 0xE2, 0x90, 0x00, &[0x42, 0x03, 0x12, 0x34, 0x56]),
        CommandApdu::new(0x80, 0xE2, 0x90, 0x00, &[0x45, 0x02, 0x00, 0x01]),
        CommandApdu::new(0x80, 0xE4, 0x00, 0x00, &[0x4F, 0x07, 0xA0, 0x00, 0x00, 0x00, 0x62, 0x01, 0x99]),
        CommandApdu::new(0x80, 0xCA, 0x00, 0x66, &[]).with_le(256),
    ] {
        failing.push(&command).expect("fits");
    }
    vec![
        ("ndef.batch", plan(&ndef, tag)),
        (
            "ndef-direct.batch",
            plan(&ndef, |plan| {
                tag(plan);
                plan.blocks = Blocks::Direct;
                plan.recovery = Recovery::Functions;
                plan.confirm = true;
            }),
        ),
        (
            "wallet.batch",
            plan(&fixtures::wallet_cap(), |plan| {
                plan.install_all().expect("applets");
                plan.recovery = Recovery::Functions;
            }),
        ),
        ("third-command-fails.batch", failing.finish().expect("a batch")),
    ]
}

#[test]
fn samples_are_made_byte_for_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/batch");
    for (name, bytes) in samples() {
        let path = folder.join(name);
        if std::env::var_os("SMCARD_WRITE_SAMPLES").is_some() && !path.exists() {
            std::fs::write(&path, &bytes).expect("a writable folder");
        }
        let kept = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(kept == bytes, "{name} is made differently now");
    }
}

#[test]
fn every_sample_is_a_batch_and_no_file_beside_them_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/batch");
    let mut names: Vec<_> = samples().iter().map(|(name, _)| (*name).to_owned()).collect();
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let entry = entry.expect("an entry");
        let file = std::fs::read(entry.path()).expect("readable");
        Batch::parse(&file).unwrap_or_else(|fault| panic!("{:?}: {fault}", entry.path()));
        names.retain(|name| entry.file_name() != name.as_str());
    }
    assert!(names.is_empty(), "{names:?}");
}
