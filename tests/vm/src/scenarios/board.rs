//! The SPI driver through a real `spidev` and a real controller driver, against QEMU's own SD card.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::board::{self, AS_SPIDEV};
use crate::lab::Lab;
use crate::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "board-memory",
        shows: "spi-sifive, spidev: QEMU's card comes up, is written and read by our SPI driver",
        run: memory,
    },
    Scenario {
        name: "board-not-secure",
        shows: "spi-sifive, spidev: QEMU's card, which knows no secure command, is refused and says why",
        run: not_secure,
    },
    Scenario {
        name: "board-mmc-spi",
        shows: "mmc_spi: a card on SPI behind the kernel's MMC ioctls: its ENOSYS is understood, the card is refused",
        run: mmc_spi,
    },
];

/// Longest time a run of the board may take.
const LIMIT: Duration = Duration::from_secs(120);

fn memory(lab: &Lab) -> Result<()> {
    let card = lab.image("sd.img", 64 << 20)?;
    let probe = lab.rig().cross_program("smcard-probe")?;
    let script = format!("{AS_SPIDEV} /probe memory spi:/dev/spidev1.0");
    let output = board::run(lab, &card, &[("probe", &probe)], &script, LIMIT)?;
    ensure!(output.status == 0, "the probe ended with {}", output.status);
    ensure!(output.text.contains("memory: as written"), "no word of the memory");
    ensure!(output.text.contains("64 MiB"), "another card");
    Ok(())
}

fn not_secure(lab: &Lab) -> Result<()> {
    let card = lab.image("sd.img", 64 << 20)?;
    let probe = lab.rig().cross_program("smcard-probe")?;
    let script = format!("{AS_SPIDEV} /probe secure spi:/dev/spidev1.0");
    let output = board::run(lab, &card, &[("probe", &probe)], &script, LIMIT)?;
    ensure!(output.status == 1, "the probe ended with {}", output.status);
    let reason = output.text.lines().find_map(|line| line.strip_prefix("refused: ")).unwrap_or_default();
    ensure!(reason.contains("secure command set"), "the refusal is {reason:?}");
    Ok(())
}

fn mmc_spi(lab: &Lab) -> Result<()> {
    let card = lab.image("sd.img", 64 << 20)?;
    let probe = lab.rig().cross_program("smcard-probe")?;
    let script = "until [ -b /dev/mmcblk0 ]; do usleep 50000; done; /probe secure mmc:/dev/mmcblk0";
    let output = board::run(lab, &card, &[("probe", &probe)], script, LIMIT)?;
    ensure!(output.status == 1 && output.text.contains("refused: "), "the probe ended with {}", output.status);
    // QEMU's card tells that a command was illegal with the one after it; `mmc_spi` makes ENOSYS of that.
    let told = "the card takes the command for illegal; seen: ENOSYS";
    ensure!(output.text.contains(told), "ENOSYS was not seen, or not understood");
    Ok(())
}
