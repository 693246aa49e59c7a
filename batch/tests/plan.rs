//! What a batch would do to a card, by the fixtures.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use smcard_batch::cap::CapFile;
use smcard_batch::issue::{Blocks, IssuePlan};
use smcard_batch::plan::{Inventory, KeyChange, Package, Plan, Problem};
use smcard_batch::{Aid, Batch, BatchBuilder, CommandApdu};
use smcard_fixtures as fixtures;

fn aid(bytes: &[u8]) -> Aid {
    Aid::new(bytes).unwrap()
}

fn empty() -> Inventory {
    Inventory { free: 1 << 20, largest: 1 << 20, ..Inventory::default() }
}

fn builder(cap: &[u8], blocks: Blocks) -> BatchBuilder {
    let cap = CapFile::read(cap).unwrap();
    let mut plan = IssuePlan::new(&cap);
    plan.blocks = blocks;
    plan.install_all().unwrap().build().unwrap()
}

fn plan(builder: &BatchBuilder, inventory: Inventory) -> Plan {
    Plan::new(&Batch::parse(&builder.finish().unwrap()).unwrap(), inventory)
}

fn with(commands: &[(u8, u8, u8, &[u8])], inventory: Inventory) -> Plan {
    let mut builder = BatchBuilder::new();
    for (ins, p1, p2, data) in commands {
        builder.push(&CommandApdu::new(0x80, *ins, *p1, *p2, data)).unwrap();
    }
    plan(&builder, inventory)
}

fn wallet_on_card() -> Inventory {
    let package = aid(fixtures::aid::WALLET_PACKAGE);
    let modules = vec![aid(fixtures::aid::WALLET_PURSE), aid(fixtures::aid::WALLET_LOYALTY)];
    Inventory {
        packages: vec![Package { aid: package, version: (1, 0), modules: Some(modules), imports: Vec::new() }],
        applications: vec![(aid(fixtures::aid::WALLET_PURSE), Some(package))],
        ..empty()
    }
}

#[test]
fn a_batch_that_would_go_tells_what_it_does() {
    for blocks in [Blocks::default(), Blocks::Direct] {
        let plan = plan(&builder(&fixtures::wallet_cap(), blocks), empty());
        assert_eq!(plan.problems, []);
        assert_eq!(plan.loaded[0].0, aid(fixtures::aid::WALLET_PACKAGE));
        assert_eq!(plan.installed, [aid(fixtures::aid::WALLET_PURSE), aid(fixtures::aid::WALLET_LOYALTY)]);
        assert!(plan.bytes() > 50_000 && !plan.assumed.is_empty(), "{plan:?}");
    }
}

#[test]
fn clashes_missing_imports_and_memory_are_found_all_at_once() {
    let wallet = builder(&fixtures::wallet_cap(), Blocks::Direct);
    let found = plan(&wallet, Inventory { free: 1000, ..wallet_on_card() }).problems;
    assert_eq!(found[0], (1, Problem::Taken(aid(fixtures::aid::WALLET_PACKAGE))));
    assert!(matches!(found[1], (2, Problem::Memory { free: 1000, needed: 50_000.. })), "{found:?}");
    assert_eq!(found[2], (3, Problem::Taken(aid(fixtures::aid::WALLET_PURSE))));
    assert_eq!(found.len(), 3, "{found:?}");

    let client = builder(&fixtures::client_cap(), Blocks::Direct);
    let found = plan(&client, empty()).problems;
    let import = aid(fixtures::aid::WALLET_PACKAGE);
    assert!(matches!(found[0], (2, Problem::MissingImport { import: missing, .. }) if missing == import), "{found:?}");
    assert_eq!(plan(&client, wallet_on_card()).problems, []);
    let built_in = Some(Vec::new());
    assert_eq!(plan(&client, Inventory { built_in, ..wallet_on_card() }).problems.len(), 1, "not even the API");

    let place = plan(&wallet, Inventory { largest: 5000, ..empty() }).problems;
    assert!(matches!(place[..], [(2, Problem::Place { largest: 5000, .. })]), "{place:?}");
}

#[test]
fn deletes_make_way_and_are_checked_themselves() {
    let object = |aid: &[u8]| [&[0x4F, u8::try_from(aid.len()).unwrap()], aid].concat();
    let (package, purse) = (object(fixtures::aid::WALLET_PACKAGE), object(fixtures::aid::WALLET_PURSE));
    let delete = |p2, what| with(&[(0xE4, 0, p2, what)], wallet_on_card()).problems;
    assert!(matches!(delete(0, &package)[..], [(1, Problem::HasApplication { .. })]));
    assert_eq!((delete(0x80, &package), delete(0, &purse)), (vec![], vec![]));
    let nobody = object(fixtures::aid::NOBODY);
    assert_eq!(delete(0, &nobody), [(1, Problem::NotThere(aid(fixtures::aid::NOBODY)))]);

    let mut renewed = BatchBuilder::new();
    renewed.push(&CommandApdu::new(0x80, 0xE4, 0, 0x80, &package)).unwrap();
    let wallet = builder(&fixtures::wallet_cap(), Blocks::Direct).finish().unwrap();
    for command in Batch::parse(&wallet).unwrap().commands() {
        renewed.push_bytes(command.bytes()).unwrap();
    }
    let renewed = plan(&renewed, wallet_on_card());
    assert_eq!((renewed.problems.len(), renewed.deleted.len()), (0, 1), "{renewed:?}");
}

#[test]
fn keys_are_named_and_never_shown() {
    let changes = [
        (0xD8, 0x00, 0x81, &[0x31, 0xC0, 0xFF, 0xEE][..]),
        (0xD8, 0x30, 0x81, &[0x32, 0xC0, 0xFF, 0xEE]),
        (0xE4, 0x00, 0x00, &[0xD0, 0x01, 0x01, 0xD2, 0x01, 0x30]),
    ];
    let plan = with(&changes, empty());
    let expected = [KeyChange::Added(0x31), KeyChange::Replaced { old: 0x30, new: 0x32 }, KeyChange::Deleted(0x30)];
    assert_eq!(plan.keys, expected);
    assert!(!format!("{plan:?}").contains("192"), "{plan:?}");
}

#[test]
fn what_is_malformed_is_a_problem_and_what_goes_to_applications_is_not_looked_at() {
    let found = with(&[(0xE6, 0x0C, 0, &[0xFF]), (0xE8, 0x80, 0, &[0xC4, 0x01, 0x00]), (0xE4, 0, 0, &[])], empty());
    let expected = [(1, Problem::Malformed), (2, Problem::NoLoad), (3, Problem::Malformed)];
    assert_eq!(found.problems, expected);
    let mut builder = BatchBuilder::new();
    builder.push(&CommandApdu::new(0x00, 0xA4, 0x04, 0x00, fixtures::aid::NDEF_INSTANCE)).unwrap();
    builder.push(&CommandApdu::new(0x80, 0xE6, 0x0C, 0x00, &[0xFF])).unwrap();
    assert_eq!(plan(&builder, empty()).problems, []);
}
