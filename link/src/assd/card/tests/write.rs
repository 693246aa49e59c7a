//! Files: direct write, and WRITE FILE where there is none.

use super::double::Reaction;
use super::*;
use crate::BusFault;

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 253).to_le_bytes()[0]).collect()
}

/// Opens, streams in pieces, commits.
pub(super) fn put(card: &mut AssdCard, file: &[u8], piece: usize) -> Result<Answer, LinkError> {
    let id = card.write_open(b"a.batch", u32::try_from(file.len()).unwrap())?.expect("a number");
    for piece in file.chunks(piece) {
        card.write_chunk(id, piece)?;
    }
    card.write_commit(id)
}

#[test]
fn a_file_goes_in_one_exchange_whatever_its_length_and_however_it_comes() {
    for length in [0, 1, 511, 512, 513, 5000, 524_288, 524_289, 1_300_000] {
        for piece in [1 << 20, 100_000, 4096] {
            let (mut card, handle) = ours();
            let file = content(length);
            assert_eq!(put(&mut card, &file, piece).unwrap(), ok(&[0x12, 0x34]), "{length} {piece}");
            let double = handle.lock();
            let received = double.files.last().unwrap();
            assert_eq!((&received.name[..], &received.blocks[..length]), (&b"a.batch"[..], &file[..]));
            assert!(received.blocks[length..].iter().all(|byte| *byte == 0), "padding is zero");
            drop(double);
            let counters = card.counters();
            assert_eq!(counters.exchanges, 1);
            assert_eq!((counters.bytes_sent, counters.bytes_received), (u64::try_from(length).unwrap(), 4));
        }
    }
}

#[test]
fn after_a_failure_the_transfer_goes_on_where_the_card_is() {
    let (mut card, handle) = ours();
    let file = content(900_000);
    let id = card.write_open(b"a", 900_000).unwrap().unwrap();
    handle.fail(57, Mishap::refused().blocks(0));
    handle.fail(57, Mishap::refused().blocks(100));
    handle.fail(57, Mishap::unclear().done());
    handle.fail(57, Mishap::unclear().blocks(3));
    handle.fail(50, Mishap::damaged());
    handle.fail(50, Mishap::damaged().done().silent());
    card.write_chunk(id, &file).unwrap();
    assert_eq!(card.write_commit(id).unwrap(), ok(&[0x12, 0x34]));
    assert_eq!(handle.lock().files[0].blocks[..900_000], file);
    assert!(handle.lock().mishaps.is_empty());
}

#[test]
fn a_card_that_takes_nothing_is_given_up() {
    let (mut card, handle) = ours();
    let id = card.write_open(b"a", 5120).unwrap().unwrap();
    for _ in 0..9 {
        handle.fail(57, Mishap::refused());
    }
    card.write_chunk(id, &content(5120)).unwrap();
    assert!(matches!(card.write_commit(id), Err(LinkError::Bus(error)) if matches!(error.fault, BusFault::BlockCrc)));
    assert!(matches!(card.write_commit(id), Err(LinkError::Write(_))));
    assert!(handle.lock().writes.iter().all(Option::is_none), "the card has forgotten it");
}

#[test]
fn open_and_commit_are_sent_again_only_where_no_result_waits() {
    for mishap in [|| Mishap::refused(), || Mishap::unclear(), || Mishap::unclear().done(), || Mishap::refused().done()]
    {
        let (mut card, handle) = ours();
        handle.fail(57, mishap());
        let id = card.write_open(b"a", 100).unwrap().unwrap();
        assert_eq!(handle.lock().writes.iter().flatten().count(), 1, "one write is open");
        card.write_chunk(id, &content(100)).unwrap();
        let transfers = handle.count(57);
        handle.fail(50, Mishap::damaged().done());
        assert_eq!(card.write_commit(id).unwrap(), ok(&[0x12, 0x34]));
        assert_eq!((handle.count(57), handle.files()), (transfers + 2, 1));
    }
}

#[test]
fn the_refusal_of_the_card_is_an_answer() {
    let (mut card, handle) = ours();
    handle.lock().open_sw = 0x6982;
    assert_eq!(card.write_open(b"a", 10).unwrap(), Err(Answer::status(0x6982)));
    assert_eq!(card.write_open(&[b'a'; 256], 10).unwrap(), Err(Answer::status(0x6A80)));
    assert_eq!(card.counters().exchanges, 0);
}

