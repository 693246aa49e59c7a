//! Privileges: granted and refused, default selected, and the life cycle of applications.

mod common;

use common::{Bench, batch_of, bytes, hex};
use smcard_batch::CommandApdu;
use smcard_batch::issue::{Blocks, Recovery};
use smcard_card::scp03::HostSession;
use smcard_fixtures as fixtures;
use smcard_link::SecureCard;

/// A card with the tag's and the wallet's load files and the wallet's instances.
fn card() -> (Bench, HostSession) {
    let mut bench = Bench::standard();
    for cap in [fixtures::ndef_cap(), fixtures::wallet_cap()] {
        let id = bench.upload("app", &batch_of(&cap, Blocks::default(), Recovery::None));
        assert_eq!(bench.start(id).sw, 0x9000);
    }
    let host = bench.authenticate_at(0x33);
    (bench, host)
}

fn send(bench: &mut Bench, host: &mut HostSession, command: &str) -> (String, u16) {
    let command = bytes(command);
    let answer = bench.secured(host, &CommandApdu::parse(&command).expect("a command"));
    (hex(&answer.data), answer.sw)
}

/// Installs a second instance of the tag with these privileges.
fn install(bench: &mut Bench, host: &mut HostSession, aid: &str, privileges: &str) -> u16 {
    let [aid, privileges] = [aid, privileges].map(|field| format!("{:02X}{field}", field.len() / 2));
    let data = format!("08F0534D4341524401 09F0534D434152440101 {aid} {privileges} 02C900 00");
    send(bench, host, &format!("80E60C00 {:02X} {data}", bytes(&data).len())).1
}

#[test]
fn what_is_served_is_granted_and_shown() {
    for (privileges, shown) in
        [("00", "000000"), ("10", "100000"), ("08", "080000"), ("02", "020000"), ("000800", "000800"), ("", "000000")]
    {
        let (mut bench, mut host) = card();
        assert_eq!(install(&mut bench, &mut host, "F0000000AA", privileges), 0x9000, "{privileges}");
        let (listed, sw) = send(&mut bench, &mut host, "80F24002074F05F0000000AA00");
        assert_eq!(sw, 0x9000);
        assert!(listed.contains(&format!("C503{shown}")), "{listed}");
    }
}

#[test]
fn what_is_not_served_is_refused_and_leaves_nothing_behind() {
    let (mut bench, mut host) = card();
    let free = bench.free();
    let first = ["80", "C0", "A0", "C1", "40", "20", "01", "90"];
    let second = ["008000", "004000", "002000", "001000", "000400", "000200", "000100", "800000"];
    let third = ["000080", "000040", "000020", "000010", "000001", "0000", "00000000"];
    for privileges in first.iter().chain(&second).chain(&third) {
        assert_eq!(install(&mut bench, &mut host, "F0000000AA", privileges), 0x6A80, "{privileges}");
    }
    assert_eq!(bench.free(), free);
    assert_eq!(send(&mut bench, &mut host, "80F24002074F05F0000000AA00").1, 0x6A88);
}

#[test]
fn the_default_selected_application_is_current_after_power_on_and_operators_need_no_select() {
    let (mut bench, mut host) = card();
    assert_eq!(install(&mut bench, &mut host, "F0000000AA", "04"), 0x9000);
    assert_eq!(install(&mut bench, &mut host, "F0000000AB", "04"), 0x6985, "only one can be");
    let id = bench.upload("nothing", &common::batch(&["80CA006600"]));
    bench.card().reset().expect("the power comes back");
    assert_eq!(bench.sw("00A4000C02E103"), 0x9000, "the tag answers without a SELECT");
    assert_eq!(bench.sw("80CA006600"), 0x6E00, "and the card manager does not");
    assert_eq!(bench.sw("80CADF7400"), 0x9000, "but for the status objects");
    assert_eq!(bench.sw("805C0000"), 0x9000, "CLEAR");
    assert_eq!(bench.start(id).sw, 0x9000, "and START");
    assert_eq!(bench.sw("00A4000C02E103"), 0x9000, "after which it is still current");
    assert_eq!(hex(&bench.send("0070000001").data), "", "a channel opened now would share it");
    assert_eq!(bench.sw("00A4040000"), 0x9000, "the card manager, by SELECT");
    assert_eq!(hex(&bench.send("0070000001").data), "01");
    assert_eq!(bench.sw("01A4000C02E103"), 0x9000, "a new channel begins with it");
    assert_eq!(bench.sw("00A4040005F0000000AA"), 0x6985, "it is on one channel");
    assert_eq!(bench.sw("0070800100"), 0x9000);
    assert_eq!(bench.sw("00A4040005F0000000AA"), 0x9000);
    assert_eq!(bench.sw("805C0000"), 0x6E00, "selected by name, it gets every command");

    bench.send("00A4040000");
    let mut host = bench.authenticate_at(0x33);
    assert_eq!(send(&mut bench, &mut host, "80F0408005F0000000AA").1, 0x9000, "locked");
    bench.card().reset().expect("the power comes back");
    assert_eq!(bench.sw("80CA006600"), 0x9000, "the card manager is current again");
    let mut host = bench.authenticate_at(0x33);
    assert_eq!(send(&mut bench, &mut host, "80E40000074F05F0000000AA00").1, 0x9000);
    assert_eq!(install(&mut bench, &mut host, "F0000000AB", "04"), 0x9000, "the place is free");
}

