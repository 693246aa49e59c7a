//! Privileged mode (system S2, S3): while the card issues itself nothing passes an outer interface.

mod common;

use common::{Bench, batch, builder_of, start_command};
use smcard_batch::issue::{Blocks, Recovery};
use smcard_card::{CreateOptions, OpenOptions};
use smcard_fixtures as fixtures;
use smcard_link::{LinkError, LinkStatus, PrivilegeKind, RecoveryKind, SecureCard};
use std::thread;
use std::time::{Duration, Instant};

fn card_that_takes_its_time(options: &CreateOptions) -> Bench {
    let mut bench = Bench::new(options);
    bench.open(OpenOptions { command_delay: Duration::from_millis(40), ..OpenOptions::default() });
    bench
}

#[test]
fn a_second_interface_gets_no_processing_during_an_issue() {
    let mut bench = card_that_takes_its_time(&CreateOptions { size: 4 << 20, ..CreateOptions::default() });
    let id = bench.upload("a", &batch(&["80CA006600"; 10]));
    let second = bench.card().second_interface();
    assert_eq!(second.transmit(&[0x80, 0xCA, 0xDF, 0x72, 0x00]).expect("open").sw, 0x9000);

    let mut card = bench.card.take().expect("a card");
    let issue = thread::spawn(move || (card.transmit(&start_command(id, 0)), card));
    let begun = Instant::now();
    let select = [0x00, 0xA4, 0x04, 0x00, 0x00];
    let mut silent = 0;
    while begun.elapsed() < Duration::from_millis(200) {
        match second.transmit(&select) {
            Err(LinkError::NoAnswer(_)) => silent += 1,
            Ok(_) if silent == 0 => {}
            other => panic!("{other:?} in the middle of an issue"),
        }
        thread::sleep(Duration::from_millis(5));
    }
    assert!(silent > 10, "{silent} commands met a shut interface");
    let (answer, _card) = issue.join().expect("no panic");
    assert_eq!(answer.expect("an answer").sw, 0x9000);
    assert_eq!(second.transmit(&select).expect("open again: auto").sw, 0x9000);
}

#[test]
fn auto_is_left_on_failure_as_well() {
    let mut bench = Bench::standard();
    let id = bench.upload("a", &batch(&["80E4000009 4F07A0000000620199"]));
    assert_eq!(bench.start(id).sw, 0x6A88);
    assert_eq!(bench.sw("80CADF7200"), 0x9000);
}

#[test]
fn hold_is_left_by_select_or_power_off_alone() {
    let options = CreateOptions { size: 4 << 20, privilege: PrivilegeKind::Hold, ..CreateOptions::default() };
    for failing in [false, true] {
        let mut bench = Bench::new(&options);
        let file = if failing {
            batch(&["80E4000009 4F07A0000000620199"])
        } else {
            builder_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None).finish().expect("a batch")
        };
        let id = bench.upload("a", &file);
        let answer = bench.start(id);
        assert_eq!(answer.sw == 0x9000, !failing, "the answer of the issue itself goes out");
        assert_eq!(bench.card().status(), LinkStatus::Held);
        for command in [&[0x80, 0xCA, 0xDF, 0x72, 0x00][..], &[0x80, 0x5C, 0x00, 0x00], &start_command(id, 0)] {
            assert!(matches!(bench.card().transmit(command), Err(LinkError::NoAnswer(_))));
        }
        assert!(matches!(bench.card().write_open(b"b", 100), Err(LinkError::NoAnswer(_))));
        assert_eq!(bench.sw("00A4040007A0000000620199"), 0x6A82, "a SELECT that selects nothing");
        assert!(matches!(bench.card().transmit(&[0x80, 0xCA, 0xDF, 0x72, 0x00]), Err(LinkError::NoAnswer(_))));
        if failing {
            bench.card().reset().expect("power off and on");
        } else {
            assert_eq!(bench.sw("00A4040009F0534D434152440101"), 0x9000, "another application");
            assert_eq!(bench.sw("00A4040000"), 0x9000);
        }
        assert_eq!(bench.card().status(), LinkStatus::Ready);
        assert_eq!(bench.sw("80CADF7200"), 0x9000);
    }
}

#[test]
fn a_power_cut_in_the_middle_ends_the_issue_and_start_goes_on() {
    for (kind, kept) in [(RecoveryKind::Restart, false), (RecoveryKind::Command, true), (RecoveryKind::Function, true)]
    {
        let options = CreateOptions { size: 4 << 20, recovery: kind, ..CreateOptions::default() };
        let mut bench = card_that_takes_its_time(&options);
        let cap = fixtures::ndef_cap();
        let file = builder_of(&cap, Blocks::default(), Recovery::Commands).finish().expect("a batch");
        let id = bench.upload("a", &file);
        let switch = bench.card().power_switch().expect("an emulated card has one");
        let cutter = thread::spawn(move || {
            thread::sleep(Duration::from_millis(260));
            switch.cut();
        });
        let ended = bench.card().transmit(&start_command(id, 0));
        assert!(matches!(ended, Err(LinkError::PowerCut)), "{kind:?}: {ended:?}");
        cutter.join().expect("no panic");
        assert_eq!(bench.card().status(), LinkStatus::Off);
        assert!(
            matches!(bench.card().transmit(&[0x80, 0xCA, 0xDF, 0x72, 0x00]), Err(LinkError::PowerCut)),
            "it is off"
        );
        bench.card().reset().expect("power on");
        assert_eq!(bench.issue_state().0, u8::from(kept), "{kind:?}");
        assert_eq!(bench.issue_state().4 > 0, kept, "{kind:?}");
        assert_eq!(bench.sw("00A4040009F0534D434152440101"), 0x6A82, "{kind:?}: nothing half-issued is visible");
        bench.reopen();
        assert_eq!(bench.start(id).sw, 0x9000, "{kind:?}: START again");
        assert_eq!(bench.sw("00A4040009F0534D434152440101"), 0x9000);
    }
}
