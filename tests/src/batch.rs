//! Batches to copy into a card: packed by `smcardctl` from the fixtures.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use smcard_batch::{Batch, BatchBuilder, CommandApdu};
use smcard_fixtures::{aid, client_cap, library_cap, ndef_cap, wallet_cap};

use crate::binaries;
use crate::run::run;

/// Packs a CAP file; `also` are APDUs in hexadecimal behind the installs.
///
/// # Panics
/// If `smcardctl pack` fails.
#[must_use]
pub fn pack(cap: &[u8], options: &[&str], also: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.cap"), cap).unwrap();
    fs::write(path("a.apdu"), also.join("\n")).unwrap();
    let mut command = Command::new(binaries::smcardctl());
    command.arg("pack").arg(path("a.cap")).arg("-o").arg(path("a.batch")).args(options);
    if !also.is_empty() {
        command.arg("--also").arg(path("a.apdu"));
    }
    run(&mut command).ok();
    fs::read(path("a.batch")).unwrap()
}

/// The number of commands a batch holds.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn commands(batch: &[u8]) -> usize {
    Batch::parse(batch).unwrap().commands().count()
}

macro_rules! once {
    ($make:expr) => {{
        static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
        BYTES.get_or_init(|| $make)
    }};
}

/// The NDEF application, about 2 KiB, in blocks.
#[must_use]
pub fn ndef() -> &'static [u8] {
    once!(pack(&ndef_cap(), &["--applet", "F0534D434152440101=D2760000850101"], &[]))
}

/// The wallet, about 60 KiB with two applets, in blocks.
#[must_use]
pub fn wallet() -> &'static [u8] {
    once!(pack(&wallet_cap(), &[], &[]))
}

/// The library, about 1 MiB, by direct reference.
#[must_use]
pub fn library() -> &'static [u8] {
    once!(pack(&library_cap(), &["--direct"], &[]))
}

/// A package that imports the wallet, in blocks.
#[must_use]
pub fn client() -> &'static [u8] {
    once!(pack(&client_cap(), &[], &[]))
}

/// The package of the NDEF application is loaded by two commands; the third, DELETE of what is not there, fails with
/// 6A88.
#[must_use]
pub fn failing() -> &'static [u8] {
    once!(pack(&ndef_cap(), &["--direct", "--no-install"], &["80E40000094F07F0534D4341FFFF"]))
}

/// Like [`ndef`], and the card asks for CONFIRM before first use.
#[must_use]
pub fn confirmed() -> &'static [u8] {
    once!(pack(&ndef_cap(), &["--confirm", "--applet", "F0534D434152440101=D2760000850101"], &[]))
}

/// Can be issued again and again: loads the NDEF package, about 2 KiB in blocks, and deletes it.
#[must_use]
pub fn again_small() -> &'static [u8] {
    once!(pack(&ndef_cap(), &["--no-install"], &[&delete(aid::NDEF_PACKAGE)]))
}

/// Can be issued again and again: loads and deletes the wallet, about 60 KiB.
#[must_use]
pub fn again_medium() -> &'static [u8] {
    once!(pack(&wallet_cap(), &["--no-install", "--direct"], &[&delete(aid::WALLET_PACKAGE)]))
}

/// Can be issued again and again: loads and deletes the library and then the wallet, more than 1 MiB.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn again_large() -> &'static [u8] {
    once!({
        let library = pack(&library_cap(), &["--no-install", "--direct"], &[&delete(aid::LIBRARY_PACKAGE)]);
        let mut builder = BatchBuilder::new();
        for part in [&library[..], again_medium()] {
            for command in Batch::parse(part).unwrap().commands() {
                builder.push_bytes(command.bytes()).unwrap();
            }
        }
        let batch = builder.finish().unwrap();
        assert!(batch.len() > 1 << 20);
        batch
    })
}

/// Selects the card manager `count` times: with a card that takes its time for each command, a long issue.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn long(count: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for _ in 0..count {
        builder.push(&CommandApdu::new(0x00, 0xA4, 0x04, 0x00, &[])).unwrap();
    }
    builder.finish().unwrap()
}

/// A batch of `size` bytes: one LOAD by direct reference, which no card takes without INSTALL \[for load\].
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn filler(size: usize) -> Vec<u8> {
    let with = |data: usize| {
        let mut builder = BatchBuilder::new();
        builder.push(&CommandApdu::new(0x80, 0xE8, 0x80, 0x00, &vec![0xA5; data])).unwrap();
        builder.finish().unwrap()
    };
    // Longer than an extended command can be, so that the overhead is that of direct reference.
    let overhead = with(100_000).len() - 100_000;
    let batch = with(size - overhead);
    assert_eq!(batch.len(), size);
    batch
}

fn delete(package: &[u8]) -> String {
    let length = package.len();
    format!("80E40080{:02X}4F{length:02X}{}", length + 2, crate::mounted::hex(package))
}
