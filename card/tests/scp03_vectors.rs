//! SCP03 against recordings of other people's cards and programs: a JCOP4 card as GlobalPlatformPro saw it, pySim's unit
//! tests, kaoh's scp03Test.c and Samsung's OpenSCP-Java. Each recording is run through both sides: our terminal must make
//! the recorded commands, our card the recorded responses.

use smcard_batch::CommandApdu;
use smcard_card::scp03::card::{Handshake, Opening};
use smcard_card::scp03::{HostHandshake, Options, SecurityLevel, StaticKeys};
use smcard_link::Answer;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().expect("the length of the vector")
}

struct Recording {
    keys: StaticKeys,
    host: &'static str,
    response: &'static str,
    authenticate: &'static str,
    /// The AID from which the card derived its challenge, where known.
    aid: Option<&'static str>,
}

fn same_keys(key: &str) -> StaticKeys {
    StaticKeys::new(array(key), array(key), array(key))
}

fn pysim() -> Recording {
    Recording {
        keys: StaticKeys::new(
            array("000102030405060708090A0B0C0D0E0F"),
            array("101112131415161718191A1B1C1D1E1F"),
            array("202122232425262728292A2B2C2D2E2F"),
        ),
        host: "fdf38259a1e0de44",
        response: "000000000000000000003003703b1aca81e821f219081cdc01c26b372d000003",
        authenticate: "84823300108c36f96bcc00724a4e13ad591d7da3f0",
        aid: Some("A0000005591010FFFFFFFF8900000100"),
    }
}

fn recordings() -> Vec<(&'static str, Recording)> {
    let jcop = Recording {
        keys: same_keys("404142434445464748494A4B4C4D4E4F"),
        host: "0102030405060708",
        response: "00003244342976208448010370734ECDCA19E446A30BC253BCE97DB991000436",
        authenticate: "8482010010A5E66CD1A836E3A47CD3B3F7B689AE8F",
        aid: Some("A000000151000000"),
    };
    let kaoh = Recording {
        keys: same_keys("404142434445464748494A4B4C4D4E4F"),
        host: "2C8130E574247B1B",
        response: "00010203040506070809000370A5874C57119B976BF94879E36F29E039000001",
        authenticate: "8482330010A75F1CD48F3B93DFA57E690937921F92",
        aid: None,
    };
    let samsung = Recording {
        keys: StaticKeys::new(
            array("1D72CD9283FD55162722C6BEAA4DC187"),
            array("F4932BA02FFC3098D172790099D28382"),
            array("B4BDC610C3F6793708FF1132E2C5BF60"),
        ),
        host: "06F85B77251BF794",
        response: "A1A012430585513120853003709CE033FA78E6B10DDC2DBE8974C8B0DE00082A",
        authenticate: "8482330010B08D6CE26B6CB3CCB411CF0296EB7B1D",
        aid: None,
    };
    vec![("JCOP4", jcop), ("pySim", pysim()), ("kaoh", kaoh), ("Samsung", samsung)]
}

/// Opens both sides with the challenges of the recording.
fn open(recording: &Recording) -> (smcard_card::scp03::HostSession, smcard_card::scp03::card::Channel) {
    let response = hex(recording.response);
    let authenticate = hex(recording.authenticate);
    let level = SecurityLevel::from_p1(authenticate[2]).expect("a level");

    let (handshake, command) = HostHandshake::begin(response[10], array(recording.host));
    assert_eq!(command[5..13], hex(recording.host));
    let (host, made) = handshake.finish(&recording.keys, level, &response).expect("the card's cryptogram");
    assert_eq!(made, authenticate, "EXTERNAL AUTHENTICATE");

    let opening = Opening {
        keys: &recording.keys,
        key_version: response[10],
        diversification: response[..10].try_into().expect("ten bytes"),
        options: Options::FULL,
        card_challenge: response[13..21].try_into().expect("eight bytes"),
        sequence: response[29..32].try_into().expect("three bytes"),
    };
    let (handshake, answered) = Handshake::open(&opening, array(recording.host));
    assert_eq!(answered, response, "answer to INITIALIZE UPDATE");
    let command = CommandApdu::parse(&authenticate).expect("a command");
    let channel = handshake.authenticate(&command).expect("the host's cryptogram");
    (host, channel)
}

#[test]
fn sessions_open_as_recorded() {
    for (name, recording) in recordings() {
        println!("{name}");
        open(&recording);
    }
}

