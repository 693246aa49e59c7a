//! SCP03 against recordings of other people's cards and programs: a JCOP4 card as GlobalPlatformPro saw it, pySim's unit
//! tests, kaoh's scp03Test.c and Samsung's OpenSCP-Java. Each recording is run through both sides: our terminal must make
//! the recorded commands, our card the recorded responses.

mod common;

use common::bytes;
use common::recording::{Recording, recordings};
use smcard_batch::CommandApdu;
use smcard_card::scp03::card::{Channel, Handshake, Opening};
use smcard_card::scp03::{Challenge, HostError, HostHandshake, HostSession, Mode, Options, SecurityLevel, StaticKeys};
use smcard_link::Answer;

fn all() -> Vec<Recording> {
    recordings(include_str!("recordings/scp03.txt"))
}

fn keys(recording: &Recording) -> StaticKeys {
    let [enc, mac, dek] = &recording.keys;
    StaticKeys::from_slices(enc, mac, dek).expect("AES keys")
}

/// What the recorded card answered, taken apart.
struct Parts {
    options: Options,
    challenge: Challenge,
    sequence: [u8; 3],
}

fn parts(recording: &Recording) -> Parts {
    let response = recording.response();
    let length = recording.host_challenge().len();
    let sequence = response.get(13 + 2 * length..).and_then(|rest| rest.try_into().ok());
    Parts {
        options: Options::from_byte(response[12]).expect("an option"),
        challenge: Challenge::from_slice(&response[13..13 + length]).expect("a challenge"),
        sequence: sequence.unwrap_or_default(),
    }
}

fn card_handshake(recording: &Recording, keys: &StaticKeys) -> (Handshake, Vec<u8>) {
    let response = recording.response();
    let Parts { options, challenge, sequence } = parts(recording);
    let opening = Opening {
        keys,
        key_version: response[10],
        diversification: response[..10].try_into().expect("ten bytes"),
        options,
        card_challenge: challenge,
        sequence,
    };
    Handshake::open(&opening, Challenge::from_slice(recording.host_challenge()).expect("a challenge"))
}

/// Opens both sides with the challenges of the recording.
fn open(recording: &Recording) -> (HostSession, Channel) {
    let (response, authenticate) = (recording.response(), recording.authenticate());
    let level = SecurityLevel::from_p1(authenticate[2]).expect("a level");
    let challenge = Challenge::from_slice(recording.host_challenge()).expect("a challenge");
    let (handshake, command) = HostHandshake::begin(recording.exchanges[0].0[2], challenge);
    assert_eq!(command, recording.exchanges[0].0, "INITIALIZE UPDATE");
    let (host, made) = handshake.finish(&keys(recording), level, response).expect("the card's cryptogram");
    assert_eq!(made, authenticate, "EXTERNAL AUTHENTICATE");

    let (handshake, answered) = card_handshake(recording, &keys(recording));
    assert_eq!(answered, response, "answer to INITIALIZE UPDATE");
    let command = CommandApdu::parse(authenticate).expect("a command");
    (host, handshake.authenticate(&command).expect("the host's cryptogram"))
}

fn named(name: &str) -> Recording {
    all().into_iter().find(|recording| recording.name == name).expect("recorded")
}

#[test]
fn sessions_open_as_recorded() {
    let mut modes = Vec::new();
    for recording in all() {
        println!("{}", recording.name);
        open(&recording);
        modes.push(parts(&recording).challenge.mode());
    }
    assert_eq!((modes.len(), modes.iter().filter(|mode| **mode == Mode::S16).count()), (19, 3));
}

/// What the card takes off, the terminal puts on again, and the other way round: byte for byte what was recorded.
#[test]
fn dialogues_are_as_recorded() {
    let (mut commands, mut responses, mut made) = (0, 0, 0);
    for recording in all() {
        let (mut host, mut card) = open(&recording);
        for (sent, answered) in recording.dialogue() {
            let command = CommandApdu::parse(sent).expect("a command");
            let plain = card.unwrap(&command).unwrap_or_else(|_| panic!("{}: {sent:02X?}", recording.name));
            assert_eq!(host.wrap(&plain.command()).expect("fits"), *sent, "{}", recording.name);
            commands += 1;
            let Some(answered) = answered else { continue };
            let answer = Answer { data: answered.clone(), sw: 0x9000 };
            let mut data = host.unwrap(answer).unwrap_or_else(|error| panic!("{}: {error}", recording.name)).data;
            card.wrap(&mut data, 0x9000);
            responses += 1;
            // One recorder filled some responses with a block more than needed, which the terminal takes and the card
            // does not make.
            if data.len() == answered.len() {
                assert_eq!(data, *answered, "{}", recording.name);
                made += 1;
            }
        }
    }
    assert_eq!((commands, responses, made), (62, 21, 18));
}

