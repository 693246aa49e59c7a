//! A LOAD or INSTALL that fails, at whatever point and for whatever reason, gives back every byte it took.

mod common;

use common::{Bench, builder_of, bytes};
use smcard_batch::aid::Aid;
use smcard_batch::issue::{Blocks, Recovery};
use smcard_batch::{Batch, CommandApdu, StatusWord};
use smcard_card::applet::{Applet, AppletMemory, AppletResult, Runtime};
use smcard_card::scp03::HostSession;
use smcard_card::{CreateOptions, OpenOptions};
use smcard_fixtures as fixtures;
use smcard_link::SecureCard;

const PACKAGE: &str = "08F0534D4341524401";
const DELETE_ALL: &str = "80E400800A4F08F0534D434152440100";

/// What goes wrong in the place of a command.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// A wrong MAC.
    Mac,
    /// A block number that is not the next.
    Block,
    /// "Last block" too early, or not.
    Last,
    /// A byte too many.
    Long,
    /// Another command in between.
    Between,
    /// Another INSTALL [for load] in between.
    Again,
    /// SELECT.
    Select,
    /// A new session.
    Session,
    /// The power goes.
    Power,
}

const FAULTS: [Fault; 9] = [
    Fault::Mac,
    Fault::Block,
    Fault::Last,
    Fault::Long,
    Fault::Between,
    Fault::Again,
    Fault::Select,
    Fault::Session,
    Fault::Power,
];

/// The commands that load and install the tag, in small blocks.
fn commands() -> Vec<Vec<u8>> {
    let file = builder_of(&fixtures::ndef_cap(), Blocks::Size(60), Recovery::None).finish().expect("a batch");
    let batch = Batch::parse(&file).expect("a batch");
    batch.commands().map(|command| command.apdu.to_vec().expect("short")).collect()
}

fn send(bench: &mut Bench, host: &mut HostSession, command: &[u8]) -> u16 {
    bench.secured(host, &CommandApdu::parse(command).expect("a command")).sw
}

fn strike(bench: &mut Bench, host: &mut HostSession, fault: Fault, command: &[u8]) {
    let parsed = CommandApdu::parse(command).expect("a command");
    let refused = |sw: u16| assert_ne!(sw, 0x9000, "{fault:?}");
    match fault {
        Fault::Mac => {
            let mut wrapped = host.wrap(&parsed).expect("fits");
            wrapped[7] ^= 1;
            assert_eq!(bench.card().transmit(&wrapped).expect("an answer").sw, 0x6982);
        }
        Fault::Block => refused(bench.secured(host, &CommandApdu { p2: parsed.p2 ^ 0x40, ..parsed }).sw),
        Fault::Last => {
            let sw = bench.secured(host, &CommandApdu { p1: parsed.p1 ^ 0x80, ..parsed }).sw;
            if parsed.p1 & 0x80 == 0 {
                refused(sw);
            } else {
                // All is there, but for the word that it is; nothing comes any more.
                assert_eq!((sw, bench.sw("00A4040000")), (0x9000, 0x9000));
            }
        }
        Fault::Long => {
            let longer = [parsed.data, &[0xAA; 60]].concat();
            let last = CommandApdu { data: &longer, p1: parsed.p1 | 0x80, ..parsed };
            refused(bench.secured(host, &last).sw);
        }
        Fault::Between => assert_eq!(send(bench, host, &bytes("80F28002024F0000")), 0x9000),
        Fault::Again => {
            let again = format!("80E602000D {PACKAGE} 00000000 00");
            send(bench, host, &bytes(&again));
        }
        Fault::Select => assert_eq!(bench.sw("00A4040000"), 0x9000),
        Fault::Session => assert_eq!(bench.sw("80500000080102030405060708 00"), 0x9000),
        Fault::Power => bench.card().reset().expect("the power comes back"),
    }
}

