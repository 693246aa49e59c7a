//! SCP02 against recordings of other people's programs: pySim's unit tests and kaoh's scp02Test.c. Each recording is run
//! through both sides: our terminal must make the recorded commands, our card must take them and answer as recorded.

mod common;

use common::recording::{Recording, recordings};
use common::{bytes, hex};
use smcard_batch::CommandApdu;
use smcard_card::scp02::card::{Channel, Handshake, Opening};
use smcard_card::scp02::{HostHandshake, HostSession, Options, SecurityLevel, StaticKeys};

fn all() -> Vec<Recording> {
    recordings(include_str!("recordings/scp02.txt"))
}

fn keys(recording: &Recording) -> StaticKeys {
    StaticKeys::new(recording.key(0), recording.key(1), recording.key(2))
}

fn card_handshake(recording: &Recording, keys: &StaticKeys) -> (Handshake, Vec<u8>) {
    let response = recording.response();
    let opening = Opening {
        keys,
        key_version: response[10],
        diversification: response[..10].try_into().expect("ten bytes"),
        options: Options::RANDOM,
        card_challenge: response[14..20].try_into().expect("six bytes"),
        sequence: u16::from_be_bytes([response[12], response[13]]),
    };
    Handshake::open(&opening, recording.host_challenge().try_into().expect("eight bytes"))
}

fn open(recording: &Recording) -> (HostSession, Channel) {
    let level = SecurityLevel::from_p1(recording.authenticate()[2]).expect("a level");
    let challenge = recording.host_challenge().try_into().expect("eight bytes");
    let (handshake, command) = HostHandshake::begin(recording.exchanges[0].0[2], challenge);
    assert_eq!(command, recording.exchanges[0].0, "INITIALIZE UPDATE");
    let finished = handshake.finish(&keys(recording), level, recording.response());
    let (host, made) = finished.expect("the card's cryptogram");
    assert_eq!(made, recording.authenticate(), "EXTERNAL AUTHENTICATE");

    let (handshake, answered) = card_handshake(recording, &keys(recording));
    assert_eq!(answered, recording.response(), "answer to INITIALIZE UPDATE");
    let command = CommandApdu::parse(recording.authenticate()).expect("a command");
    (host, handshake.authenticate(&command).expect("the host's cryptogram"))
}

#[test]
fn sessions_and_dialogues_are_as_recorded() {
    let mut commands = 0;
    for recording in all() {
        let (mut host, mut card) = open(&recording);
        for (sent, _) in recording.dialogue() {
            let command = CommandApdu::parse(sent).expect("a command");
            let plain = card.unwrap(&command).unwrap_or_else(|_| panic!("{}: {sent:02X?}", recording.name));
            assert_eq!(host.wrap(&plain.command()).expect("fits"), *sent, "{}", recording.name);
            commands += 1;
        }
    }
    assert_eq!(commands, 11);
}

/// What was said in kaoh's encrypted session, as its source says it.
#[test]
fn the_recorded_load_session_says_what_it_is_known_to_say() {
    let recording = all().pop().expect("the last");
    let (_, mut card) = open(&recording);
    let plain: Vec<String> = (recording.dialogue().iter())
        .map(|(sent, _)| {
            let unwrapped = card.unwrap(&CommandApdu::parse(sent).expect("a command")).expect("right MAC");
            hex(&unwrapped.command().to_vec().expect("fits"))
        })
        .collect();
    assert_eq!(plain[0], "80E400800A4F08D0D1D2D3D4D5010100");
    assert_eq!(plain[1], "80E40080094F07D0D1D2D3D4D50100");
    assert_eq!(plain[2], "80E602001E07D0D1D2D3D4D50108A000000003000000000AEF08C6020160C80207D00000");
    assert!(plain[3].starts_with("80E80000EFC4820157010011DECAFFED010204000107D0D1D2D3D4D501"), "{}", plain[3]);
    assert_eq!((plain[3].len(), plain[4].len()), (2 * (5 + 239), 2 * (5 + 108 + 1)));
    let install = "80E60C002707D0D1D2D3D4D50108D0D1D2D3D4D5010108D0D1D2D3D4D50101010209C90100EF04C80207D00000";
    assert_eq!(plain[5], install);
}

#[test]
fn plain_commands_become_the_recorded_ones() {
    let plain = ["80F22002", "80CA006600", "80F220020A4F0212345C054F9F70C5", "80F28002024F0000"];
    let recording = all().swap_remove(0);
    let (mut host, _) = open(&recording);
    for (plain, (sent, _)) in plain.into_iter().zip(recording.dialogue()) {
        let plain = bytes(plain);
        assert_eq!(host.wrap(&CommandApdu::parse(&plain).expect("a command")).expect("fits"), *sent);
    }
}

#[test]
fn a_changed_bit_anywhere_opens_nothing_and_passes_nothing() {
    let (mut handshakes, mut commands) = (0, 0);
    for recording in all() {
        let keys = keys(&recording);
        let damaged = |bytes: &[u8], bit: usize| {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            damaged
        };
        for bit in 5 * 8..recording.authenticate().len() * 8 {
            let bytes = damaged(recording.authenticate(), bit);
            let (handshake, _) = card_handshake(&recording, &keys);
            let opened = handshake.authenticate(&CommandApdu::parse(&bytes).expect("a command"));
            assert!(opened.is_err(), "{}: bit {bit}", recording.name);
            handshakes += 1;
        }
        let sent = &recording.dialogue()[0].0;
        for bit in 0..sent.len() * 8 {
            let bytes = damaged(sent, bit);
            let Ok(command) = CommandApdu::parse(&bytes) else { continue };
            let (_, mut card) = open(&recording);
            // Le is not covered by the MAC (GlobalPlatform 2.3.1 section E.4.4).
            let only_le = command.le != CommandApdu::parse(sent).expect("a command").le && bytes.len() - 1 == bit / 8;
            assert!(card.unwrap(&command).is_err() || only_le, "{}: bit {bit}", recording.name);
            commands += 1;
        }
    }
    println!("{handshakes} damaged EXTERNAL AUTHENTICATEs and {commands} damaged commands tried, 0 let in");
    assert!(handshakes == 3 * 16 * 8 && commands > 300);
}

#[test]
fn responses_are_never_protected_so_no_level_asks_for_it() {
    let keys = StaticKeys::test();
    for options in [Options::RANDOM, Options::PSEUDO_RANDOM] {
        for (level, served) in [(0x00, true), (0x01, true), (0x03, true), (0x11, false), (0x13, false), (0x33, false)] {
            let opening = Opening {
                keys: &keys,
                key_version: 0x20,
                diversification: [0; 10],
                options,
                card_challenge: keys.card_challenge(7, &[0xA0, 0, 0, 1, 0x51, 0, 0, 0]),
                sequence: 7,
            };
            let (card, response) = Handshake::open(&opening, [1; 8]);
            let (host, _) = HostHandshake::begin(0x20, [1; 8]);
            let level = SecurityLevel::from_p1(level).expect("a level");
            let (_, command) = host.finish(&keys, level, &response).expect("same keys");
            let opened = card.authenticate(&CommandApdu::parse(&command).expect("a command"));
            assert_eq!(opened.is_ok(), served, "{options:?} {level:?}");
        }
    }
    for i in [0x00, 0x04, 0x05, 0x0A, 0x14, 0x1A, 0x35, 0x45, 0x75] {
        assert!(Options::from_byte(i).is_none(), "i = {i:02X}");
    }
}
