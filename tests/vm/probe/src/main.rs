#![forbid(unsafe_code)]
//! `smcard-probe TASK SOURCE`: the drivers of `link` by hand, in a guest. What crosses the wire goes to standard error, in
//! words. Exit code 1 and a line `refused: …` tell a refusal.
//!
//! `memory spi:/dev/spidevB.C` brings the card up and reads and writes its open area.
//! `secure SOURCE` opens it as a card with the secure command set, selects the card manager, and tells what it is.

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use smcard_link::assd::{AssdCard, AssdOptions};
use smcard_link::spi::{SpiHost, SpiOptions, Spidev};
use smcard_link::{CardHost, Recorder, SecureCard, SystemClock, Trace};

/// Lines of the wire that are kept.
const LINES: usize = 400;
/// SELECT without a name: the card manager.
const SELECT_MANAGER: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];

fn main() -> ExitCode {
    let recorder = Arc::new(Recorder::new(LINES));
    let result = run(&Trace::new(recorder.clone()));
    eprint!("{}", recorder.text());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("refused: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(trace: &Trace) -> Result<()> {
    let mut arguments = env::args().skip(1);
    let (task, source) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    match (task.as_str(), source.split_once(':')) {
        ("memory", Some(("spi", device))) => memory(&mut spi(device, trace)?),
        ("secure", Some(("spi", device))) => secure(Box::new(spi(device, trace)?), trace),
        _ => bail!("no task {task:?} for {source:?}"),
    }
}

fn spi(device: &str, trace: &Trace) -> Result<SpiHost> {
    let options = SpiOptions { name: device.to_owned(), ..SpiOptions::default() };
    let bus = Spidev::open(device)?;
    println!("idle clocks: {}", if bus.has_idle_clocks() { "yes" } else { "no" });
    Ok(SpiHost::new(Box::new(bus), Box::<SystemClock>::default(), options, trace.clone()))
}

/// Brings the card up; writes blocks and reads them back, singly and several at once.
fn memory(host: &mut SpiHost) -> Result<()> {
    let identity = host.bring_up()?;
    println!("card: {:?}", identity.cid);
    println!("host: {}", host.describe());
    ensure!(host.blocks() > 64, "{} blocks", host.blocks());
    for (first, count) in [(0, 1), (9, 1), (16, 16)] {
        let pattern: Vec<u8> = (0..count * 512).map(|at| u8::try_from((at * 7 + count) % 251).unwrap_or(0)).collect();
        host.write_blocks(first, &pattern).with_context(|| format!("writing {count} blocks at {first}"))?;
        let mut back = vec![0; pattern.len()];
        host.read_blocks(first, &mut back).with_context(|| format!("reading {count} blocks at {first}"))?;
        ensure!(back == pattern, "blocks at {first} come back otherwise");
    }
    println!("memory: as written");
    Ok(())
}

/// Opens the card, and exchanges one APDU.
fn secure(host: Box<dyn CardHost>, trace: &Trace) -> Result<()> {
    let mut card = AssdCard::open(host, AssdOptions { trace: trace.clone(), ..AssdOptions::default() })?;
    println!("card: {:?}", card.properties());
    let answer = card.transmit(&SELECT_MANAGER)?;
    println!("SELECT: {:04X}, {} bytes", answer.sw, answer.data.len());
    Ok(())
}
