//! Planning: what a batch would do to a mounted card is told before, by `smcardctl plan` and by the card at START.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use smcard_tests::{Mounted, Setup, batch};

/// The problems of a plan, which ends with 1 where there are any.
fn problems(card: &Mounted, file: &[u8]) -> Vec<(u64, String)> {
    card.file("planned.batch", file);
    let path = card.scratch().join("planned.batch");
    let planned = card.ctl(&["plan", path.to_str().unwrap(), "--json"]);
    let plan = planned.json();
    let problems = plan["problems"].as_array().unwrap();
    let problems: Vec<_> = problems
        .iter()
        .map(|trouble| (trouble["command"].as_u64().unwrap_or(0), trouble["why"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(plan["would_go"].as_bool().unwrap(), problems.is_empty(), "{plan}");
    assert_eq!(planned.code, i32::from(!problems.is_empty()), "{plan}");
    problems
}

#[test]
fn a_plan_writes_nothing_and_start_does_what_it_says() {
    let card = Setup::new().mount();
    assert_eq!(problems(&card, batch::ndef()), []);
    assert_eq!(card.batches(), []);
    card.put(batch::ndef(), "ndef.batch");
    card.ctl(&["start", "ndef.batch"]).ok();
    assert!(!card.log().contains("will fail"), "{}", card.log());

    let again = problems(&card, batch::ndef());
    assert_eq!(again[0].0, 1);
    assert!(again[0].1.contains("AID F0534D4341524401 is already on the card"), "{again:?}");
    let missing = problems(&card, batch::client());
    assert!(missing.len() == 1 && missing[0].1.contains("needs F0534D4341524402 version 1.0"), "{missing:?}");
    // What it names is what stops the card.
    card.put(batch::client(), "client.batch");
    let report = card.ctl(&["start", "client.batch", "--json"]).expect(1).json();
    assert_eq!((&report["given"], &report["sw"]), (&missing[0].0.into(), &"6a88".into()), "{report}");
}

#[test]
fn memory_that_is_not_there_is_told() {
    let card = Setup::new().size("1M").mount();
    let found = problems(&card, batch::library());
    assert!(!found.is_empty() && found.iter().any(|(_, why)| why.contains("bytes")), "{found:?}");
}

#[test]
fn a_card_that_lists_nothing_is_not_planned_on() {
    let card = Setup::new().keys(smcard_tests::setup::Keys::Wrong).mount();
    card.file("ndef.batch", batch::ndef());
    card.shell("smcardctl plan ndef.batch").expect(1).fails("no secure channel");
    card.shell("smcardctl plan nothing.batch").expect(5);
}

#[test]
fn the_card_looks_ahead_at_start_and_the_issue_fails_as_if_it_had_not() {
    let card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    card.ctl(&["start", "ndef.batch"]).ok();
    let report = card.ctl(&["start", "ndef.batch", "--json"]).expect(1).json();
    assert_eq!((&report["given"], &report["sw"]), (&1.into(), &"6985".into()), "{report}");
    let log = card.log();
    let line =
        "START: command 1 will fail: AID F0534D4341524401 is already on the card; delete it first, or choose another";
    assert!(log.contains(line), "{log}");
    assert!(log.contains("START: command 10 will fail"), "the application as well: {log}");
}
