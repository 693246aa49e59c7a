//! Card content over an interface: what the commands of GlobalPlatform answer, and with which status word they refuse.

mod common;

use common::{Bench, builder_of, bytes, hex};
use smcard_batch::issue::{Blocks, Recovery};
use smcard_batch::{Batch, CommandApdu};
use smcard_card::CreateOptions;
use smcard_card::scp03::{HostSession, Options};
use smcard_fixtures as fixtures;
use smcard_link::SecureCard;

/// A card with an open session.
struct Session {
    bench: Bench,
    host: HostSession,
}

impl Session {
    fn new() -> Self {
        let mut bench = Bench::standard();
        let host = bench.authenticate_at(0x33);
        Session { bench, host }
    }

    fn send(&mut self, command: &str) -> (String, u16) {
        let command = bytes(command);
        let command = CommandApdu::parse(&command).expect("a command");
        let answer = self.bench.secured(&mut self.host, &command);
        (hex(&answer.data), answer.sw)
    }

    fn sw(&mut self, command: &str) -> u16 {
        self.send(command).1
    }

    /// All commands that load and install a CAP file, one by one; the first status word that is not 9000.
    fn install(&mut self, cap: &[u8]) -> u16 {
        let file = builder_of(cap, Blocks::default(), Recovery::None).finish().expect("a batch");
        let batch = Batch::parse(&file).expect("a batch");
        let answers = batch.commands().map(|command| self.bench.secured(&mut self.host, &command.apdu).sw);
        answers.into_iter().find(|sw| *sw != 0x9000).unwrap_or(0x9000)
    }
}

#[test]
fn content_commands_need_a_session() {
    let mut bench = Bench::standard();
    for command in [
        "80F28002024F0000",
        "80E60200 0D 08F0534D4341524401 00000000",
        "80E4000009 4F07A0000000620199",
        "80E88000 02 C400",
        "80F0800F",
    ] {
        assert_eq!(bench.sw(command), 0x6982, "{command}");
    }
    assert_eq!(bench.sw("80CA006600"), 0x9000, "GET DATA does not");
    assert_eq!(bench.sw("80585A"), 0x6700, "three bytes are no command");
    assert_eq!(bench.sw("80FE0000"), 0x6D00);
    assert_eq!(bench.sw("A0FE0000"), 0x6E00);
    assert_eq!(bench.sw("00700000"), 0x6700, "a channel's number needs room in the answer");
    assert_eq!(bench.sw("01A4040000"), 0x6881);
}

#[test]
fn applications_are_loaded_listed_and_deleted_one_command_at_a_time() {
    let mut card = Session::new();
    assert_eq!(card.sw("80F24002024F0000"), 0x6A88, "no application yet");
    let free = card.bench.free();
    assert_eq!(card.install(&fixtures::wallet_cap()), 0x9000);
    let (applications, sw) = card.send("80F24002024F0000");
    assert_eq!(sw, 0x9000);
    let entry = "E3284F09F0534D4341524402019F700107C503000000C408F0534D4341524402CC08A000000151000000";
    assert!(applications.starts_with(entry), "{applications}");
    assert!(applications.contains("F0534D434152440202"));
    let (modules, _) = card.send("80F21002024F0000");
    assert!(modules.contains("8409F0534D4341524402018409F0534D434152440202"), "{modules}");
    assert_eq!(card.send("80F240020B4F09F0534D43415244020200").0.matches("E3").count(), 1, "by AID");

    assert_eq!(card.sw("80E400000A4F08F0534D4341524402 00"), 0x6985, "instances are in the way");
    assert_eq!(card.sw("80E400000B4F09F0534D434152440201 00"), 0x9000);
    assert_eq!(card.sw("80E400000B4F09F0534D434152440201 00"), 0x6A88, "gone already");
    assert_eq!(card.sw("80E400800A4F08F0534D4341524402 00"), 0x9000, "with all that hangs on it");
    assert_eq!(card.sw("80F24002024F0000"), 0x6A88);
    assert_eq!(card.bench.free(), free);
    assert_eq!(card.sw("80E400000A4F08A000000151000000 00"), 0x6985, "the card manager stays");
}

