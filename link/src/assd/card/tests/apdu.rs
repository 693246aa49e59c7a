//! One APDU, and all that can go wrong with it.

use super::double::{CONDITION, Reaction};
use super::*;
use crate::{BusFault, LinkStatus, PowerSwitch};
use std::time::Duration;

const SELECT: [u8; 4] = [0x00, 0xA4, 0x04, 0x00];
const STORE: [u8; 7] = [0x80, 0xE2, 0, 0, 2, 1, 2];
const START: [u8; 4] = [0x80, 0x5A, 0, 0];
/// GET DATA of the card's own state, while it is opened.
const OPENED: u8 = 0xCA;

#[test]
fn an_exchange_is_one_command_to_the_core_and_is_counted_as_one() {
    let (mut card, handle) = ours();
    assert_eq!(card.counters(), crate::Counters::default());
    assert_eq!(card.transmit(&STORE).unwrap(), ok(&[0xE2]));
    assert_eq!(executed(&handle), [OPENED, 0xE2]);
    let counters = card.counters();
    assert_eq!((counters.exchanges, counters.bytes_sent, counters.bytes_received), (1, 7, 3));
    assert!(counters.wire_transactions > 5);
    assert_eq!(handle.resets(), 0);
}

#[test]
fn long_commands_and_answers_take_several_blocks_where_the_card_is_known_to_take_them() {
    let (mut card, handle) = ours();
    assert_eq!(card.properties().apdu_max, 128 * 512 - 2 - 4);
    handle.lock().react = |_| Reaction::Answer([&[0x5A; 3000][..], &[0x90, 0x00]].concat());
    let long = [&[0x80, 0xE2, 0, 0, 0, 0x0B, 0xB8][..], &[7; 3000]].concat();
    assert_eq!(card.transmit(&long).unwrap().data, [0x5A; 3000]);
    assert_eq!(handle.lock().executed.last().unwrap(), &long);
    let (mut card, handle) = other();
    assert_eq!(card.properties().apdu_max, 510);
    let error = card.transmit(&[0x80; 511]).unwrap_err();
    assert!(matches!(error, LinkError::Length { length: 511, max: 510 }));
    assert!(matches!(card.transmit(&[0x80; 3]), Err(LinkError::Length { .. })));
    assert_eq!((card.counters().exchanges, executed(&handle).len()), (0, 1));
}

#[test]
fn what_the_card_has_refused_goes_out_again_and_is_executed_once() {
    for (open, most) in [(ours as fn() -> (AssdCard, Handle), 8), (other, 3)] {
        let (mut card, handle) = open();
        for _ in 0..most {
            handle.fail(35, Mishap::refused());
        }
        assert!(card.transmit(&STORE).unwrap().is_success());
        assert_eq!(executed(&handle), [OPENED, 0xE2]);
        for _ in 0..=most {
            handle.fail(35, Mishap::refused());
        }
        assert!(matches!(card.transmit(&STORE), Err(LinkError::Untaken(_))));
        assert_eq!(executed(&handle), [OPENED, 0xE2], "refused for good");
        assert!(card.transmit(&STORE).unwrap().is_success());
    }
}

#[test]
fn a_refusal_that_was_none_is_found_out() {
    for open in [ours, other] {
        let (mut card, handle) = open();
        handle.fail(35, Mishap::refused().done());
        assert_eq!(card.transmit(&STORE).unwrap(), ok(&[0xE2]));
        assert_eq!(executed(&handle), [OPENED, 0xE2]);
    }
}

#[test]
fn after_an_unclear_reply_the_status_register_decides() {
    // Taken: it goes on.
    for open in [ours, other] {
        let (mut card, handle) = open();
        handle.fail(35, Mishap::unclear().done());
        assert!(card.transmit(&STORE).unwrap().is_success());
        assert_eq!(executed(&handle), [OPENED, 0xE2]);
    }
    // Idle: known to mean "not taken" of our card only.
    let (mut card, handle) = ours();
    handle.fail(35, Mishap::unclear());
    assert!(card.transmit(&STORE).unwrap().is_success());
    assert_eq!(executed(&handle), [OPENED, 0xE2]);
    let (mut card, handle) = other();
    handle.fail(35, Mishap::unclear());
    assert!(matches!(card.transmit(&STORE), Err(LinkError::Unknown { error: Some(_), .. })));
    assert_eq!(executed(&handle), [OPENED]);
    assert!(card.transmit(&STORE).unwrap().is_success(), "the next one is another matter");
}

