#![forbid(unsafe_code)]
//! `smcard-spidev`: the card of an image as `/dev/spidevB.C`, in a guest. The kernel's SPI stack is left out; every ioctl
//! of the driver crosses the kernel (CUSE) and comes to the card as bytes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use smcard_card::sd::{FileArea, Profile, SdOptions};
use smcard_card::{EmulatedCard, OpenOptions};
use smcard_vm::cuse::{self, spidev::Spidev};

/// Serves the card of an image as a spidev.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The card's image; its open memory area lies beside it.
    image: PathBuf,

    /// Name of the device.
    #[arg(long, default_value = "spidev9.0")]
    name: String,

    /// Which oddities the card has.
    #[arg(long, default_value = "standard")]
    profile: String,

    /// Time that each command of an issue takes.
    #[arg(long, default_value_t = 0)]
    command_delay_ms: u64,

    /// Longest message in bytes, as the module parameter bufsiz of the kernel's spidev.
    #[arg(long, default_value_t = 4096)]
    bufsiz: usize,

    /// Refuse to leave chip select alone, as some controllers do.
    #[arg(long)]
    insist_on_cs: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("smcard-spidev: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let command_delay = Duration::from_millis(arguments.command_delay_ms);
    let card = EmulatedCard::open(&arguments.image, OpenOptions { command_delay, ..OpenOptions::default() })
        .with_context(|| format!("opening {}", arguments.image.display()))?;
    let mut area = arguments.image.clone().into_os_string();
    area.push(".area");
    let area = FileArea::open_or_create(area.as_ref(), 64 << 20).context("opening the open memory area")?;
    let word = &arguments.profile;
    let profile = Profile::from_word(word).with_context(|| format!("profile {word}: not known"))?;
    let card = card.into_spi(SdOptions { profile, ..SdOptions::new(Box::new(area)) }).context("the card on a wire")?;
    let mut device = Spidev::new(card, arguments.bufsiz, !arguments.insist_on_cs);
    cuse::serve(&arguments.name, &mut device, || ())
}