#[test]
fn long_listings_come_in_parts() {
    let mut card = Session::new();
    assert_eq!(card.install(&fixtures::ndef_cap()), 0x9000);
    for number in 0x10..0x30 {
        let command =
            format!("80E60C00 23 08F0534D4341524401 09F0534D434152440101 0BF0534D4341524401EE00{number:02X} 0100 0000");
        assert_eq!(card.sw(&command), 0x9000, "{number:02X}");
    }
    let (mut all, mut sw) = card.send("80F24002024F0000");
    let mut parts = 1;
    while sw == 0x6310 {
        let (part, next) = card.send("80F24003024F0000");
        all.push_str(&part);
        (sw, parts) = (next, parts + 1);
    }
    assert_eq!((sw, all.matches("4F0BF0534D4341524401EE00").count()), (0x9000, 32));
    assert!(parts > 4, "{parts} parts");
    assert_eq!(card.sw("80F24003024F0000"), 0x6985, "no part is left");
}

#[test]
fn imports_must_be_on_the_card() {
    let mut card = Session::new();
    assert_eq!(card.install(&fixtures::orphan_cap()), 0x6A88);
    assert_eq!(card.install(&fixtures::client_cap()), 0x6A88, "it needs the wallet");
    let free = card.bench.free();
    assert_eq!(card.install(&fixtures::wallet_cap()), 0x9000);
    assert!(card.bench.free() < free);
    assert_eq!(card.install(&fixtures::client_cap()), 0x9000);
    assert_eq!(card.sw("80E400800A4F08F0534D4341524402 00"), 0x6985, "the client needs it");
    assert_eq!(card.sw("80E400800A4F08F0534D4341524404 00"), 0x9000);
    assert_eq!(card.sw("80E400800A4F08F0534D4341524402 00"), 0x9000);
    assert_eq!(card.bench.free(), free);
}

#[test]
fn a_failed_load_gives_its_memory_back() {
    let mut card = Session::new();
    let free = card.bench.free();
    let for_load = "80E60200 0D 08F0534D4341524401 00000000 00";
    assert_eq!(card.sw("80E80000 03 C40101 00"), 0x6985, "LOAD without INSTALL");
    assert_eq!(card.sw(for_load), 0x9000);
    assert_eq!(card.sw("80E80000 05 C482FFFF01 00"), 0x9000, "announces 65535 bytes");
    assert!(card.bench.free() < free);
    assert_eq!(card.sw("80E80002 01 00 00"), 0x6A86, "a block is missing");
    assert_eq!(card.bench.free(), free);
    assert_eq!(card.sw("80E80001 01 00 00"), 0x6985, "the load is over");

    for (first, why, sw) in [
        ("80E88000 03 C40101 00", "no load file", 0x6A80),
        ("80E88000 03 C40201 00", "shorter than announced", 0x6A80),
        ("80E80000 04 C4010102 00", "longer than announced", 0x6A80),
        ("80E80000 03 E20101 00", "no load file data", 0x6A80),
        ("80E80000 06 C4847FFFFFFF 00", "larger than the card", 0x6A84),
        ("80E80000 02 C400 00", "empty", 0x6A80),
    ] {
        assert_eq!(card.sw(for_load), 0x9000);
        assert_eq!(card.sw(first), sw, "{why}");
        assert_eq!(card.bench.free(), free, "{why}");
    }
    assert_eq!(card.sw(for_load), 0x9000);
    assert_eq!(card.sw("80E80000 05 C482FFFF01 00"), 0x9000);
    card.bench.reopen();
    assert_eq!(card.bench.free(), free, "the power going gives it back as well");
}

/// The load file data of a CAP file as any careless tool would send it: the components in load order, unchecked.
fn load_file_data(cap: &[u8]) -> Option<Vec<u8>> {
    let order = [1, 2, 4, 3, 6, 7, 8, 10, 5, 9, 13, 11];
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(cap)).ok()?;
    let mut components = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).ok()?;
        if entry.name().to_lowercase().ends_with(".cap") {
            let mut component = Vec::new();
            std::io::copy(&mut entry, &mut component).ok()?;
            components.push(component);
        }
    }
    let place = |component: &Vec<u8>| order.iter().position(|tag| Some(tag) == component.first()).unwrap_or(20);
    components.sort_by_key(place);
    components.retain(|component| component.first() != Some(&12));
    Some(components.concat())
}

