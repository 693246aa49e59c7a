//! One virtual machine: boot, save, restore, and what is done to it from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::agent::{Agent, Output};
use crate::line::{self, PORTS, Places};
use crate::process::{Program, until};
use crate::qmp::Qmp;
use crate::rig::Rig;

/// How long a guest may take to boot, on a loaded machine.
const BOOT: Duration = Duration::from_secs(180);
/// How long saving or restoring a state may take.
const MIGRATION: Duration = Duration::from_secs(60);
/// How long a command in the guest may take where nothing else is said.
pub const SOON: Duration = Duration::from_secs(30);

/// A running virtual machine. Dropping it kills QEMU.
#[derive(Debug)]
pub struct Machine {
    qemu: Program,
    qmp: Qmp,
    agent: Agent,
    folder: PathBuf,
}

impl Machine {
    fn start(rig: &Rig, places: &Places) -> Result<Self> {
        fs::create_dir_all(places.folder.join("share")).context("making the shared folder")?;
        let mut qemu = Program::start(&rig.starter(), line::arguments(rig, places), &places.folder.join("qemu.log"))?;
        let (qmp, agent) = (places.folder.join("qmp"), places.folder.join("agent"));
        until("QEMU's control socket", SOON, || {
            qemu.must_run().with_context(|| log_of(places.folder))?;
            Ok(qmp.exists() && agent.exists())
        })?;
        let qmp = Qmp::connect(&qmp).with_context(|| log_of(places.folder))?;
        let agent = Agent::connect(&agent, &places.folder.join("transcript.log"))?;
        Ok(Machine { qemu, qmp, agent, folder: places.folder.to_owned() })
    }

