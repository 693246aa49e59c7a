//! The terminal when an issue does not go well, with an emulated card.

use super::{open, result, rows, start, status, submit, transmit, until};
use crate::refusal::Refusal;
use crate::terminal::progress::{Action, Given, Row, Said};
use crate::terminal::{Limits, Table};
use crate::testing::{Rig, Setup, batch, batch_of};
use rustix::io::Errno;
use smcard_batch::{BatchBuilder, CommandApdu};
use smcard_ioctl::abi;
use smcard_link::{LinkError, RecoveryKind};
use std::time::{Duration, Instant};

fn slow(milliseconds: u64) -> Setup {
    Setup { delay: Duration::from_millis(milliseconds), ..Setup::default() }
}

fn silence() -> Option<LinkError> {
    Some(LinkError::NoAnswer(Duration::from_secs(1)))
}

/// A rig whose issue has got no answer and pauses for `pause` milliseconds.
fn pausing(pause: u64) -> (Rig, u64, u64) {
    let rig = Rig::new(Setup { table: rows(&[("none", Action::Resume, pause)]), ..Setup::default() });
    rig.copy("app", &batch(3)).unwrap();
    rig.failures.lock().unwrap().push_back(silence());
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "app").unwrap();
    until("it pauses", || rig.line().starts_with("recovering"));
    (rig, fh, ticket)
}

#[test]
fn an_issue_whose_power_was_cut_is_finished_unaided() {
    for recovery in [RecoveryKind::Restart, RecoveryKind::Command, RecoveryKind::Function] {
        for cut in [1, 4, 7] {
            let rig = Rig::new(Setup { recovery, ..slow(15) });
            rig.copy("app", &batch(9)).unwrap();
            let fh = open(&rig, true);
            let ticket = start(&rig, fh, "app").unwrap();
            std::thread::sleep(Duration::from_millis(15 * cut));
            rig.core.cut_power();
            let answer = result(&rig, fh, ticket);
            assert_eq!((answer.state, answer.sw, answer.result), (1, 0x9000, 0), "{recovery:?}, cut {cut}");
            assert_eq!((answer.given, answer.total, answer.kept), (9, 9, 9));
            assert_eq!(answer.exchanges, 3, "the upload and two STARTs");
        }
    }
}

#[test]
fn a_card_that_is_slower_than_its_limit_is_switched_off() {
    let limits = Limits { answer: Duration::from_millis(60), command: Duration::ZERO };
    // Each try gets some commands further, as long as the card keeps each of them.
    let table = rows(&[("none", Action::Resume, 1)]);
    let rig = Rig::new(Setup { limits, table, recovery: RecoveryKind::Command, ..slow(20) });
    rig.copy("app", &batch(6)).unwrap();
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "app").unwrap();
    let answer = result(&rig, fh, ticket);
    assert_eq!((answer.state, answer.sw), (1, 0x9000));
    assert!(answer.exchanges > 2, "{}", answer.exchanges);
}

#[test]
fn a_card_that_is_too_slow_for_ever_is_a_timeout() {
    let limits = Limits { answer: Duration::from_millis(30), command: Duration::ZERO };
    let table = Table::new(vec![Row::new(Given::Any, vec![Said::Nothing], Action::Report)], true);
    let rig = Rig::new(Setup { limits, table, ..slow(200) });
    rig.copy("app", &batch(2)).unwrap();
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "app").unwrap();
    let answer = result(&rig, fh, ticket);
    assert_eq!((answer.state, answer.result), (2, Errno::TIMEDOUT.raw_os_error()));
    assert!(rig.line().contains("gave no answer (waited 30ms)"), "{}", rig.line());
    rig.copy("other", &batch(1)).unwrap();
}

#[test]
fn in_a_pause_the_daemon_answers_and_says_what_it_waits_for() {
    let (rig, fh, ticket) = pausing(700);
    let line = rig.line();
    assert!(line.starts_with("recovering: waiting 0.") && line.ends_with("before START again (try 1 of 5)"), "{line}");
    assert_eq!(status(&rig, fh).card_state, 3);
    assert_eq!(start(&rig, fh, "app"), Err(Refusal::Issuing));
    assert_eq!(rig.create("new").err(), Some(Refusal::Issuing));
    assert_eq!(rig.unlink("app"), Err(Refusal::Issuing));
    assert_eq!(rig.list().len(), 1, "looking around goes on");
    let other = open(&rig, true);
    let asked = transmit(&rig, other, &[0x80, 0xCA, 0xDF, 0x74, 0]).unwrap();
    let answer = result(&rig, fh, ticket);
    assert_eq!((answer.state, answer.sw), (1, 0x9000));
    assert_eq!(result(&rig, other, asked).sw, 0x9000, "what came in the pause is done behind the issue");
}

