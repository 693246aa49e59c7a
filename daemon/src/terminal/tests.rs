//! The terminal against a card that answers from a script.

use super::session::Attempt;
use super::{Manager, Target};
use crate::refusal::Refusal;
use crate::testing::{Scripted, Sent, test_ring};
use smcard_batch::CommandApdu;
use smcard_card::scp03::card::{Channel, Handshake, Opening};
use smcard_card::scp03::{Options, StaticKeys};
use smcard_ioctl::FailureFormat;
use smcard_link::{Answer, LinkError};
use std::time::Duration;

const SELECT: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];

fn manager(card: Scripted) -> (Manager, Sent) {
    let sent = card.sent.clone();
    (Manager::new(Box::new(card), Some(test_ring()), true), sent)
}

fn instructions(sent: &Sent) -> Vec<u8> {
    sent.lock().unwrap().iter().map(|command| command[1]).collect()
}

/// A card that opens a secure channel and answers what comes through it from a script.
fn secured(mut script: impl FnMut(&CommandApdu<'_>) -> Answer + Send + 'static) -> Scripted {
    let (mut handshake, mut channel): (Option<Handshake>, Option<Channel>) = (None, None);
    Scripted::new(move |bytes| {
        let command = CommandApdu::parse(bytes).unwrap();
        if command.ins == 0x50 {
            let opening = Opening {
                keys: &StaticKeys::test(),
                key_version: 0x30,
                diversification: [0; 10],
                options: Options::FULL,
                card_challenge: [7; 8],
                sequence: [0, 0, 1],
            };
            let (opened, data) = Handshake::open(&opening, command.data.try_into().unwrap());
            handshake = Some(opened);
            return Ok(Answer { data, sw: 0x9000 });
        }
        if command.ins == 0x82 {
            channel = Some(handshake.take().unwrap().authenticate(&command).unwrap());
            return Ok(Answer::status(0x9000));
        }
        if matches!(command.ins, 0xA4 | 0x5C) {
            channel = None;
            return Ok(Answer::status(0x9000));
        }
        let Some(channel) = channel.as_mut() else { return Ok(Answer::status(0x6982)) };
        let Ok(plain) = channel.unwrap(&command) else { return Ok(Answer::status(0x6982)) };
        let Answer { mut data, sw } = script(&plain.command());
        channel.wrap(&mut data, sw);
        Ok(Answer { data, sw })
    })
}

#[test]
fn start_is_one_exchange_and_after_a_broken_link_the_manager_is_selected_first() {
    let mut answers = vec![Err(LinkError::NoAnswer(Duration::ZERO)), Ok(Answer::status(0x9000))];
    let (mut manager, sent) = manager(Scripted::new(move |command| match command[1] {
        0x5A => answers.pop().unwrap(),
        _ => Ok(Answer::status(0x9000)),
    }));
    let mut start = || manager.start(&Target::Only, FailureFormat::Data, 3);
    assert_eq!(start().unwrap().0.given, 3);
    assert!(matches!(start(), Err(LinkError::NoAnswer(_))));
    assert_eq!(instructions(&sent), [0x5A, 0x5A]);
    manager.clear().unwrap();
    assert_eq!(instructions(&sent), [0x5A, 0x5A, 0xA4, 0x5C]);
}

#[test]
fn a_card_that_holds_privileged_mode_is_selected_after_an_issue() {
    let (mut manager, sent) = manager(Scripted::new(|_| Ok(Answer::status(0x9000))).holding());
    manager.start(&Target::Only, FailureFormat::Data, 0).unwrap();
    manager.start(&Target::Only, FailureFormat::Data, 0).unwrap();
    assert_eq!(instructions(&sent), [0x5A, 0xA4, 0x5A]);
    assert_eq!(sent.lock().unwrap()[1], SELECT);
}

#[test]
fn a_card_manager_that_cannot_be_selected_is_a_failure_of_the_link() {
    let (mut manager, _) = manager(Scripted::new(|_| Ok(Answer::status(0x6A82))));
    manager.sender_mut().forget();
    assert!(matches!(manager.confirm(), Err(LinkError::Malformed(_))));
}

#[test]
fn a_refused_authentication_is_not_tried_again() {
    let (mut manager, sent) = manager(Scripted::new(|_| Ok(Answer::status(0x6A88))));
    for _ in 0..3 {
        assert!(matches!(manager.ensure_channel(), Err(Refusal::NotAuthenticated(text)) if text.contains("6a88")));
    }
    assert_eq!(instructions(&sent), [0x50]);
    let asked = manager.authenticate(None, Some(0x20)).unwrap();
    assert!(matches!(asked, Some(Attempt::Refused { sw: Some(sw), .. }) if sw.0 == 0x6A88));
    assert_eq!(sent.lock().unwrap()[1][2], 0x20, "the key version that was asked for");
}

#[test]
fn an_answer_to_initialize_update_that_makes_no_sense_is_a_refusal() {
    let (mut manager, sent) = manager(Scripted::new(|_| Ok(Answer { data: vec![3; 12], sw: 0x9000 })));
    assert!(matches!(manager.authenticate(None, None), Ok(Some(Attempt::Refused { sw: None, .. }))));
    assert_eq!(instructions(&sent), [0x50], "no proof of ours goes out");
}

#[test]
fn a_lost_channel_is_opened_once_more_and_not_for_ever() {
    let mut refusals = 1;
    let (mut manager, sent) = manager(secured(move |command| {
        assert_eq!((command.cla, command.ins, command.data), (0x80, 0x58, &[0, 9][..]));
        refusals -= 1;
        Answer::status(if refusals >= 0 { 0x6982 } else { 0x9000 })
    }));
    manager.erase(9).unwrap();
    assert_eq!(instructions(&sent), [0x50, 0x82, 0x58, 0x50, 0x82, 0x58]);
    let (mut manager, sent) = self::manager(secured(|_| Answer::status(0x6982)));
    assert!(matches!(manager.erase(9), Err(Refusal::Card { operation: "ERASE FILE", .. })));
    assert_eq!(sent.lock().unwrap().len(), 6);
}

#[test]
fn a_list_is_followed_while_the_card_has_more_and_not_for_ever() {
    let entry = [0xE3, 0x07, 0x4F, 0x05, 1, 2, 3, 4, 5];
    let (mut manager, sent) = manager(secured(move |command| {
        let sw = if command.p2 == 0x02 { 0x6310 } else { 0x9000 };
        Answer { data: entry.to_vec(), sw }
    }));
    assert_eq!(manager.contents(0x40).unwrap().entries.len(), 2);
    assert_eq!(instructions(&sent), [0x50, 0x82, 0xF2, 0xF2]);
    let (mut manager, _) = self::manager(secured(move |_| Answer { data: entry.to_vec(), sw: 0x6310 }));
    assert_eq!(manager.contents(0x40).unwrap().entries.len(), 256);
    let (mut manager, _) = self::manager(secured(|_| Answer::status(0x6A88)));
    assert!(manager.contents(0x40).unwrap().entries.is_empty());
}

#[test]
fn what_the_card_says_of_itself_must_make_sense() {
    let (mut manager, _) = manager(Scripted::new(|_| Ok(Answer { data: vec![0xDF, 0x73, 1, 0], sw: 0x9000 })));
    assert!(matches!(manager.memory(), Err(Refusal::Link { text, .. }) if text.contains("figures of its memory")));
    assert!(matches!(manager.issue(), Err(Refusal::Link { .. })));
    let (mut manager, _) = self::manager(Scripted::new(|_| Ok(Answer::status(0x6D00))));
    assert!(matches!(manager.files(), Err(Refusal::Card { .. })));
}

#[test]
fn a_programs_own_command_takes_no_part_in_the_channel() {
    let (mut manager, sent) = manager(secured(|_| Answer::status(0x9000)));
    manager.ensure_channel().unwrap();
    manager.sender_mut().raw(&[0x80, 0xCA, 0x00, 0x66]).unwrap();
    assert!(!manager.sender().is_open());
    manager.sender_mut().raw(&SELECT).unwrap();
    manager.clear().unwrap();
    assert_eq!(instructions(&sent), [0x50, 0x82, 0xCA, 0xA4, 0xA4, 0x5C], "selected again only behind a SELECT");
}
