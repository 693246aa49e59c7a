//! Three ways to the same card must not differ: the byte machine, the block path, and the native bus.

mod wire;

use proptest::collection::vec;
use proptest::prelude::*;
use smcard_card::sd::{Inspection, Profile, SpiCard};
use smcard_link::assd::{Checksum, DirectWrite, write_token};
use smcard_link::sd::{Command, Frame, crc16};
use smcard_link::{Clock, SpiBus};
use std::time::Duration;
use wire::native::{NativeHost, Trouble as NativeTrouble, seal};
use wire::spi::{SpiHost, Trouble as SpiTrouble};
use wire::{ISSUE_STATE, SELECT, authenticate, inline, new_card, options, pattern};

/// Something that a host does on SPI, right or wrong.
#[derive(Clone, Debug)]
enum Act {
    Command(u8, u32, bool),
    Application(u8, u32),
    Block {
        token: u8,
        kind: u8,
        length: usize,
        intact: bool,
    },
    Ones(usize),
    Noise(Vec<u8>),
    /// A command with its block, as one message, and some time to watch the card be busy.
    Write {
        index: u8,
        argument: u32,
        kind: u8,
        watched: usize,
    },
    /// A command, and time for what it sends.
    Read {
        index: u8,
        argument: u32,
        watched: usize,
    },
    Erase {
        from: u32,
        to: u32,
        watched: usize,
    },
    Select(bool),
    Clock(u32),
    Sleep(u16),
    Initialise,
}

fn argument() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0_u32..6,
        2 => Just(0x80FF_FF4F),
        1 => Just(0x80FF_FF1F),
        1 => Just(0x00FF_FFFF),
        1 => Just(0x4000_0000),
        1 => Just(0x4000_0001),
        1 => Just(512),
        1 => Just(32),
        1 => 2045_u32..2050,
        1 => (0_u8..8, 0_u16..4, 1_u16..4).prop_map(|(write, first, blocks)| DirectWrite::Data { write, first, blocks }.argument()),
        1 => (0_u8..3).prop_map(|write| DirectWrite::Commit { write }.argument()),
        1 => any::<u32>(),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let index = prop_oneof![
        8 => prop::sample::select(vec![6_u8, 12, 13, 16, 17, 18, 24, 25, 32, 33, 38, 34, 35, 36, 37, 50, 57]),
        2 => prop::sample::select(vec![0_u8, 8, 9, 10, 23, 42, 55, 58, 59]),
        1 => 0_u8..64,
    ];
    let token = prop_oneof![6 => prop::sample::select(vec![0xFE_u8, 0xFC]), 1 => Just(0xFD), 1 => any::<u8>()];
    prop_oneof![
        10 => (index, argument(), prop::bool::weighted(0.95)).prop_map(|(i, a, intact)| Act::Command(i, a, intact)),
        1 => (prop::sample::select(vec![6_u8, 13, 22, 23, 41, 42, 51]), argument()).prop_map(|(i, a)| Act::Application(i, a)),
        8 => (token, 0_u8..6, prop_oneof![9 => Just(512_usize), 1 => 0_usize..600], prop::bool::weighted(0.9))
            .prop_map(|(token, kind, length, intact)| Act::Block { token, kind, length, intact }),
        6 => (prop::sample::select(vec![24_u8, 35, 57]), 0_u32..2, 0_u8..6, 0_usize..400)
            .prop_map(|(index, argument, kind, watched)| Act::Write { index, argument, kind, watched }),
        6 => (prop::sample::select(vec![9_u8, 17, 18, 34, 36, 50]), 0_u32..2, 0_usize..1200)
            .prop_map(|(index, argument, watched)| Act::Read { index, argument, watched }),
        1 => (0_u32..9, 0_u32..2048, 0_usize..100).prop_map(|(from, to, watched)| Act::Erase { from, to, watched }),
        8 => prop_oneof![3 => 1_usize..20, 2 => 500_usize..1200].prop_map(Act::Ones),
        2 => vec(any::<u8>(), 1..40).prop_map(Act::Noise),
        2 => any::<bool>().prop_map(Act::Select),
        1 => prop::sample::select(vec![400_000_u32, 25_000_000]).prop_map(Act::Clock),
        1 => (0_u16..500).prop_map(Act::Sleep),
        1 => Just(Act::Initialise),
    ]
}