#[test]
fn an_unclear_reply_of_a_card_that_lost_its_mode_is_unknown_and_not_sent_again() {
    for open in [ours, other] {
        let (mut card, handle) = open();
        handle.fail(35, Mishap::unclear().done().and_then(|double| double.lose_mode()));
        assert!(matches!(card.transmit(&STORE), Err(LinkError::Unknown { .. })));
        assert_eq!(executed(&handle), [OPENED, 0xE2]);
        assert!(card.transmit(&SELECT).unwrap().is_success(), "it was entered again");
        assert_eq!(executed(&handle), [OPENED, 0xE2, 0xA4]);
    }
}

#[test]
fn a_mode_that_was_lost_between_commands_is_entered_again_silently() {
    let (mut card, handle) = other();
    handle.lock().lose_mode();
    assert!(card.transmit(&STORE).unwrap().is_success());
    // Lost between the poll and CMD35: the card does not know the command, so it has not taken it.
    handle.fail(35, Mishap::new(|| BusFault::Illegal, Taken::No).and_then(|double| double.lose_mode()));
    assert!(card.transmit(&STORE).unwrap().is_success());
    assert_eq!(executed(&handle), [OPENED, 0xE2, 0xE2]);
}

#[test]
fn a_mode_that_is_lost_while_the_core_works_is_told() {
    let (mut card, handle) = ours();
    handle.fail(36, Mishap::damaged());
    handle.fail(36, Mishap::damaged().and_then(|double| double.lose_mode()));
    handle.lock().polls = 50;
    handle
        .fail(35, Mishap::new(|| BusFault::BlockCrc, Taken::No).silent().done().and_then(|double| double.lose_mode()));
    let error = card.transmit(&STORE).unwrap_err();
    assert!(matches!(&error, LinkError::Unknown { .. }) && error.to_string().contains("left the secure"), "{error}");
    assert!(card.transmit(&SELECT).unwrap().is_success());
    assert_eq!(executed(&handle), [OPENED, 0xE2, 0xA4]);
}

#[test]
fn a_core_that_drops_a_command_is_told_after_one_more_poll() {
    let (mut card, handle) = ours();
    handle.fail(35, Mishap::refused().silent());
    let error = card.transmit(&STORE).unwrap_err();
    assert!(matches!(error, LinkError::Unknown { error: None, .. }), "{error}");
}

#[test]
fn a_status_register_that_cannot_be_read_is_asked_for_again_but_not_for_ever() {
    let (mut card, handle) = ours();
    for _ in 0..15 {
        handle.fail(36, Mishap::damaged());
    }
    assert!(card.transmit(&STORE).unwrap().is_success());
    for _ in 0..16 {
        handle.fail(36, Mishap::damaged());
    }
    assert!(matches!(card.transmit(&STORE), Err(LinkError::Bus(error)) if matches!(error.fault, BusFault::DataCrc)));
    assert_eq!(executed(&handle), [OPENED, 0xE2]);
    assert!(card.transmit(&STORE).unwrap().is_success());
    // One answer "illegal" is no mode that is lost: a bit of a response may have gone.
    handle.fail(36, Mishap::new(|| BusFault::Illegal, Taken::No));
    let switches = handle.count(6);
    assert!(card.transmit(&STORE).unwrap().is_success());
    assert_eq!(handle.count(6), switches);
}

