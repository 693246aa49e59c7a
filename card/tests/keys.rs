//! Key sets: PUT KEY, DELETE of keys, key versions, sequence counters and tries.

mod common;

use common::{Bench, batch, bytes, hex};
use smcard_batch::CommandApdu;
use smcard_card::scp03::{HostHandshake, HostSession, SecurityLevel, StaticKeys};
use smcard_card::{CreateOptions, OpenOptions, Scp02Keys, scp02};
use smcard_link::SecureCard;
use std::time::Duration;

/// First bytes of E(00…) and E(01…) under 40 41 … 4F.
const DES_CHECK: [u8; 3] = [0x8B, 0xAF, 0x47];
const TEST_KEY: [u8; 16] = 0x4041_4243_4445_4647_4849_4A4B_4C4D_4E4F_u128.to_be_bytes();

fn aes(seed: u8, length: usize) -> Vec<Vec<u8>> {
    (0..3).map(|key| vec![seed + key; length]).collect()
}

fn keys(set: &[Vec<u8>]) -> StaticKeys {
    StaticKeys::from_slices(&set[0], &set[1], &set[2]).expect("AES keys")
}

/// The data of PUT KEY: each key sealed, in the form with the length in front, without a check value unless given.
fn put_data(
    version: u8,
    kind: u8,
    set: &[Vec<u8>],
    checks: Option<[u8; 3]>,
    seal: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let mut data = vec![version];
    for key in set {
        let sealed = seal(key);
        let byte = |length: usize| u8::try_from(length).expect("short");
        data.extend([kind, byte(sealed.len() + 1), byte(key.len())]);
        data.extend(sealed);
        data.push(if checks.is_some() { 3 } else { 0 });
        data.extend(checks.into_iter().flatten());
    }
    data
}

fn put(bench: &mut Bench, host: &mut HostSession, old: u8, version: u8, set: &[Vec<u8>]) -> (Vec<u8>, u16) {
    let data = put_data(version, 0x88, set, None, |key| host.encrypt_key(key));
    let answer = bench.secured(host, &CommandApdu::new(0x80, 0xD8, old, 0x81, &data));
    (answer.data, answer.sw)
}

/// Opens a session with these keys; the status word that ends it otherwise, 0 where the terminal sees wrong keys.
fn open(bench: &mut Bench, version: u8, keys: &StaticKeys) -> Result<HostSession, u16> {
    let (handshake, command) = HostHandshake::begin(version, [0x5A; 8]);
    let answer = bench.card().transmit(&command).expect("an answer");
    if answer.sw != 0x9000 {
        return Err(answer.sw);
    }
    let (host, command) = handshake.finish(keys, SecurityLevel::ALL, &answer.data).or(Err(0_u16))?;
    match bench.card().transmit(&command).expect("an answer").sw {
        0x9000 => Ok(host),
        sw => Err(sw),
    }
}

fn key_information(bench: &mut Bench) -> String {
    hex(&bench.send("80CA00E000").data)
}

#[test]
fn key_sets_of_every_length_are_added_used_and_listed() {
    let mut bench = Bench::standard();
    let mut host = bench.authenticate_at(0x33);
    for (version, length) in [(0x31, 16), (0x32, 24), (0x33, 32)] {
        let (data, sw) = put(&mut bench, &mut host, 0, version, &aes(version, length));
        assert_eq!((sw, data.len(), data[0]), (0x9000, 10, version), "version and three check values");
    }
    for (version, length) in [(0x31, 16), (0x32, 24), (0x33, 32)] {
        bench.reopen();
        let mut host = open(&mut bench, version, &keys(&aes(version, length))).expect("its keys open it");
        let status = CommandApdu::new(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).with_le(256);
        assert_eq!(bench.secured(&mut host, &status).sw, 0x9000);
        assert_eq!(open(&mut bench, version, &StaticKeys::test()).err(), Some(0), "others do not");
    }
    let listed = "E048C00401308810C00402308810C00403308810C00401318810C00402318810C00403318810\
                  C00401328818C00402328818C00403328818C00401338820C00402338820C00403338820";
    assert_eq!(key_information(&mut bench), listed);
}