/// A block as a host might send it.
fn block(kind: u8, length: usize) -> Vec<u8> {
    let mut block = match kind {
        0 => write_token(&SELECT, Checksum::None).expect("fits"),
        1 => write_token(&ISSUE_STATE, Checksum::Crc32).expect("fits"),
        2 => {
            let mut open = [0; 512];
            open[..6].copy_from_slice(&[0, 0, 5, 0, 1, b'a']);
            seal(&mut open);
            open.to_vec()
        }
        3 => {
            let mut commit = [0; 512];
            seal(&mut commit);
            commit.to_vec()
        }
        // A block full of what looks like commands.
        4 => Command::new(24, 7).frame().0.repeat(86),
        _ => pattern(512, 77),
    };
    block.resize(length, 0xFF);
    block
}

fn bytes(act: &Act) -> Vec<u8> {
    let frame = |index, argument| Command::new(index, argument).frame();
    match act {
        Act::Command(index, argument, intact) => {
            let Frame(mut bytes) = frame(*index, *argument);
            bytes[5] ^= if *intact { 0 } else { 0x10 };
            [&bytes[..], &[0xFF; 3]].concat()
        }
        Act::Application(index, argument) => {
            [&frame(55, 0).0[..], &[0xFF; 4], &frame(*index, *argument).0, &[0xFF; 4]].concat()
        }
        Act::Block { token, kind, length, intact } => {
            let data = block(*kind, *length);
            let crc = crc16(&data) ^ u16::from(!*intact);
            [&[*token][..], &data, &crc.to_be_bytes(), &[0xFF; 4]].concat()
        }
        Act::Write { index, argument, kind, watched } => {
            let data = block(*kind, 512);
            let crc = crc16(&data).to_be_bytes();
            let gap = vec![0xFF; 12];
            [&frame(*index, *argument).0[..], &gap, &[0xFE], &data, &crc, &vec![0xFF; *watched]].concat()
        }
        Act::Read { index, argument, watched } => [&frame(*index, *argument).0[..], &vec![0xFF; *watched]].concat(),
        Act::Erase { from, to, watched } => {
            let frames = [(32, *from), (33, *to), (38, 0)];
            let said =
                frames.iter().flat_map(|(index, argument)| [&frame(*index, *argument).0[..], &[0xFF; 10]].concat());
            said.chain(vec![0xFF; *watched]).collect()
        }
        Act::Ones(count) => vec![0xFF; *count],
        Act::Noise(noise) => noise.clone(),
        Act::Select(_) | Act::Clock(_) | Act::Sleep(_) => Vec::new(),
        Act::Initialise => {
            let gap = [0xFF; 10];
            let frames =
                [(0, 0), (8, 0x1AA), (59, 1), (55, 0), (41, 1 << 30), (55, 0), (41, 1 << 30), (6, 0x80FF_FF4F)];
            let said = frames.iter().flat_map(|(index, argument)| [&frame(*index, *argument).0[..], &gap].concat());
            said.chain([0xFF; 100]).collect()
        }
    }
}

/// Plays the acts; `pieces` says where messages are divided. What came out, and how the card stands.
fn play(mut card: SpiCard, acts: &[Act], pieces: &[usize]) -> (Vec<u8>, Inspection, Duration) {
    let mut time = card.time();
    let mut pieces = pieces.iter().copied().cycle();
    let mut came = Vec::new();
    card.set_clock(25_000_000).expect("the controller");
    card.exchange(&mut [0xFF; 10]).expect("the controller");
    card.select(true).expect("the controller");
    for act in acts {
        match act {
            Act::Select(selected) => card.select(*selected).expect("the controller"),
            Act::Clock(hz) => drop(card.set_clock(*hz).expect("the controller")),
            Act::Sleep(ms) => time.sleep(Duration::from_millis(u64::from(*ms))),
            _ => {}
        }
        let mut bytes = bytes(act);
        let mut rest = &mut bytes[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at_mut(pieces.next().unwrap_or(1).clamp(1, rest.len()));
            card.exchange(piece).expect("the controller");
            rest = behind;
        }
        came.extend_from_slice(&bytes);
    }
    (came, card.inspect(), time.now())
}

