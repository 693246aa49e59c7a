//! What must hold for a card on SPI, whatever bytes come. Panics where it does not.
//!
//! The input is a list of things that a host may do: commands with right checksums, blocks, noise, chip select, pauses. The
//! card never panics; its block path says what its byte machine says, to the last bit; deselected it is silent; and it can
//! be initialised afterwards, as any card.

use smcard_card::sd::{BusTime, Executor, Profile, RamArea, SdOptions, SpiCard, Worked};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_flash::{MIN_SIZE, Medium, RamMedium};
use smcard_link::assd::{Checksum, write_token};
use smcard_link::sd::{Command, crc16};
use smcard_link::{Clock, SpiBus};
use std::sync::OnceLock;
use std::time::Duration;

/// Bytes of the open memory.
const MEMORY: usize = 512 << 10;
/// Things done at most.
const ACTS: usize = 400;

fn card(profile: &Profile) -> SpiCard {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| {
        let options = CreateOptions { individual: Some([1; 14]), ..CreateOptions::default() };
        let medium = Box::new(RamMedium::new(MIN_SIZE));
        EmulatedCard::format(medium, &options).expect("a new card").bytes().to_vec()
    });
    let medium = Box::new(RamMedium::from_bytes(image.clone()));
    let card = EmulatedCard::on_medium(medium, String::new(), OpenOptions::default()).expect("a card");
    let options = SdOptions {
        profile: profile.clone(),
        area: Box::new(RamArea::new(MEMORY)),
        executor: Executor::Inline { polls: 1, worked: Worked::First },
        time: BusTime::counted(),
    };
    card.into_spi(options).expect("a card on SPI")
}

/// What a host does.
enum Act {
    Clock(Vec<u8>),
    Select(bool),
    Sleep(u8),
}

/// Reads what a host does off the input.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn argument(&mut self) -> Option<u32> {
        let (argument, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*argument))
    }

    fn act(&mut self) -> Option<Act> {
        Some(match self.byte()? {
            index @ 0..=0x3F => Act::Clock(said(&[(index, self.argument()?)])),
            index @ 0x40..=0x7F => Act::Clock(said(&[(55, 0), (index & 0x3F, self.argument()?)])),
            0x81 => {
                let (token, kind) = (self.byte()?, self.byte()?);
                let block = block(kind);
                let crc = crc16(&block) ^ u16::from(kind >> 7);
                Act::Clock([&[0xFF, token][..], &block, &crc.to_be_bytes(), &[0xFF; 6]].concat())
            }
            0x82 => {
                let length = usize::from(self.byte()?).min(self.0.len());
                let (noise, rest) = self.0.split_at(length);
                self.0 = rest;
                Act::Clock(noise.to_vec())
            }
            0x83 => Act::Select(self.byte()? & 1 == 1),
            0x84 => Act::Sleep(self.byte()?),
            0x85 => Act::Clock(said(&INITIALISATION)),
            other => Act::Clock(vec![0xFF; usize::from(other & 0x7F) * 8]),
        })
    }
}

const INITIALISATION: [(u8, u32); 8] =
    [(0, 0), (8, 0x1AA), (59, 1), (55, 0), (41, 1 << 30), (55, 0), (41, 1 << 30), (6, 0x80FF_FF4F)];

fn said(commands: &[(u8, u32)]) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for (index, argument) in commands {
        bytes.extend(Command::new(*index, *argument).frame().0);
        bytes.extend([0xFF; 10]);
    }
    bytes
}

/// A block that means something, or none.
fn block(kind: u8) -> Vec<u8> {
    let sealed = |front: &[u8]| {
        let mut block = front.to_vec();
        block.resize(508, 0);
        let crc = crc32fast::hash(&block).to_be_bytes();
        block.extend(crc);
        block
    };
    match kind & 7 {
        0 => write_token(&[0x00, 0xA4, 0x04, 0x00], Checksum::None).expect("fits"),
        1 => write_token(&[0x80, 0xCA, 0xDF, 0x74, 0x00], Checksum::Crc32).expect("fits"),
        2 => sealed(&[0, 0, 3, 0, 1, b'f']),
        3 => sealed(&[]),
        4 => Command::new(25, 3).frame().0.repeat(86)[..512].to_vec(),
        _ => vec![kind; 512],
    }
}

/// Plays a script; `piece`: bytes of a message.
fn play(mut card: SpiCard, script: &[u8], piece: usize) -> (Vec<u8>, SpiCard) {
    let mut came = Vec::new();
    let mut script = Script(script);
    let mut time = card.time();
    let mut selected = true;
    card.select(true).expect("never fails");
    for _ in 0..ACTS {
        match script.act() {
            None => break,
            Some(Act::Select(now)) => {
                selected = now;
                card.select(now).expect("never fails");
            }
            Some(Act::Sleep(ms)) => time.sleep(Duration::from_millis(u64::from(ms))),
            Some(Act::Clock(mut bytes)) => {
                bytes.chunks_mut(piece).for_each(|piece| card.exchange(piece).expect("never fails"));
                assert!(selected || bytes.iter().all(|byte| *byte == 0xFF), "deselected, and not silent");
                came.extend(bytes);
            }
        }
    }
    (came, card)
}

/// Arbitrary bytes.
pub fn spi_card(data: &[u8]) {
    let Some((choice, script)) = data.split_first() else { return };
    let words: Vec<_> = Profile::words().map(|(word, _)| word).collect();
    let word = words[usize::from(*choice) % words.len()];
    let profile = Profile::from_word(word).expect("a profile");
    let piece = 1 + usize::from(*choice) * 7;
    let (truth, by_bytes) = play(card(&profile).bytewise(), script, 1 << 16);
    let (path, mut by_blocks) = play(card(&profile), script, piece);
    assert!(
        truth == path,
        "{word}: the block path differs at byte {:?}",
        truth.iter().zip(&path).position(|(a, b)| a != b)
    );
    assert_eq!(by_bytes.inspect(), by_blocks.inspect(), "{word}");

    assert!(by_blocks.power_cycle().expect("never fails"));
    by_blocks.select(false).expect("never fails");
    by_blocks.exchange(&mut [0xFF; 10]).expect("never fails");
    by_blocks.select(true).expect("never fails");
    let idle = (0..4).any(|_| {
        let mut bytes = [&Command::new(0, 0).frame().0[..], &[0xFF; 12]].concat();
        by_blocks.exchange(&mut bytes).expect("never fails");
        bytes.contains(&0x01)
    });
    assert!(idle, "{word}: CMD0 is not answered after power-on");
}
