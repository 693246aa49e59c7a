//! The control file.

use super::{CONTROL, call, open, result, start, status, submit, transmit};
use crate::core::{Caller, OpenFlags, Readiness};
use crate::refusal::Refusal;
use crate::testing::{ME, Rig, Setup, batch, batch_of};
use crate::tree::Node;
use smcard_batch::CommandApdu;
use smcard_ioctl::Structure;
use smcard_ioctl::abi;
use smcard_link::RecoveryKind;
use std::time::{Duration, Instant};

#[test]
fn an_issue_is_two_exchanges() {
    let rig = Rig::new(Setup::default());
    rig.copy("other", &batch(1)).unwrap();
    let before = rig.exchanges();
    rig.copy("app", &batch(300)).unwrap();
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "app").unwrap();
    let answer = result(&rig, fh, ticket);
    assert_eq!((answer.result, answer.state, answer.sw), (0, 1, 0x9000));
    assert_eq!((answer.given, answer.total, answer.exchanges), (300, 300, 2));
    assert_eq!(rig.exchanges() - before, 2);
    let status = status(&rig, fh);
    assert_eq!((status.card_state, status.last_sw, status.issue_exchanges, status.issues), (5, 0x9000, 2, 1));
    assert!(rig.line().starts_with("done app: 300 commands, 2 exchanges"), "{}", rig.line());
}

#[test]
fn a_failed_issue_tells_the_command_and_clear_takes_it_back() {
    let rig = Rig::new(Setup::default());
    let unknown = CommandApdu::new(0x80, 0x01, 0, 0, &[]);
    rig.copy("bad", &batch_of(5, &unknown)).unwrap();
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "bad").unwrap();
    let answer = result(&rig, fh, ticket);
    assert_eq!((answer.state, answer.sw, answer.given, answer.total), (2, 0x6D00, 1, 5));
    assert!(rig.line().starts_with("failed 6d00 after 1 of 5"), "{}", rig.line());
    assert_ne!(status(&rig, fh).facts & abi::FACT_CLEAR_POSSIBLE, 0);
    let ticket = submit(&rig, fh, abi::CLEAR).unwrap();
    assert_eq!(result(&rig, fh, ticket).sw, 0x9000);
    assert_eq!(status(&rig, fh).facts & abi::FACT_CLEAR_POSSIBLE, 0);
    assert_eq!(rig.line(), "authenticated");
}

#[test]
fn what_stays_of_a_failed_issue_is_the_cards_own_account() {
    let harmless = || CommandApdu::new(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).with_le(256);
    for (recovery, expected) in [(RecoveryKind::Restart, 0), (RecoveryKind::Command, 5), (RecoveryKind::Function, 3)] {
        let rig = Rig::new(Setup { recovery, ..Setup::default() });
        let mut builder = smcard_batch::BatchBuilder::new();
        for number in 1..=7 {
            if number == 4 {
                builder.recovery_point();
            }
            let unknown = CommandApdu::new(0x80, 0x01, 0, 0, &[]);
            builder.push(&if number == 6 { unknown } else { harmless() }).unwrap();
        }
        rig.copy("app", &builder.finish().unwrap()).unwrap();
        let before = rig.exchanges();
        let fh = open(&rig, true);
        let ticket = start(&rig, fh, "app").unwrap();
        let answer = result(&rig, fh, ticket);
        assert_eq!((answer.given, answer.kept, answer.exchanges), (6, expected, 2), "{recovery:?}");
        assert_eq!(rig.exchanges() - before, 2, "{recovery:?}: START and the question");
        assert_eq!(status(&rig, fh).kept, expected);
        let ticket = submit(&rig, fh, abi::CLEAR).unwrap();
        assert_eq!(result(&rig, fh, ticket).sw, 0x9000);
        assert_eq!(status(&rig, fh).kept, 0, "nothing stays after CLEAR");
    }
}

#[test]
fn a_name_no_file_has_is_the_cards_to_refuse() {
    let rig = Rig::new(Setup::default());
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "nothing").unwrap();
    assert_eq!(result(&rig, fh, ticket).sw, 0x6A82);
}

