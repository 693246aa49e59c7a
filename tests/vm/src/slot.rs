//! Our card in the slot of the machine: `smcard-slot` on the host, plugged in by vfio-user.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use serde_json::json;

use crate::lab::Lab;
use crate::machine::{Machine, SOON};
use crate::process::{Program, until};

/// The spare port the slot is plugged into.
const PORT: u8 = 1;

/// A running `smcard-slot`. Dropping it kills it; the machine then loses the whole controller.
#[derive(Debug)]
pub struct Slot {
    program: Program,
    client: PathBuf,
    socket: PathBuf,
}

impl Slot {
    /// Starts it with the card of `image`, or with an empty slot.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(lab: &Lab, image: Option<&Path>) -> Result<Self> {
        let empty = OsStr::new("--empty");
        Self::start_with(lab, &[image.map_or(empty, Path::as_os_str)])
    }

    /// Starts it with these further arguments.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start_with(lab: &Lab, arguments: &[&OsStr]) -> Result<Self> {
        let client = lab.rig().program("smcard-slot")?;
        let socket = lab.path("slot");
        let mut line = vec![OsStr::new("--socket"), socket.as_os_str()];
        line.extend(arguments);
        let mut program = Program::start(&client, line, &lab.path("slot.log"))?;
        until("the slot's socket", SOON, || {
            program.must_run()?;
            Ok(socket.exists())
        })?;
        Ok(Slot { program, client, socket })
    }

    /// What QEMU needs on its command line to have this slot's SPI port from the start (`--spi`), with its ACPI table.
    ///
    /// # Errors
    /// If the table cannot be made.
    pub fn spi_port(&self, lab: &Lab) -> Result<Vec<OsString>> {
        let table = lab.path("spidev.aml");
        let made = Command::new(&self.client).arg("acpi-table").arg(&table).output().context("starting smcard-slot")?;
        if !made.status.success() {
            bail!("smcard-slot acpi-table: {}", String::from_utf8_lossy(&made.stderr));
        }
        let socket = json!({"type": "unix", "path": self.socket});
        let device = json!({"driver": "vfio-user-pci", "bus": "pcie.0", "addr": "0x10", "socket": socket});
        let mut file = OsString::from("file=");
        file.push(table);
        Ok(vec!["-acpitable".into(), file, "-device".into(), device.to_string().into()])
    }

    /// Plugs it into the machine and waits until the guest has its controller.
    ///
    /// # Errors
    /// If the guest does not find it.
    pub fn plug(&mut self, machine: &mut Machine) -> Result<()> {
        machine.plug(PORT, &self.socket)?;
        machine.wait_for("the slot's controller", SOON, "[ -e /sys/class/mmc_host/mmc0 ]")
    }

    /// Takes the whole controller out.
    ///
    /// # Errors
    /// If the guest does not let go of it.
    pub fn unplug(&mut self, machine: &mut Machine) -> Result<()> {
        machine.unplug(PORT)
    }

    /// Puts a card into the slot.
    ///
    /// # Errors
    /// What `smcard-slot` says against it.
    pub fn insert(&mut self, image: &Path) -> Result<()> {
        self.ask(&[OsStr::new("insert"), image.as_os_str()]).map(|_| ())
    }

    /// Pulls the card out.
    ///
    /// # Errors
    /// What `smcard-slot` says against it.
    pub fn eject(&mut self) -> Result<()> {
        self.ask(&[OsStr::new("eject")]).map(|_| ())
    }

    /// How things stand, in its words.
    ///
    /// # Errors
    /// If it does not say.
    pub fn status(&mut self) -> Result<String> {
        self.ask(&[OsStr::new("status")])
    }

    /// Ends it as a service would: by SIGTERM.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(mut self) -> Result<()> {
        if !self.program.stop(SOON)? {
            bail!("smcard-slot did not end after SIGTERM");
        }
        Ok(())
    }

    fn ask(&mut self, request: &[&OsStr]) -> Result<String> {
        self.program.must_run()?;
        let output = Command::new(&self.client)
            .arg("--socket")
            .arg(&self.socket)
            .arg("ctl")
            .args(request)
            .output()
            .context("asking smcard-slot")?;
        if !output.status.success() {
            bail!("{request:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
