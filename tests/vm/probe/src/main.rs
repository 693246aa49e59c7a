#![forbid(unsafe_code)]
//! `smcard-probe TASK SOURCE`: the drivers of `link` by hand, in a guest. What crosses the wire goes to standard error, in
//! words. Exit code 1 and a line `refused: …` tell a refusal.
//!
//! `memory spi:/dev/spidevB.C` brings the card up and reads and writes its open area.
//! `illegal SOURCE` sends the secure commands to a card that does not know them, and tells what comes back.
//! `watch SOURCE` asks the card how it is until it is gone for good, and tells what changes.
//! `secure SOURCE` opens it as a card with the secure command set, selects the card manager, and tells what it is.

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use smcard_link::assd::{AssdCard, AssdOptions};
use smcard_link::mmc::{Device, MmcHost};
use smcard_link::sd::Command;
use smcard_link::spi::{SpiHost, SpiOptions, Spidev};
use smcard_link::{CardHost, Data, Recorder, SecureCard, Step, SystemClock, Trace, WriteToken};

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
        (_, Some(("spi", device))) => other(&task, Box::new(spi(device, trace)?), trace),
        (_, Some(("mmc", device))) => other(&task, Box::new(mmc(device, trace)?), trace),
        _ => bail!("no task {task:?} for {source:?}"),
    }
}

fn other(task: &str, mut host: Box<dyn CardHost>, trace: &Trace) -> Result<()> {
    match task {
        "illegal" => illegal(host.as_mut()),
        "watch" => watch(host.as_mut()),
        "secure" => secure(host, trace),
        _ => bail!("no task {task:?}"),
    }
}

fn mmc(device: &str, trace: &Trace) -> Result<MmcHost> {
    let device = Device::open(Path::new(device), trace)?;
    Ok(MmcHost::new(Box::new(device), Box::<SystemClock>::default(), trace.clone()))
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

/// Every secure command, outside of the secure mode: one line each.
fn illegal(host: &mut dyn CardHost) -> Result<()> {
    host.bring_up()?;
    let mut into = [0; 512];
    let from = [0; 512];
    for number in [34, 36, 50, 35, 57, 37] {
        let data = match number {
            34 | 36 | 50 => Data::Read { block: 512, into: &mut into },
            35 | 57 => Data::Write { from: &from, token: WriteToken::Single },
            _ => Data::Busy,
        };
        let mut steps = [Step { command: Command::new(number, 1), data, limit: Duration::ZERO }];
        match host.run(&mut steps) {
            Ok(()) => println!("CMD{number}: taken"),
            Err((error, _)) => println!("CMD{number}: {:?}, {:?}, {}", error.fault, error.taken, error.seen),
        }
        still_there(host).with_context(|| format!("after CMD{number}"))?;
    }
    Ok(())
}

/// Fails unless the card answers an ordinary command.
fn still_there(host: &mut dyn CardHost) -> Result<()> {
    let mut status = [0; 64];
    let data = Data::Read { block: 64, into: &mut status };
    let mut steps = [Step { command: Command::new(6, 0x00FF_FFFF), data, limit: Duration::ZERO }];
    host.run(&mut steps).map_err(|(error, _)| error)?;
    Ok(())
}

/// Asks every 20 ms, until the same error has come ten times in a row or 30 s are over.
fn watch(host: &mut dyn CardHost) -> Result<()> {
    host.bring_up()?;
    let (mut last, mut same) = (String::new(), 0);
    for _ in 0..1500 {
        let said = match still_there(host) {
            Ok(()) => "there".to_owned(),
            Err(error) => error.to_string(),
        };
        if said == last {
            same += 1;
        } else {
            println!("{said}");
            same = 0;
        }
        if same == 10 && said != "there" {
            return Ok(());
        }
        last = said;
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the card is still there")
}

/// Opens the card, and exchanges one APDU.
fn secure(host: Box<dyn CardHost>, trace: &Trace) -> Result<()> {
    let mut card = AssdCard::open(host, AssdOptions { trace: trace.clone(), ..AssdOptions::default() })?;
    println!("card: {:?}", card.properties());
    let answer = card.transmit(&SELECT_MANAGER)?;
    println!("SELECT: {:04X}, {} bytes", answer.sw, answer.data.len());
    Ok(())
}