#[test]
fn while_the_card_issues_itself_nothing_else_begins() {
    let rig = Rig::new(Setup { delay: Duration::from_millis(40), ..Setup::default() });
    rig.copy("app", &batch(10)).unwrap();
    rig.copy("second", &batch(1)).unwrap();
    let half = rig.create("half").unwrap();
    rig.write(half, 0, &batch(3)[..30]).unwrap();
    let (fh, other) = (open(&rig, true), open(&rig, true));
    let ticket = start(&rig, fh, "app").unwrap();
    assert_eq!(start(&rig, other, "second"), Err(Refusal::Issuing));
    assert_eq!(rig.create("new").err(), Some(Refusal::Issuing));
    assert_eq!(rig.write(half, 30, &batch(3)[30..]), Err(Refusal::Issuing));
    assert_eq!(rig.unlink("app"), Err(Refusal::Issuing));
    assert_eq!(rig.rename("app", "b"), Err(Refusal::Issuing));
    assert_eq!(rig.list().len(), 3, "looking around goes on");
    let running = status(&rig, other);
    assert_eq!((running.card_state, running.given), (3, 0));
    assert!(rig.line().starts_with("issuing app for "), "{}", rig.line());
    assert_eq!(result(&rig, fh, ticket).state, 1);
    rig.write(half, 30, &batch(3)[30..]).unwrap();
    rig.core.flush(ME, half).unwrap();
}

#[test]
fn an_issue_outlives_the_program_that_started_it() {
    let rig = Rig::new(Setup { delay: Duration::from_millis(10), ..Setup::default() });
    rig.copy("app", &batch(5)).unwrap();
    let fh = open(&rig, true);
    start(&rig, fh, "app").unwrap();
    rig.core.release(fh);
    let watcher = open(&rig, false);
    let deadline = Instant::now() + Duration::from_secs(20);
    while status(&rig, watcher).issues == 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(status(&rig, watcher).card_state, 5);
}

#[test]
fn reset_breaks_an_issue_off_and_the_card_goes_on_later() {
    let rig = Rig::new(Setup { delay: Duration::from_millis(50), ..Setup::default() });
    rig.copy("app", &batch(100)).unwrap();
    let fh = open(&rig, true);
    let begun = Instant::now();
    let issue = start(&rig, fh, "app").unwrap();
    std::thread::sleep(Duration::from_millis(120));
    let reset = submit(&rig, fh, abi::RESET).unwrap();
    let broken = result(&rig, fh, issue);
    assert_eq!((broken.state, broken.sw), (2, 0));
    assert_eq!(broken.result, rustix::io::Errno::CANCELED.raw_os_error());
    assert_eq!(result(&rig, fh, reset).state, 1);
    assert!(begun.elapsed() < Duration::from_secs(4));
    let status = status(&rig, fh);
    assert_ne!(status.facts & abi::FACT_INTERRUPTED, 0);
    assert!(rig.line().contains("start goes on or over"), "{}", rig.line());
}

#[test]
fn what_a_descriptor_may_depends_on_how_and_by_whom_it_was_opened() {
    let rig = Rig::new(Setup::default());
    let reader = open(&rig, false);
    assert_eq!(submit(&rig, reader, abi::CLEAR), Err(Refusal::NotOperator));
    assert_eq!(status(&rig, reader).facts & abi::FACT_OPERATOR, 0);
    let somebody = Caller { uid: 1000, tid: 9 };
    let flags = OpenFlags { write: true, exclusive: false };
    let fh = rig.ask(|core, reply| core.open(somebody, CONTROL, flags, reply)).unwrap().fh;
    let request = abi::Submit { version: 1, ..Default::default() }.to_bytes();
    let by = |caller| rig.core.ioctl(caller, CONTROL, fh, abi::CLEAR, &request);
    assert_eq!(by(Caller { uid: 1001, tid: 9 }), Err(Refusal::NotOperator));
    assert!(by(somebody).is_ok());
    assert_eq!(rig.core.ioctl(somebody, 4, fh, abi::CLEAR, &request), Err(Refusal::NotAnIoctl));
    assert_eq!(rig.core.ioctl(somebody, CONTROL, fh, 0x5401, &[]), Err(Refusal::NotAnIoctl));
    let mut wrong = request.clone();
    wrong[4] = 9;
    assert!(matches!(rig.core.ioctl(somebody, CONTROL, fh, abi::CLEAR, &wrong), Err(Refusal::Invalid(_))));
}

