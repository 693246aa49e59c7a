//! The command store: the gate of the direct write, and what it does with bad input.

mod common;

use common::{Bench, batch, bytes, hex};
use smcard_batch::{CommandApdu, Fault, Reason};
use smcard_card::store::{FILES_MAX, WRITES_MAX};
use smcard_link::{Answer, LinkError, SecureCard, WriteId};

const ONE: &[&str] = &["80CA006600"];

/// Names and sizes in the file table.
fn listing(bench: &mut Bench) -> Vec<(u16, String, u32)> {
    let answer = bench.send("80CADF71 000000");
    assert_eq!(answer.sw, 0x9000);
    let mut rows = Vec::new();
    let text = hex(&answer.data);
    let mut rest = text.split("8002").skip(1);
    for row in &mut rest {
        let row = bytes(row);
        let id = u16::from_be_bytes([row[0], row[1]]);
        let name = String::from_utf8(row[4..4 + usize::from(row[3])].to_vec()).expect("text");
        let at = 4 + usize::from(row[3]) + 2;
        rows.push((id, name, u32::from_be_bytes(row[at..at + 4].try_into().expect("four bytes"))));
    }
    rows
}

#[test]
fn nobody_writes_without_a_session() {
    let mut bench = Bench::standard();
    assert_eq!(bench.write("a", &batch(ONE)), Answer::status(0x6982));
    bench.authenticate();
    assert_eq!(bench.write("a", &batch(ONE)).sw, 0x9000);
    bench.send("00A4040000");
    assert_eq!(bench.write("b", &batch(ONE)), Answer::status(0x6982), "SELECT ended the session");
    assert_eq!(listing(&mut bench).len(), 1);
}

#[test]
fn files_survive_the_power_and_are_replaced_by_name() {
    let mut bench = Bench::standard();
    let (small, large) = (batch(ONE), batch(&["80CA006600"; 50]));
    bench.upload("app.batch", &small);
    let free = bench.free();
    let id = bench.upload("app.batch", &large);
    bench.reopen();
    assert_eq!(listing(&mut bench), [(id, "app.batch".to_owned(), u32::try_from(large.len()).expect("small"))]);
    assert_eq!(bench.free(), free, "both take one page; the first is free again");
}

#[test]
fn a_damaged_batch_is_refused_with_offset_and_reason_and_leaves_nothing() {
    let mut bench = Bench::standard();
    let good = batch(&["80CA006600", "80E2900005 4203123456"]);
    bench.upload("kept", &good);
    let free = bench.free();
    bench.authenticate();
    let length = u32::try_from(good.len()).expect("small");
    let mut damaged = good.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    for (file, fault) in [
        (damaged, Fault { offset: 12, reason: Reason::Checksum }),
        (b"#!/bin/sh\necho this is no batch\n".to_vec(), Fault { offset: 0, reason: Reason::Magic }),
        (good[..good.len() - 1].to_vec(), Fault { offset: length - 1, reason: Reason::BodyCut }),
        ([&good[..], b"x"].concat(), Fault { offset: length, reason: Reason::Trailing }),
    ] {
        let answer = bench.write("bad", &file);
        assert_eq!((Fault::decode(&answer.data), answer.sw), (Some(fault), 0x6A80));
        assert_eq!(bench.write("kept", &file).sw, 0x6A80, "an overwrite that fails");
        assert_eq!((listing(&mut bench).len(), bench.free()), (1, free), "leaves the earlier file");
    }
    bench.reopen();
    assert_eq!(bench.sw("805A0000"), 0x9000, "the earlier batch still runs");
}

#[test]
fn fewer_or_more_bytes_than_announced_are_no_file() {
    let mut bench = Bench::standard();
    bench.authenticate();
    let file = batch(ONE);
    let length = u32::try_from(file.len()).expect("small");
    let free = bench.free();
    let id = bench.card().write_open(b"a", length).expect("a link").expect("room");
    bench.card().write_chunk(id, &file[..10]).expect("taken");
    assert_eq!(bench.card().write_commit(id).expect("an answer").sw, 0x6700);
    assert!(matches!(bench.card().write_commit(id), Err(LinkError::Write(_))), "it is over");
    let id = bench.card().write_open(b"a", length).expect("a link").expect("room");
    bench.card().write_chunk(id, &file).expect("taken");
    assert!(matches!(bench.card().write_chunk(id, &[0]), Err(LinkError::Write(_))));
    bench.card().write_abort(id);
    assert!(matches!(bench.card().write_chunk(WriteId(999), &[0]), Err(LinkError::Write(_))));
    assert_eq!((listing(&mut bench).len(), bench.free()), (0, free));
}