#[test]
fn whatever_goes_wrong_in_a_load_gives_all_its_room_back() {
    let commands = commands();
    let loads = commands.iter().filter(|command| command[1] == 0xE8).count();
    assert!(loads >= 5, "{loads} blocks");
    let mut bench = Bench::new(&CreateOptions { size: 2 << 20, ..CreateOptions::default() });
    let free = bench.free();
    let mut points = 0;
    for at in 1..=loads {
        for fault in FAULTS {
            let mut host = bench.authenticate_at(0x33);
            for command in &commands[..at] {
                assert_eq!(send(&mut bench, &mut host, command), 0x9000);
            }
            assert_eq!(bench.free() < free, at > 1, "the room is taken with the first block");
            strike(&mut bench, &mut host, fault, &commands[at]);
            assert_eq!(bench.free(), free, "{fault:?} in the place of command {}", at + 1);
            points += 1;
        }
    }
    println!("{points} failing points, free memory as before in each");
    let mut host = bench.authenticate_at(0x33);
    for command in &commands {
        assert_eq!(send(&mut bench, &mut host, command), 0x9000, "and then it works");
    }
    assert_eq!(send(&mut bench, &mut host, &bytes(DELETE_ALL)), 0x9000);
    assert_eq!(bench.free(), free);
}

/// An applet that takes room and then does not want to be installed.
struct Reluctant;

impl Applet for Reluctant {
    fn install(&mut self, memory: &mut dyn AppletMemory, parameters: &[u8]) -> Result<(), StatusWord> {
        memory.write(&[0x5A; 9000])?;
        match parameters {
            [] => Ok(()),
            [high, low] => Err(StatusWord(u16::from_be_bytes([*high, *low]))),
            _ => memory.write(&vec![0x5A; 16 * 1024 + 1]),
        }
    }

    fn select(&mut self, _: &mut dyn AppletMemory) -> Result<(), StatusWord> {
        Ok(())
    }

    fn process(&mut self, _: &mut dyn AppletMemory, _: &CommandApdu<'_>) -> AppletResult {
        Ok(Vec::new())
    }
}

struct Reluctants;

impl Runtime for Reluctants {
    fn applet(&self, _: &Aid, _: &[u8], _: &Aid) -> Option<Box<dyn Applet>> {
        Some(Box::new(Reluctant))
    }
}

#[test]
fn whatever_goes_wrong_in_an_installation_leaves_the_card_as_it_was() {
    let commands = commands();
    let mut bench = Bench::new(&CreateOptions { size: 2 << 20, ..CreateOptions::default() });
    bench.open(OpenOptions { runtime: Box::new(|| Box::new(Reluctants)), ..OpenOptions::default() });
    let mut host = bench.authenticate_at(0x33);
    for command in commands.iter().filter(|command| command[1] == 0xE8 || command[2] == 0x02) {
        assert_eq!(send(&mut bench, &mut host, command), 0x9000);
    }
    let free = bench.free();
    let install = |p1: &str, tail: &str| {
        let data = format!("{PACKAGE} 09F0534D434152440101 05F000000001 {tail}");
        bytes(&format!("80E6{p1}00 {:02X} {data} 00", bytes(&data).len()))
    };
    let cases = [
        (install("0C", "0100 04C9026985 00"), 0x6985, "the applet refuses"),
        (install("0C", "0100 04C9026F00 00"), 0x6F00, "for no reason it tells"),
        (install("0C", "0100 05C903000000 00"), 0x6A84, "it wants more than there is"),
        (install("04", "0100 04C9026985 00"), 0x6985, "without being made selectable"),
        (install("0C", "0180 02C900 00"), 0x6A80, "a privilege that is not served"),
        (install("0C", "0100 02C900 01AA"), 0x6A80, "a token"),
        (install("0C", "0100 02C901 00"), 0x6A80, "parameters cut short"),
        (install("0C", "0100 02C900"), 0x6A80, "a field is missing"),
        (install("4C", "0100 02C900 00"), 0x6A86, "no such INSTALL"),
    ];
    for (command, sw, why) in &cases {
        assert_eq!(send(&mut bench, &mut host, command), *sw, "{why}");
        assert_eq!(bench.free(), free, "{why}");
        assert_eq!(send(&mut bench, &mut host, &bytes("80F24002024F0000")), 0x6A88, "{why}: no application");
    }
    assert_eq!(send(&mut bench, &mut host, &install("0C", "0100 02C900 00")), 0x9000);
    assert_eq!(send(&mut bench, &mut host, &bytes("80E40000074F05F00000000100")), 0x9000);
    assert_eq!(bench.free(), free);
}