#[test]
fn a_dialogue_keeps_others_out_until_its_file_is_closed() {
    let rig = Rig::new(Setup::default());
    rig.copy("app", &batch(1)).unwrap();
    let (fh, other) = (open(&rig, true), open(&rig, true));
    let select = [0x00, 0xA4, 0x04, 0x00, 0x00];
    let ticket = transmit(&rig, fh, &select).unwrap();
    assert_eq!(result(&rig, fh, ticket).sw, 0x9000);
    assert_eq!(start(&rig, other, "app"), Err(Refusal::Dialogue));
    assert_eq!(transmit(&rig, other, &select), Err(Refusal::Dialogue));
    assert_eq!(rig.create("new").err(), Some(Refusal::Dialogue));
    rig.core.release(fh);
    rig.copy("new", &batch(1)).unwrap();
    let ticket = start(&rig, other, "app").unwrap();
    assert_eq!(result(&rig, other, ticket).sw, 0x9000);
}

#[test]
fn a_transmitted_refusal_of_the_card_is_a_result() {
    let rig = Rig::new(Setup::default());
    let fh = open(&rig, true);
    let ticket = transmit(&rig, fh, &[0x80, 0x01, 0, 0]).unwrap();
    let answer = result(&rig, fh, ticket);
    assert_eq!((answer.state, answer.sw, answer.response_length, answer.exchanges), (1, 0x6D00, 2, 1));
    let missing = abi::Transmit { version: 1, flags: abi::TRANSMIT_EXTENDED, ..Default::default() };
    assert_eq!(call(&rig, fh, abi::TRANSMIT, &missing).err(), Some(Refusal::NothingWritten));
    rig.write(fh, 0, &[0x80, 0xCA, 0xDF, 0x71, 0, 0, 0]).unwrap();
    let ticket = call(&rig, fh, abi::TRANSMIT, &missing).unwrap().ticket;
    assert_eq!(result(&rig, fh, ticket).sw, 0x9000);
}

#[test]
fn only_the_control_file_has_to_be_waited_for() {
    let rig = Rig::new(Setup::default());
    let always = Readiness { readable: true, writable: true, priority: false };
    assert_eq!(rig.core.poll(Node::Status.ino(), 99, None), always);
    let fh = open(&rig, true);
    let ready = rig.core.poll(CONTROL, fh, None);
    assert_eq!(ready, Readiness { readable: false, writable: true, priority: false });
    rig.copy("app", &batch(1)).unwrap();
    assert!(rig.core.poll(CONTROL, fh, None).priority, "the card's state has changed");
    status(&rig, fh);
    assert!(!rig.core.poll(CONTROL, fh, None).priority);
}

#[test]
fn a_card_that_holds_privileged_mode_is_selected_before_it_is_asked() {
    let rig = Rig::new(Setup { privilege: smcard_link::PrivilegeKind::Hold, ..Setup::default() });
    let fh = open(&rig, true);
    for name in ["first", "second"] {
        rig.copy(name, &batch(3)).unwrap();
        let ticket = start(&rig, fh, name).unwrap();
        let answer = result(&rig, fh, ticket);
        assert_eq!((answer.sw, answer.exchanges), (0x9000, 2), "{name}");
    }
}

#[test]
fn a_dialogue_in_the_clear_leaves_what_is_known_of_the_batches() {
    let rig = Rig::new(Setup::default());
    rig.copy("app", &batch(3)).unwrap();
    let (fh, other) = (open(&rig, true), open(&rig, true));
    let ticket = transmit(&rig, fh, &[0x80, 0xCA, 0xDF, 0x74, 0]).unwrap();
    assert_eq!(result(&rig, fh, ticket).sw, 0x9000);
    rig.core.release(fh);
    let ticket = start(&rig, other, "app").unwrap();
    let answer = result(&rig, other, ticket);
    assert_eq!((answer.sw, answer.total, answer.exchanges), (0x9000, 3, 2));
}
