//! Opens a card on a wire, says what it is, selects its card manager, and shows what crossed the wire.
//!
//! ```text
//! cargo run -p smcard-link --example probe -- mmc:/dev/mmcblk0 [option=value ...]
//! cargo run -p smcard-link --example probe -- spi:/dev/spidev0.0 clock_hz=400000
//! ```
//!
//! The options are those of `docs/ASSD.md` section 7. Without this project's daemon it is the quickest way to find out
//! what is the matter with a card; the output can be given away.

use smcard_link::assd::{AssdCard, AssdOptions};
use smcard_link::mmc::{Device, MmcHost};
use smcard_link::quirks::{QuirkOverrides, QuirkTable};
use smcard_link::spi::{SpiCrc, SpiHost, SpiOptions, Spidev};
use smcard_link::{CardHost, Recorder, SecureCard, SystemClock, Trace};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

const SELECT_MANAGER: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];

fn main() -> ExitCode {
    let recorder = Arc::new(Recorder::new(2000));
    let probed = probe(&Trace::new(recorder.clone()));
    print!("{}", recorder.text());
    match probed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn probe(trace: &Trace) -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next().ok_or("usage: probe mmc:/dev/mmcblkN|spi:/dev/spidevB.C [option=value ...]")?;
    let mut overrides = QuirkOverrides::NONE;
    for argument in arguments {
        let (name, value) = argument.split_once('=').ok_or("an option is name=value")?;
        overrides.set(name, value)?;
    }
    let mut quirks = QuirkTable::default();
    quirks.override_all(overrides);
    let host = host(&source, &quirks, trace)?;
    let options = AssdOptions { quirks, trace: trace.clone(), ..AssdOptions::default() };
    let mut card = AssdCard::open(host, options)?;
    println!("{:?}\n{:?}\n{:?}", card.properties(), card.assd_properties(), card.quirks());
    let answer = card.transmit(&SELECT_MANAGER)?;
    println!("SELECT of the card manager: {answer:?}\n{:?}", card.counters());
    Ok(())
}

fn host(source: &str, quirks: &QuirkTable, trace: &Trace) -> Result<Box<dyn CardHost>, Box<dyn Error>> {
    let clock = Box::new(SystemClock::default());
    match source.split_once(':') {
        Some(("mmc", path)) => {
            let device = Device::open(Path::new(path), trace)?;
            Ok(Box::new(MmcHost::new(Box::new(device), clock, trace.clone())))
        }
        Some(("spi", path)) => {
            let known = quirks.unknown();
            let crc = if known.crc { SpiCrc::On } else { SpiCrc::Off };
            let options = SpiOptions { clock_hz: known.clock_hz, crc, name: path.to_owned() };
            Ok(Box::new(SpiHost::new(Box::new(Spidev::open(path)?), clock, options, trace.clone())))
        }
        _ => Err("a source is mmc:/dev/mmcblkN or spi:/dev/spidevB.C".into()),
    }
}