#[test]
fn replaced_keys_are_gone_and_the_session_lasts() {
    let mut bench = Bench::standard();
    let mut host = bench.authenticate_at(0x33);
    let new = aes(0x11, 16);
    assert_eq!(put(&mut bench, &mut host, 0x30, 0x30, &new).1, 0x9000);
    assert_eq!(put(&mut bench, &mut host, 0x30, 0x31, &aes(0x21, 16)).1, 0x9000, "to another version as well");
    bench.reopen();
    assert_eq!(open(&mut bench, 0x30, &keys(&new)).err(), Some(0x6A88));
    assert!(open(&mut bench, 0x31, &keys(&aes(0x21, 16))).is_ok());
    assert_eq!(open(&mut bench, 0, &StaticKeys::test()).err(), Some(0), "the factory's keys");
}

#[test]
fn one_of_several_keys_being_wrong_changes_nothing() {
    let mut bench = Bench::standard();
    let mut host = bench.authenticate_at(0x33);
    let before = key_information_secured(&mut bench, &mut host);
    let good = put_data(0x31, 0x88, &aes(1, 16), None, |key| host.encrypt_key(key));
    let mut wrong_check = good.clone();
    let length = wrong_check.len();
    wrong_check[length - 1] = 3;
    wrong_check.extend([1, 2, 3]);
    let mixed = [put_data(0x31, 0x88, &aes(1, 16), None, |key| host.encrypt_key(key)), vec![]].concat();
    let unlike = {
        let set = [vec![1; 16], vec![2; 24], vec![3; 16]];
        put_data(0x31, 0x88, &set, None, |key| host.encrypt_key(key))
    };
    for (p1, p2, data, sw, why) in [
        (0x00, 0x81, &wrong_check[..], 0x6982, "a wrong check value in the last key"),
        (0x00, 0x81, &good[..length - 1], 0x6A80, "cut short"),
        (0x00, 0x01, &good, 0x6A80, "several keys, one announced"),
        (0x00, 0x82, &good, 0x6A80, "identifiers 2, 3 and 4"),
        (0x00, 0x81, &good[..1], 0x6A80, "no key"),
        (0x77, 0x81, &good, 0x6A88, "no keys of the old version"),
        (0x00, 0x81, &unlike, 0x6A80, "keys of several lengths"),
        (0x00, 0x81, &[&[0x30], &mixed[1..]].concat(), 0x6A80, "there already"),
        (0x00, 0x81, &[&[0x00], &mixed[1..]].concat(), 0x6A80, "version 0"),
        (0x00, 0x81, &[&[0x80], &mixed[1..]].concat(), 0x6A80, "version 80"),
        (0x00, 0x81, &[&[0x31, 0xA1], &mixed[2..]].concat(), 0x6A80, "an RSA key"),
        (0x30, 0x01, &put_data(0x44, 0x88, &[vec![7; 16]], None, |key| host.encrypt_key(key)), 0x6985, "none complete"),
    ] {
        let answer = bench.secured(&mut host, &CommandApdu::new(0x80, 0xD8, p1, p2, data));
        assert_eq!(answer.sw, sw, "{why}");
        assert_eq!(key_information_secured(&mut bench, &mut host), before, "{why}");
    }
    assert_eq!(bench.sw("80D80081 00"), 0x6982, "not without a channel");
}

fn key_information_secured(bench: &mut Bench, host: &mut HostSession) -> String {
    hex(&bench.secured(host, &CommandApdu::new(0x80, 0xCA, 0x00, 0xE0, &[]).with_le(256)).data)
}

