//! Opening a card.

use super::double::Reaction;
use super::*;
use crate::{BusFault, PrivilegeKind, RecoveryKind};

fn refusal(cid: Cid, prepare: impl FnOnce(&mut Double), options: &[(&str, &str)]) -> OpenError {
    let (card, _) = open_with(cid, prepare, options);
    card.map(drop).expect_err("a refusal")
}

#[test]
fn an_open_card_says_what_it_is() {
    let (card, handle) = ours();
    let properties = card.properties();
    assert_eq!((properties.cid, properties.assd_version), (OURS.0, Some("2.0")));
    assert_eq!((properties.recovery, properties.privilege), (RecoveryKind::Function, PrivilegeKind::Hold));
    assert!(properties.direct_write && properties.source == "a double");
    assert_eq!((handle.function(), handle.resets()), (4, 0));
    let (card, handle) = other();
    assert!(!card.properties().direct_write);
    // Of a card that is not known nothing is tried that it may not know.
    assert_eq!((handle.count(57), handle.count(50)), (0, 0));
    assert!(handle.lock().commands.iter().all(|command| command.index != 35 || command.argument == 1));
}

#[test]
fn the_function_is_4_before_1_or_the_one_that_was_asked_for() {
    let function = |offered, options: &[(&str, &str)]| {
        let (card, handle) = open_with(OURS, |double| double.offered = offered, options);
        card.unwrap();
        handle.function()
    };
    assert_eq!(function(0x8013, &[]), 4);
    assert_eq!(function(0x8003, &[]), 1);
    assert_eq!(function(0x8013, &[("function", "1")]), 1);
    assert!(matches!(refusal(OURS, |double| double.offered = 0x8003, &[("function", "4")]), OpenError::NotSecure(_)));
}

#[test]
fn a_function_that_is_busy_is_asked_for_again_for_two_seconds() {
    let (card, handle) = open_with(OURS, |double| double.switch_busy = 100, &[]);
    card.unwrap();
    assert_eq!(handle.lock().switch_busy, 0);
    let error = refusal(OURS, |double| double.switch_busy = 10_000, &[]);
    assert!(matches!(&error, OpenError::Restless(text) if text.contains("busy")), "{error}");
}

#[test]
fn a_memory_card_is_refused_and_left_as_it_was() {
    assert!(matches!(refusal(OTHER, |double| double.has_switch = false, &[]), OpenError::NotSecure(_)));
    let error = refusal(OTHER, |double| double.offered = 0x8001, &[]);
    assert!(error.to_string().contains("no secure command set (ASSD): its command systems are 8001"), "{error}");
    // A card that offers "eC" and knows none of its commands.
    let (card, handle) = open_with(OTHER, |double| (double.offered, double.lies) = (0x8043, true), &[]);
    let error = card.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Lies { function: 1, .. }), "{error}");
    assert_eq!(handle.function(), 0, "it was left");
}

#[test]
fn cards_that_are_not_there_not_wanted_or_not_allowed_are_told_apart() {
    assert!(matches!(refusal(OURS, |double| double.present = false, &[]), OpenError::NoCard(_)));
    let options = AssdOptions { expected: Some(OTHER), ..AssdOptions::default() };
    let error = AssdCard::open(Box::new(Handle::new(OURS)), options).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::WrongCard { found: OURS, expected: OTHER }), "{error}");
    let mut same = OURS;
    same.0[15] = 0x55;
    let options = AssdOptions { expected: Some(same), ..AssdOptions::default() };
    assert!(AssdCard::open(Box::new(Handle::new(OURS)), options).is_ok(), "some drivers know no checksum");
    let handle = Handle::new(OURS);
    handle.fail(6, Mishap::new(|| BusFault::Forbidden("CAP_SYS_RAWIO".into()), Taken::No));
    let error = AssdCard::open(Box::new(handle), AssdOptions::default()).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Forbidden(_)), "{error}");
}

#[test]
fn registers_are_read_in_whatever_form_the_card_has() {
    for (refused, block) in [(false, false), (true, false), (true, true), (false, true)] {
        let prepare = |double: &mut Double| (double.length_refused, double.psi_block) = (refused, block);
        let (card, handle) = open_with(OTHER, prepare, &[]);
        let mut card = card.unwrap_or_else(|error| panic!("{refused} {block}: {error}"));
        let before = handle.count(16);
        card.transmit(&[0, 0xA4, 4, 0]).unwrap();
        let lengths = handle.count(16) - before;
        assert_eq!(lengths == 0, refused || block, "what was found out is remembered");
    }
    let (card, _) = open_with(OTHER, |double| double.psi_block = true, &[("psi_length", "512")]);
    card.unwrap();
}