fn any_profile() -> impl Strategy<Value = (&'static str, Profile)> {
    let words: Vec<_> = Profile::words().map(|(word, _)| word).collect();
    // Times of some bytes, so that their ends are seen.
    let time = || prop_oneof![2 => Just(None), 1 => (0_u64..100).prop_map(|us| Some(Duration::from_micros(us)))];
    (prop::sample::select(words), time(), time(), time()).prop_map(|(word, access, program, work)| {
        let mut profile = Profile::from_word(word).expect("a profile");
        profile.access_time = access.unwrap_or(profile.access_time);
        profile.program_time = program.unwrap_or(profile.program_time);
        profile.work_time = work.unwrap_or(profile.work_time);
        (word, profile)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Same bytes in: same bytes out, same card, same time; whatever the messages are cut into.
    #[test]
    fn the_block_path_is_the_byte_machine(
        (word, profile) in any_profile(),
        begun in prop::bool::weighted(0.9),
        acts in vec(act(), 1..60),
        pieces in vec(prop_oneof![1_usize..30, 400_usize..2000], 1..8),
    ) {
        let acts = if begun { [vec![Act::Initialise], acts].concat() } else { acts };
        let card = || new_card().into_spi(options(profile.clone(), inline(1))).expect("a card");
        let truth = play(card().bytewise(), &acts, &[1 << 20]);
        let path = play(card(), &acts, &pieces);
        let differs = truth.0.iter().zip(&path.0).position(|(a, b)| a != b);
        prop_assert_eq!(differs, None, "{}", word);
        prop_assert_eq!(truth.1, path.1);
        prop_assert_eq!(truth.2, path.2);
    }
}

/// Something that a host does on either bus.
#[derive(Clone, Debug)]
enum Deed {
    Read { at: u32, blocks: u32 },
    Write { at: u32, blocks: u32, seed: u32 },
    Erase { from: u32, to: u32 },
    EraseAlone,
    Switch(u32),
    BlockLength(u32),
    Register(u32),
    Secure { argument: u32, kind: u8 },
    Answer(u32),
    Control(u32),
    Direct { argument: u32, kind: u8 },
    DirectRead(u32),
    Plain(u8, u32),
}

fn deed() -> impl Strategy<Value = Deed> {
    let at = prop_oneof![8 => 0_u32..8, 1 => 2040_u32..2050];
    let direct = prop_oneof![
        2 => Just(0_u32),
        3 => (0_u8..2, 0_u16..5, 1_u16..4).prop_map(|(write, first, blocks)| DirectWrite::Data { write, first, blocks }.argument()),
        1 => (2_u32..4, 0_u32..2).prop_map(|(operation, write)| operation << 30 | write << 27),
        1 => any::<u32>(),
    ];
    let count = prop_oneof![4 => Just(1_u32), 1 => 0_u32..4, 1 => Just(0x4000_0001), 1 => any::<u32>()];
    prop_oneof![
        4 => (at.clone(), 1_u32..4).prop_map(|(at, blocks)| Deed::Read { at, blocks }),
        4 => (at.clone(), 1_u32..4, 0_u32..9).prop_map(|(at, blocks, seed)| Deed::Write { at, blocks, seed }),
        1 => (at.clone(), at).prop_map(|(from, to)| Deed::Erase { from, to }),
        1 => Just(Deed::EraseAlone),
        3 => prop::sample::select(vec![0x00FF_FFFF_u32, 0x80FF_FF4F, 0x80FF_FF1F, 0x80FF_FF0F, 0x80FF_FFF1, 0x80FF_FF25])
            .prop_map(Deed::Switch),
        1 => prop::sample::select(vec![512_u32, 32, 0, 513]).prop_map(Deed::BlockLength),
        6 => prop_oneof![8 => Just(0_u32), 1 => Just(4), 1 => 0_u32..9].prop_map(Deed::Register),
        5 => (count.clone(), 0_u8..6).prop_map(|(argument, kind)| Deed::Secure { argument, kind }),
        4 => count.prop_map(Deed::Answer),
        1 => prop::sample::select(vec![1_u32, 0x101, 0x201, 2]).prop_map(Deed::Control),
        5 => (direct, 0_u8..6).prop_map(|(argument, kind)| Deed::Direct { argument, kind }),
        2 => prop::sample::select(vec![0_u32, 0x4000_0000, 0x4800_0000, 7]).prop_map(Deed::DirectRead),
        1 => (prop::sample::select(vec![12_u8, 42, 27, 56, 60]), 0_u32..3).prop_map(|(i, a)| Deed::Plain(i, a)),
    ]
}

/// What either bus says of a deed, in the words of SPI.
type Came = Result<Vec<u8>, u8>;

trait Bus {
    fn read(&mut self, index: u8, argument: u32, length: usize, blocks: u32) -> Came;
    fn write(&mut self, index: u8, argument: u32, data: &[u8]) -> Came;
    fn plain(&mut self, index: u8, argument: u32) -> Came;
    fn high(&self) -> bool;
}

const ILLEGAL: u8 = 0x04;

impl Bus for NativeHost {
    fn read(&mut self, index: u8, argument: u32, length: usize, blocks: u32) -> Came {
        let read = self.read(index, argument, length, blocks as usize);
        let stopped = if self.card.inspect().in_transfer { self.plain(12, 0) } else { Ok(Vec::new()) };
        read.map_err(native).and_then(|data| stopped.map(|_| data))
    }

    fn write(&mut self, index: u8, argument: u32, data: &[u8]) -> Came {
        let wrote = self.write(index, argument, data);
        // What a block came to is in the next status; SPI has it in the data response.
        let stopped = self.card.inspect().in_transfer && self.command(12, 0).is_err();
        let failed = self.command(13, self.rca).is_err() || stopped || wrote == Err(NativeTrouble::Nothing);
        if failed { Err(0x0D) } else { wrote.map(|()| Vec::new()).map_err(native) }
    }

    fn plain(&mut self, index: u8, argument: u32) -> Came {
        let came = self.command(index, argument).map(|_| Vec::new()).map_err(native);
        self.not_busy().expect("not busy");
        if self.card.inspect().in_transfer {
            let _ = self.command(12, 0);
        }
        came
    }

    fn high(&self) -> bool {
        self.high
    }
}

fn native(trouble: NativeTrouble) -> u8 {
    use smcard_link::sd::CardStatus as S;
    match trouble {
        NativeTrouble::NoResponse => ILLEGAL,
        NativeTrouble::Refused(status) if status.contains(S::ADDRESS_ERROR) => 0x20,
        NativeTrouble::Refused(status) if status.contains(S::ERASE_SEQ_ERROR) => 0x10,
        NativeTrouble::Refused(_) => 0x40,
        NativeTrouble::Nothing => 0x08,
        NativeTrouble::Crc => 0x0B,
        NativeTrouble::Busy => panic!("busy for ever"),
    }
}

impl Bus for SpiHost {
    fn read(&mut self, index: u8, argument: u32, length: usize, blocks: u32) -> Came {
        let read = self.read(index, argument, length, blocks as usize);
        if index == 18 && self.bus.inspect().in_transfer {
            let _ = self.command(12, 0, false);
        }
        let _ = self.command(13, 0, false);
        read.map_err(spi)
    }

    fn write(&mut self, index: u8, argument: u32, data: &[u8]) -> Came {
        let wrote = self.write(index, argument, data);
        let _ = self.command(13, 0, false);
        wrote.map(|()| Vec::new()).map_err(spi)
    }

    fn plain(&mut self, index: u8, argument: u32) -> Came {
        let came = self.command(index, argument, false).map(|_| Vec::new()).map_err(spi);
        if self.bus.inspect().in_transfer {
            let _ = self.command(12, 0, false);
        }
        came
    }

    fn high(&self) -> bool {
        self.high
    }
}

fn spi(trouble: SpiTrouble) -> u8 {
    match trouble {
        SpiTrouble::R1(r1) => r1,
        SpiTrouble::Silent => ILLEGAL,
        SpiTrouble::NoData(_) => 0x08,
        SpiTrouble::Crc => 0x0B,
        SpiTrouble::Response(response) => response & 0x1F,
        SpiTrouble::Busy => panic!("busy for ever"),
    }
}

fn perform(bus: &mut impl Bus, deed: &Deed, psi: usize) -> Came {
    let scale = if bus.high() { 1 } else { 512 };
    match deed {
        Deed::Read { at, blocks } => bus.read(if *blocks == 1 { 17 } else { 18 }, at * scale, 512, *blocks),
        Deed::Write { at, blocks, seed } => {
            let data = pattern(*blocks as usize * 512, *seed);
            bus.write(if *blocks == 1 { 24 } else { 25 }, at * scale, &data)
        }
        Deed::Erase { from, to } => {
            bus.plain(32, from * scale)?;
            bus.plain(33, to * scale)?;
            bus.plain(38, 0)
        }
        Deed::EraseAlone => bus.plain(38, 0),
        Deed::Switch(argument) => bus.read(6, *argument, 64, 1),
        Deed::BlockLength(length) => bus.plain(16, *length),
        Deed::Register(number) => bus.read(36, *number, psi, 1),
        Deed::Secure { argument, kind } => {
            let blocks = usize::try_from(argument & 0xFFFF).expect("small").clamp(1, 3);
            bus.write(35, *argument, &block(*kind, blocks * 512))
        }
        Deed::Answer(argument) => bus.read(34, *argument, 512, (argument & 0xFFFF).clamp(1, 3)),
        Deed::Control(argument) => bus.plain(37, *argument),
        Deed::Direct { argument, kind } => {
            let blocks = DirectWrite::from_argument(*argument).map_or(1, DirectWrite::blocks).min(4);
            bus.write(57, *argument, &block(*kind, usize::from(blocks) * 512))
        }
        Deed::DirectRead(argument) => bus.read(50, *argument, 512, 1),
        Deed::Plain(index, argument) => bus.plain(*index, *argument),
    }
}

/// Profiles whose oddity both buses have.
const COMMON: &[&str] = &[
    "standard",
    "plain",
    "assd-1.1",
    "sdsc",
    "sd-1.10",
    "cmd16-refused-32",
    "cmd16-ignored",
    "switch-busy",
    "slow",
    "no-protected-memory",
    "memory-aborts",
    "no-secure",
    "echo",
    "first-lost",
    "damaged-answer",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Same commands: same data, same refusals, same card.
    #[test]
    fn both_buses_lead_to_the_same_card(
        word in prop::sample::select(COMMON),
        known in any::<bool>(),
        deeds in vec(deed(), 1..50),
    ) {
        let mut profile = wire::profile(word);
        // With a fixed length of the registers no read runs into the next block.
        profile.psi = smcard_card::sd::PsiLength::Short;
        let mut native = NativeHost::new(new_card().into_sd(options(profile.clone(), inline(1))).expect("a card"));
        let mut spi = SpiHost::new(new_card().into_spi(options(profile, inline(1))).expect("a card"));
        if known && matches!(word, "standard" | "sdsc" | "slow" | "memory-aborts") {
            native.enter(smcard_link::sd::Function::Assd2);
            spi.enter(smcard_link::sd::Function::Assd2);
            authenticate(&mut native);
            authenticate(&mut spi);
        }
        for deed in &deeds {
            let short = native.card.inspect().block_length != 512;
            if short && word.starts_with("sd") && matches!(deed, Deed::Read { .. }) {
                // A host that asks for 512 bytes then meets the checksum early, and each bus shows that otherwise.
                continue;
            }
            let came = (perform(&mut native, deed, 32), perform(&mut spi, deed, 32));
            prop_assert_eq!(&came.0, &came.1, "{} {:?}", word, deed);
            let mut native_state = native.card.inspect();
            native_state.state = None;
            native_state.errors = spi.bus.inspect().errors;
            prop_assert_eq!(native_state, spi.bus.inspect(), "{} {:?}", word, deed);
        }
    }
}