#[test]
fn an_operators_clear_or_reset_overrides_the_table() {
    for number in [abi::CLEAR, abi::RESET] {
        let begun = Instant::now();
        let (rig, fh, issue) = pausing(9000);
        let operation = submit(&rig, fh, number).unwrap();
        let broken = result(&rig, fh, issue);
        assert_eq!((broken.state, broken.result), (2, Errno::TIMEDOUT.raw_os_error()));
        assert_eq!(result(&rig, fh, operation).state, 1);
        assert!(begun.elapsed() < Duration::from_secs(8));
        rig.copy("new", &batch(1)).unwrap();
    }
}

#[test]
fn the_end_of_the_daemon_ends_a_pause_at_once() {
    let begun = Instant::now();
    let (rig, _, _) = pausing(9000);
    drop(rig);
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_batch_that_wants_confirmation_gets_it() {
    let confirm = |table| {
        let rig = Rig::new(Setup { table, ..Setup::default() });
        let mut builder = BatchBuilder::new();
        builder.confirm(true).push(&CommandApdu::new(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).with_le(256)).unwrap();
        rig.copy("app", &builder.finish().unwrap()).unwrap();
        let fh = open(&rig, true);
        let ticket = start(&rig, fh, "app").unwrap();
        let answer = result(&rig, fh, ticket);
        assert_eq!((answer.state, answer.sw), (1, 0x9000));
        (answer.exchanges, status(&rig, fh).facts & abi::FACT_CONFIRM_NEEDED != 0, rig, fh)
    };
    let (exchanges, needed, ..) = confirm(Table::default());
    assert_eq!((exchanges, needed), (3, false));
    let (exchanges, needed, rig, fh) = confirm(Table::new(vec![], false));
    assert_eq!((exchanges, needed), (2, true));
    assert!(rig.line().ends_with("; waits for confirm"), "{}", rig.line());
    let ticket = submit(&rig, fh, abi::CONFIRM).unwrap();
    assert_eq!(result(&rig, fh, ticket).sw, 0x9000);
    assert_eq!(status(&rig, fh).facts & abi::FACT_CONFIRM_NEEDED, 0);
}

#[test]
fn a_table_that_clears_leaves_a_card_that_takes_another_batch() {
    let rig = Rig::new(Setup { table: rows(&[("6d00", Action::Clear, 0)]), ..Setup::default() });
    rig.copy("bad", &batch_of(2, &CommandApdu::new(0x80, 0x01, 0, 0, &[]))).unwrap();
    rig.copy("good", &batch(2)).unwrap();
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "bad").unwrap();
    let answer = result(&rig, fh, ticket);
    assert_eq!((answer.sw, answer.given, answer.kept, answer.exchanges), (0x6D00, 1, 0, 3));
    assert_eq!(status(&rig, fh).facts & abi::FACT_CLEAR_POSSIBLE, 0);
    let ticket = start(&rig, fh, "good").unwrap();
    assert_eq!(result(&rig, fh, ticket).sw, 0x9000);
}

#[test]
fn a_card_that_the_table_stops_is_started_by_an_operator_who_has_looked() {
    let rig = Rig::new(Setup { table: rows(&[("6d00", Action::Stop, 0)]), ..Setup::default() });
    rig.copy("bad", &batch_of(2, &CommandApdu::new(0x80, 0x01, 0, 0, &[]))).unwrap();
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "bad").unwrap();
    assert_eq!(result(&rig, fh, ticket).sw, 0x6D00);
    assert_eq!(start(&rig, fh, "bad"), Err(Refusal::Stopped));
    assert!(rig.line().ends_with("stopped by the progress table: reset or clear before the next start"));
    for number in [abi::CLEAR, abi::RESET] {
        let ticket = submit(&rig, fh, number).unwrap();
        assert_eq!(result(&rig, fh, ticket).state, 1);
        let ticket = start(&rig, fh, "bad").unwrap();
        assert_eq!(result(&rig, fh, ticket).sw, 0x6D00);
        assert_eq!(start(&rig, fh, "bad"), Err(Refusal::Stopped));
    }
}
