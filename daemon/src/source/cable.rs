//! The cables: from a card to what the terminal speaks with.

use super::{Cable, SourceError, Surroundings};
use crate::config::Emulated;
use smcard_card::sd::{FileArea, Profile, SdOptions};
use smcard_card::{EmulatedCard, OpenOptions, PowerFate};
use smcard_link::assd::{AssdCard, AssdOptions};
use smcard_link::mmc::{Device, MmcHost, SoftKernel};
use smcard_link::spi::{SpiCrc, SpiHost, SpiOptions, Spidev};
use smcard_link::{CardHost, PowerSwitch, SecureCard, SystemClock};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A card behind whatever host.
type Card = Box<dyn SecureCard>;

/// An emulated card by the cable named.
pub(super) fn emulated(cable: Cable, path: &Path, known: &Surroundings) -> Result<Card, SourceError> {
    let Emulated { command_delay_ms, cut_at_commands, area_mib, .. } = &known.emulated;
    let power_fate = (!cut_at_commands.is_empty()).then(|| cuts(cut_at_commands.clone()));
    let command_delay = Duration::from_millis(*command_delay_ms);
    let recorder = known.recording.clone();
    let options = OpenOptions { command_delay, power_fate, recorder, ..OpenOptions::default() };
    let card = EmulatedCard::open(path, options);
    let card = card.map_err(|source| SourceError::Image { path: path.to_owned(), source })?;
    if let Some(ports) = &known.ports {
        ports.insert(&card);
    }
    if cable == Cable::Direct {
        known.trace.note(format_args!("an emulated card without a wire: commands are function calls"));
        return Ok(Box::new(card));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".area");
    let area = FileArea::open_or_create(Path::new(&name), u64::from(*area_mib) << 20);
    let area = area.map_err(|source| SourceError::Area { path: name.into(), source })?;
    let power = card.power_switch();
    let options = SdOptions { profile: profile(&known.emulated)?, ..SdOptions::new(Box::new(area)) };
    let clock = options.time.clone();
    let trace = known.trace.clone();
    if cable == Cable::Spi {
        let name = format!("emulated-spi:{}", path.display());
        let settings = SpiOptions { name: name.clone(), ..spi_options(known) };
        let host = SpiHost::new(Box::new(card.into_spi(options)?), Box::new(clock), settings, trace);
        return open(Box::new(host), power, name, known);
    }
    let name = format!("emulated-mmc:{}", path.display());
    let kernel = SoftKernel::new(card.into_sd(options)?, Box::new(clock.clone()), name.clone(), trace.clone());
    let host = MmcHost::new(Box::new(kernel), Box::new(clock), trace);
    open(Box::new(host), power, name, known)
}

/// A card on an SPI bus of its own.
pub(super) fn spi(path: &Path, known: &Surroundings) -> Result<Card, SourceError> {
    let bus = Spidev::open(path).map_err(SourceError::Spidev)?;
    let options = SpiOptions { name: path.display().to_string(), ..spi_options(known) };
    let host = SpiHost::new(Box::new(bus), Box::new(SystemClock::default()), options, known.trace.clone());
    open(Box::new(host), None, format!("spi:{}", path.display()), known)
}

/// A card in a slot.
pub(super) fn mmc(path: &Path, known: &Surroundings) -> Result<Card, SourceError> {
    let port = Device::open(path, &known.trace)?;
    let host = MmcHost::new(Box::new(port), Box::new(SystemClock::default()), known.trace.clone());
    open(Box::new(host), None, format!("mmc:{}", path.display()), known)
}

fn open(
    host: Box<dyn CardHost>,
    power: Option<Arc<dyn PowerSwitch>>,
    device: String,
    known: &Surroundings,
) -> Result<Card, SourceError> {
    known.trace.note(format_args!("{device} is opened"));
    let (quirks, trace) = (known.quirks.clone(), known.trace.clone());
    let options = AssdOptions { expected: known.expected, quirks, trace, power };
    let card = AssdCard::open(host, options);
    Ok(Box::new(card.map_err(|source| SourceError::Open { device, source })?))
}

fn spi_options(known: &Surroundings) -> SpiOptions {
    let quirks = known.quirks.unknown();
    let crc = if quirks.crc { SpiCrc::On } else { SpiCrc::Off };
    SpiOptions { clock_hz: quirks.clock_hz, crc, ..SpiOptions::default() }
}

/// The profile that is configured.
pub(super) fn profile(emulated: &Emulated) -> Result<Profile, SourceError> {
    Profile::from_word(&emulated.profile).ok_or_else(|| {
        let words: Vec<&str> = Profile::words().map(|(word, _)| word).collect();
        SourceError::Profile(emulated.profile.clone(), words.join(", "))
    })
}

/// A power that goes at these commands.
fn cuts(at: Vec<u64>) -> PowerFate {
    let given = AtomicU64::new(0);
    Box::new(move |_| {
        let number = given.fetch_add(1, Ordering::Relaxed) + 1;
        let goes = at.contains(&number);
        if goes {
            log::warn!("as configured, the power goes at command {number} since the mount");
        }
        goes
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_batch::CommandApdu;

    #[test]
    fn the_power_goes_once_at_each_command_that_is_named() {
        let goes = cuts(vec![2, 3, 6]);
        let command = CommandApdu::new(0x80, 0xE2, 0, 0, &[]);
        let gone = [(); 8].map(|()| goes(&command));
        assert_eq!(gone, [false, true, true, false, false, true, false, false]);
    }
}