#[test]
fn a_changed_bit_anywhere_in_the_handshake_opens_nothing() {
    for (name, recording) in recordings() {
        let authenticate = hex(recording.authenticate);
        let response = hex(recording.response);
        for bit in 5 * 8..authenticate.len() * 8 {
            let mut damaged = authenticate.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let opening = Opening {
                keys: &recording.keys,
                key_version: response[10],
                diversification: [0; 10],
                options: Options::FULL,
                card_challenge: response[13..21].try_into().expect("eight bytes"),
                sequence: [0; 3],
            };
            let (handshake, _) = Handshake::open(&opening, array(recording.host));
            let command = CommandApdu::parse(&damaged).expect("a command");
            assert!(handshake.authenticate(&command).is_err(), "{name}: bit {bit}");
        }
    }
}

#[test]
fn pseudo_random_challenges_are_as_recorded() {
    let mut checked = 0;
    for (name, recording) in recordings() {
        let Some(aid) = recording.aid else { continue };
        let response = hex(recording.response);
        let sequence = response[29..32].try_into().expect("three bytes");
        assert_eq!(recording.keys.card_challenge(sequence, &hex(aid)), response[13..21], "{name}");
        checked += 1;
    }
    assert_eq!(checked, 2);
}

/// pySim's dialogue at level 33: what the terminal says and what the card understands are the recorded bytes.
#[test]
fn a_recorded_dialogue_at_level_33() {
    let (mut host, mut card) = open(&pysim());
    let dialogue = [
        ("80E2910006BF3E035C015A00", "84e2910018267a85dfe4a98fca6fb0527e0dfecce4914e40401433c87f00"),
        ("80F22002", "84f2200208ac6a59024bed84cc"),
        ("80ca006600", "84ca006608409912ad8fb7aed000"),
        ("80F220020a4f0212345c054f9f70c5", "84f22002185f3dafc3ac14c381536a488bf44e06d056df9d74dbd21e5a"),
        ("80f28002024f0000", "84f280021865165105be3373347d0424d4400af2ac393f569ec779389e00"),
    ];
    for (index, (plain, secured)) in dialogue.iter().enumerate() {
        let (plain, secured) = (hex(plain), hex(secured));
        let command = CommandApdu::parse(&plain).expect("a command");
        assert_eq!(host.wrap(&command).expect("fits"), secured, "command {index}");
        let arrived = CommandApdu::parse(&secured).expect("a command");
        let unwrapped = card.unwrap(&arrived).expect("right MAC");
        assert_eq!((unwrapped.command().data, unwrapped.command().ins), (command.data, command.ins));
        if index == 0 {
            let recorded = hex("f3ba2b1013aa6224f5e1c138d71805c569e5439b47576260b75fc021b25097cb2e68f8a0144975b9");
            let mut data = hex("bf3e125a1089882119900000000000000000000005");
            card.wrap(&mut data, 0x9000);
            assert_eq!(data, recorded);
            let answer = host.unwrap(Answer { data, sw: 0x9000 }).expect("right MAC");
            assert_eq!(answer.data, hex("bf3e125a1089882119900000000000000000000005"));
        }
    }
}

#[test]
fn a_tampered_command_breaks_the_channel() {
    let (mut host, mut card) = open(&pysim());
    let command = CommandApdu::new(0x80, 0xE4, 0x00, 0x80, &[0x4F, 0x02, 0xA0, 0x00]);
    let mut secured = host.wrap(&command).expect("fits");
    secured[2] ^= 1;
    assert!(card.unwrap(&CommandApdu::parse(&secured).expect("a command")).is_err());
    let (_, mut card) = open(&pysim());
    assert!(card.unwrap(&command).is_err(), "a plain command is below the level");
}

#[test]
fn option_00_serves_no_response_protection() {
    let keys = StaticKeys::test();
    for (level, served) in [(0x00, true), (0x01, true), (0x03, true), (0x11, false), (0x13, false), (0x33, false)] {
        let opening = Opening {
            keys: &keys,
            key_version: 0x30,
            diversification: [0; 10],
            options: Options::PLAIN,
            card_challenge: [9; 8],
            sequence: [0; 3],
        };
        let (card, response) = Handshake::open(&opening, [1; 8]);
        assert_eq!(response.len(), 29, "no sequence counter without a pseudo-random challenge");
        let (host, _) = HostHandshake::begin(0x30, [1; 8]);
        let level = SecurityLevel::from_p1(level).expect("a level");
        let (_, command) = host.finish(&keys, level, &response).expect("same keys");
        let opened = card.authenticate(&CommandApdu::parse(&command).expect("a command"));
        assert_eq!(opened.is_ok(), served, "level {level:?}");
    }
}

#[test]
fn a_wrong_key_is_noticed_by_the_terminal_first() {
    let recording = pysim();
    let (handshake, _) = HostHandshake::begin(0x30, array(recording.host));
    let error =
        handshake.finish(&StaticKeys::test(), SecurityLevel::ALL, &hex(recording.response)).expect_err("wrong key");
    assert_eq!(error, smcard_card::scp03::HostError::Cryptogram);
}
