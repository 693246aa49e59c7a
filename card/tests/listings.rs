//! GET STATUS: every subset, in the form of templates and in that of older cards, with tag lists, in parts.

mod common;

use common::{Bench, batch_of, builder_of, bytes, hex};
use smcard_batch::CommandApdu;
use smcard_batch::issue::{Blocks, Recovery};
use smcard_card::scp03::HostSession;
use smcard_fixtures as fixtures;

fn send(bench: &mut Bench, host: &mut HostSession, command: &str) -> (String, u16) {
    let command = bytes(command);
    let answer = bench.secured(host, &CommandApdu::parse(&command).expect("a command"));
    (hex(&answer.data), answer.sw)
}

/// A card with the tag, installed once.
fn card(level: u8) -> (Bench, HostSession) {
    let mut bench = Bench::standard();
    let id = bench.upload("app", &batch_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None));
    assert_eq!(bench.start(id).sw, 0x9000);
    let host = bench.authenticate_at(level);
    (bench, host)
}

const TAG: &str = "F0534D434152440101";

#[test]
fn every_subset_has_both_forms() {
    let (mut bench, mut host) = card(0x03);
    let domain = "CC08A000000151000000";
    for (p1, p2, expected) in [
        ("80", "02", "E3134F08A0000001510000009F700101C5039EFE80".to_owned()),
        ("80", "00", "08A000000151000000019E".to_owned()),
        ("40", "02", format!("E3284F09{TAG}9F700107C503000000C408F0534D4341524401{domain}")),
        ("40", "00", format!("09{TAG}0700")),
        ("20", "02", format!("E31C4F08F0534D43415244019F700101CE020100{domain}")),
        ("20", "00", "08F0534D43415244010100".to_owned()),
        ("10", "02", format!("E3274F08F0534D43415244019F700101CE020100{domain}8409{TAG}")),
        ("10", "00", format!("08F0534D434152440101000109{TAG}")),
    ] {
        let listed = send(&mut bench, &mut host, &format!("80F2{p1}{p2}024F0000"));
        assert_eq!(listed, (expected, 0x9000), "{p1} {p2}");
    }
}

#[test]
fn tag_lists_choose_what_is_told() {
    let (mut bench, mut host) = card(0x03);
    for (tags, expected) in [
        ("4F", format!("E30B4F09{TAG}")),
        ("4F9F70", format!("E30F4F09{TAG}9F700107")),
        ("9F70C5", format!("E3144F09{TAG}9F700107C503000000")),
        ("4FC4", format!("E3154F09{TAG}C408F0534D4341524401")),
        ("4FCC84CECF7F21", format!("E3154F09{TAG}CC08A000000151000000")),
        ("", format!("E3284F09{TAG}9F700107C503000000C408F0534D4341524401CC08A000000151000000")),
    ] {
        let data = format!("4F005C{:02X}{tags}", tags.len() / 2);
        let answer = send(&mut bench, &mut host, &format!("80F24002{:02X}{data}00", data.len() / 2));
        assert_eq!(answer, (expected, 0x9000), "5C {tags}");
    }
    for (data, sw) in [
        ("4F005C019F", 0x6A80),
        ("4F005C024F", 0x6A80),
        ("5C014F", 0x6A80),
        ("4F00C500", 0x6A80),
        ("4F09F0534D434152440102", 0x6A88),
        ("4F02F053", 0x9000),
    ] {
        let (_, answered) = send(&mut bench, &mut host, &format!("80F24002{:02X}{data}00", data.len() / 2));
        assert_eq!(answered, sw, "{data}");
    }
    for (p1p2, sw) in [("4004", 0x6A86), ("C002", 0x6A86), ("0002", 0x6A86), ("4003", 0x6985), ("4001", 0x6985)] {
        assert_eq!(send(&mut bench, &mut host, &format!("80F2{p1p2}024F0000")).1, sw, "{p1p2}");
    }
}

/// 200 applications, in both forms, at every level: no part is longer than a short response, and none is told twice.
#[test]
fn many_applications_come_in_parts_that_fit_with_their_protection() {
    let (mut bench, mut host) = card(0x03);
    for number in 0..200 {
        let data = format!("08F0534D4341524401 09{TAG} 06F000000001{number:02X} 0100 02C900 00");
        let command = format!("80E60C00 {:02X} {data} 00", bytes(&data).len());
        assert_eq!(send(&mut bench, &mut host, &command).1, 0x9000, "{number}");
    }
    for level in [0x00, 0x01, 0x03, 0x11, 0x13, 0x33] {
        let mut host = bench.authenticate_at(level);
        for form in [0x00, 0x02] {
            let mut all = String::new();
            let mut next = 0;
            let parts = 1
                + (0..)
                    .map(|part| {
                        let command = bytes(&format!("80F240{:02X}084F06F00000000100", form | next));
                        let command = [&command[..4], &[0x02, 0x4F, 0x00, 0x00][..]].concat();
                        let wrapped = host.wrap(&CommandApdu::parse(&command).expect("a command")).expect("fits");
                        let answer = smcard_link::SecureCard::transmit(bench.card(), &wrapped).expect("an answer");
                        assert!(
                            answer.data.len() <= 256,
                            "level {level:02X}, part {part}: {} bytes",
                            answer.data.len()
                        );
                        let answer = host.unwrap(answer).expect("right MAC");
                        all.push_str(&hex(&answer.data));
                        next = 1;
                        answer.sw
                    })
                    .take_while(|sw| {
                        assert!(matches!(sw, 0x6310 | 0x9000), "{sw:04X}");
                        *sw == 0x6310
                    })
                    .count();
            assert_eq!(all.matches("F000000001").count(), 200, "level {level:02X}, form {form}");
            assert!(parts > 7, "{parts} parts");
        }
    }
}

#[test]
fn another_command_ends_a_listing() {
    let (mut bench, mut host) = card(0x03);
    let file = builder_of(&fixtures::wallet_cap(), Blocks::Direct, Recovery::None).finish().expect("a batch");
    assert_eq!(bench.write("wallet", &file).sw, 0x9000);
    for number in 0..20 {
        let data = format!("08F0534D4341524401 09{TAG} 06F000000001{number:02X} 0100 02C900 00");
        let command = format!("80E60C00 {:02X} {data} 00", bytes(&data).len());
        assert_eq!(send(&mut bench, &mut host, &command).1, 0x9000, "{number}");
    }
    assert_eq!(send(&mut bench, &mut host, "80F24002024F0000").1, 0x6310);
    assert_eq!(send(&mut bench, &mut host, "80F24001024F0000").1, 0x6985, "another form is another listing");
    assert_eq!(send(&mut bench, &mut host, "80F24002024F0000").1, 0x6310);
    assert_eq!(send(&mut bench, &mut host, "80F22003024F0000").1, 0x6985, "and so is another subset");
    assert_eq!(send(&mut bench, &mut host, "80F24002024F0000").1, 0x6310);
    assert_eq!(send(&mut bench, &mut host, "80CA006600").1, 0x9000);
    assert_eq!(send(&mut bench, &mut host, "80F24003024F0000").1, 0x6985);
}
