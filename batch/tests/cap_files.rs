//! Real packages, assembled by other code than the one that reads them.

use smcard_batch::cap::{CapFile, Include};
use smcard_batch::issue::{Blocks, IssueError, IssuePlan, Recovery};
use smcard_batch::load_file::{LoadFile, tag};
use smcard_batch::{Batch, Form};
use smcard_fixtures::{aid, assemble, components, specs};

#[test]
fn the_reader_sees_what_the_assembler_made() {
    for (name, spec) in specs() {
        let zip = assemble(&spec).zip();
        let cap = CapFile::read(&zip).unwrap_or_else(|error| panic!("{name}: {error}"));
        let made = components(&spec);
        let all: Vec<u8> = made.iter().flat_map(|component| &component.1).copied().collect();
        let without: Vec<u8> =
            made.iter().filter(|component| component.0 != tag::DESCRIPTOR).flat_map(|c| &c.1).copied().collect();
        assert!(cap.load_file_data(Include { descriptor: true, ..Include::default() }) == all, "{name}");
        assert!(cap.load_file_data(Include::default()) == without, "{name}");
    }
}

#[test]
fn packages_tell_their_applets_and_imports() {
    let read = |zip: &[u8]| CapFile::read(zip).expect("a CAP file");
    let wallet = read(&smcard_fixtures::wallet_cap());
    let file = wallet.load_file().expect("load file data");
    assert_eq!(file.package().aid, aid::WALLET_PACKAGE);
    assert!(file.flags().exports() && file.flags().has_applets());
    let applets: Vec<_> = file.applets().map(|applet| applet.aid).collect();
    assert_eq!(applets, [aid::WALLET_PURSE, aid::WALLET_LOYALTY]);

    let imports = |cap: &CapFile, wanted: &[u8]| {
        cap.load_file().expect("load file data").imports().any(|import| import.aid == wanted)
    };
    assert!(imports(&read(&smcard_fixtures::client_cap()), aid::WALLET_PACKAGE));
    assert!(imports(&read(&smcard_fixtures::orphan_cap()), aid::NOBODY));
    assert!(!imports(&wallet, aid::NOBODY));
}

#[test]
fn a_megabyte_takes_the_direct_form_or_nothing() {
    let cap = CapFile::read(&smcard_fixtures::library_cap()).expect("a CAP file");
    let file = cap.load_file().expect("load file data");
    assert!(file.data().len() > 1_000_000);
    assert_eq!(file.custom_components().count(), file.components().filter(|c| c.tag >= tag::CUSTOM).count());
    let mut plan = IssuePlan::new(&cap);
    plan.install_all().expect("installs");
    plan.blocks = Blocks::Size(255);
    let error = plan.build().expect_err("too many blocks");
    assert!(matches!(error, IssueError::TooManyBlocks { size: 255, .. }));

    plan.blocks = Blocks::Direct;
    plan.recovery = Recovery::Functions;
    let bytes = plan.build().expect("commands").finish().expect("a batch");
    let batch = Batch::parse(&bytes).expect("a batch");
    assert_eq!(batch.count(), 3);
    assert_eq!(batch.recovery_points().map(|point| point.command).collect::<Vec<_>>(), [1, 3]);
    let load = batch.commands().nth(1).expect("LOAD").apdu;
    assert_eq!(load.form, Form::Direct);
    let [0xC4, 0x83, a, b, c, data @ ..] = load.data else { panic!("not a load file") };
    assert_eq!(usize::try_from(u32::from_be_bytes([0, *a, *b, *c])), Ok(data.len()));
    let loaded = LoadFile::parse(data).expect("load file data");
    assert_eq!(loaded.package().aid, aid::LIBRARY_PACKAGE);
}

#[test]
fn sixty_kilobytes_go_in_conventional_blocks() {
    let cap = CapFile::read(&smcard_fixtures::wallet_cap()).expect("a CAP file");
    let mut plan = IssuePlan::new(&cap);
    plan.install_all().expect("installs");
    let bytes = plan.build().expect("commands").finish().expect("a batch");
    let batch = Batch::parse(&bytes).expect("a batch");
    let loads = batch.commands().filter(|command| command.apdu.ins == 0xE8).count();
    assert!((200..=256).contains(&loads), "{loads} blocks");
    assert_eq!(usize::try_from(batch.count()), Ok(loads + 3));
}
