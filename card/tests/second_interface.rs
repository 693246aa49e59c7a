//! A second interface of the card: a session of its own, power of its own, and no part in an issue.

mod common;

use common::{Bench, batch, builder_of, bytes, start_command};
use smcard_batch::issue::{Blocks, Recovery};
use smcard_batch::{Batch, CommandApdu};
use smcard_card::scp03::{HostHandshake, HostSession, SecurityLevel, StaticKeys};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions, SecondInterface};
use smcard_fixtures as fixtures;
use smcard_link::{Answer, LinkError, PrivilegeKind, SecureCard};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const NDEF: &str = "00A4040009F0534D434152440101";
const CARD_MANAGER: &str = "00A4040000";
const MEMORY: &str = "80CADF7300";

fn send(interface: &SecondInterface, hex: &str) -> u16 {
    interface.transmit(&bytes(hex)).expect("an answer").sw
}

fn authenticate(interface: &SecondInterface) -> HostSession {
    let (handshake, command) = HostHandshake::begin(0, [0xA5; 8]);
    let answer = interface.transmit(&command).expect("an answer");
    let level = SecurityLevel::from_p1(0x03).expect("a level");
    let (session, command) = handshake.finish(&StaticKeys::test(), level, &answer.data).expect("the test keys");
    assert_eq!(interface.transmit(&command).expect("an answer").sw, 0x9000);
    session
}

fn secured(interface: &SecondInterface, session: &mut HostSession, command: &CommandApdu<'_>) -> Answer {
    let answer = interface.transmit(&session.wrap(command).expect("fits")).expect("an answer");
    session.unwrap(answer).expect("the response's MAC")
}

/// Sends the commands of a batch over an interface, up to and without the one at `end`.
fn load(interface: &SecondInterface, session: &mut HostSession, file: &[u8], end: usize) -> u16 {
    let batch = Batch::parse(file).expect("a batch");
    let mut answers = batch.commands().take(end).map(|command| secured(interface, session, &command.apdu).sw);
    answers.find(|sw| *sw != 0x9000).unwrap_or(0x9000)
}

fn ndef(blocks: Blocks) -> Vec<u8> {
    builder_of(&fixtures::ndef_cap(), blocks, Recovery::None).finish().expect("a batch")
}

fn short_blocks() -> Vec<u8> {
    ndef(Blocks::Size(64))
}

#[test]
fn each_interface_has_its_own_current_application_and_secure_channel() {
    let mut bench = Bench::standard();
    let id = bench.upload("a", &ndef(Blocks::default()));
    assert_eq!(bench.start(id).sw, 0x9000);
    let second = bench.card().second_interface();
    let third = bench.card().second_interface();
    let mut session = bench.authenticate();
    let status = bytes("80F28002024F0000");
    let status = CommandApdu::parse(&status).expect("a command");
    assert_eq!(send(&second, "80F28002024F0000"), 0x6982, "who is authenticated here is not there");
    assert_eq!(send(&second, NDEF), 0x9000);
    assert_eq!(send(&second, "00A4000C02E103"), 0x9000, "a file of the tag");
    assert_eq!(send(&third, "00A4000C02E103"), 0x6D00, "not the tag's");
    assert_eq!(bench.secured(&mut session, &status).sw, 0x9000, "the first knows nothing of it");
    let mut other = authenticate(&third);
    assert_eq!(secured(&third, &mut other, &status).sw, 0x9000);
    second.power_down();
    third.power_up().expect("power");
    assert_eq!(send(&third, "80F28002024F0000"), 0x6982, "a reset ends a session");
    assert_eq!(bench.secured(&mut session, &status).sw, 0x9000, "and no other");
    assert!(matches!(second.transmit(&bytes(CARD_MANAGER)), Err(LinkError::PowerCut)), "no power, no answer");
}

#[test]
fn a_load_that_a_power_down_ends_gives_its_room_back_and_disturbs_no_other() {
    let mut bench = Bench::standard();
    let second = bench.card().second_interface();
    let free = bench.free();
    let file = short_blocks();
    let mut session = authenticate(&second);
    let before = bench.free();
    assert_eq!(load(&second, &mut session, &file, 4), 0x9000);
    assert!(bench.free() < before, "room is reserved");
    second.power_down();
    assert_eq!(bench.free(), free.min(before));
    second.power_up().expect("power");
    let mut session = authenticate(&second);
    assert_eq!(load(&second, &mut session, &file, usize::MAX), 0x9000, "from the beginning");
    assert_eq!(send(&second, NDEF), 0x9000);
    assert_eq!(bench.sw(NDEF), 0x9000, "content is the card's, not the interface's");
}