#[test]
fn a_length_of_32_is_never_left_behind() {
    let (mut card, handle) = ours();
    handle.fail(36, Mishap::damaged());
    handle.fail(16, Mishap::new(|| BusFault::NoResponse, Taken::Unknown));
    // The double refuses CMD35 with any other length than 512.
    assert!(card.transmit(&[0, 0xA4, 4, 0]).unwrap().is_success());
}

#[test]
fn the_security_system_is_the_lowest_or_the_one_that_was_asked_for() {
    let (card, handle) = open_with(OURS, |double| (double.system, double.properties[13]) = (0, 0x06), &[]);
    card.unwrap();
    assert_eq!((handle.system(), handle.resets()), (1, 1));
    let (card, handle) = open_with(OURS, |_| {}, &[("system", "1")]);
    card.unwrap();
    assert_eq!((handle.system(), handle.resets()), (1, 1));
    let error = refusal(OURS, |_| {}, &[("system", "5")]);
    assert!(matches!(error, OpenError::NoSystem { wanted: 5, systems: 3 }), "{error}");
    // Version 1.1 has no systems and is not reset, so that the card keeps its state.
    let (card, handle) = open_with(OURS, |double| (double.properties[2], double.system) = (1, 9), &[]);
    assert_eq!(card.unwrap().properties().assd_version, Some("1.1"));
    assert_eq!(handle.resets(), 0);
    let (card, handle) = open_with(OURS, |_| {}, &[("reset_on_enter", "yes")]);
    card.unwrap();
    assert_eq!(handle.resets(), 1);
}

#[test]
fn what_was_left_behind_by_others_is_cleared_away() {
    use crate::assd::SecureState;
    for (state, resets) in [(SecureState::Complete, 1), (SecureState::Aborted, 1)] {
        let (card, handle) = open_with(OTHER, |double| double.state = state, &[]);
        card.unwrap();
        assert_eq!(handle.resets(), resets, "{state:?}: an answer that cannot be read is reset away");
    }
    let error = refusal(OTHER, |double| double.state = SecureState::InProgress, &[("answer_timeout_s", "3")]);
    assert!(matches!(error, OpenError::Busy(_)), "{error}");
}

#[test]
fn a_card_that_holds_privileged_mode_is_selected_and_one_that_tells_nothing_is_taken_for_the_simplest() {
    let (card, handle) = open_with(
        OURS,
        |double| {
            double.react = |apdu| match apdu {
                [0x00, 0xA4, ..] => Reaction::Answer(vec![0x90, 0]),
                _ => Reaction::Abort(double::CONDITION),
            };
        },
        &[],
    );
    assert!(matches!(card.map(drop), Err(OpenError::Busy(_))));
    assert_eq!(executed(&handle), [0xCA, 0xA4, 0xCA]);
    let (card, _) = open_with(OTHER, |double| double.react = |_| Reaction::Answer(vec![0x6D, 0]), &[]);
    let card = card.unwrap();
    assert_eq!((card.properties().recovery, card.properties().privilege), (RecoveryKind::Restart, PrivilegeKind::Auto));
}

#[test]
fn a_card_that_another_program_has_left_with_an_application_selected_is_asked_again_by_its_manager() {
    let (card, handle) = open_with(
        OURS,
        |double| {
            double.react = |apdu| {
                thread_local!(static MANAGER: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
                Reaction::Answer(match apdu {
                    [_, 0xA4, ..] => {
                        MANAGER.set(true);
                        vec![0x90, 0]
                    }
                    _ if MANAGER.get() => vec![0xDF, 0x74, 4, 7, 2, 1, 0, 0x90, 0],
                    _ => vec![0x6E, 0],
                })
            }
        },
        &[],
    );
    let properties = card.unwrap().properties().clone();
    assert_eq!((properties.recovery, properties.privilege), (RecoveryKind::Function, PrivilegeKind::Hold));
    let instructions: Vec<u8> = handle.lock().executed.iter().map(|apdu| apdu[1]).collect();
    assert_eq!(instructions, [0xCA, 0xA4, 0xCA]);
}
