//! Who has not the keys gets nowhere: wrong keys, wrong MACs, old counters and replays, tried by the thousand.

mod common;

use common::Bench;
use smcard_batch::CommandApdu;
use smcard_card::scp03::{HostHandshake, HostSession, Options, SecurityLevel, StaticKeys};
use smcard_card::{CreateOptions, OpenOptions, Scp02Keys, scp02};
use smcard_link::{Answer, SecureCard};
use std::time::Duration;

/// A small generator: what is tried is the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next().to_le_bytes()[0])
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).expect("small")).expect("small")
    }
}

const SCP02_VERSION: u8 = 0x20;

fn card() -> Bench {
    let scp02 =
        Scp02Keys { keys: scp02::StaticKeys::test(), version: SCP02_VERSION, options: scp02::Options::PSEUDO_RANDOM };
    let mut bench = Bench::new(&CreateOptions {
        size: 2 << 20,
        scp03: Options::from_byte(0x70).expect("an option"),
        scp02: Some(scp02),
        ..CreateOptions::default()
    });
    bench.open(OpenOptions { back_off: Duration::ZERO, ..OpenOptions::default() });
    bench
}

fn transmit(bench: &mut Bench, command: &[u8]) -> Answer {
    bench.card().transmit(command).expect("an answer")
}

/// Proves the keys, so that all tries are there again.
fn prove(bench: &mut Bench, version: u8) {
    if version == SCP02_VERSION {
        let (handshake, command) = scp02::HostHandshake::begin(version, [1; 8]);
        let answer = transmit(bench, &command);
        let finished = handshake.finish(&scp02::StaticKeys::test(), SecurityLevel::C_MAC, &answer.data);
        assert_eq!(transmit(bench, &finished.expect("the test keys").1).sw, 0x9000);
    } else {
        session(bench, SecurityLevel::ALL);
    }
}

fn session(bench: &mut Bench, level: SecurityLevel) -> HostSession {
    let (handshake, command) = HostHandshake::begin(0x30, [2; 8]);
    let answer = transmit(bench, &command);
    let (host, command) = handshake.finish(&StaticKeys::test(), level, &answer.data).expect("the test keys");
    assert_eq!(transmit(bench, &command).sw, 0x9000);
    host
}

/// Nobody is authenticated: the status object says so, and a listing is refused.
fn nobody_is_in(bench: &mut Bench) -> bool {
    bench.send("80CADF7400").data.last() == Some(&0) && bench.sw("80F28002024F0000") == 0x6982
}

#[test]
fn wrong_keys_and_wrong_macs_open_nothing() {
    let mut bench = card();
    let mut random = Random(0x5EED_0001);
    let (mut tried, mut let_in) = (0, 0);
    for round in 0..1500 {
        let version = if round % 2 == 0 { 0x30 } else { SCP02_VERSION };
        if round % 20 == 0 {
            prove(&mut bench, version);
            prove(&mut bench, if version == 0x30 { SCP02_VERSION } else { 0x30 });
        }
        let initialize = [&[0x80, 0x50, version, 0x00, 0x08][..], &random.bytes::<8>(), &[0]].concat();
        let answer = transmit(&mut bench, &initialize);
        assert_eq!(answer.sw, 0x9000);
        let level = [0x00, 0x01, 0x03, 0x11, 0x13, 0x33][random.below(6)];
        let guess = match random.below(3) {
            0 => random.bytes::<16>().to_vec(),
            // The card's own cryptogram sent back, and a MAC of nothing.
            1 => [&answer.data[20..28], &random.bytes::<8>()[..]].concat(),
            _ => vec![0; 16],
        };
        let command = [&[0x84, 0x82, level, 0x00, 0x10][..], &guess].concat();
        if transmit(&mut bench, &command).sw == 0x9000 || !nobody_is_in(&mut bench) {
            let_in += 1;
        }
        tried += 1;
    }
    println!("{tried} wrong EXTERNAL AUTHENTICATEs tried, {let_in} let in");
    assert_eq!(let_in, 0);
}

