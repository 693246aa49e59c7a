//! What follows an end, against a card that answers from a script.

use super::progress::{Action, Given, Row, Said};
use super::{Conclusion, Conduct, IssueRecord, IssueState, Limits, Manager, Next, Order, Step, Table, Target};
use crate::testing::{Scripted, Sent};
use smcard_ioctl::FailureFormat;
use smcard_link::{Answer, LinkError, PowerSwitch};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const START: u8 = 0x5A;
const CLEAR: u8 = 0x5C;
const CONFIRM: u8 = 0x5E;
const ASK: u8 = 0xCA;
const POWER: u8 = 0xFF;

type Said1 = (u8, Result<Answer, LinkError>);

fn sw(ins: u8, sw: u16) -> Said1 {
    (ins, Ok(Answer::status(sw)))
}

fn silent(ins: u8) -> Said1 {
    (ins, Err(LinkError::PowerCut))
}

/// START failed: count and status word.
fn failed(given: u32, sw: u16) -> Said1 {
    (START, Ok(Answer { data: given.to_be_bytes().to_vec(), sw }))
}

fn record(state: IssueState, file: u16, given: u32, kept: u32) -> IssueRecord {
    IssueRecord { state, file, given, total: 9, sw: 0, kept }
}

/// The card tells where it stands.
fn told(record: IssueRecord) -> Said1 {
    let state = match record.state {
        IssueState::None => 0,
        IssueState::Unfinished => 1,
        IssueState::Done => 2,
        IssueState::ConfirmNeeded => 3,
    };
    let mut data = vec![0xDF, 0x72, 17, state];
    data.extend(record.file.to_be_bytes());
    data.extend(record.given.to_be_bytes());
    data.extend(record.total.to_be_bytes());
    data.extend(record.sw.to_be_bytes());
    data.extend(record.kept.to_be_bytes());
    (ASK, Ok(Answer { data, sw: 0x9000 }))
}

fn row(said: &str, action: Action) -> Row {
    Row::new(Given::Any, vec![Said::parse(said).unwrap()], action)
}

struct Scene {
    manager: Manager,
    sent: Sent,
    conduct: Conduct,
}

impl Scene {
    /// File 7 of nine commands, which does not ask for confirmation, on a card that has issued nothing.
    fn new(script: Vec<Said1>) -> Self {
        Self::of(script, |order| order, Table::default())
    }

    fn of(script: Vec<Said1>, change: impl FnOnce(Order) -> Order, table: Table) -> Self {
        let mut script = VecDeque::from(script);
        let card = Scripted::new(move |command| {
            let (expected, answer) = script.pop_front().expect("nothing more is to be sent");
            assert_eq!(command[1], expected, "{command:02X?}");
            answer
        });
        let sent = card.sent.clone();
        let order = Order {
            target: Target::Id { id: 7, offset: 0, length: 0 },
            format: FailureFormat::Data,
            total: 9,
            confirm: Some(false),
            before: Some(IssueRecord::default()),
        };
        let conduct = Conduct::new(change(order), &table);
        Scene { manager: Manager::new(Box::new(card), None, true), sent, conduct }
    }

    fn step(&mut self) -> Next {
        self.conduct.step(&mut self.manager)
    }

    /// The step must be the last.
    fn end(mut self) -> (Conclusion, Vec<u8>) {
        assert_eq!(self.step(), Next::Ended);
        self.conclude()
    }

    fn conclude(mut self) -> (Conclusion, Vec<u8>) {
        let conclusion = self.conduct.conclude(&mut self.manager);
        (conclusion, self.sent.lock().unwrap().iter().map(|command| command[1]).collect())
    }
}

#[test]
fn success_that_asks_for_nothing_is_one_exchange() {
    let (end, sent) = Scene::new(vec![sw(START, 0x9000)]).end();
    assert_eq!((end.result.success, end.result.kept, end.exchanges), (true, Some(9), 1));
    assert_eq!(sent, [START]);
    assert_eq!(end.record.map(|record| record.state), Some(IssueState::Done));
}

#[test]
fn success_that_asks_for_confirmation_gets_it() {
    let wants = |order| Order { confirm: Some(true), ..order };
    let (end, _) = Scene::of(vec![sw(START, 0x9000), sw(CONFIRM, 0x9000)], wants, Table::default()).end();
    assert_eq!((end.exchanges, end.record.map(|record| record.state)), (2, Some(IssueState::Done)));
    let (end, _) = Scene::of(vec![sw(START, 0x9000)], wants, Table::new(vec![], false)).end();
    assert_eq!(end.record.map(|record| record.state), Some(IssueState::ConfirmNeeded), "left to the operator");
    let (end, _) = Scene::of(vec![sw(START, 0x9000), sw(CONFIRM, 0x6985)], wants, Table::default()).end();
    assert!(end.result.success, "the issue is done all the same");
    assert_eq!(end.record.map(|record| record.state), Some(IssueState::ConfirmNeeded));
}

