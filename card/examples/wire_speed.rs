//! How fast the emulated card moves data, in MiB of payload per second of this machine: the native bus, the block path of
//! SPI, and its byte machine. `cargo run --release -p smcard-card --example wire_speed [MiB]`.

use smcard_card::sd::{BusTime, Executor, RamArea, SdCard, SdOptions, SpiCard, Worked};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_flash::RamMedium;
use smcard_link::sd::{Command, START_MULTI, STOP_MULTI, crc16};
use smcard_link::{SdBus, SdResponse, SpiBus, Transfer};
use std::io;
use std::time::Instant;

const BLOCK: usize = 512;
/// Blocks of one transfer: 1 MiB.
const BLOCKS: u32 = 2048;
/// Most polls for anything.
const POLLS: usize = 1 << 20;

fn main() -> io::Result<()> {
    let mib: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(64);
    let mut native = native_card()?;
    report("native bus, write", mib, || native_write(&mut native))?;
    report("native bus, read", mib, || native_read(&mut native))?;
    let mut spi = spi_card()?;
    bring_up(&mut spi)?;
    report("SPI, block path, write", mib, || spi_write(&mut spi))?;
    report("SPI, block path, read", mib, || spi_read(&mut spi))?;
    let mut bytewise = spi_card()?.bytewise();
    bring_up(&mut bytewise)?;
    report("SPI, byte machine, write", mib.div_ceil(8), || spi_write(&mut bytewise))?;
    report("SPI, byte machine, read", mib.div_ceil(8), || spi_read(&mut bytewise))
}

fn report(what: &str, mib: u32, mut transfer: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    transfer()?;
    let begun = Instant::now();
    for _ in 0..mib {
        transfer()?;
    }
    println!("{what:<26} {:8.1} MiB/s", f64::from(mib) / begun.elapsed().as_secs_f64());
    Ok(())
}

fn options() -> SdOptions {
    let executor = Executor::Inline { polls: 0, worked: Worked::First };
    SdOptions { executor, time: BusTime::counted(), ..SdOptions::new(Box::new(RamArea::new(4 << 20))) }
}

fn card() -> io::Result<EmulatedCard> {
    let medium = EmulatedCard::format(Box::new(RamMedium::new(1 << 20)), &CreateOptions::default());
    medium
        .and_then(|medium| EmulatedCard::on_medium(medium, "example".to_owned(), OpenOptions::default()))
        .map_err(io::Error::other)
}

fn native_card() -> io::Result<SdCard> {
    let mut card = card()?.into_sd(options()).map_err(io::Error::other)?;
    card.command(0, 0);
    card.command(8, 0x1AA);
    for _ in 0..8 {
        card.command(55, 0);
        card.command(41, 0x4010_0000);
    }
    card.command(2, 0);
    let Some(SdResponse::Short(published)) = card.command(3, 0) else { return Err(io::Error::other("no address")) };
    card.command(7, published & 0xFFFF_0000);
    Ok(card)
}

fn native_write(card: &mut SdCard) -> io::Result<()> {
    card.command(23, BLOCKS);
    card.command(25, 0);
    for _ in 0..BLOCKS {
        if card.write_block(&[0x5A; BLOCK]) != Transfer::Done {
            return Err(io::Error::other("a block was not taken"));
        }
    }
    Ok(())
}

fn native_read(card: &mut SdCard) -> io::Result<()> {
    let mut block = [0; BLOCK];
    card.command(23, BLOCKS);
    card.command(18, 0);
    for _ in 0..BLOCKS {
        if card.read_block(&mut block) != Transfer::Done {
            return Err(io::Error::other("a block did not come"));
        }
    }
    Ok(())
}

fn spi_card() -> io::Result<SpiCard> {
    card()?.into_spi(options()).map_err(io::Error::other)
}

/// Sends a command and gives R1.
fn command(card: &mut SpiCard, index: u8, argument: u32) -> io::Result<u8> {
    let mut message = [0xFF; 16];
    message[..6].copy_from_slice(&Command::new(index, argument).frame().0);
    card.exchange(&mut message[..8])?;
    Ok(message[7])
}

fn bring_up(card: &mut SpiCard) -> io::Result<()> {
    card.exchange(&mut [0xFF; 10])?;
    card.select(true)?;
    command(card, 0, 0)?;
    command(card, 8, 0x1AA)?;
    card.exchange(&mut [0xFF; 8])?;
    command(card, 59, 1)?;
    for _ in 0..8 {
        command(card, 55, 0)?;
        command(card, 41, 1 << 30)?;
    }
    if command(card, 13, 0)? == 0 { Ok(()) } else { Err(io::Error::other("not initialised")) }
}

fn spi_write(card: &mut SpiCard) -> io::Result<()> {
    let crc = crc16(&[0x5A; BLOCK]).to_be_bytes();
    if command(card, 25, 0)? != 0 {
        return Err(io::Error::other("CMD25 refused"));
    }
    // Token, block, checksum, data response, one byte of busy, one to see its end.
    let mut message = [0xFF; 1 + BLOCK + 2 + 3];
    for _ in 0..BLOCKS {
        message[0] = START_MULTI;
        message[1..=BLOCK].fill(0x5A);
        message[BLOCK + 1..BLOCK + 3].copy_from_slice(&crc);
        message[BLOCK + 3..].fill(0xFF);
        card.exchange(&mut message)?;
        if message[BLOCK + 3] & 0x1F != 0x05 || message[BLOCK + 5] != 0xFF {
            return Err(io::Error::other("a block was not taken"));
        }
    }
    card.exchange(&mut [STOP_MULTI, 0xFF, 0xFF, 0xFF])
}

fn spi_read(card: &mut SpiCard) -> io::Result<()> {
    if command(card, 18, 0)? != 0 {
        return Err(io::Error::other("CMD18 refused"));
    }
    // Gap, token, block, checksum.
    let mut message = [0xFF; 1 + 1 + BLOCK + 2];
    for _ in 0..BLOCKS {
        message.fill(0xFF);
        card.exchange(&mut message)?;
        if message[1] != 0xFE {
            return Err(io::Error::other("no token"));
        }
    }
    command(card, 12, 0)?;
    let mut byte = [0xFF];
    for _ in 0..POLLS {
        byte[0] = 0xFF;
        card.exchange(&mut byte)?;
        if byte[0] == 0xFF {
            break;
        }
    }
    Ok(())
}