#[test]
fn of_two_loads_of_one_package_the_slower_is_refused() {
    let mut bench = Bench::standard();
    let second = bench.card().second_interface();
    let third = bench.card().second_interface();
    let file = short_blocks();
    let (mut one, mut two) = (authenticate(&second), authenticate(&third));
    let batch = Batch::parse(&file).expect("a batch");
    let loads = batch.commands().filter(|command| matches!(command.apdu.ins, 0xE8)).count();
    let mut last = (0, 0);
    for command in batch.commands().take(loads + 1) {
        last = (secured(&second, &mut one, &command.apdu).sw, secured(&third, &mut two, &command.apdu).sw);
    }
    assert_eq!(last, (0x9000, 0x6985));
    let id = bench.upload("a", &file);
    assert_eq!(bench.start(id).sw, 0x6985, "the package is there once");
}

#[test]
fn an_issue_that_is_faster_than_a_load_wins() {
    let mut bench = Bench::standard();
    let file = short_blocks();
    let id = bench.upload("a", &file);
    let second = bench.card().second_interface();
    let mut session = authenticate(&second);
    let batch = Batch::parse(&file).expect("a batch");
    let loads = batch.commands().filter(|command| command.apdu.ins == 0xE8).count();
    assert_eq!(load(&second, &mut session, &file, loads), 0x9000, "all but the last block");
    assert_eq!(bench.start(id).sw, 0x9000);
    let last = batch.commands().nth(loads).expect("the last block").apdu;
    assert_eq!(secured(&second, &mut session, &last).sw, 0x6985);
    assert_eq!(send(&second, NDEF), 0x9000);
}

#[test]
fn an_application_deleted_elsewhere_answers_no_more() {
    let mut bench = Bench::standard();
    let id = bench.upload("a", &ndef(Blocks::default()));
    assert_eq!(bench.start(id).sw, 0x9000);
    let second = bench.card().second_interface();
    assert_eq!(send(&second, NDEF), 0x9000);
    let delete = bytes("80E400800B4F09F0534D434152440101");
    let again = batch(&["80E40080 0A 4F08F0534D4341524401"]);
    let mut session = bench.authenticate();
    assert_eq!(bench.secured(&mut session, &CommandApdu::parse(&delete).expect("a command")).sw, 0x9000);
    assert_eq!(send(&second, "00A4000C02E103"), 0x6985);
    assert_eq!(send(&second, "80F28002024F0000"), 0x6985, "nor does the card manager in its stead");
    assert_eq!(send(&second, NDEF), 0x6A82);
    // Deleted and made again by issues, it is another application.
    let gone = bench.upload("b", &again);
    assert_eq!(bench.start(gone).sw, 0x9000);
    assert_eq!(bench.start(id).sw, 0x9000);
    assert_eq!(send(&second, NDEF), 0x9000);
    assert_eq!(bench.start(gone).sw, 0x9000);
    assert_eq!(bench.start(id).sw, 0x9000);
    assert_eq!(send(&second, "00A4000C02E103"), 0x6985);
    assert_eq!(send(&second, NDEF), 0x9000);
}

#[test]
fn its_power_neither_waits_for_an_issue_nor_cuts_it() {
    let mut bench = Bench::new(&CreateOptions { size: 4 << 20, ..CreateOptions::default() });
    bench.open(OpenOptions { command_delay: Duration::from_millis(40), ..OpenOptions::default() });
    let id = bench.upload("a", &batch(&["80CA006600"; 10]));
    let second = bench.card().second_interface();
    let _session = authenticate(&second);
    let mut card = bench.card.take().expect("a card");
    let issue = thread::spawn(move || (card.transmit(&start_command(id, 0)), card));
    thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    for _ in 0..10 {
        second.power_down();
        second.power_up().expect("the card is busy, not gone");
        assert!(matches!(second.transmit(&bytes(CARD_MANAGER)), Err(LinkError::NoAnswer(_))));
    }
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    let (answer, _card) = issue.join().expect("no panic");
    assert_eq!(answer.expect("an answer").sw, 0x9000);
    assert_eq!(send(&second, "80F28002024F0000"), 0x6982, "the power took the session, if late");
}

