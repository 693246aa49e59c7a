//! A whole load session that another program's author recorded (kaoh's scp02Test.c, SCP02 with i = 15, level 03), given to
//! the card byte for byte: the card must answer as the recorded one did, and hold the application at the end.

mod common;

use common::recording::recordings;
use common::{Bench, bytes, hex};
use smcard_batch::CommandApdu;
use smcard_card::scp02::{HostHandshake, HostSession, Options, SecurityLevel, StaticKeys};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions, Scp02Keys};
use smcard_link::SecureCard;
use std::sync::Arc;

/// A card like the recorded one: key diversification data, key version 01, i = 15, its challenge the recorded one.
fn recorded_card() -> Bench {
    let scp02 = Scp02Keys { keys: StaticKeys::test(), version: 0x01, options: Options::RANDOM };
    let diversification = "00000000 000074746E6E6E626262";
    let individual = bytes(diversification).try_into().expect("14 bytes");
    let options =
        CreateOptions { size: 2 << 20, scp02: Some(scp02), individual: Some(individual), ..CreateOptions::default() };
    Bench::new(&options)
}

fn fixed_challenge(bench: &mut Bench, challenge: &str) {
    let challenge = bytes(challenge);
    let random = move |out: &mut [u8]| {
        out.copy_from_slice(&challenge[..out.len()]);
        true
    };
    bench.card = None;
    let options = OpenOptions { random: Arc::new(random), ..OpenOptions::default() };
    bench.card = Some(EmulatedCard::open(&bench.path, options).expect("the card opens"));
}

fn session(bench: &mut Bench) -> HostSession {
    let (handshake, command) = HostHandshake::begin(0x01, [0x77; 8]);
    let answer = bench.card().transmit(&command).expect("an answer");
    let keys = StaticKeys::test();
    let (host, command) = handshake.finish(&keys, SecurityLevel::C_MAC_C_ENC, &answer.data).expect("the test keys");
    assert_eq!(bench.card().transmit(&command).expect("an answer").sw, 0x9000);
    host
}

fn send(bench: &mut Bench, host: &mut HostSession, command: &[u8]) -> u16 {
    let wrapped = host.wrap(&CommandApdu::parse(command).expect("a command")).expect("fits");
    bench.card().transmit(&wrapped).expect("an answer").sw
}

#[test]
fn the_recorded_session_loads_the_recorded_application() {
    let recording = recordings(include_str!("recordings/scp02.txt")).pop().expect("the last");
    let mut bench = recorded_card();
    fixed_challenge(&mut bench, &hex(&recording.response()[14..20]));

    // The recorded card had an older version of the package, which the session deletes: the same file, loaded by hand.
    let mut host = session(&mut bench);
    let mut wrapper = session_of_recording(&recording);
    let plain: Vec<Vec<u8>> = recording.dialogue().iter().map(|(sent, _)| wrapper(sent)).collect();
    for command in &plain[2..5] {
        assert_eq!(send(&mut bench, &mut host, command), 0x9000);
    }
    // The recorded card had lived: its sequence counter stood at 06A1.
    for _ in 1..0x06A1 {
        session(&mut bench);
    }

    let expected =
        [(0x9000, "INITIALIZE UPDATE"), (0x9000, "EXTERNAL AUTHENTICATE"), (0x6A88, "DELETE"), (0x9000, "DELETE")];
    let loading = [(0x9000, "INSTALL"), (0x9000, "LOAD"), (0x9000, "LOAD"), (0x9000, "INSTALL")];
    let steps = expected.into_iter().chain(loading);
    for ((sent, answered), (sw, what)) in recording.exchanges.iter().zip(steps) {
        let answer = bench.card().transmit(sent).expect("an answer");
        assert_eq!(answer.sw, sw, "{what}: {}", hex(sent));
        if let Some(answered) = answered {
            assert_eq!(hex(&answer.data), hex(answered), "{what}");
        }
    }
    assert_eq!(bench.sw("00A4040008D0D1D2D3D4D50101"), 0x9000, "the application is there");
}

/// Takes the protection off the recorded commands.
fn session_of_recording(recording: &common::recording::Recording) -> impl FnMut(&[u8]) -> Vec<u8> + use<> {
    use smcard_card::scp02::card::{Handshake, Opening};
    let response = recording.response();
    let opening = Opening {
        keys: &StaticKeys::test(),
        key_version: response[10],
        diversification: [0; 10],
        options: Options::RANDOM,
        card_challenge: response[14..20].try_into().expect("six bytes"),
        sequence: u16::from_be_bytes([response[12], response[13]]),
    };
    let (handshake, _) = Handshake::open(&opening, recording.host_challenge().try_into().expect("eight bytes"));
    let authenticate = CommandApdu::parse(recording.authenticate()).expect("a command");
    let mut channel = handshake.authenticate(&authenticate).expect("the host's cryptogram");
    move |sent| {
        let unwrapped = channel.unwrap(&CommandApdu::parse(sent).expect("a command")).expect("right MAC");
        unwrapped.command().to_vec().expect("fits")
    }
}
