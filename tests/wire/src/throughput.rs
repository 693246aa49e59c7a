//! How fast the emulated card's open memory is, in real time: byte by byte, by blocks on SPI, by blocks on the SD bus.

use crate::cable::Setup;
use crate::line::Line;
use crate::medium::Image;
use crate::table::Table;
use anyhow::{Context, Result, ensure};
use smcard_card::sd::{BusTime, Executor, RamArea, SdCard, SdOptions, SpiCard, Worked};
use smcard_card::{EmulatedCard, OpenOptions};
use smcard_link::mmc::{MmcPort, SoftKernel};
use smcard_link::sd::{Command, START_MULTI, STOP_MULTI, crc16, index};
use smcard_link::spi::{SpiHost, SpiOptions};
use smcard_link::{CardHost, SdBus, SdResponse, SpiBus, Trace, Transfer};
use std::time::{Duration, Instant};

/// Bytes of a block.
const BLOCK: usize = 512;
/// Blocks of one transfer: 128 KiB, as in the measurements of QEMU.
const BLOCKS: usize = 256;
/// Bytes of the open memory.
const AREA: usize = 32 << 20;
/// On SPI a block that is read has a byte and a token in front and its checksum behind.
const READ_FRAME: usize = 1 + 1 + BLOCK + 2;
/// A block that is written has its token, its checksum, and three bytes for the card's reply.
const WRITE_FRAME: usize = 1 + BLOCK + 2 + 3;

/// Reads and writes one transfer from a block on.
trait Path {
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<()>;
    fn write(&mut self, at: u32, from: &[u8]) -> Result<()>;
}

fn options(time: &BusTime) -> SdOptions {
    SdOptions {
        executor: Executor::Inline { polls: 0, worked: Worked::First },
        time: time.clone(),
        ..SdOptions::new(Box::new(RamArea::new(AREA)))
    }
}

fn card() -> Result<EmulatedCard> {
    let image = Image::new(Setup::default().new_card()?);
    Ok(EmulatedCard::on_medium(Box::new(image.medium()), "emulated".to_owned(), OpenOptions::default())?)
}

/// Messages as a driver makes them, and nothing else.
struct Spi {
    bus: Line<SpiCard>,
    message: Vec<u8>,
}

impl Spi {
    fn new(bytewise: bool) -> Result<Self> {
        let time = BusTime::counted();
        let card = card()?.into_spi(options(&time))?;
        let bus = Line::new(if bytewise { card.bytewise() } else { card });
        let mut host = SpiHost::new(Box::new(bus.clone()), Box::new(time), SpiOptions::default(), Trace::off());
        host.bring_up()?;
        Ok(Spi { bus, message: Vec::new() })
    }

    fn command(&mut self, number: u8, argument: u32) -> Result<()> {
        let mut message = [0xFF; 16];
        message[1..7].copy_from_slice(&Command::new(number, argument).frame().0);
        // The response comes in the second byte behind the frame; a block that is read begins no earlier than behind it.
        let length = if number == index::READ_MULTIPLE_BLOCK { 9 } else { 16 };
        let message = &mut message[..length];
        self.bus.exchange(message)?;
        ensure!(message[8] == 0, "CMD{number} is answered with {:02X}", message[8]);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.bus.select(false)?;
        Ok(self.bus.exchange(&mut [0xFF])?)
    }
}

impl Path for Spi {
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<()> {
        self.bus.select(true)?;
        self.command(index::READ_MULTIPLE_BLOCK, at)?;
        self.message.clear();
        self.message.resize(BLOCKS * READ_FRAME, 0xFF);
        self.bus.exchange(&mut self.message)?;
        for (block, frame) in into.chunks_exact_mut(BLOCK).zip(self.message.chunks_exact(READ_FRAME)) {
            ensure!(frame[1] == 0xFE, "no block");
            block.copy_from_slice(&frame[2..2 + BLOCK]);
        }
        let mut stop = [0xFF; 24];
        stop[..6].copy_from_slice(&Command::new(index::STOP_TRANSMISSION, 0).frame().0);
        self.bus.exchange(&mut stop)?;
        self.end()
    }

    fn write(&mut self, at: u32, from: &[u8]) -> Result<()> {
        self.bus.select(true)?;
        self.command(index::WRITE_MULTIPLE_BLOCK, at)?;
        self.message.clear();
        for block in from.chunks_exact(BLOCK) {
            self.message.push(START_MULTI);
            self.message.extend_from_slice(block);
            self.message.extend_from_slice(&crc16(block).to_be_bytes());
            self.message.extend_from_slice(&[0xFF; 3]);
        }
        self.bus.exchange(&mut self.message)?;
        let taken = self.message.chunks_exact(WRITE_FRAME).filter(|frame| frame[BLOCK + 3] & 0x1F == 0x05).count();
        ensure!(taken == BLOCKS, "{taken} blocks are taken");
        self.bus.exchange(&mut [STOP_MULTI, 0xFF, 0xFF, 0xFF])?;
        self.end()
    }
}