#[test]
fn damaged_load_files_are_refused_by_the_card_itself() {
    let mut refused = 0;
    let mut card = Session::new();
    let free = card.bench.free();
    for damaged in fixtures::damaged() {
        let Some(data) = load_file_data(&damaged.bytes) else { continue };
        // Debug is never loaded and custom components may be left out: that the Directory lists them proves nothing.
        let left_out = ["directory-invents", "custom-missing"].contains(&damaged.name);
        if damaged.layer != fixtures::damage::Layer::Structure || left_out {
            continue;
        }
        let package = [1, 2, 3, 4].map(|number| [0xF0, 0x53, 0x4D, 0x43, 0x41, 0x52, 0x44, number]);
        let answers = package.map(|aid| {
            let for_load = [&[8][..], &aid[..], &[0, 0, 0, 0][..]].concat();
            let answer = card.bench.secured(&mut card.host, &CommandApdu::new(0x80, 0xE6, 0x02, 0x00, &for_load));
            assert_eq!(answer.sw, 0x9000);
            let length = u32::try_from(data.len()).expect("small").to_be_bytes();
            let block = [&[0xC4, 0x83][..], &length[1..], &data[..]].concat();
            let mut last = 0;
            let blocks = block.chunks(30_000).collect::<Vec<_>>();
            for (number, part) in blocks.iter().enumerate() {
                let p1 = if number + 1 == blocks.len() { 0x80 } else { 0x00 };
                let p2 = u8::try_from(number).expect("few");
                last = card.bench.secured(&mut card.host, &CommandApdu::new(0x80, 0xE8, p1, p2, part)).sw;
                if last != 0x9000 {
                    break;
                }
            }
            last
        });
        assert!(answers.iter().all(|sw| matches!(sw, 0x6A80 | 0x6A88)), "{}: {answers:04X?}", damaged.name);
        assert_eq!(card.bench.free(), free, "{}", damaged.name);
        refused += 1;
    }
    assert!(refused > 40, "{refused} damaged files were refused");
}

#[test]
fn names_cannot_be_given_twice() {
    let mut card = Session::new();
    assert_eq!(card.install(&fixtures::ndef_cap()), 0x9000);
    assert_eq!(card.sw("80E60200 0D 08F0534D4341524401 00000000 00"), 0x6985, "the package");
    assert_eq!(card.sw("80E60200 0D 08A000000151000000 00000000 00"), 0x6985, "the card manager");
    let install = "80E60C00 21 08F0534D4341524401 09F0534D434152440101 09F0534D434152440101 0100 00 00";
    assert_eq!(card.sw(install), 0x6985, "the instance");
    assert_eq!(card.sw(&install.replace("0101 0100", "0109 0100")), 0x9000);
    assert_eq!(card.sw(&install.replacen("0101 09F0", "0177 09F0", 1)), 0x6A88, "no such module");
    assert_eq!(card.sw(&install.replace("0101 0100", "0107 0180")), 0x6A80, "a privilege the card does not serve");
    assert_eq!(card.sw("80E60C00 04 08F05300 00"), 0x6A80, "fields cut short");
    assert_eq!(card.sw("80E60300 01 00 00"), 0x6A86);
}

#[test]
fn installed_is_not_selectable_yet_and_locked_is_not_any_more() {
    let mut card = Session::new();
    assert_eq!(card.install(&fixtures::ndef_cap()), 0x9000);
    let tag = "07D2760000850101";
    assert_eq!(card.sw(&format!("80E60400 1F 08F0534D4341524401 09F0534D434152440101 {tag} 0100 00 00")), 0x9000);
    let select = format!("00A40400{tag}");
    assert_eq!(card.bench.sw(&select), 0x6A82);
    card.host = card.bench.authenticate();
    assert_eq!(card.sw(&format!("80E60800 0E 0000 {tag} 0100 00 00")), 0x9000);
    assert_eq!(card.sw(&format!("80E60800 0E 0000 {tag} 0100 00 00")), 0x6985, "selectable already");
    assert_eq!(card.sw(&format!("80F04080{tag}")), 0x9000, "lock");
    assert_eq!(card.sw(&format!("80F04080{tag}")), 0x6985, "the same state is refused");
    assert!(card.send("80F24002024F0000").0.contains("4F07D27600008501019F700187"));
    assert_eq!(card.bench.sw(&select), 0x6A82);
    card.host = card.bench.authenticate();
    assert_eq!(card.sw(&format!("80F04007{tag}")), 0x9000, "unlock");
    assert_eq!(card.bench.sw(&select), 0x9000);
}

