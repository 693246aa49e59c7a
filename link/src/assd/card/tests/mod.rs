//! The driver against a card that does what a script says, on a clock that only waiting moves.

mod apdu;
mod chaos;
mod double;
mod enter;
mod write;

use super::{AssdCard, AssdOptions, OpenError};
use crate::quirks::{QuirkOverrides, QuirkTable};
use crate::sd::Cid;
use crate::{Answer, LinkError, Recorder, SecureCard, Taken, Trace};
use double::{Double, Handle, Mishap, OTHER, OURS};
use std::sync::Arc;

/// The card of `cid`, with options over what is known of it.
fn open_with(
    cid: Cid,
    prepare: impl FnOnce(&mut Double),
    options: &[(&str, &str)],
) -> (Result<AssdCard, OpenError>, Handle) {
    let mut overrides = QuirkOverrides::NONE;
    for (name, value) in options {
        overrides.set(name, value).unwrap();
    }
    let mut quirks = QuirkTable::default();
    quirks.override_all(overrides);
    let handle = Handle::new(cid);
    prepare(&mut handle.lock());
    let card = AssdCard::open(Box::new(handle.clone()), AssdOptions { quirks, ..AssdOptions::default() });
    (card, handle)
}

/// A card that knows this project's own commands.
fn ours() -> (AssdCard, Handle) {
    let (card, handle) = open_with(OURS, |_| {}, &[]);
    (card.unwrap(), handle)
}

/// A card of which nothing is known.
fn other() -> (AssdCard, Handle) {
    let (card, handle) = open_with(OTHER, |_| {}, &[]);
    (card.unwrap(), handle)
}

/// Commands that the core has executed, by INS.
fn executed(handle: &Handle) -> Vec<u8> {
    handle.lock().executed.iter().map(|apdu| apdu[1]).collect()
}

fn ok(data: &[u8]) -> Answer {
    Answer { data: data.to_vec(), sw: 0x9000 }
}

#[test]
fn the_trace_of_an_exchange_tells_commands_and_registers_and_no_payload() {
    let recorder = Arc::new(Recorder::new(1000));
    let options = AssdOptions { trace: Trace::new(recorder.clone()), ..AssdOptions::default() };
    let mut card = AssdCard::open(Box::new(Handle::new(OURS)), options).unwrap();
    card.transmit(&[0x80, 0xE2, 0, 0, 2, 0xAB, 0xAB]).unwrap();
    let text = recorder.text();
    for line in ["= CID", "manufacturer 00, OEM SM, product SMCRD", "PR version 2.0", "SR idle", "SR complete"] {
        assert!(text.replace("=  ", "= ").contains(line), "{line}: {text}");
    }
    assert!(text.contains("C  80 E2 00 00 02, 7 bytes") && text.contains("R  1 bytes, 9000"), "{text}");
    assert!(!text.contains("AB AB") && !text.contains("abab"), "{text}");
}

/// What the double takes for granted: it says so where a test is wrong.
#[test]
fn a_mishap_that_never_came_is_noticed() {
    let (mut card, handle) = ours();
    handle.fail(35, Mishap::refused());
    assert_eq!(handle.lock().mishaps.len(), 1);
    card.transmit(&[0, 0xA4, 4, 0]).unwrap();
    assert!(handle.lock().mishaps.is_empty());
}
