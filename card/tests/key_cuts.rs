//! The power goes at every write and barrier of an authentication and of a PUT KEY, tearing what was pending: keys are the old
//! ones or the new ones, a sequence counter never comes back, and no try is given back.

mod common;

use common::bytes;
use smcard_batch::CommandApdu;
use smcard_card::scp03::{HostHandshake, HostSession, SecurityLevel, StaticKeys};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_flash::Medium;
use smcard_flash::sim::{Fault, Simulator};
use smcard_link::{Answer, LinkError, SecureCard};
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A simulator in a card, given back when the card is dropped.
struct Lent {
    simulator: Option<Simulator>,
    back: Sender<Simulator>,
}

impl Lent {
    fn simulator(&mut self) -> &mut Simulator {
        self.simulator.as_mut().expect("until it is dropped")
    }
}

impl Medium for Lent {
    fn len(&self) -> u64 {
        self.simulator.as_ref().map_or(0, Medium::len)
    }

    fn bytes(&self) -> &[u8] {
        self.simulator.as_ref().map_or(&[], Medium::bytes)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.simulator().write(offset, data)
    }

    fn barrier(&mut self) -> io::Result<()> {
        self.simulator().barrier()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Nobody may be waiting.
        let _ = self.simulator.take().map(|simulator| self.back.send(simulator));
    }
}

fn open(simulator: Simulator) -> (EmulatedCard, Receiver<Simulator>) {
    let (back, returned) = channel();
    let medium = Box::new(Lent { simulator: Some(simulator), back });
    let options = OpenOptions { back_off: Duration::ZERO, ..OpenOptions::default() };
    (EmulatedCard::on_medium(medium, "a simulator".to_owned(), options).expect("the card opens"), returned)
}

/// The first call of a card to its medium, a barrier with which it opens it, is left alone.
const FIRST: u64 = 1;

fn fresh() -> Simulator {
    let (back, returned) = channel();
    let options = CreateOptions { size: 1 << 20, individual: Some([7; 14]), ..CreateOptions::default() };
    let medium = Lent { simulator: Some(Simulator::new(options.size)), back };
    drop(EmulatedCard::format(Box::new(medium), &options).expect("a card"));
    returned.try_recv().expect("dropped")
}

fn new_keys() -> StaticKeys {
    StaticKeys::new([1; 16], [2; 16], [3; 16])
}

fn transmit(card: &mut EmulatedCard, command: &[u8]) -> Result<Answer, LinkError> {
    card.transmit(command)
}

/// Opens a session; the counters the card has shown go to `seen`. `Ok(None)`: these are not the card's keys.
fn session(card: &mut EmulatedCard, keys: &StaticKeys, seen: &mut Vec<u32>) -> Result<Option<HostSession>, LinkError> {
    let (handshake, command) = HostHandshake::begin(0x30, [9; 8]);
    let answer = transmit(card, &command)?;
    assert_eq!(answer.sw, 0x9000);
    let [a, b, c] = answer.data[29..].try_into().expect("three bytes");
    seen.push(u32::from_be_bytes([0, a, b, c]));
    let Ok((host, command)) = handshake.finish(keys, SecurityLevel::ALL, &answer.data) else { return Ok(None) };
    assert_eq!(transmit(card, &command)?.sw, 0x9000);
    Ok(Some(host))
}

fn replace(card: &mut EmulatedCard, host: &mut HostSession) -> Result<(), LinkError> {
    let mut data = vec![0x30];
    for key in [[1; 16], [2; 16], [3; 16]] {
        data.extend([0x88, 0x10]);
        data.extend(host.encrypt_key(&key));
        data.push(0);
    }
    let command = host.wrap(&CommandApdu::new(0x80, 0xD8, 0x30, 0x81, &data)).expect("fits");
    assert_eq!(transmit(card, &command)?.sw, 0x9000);
    Ok(())
}

#[test]
fn keys_are_old_or_new_and_counters_never_come_back() {
    let base = fresh();
    let (mut cuts, mut old, mut new) = (0, 0, 0);
    for seed in 0..8 {
        for after in FIRST.. {
            let mut simulator = base.clone();
            simulator.arm(after, Fault::Power);
            let (mut card, returned) = open(simulator);
            let mut seen = Vec::new();
            let mut done = false;
            let course = session(&mut card, &StaticKeys::test(), &mut seen).and_then(|host| {
                replace(&mut card, &mut host.expect("the factory's keys"))?;
                done = true;
                Ok(())
            });
            drop(card);
            let mut simulator = returned.try_recv().expect("dropped");
            if course.is_ok() {
                assert!(after > 4, "{after} calls");
                break;
            }
            simulator.cut(seed);
            let (mut card, _returned) = open(simulator);
            let mut later = Vec::new();
            let with_old = session(&mut card, &StaticKeys::test(), &mut later).expect("the power stays").is_some();
            let with_new = session(&mut card, &new_keys(), &mut later).expect("the power stays").is_some();
            assert!(with_old != with_new, "cut at {after}, seed {seed}: old {with_old}, new {with_new}");
            assert!(!done || with_new);
            // All three keys are others: only then the counter begins anew.
            let goes_on = seen.iter().all(|seen| later.iter().all(|later| later > seen));
            assert!(goes_on || with_new, "cut at {after}, seed {seed}: {seen:?}, then {later:?}");
            cuts += 1;
            (old, new) = (old + u32::from(with_old), new + u32::from(with_new));
        }
    }
    println!("{cuts} cuts: old keys after {old}, new keys after {new}");
    assert!(old > 0 && new > 0);
}

#[test]
fn the_last_try_is_gone_whenever_the_power_goes() {
    let wrong = bytes("8482010010 00112233445566778899AABBCCDDEEFF");
    let initialize = bytes("80503000080102030405060708 00");
    let (mut card, returned) = open(fresh());
    for _ in 0..31 {
        assert_eq!(transmit(&mut card, &initialize).expect("an answer").sw, 0x9000);
        assert_eq!(transmit(&mut card, &wrong).expect("an answer").sw, 0x6300);
    }
    drop(card);
    let base = returned.try_recv().expect("dropped");
    let (mut cuts, mut told) = (0, 0);
    for seed in 0..8 {
        for after in FIRST..40 {
            let mut simulator = base.clone();
            simulator.arm(after, Fault::Power);
            let (mut card, returned) = open(simulator);
            let opened = transmit(&mut card, &initialize);
            let answered = opened.and_then(|_| transmit(&mut card, &wrong)).map(|answer| answer.sw);
            drop(card);
            let mut simulator = returned.try_recv().expect("dropped");
            simulator.cut(seed);
            let (mut card, _returned) = open(simulator);
            let next = transmit(&mut card, &initialize).expect("an answer").sw;
            match answered {
                // The card has said whether the guess was right: that has cost the last try.
                Ok(sw) => assert_eq!((sw, next), (0x6300, 0x6983), "cut at {after}, seed {seed}"),
                Err(_) => assert!(matches!(next, 0x9000 | 0x6983), "cut at {after}, seed {seed}: {next:04X}"),
            }
            cuts += 1;
            told += u32::from(answered.is_ok());
        }
    }
    println!("{cuts} cuts, {told} of them behind the answer");
    assert!(told > 0 && told < cuts);
}