/// The whole SPI driver above the block path.
struct Driven(SpiHost);

impl Driven {
    fn new() -> Result<Self> {
        let time = BusTime::counted();
        let card = card()?.into_spi(options(&time))?;
        let mut host = SpiHost::new(Box::new(card), Box::new(time), SpiOptions::default(), Trace::off());
        host.bring_up()?;
        Ok(Driven(host))
    }
}

impl Path for Driven {
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<()> {
        Ok(self.0.read_blocks(u64::from(at), into)?)
    }

    fn write(&mut self, at: u32, from: &[u8]) -> Result<()> {
        Ok(self.0.write_blocks(u64::from(at), from)?)
    }
}

/// Commands and blocks as a host controller makes them.
struct Native(Line<SdCard>);

impl Native {
    fn new() -> Result<Self> {
        let time = BusTime::counted();
        let bus = Line::new(card()?.into_sd(options(&time))?);
        SoftKernel::new(bus.clone(), Box::new(time), "slot".to_owned(), Trace::off()).identify()?;
        Ok(Native(bus))
    }

    fn command(&mut self, number: u8, argument: u32) -> Result<()> {
        let response = self.0.command(number, argument);
        ensure!(matches!(response, Some(SdResponse::Short(_))), "CMD{number} is not answered");
        Ok(())
    }
}

impl Path for Native {
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<()> {
        self.command(index::READ_MULTIPLE_BLOCK, at)?;
        for block in into.chunks_exact_mut(BLOCK) {
            ensure!(self.0.read_block(block) == Transfer::Done, "no block");
        }
        self.command(index::STOP_TRANSMISSION, 0)
    }

    fn write(&mut self, at: u32, from: &[u8]) -> Result<()> {
        self.command(index::WRITE_MULTIPLE_BLOCK, at)?;
        for block in from.chunks_exact(BLOCK) {
            ensure!(self.0.write_block(block) == Transfer::Done, "a block is not taken");
        }
        self.command(index::STOP_TRANSMISSION, 0)?;
        ensure!(!self.0.is_busy(), "busy");
        Ok(())
    }
}

fn rate(mut times: Vec<Duration>) -> Result<f64> {
    times.sort_unstable();
    let median = times.get(times.len() / 2).context("no round")?.as_secs_f64();
    let bytes = u32::try_from(BLOCKS * BLOCK)?;
    Ok(f64::from(bytes) / median / f64::from(1 << 20))
}

fn measure(path: &mut dyn Path, rounds: u32) -> Result<(f64, f64)> {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    let mut data = vec![0; BLOCKS * BLOCK];
    let mut seen = vec![0; BLOCKS * BLOCK];
    for round in 0..rounds {
        data.iter_mut().zip(round..).for_each(|(byte, number)| *byte = number.wrapping_mul(0x9E37).to_le_bytes()[1]);
        let at = round % 100 * u32::try_from(BLOCKS)?;
        let begun = Instant::now();
        path.write(at, &data)?;
        writes.push(begun.elapsed());
        let begun = Instant::now();
        path.read(at, &mut seen)?;
        reads.push(begun.elapsed());
        ensure!(data == seen, "what was read is not what was written");
    }
    Ok((rate(reads)?, rate(writes)?))
}

/// The table. Real time: a machine that does nothing else is wanted.
///
/// # Errors
/// A card does not do what it must.
pub fn table(rounds: u32) -> Result<Table> {
    let about = "The emulated card's open memory in RAM, 128 KiB a transfer, median. On SPI every checksum is made and checked; on the SD bus that is the \
                 host controller's part. QEMU's rows are \
                 published ones (patch series of April 2026, fio in a guest, 128 KiB, through its SD host controller): another way and another machine, \
                 there for the order of magnitude.";
    let heads = ["path", "read, MiB/s", "write, MiB/s"];
    let mut table = Table::new("Throughput of the open memory", about, &heads);
    let rows: [(&str, Box<dyn Path>, u32); 4] = [
        ("SPI, byte machine", Box::new(Spi::new(true)?), rounds.div_ceil(4)),
        ("SPI, block path", Box::new(Spi::new(false)?), rounds),
        ("SPI, block path, with the whole driver", Box::new(Driven::new()?), rounds),
        ("SD bus, block path", Box::new(Native::new()?), rounds),
    ];
    for (name, mut path, rounds) in rows {
        let (read, write) = measure(&mut *path, rounds)?;
        table.row(vec![name.to_owned(), format!("{read:.0}"), format!("{write:.0}")]);
    }
    for (name, read, write) in
        [("QEMU, byte by byte", 6, 6), ("QEMU, buffer of 512 bytes", 51, 43), ("QEMU, larger ADMA bursts", 392, 180)]
    {
        table.row(vec![name.to_owned(), read.to_string(), write.to_string()]);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_reads_what_was_written() {
        let text = table(2).expect("all paths work").to_string();
        assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 2 + 4 + 3, "{text}");
    }
}