#[test]
fn keys_come_one_at_a_time_and_in_either_form() {
    let mut bench = Bench::standard();
    let set = aes(0x51, 16);
    for (identifier, key) in (1..).zip(&set) {
        assert_eq!(open_version(&mut bench, 0x51), 0x6A88, "incomplete");
        let mut host = bench.authenticate_at(0x33);
        let bare = [&[0x51, 0x88, 0x10][..], &host.encrypt_key(key), &[0]].concat();
        assert_eq!(bench.secured(&mut host, &CommandApdu::new(0x80, 0xD8, 0, identifier, &bare)).sw, 0x9000);
    }
    assert!(open(&mut bench, 0x51, &keys(&set)).is_ok());
    let mut host = bench.authenticate_at(0x33);
    let one = CommandApdu::new(0x80, 0xE4, 0, 0, &[0xD0, 0x01, 0x02, 0xD2, 0x01, 0x51]).with_le(256);
    assert_eq!(bench.secured(&mut host, &one).sw, 0x9000);
    assert_eq!(bench.secured(&mut host, &one).sw, 0x6A88, "gone");
    assert_eq!(open_version(&mut bench, 0x51), 0x6A88, "incomplete again");
    let mut host = bench.authenticate_at(0x33);
    for (data, sw) in
        [("D20151", 0x9000), ("D20151", 0x6A88), ("D20130", 0x6985), ("D002", 0x6A80), ("D20130D20131", 0x6A80)]
    {
        let data = bytes(data);
        assert_eq!(
            bench.secured(&mut host, &CommandApdu::new(0x80, 0xE4, 0, 0, &data).with_le(256)).sw,
            sw,
            "{data:02X?}"
        );
    }
    assert_eq!(key_information(&mut Bench::standard()).len() / 2, 20, "three keys");
}

fn open_version(bench: &mut Bench, version: u8) -> u16 {
    bench.sw(&format!("8050{version:02X}0008 0102030405060708 00"))
}

#[test]
fn triple_des_keys_make_an_scp02_card_and_scp02_brings_aes_keys() {
    let mut bench = Bench::standard();
    let mut host = bench.authenticate_at(0x33);
    let set = vec![TEST_KEY.to_vec(); 3];
    let data = put_data(0x20, 0x80, &set, Some(DES_CHECK), |key| host.encrypt_key(key));
    let answer = bench.secured(&mut host, &CommandApdu::new(0x80, 0xD8, 0, 0x81, &data));
    assert_eq!((answer.sw, hex(&answer.data)), (0x9000, "208BAF478BAF478BAF47".to_owned()));
    let recognition = hex(&bench.send("80CA006600").data);
    assert!(bench.sw("00A4040000") == 0x9000 && recognition.is_empty(), "a plain command broke the channel");
    let recognition = hex(&bench.send("80CA006600").data);
    assert!(recognition.ends_with("640B06092A864886FC6B040255640B06092A864886FC6B040370"), "{recognition}");

    let mut host = scp02_session(&mut bench, 0x20, 0x03);
    let mut send = |bench: &mut Bench, command: &CommandApdu<'_>| {
        let wrapped = host.wrap(command).expect("fits");
        bench.card().transmit(&wrapped).expect("an answer").sw
    };
    let status = bytes("80F28002024F0000");
    assert_eq!(send(&mut bench, &CommandApdu::parse(&status).expect("a command")), 0x9000);
    let new = aes(0x61, 24);
    let data = put_data(0x32, 0x88, &new[..1], None, |key| host.encrypt_key(key));
    let command = CommandApdu::new(0x80, 0xD8, 0, 0x01, &data);
    let wrapped = host.wrap(&command).expect("fits");
    assert_eq!(bench.card().transmit(&wrapped).expect("an answer").sw, 0x9000);
    assert!(key_information_plain(&mut bench).contains("C00401328818"));
}

fn key_information_plain(bench: &mut Bench) -> String {
    bench.send("00A4040000");
    key_information(bench)
}

fn scp02_session(bench: &mut Bench, version: u8, level: u8) -> scp02::HostSession {
    let (handshake, command) = scp02::HostHandshake::begin(version, [0x77; 8]);
    let answer = bench.card().transmit(&command).expect("an answer");
    assert_eq!((answer.sw, answer.data.len()), (0x9000, 28), "INITIALIZE UPDATE");
    let level = SecurityLevel::from_p1(level).expect("a level");
    let (host, command) = handshake.finish(&scp02::StaticKeys::test(), level, &answer.data).expect("the test keys");
    assert_eq!(bench.card().transmit(&command).expect("an answer").sw, 0x9000, "EXTERNAL AUTHENTICATE");
    host
}