#[test]
fn a_full_card_says_so_before_the_first_byte_and_keeps_what_it_has() {
    let mut bench = Bench::standard();
    bench.upload("kept", &batch(ONE));
    let free = u32::try_from(bench.free()).expect("a small card");
    let refused = bench.card().write_open(b"large", free + 1).expect("a link");
    assert_eq!(refused, Err(Answer::status(0x6A84)));
    let id = bench.card().write_open(b"large", free).expect("a link").expect("exactly fits");
    assert_eq!(bench.card().write_open(b"more", 1).expect("a link"), Err(Answer::status(0x6A84)));
    bench.card().write_abort(id);
    assert_eq!(bench.sw("805A0000"), 0x9000);
}

#[test]
fn tables_and_open_writes_are_bounded() {
    let mut bench = Bench::standard();
    bench.authenticate();
    let open: Vec<_> = (0..WRITES_MAX)
        .map(|number| {
            bench.card().write_open(&[b'a' + u8::try_from(number).expect("few")], 100).expect("a link").expect("room")
        })
        .collect();
    assert_eq!(bench.card().write_open(b"z", 100).expect("a link"), Err(Answer::status(0x6985)));
    open.into_iter().for_each(|id| bench.card().write_abort(id));
    for number in 0..FILES_MAX {
        assert_eq!(bench.write(&format!("file {number}"), &batch(ONE)).sw, 0x9000);
    }
    assert_eq!(bench.write("one more", &batch(ONE)).sw, 0x6A84);
    assert_eq!(bench.write("file 7", &batch(ONE)).sw, 0x9000, "replacing is possible");
    assert_eq!(listing(&mut bench).len(), FILES_MAX);
}

#[test]
fn names_are_checked_by_the_card() {
    let mut bench = Bench::standard();
    bench.authenticate();
    for name in [&b""[..], b"a/b", b"a\0b", b".", b"..", &[b'x'; 256]] {
        assert_eq!(bench.card().write_open(name, 100).expect("a link"), Err(Answer::status(0x6A80)));
    }
    assert_eq!(bench.write(&"x".repeat(255), &batch(ONE)).sw, 0x9000);
    assert_eq!(bench.sw("805A0000"), 0x9000);
}

#[test]
fn the_preparer_erases_and_renames() {
    let mut bench = Bench::standard();
    let first = bench.upload("first", &batch(ONE));
    let second = bench.upload("second", &batch(ONE));
    let mut session = bench.authenticate();
    let mut send = |bench: &mut Bench, ins: u8, p1: u8, id: u16, name: &[u8]| {
        let data = [&id.to_be_bytes()[..], name].concat();
        bench.secured(&mut session, &CommandApdu::new(0x80, ins, p1, 0, &data)).sw
    };
    assert_eq!(send(&mut bench, 0x56, 0, first, b"second"), 0x6A89);
    assert_eq!(send(&mut bench, 0x56, 0, first, b"a/b"), 0x6A80);
    assert_eq!(send(&mut bench, 0x56, 0, first, b"third"), 0x9000);
    assert_eq!(send(&mut bench, 0x56, 1, first, b"second"), 0x9000, "in the place of the other");
    assert_eq!(listing(&mut bench).iter().map(|row| (row.0, row.1.as_str())).collect::<Vec<_>>(), [(first, "second")]);
    assert_eq!(send(&mut bench, 0x58, 0, second, b""), 0x6A82);
    assert_eq!(send(&mut bench, 0x58, 0, first, b"x"), 0x6700);
    assert_eq!(send(&mut bench, 0x58, 0, first, b""), 0x9000);
    assert!(listing(&mut bench).is_empty());
    bench.send("00A4040000");
    assert_eq!(bench.sw("8058000002 0001"), 0x6982, "nobody else does");
}

#[test]
fn a_batch_is_read_back_through_no_command() {
    let mut bench = Bench::standard();
    let secret = "A5C3A5C3A5C3A5C3A5C3A5C3A5C3A5C3";
    bench.upload("secret", &batch(&[&format!("80E2900012 4210{secret}")]));
    bench.send("00A4040000");
    for ins in 0..=255_u8 {
        for (cla, p1, p2) in [(0x00, 0, 0), (0x80, 0, 0), (0x80, 0xDF, 0x71), (0x80, 0x00, 0x01), (0x00, 0x80, 0x01)] {
            if ins == 0x5A {
                continue;
            }
            for tail in ["00", "020001", "0200010000", "000000"] {
                let mut command = vec![cla, ins, p1, p2];
                command.extend_from_slice(&bytes(tail));
                let answer = bench.card().transmit(&command).expect("an answer");
                assert!(!hex(&answer.data).contains(secret), "{command:02X?}");
            }
        }
    }
}