    /// Boots the guest.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn boot(rig: &Rig, places: &Places) -> Result<Self> {
        let mut machine = Machine::start(rig, places)?;
        machine.agent.wait_ready(BOOT)?;
        let settled = machine.run("systemctl is-system-running --wait", BOOT)?;
        if settled.text.trim() != "running" {
            let units = machine.sh("systemctl --failed --no-legend --plain")?;
            bail!("the guest is {} after its start: {units}", settled.text.trim());
        }
        Ok(machine)
    }

    /// Saves the machine to `state` and ends it.
    ///
    /// # Errors
    /// If QEMU cannot.
    pub fn save(mut self, state: &Path) -> Result<()> {
        // QEMU does not save the PCI part of its SD controller: the guest finds it again after restoring.
        self.sh("for d in /sys/bus/pci/drivers/sdhci-pci/0000:*; do echo 1 > $d/remove; done; sync; echo 3 > /proc/sys/vm/drop_caches")?;
        self.qmp.command("stop", json!({}))?;
        self.qmp.command("migrate", json!({"uri": format!("file:{}", state.display())}))?;
        until("saving the machine", MIGRATION, || {
            let answer = self.qmp.command("query-migrate", json!({}))?;
            match answer["status"].as_str() {
                Some("completed") => Ok(true),
                Some("failed") => bail!("QEMU cannot save the machine: {}", answer["error-desc"]),
                _ => Ok(false),
            }
        })?;
        self.qmp.command("quit", json!({}))?;
        self.qemu.wait(SOON)?;
        Ok(())
    }

    /// Starts from the state that [`Machine::save`] wrote, as [`Machine::settle_in`] leaves it; what the guest writes to
    /// `root` is lost.
    ///
    /// # Errors
    /// If it does not go on from there.
    pub fn restore(rig: &Rig, root: &Path, state: &Path, folder: &Path) -> Result<Self> {
        let mut machine = Machine::start(rig, &Places { root, discard: true, folder, state: Some(state), more: &[] })?;
        until("restoring the machine", MIGRATION, || {
            machine.qemu.must_run().with_context(|| log_of(folder))?;
            Ok(machine.qmp.command("query-status", json!({}))?["status"] != "inmigrate")
        })?;
        machine.qmp.command("cont", json!({}))?;
        machine.settle_in()?;
        Ok(machine)
    }

    /// Sets the clock; mounts the programs under test as `/programs`, and this machine's folder `share` as `/share`.
    ///
    /// # Errors
    /// If the guest cannot.
    pub fn settle_in(&mut self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_secs();
        self.sh(&format!(
            "date -s @{now} >/dev/null; mkdir -p /programs /share
             options=trans=virtio,version=9p2000.L,msize=262144
             mount -t 9p -o $options,ro,cache=loose programs /programs && mount -t 9p -o $options share /share"
        ))?;
        Ok(())
    }

    /// Runs a script in the guest, for `limit` at most.
    ///
    /// # Errors
    /// If the guest does not answer; a script that fails is no error.
    pub fn run(&mut self, script: &str, limit: Duration) -> Result<Output> {
        self.agent.run(script, limit)
    }

    /// Runs a script in the guest that must succeed [`SOON`], and gives what it prints, without the last line feed.
    ///
    /// # Errors
    /// If it fails, with what it printed.
    pub fn sh(&mut self, script: &str) -> Result<String> {
        let output = self.run(script, SOON)?;
        if output.status != 0 {
            bail!("in the guest: {script}\nended with {}: {}", output.status, output.text);
        }
        Ok(output.text.trim_end().to_owned())
    }

    /// Runs a script in the guest that must fail, and gives what it prints.
    ///
    /// # Errors
    /// If it succeeds, or is killed for taking too long.
    pub fn refused(&mut self, script: &str) -> Result<String> {
        let output = self.run(script, SOON)?;
        if output.status == 0 || output.status == 124 || output.status >= 126 {
            bail!("in the guest: {script}\nshould be refused, but ended with {}: {}", output.status, output.text);
        }
        Ok(output.text.trim_end().to_owned())
    }

    /// Waits until `script` succeeds in the guest.
    ///
    /// # Errors
    /// If it does not within `limit`.
    pub fn wait_for(&mut self, what: &str, limit: Duration, script: &str) -> Result<()> {
        let seconds = limit.as_secs_f64();
        let looping = format!(
            "end=$(($(date +%s%N) + {seconds:.0}000000000)); until {script}; do [ $(date +%s%N) -lt $end ] || exit 99; sleep 0.05; done"
        );
        let output = self.run(&looping, limit + Duration::from_secs(10))?;
        if output.status != 0 {
            bail!("{what}: not within {limit:?}: {}", output.text);
        }
        Ok(())
    }

    /// Runs a QMP command.
    ///
    /// # Errors
    /// What QEMU says against it.
    pub fn qmp(&mut self, name: &str, arguments: Value) -> Result<Value> {
        self.qmp.command(name, arguments)
    }

    /// Brings QEMU's own SD controller back, which a restored machine lacks. Its slot is empty.
    ///
    /// # Errors
    /// If the guest does not find it.
    pub fn find_reader(&mut self) -> Result<()> {
        self.sh("echo 1 > /sys/bus/pci/rescan")?;
        self.wait_for("QEMU's SD controller", SOON, "[ -e /sys/class/mmc_host/mmc0 ]")
    }

    /// Puts an SD card with that raw image into QEMU's own controller.
    ///
    /// # Errors
    /// If QEMU refuses the image.
    pub fn insert(&mut self, image: &Path) -> Result<()> {
        self.qmp("blockdev-change-medium", json!({"id": "card", "filename": image, "format": "raw"}))?;
        Ok(())
    }

    /// Pulls the card out of QEMU's own controller.
    ///
    /// # Errors
    /// If there is none.
    pub fn pull(&mut self) -> Result<()> {
        self.qmp("eject", json!({"id": "card", "force": true}))?;
        Ok(())
    }

    /// Plugs the vfio-user device that serves `socket` into a spare port (1 …). Its QEMU name is `slotN`.
    ///
    /// # Errors
    /// If QEMU does not get on with it.
    pub fn plug(&mut self, port: u8, socket: &Path) -> Result<()> {
        if port == 0 || port > PORTS {
            bail!("no spare port {port}; there are {PORTS}");
        }
        let device = json!({"driver": "vfio-user-pci", "id": format!("slot{port}"), "bus": format!("port{port}"),
            "socket": {"type": "unix", "path": socket}});
        self.qmp("device_add", device).map(|_| ())
    }

    /// Takes the device in a spare port out and waits until the guest has let go of it.
    ///
    /// # Errors
    /// If it does not.
    pub fn unplug(&mut self, port: u8) -> Result<()> {
        self.qmp("device_del", json!({"id": format!("slot{port}")}))?;
        self.qmp.event("DEVICE_DELETED", SOON)?;
        Ok(())
    }

    /// Folder that the guest sees as `/share`.
    #[must_use]
    pub fn share(&self) -> PathBuf {
        self.folder.join("share")
    }

    /// Folder of this machine, for sockets and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The power of the whole machine fails.
    pub fn cut_power(mut self) {
        self.qemu.kill();
    }
}

/// What QEMU itself printed.
fn log_of(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("qemu.log")).unwrap_or_default();
    format!("QEMU says: {}", text.trim())
}
