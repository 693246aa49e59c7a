//! What is shown, one file a partner.

mod board;
mod broken;

mod issue;
mod port;
mod reader;
mod slot;
mod spidev;
mod wires;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::lab::Lab;
use crate::scenario::Scenario;

/// The source of a card in the slot.
const SOURCE_IN_SLOT: &str = "mmc:/dev/mmcblk0";

/// All scenarios, in the order they are begun: the longest first.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [port::ALL, broken::ALL, slot::ALL, spidev::ALL, board::ALL, reader::ALL, wires::ALL].concat()
}

/// A new card of that recovery kind, in an image.
fn new_card(lab: &Lab, name: &str, recovery: &str) -> Result<PathBuf> {
    let image = lab.path(name);
    let created = Command::new(lab.rig().program("smcardd")?)
        .arg("create")
        .arg(&image)
        .args(["--size", "16M", "--recovery", recovery])
        .output()
        .context("starting smcardd")?;
    if !created.status.success() {
        bail!("smcardd create: {}", String::from_utf8_lossy(&created.stderr));
    }
    Ok(image)
}
