//! The card works on its own while the bus is free; what resets it, or takes its supply, breaks an issue off as a loss of power
//! would, and it can be gone on with.

mod wire;

use smcard_card::sd::{Executor, Profile};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_link::assd::{Checksum, SecureState, write_token};
use smcard_link::sd::{CardState, Function};
use smcard_link::{SdBus, SecureCard, SpiBus};
use std::time::Duration;
use wire::native::NativeHost;
use wire::spi::SpiHost;
use wire::{Apdus, ISSUE_STATE, START, authenticate, new_card_with, options, pattern, wallet_batch};

/// An issue takes about a second with this.
fn unhurried() -> OpenOptions {
    OpenOptions { command_delay: Duration::from_millis(4), ..OpenOptions::default() }
}

fn native() -> NativeHost {
    ready(new_card_with(unhurried()))
}

/// A card that has a batch in its store.
fn ready(card: EmulatedCard) -> NativeHost {
    let mut host = NativeHost::new(card.into_sd(options(Profile::default(), Executor::Thread)).expect("a card"));
    host.enter(Function::Assd2);
    authenticate(&mut host);
    assert_eq!(host.direct_write(b"wallet", &wallet_batch(), 64).sw, 0x9000);
    host
}

/// State of the last issue: 1 unfinished, 2 done.
fn issue_state(card: &mut impl Apdus) -> Option<u8> {
    card.apdu(&ISSUE_STATE).data.get(3).copied()
}

fn begin(host: &mut NativeHost) {
    host.write(35, 1, &write_token(&START, Checksum::None).expect("taken")).expect("taken");
    assert_eq!(host.status().state(), Ok(SecureState::InProgress));
}

#[test]
fn the_bus_is_free_while_the_card_issues_itself() {
    let mut host = native();
    begin(&mut host);
    let data = pattern(512, 2);
    host.write(24, 1, &data).unwrap();
    assert_eq!(host.read(17, 1, 512, 1).unwrap(), data);
    assert_eq!(host.state().state(), Some(CardState::Transfer));
    assert_eq!(host.status().state(), Ok(SecureState::InProgress));
    for index in [34, 35, 50, 57] {
        assert!(host.command(index, 1).is_err(), "CMD{index}");
    }
    assert_eq!(host.until_done().state(), Ok(SecureState::Complete));
    assert!(host.read(34, 1, 512, 1).is_ok());
}

#[test]
fn every_reset_breaks_an_issue_off_and_it_goes_on() {
    type Break = fn(&mut NativeHost);
    let breaks: [(&str, Break); 5] = [
        ("CMD37", |host| {
            host.command(37, 1).unwrap();
            host.not_busy().unwrap();
        }),
        ("CMD0", |host| {
            host.card.command(0, 0);
            host.bring_up();
            host.enter(Function::Assd2);
        }),
        ("CMD6", |host| {
            host.enter(Function::Default);
            host.enter(Function::Assd2);
        }),
        ("supply", |host| {
            host.card.set_power(false);
            host.card.set_power(true);
            host.bring_up();
            host.enter(Function::Assd2);
        }),
        ("pulled out", |host| {
            host.card.slot().remove();
            host.card.slot().insert();
            host.bring_up();
            host.enter(Function::Assd2);
        }),
    ];
    for (name, act) in breaks {
        let mut host = native();
        begin(&mut host);
        act(&mut host);
        assert_eq!(host.status().state(), Ok(SecureState::Idle), "{name}");
        assert_ne!(issue_state(&mut host), Some(2), "{name}: the issue has ended nevertheless");
        assert_eq!(host.apdu(&START).sw, 0x9000, "{name}");
        assert_eq!(issue_state(&mut host), Some(2), "{name}");
    }
}

#[test]
fn a_power_cycle_on_spi_breaks_an_issue_off_and_it_goes_on() {
    let card = new_card_with(unhurried()).into_spi(options(Profile::default(), Executor::Thread)).expect("a card");
    let mut host = SpiHost::new(card);
    host.enter(Function::Assd2);
    authenticate(&mut host);
    assert_eq!(host.direct_write(b"wallet", &wallet_batch(), 64).sw, 0x9000);
    host.write(35, 1, &write_token(&START, Checksum::None).unwrap()).unwrap();
    assert_eq!(host.status().state(), Ok(SecureState::InProgress));
    assert!(host.bus.power_cycle().unwrap());
    host.bring_up();
    host.enter(Function::Assd2);
    assert_ne!(issue_state(&mut host), Some(2));
    host.write(35, 1, &write_token(&START, Checksum::None).unwrap()).unwrap();
    host.command(37, 1, false).unwrap();
    assert_eq!(host.status().state(), Ok(SecureState::Idle));
    assert_eq!(host.apdu(&START).sw, 0x9000);
}

#[test]
fn a_card_that_goes_away_in_an_issue_does_not_wait_for_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    EmulatedCard::create(&path, &CreateOptions { size: 4 << 20, ..CreateOptions::default() }).unwrap();
    let card = EmulatedCard::open(&path, unhurried()).unwrap();
    let mut host = ready(card);
    begin(&mut host);
    drop(host);
    // Its image is free again at once, and the issue is not done.
    let mut card = EmulatedCard::open(&path, OpenOptions::default()).unwrap();
    assert_ne!(card.transmit(&ISSUE_STATE).unwrap().data.get(3), Some(&2));
    assert_eq!(card.transmit(&START).unwrap().sw, 0x9000);
}

/// A card that comes up says so in ACMD41; its line is free, so that a host that looks for busy only where the specification
/// has it is not confused.
#[test]
fn a_card_that_comes_up_does_not_show_busy() {
    let slow = OpenOptions { command_delay: Duration::from_millis(300), ..OpenOptions::default() };
    let card = new_card_with(slow).into_spi(options(Profile::default(), Executor::Thread)).expect("a card");
    let mut host = SpiHost::new(card);
    host.enter(Function::Assd2);
    authenticate(&mut host);
    assert_eq!(host.direct_write(b"wallet", &wallet_batch(), 64).sw, 0x9000);
    host.write(35, 1, &write_token(&START, Checksum::None).unwrap()).unwrap();
    assert_eq!(host.status().state(), Ok(SecureState::InProgress));
    assert_eq!(host.command(0, 0, true), Ok(vec![0x01]));
    let mut line = [0xFF; 64];
    host.bus.exchange(&mut line).unwrap();
    assert_eq!(line, [0xFF; 64]);
    host.deselect();
    host.bring_up();
}