#[test]
fn make_selectable_may_give_default_selected_and_nothing_else() {
    let (mut bench, mut host) = card();
    let data = "08F0534D4341524401 09F0534D434152440101 05F0000000AA 0110 02C900 00";
    let command = format!("80E60400 {:02X} {data} 00", bytes(data).len());
    assert_eq!(send(&mut bench, &mut host, &command).1, 0x9000);
    let selectable = "80E60800 0C 0000 05F0000000AA 010C 00 00";
    assert_eq!(send(&mut bench, &mut host, selectable).1, 0x9000);
    let (listed, _) = send(&mut bench, &mut host, "80F24002074F05F0000000AA00");
    assert!(listed.contains("9F700107C503140000"), "card lock from before, default selected now: {listed}");
}

#[test]
fn a_locked_application_is_skipped_and_comes_back_as_it_was() {
    let (mut bench, mut host) = card();
    assert_eq!(send(&mut bench, &mut host, "80F0408009F0534D434152440201").1, 0x9000);
    assert_eq!(send(&mut bench, &mut host, "80F0408009F0534D434152440201").1, 0x6985, "locked already");
    assert_eq!(send(&mut bench, &mut host, "80F0408005F0000000EE").1, 0x6A88, "no such application");
    assert_eq!(send(&mut bench, &mut host, "80F0608009F0534D434152440201").1, 0x6A86, "no security domain");
    bench.reopen();
    assert_eq!(bench.sw("00A4040009F0534D434152440201"), 0x6A82);
    let found = hex(&bench.send("00A4040008F0534D4341524402").data);
    assert!(found.contains("F0534D434152440202"), "the next of that name: {found}");
    bench.send("00A4040000");
    let mut host = bench.authenticate_at(0x33);
    assert!(send(&mut bench, &mut host, "80F240020B4F09F0534D43415244020100").0.contains("9F700187"));
    assert_eq!(send(&mut bench, &mut host, "80F0400009F0534D434152440201").1, 0x9000);
    assert!(send(&mut bench, &mut host, "80F240020B4F09F0534D43415244020100").0.contains("9F700107"));
    assert_eq!(bench.sw("00A4040009F0534D434152440201"), 0x9000);
}

#[test]
fn a_locked_card_says_so_and_a_terminated_one_is_over() {
    let (mut bench, mut host) = card();
    for (state, sw) in [("0F", 0x9000), ("7F", 0x9000), ("7F", 0x6985), ("07", 0x6985), ("55", 0x6A80)] {
        assert_eq!(send(&mut bench, &mut host, &format!("80F080{state}")).1, sw, "{state}");
    }
    let refused = ["80E60200 0D 08F0534D4341524404 00000000 00", "80E400000B4F09F0534D43415244020100", "80D8008101 31"];
    for command in refused {
        assert_eq!(send(&mut bench, &mut host, command).1, 0x6985, "{command}");
    }
    assert_eq!(send(&mut bench, &mut host, "80F28002024F0000").1, 0x9000, "it can still be listed");
    assert_eq!(bench.sw("00A4040000"), 0x6283);
    let mut host = bench.authenticate_at(0x33);
    assert_eq!(send(&mut bench, &mut host, "80F080FF").1, 0x9000);
    bench.reopen();
    for (command, sw) in [
        ("80CA006600", 0x9000),
        ("80CADF7400", 0x9000),
        ("80500000080102030405060708 00", 0x6985),
        ("0070000001", 0x6A81),
        ("00A4040009F0534D434152440201", 0x6A82),
    ] {
        assert_eq!(bench.sw(command), sw, "{command}");
    }
}