#[test]
fn where_nobody_knows_whether_it_asks_the_card_is_asked() {
    let unknown = |order| Order { confirm: None, total: 0, ..order };
    let waits = told(record(IssueState::ConfirmNeeded, 7, 9, 9));
    let script = vec![sw(START, 0x9000), waits, sw(CONFIRM, 0x9000)];
    let (end, _) = Scene::of(script, unknown, Table::default()).end();
    assert_eq!((end.exchanges, end.result.given, end.result.kept), (2, 9, Some(9)), "a question does not count");
}

#[test]
fn a_card_that_does_not_answer_is_found_out_and_started_again() {
    let stands = record(IssueState::Unfinished, 7, 4, 3);
    let script = vec![silent(START), sw(POWER, 0x9000), told(stands), sw(START, 0x9000)];
    let mut scene = Scene::new(script);
    let pause = Duration::from_millis(100);
    assert_eq!(scene.step(), Next::Again { step: Step::Start, pause, time: 1, limit: 5 });
    let (end, sent) = scene.end();
    assert!(end.result.success && end.silence.is_none());
    assert_eq!(sent, [START, POWER, ASK, START]);
    assert_eq!(end.exchanges, 2, "both STARTs");
}

#[test]
fn a_card_that_never_answers_is_given_up_after_the_limit() {
    let stands = record(IssueState::Unfinished, 7, 4, 3);
    let round = || [silent(START), sw(POWER, 0x9000), told(stands)];
    let mut scene = Scene::new((0..6).flat_map(|_| round()).collect());
    for time in 1..=5 {
        assert!(matches!(scene.step(), Next::Again { time: told, .. } if told == time));
    }
    let (end, _) = scene.end();
    assert!(matches!(end.silence, Some(LinkError::PowerCut)));
    assert_eq!((end.result.given, end.result.kept, end.record), (4, Some(3), Some(stands)));
}

#[test]
fn an_answer_that_was_lost_is_not_asked_for_by_issuing_again() {
    let script = || vec![silent(START), sw(POWER, 0x9000), told(record(IssueState::Done, 7, 9, 9))];
    let (end, sent) = Scene::new(script()).end();
    assert!(end.result.success && end.silence.is_none() && end.answer.is_none());
    assert_eq!((end.result.sw, end.result.given, sent.len()), (0x9000, 9, 3));
    // The same words from before START tell of the issue before; of another file, too.
    for before in [Some(record(IssueState::Done, 7, 9, 9)), None] {
        let mut scene = Scene::of(script(), |order| Order { before, ..order }, Table::default());
        assert!(matches!(scene.step(), Next::Again { .. }));
    }
    let other = told(record(IssueState::Done, 8, 9, 9));
    let mut scene = Scene::new(vec![silent(START), sw(POWER, 0x9000), other]);
    assert!(matches!(scene.step(), Next::Again { .. }));
}

#[test]
fn a_lost_answer_of_a_batch_that_asks_for_confirmation_leads_to_it() {
    let waits = told(record(IssueState::ConfirmNeeded, 7, 9, 9));
    let script = vec![silent(START), sw(POWER, 0x9000), waits, sw(CONFIRM, 0x9000)];
    let (end, _) = Scene::of(script, |order| Order { confirm: Some(true), ..order }, Table::default()).end();
    assert_eq!((end.result.success, end.record.map(|record| record.state)), (true, Some(IssueState::Done)));
}

#[test]
fn confirm_and_clear_without_an_answer_are_found_out_as_well() {
    let wants = |order| Order { confirm: Some(true), ..order };
    let waits = told(record(IssueState::ConfirmNeeded, 7, 9, 9));
    let done = told(record(IssueState::Done, 7, 9, 9));
    let script = vec![sw(START, 0x9000), silent(CONFIRM), sw(POWER, 0x9000), waits, silent(CONFIRM)];
    let script = script.into_iter().chain([sw(POWER, 0x9000), done]).collect();
    let mut scene = Scene::of(script, wants, Table::default());
    assert!(matches!(scene.step(), Next::Again { step: Step::Confirm, .. }));
    let (end, _) = scene.end();
    assert_eq!((end.result.success, end.silence.is_none()), (true, true));

    let clear = || Table::new(vec![row("6a84", Action::Clear)], true);
    let cleared = told(IssueRecord::default());
    let script = vec![failed(4, 0x6A84), silent(CLEAR), sw(POWER, 0x9000), cleared];
    let (end, _) = Scene::of(script, |order| order, clear()).end();
    assert_eq!((end.result.sw, end.result.given, end.result.kept), (0x6A84, 4, Some(0)));
}

#[test]
fn the_table_clears_what_it_is_told_to_clear() {
    let table = Table::new(vec![row("6a84", Action::Clear)], true);
    let script = vec![failed(4, 0x6A84), sw(CLEAR, 0x9000)];
    let (end, sent) = Scene::of(script, |order| order, table.clone()).end();
    assert_eq!((end.result.sw, end.result.kept, end.record), (0x6A84, Some(0), Some(IssueRecord::default())));
    assert_eq!((sent, end.exchanges), (vec![START, CLEAR], 2));
    // Any other refusal is reported, with the card's own account of what stays.
    let script = vec![failed(4, 0x6A80), told(record(IssueState::Unfinished, 7, 4, 2))];
    let (end, _) = Scene::of(script, |order| order, table).end();
    assert_eq!((end.result.sw, end.result.kept, end.exchanges), (0x6A80, Some(2), 1));
}