#[test]
fn an_answer_that_arrives_damaged_is_asked_for_again_where_that_is_known_to_work() {
    let (mut card, handle) = ours();
    handle.fail(34, Mishap::damaged().done());
    handle.fail(34, Mishap::damaged().done());
    // Damage that the block's checksum lets pass is seen by the token's.
    handle.fail(34, Mishap::damaged().done().silent());
    assert_eq!(card.transmit(&STORE).unwrap(), ok(&[0xE2]));
    assert_eq!(executed(&handle), [OPENED, 0xE2]);
    let (mut card, handle) = other();
    handle.fail(34, Mishap::damaged().done());
    assert!(matches!(card.transmit(&STORE), Err(LinkError::Unknown { error: Some(_), .. })));
    // CMD34 that did not reach the card: it is still complete, and asked again.
    handle.fail(34, Mishap::damaged());
    assert!(card.transmit(&STORE).unwrap().is_success());
    assert_eq!(executed(&handle), [OPENED, 0xE2, 0xE2]);
}

#[test]
fn an_aborted_command_is_told_and_costs_the_session_only_where_the_card_needs_a_reset() {
    let abort = |apdu: &[u8]| match apdu[1] {
        0xE2 => Reaction::Abort(2),
        _ => Reaction::Answer(vec![apdu[1], 0x90, 0]),
    };
    for (open, resets) in [(ours as fn() -> (AssdCard, Handle), 0), (other, 1)] {
        let (mut card, handle) = open();
        handle.lock().react = abort;
        let error = card.transmit(&STORE).unwrap_err();
        assert!(matches!(&error, LinkError::Aborted(text) if text.contains("area not found")), "{error}");
        assert!(card.transmit(&SELECT).unwrap().is_success());
        assert_eq!((handle.resets(), executed(&handle)), (resets, vec![OPENED, 0xE2, 0xA4]));
    }
    // What stands in the status register from before is not taken for the fate of the next command.
    let (mut card, handle) = ours();
    handle.lock().react = abort;
    card.transmit(&STORE).unwrap_err();
    handle.fail(35, Mishap::refused());
    assert!(card.transmit(&SELECT).unwrap().is_success());
    card.transmit(&STORE).unwrap_err();
    handle.fail(35, Mishap::unclear());
    assert!(matches!(card.transmit(&SELECT), Err(LinkError::Unknown { .. })));
}

#[test]
fn a_core_that_gives_no_answer_is_silent_and_a_card_that_holds_is_held_until_it_is_selected() {
    let (mut card, handle) = ours();
    assert_eq!(card.properties().privilege, crate::PrivilegeKind::Hold);
    assert!(card.transmit(&START).unwrap().is_success());
    assert_eq!(card.status(), LinkStatus::Held);
    handle.lock().react = |apdu| match apdu[1] {
        0xA4 => Reaction::Answer(vec![0x90, 0]),
        _ => Reaction::Abort(CONDITION),
    };
    assert!(matches!(card.transmit(&STORE), Err(LinkError::NoAnswer(_))));
    assert_eq!(card.status(), LinkStatus::Held);
    assert!(card.transmit(&SELECT).unwrap().is_success());
    assert_eq!((card.status(), handle.resets()), (LinkStatus::Ready, 0));
    // A START that is refused begins no issue.
    handle.lock().react = |_| Reaction::Answer(vec![0x69, 0x85]);
    card.transmit(&START).unwrap();
    assert_eq!(card.status(), LinkStatus::Ready);
    handle.lock().react = |_| Reaction::Answer(vec![0, 0, 0, 7, 0x6A, 0x84]);
    card.transmit(&START).unwrap();
    assert_eq!(card.status(), LinkStatus::Held);
    card.reset().unwrap();
    assert_eq!(card.status(), LinkStatus::Ready);
}

#[test]
fn a_card_that_never_comes_to_an_end_is_waited_for_as_long_as_was_agreed() {
    let (card, handle) = open_with(OURS, |_| {}, &[("answer_timeout_s", "7")]);
    let mut card = card.unwrap();
    handle.lock().react = |_| Reaction::Stuck;
    let before = handle.lock().now;
    let Err(LinkError::NoAnswer(waited)) = card.transmit(&STORE) else { panic!("an answer") };
    assert!((7.0..7.1).contains(&waited.as_secs_f64()), "{waited:?}");
    assert!(handle.lock().now - before < Duration::from_secs(8));
    assert_eq!(executed(&handle), [OPENED, 0xE2]);
    // It still works on it: another command has to wait, and does not go out.
    assert!(matches!(card.transmit(&SELECT), Err(LinkError::NoAnswer(_))));
    assert_eq!(executed(&handle), [OPENED, 0xE2]);
    handle.lock().react = |_| Reaction::Answer(vec![0x90, 0]);
    card.reset().unwrap();
    assert!(card.transmit(&SELECT).unwrap().is_success());
}

