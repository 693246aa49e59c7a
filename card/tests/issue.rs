//! The self-issue: one direct write, one START, and the card issues itself (system S1, S4).

mod common;

use common::{Bench, batch, batch_of, builder_of, bytes, hex, start_command};
use smcard_batch::issue::{Blocks, Recovery};
use smcard_card::CreateOptions;
use smcard_fixtures as fixtures;
use smcard_link::{RecoveryKind, SecureCard};

const SELECT_TAG: &str = "00A4040009F0534D434152440101";

#[test]
fn a_cap_file_becomes_an_application_that_answers_in_two_exchanges() {
    let mut bench = Bench::standard();
    let file = batch_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None);
    assert_eq!(bench.sw(SELECT_TAG), 0x6A82, "not there yet");
    bench.send("00A4040000");
    bench.authenticate();
    let before = bench.card().counters().exchanges;
    let id = bench.write("ndef.batch", &file).data;
    let answer = bench.card().transmit(&start_command(u16::from_be_bytes([id[0], id[1]]), 0)).expect("an answer");
    assert_eq!(answer.sw, 0x9000);
    assert_eq!(bench.card().counters().exchanges - before, 2);

    let fci = bench.send(SELECT_TAG);
    assert_eq!((hex(&fci.data), fci.sw), ("6F118409F0534D434152440101A5049F6501FF".to_owned(), 0x9000));
    assert_eq!(bench.sw("00A4000C02E103"), 0x9000);
    assert_eq!(hex(&bench.send("00B000000F").data), "000F2000F600F60406E10408000000");
}

#[test]
fn exchanges_do_not_depend_on_the_size() {
    let cases = [
        (fixtures::ndef_cap(), Blocks::default()),
        (fixtures::wallet_cap(), Blocks::default()),
        (fixtures::library_cap(), Blocks::Direct),
    ];
    for (cap, blocks) in cases {
        let mut bench = Bench::standard();
        let file = batch_of(&cap, blocks, Recovery::Functions);
        bench.authenticate();
        let before = bench.card().counters().exchanges;
        let answer = bench.write("app.batch", &file);
        let id = u16::from_be_bytes(answer.data.try_into().expect("an identifier"));
        assert_eq!(bench.start(id).sw, 0x9000);
        assert_eq!(bench.card().counters().exchanges - before, 2, "{} bytes", file.len());
    }
}

#[test]
fn what_was_issued_is_there_after_the_power_was_off() {
    let mut bench = Bench::standard();
    let id = bench.upload("wallet.batch", &batch_of(&fixtures::wallet_cap(), Blocks::default(), Recovery::None));
    assert_eq!(bench.start(id).sw, 0x9000);
    bench.reopen();
    assert_eq!(bench.sw("00A4040009F0534D434152440201"), 0x9000);
    assert_eq!(bench.sw("80CA000000"), 0x6D00, "no code for it: the application has no virtual machine yet");
    assert_eq!(bench.sw("00A4040009F0534D434152440202"), 0x9000);
}

#[test]
fn start_finds_the_file_by_identifier_by_name_or_alone() {
    let mut bench = Bench::standard();
    let one = batch(&["80CA006600"]);
    let two = batch(&["80CA00E000"]);
    let first = bench.upload("one", &one);
    assert_eq!(hex(&bench.send("805A0000").data)[..8], *"6631732F", "alone: the answer of its last command goes out");
    bench.upload("two", &two);
    assert_eq!(bench.sw("805A0000"), 0x6A80, "two files: which one?");
    assert_eq!(hex(&bench.start(first).data)[..8], *"6631732F");
    assert_eq!(hex(&bench.send("805A01000C0374776F 00000000 00000000").data)[..2], *"E0");
    assert_eq!(bench.sw("805A01000C03736978 00000000 00000000"), 0x6A82, "no such name");
    assert_eq!(bench.sw("805A00000AFFFF 00000000 00000000"), 0x6A82, "no such identifier");
}

#[test]
fn reading_never_passes_the_given_length() {
    let mut bench = Bench::standard();
    let file = batch(&["80CA006600", "80CA006600"]);
    let id = bench.upload("a", &file);
    let mut region = |offset: u32, length: u32| {
        let mut command = bytes("805A00000A");
        command.extend_from_slice(&id.to_be_bytes());
        command.extend_from_slice(&offset.to_be_bytes());
        command.extend_from_slice(&length.to_be_bytes());
        bench.card().transmit(&command).expect("an answer").sw
    };
    let size = u32::try_from(file.len()).expect("small");
    assert_eq!(region(0, size), 0x9000);
    assert_eq!(region(0, size - 1), 0x6A80, "a batch cut short is no batch");
    assert_eq!(region(0, size + 1), 0x6B00);
    assert_eq!(region(1, 0), 0x6A80);
    assert_eq!(region(u32::MAX, 1), 0x6B00);
}

