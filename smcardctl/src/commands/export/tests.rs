//! Exporting whole batches.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use smcard_batch::issue::{Blocks, IssuePlan, Recovery};
use smcard_batch::script::{etsi, list};
use smcard_batch::{Batch, CapFile};

use crate::cli::{Export, ExportFormat};
use crate::exit::{Exit, Failure};
use crate::output::Output;

fn batch(blocks: Blocks) -> Vec<u8> {
    let cap = CapFile::read(&smcard_fixtures::ndef_cap()).unwrap();
    let mut plan = IssuePlan::new(&cap);
    plan.blocks = blocks;
    plan.recovery = Recovery::Functions;
    plan.confirm = true;
    plan.install_all().unwrap().build().unwrap().finish().unwrap()
}

fn export(bytes: &[u8], format: ExportFormat) -> Result<Vec<u8>, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let (file, output) = (folder.path().join("a.batch"), folder.path().join("out"));
    fs::write(&file, bytes).unwrap();
    let result = super::run(Output { json: true }, &Export { file, format, output: Some(output.clone()) });
    assert_eq!(output.exists(), result.is_ok());
    result.map(|_| {
        assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
        fs::read(&output).unwrap()
    })
}

#[test]
fn what_is_exported_is_the_same_commands() {
    let file = batch(Blocks::default());
    let commands: Vec<_> = Batch::parse(&file).unwrap().commands().map(|command| command.apdu).collect();
    let text = String::from_utf8(export(&file, ExportFormat::Apdu).unwrap()).unwrap();
    assert!(text.starts_with("# 1: INSTALL [for load] package F0534D4341524401"), "{text}");
    assert!(list::parse(&text).unwrap().commands().eq(commands.iter().copied()));
    let template = export(&file, ExportFormat::Etsi).unwrap();
    assert!(etsi::parse(&template).unwrap().commands().eq(commands.iter().copied()));
    assert_eq!(super::lost(&Batch::parse(&file).unwrap()).len(), 2);
}

#[test]
fn direct_reference_is_refused_by_number() {
    for format in [ExportFormat::Apdu, ExportFormat::Etsi] {
        let failure = export(&batch(Blocks::Direct), format).unwrap_err();
        assert_eq!(failure.exit, Exit::BadInput);
        let line = failure.line();
        assert!(line.contains("a.batch: command 2: direct reference") && line.contains("--direct"), "{line}");
    }
}

#[test]
fn what_is_no_batch_is_refused() {
    let failure = export(b"00A4040000", ExportFormat::Apdu).unwrap_err();
    assert_eq!(failure.exit, Exit::BadInput);
}