#[test]
fn a_card_made_for_scp02_counts_sessions_not_requests() {
    for options in [scp02::Options::RANDOM, scp02::Options::PSEUDO_RANDOM] {
        let scp02 = Scp02Keys { keys: scp02::StaticKeys::test(), version: 0x01, options };
        let mut bench = Bench::new(&CreateOptions { size: 2 << 20, scp02: Some(scp02), ..CreateOptions::default() });
        let count =
            |bench: &mut Bench| u32::from_str_radix(&hex(&bench.send("80CA00C100").data)[4..], 16).expect("hex");
        for round in 0..3 {
            assert_eq!(bench.sw("80500000080102030405060708 00"), 0x9000);
            assert_eq!(bench.sw("8482010010 00112233445566778899AABBCCDDEEFF"), 0x6300);
            assert_eq!(count(&mut bench), round, "failures do not count");
            scp02_session(&mut bench, 0, 0x01);
            bench.reopen();
            assert_eq!(count(&mut bench), round + 1, "sessions do, and the power does not matter");
        }
        let first = bench.send("80500000080102030405060708 00").data;
        let second = bench.send("80500000080102030405060708 00").data;
        assert_eq!(first[14..20] == second[14..20], options.pseudo_random());
    }
}

#[test]
fn tries_are_counted_before_the_check_and_run_out() {
    let mut bench = Bench::standard();
    let relaxed = || OpenOptions { back_off: Duration::ZERO, ..OpenOptions::default() };
    bench.open(relaxed());
    let wrong = "8482010010 00112233445566778899AABBCCDDEEFF";
    for attempt in 0..31 {
        assert_eq!(bench.sw("80500000080102030405060708 00"), 0x9000, "attempt {attempt}");
        assert_eq!(bench.sw(wrong), 0x6300);
        if attempt % 5 == 0 {
            bench.open(relaxed());
        }
    }
    bench.authenticate();
    for attempt in 0..32 {
        assert_eq!(bench.sw("80500000080102030405060708 00"), 0x9000, "all tries are back: attempt {attempt}");
        assert_eq!(bench.sw(wrong), 0x6300);
    }
    assert_eq!(bench.sw("80500000080102030405060708 00"), 0x6983, "blocked");
    bench.open(relaxed());
    assert_eq!(bench.sw("80500000080102030405060708 00"), 0x6983, "for good");
    assert_eq!(bench.sw("805C0000"), 0x9000, "what needs no keys goes on");
}

#[test]
fn a_key_set_rests_after_four_failures_also_over_a_power_cut() {
    let mut bench = Bench::standard();
    for attempt in 0..5 {
        assert_eq!(bench.sw("80500000080102030405060708 00"), 0x9000, "attempt {attempt}");
        assert_eq!(bench.sw("8482010010 00112233445566778899AABBCCDDEEFF"), 0x6300);
    }
    assert_eq!(bench.sw("80500000080102030405060708 00"), 0x6985, "it rests");
    bench.reopen();
    assert_eq!(bench.sw("80500000080102030405060708 00"), 0x6985, "longer, if anything");
    std::thread::sleep(Duration::from_millis(1100));
    bench.authenticate();
    assert_eq!(bench.sw("80500000080102030405060708 00"), 0x9000);
}

#[test]
fn a_blocked_key_set_is_freed_by_the_holder_of_another() {
    let mut bench = Bench::standard();
    let mut host = bench.authenticate_at(0x33);
    assert_eq!(put(&mut bench, &mut host, 0, 0x41, &aes(0x41, 16)).1, 0x9000);
    bench.open(OpenOptions { back_off: Duration::ZERO, ..OpenOptions::default() });
    for _ in 0..32 {
        bench.sw("80503000080102030405060708 00");
        assert_eq!(bench.sw("8482010010 00112233445566778899AABBCCDDEEFF"), 0x6300);
    }
    assert_eq!(open(&mut bench, 0x30, &StaticKeys::test()).err(), Some(0x6983));
    let mut host = open(&mut bench, 0x41, &keys(&aes(0x41, 16))).expect("the other");
    assert_eq!(put(&mut bench, &mut host, 0x30, 0x30, &aes(0x71, 16)).1, 0x9000);
    assert!(open(&mut bench, 0x30, &keys(&aes(0x71, 16))).is_ok());
}