#[test]
fn old_sessions_and_old_counters_open_nothing() {
    let mut bench = card();
    let (mut tried, mut let_in) = (0, 0);
    for round in 0..400 {
        let version = if round % 2 == 0 { 0x30 } else { SCP02_VERSION };
        let (initialize, authenticate) = if version == 0x30 {
            let (handshake, command) = HostHandshake::begin(version, [3; 8]);
            let answer = transmit(&mut bench, &command);
            let finished = handshake.finish(&StaticKeys::test(), SecurityLevel::C_MAC, &answer.data);
            (command, finished.expect("the test keys").1)
        } else {
            let (handshake, command) = scp02::HostHandshake::begin(version, [3; 8]);
            let answer = transmit(&mut bench, &command);
            let finished = handshake.finish(&scp02::StaticKeys::test(), SecurityLevel::C_MAC, &answer.data);
            (command, finished.expect("the test keys").1)
        };
        assert_eq!(transmit(&mut bench, &authenticate).sw, 0x9000);
        if round % 4 > 1 {
            bench.card().reset().expect("the power comes back");
        }
        for again in [false, true] {
            if again {
                assert_eq!(transmit(&mut bench, &initialize).sw, 0x9000, "the same challenge of the host");
            }
            let opened = transmit(&mut bench, &authenticate).sw == 0x9000;
            let_in += u32::from(opened || !nobody_is_in(&mut bench));
            tried += 1;
        }
    }
    println!("{tried} replays tried, {let_in} let in");
    assert_eq!(let_in, 0);
}

#[test]
fn no_changed_replayed_or_reordered_command_passes_an_open_channel() {
    let mut bench = card();
    let mut random = Random(0x5EED_0003);
    let (mut tried, mut let_in) = (0, 0);
    let levels = [SecurityLevel::C_MAC, SecurityLevel::C_MAC_C_ENC, SecurityLevel::ALL];
    for round in 0..1200 {
        let level = levels[round % 3];
        let mut host = session(&mut bench, level);
        // Deletes what is not there: 6A88 says that the card took the command, 6982 that it did not.
        let delete = CommandApdu::new(0x80, 0xE4, 0, 0, &[0x4F, 0x05, 0xF0, 1, 2, 3, 4]);
        let first = host.wrap(&delete).expect("fits");
        let second = host.wrap(&delete).expect("fits");
        let attack = match random.below(4) {
            0 => {
                let mut changed = first;
                let bit = random.below((changed.len() - 5) * 8) + 40;
                changed[bit / 8] ^= 1 << (bit % 8);
                changed
            }
            1 => {
                assert_eq!(transmit(&mut bench, &first).sw, 0x6A88, "as it should be");
                first
            }
            2 => second,
            _ => delete.to_vec().expect("short"),
        };
        let_in += u32::from(transmit(&mut bench, &attack).sw != 0x6982 || !nobody_is_in(&mut bench));
        tried += 1;
    }
    println!("{tried} changed, replayed, reordered and plain commands tried, {let_in} let in");
    assert_eq!(let_in, 0);
}

#[test]
fn a_power_cut_never_gives_a_try_back() {
    let mut bench = card();
    let initialize = "80503000080102030405060708 00";
    let mut refused = 0;
    for _ in 0..32 {
        assert_eq!(bench.sw(initialize), 0x9000);
        assert_eq!(bench.sw("8482010010 00112233445566778899AABBCCDDEEFF"), 0x6300);
        bench.open(OpenOptions { back_off: Duration::ZERO, ..OpenOptions::default() });
        refused += 1;
    }
    assert_eq!((refused, bench.sw(initialize)), (32, 0x6983));
    prove(&mut bench, SCP02_VERSION);
    assert_eq!(bench.sw(initialize), 0x6983, "another key set's success is none of this one's");
}