#[test]
fn less_than_announced_more_than_announced_and_damage_on_the_way_are_told() {
    let (mut card, handle) = ours();
    for (announced, given) in [(1000, 700), (1024, 1023), (5000, 512)] {
        let id = card.write_open(b"a", announced).unwrap().unwrap();
        card.write_chunk(id, &content(given)).unwrap();
        assert_eq!(card.write_commit(id).unwrap(), Answer::status(0x6700), "{announced} {given}");
    }
    let id = card.write_open(b"a", 10).unwrap().unwrap();
    assert!(matches!(card.write_chunk(id, &content(11)), Err(LinkError::Write(_))));
    card.write_chunk(id, &content(10)).unwrap();
    assert_eq!(card.write_commit(id).unwrap(), ok(&[0x12, 0x34]));
    let id = card.write_open(b"a", 512).unwrap().unwrap();
    let spoil = |double: &mut Double| double.writes[0].as_mut().unwrap().blocks[5] ^= 1;
    handle.fail(57, Mishap::refused().done().silent().and_then(spoil));
    card.write_chunk(id, &content(512)).unwrap();
    assert!(matches!(card.write_commit(id), Err(LinkError::FileDamaged)));
}

#[test]
fn writes_end_with_a_reset_and_numbers_are_not_taken_for_old_ones() {
    let (mut card, handle) = ours();
    let old = card.write_open(b"a", 10).unwrap().unwrap();
    card.reset().unwrap();
    assert!(matches!(card.write_chunk(old, &[0]), Err(LinkError::Write(_))));
    let new = card.write_open(b"b", 10).unwrap().unwrap();
    assert_ne!(old, new);
    assert!(matches!(card.write_commit(old), Err(LinkError::Write(_))));
    card.write_abort(new);
    card.write_abort(new);
    assert!(handle.lock().writes.iter().all(Option::is_none));
    // A mode that is lost in the middle: the card has forgotten it, and says so.
    let id = card.write_open(b"c", 2048).unwrap().unwrap();
    card.write_chunk(id, &content(2048)).unwrap();
    handle.lock().lose_mode();
    assert!(matches!(card.write_commit(id), Err(LinkError::Write(_))));
    assert_eq!(handle.files(), 0);
}

#[test]
fn without_protected_memory_files_go_as_commands_and_each_is_counted() {
    let react = |apdu: &[u8]| {
        Reaction::Answer(match (apdu[1], apdu[2]) {
            (0x54, 0) => vec![5, 0x90, 0],
            (0x54, 1) => vec![0x90, 0],
            (0x54, 2) => vec![0x12, 0x34, 0x90, 0],
            _ => vec![0xDF, 0x74, 4, 7, 2, 0, 0, 0x90, 0],
        })
    };
    let (card, handle) = open_with(OTHER, |double| double.react = react, &[]);
    let mut card = card.unwrap();
    let file = content(2000);
    assert_eq!(put(&mut card, &file, 300).unwrap(), ok(&[0x12, 0x34]));
    // OPEN, five pieces of 499 bytes at most, COMMIT.
    assert_eq!(card.counters().exchanges, 7);
    let double = handle.lock();
    let pieces: Vec<u8> = double
        .executed
        .iter()
        .filter(|apdu| apdu[1..4] == [0x54, 1, 5])
        .flat_map(|apdu| apdu[if apdu[4] == 0 { 11 } else { 9 }..].to_vec())
        .collect();
    assert_eq!(pieces, file);
    assert!(
        double.executed.iter().any(|apdu| apdu[..5] == [0x80, 0x54, 0, 0, 11] && apdu[5..9] == 2000_u32.to_be_bytes())
    );
    let commit = double.executed.last().unwrap();
    assert_eq!((&commit[..5], &commit[5..9]), (&[0x80, 0x54, 2, 5, 4][..], &crc32fast::hash(&file).to_be_bytes()[..]));
    drop(double);
    assert_eq!(handle.count(57), 0);
    handle.lock().react = |apdu| Reaction::Answer(if apdu[2] == 0 { vec![5, 0x90, 0] } else { vec![0x69, 0x82] });
    assert!(matches!(put(&mut card, &file, 300), Err(LinkError::FileRefused(0x6982))));
    handle.lock().react = |_| Reaction::Answer(vec![0x6D, 0x00]);
    assert_eq!(card.write_open(b"a", 1).unwrap(), Err(Answer::status(0x6D00)));
    let (card, _) = open_with(OTHER, |_| {}, &[("write_file", "no")]);
    assert!(matches!(card.unwrap().write_open(b"a", 1), Err(LinkError::Write(text)) if text.contains("write_file")));
}