#[test]
fn sequence_counters_are_one_to_a_key_set_and_never_go_back() {
    let mut bench = Bench::standard();
    let mut host = bench.authenticate_at(0x33);
    assert_eq!(put(&mut bench, &mut host, 0, 0x31, &aes(0x31, 16)).1, 0x9000);
    let next = |bench: &mut Bench, version: u8| {
        let answer = bench.send(&format!("8050{version:02X}0008 0102030405060708 00"));
        u32::from_str_radix(&hex(&answer.data[29..]), 16).expect("a counter")
    };
    assert_eq!((next(&mut bench, 0x31), next(&mut bench, 0x31), next(&mut bench, 0x30)), (1, 2, 2));
    // One of three keys changes: the counter goes on. All change: it begins anew.
    let mut host = bench.authenticate_at(0x33);
    let data = put_data(0x31, 0x88, &[vec![9; 16]], None, |key| host.encrypt_key(key));
    assert_eq!(bench.secured(&mut host, &CommandApdu::new(0x80, 0xD8, 0x31, 0x03, &data)).sw, 0x9000);
    assert_eq!(next(&mut bench, 0x31), 3);
    let mut host = bench.authenticate_at(0x33);
    assert_eq!(put(&mut bench, &mut host, 0x31, 0x31, &aes(0x61, 16)).1, 0x9000);
    assert_eq!(next(&mut bench, 0x31), 1);
    // Deleted and there again, nobody can say whether with the same keys: the counter goes on.
    let mut host = bench.authenticate_at(0x33);
    let delete = CommandApdu::new(0x80, 0xE4, 0, 0, &[0xD2, 0x01, 0x31]).with_le(256);
    assert_eq!(bench.secured(&mut host, &delete).sw, 0x9000);
    assert_eq!(put(&mut bench, &mut host, 0, 0x31, &aes(0x61, 16)).1, 0x9000);
    assert_eq!(next(&mut bench, 0x31), 2);
}

#[test]
fn a_batch_brings_keys_under_its_preparers_data_encryption_key_and_clear_takes_them_back() {
    let mut bench = Bench::standard();
    let host = bench.authenticate_at(0x33);
    let put = |old: u8, version: u8, seed: u8| {
        let data = put_data(version, 0x88, &aes(seed, 16), None, |key| host.encrypt_key(key));
        hex(&CommandApdu::new(0x80, 0xD8, old, 0x81, &data).to_vec().expect("fits"))
    };
    // The second command still finds the key under which the batch was made, though the first has replaced it.
    let failing = batch(&[&put(0x30, 0x30, 0x10), &put(0, 0x31, 0x20), "80E4000009 4F07A0000000620199"]);
    let id = bench.upload("keys", &failing);
    assert_eq!(bench.start(id).sw, 0x6A88);
    assert!(open(&mut bench, 0x30, &StaticKeys::test()).is_ok(), "the unfinished issue counts for nobody else");
    assert_eq!(open_version(&mut bench, 0x31), 0x6A88);
    assert_eq!(bench.sw("805C0000"), 0x9000);
    assert!(open(&mut bench, 0x30, &StaticKeys::test()).is_ok());

    let id = bench.upload("keys", &batch(&[&put(0x30, 0x30, 0x10), &put(0, 0x31, 0x20)]));
    assert_eq!(bench.start(id).sw, 0x9000);
    assert!(open(&mut bench, 0x30, &keys(&aes(0x10, 16))).is_ok());
    assert!(open(&mut bench, 0x31, &keys(&aes(0x20, 16))).is_ok());
    assert_eq!(open(&mut bench, 0x30, &StaticKeys::test()).err(), Some(0));
}