#[test]
fn retry_starts_again_and_resume_switches_off_and_on_before() {
    let table = Table::new(vec![row("6f00", Action::Retry), row("6581", Action::Resume)], true);
    let script = vec![failed(4, 0x6F00), failed(5, 0x6581), sw(POWER, 0x9000), sw(START, 0x9000)];
    let mut scene = Scene::of(script, |order| order, table);
    assert!(matches!(scene.step(), Next::Again { .. }));
    assert!(matches!(scene.step(), Next::Again { .. }));
    let (end, sent) = scene.end();
    assert_eq!(sent, [START, START, POWER, START]);
    assert!(end.result.success);
}

#[test]
fn an_issue_that_is_broken_off_in_a_pause_tells_what_stays() {
    let table = Table::new(vec![row("6f00", Action::Retry)], true);
    let script = vec![failed(4, 0x6F00), told(record(IssueState::Unfinished, 7, 4, 3))];
    let mut scene = Scene::of(script, |order| order, table);
    assert!(matches!(scene.step(), Next::Again { .. }));
    let (end, _) = scene.conclude();
    assert_eq!((end.result.success, end.result.given, end.result.kept), (false, 4, Some(3)));
}

#[test]
fn a_refused_start_is_reported_without_a_question() {
    let before = record(IssueState::Unfinished, 3, 4, 4);
    let script = vec![(START, Ok(Answer::status(0x6985)))];
    let (end, _) = Scene::of(script, |order| Order { before: Some(before), ..order }, Table::default()).end();
    assert_eq!((end.result.sw, end.result.given, end.record), (0x6985, 0, Some(before)));
}

#[test]
fn a_table_may_stop_the_card() {
    let table = Table::new(vec![row("6581", Action::Stop)], true);
    let script = vec![failed(4, 0x6581), told(record(IssueState::Unfinished, 7, 4, 3))];
    assert!(Scene::of(script, |order| order, table).end().0.stop);
}

#[test]
fn a_card_that_is_gone_ends_the_issue_at_once() {
    let (end, sent) = Scene::new(vec![(START, Err(LinkError::Gone))]).end();
    assert!(matches!(end.silence, Some(LinkError::Gone)) && !end.result.success);
    assert_eq!((sent, end.record), (vec![START], None));
    let pulled = vec![silent(START), (POWER, Err(LinkError::Gone))];
    assert!(matches!(Scene::new(pulled).end().0.silence, Some(LinkError::Gone)));
}

#[test]
fn a_card_that_stays_silent_after_power_on_is_switched_off_and_on_again_later() {
    let mute = || (POWER, Err(LinkError::Mute("worn out".into())));
    let script = vec![silent(START), mute(), mute(), mute(), sw(POWER, 0x9000), sw(START, 0x9000)];
    let mut scene = Scene::new(script);
    assert!(matches!(scene.step(), Next::Again { time: 1, .. }));
    assert!(matches!(scene.step(), Next::Again { time: 2, .. }));
    assert!(scene.end().0.result.success);
}

/// A card that hangs until its power is cut.
struct Hanging {
    off: Mutex<bool>,
    cut: Condvar,
}

impl PowerSwitch for Hanging {
    fn cut(&self) {
        *self.off.lock().unwrap() = true;
        self.cut.notify_all();
    }
}

#[test]
fn a_card_that_hangs_is_taken_for_one_without_power() {
    let power = Arc::new(Hanging { off: Mutex::new(false), cut: Condvar::new() });
    let hanging = Arc::clone(&power);
    let mut hangs = true;
    let card = Scripted::new(move |command| match command[1] {
        START if std::mem::take(&mut hangs) => {
            let off = hanging.off.lock().unwrap();
            drop(hanging.cut.wait_while(off, |off| !*off).unwrap());
            Err(LinkError::PowerCut)
        }
        ASK => told(record(IssueState::Unfinished, 7, 2, 2)).1,
        _ => Ok(Answer::status(0x9000)),
    })
    .with_power(power);
    let mut scene = Scene::new(vec![]);
    scene.sent = card.sent.clone();
    scene.manager = Manager::new(Box::new(card), None, true);
    let limit = Duration::from_millis(10);
    scene.manager.sender_mut().set_limits(Limits { answer: limit, command: Duration::from_millis(1) });
    assert!(matches!(scene.step(), Next::Again { .. }));
    let waited = Duration::from_millis(19);
    assert!(matches!(scene.conduct.silence(), Some(LinkError::NoAnswer(time)) if *time == waited));
    let (end, sent) = scene.end();
    assert!(end.result.success);
    assert_eq!(sent, [START, POWER, ASK, START]);
}
