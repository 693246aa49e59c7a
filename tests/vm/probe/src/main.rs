#![forbid(unsafe_code)]
//! `smcard-probe`: the drivers of `link` by hand, in a guest. What crosses the wire goes to standard error, in words.
//!
//! `smcard-probe memory spi:/dev/spidevB.C` brings the card up and reads and writes its open area.

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use smcard_link::{CardHost, Recorder, SpiHost, SpiOptions, Spidev, SystemClock, Trace};

/// Lines of the wire that are kept.
const LINES: usize = 400;

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
    let device = source.strip_prefix("spi:").with_context(|| format!("{source:?} is no source"))?;
    let options = SpiOptions { name: device.to_owned(), ..SpiOptions::default() };
    let bus = Spidev::open(device)?;
    println!("idle clocks: {}", if bus.has_idle_clocks() { "yes" } else { "no" });
    let mut host = SpiHost::new(Box::new(bus), Box::<SystemClock>::default(), options, trace.clone());
    match task.as_str() {
        "memory" => memory(&mut host),
        _ => bail!("{task:?} is no task"),
    }
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