#[test]
fn the_life_cycle_of_the_card_is_kept_and_enforced() {
    let mut card = Session::new();
    assert_eq!(card.install(&fixtures::ndef_cap()), 0x9000);
    assert_eq!(card.sw("80F08001"), 0x6985, "the same state is refused");
    assert_eq!(card.sw("80F0807F"), 0x6985, "not from OP_READY");
    assert_eq!(card.sw("80F08007"), 0x9000);
    assert_eq!(card.sw("80F0800F"), 0x9000);
    assert_eq!(card.sw("80F0807F"), 0x9000, "locked");
    card.bench.reopen();
    assert_eq!(card.bench.sw("00A4040009F0534D434152440101"), 0x6A82, "only the card manager answers");
    assert_eq!(card.bench.sw("00A4040000"), 0x6283);
    assert_eq!(card.bench.sw("805A0000"), 0x6985, "no issue");
    card.host = card.bench.authenticate();
    assert_eq!(card.bench.write("a", b"SMCB").sw, 0x6A81, "no direct write");
    assert_eq!(card.sw("80E400800A4F08F0534D4341524401 00"), 0x6985, "no change of content");
    assert_eq!(card.sw("80F0800F"), 0x9000, "unlocked");
    assert_eq!(card.bench.sw("00A4040009F0534D434152440101"), 0x9000);
    card.bench.send("00A4040000");
    card.host = card.bench.authenticate();
    assert_eq!(card.sw("80F080FF"), 0x9000, "terminated");
    card.bench.reopen();
    assert_eq!(card.bench.sw("80CA006600"), 0x9000, "GET DATA goes on");
    assert_eq!(card.bench.sw("805A0000"), 0x6985);
    assert_eq!(card.bench.sw("805C0000"), 0x6985);
    assert_eq!(card.bench.sw("80500000080102030405060708 00"), 0x6985);
}

#[test]
fn a_broken_command_ends_the_session() {
    let mut card = Session::new();
    assert_eq!(card.bench.sw("80F24002024F0000"), 0x6982, "plain, below the level");
    assert_eq!(card.sw("80F28002024F0000"), 0x6982, "the channel is closed");
    card.host = card.bench.authenticate();
    assert_eq!(card.sw("80F28002024F0000"), 0x9000);
    assert_eq!(card.bench.sw("805C0000"), 0x9000, "CLEAR needs no keys");
    assert_eq!(card.bench.sw("80CADF7400"), 0x9000, "nor do the status objects");
    assert_eq!(card.sw("80F28002024F0000"), 0x9000, "and they leave the channel alone");
    card.bench.send("00A4040000");
    assert_eq!(card.sw("80F28002024F0000"), 0x6982, "SELECT ends it");
}

#[test]
fn a_wrong_cryptogram_authenticates_nobody() {
    let mut bench = Bench::standard();
    assert_eq!(bench.sw("80500000080102030405060708 00"), 0x9000);
    assert_eq!(bench.sw("8482010010 00112233445566778899AABBCCDDEEFF"), 0x6300);
    assert_eq!(bench.sw("8482010010 00112233445566778899AABBCCDDEEFF"), 0x6985, "no second try on one handshake");
    assert_eq!(bench.sw("80507700080102030405060708 00"), 0x6A88, "no such key version");
    assert_eq!(bench.sw("80500000070102030405060700"), 0x6700);
}

#[test]
fn the_sequence_counter_only_ever_grows() {
    let mut bench = Bench::standard();
    let mut last = 0;
    for round in 0..4 {
        let answer = bench.send("80500000080102030405060708 00");
        let counter = u32::from_str_radix(&hex(&answer.data[29..]), 16).expect("a counter");
        assert_eq!(counter, last + 1, "round {round}");
        last = counter;
        bench.reopen();
    }
    assert_eq!(hex(&bench.send("80CA00C100").data), "C103000004");
}

#[test]
fn option_00_makes_random_challenges() {
    let options = CreateOptions { size: 2 << 20, scp03: Options::PLAIN, ..CreateOptions::default() };
    let mut bench = Bench::new(&options);
    let first = bench.send("80500000080102030405060708 00").data;
    let second = bench.send("80500000080102030405060708 00").data;
    assert_eq!((first.len(), first[12]), (29, 0x00));
    assert_ne!(first[13..21], second[13..21]);
    let mut host = bench.authenticate_at(0x03);
    let status = CommandApdu::new(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).with_le(256);
    assert_eq!(bench.secured(&mut host, &status).sw, 0x9000);
}

#[test]
fn partial_names_find_the_next_occurrence() {
    let mut card = Session::new();
    assert_eq!(card.install(&fixtures::wallet_cap()), 0x9000);
    assert!(hex(&card.bench.send("00A4040005F0534D4341").data).contains("F0534D434152440201"));
    assert!(hex(&card.bench.send("00A4040205F0534D4341").data).contains("F0534D434152440202"));
    assert_eq!(card.bench.sw("00A4040205F0534D4341"), 0x6A82, "no more");
    assert_eq!(card.bench.sw("00A4040205F0534D4342"), 0x6A82);
    assert_eq!(card.bench.card().transmit(&bytes("00A4040105F0534D4341")).expect("an answer").sw, 0x6A86);
}
