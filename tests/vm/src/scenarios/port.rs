//! Our card on an SPI port that the kernel's own drivers move byte by byte: `spi-pxa2xx-pci`, `spidev`.

use anyhow::{Result, ensure};

use crate::card::{self, Card};
use crate::lab::Lab;
use crate::line::KERNEL;
use crate::machine::SOON;
use crate::scenario::Scenario;
use crate::scenarios::{issue, new_card};
use crate::slot::Slot;

pub(super) const ALL: &[Scenario] = &[Scenario {
    name: "port-issue",
    shows: "spi-pxa2xx, spidev: an issue in two exchanges over the kernel's SPI stack (this one boots)",
    run: port,
}];

/// The kernel gives a message 200 ms beside twice its length on the wire, and under emulation a byte costs a third of a
/// millisecond, more on a loaded machine: messages are short, and the clock is slow.
const MESSAGE: &str = "spidev.bufsiz=128";
const CONFIGURATION: &str = "[card.quirks]\nclock_hz = 100000";

fn port(lab: &Lab) -> Result<()> {
    card::batches(lab)?;
    let image = new_card(lab, "card.img", "function")?;
    let slot = Slot::start_with(lab, &["--spi".as_ref(), image.as_os_str()])?;
    let mut more = slot.spi_port(lab)?;
    more.extend(["-append".into(), format!("{KERNEL} {MESSAGE}").into()]);
    let mut guest = lab.machine_with(&more)?;
    guest.wait_for("a spidev", SOON, "[ -c /dev/spidev128.0 ]")?;
    let subsystem = guest.sh("readlink -f /sys/class/spidev/spidev128.0/device/driver")?;
    ensure!(subsystem.ends_with("/bus/spi/drivers/spidev"), "its driver is {subsystem}");
    let mut card = Card::mount(&mut guest, "spi:/dev/spidev128.0", CONFIGURATION)?;
    issue::whole(&mut card)?;
    card.unmount()?;
    drop(guest);
    slot.stop()
}