#[test]
fn an_issue_is_waited_for_until_it_ends_or_the_power_is_cut() {
    let (mut card, handle) = ours();
    // 16 ms each: half an hour.
    handle.lock().polls = 120_000;
    assert!(card.transmit(&START).unwrap().is_success());
    assert!(handle.lock().now > Duration::from_secs(1800));
    handle.lock().react = |_| Reaction::Stuck;
    let at = handle.lock().now + Duration::from_secs(7200);
    handle.lock().cut_at = card.power_switch().map(|switch| (at, switch));
    assert!(matches!(card.transmit(&START), Err(LinkError::PowerCut)));
    assert!(handle.lock().now >= at);
}

#[test]
fn the_power_switch_ends_the_exchange_and_the_card_stays_off_until_the_reset() {
    let (mut card, handle) = ours();
    let switch: Arc<dyn PowerSwitch> = card.power_switch().unwrap();
    handle.lock().react = |_| Reaction::Stuck;
    let at = handle.lock().now + Duration::from_secs(1);
    handle.lock().cut_at = Some((at, switch));
    assert!(matches!(card.transmit(&STORE), Err(LinkError::PowerCut)));
    assert!(handle.lock().now - at < Duration::from_millis(50), "at the next poll");
    assert_eq!(card.status(), LinkStatus::Off);
    assert!(matches!(card.transmit(&STORE), Err(LinkError::PowerCut)));
    assert!(matches!(card.write_open(b"a", 1), Err(LinkError::PowerCut)));
    handle.lock().react = |_| Reaction::Answer(vec![0x90, 0]);
    card.reset().unwrap();
    assert_eq!((card.status(), handle.cycles()), (LinkStatus::Ready, 1));
    assert!(card.transmit(&SELECT).unwrap().is_success());
}

#[test]
fn without_a_switch_for_the_supply_a_reset_resets_the_core() {
    let (card, handle) = open_with(OURS, |double| double.can_cycle = false, &[]);
    let mut card = card.unwrap();
    card.reset().unwrap();
    assert_eq!((handle.resets(), handle.cycles()), (1, 0));
    handle.lock().lose_mode();
    card.reset().unwrap();
    assert_eq!(handle.resets(), 2);
    assert!(card.transmit(&SELECT).unwrap().is_success());
}

#[test]
fn a_card_that_is_pulled_out_is_gone_for_ever() {
    let (mut card, handle) = ours();
    handle.fail(35, Mishap::unclear().done().and_then(|double| double.present = false));
    assert!(matches!(card.transmit(&STORE), Err(LinkError::Gone)));
    handle.lock().present = true;
    assert_eq!(card.status(), LinkStatus::Gone);
    assert!(matches!(card.transmit(&SELECT), Err(LinkError::Gone)));
    assert!(matches!(card.reset(), Err(LinkError::Gone)));
    assert!(matches!(card.write_open(b"a", 1), Err(LinkError::Gone)));
    assert_eq!(executed(&handle), [OPENED, 0xE2]);
}

#[test]
fn another_card_in_the_place_of_this_one_is_not_taken_for_it() {
    let (mut card, handle) = ours();
    {
        let mut double = handle.lock();
        double.lose_mode();
        double.offered = 0x8001;
        double.cid = OTHER;
    }
    assert!(matches!(card.transmit(&SELECT), Err(LinkError::Gone)));
    assert_eq!(card.status(), LinkStatus::Gone);
}

#[test]
fn the_longest_answer_is_taken_and_a_card_that_has_failed_is_mute() {
    let (mut card, handle) = ours();
    handle.lock().react = |_| Reaction::Answer(vec![0x5A; 65_000]);
    assert!(card.transmit(&STORE).is_ok());
    handle.lock().system_error = true;
    assert!(matches!(card.transmit(&STORE), Err(LinkError::Mute(_))));
}