/// The plain side of pySim's dialogues, which is the same at every level and key length.
#[test]
fn recorded_dialogues_say_what_they_are_known_to_say() {
    let plain =
        ["80E2910006BF3E035C015A00", "80F22002", "80CA006600", "80F220020A4F0212345C054F9F70C5", "80F28002024F0000"];
    let answer = bytes("BF3E125A1089882119900000000000000000000005");
    let mut sessions = 0;
    for recording in all().into_iter().filter(|recording| recording.name.starts_with("pySim")) {
        let (mut host, _) = open(&recording);
        for (index, ((sent, answered), plain)) in recording.dialogue().iter().zip(plain).enumerate() {
            let plain = bytes(plain);
            let command = CommandApdu::parse(&plain).expect("a command");
            assert_eq!(host.wrap(&command).expect("fits"), *sent, "{}: command {index}", recording.name);
            if let Some(data) = answered {
                let unwrapped = host.unwrap(Answer { data: data.clone(), sw: 0x9000 }).expect("right MAC");
                assert_eq!(unwrapped.data, answer, "{}", recording.name);
            }
        }
        sessions += 1;
    }
    assert_eq!(sessions, 9);
}

#[test]
fn a_changed_bit_anywhere_in_the_handshake_opens_nothing() {
    let mut tried = 0;
    for recording in all() {
        let keys = keys(&recording);
        let authenticate = recording.authenticate();
        for bit in 5 * 8..authenticate.len() * 8 {
            let mut damaged = authenticate.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (handshake, _) = card_handshake(&recording, &keys);
            let command = CommandApdu::parse(&damaged).expect("a command");
            assert!(handshake.authenticate(&command).is_err(), "{}: bit {bit}", recording.name);
            tried += 1;
        }
    }
    println!("{tried} damaged EXTERNAL AUTHENTICATEs tried, 0 let in");
    assert!(tried > 2000);
}

#[test]
fn pseudo_random_challenges_are_as_recorded() {
    let mut checked = 0;
    for recording in all() {
        let Some(aid) = &recording.aid else { continue };
        let Parts { options, challenge, sequence } = parts(&recording);
        assert!(options.pseudo_random());
        assert_eq!(keys(&recording).challenge(challenge.mode(), sequence, aid), challenge, "{}", recording.name);
        checked += 1;
    }
    assert_eq!(checked, 12);
}

#[test]
fn a_tampered_command_breaks_the_channel() {
    let mut tried = 0;
    for recording in all() {
        if recording.authenticate()[2] == 0 {
            continue;
        }
        let command = CommandApdu::new(0x80, 0xE4, 0x00, 0x80, &[0x4F, 0x02, 0xA0, 0x00]);
        let (mut host, mut card) = open(&recording);
        assert!(card.unwrap(&command).is_err(), "a plain command is below the level");
        let secured = host.wrap(&command).expect("fits");
        for bit in 0..secured.len() * 8 {
            let mut damaged = secured.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let Ok(command) = CommandApdu::parse(&damaged) else { continue };
            let (_, mut card) = open(&recording);
            assert!(card.unwrap(&command).is_err(), "{}: bit {bit}", recording.name);
            tried += 1;
        }
    }
    println!("{tried} damaged commands tried, 0 let in");
    assert!(tried > 2000);
}

#[test]
fn each_option_serves_its_levels_and_no_other() {
    let served = |i: u8| [0x00, 0x01, 0x03, 0x11, 0x13, 0x33].map(|level| open_at(i, level));
    let (plain, r_mac, all) = (
        [true, true, true, false, false, false],
        [true, true, true, true, true, false],
        [true, true, true, true, true, true],
    );
    for (i, expected) in [(0x00, plain), (0x10, plain), (0x20, r_mac), (0x30, r_mac), (0x60, all), (0x70, all)] {
        assert_eq!((served(i), served(i | 1)), (expected, expected), "i = {i:02X} and S16");
    }
    for i in [0x40, 0x50, 0x02, 0x04, 0x80, 0xFF] {
        assert!(Options::from_byte(i).is_none(), "i = {i:02X}");
    }
}

/// Whether a card of this option lets a host with the right keys open a session of this level.
fn open_at(i: u8, level: u8) -> bool {
    let options = Options::from_byte(i).expect("an option");
    let (host, card) = match options.mode() {
        Mode::S8 => (Challenge::S8([1; 8]), Challenge::S8([9; 8])),
        Mode::S16 => (Challenge::S16([1; 16]), Challenge::S16([9; 16])),
    };
    let keys = StaticKeys::test();
    let opening = Opening {
        keys: &keys,
        key_version: 0x30,
        diversification: [0; 10],
        options,
        card_challenge: card,
        sequence: [0; 3],
    };
    let (handshake, response) = Handshake::open(&opening, host);
    let sequence = if options.pseudo_random() { 3 } else { 0 };
    assert_eq!(response.len(), 13 + 2 * options.mode().bytes() + sequence);
    let (terminal, _) = HostHandshake::begin(0x30, host);
    let level = SecurityLevel::from_p1(level).expect("a level");
    let (_, command) = terminal.finish(&keys, level, &response).expect("same keys");
    handshake.authenticate(&CommandApdu::parse(&command).expect("a command")).is_ok()
}

#[test]
fn a_wrong_key_is_noticed_by_the_terminal_first() {
    let recording = named("pySim AES-128 level 33");
    let challenge = Challenge::from_slice(recording.host_challenge()).expect("a challenge");
    let (handshake, _) = HostHandshake::begin(0x30, challenge);
    let error = handshake.finish(&StaticKeys::test(), SecurityLevel::ALL, recording.response()).expect_err("wrong key");
    assert_eq!(error, HostError::Cryptogram);
}