#[test]
fn a_failure_comes_back_with_how_far_it_got() {
    for kind in [RecoveryKind::Restart, RecoveryKind::Command, RecoveryKind::Function] {
        let mut bench = Bench::new(&CreateOptions { size: 4 << 20, recovery: kind, ..CreateOptions::default() });
        let store_iin = "80E2900005 4203123456";
        let missing = "80E4000009 4F07A0000000620199";
        let id = bench.upload("a", &batch(&["80CA006600", store_iin, missing, "80CA006600"]));
        let answer = bench.start(id);
        assert_eq!((hex(&answer.data), answer.sw), ("00000003".to_owned(), 0x6A88), "{kind:?}");
        let kept = if kind == RecoveryKind::Restart { 0 } else { 2 };
        assert_eq!(bench.issue_state(), (1, 3, 4, 0x6A88, kept), "{kind:?}");
        bench.send("00A4040000");
        assert_eq!(bench.sw("80CA004200"), if kept == 0 { 0x6A88 } else { 0x9000 }, "{kind:?}: what command 2 stored");

        let short = bench.card().transmit(&start_command(id, 1)).expect("an answer");
        assert_eq!(short.sw, 0x63C3, "{kind:?}: the same, in the status word");
        assert_eq!(bench.sw("805C0000"), 0x9000, "CLEAR");
        assert_eq!(bench.issue_state().0, 0);
        assert_eq!(bench.sw("80CA004200"), 0x6A88, "{kind:?}: cleared");
    }
}

#[test]
fn clear_brings_back_exactly_what_was_before() {
    for kind in [RecoveryKind::Command, RecoveryKind::Function] {
        let mut bench = Bench::new(&CreateOptions { size: 4 << 20, recovery: kind, ..CreateOptions::default() });
        let first = bench.upload("first", &batch_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None));
        assert_eq!(bench.start(first).sw, 0x9000);
        assert_eq!(bench.sw(SELECT_TAG), 0x9000);
        bench.send("00A4040000");

        let mut replace = smcard_batch::BatchBuilder::new();
        replace.push_bytes(&bytes("80E40080 0A 4F08F0534D4341524401")).expect("a command");
        replace.push_bytes(&bytes("80E2900005 4203ABCDEF")).expect("a command");
        replace.push_bytes(&bytes("80E40000 09 4F07A0000000620199")).expect("a command");
        let second = bench.upload("second", &replace.finish().expect("a batch"));
        let free = bench.free();
        assert_eq!(bench.start(second).sw, 0x6A88);
        assert_eq!(bench.sw(SELECT_TAG), 0x6A82, "{kind:?}: deleted by the unfinished issue");
        assert_eq!(bench.sw("00A4040000"), 0x9000);
        assert_eq!(bench.sw("805C0000"), 0x9000);
        assert_eq!(bench.sw("80CA004200"), 0x6A88);
        assert_eq!(bench.free(), free);
        assert_eq!(bench.sw(SELECT_TAG), 0x9000, "{kind:?}: back again");
    }
}

#[test]
fn nothing_else_changes_content_between_an_unfinished_issue_and_its_end() {
    let mut bench = Bench::standard();
    let broken = bench.upload("broken", &batch(&["80E2900005 4203123456", "80E4000009 4F07A0000000620199"]));
    let other = bench.upload("other", &batch(&["80CA006600"]));
    assert_eq!(bench.start(broken).sw, 0x6A88);
    assert_eq!(bench.start(other).sw, 0x6985, "another batch than the unfinished one");
    let mut session = bench.authenticate();
    let install = bytes("80E60200 0D 08F0534D4341524401 00000000");
    let command = smcard_batch::CommandApdu::parse(&install).expect("a command");
    assert_eq!(bench.secured(&mut session, &command).sw, 0x6985);
    assert_eq!(bench.sw("805C0000"), 0x9000);
    assert_eq!(bench.start(other).sw, 0x9000);
}

#[test]
fn a_finished_issue_starts_anew() {
    let mut bench = Bench::standard();
    let id = bench.upload("a", &batch_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None));
    assert_eq!(bench.start(id).sw, 0x9000);
    assert_eq!(bench.issue_state().0, 2);
    let again = bench.start(id);
    assert_eq!((hex(&again.data), again.sw), ("00000001".to_owned(), 0x6985), "the package is there");
}

