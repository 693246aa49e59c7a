use super::*;
use smcard_ioctl::abi;

fn outcome(data: Vec<u8>) -> Outcome {
    let answer = Some(Answer { data, sw: 0x9000 });
    Outcome { done: true, answer, sw: 0x9000, exchanges: 1, ..Outcome::silent() }
}

fn open() -> Control {
    Control::new(0, true, 0)
}

#[test]
fn a_ticket_is_pending_then_done_and_can_be_asked_again() {
    let mut control = open();
    control.submit(5, OperationKind::Transmit, Instant::now()).unwrap();
    assert_eq!(control.result(5), Err(Refusal::Pending));
    assert_eq!(control.result(6), Err(Refusal::NotFound));
    assert!(!control.has_result());
    control.finish(5, outcome(vec![1, 2]), Instant::now());
    assert!(control.has_result());
    for _ in 0..2 {
        let answer = abi::OperationResult::from_bytes(&control.result(5).unwrap()).unwrap();
        assert_eq!((answer.state, answer.sw, answer.response_length), (1, 0x9000, 4));
        assert_eq!(answer.response[..4], [1, 2, 0x90, 0]);
    }
    assert!(!control.has_result());
}

#[test]
fn a_long_response_is_read_in_pieces_to_its_end() {
    let mut control = open();
    control.submit(1, OperationKind::Transmit, Instant::now()).unwrap();
    control.finish(1, outcome(vec![7; 300]), Instant::now());
    let answer = abi::OperationResult::from_bytes(&control.result(1).unwrap()).unwrap();
    assert_eq!((answer.flags, answer.response_length), (abi::RESULT_MORE, 302));
    let lengths: Vec<_> = (0..3).map(|_| control.read(200).len()).collect();
    assert_eq!(lengths, [200, 102, 0]);
    control.result(1).unwrap();
    assert_eq!(control.read(1000).len(), 302, "from the beginning after each RESULT");
}

#[test]
fn sixteen_results_that_nobody_fetches_are_the_most() {
    let mut control = open();
    for number in 0..16 {
        control.submit(number, OperationKind::Clear, Instant::now()).unwrap();
        control.finish(number, outcome(vec![]), Instant::now());
    }
    assert_eq!(control.submit(16, OperationKind::Clear, Instant::now()), Err(Refusal::TooManyResults));
    control.result(3).unwrap();
    control.submit(16, OperationKind::Clear, Instant::now()).unwrap();
    assert_eq!(control.result(3), Err(Refusal::NotFound));
    control.withdraw(16);
    assert_eq!(control.result(16), Err(Refusal::NotFound));
}

#[test]
fn a_written_command_is_sent_once() {
    let mut control = open();
    assert_eq!(control.take_written(), Err(Refusal::NothingWritten));
    control.write(&[1]).unwrap();
    control.write(&[2; 5]).unwrap();
    assert_eq!(control.take_written().unwrap().as_slice(), [2; 5]);
    assert_eq!(control.take_written(), Err(Refusal::NothingWritten));
    assert_eq!(control.write(&vec![0; EXTENDED_COMMAND_MAX + 1]), Err(Refusal::TooLong));
}

#[test]
fn who_waits_is_woken_by_a_result_or_a_change_and_by_nothing_else() {
    let mut control = open();
    control.wait(Box::new(|| {}));
    assert!(control.wake(0).is_none());
    assert!(control.wake(1).is_some());
    assert!(control.wake(1).is_none(), "once");
    control.wait(Box::new(|| {}));
    control.submit(1, OperationKind::Start, Instant::now()).unwrap();
    control.finish(1, outcome(vec![]), Instant::now());
    assert!(control.wake(0).is_some());
}
