//! WRITE FILE: the command store filled by ordinary commands.

mod common;

use common::{Bench, batch, hex};
use smcard_batch::CommandApdu;
use smcard_link::{Answer, SecureCard};

const ONE: &[&str] = &["80CA006600"];

fn write_file(bench: &mut Bench, p1: u8, p2: u8, data: &[u8]) -> Answer {
    let mut command = Vec::new();
    CommandApdu::new(0x80, 0x54, p1, p2, data).encode(&mut command).expect("fits");
    bench.card().transmit(&command).expect("an answer")
}

fn open(bench: &mut Bench, name: &str, length: usize) -> Answer {
    let length = u32::try_from(length).expect("small").to_be_bytes();
    write_file(bench, 0, 0, &[&length, name.as_bytes()].concat())
}

fn data(bench: &mut Bench, number: u8, offset: usize, bytes: &[u8]) -> u16 {
    let offset = u32::try_from(offset).expect("small").to_be_bytes();
    write_file(bench, 1, number, &[&offset, bytes].concat()).sw
}

fn commit(bench: &mut Bench, number: u8, file: &[u8]) -> Answer {
    write_file(bench, 2, number, &crc32fast::hash(file).to_be_bytes())
}

#[test]
fn commands_fill_the_store_as_a_direct_write_does() {
    let mut bench = Bench::standard();
    let file = batch(&["80CA006600"; 60]);
    assert_eq!(open(&mut bench, "a", file.len()), Answer::status(0x6982), "nobody is authenticated");
    bench.authenticate();
    let opened = open(&mut bench, "a", file.len());
    assert_eq!((opened.data.as_slice(), opened.sw), (&[0][..], 0x9000));
    for (piece, bytes) in file.chunks(200).enumerate() {
        assert_eq!(data(&mut bench, 0, piece * 200, bytes), 0x9000);
    }
    let committed = commit(&mut bench, 0, &file);
    assert_eq!(committed.sw, 0x9000);
    let id = u16::from_be_bytes(committed.data.try_into().expect("an identifier"));
    assert_eq!(bench.send("80CADF7400").data.last(), Some(&0x83), "the secure channel is as it was");
    bench.reopen();
    assert_eq!(bench.start(id).sw, 0x9000);
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let mut bench = Bench::standard();
    let file = batch(ONE);
    let free = bench.free();
    bench.authenticate();
    assert_eq!(open(&mut bench, "", 10), Answer::status(0x6A80));
    assert_eq!(open(&mut bench, "large", usize::try_from(free).expect("small") + 1), Answer::status(0x6A84));
    assert_eq!(write_file(&mut bench, 0, 0, &[0, 0]), Answer::status(0x6700));
    assert_eq!(write_file(&mut bench, 4, 0, &[]), Answer::status(0x6A86));
    assert_eq!(open(&mut bench, "a", file.len()).data, [0]);
    assert_eq!(open(&mut bench, "b", file.len()).data, [1]);
    assert_eq!(data(&mut bench, 0, 1, &file), 0x6B00, "a gap");
    assert_eq!(data(&mut bench, 0, 0, &[&file[..], b"x"].concat()), 0x6B00, "more than announced");
    assert_eq!(data(&mut bench, 7, 0, &file), 0x6A88, "no such write");
    assert_eq!(commit(&mut bench, 0, &[]), Answer::status(0x6700), "fewer than announced");
    assert_eq!(data(&mut bench, 1, 0, &file), 0x9000);
    assert_eq!(write_file(&mut bench, 2, 1, &[0; 4]), Answer::status(0x6A80), "another file's checksum");
    assert_eq!(commit(&mut bench, 1, &file), Answer::status(0x6A88), "it is over");
    let mut damaged = file.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    assert_eq!(open(&mut bench, "c", file.len()).data, [0], "numbers are used again");
    assert_eq!(data(&mut bench, 0, 0, &damaged), 0x9000);
    let refused = commit(&mut bench, 0, &damaged);
    assert_eq!((hex(&refused.data).to_uppercase().len(), refused.sw), (10, 0x6A80), "the fault of the batch");
    for number in 0..8 {
        assert_eq!(open(&mut bench, "d", file.len()).data, [number]);
    }
    assert_eq!(open(&mut bench, "e", file.len()), Answer::status(0x6985), "as many as there may be");
    for number in 0..8 {
        assert_eq!(write_file(&mut bench, 3, number, &[]), Answer::status(0x9000));
    }
    assert_eq!(write_file(&mut bench, 3, 0, &[]), Answer::status(0x9000), "giving up twice is no error");
    assert_eq!(bench.free(), free);
}