#[test]
fn what_wants_confirmation_cannot_be_used_before() {
    let mut bench = Bench::standard();
    let mut builder = builder_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None);
    let id = bench.upload("a", &builder.confirm(true).finish().expect("a batch"));
    assert_eq!(bench.sw("805E0000"), 0x6985, "nothing to confirm");
    assert_eq!(bench.start(id).sw, 0x9000);
    assert_eq!(bench.issue_state().0, 3);
    assert_eq!(bench.sw(SELECT_TAG), 0x6A82, "not before CONFIRM");
    bench.reopen();
    assert_eq!(bench.sw(SELECT_TAG), 0x6A82, "nor after the power was off");
    assert_eq!(bench.sw("805E0000"), 0x9000);
    assert_eq!(bench.sw(SELECT_TAG), 0x9000);

    let mut bench = Bench::standard();
    let id = bench.upload("a", &builder.finish().expect("a batch"));
    let free = bench.free();
    assert_eq!(bench.start(id).sw, 0x9000);
    assert_eq!(bench.sw("805C0000"), 0x9000, "or it is cleared away");
    assert_eq!((bench.free(), bench.issue_state().0), (free, 0));
}

#[test]
fn several_batches_lie_in_the_store_and_one_is_chosen() {
    let mut bench = Bench::standard();
    let tag = bench.upload("tag", &batch_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None));
    let wallet = bench.upload("wallet", &batch_of(&fixtures::wallet_cap(), Blocks::Direct, Recovery::None));
    assert_ne!(tag, wallet);
    assert_eq!(bench.start(wallet).sw, 0x9000);
    assert_eq!(bench.sw("00A4040009F0534D434152440201"), 0x9000);
    assert_eq!(bench.sw(SELECT_TAG), 0x6A82);
}

#[test]
fn a_batch_selects_and_personalizes() {
    let mut bench = Bench::standard();
    let mut builder = builder_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None);
    for command in
        ["80E62000 0F 0000 09F0534D434152440101 000000", "80E29000 06 D10102540041", SELECT_TAG, "00A4000C02E104"]
    {
        builder.push_bytes(&bytes(command)).expect("a command");
    }
    builder.push_bytes(&bytes("00B0000008")).expect("a command");
    let id = bench.upload("a", &builder.finish().expect("a batch"));
    let answer = bench.start(id);
    assert_eq!((hex(&answer.data), answer.sw), ("0006D10102540041".to_owned(), 0x9000));
    assert_eq!(bench.sw("80CADF7200"), 0x9000, "the interface still has the card manager");
}

#[test]
fn a_batch_cannot_start_a_batch_or_open_a_channel() {
    for command in ["805A0000", "805C0000", "8050000008010203040506070800"] {
        let mut bench = Bench::standard();
        let id = bench.upload("a", &batch(&[command]));
        assert_eq!(bench.start(id).sw, 0x6985, "{command}");
    }
}

#[test]
fn a_load_that_a_batch_leaves_unfinished_is_over_with_it() {
    for kind in [RecoveryKind::Restart, RecoveryKind::Command, RecoveryKind::Function] {
        let mut bench = Bench::new(&CreateOptions { size: 4 << 20, recovery: kind, ..CreateOptions::default() });
        let begun = batch(&["80E60200 0D 08F0534D4341524401 00000000", "80E80000 05 C482100001", "80CA006600"]);
        let half = batch(&["80E60200 0D 08F0534D4341524401 00000000", "80E80000 05 C482100001"]);
        let rest = batch(&["80E88001 01 00"]);
        let (begun, half, rest) =
            (bench.upload("begun", &begun), bench.upload("half", &half), bench.upload("rest", &rest));
        let free = bench.free();
        assert_eq!((bench.start(begun).sw, bench.free()), (0x9000, free), "{kind:?}: given back");
        assert_eq!((bench.start(half).sw, bench.free()), (0x9000, free), "{kind:?}: given back at the end as well");
        assert_eq!(bench.start(rest).sw, 0x6985, "{kind:?}: nothing to go on with");
    }
}

#[test]
fn the_life_cycle_of_a_broken_issue_is_not_the_cards() {
    let mut bench = Bench::standard();
    let secured = "80F0800F 00";
    let id = bench.upload("a", &batch(&[secured, "80E2900005 4203123456", "80E4000009 4F07A0000000620199"]));
    let state = |bench: &mut Bench| bench.send("80CADF7400").data[3];
    assert_eq!(bench.start(id).sw, 0x6A88);
    assert_eq!(state(&mut bench), 0x01, "as before");
    let mut session = bench.authenticate();
    let locked = bytes("80F0807F 00");
    let locked = smcard_batch::CommandApdu::parse(&locked).expect("a command");
    assert_eq!(bench.secured(&mut session, &locked).sw, 0x6985, "not while CLEAR would undo it");
    assert_eq!(bench.sw("805C0000"), 0x9000);
    assert_eq!(state(&mut bench), 0x01);

    let id = bench.upload("b", &batch(&[secured, "80E2900005 4203123456"]));
    assert_eq!((bench.start(id).sw, state(&mut bench)), (0x9000, 0x0F), "a finished issue's is");
}
