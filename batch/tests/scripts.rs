//! Lists of commands: the fuzzer's corpus with any compiler, and properties for commands that nobody thought of.

#[path = "../../fuzz/src/scripts.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses it from outside")]
mod scripts;

use proptest::collection::vec;
use proptest::prelude::*;
use smcard_batch::script::{detect, etsi, gpshell, list, text};
use smcard_batch::{Batch, BatchBuilder, CommandApdu};
use std::fs;
use std::path::Path;

#[test]
fn corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/script");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        scripts::script(&fs::read(&path).expect("a file"));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

/// Header, data and Le of a command that an interface takes.
fn commands() -> impl Strategy<Value = Vec<([u8; 4], Vec<u8>, Option<u32>)>> {
    let short = (any::<[u8; 4]>(), vec(any::<u8>(), 0..=255), proptest::option::of(1..=256_u32));
    let extended = (any::<[u8; 4]>(), vec(any::<u8>(), 256..600), proptest::option::of(1..=65_536_u32));
    vec(prop_oneof![3 => short, 1 => extended], 0..12)
}

/// Lines out of pieces that scripts are made of.
fn lines() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-f0-9]{0,12}",
        "[ ,\t\"#/;=<>-]{1,3}",
        Just("select -AID A000000001".to_owned()),
        Just("install -file a.cap".to_owned()),
        Just("-priv 2 -instParam 00".to_owned()),
        Just("SW: 9000".to_owned()),
        Just("C-APDU: ".to_owned()),
        Just("\n".to_owned()),
        any::<String>(),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_exported_is_imported_unchanged(commands in commands()) {
        let mut builder = BatchBuilder::new();
        for ([cla, ins, p1, p2], data, le) in &commands {
            let command = CommandApdu::new(*cla, *ins, *p1, *p2, data);
            builder.push(&le.map_or(command, |le| command.with_le(le))).expect("a command");
        }
        let file = builder.finish().expect("a batch");
        let batch = Batch::parse(&file).expect("a batch");
        let bytes: Vec<_> = batch.commands().map(|command| command.apdu).collect();
        let written = list::write(&batch).expect("a list");
        prop_assert_eq!(detect(written.as_bytes()), Ok(smcard_batch::script::Format::List));
        prop_assert!(list::parse(&written).expect("read").commands().eq(bytes.iter().copied()));
        let template = etsi::write(&batch).expect("a template");
        prop_assert_eq!(detect(&template), Ok(smcard_batch::script::Format::Etsi));
        prop_assert!(etsi::parse(&template).expect("read").commands().eq(bytes.iter().copied()));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..300), template: bool) {
        scripts::script(&bytes);
        if template {
            scripts::script(&[&[0xAE, 0x80], &bytes[..]].concat());
            scripts::script(&[&[0xAA], &bytes[..]].concat());
        }
    }

    #[test]
    fn arbitrary_lines_do_not_panic(lines in lines()) {
        scripts::script(lines.as_bytes());
    }
}

#[test]
fn a_damaged_byte_never_upsets_a_reader() {
    for name in ["gpshell", "list", "definite", "indefinite"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/script").join(name);
        let mut bytes = fs::read(path).expect("a file");
        for at in 0..bytes.len() {
            for flip in [0x01, 0x20, 0x80, 0xFF] {
                bytes[at] ^= flip;
                scripts::script(&bytes);
                bytes[at] ^= flip;
            }
        }
    }
}

#[test]
fn a_script_with_an_application_is_read_as_far_as_its_files_are() {
    let script = text(b"mode_211\ninstall -file a.cap").expect("text");
    let read = |cap: Result<Vec<u8>, String>| gpshell::parse(script, &mut |_| cap.clone());
    assert!(read(Ok(smcard_fixtures::ndef_cap())).is_ok_and(|script| script.count() > 3));
    assert!(read(Ok(b"PK".to_vec())).is_err());
    assert!(read(Err("gone".to_owned())).is_err_and(|fault| fault.to_string() == "line 2: gone"));
}
