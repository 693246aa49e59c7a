//! What applications ask of the card: their privileges decide.

mod common;

use common::{Bench, batch_of, bytes};
use smcard_batch::aid::Aid;
use smcard_batch::issue::{Blocks, Recovery};
use smcard_batch::{CommandApdu, StatusWord};
use smcard_card::applet::{Applet, AppletMemory, AppletResult, Runtime};
use smcard_card::{LifeCycle, OpenOptions};
use smcard_fixtures as fixtures;

/// An applet that asks for what it is told: 01 state of the card, 02 and 03 lock and unlock an application, 04 own state.
struct Asking;

impl Applet for Asking {
    fn install(&mut self, _: &mut dyn AppletMemory, _: &[u8]) -> Result<(), StatusWord> {
        Ok(())
    }

    fn select(&mut self, _: &mut dyn AppletMemory) -> Result<(), StatusWord> {
        Ok(())
    }

    fn process(&mut self, memory: &mut dyn AppletMemory, command: &CommandApdu<'_>) -> AppletResult {
        let aid = || Aid::new(command.data).or(Err(StatusWord::WRONG_DATA));
        match command.ins {
            0x01 => memory.set_card_state(LifeCycle::from_byte(command.p1).ok_or(StatusWord::WRONG_P1_P2)?),
            0x02 => memory.lock_application(&aid()?, true),
            0x03 => memory.lock_application(&aid()?, false),
            0x04 => memory.set_state(command.p1),
            _ => Err(StatusWord::INS_UNSUPPORTED),
        }?;
        Ok(Vec::new())
    }
}

struct Askings;

impl Runtime for Askings {
    fn applet(&self, _: &Aid, _: &[u8], _: &Aid) -> Option<Box<dyn Applet>> {
        Some(Box::new(Asking))
    }
}

/// A card in the state SECURED with two applications, of these privileges and of none.
fn card(privileges: &str) -> Bench {
    let mut bench = Bench::standard();
    bench.open(OpenOptions { runtime: Box::new(|| Box::new(Askings)), ..OpenOptions::default() });
    let id = bench.upload("app", &batch_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None));
    assert_eq!(bench.start(id).sw, 0x9000);
    let mut host = bench.authenticate_at(0x33);
    for (aid, privileges) in [("05F0000000AA", privileges), ("05F0000000BB", "000000")] {
        let data = format!("08F0534D4341524401 09F0534D434152440101 {aid} 03{privileges} 02C900 00");
        let command = bytes(&format!("80E60C00 {:02X} {data} 00", bytes(&data).len()));
        assert_eq!(bench.secured(&mut host, &CommandApdu::parse(&command).expect("a command")).sw, 0x9000);
    }
    assert_eq!(bench.secured(&mut host, &CommandApdu::new(0x80, 0xF0, 0x80, 0x0F, &[])).sw, 0x9000);
    assert_eq!(bench.sw("00A4040005F0000000AA"), 0x9000);
    bench
}

#[test]
fn the_card_is_locked_and_terminated_only_with_the_privilege() {
    let (lock, terminate) = ("80017F00", "8001FF00");
    for (privileges, locks, terminates) in
        [("000000", 0x6982, 0x6982), ("100000", 0x9000, 0x6982), ("080000", 0x6982, 0x9000), ("000800", 0x6982, 0x6982)]
    {
        assert_eq!(card(privileges).sw(lock), locks, "{privileges} locks");
        assert_eq!(card(privileges).sw(terminate), terminates, "{privileges} terminates");
    }
    let mut bench = card("180000");
    assert_eq!(bench.sw("80010700"), 0x6A80, "no other state");
    assert_eq!(bench.sw(lock), 0x9000);
    assert_eq!(bench.sw(terminate), 0x6985, "on a locked card nobody asks for anything");
    bench.reopen();
    assert_eq!(bench.sw("00A4040005F0000000AA"), 0x6A82);
    assert_eq!(bench.sw("00A4040000"), 0x6283);
}

#[test]
fn applications_are_locked_with_global_lock_and_each_may_lock_itself() {
    let mut bench = card("000000");
    assert_eq!(bench.sw("8002000005F0000000BB"), 0x6982);
    assert_eq!(bench.sw("8003000005F0000000BB"), 0x6982);
    assert_eq!(bench.sw("8002000005F0000000AA"), 0x9000, "itself");
    assert_eq!(bench.sw("8003000005F0000000AA"), 0x6982, "but not back");
    assert_eq!(bench.sw("00A4040005F0000000AA"), 0x6A82);

    let mut bench = card("000800");
    assert_eq!(bench.sw("8002000005F0000000BB"), 0x9000);
    assert_eq!(bench.sw("8002000005F0000000BB"), 0x6985, "locked already");
    assert_eq!(bench.sw("8002000005F0000000CC"), 0x6A88);
    assert_eq!(bench.sw("00A4040005F0000000BB"), 0x6A82);
    assert_eq!(bench.sw("8003000005F0000000BB"), 0x9000, "the refused SELECT has left it current");
    assert_eq!(bench.sw("00A4040005F0000000BB"), 0x9000);
}

#[test]
fn an_application_has_states_of_its_own_and_is_locked_in_any() {
    let mut bench = card("000000");
    for (state, sw) in [("0F", 0x9000), ("7F", 0x9000), ("07", 0x9000), ("03", 0x6A80), ("08", 0x6A80), ("87", 0x6A80)]
    {
        assert_eq!(bench.sw(&format!("8004{state}00")), sw, "{state}");
    }
    assert_eq!(bench.sw("80042F00"), 0x9000);
    bench.send("00A4040000");
    let mut host = bench.authenticate_at(0x33);
    let mut state = |bench: &mut Bench| {
        let command = bytes("80F240020B4F05F0000000AA5C029F7000");
        let answer = bench.secured(&mut host, &CommandApdu::parse(&command).expect("a command"));
        *answer.data.last().expect("a state")
    };
    assert_eq!(state(&mut bench), 0x2F);
    let mut host = bench.authenticate_at(0x33);
    let lock = CommandApdu::new(0x80, 0xF0, 0x40, 0x80, &[0xF0, 0, 0, 0, 0xAA]);
    assert_eq!(bench.secured(&mut host, &lock).sw, 0x9000);
    let unlock = CommandApdu::new(0x80, 0xF0, 0x40, 0x07, &[0xF0, 0, 0, 0, 0xAA]);
    assert_eq!(bench.secured(&mut host, &unlock).sw, 0x9000);
    let command = bytes("80F240020B4F05F0000000AA5C029F7000");
    let answer = bench.secured(&mut host, &CommandApdu::parse(&command).expect("a command"));
    assert_eq!(answer.data.last(), Some(&0x2F), "back in the state before the lock");
}

#[test]
fn while_an_issue_is_unfinished_nothing_is_built_on_it() {
    let mut bench = card("180800");
    bench.send("00A4040000");
    let id = bench.upload("failing", &common::batch(&["80F0400705F0000000CC"]));
    assert_eq!(bench.start(id).sw, 0x6A88);
    assert_eq!(bench.sw("00A4040005F0000000AA"), 0x9000);
    for command in ["80017F00", "8002000005F0000000BB", "80040F00"] {
        assert_eq!(bench.sw(command), 0x6985, "{command}");
    }
    bench.send("00A4040000");
    assert_eq!(bench.sw("805C0000"), 0x9000);
    assert_eq!(bench.sw("00A4040005F0000000AA"), 0x9000);
    assert_eq!(bench.sw("80040F00"), 0x9000);
}