#[test]
fn a_held_card_is_left_by_its_select_and_not_by_its_power() {
    let options = CreateOptions { size: 4 << 20, privilege: PrivilegeKind::Hold, ..CreateOptions::default() };
    let mut bench = Bench::new(&options);
    let id = bench.upload("a", &batch(&["80CA006600"]));
    let second = bench.card().second_interface();
    assert_eq!(bench.start(id).sw, 0x9000);
    second.power_down();
    second.power_up().expect("power");
    for _ in 0..2 {
        assert!(matches!(second.transmit(&bytes(MEMORY)), Err(LinkError::NoAnswer(_))));
        assert!(matches!(bench.card().transmit(&bytes(MEMORY)), Err(LinkError::NoAnswer(_))));
    }
    assert_eq!(send(&second, "00A4040007A0000000620199"), 0x6A82, "a SELECT that selects nothing");
    assert!(matches!(bench.card().transmit(&bytes(MEMORY)), Err(LinkError::NoAnswer(_))));
    assert_eq!(send(&second, CARD_MANAGER), 0x9000);
    assert_eq!((bench.sw(MEMORY), send(&second, MEMORY)), (0x9000, 0x9000));
}

#[test]
fn after_a_reset_of_the_card_its_host_has_to_notice() {
    let mut bench = Bench::standard();
    let second = bench.card().second_interface();
    assert_eq!(send(&second, CARD_MANAGER), 0x9000);
    bench.card().reset().expect("power");
    assert!(matches!(second.transmit(&bytes(CARD_MANAGER)), Err(LinkError::PowerCut)));
    second.power_up().expect("power");
    assert_eq!(send(&second, CARD_MANAGER), 0x9000);
    let other = second.clone();
    other.power_down();
    assert!(matches!(second.transmit(&bytes(CARD_MANAGER)), Err(LinkError::PowerCut)), "clones are one interface");
}

#[test]
fn it_does_not_keep_the_card() {
    let mut bench = Bench::standard();
    let second = bench.card().second_interface();
    assert!(second.is_present());
    drop(bench.card.take());
    assert!(!second.is_present());
    assert!(matches!(second.transmit(&bytes(CARD_MANAGER)), Err(LinkError::Gone)));
    assert!(matches!(second.power_up(), Err(LinkError::Gone)));
    second.power_down();
    assert!(EmulatedCard::open(&bench.path, OpenOptions::default()).is_ok(), "the image is free");
}

#[test]
fn hammering_it_disturbs_no_issue_and_gets_no_answer_out_of_turn() {
    const ISSUES: usize = 300;
    let mut bench = Bench::standard();
    let again = batch(&["80E40080 0A 4F08F0534D4341524401"]);
    let (id, gone) = (bench.upload("a", &ndef(Blocks::default())), bench.upload("b", &again));
    let second = bench.card().second_interface();
    let ended = AtomicBool::new(false);
    let (answers, silences) = thread::scope(|scope| {
        let hammer = scope.spawn(|| {
            let (mut answers, mut silences) = (0_u32, 0_u32);
            // Each command has an answer that is its own.
            let commands = [("80CADF7300", 20), ("80CA9F7F00", 45), ("80CADF7200", 20), ("80FE0000", 0)];
            for (command, length) in commands.iter().cycle() {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                match second.transmit(&bytes(command)) {
                    Ok(answer) => {
                        answers += 1;
                        assert!(answer.sw == 0x9000 || length == &0 || answer.sw == 0x6A88, "{command} {answer:?}");
                        if answer.sw == 0x9000 && command.starts_with("80CADF") {
                            assert_eq!(hex_of(&answer.data[..2]), command[4..8], "{answer:?}");
                        }
                    }
                    Err(LinkError::NoAnswer(_)) => silences += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            (answers, silences)
        });
        for turn in 0..ISSUES {
            assert_eq!(bench.start(if turn % 2 == 0 { id } else { gone }).sw, 0x9000, "issue {turn}");
        }
        ended.store(true, Ordering::Release);
        hammer.join().expect("no panic")
    });
    assert!(answers > 0 && silences > 0, "{answers} answers, {silences} silences");
    assert_eq!(send(&second, MEMORY), 0x9000);
}

fn hex_of(bytes: &[u8]) -> String {
    common::hex(bytes)
}
