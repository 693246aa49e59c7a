//! The state of a guest that has come up, saved once, so that every scenario begins there.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use crate::line::{self, Places};
use crate::machine::Machine;
use crate::rig::Rig;

/// Modules that are loaded before saving: loading takes seconds under emulation.
const MODULES: &str = "9p 9pnet_virtio fuse cuse mmc_block sdhci_pci vhci-hcd spidev vfat nls_cp437 nls_ascii loop";

/// A saved machine.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Image of the root file system at that moment.
    pub root: PathBuf,
    /// State of the machine.
    pub state: PathBuf,
}

impl Snapshot {
    /// The saved machine of this rig; boots and saves one if there is none that fits.
    ///
    /// # Errors
    /// If the guest does not come up.
    pub fn ensure(rig: &Rig) -> Result<Self> {
        let lock =
            File::create(rig.snapshot().with_extension("lock")).context("making the lock of the saved machine")?;
        // Held until the end: whoever comes second finds what the first has saved.
        flock(&lock, FlockOperation::LockExclusive).context("waiting for the saved machine")?;
        let folder = rig.snapshot();
        let snapshot = Snapshot { root: folder.join("root.ext4"), state: folder.join("state") };
        let key = key(rig);
        if fs::read_to_string(folder.join("key")).is_ok_and(|found| found == key) {
            return Ok(snapshot);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let copied = Command::new("cp")
            .arg("--sparse=always")
            .args([&rig.guest("root.ext4"), &snapshot.root])
            .status()
            .context("starting cp")?;
        if !copied.success() {
            bail!("copying the guest's disk: {copied}");
        }
        let sockets = tempfile::Builder::new().prefix("smcard-vm-").tempdir().context("making a folder")?;
        let saved = Machine::boot(
            rig,
            &Places { root: &snapshot.root, discard: false, folder: sockets.path(), state: None, more: &[] },
        )
        .and_then(|mut machine| {
            machine.sh(&format!("for m in {MODULES}; do modprobe $m || exit; done"))?;
            machine.save(&snapshot.state)
        });
        if let Err(error) = saved {
            let kept = rig.logs().join("boot");
            crate::lab::keep(sockets.path(), &kept);
            return Err(error.context(format!("the guest did not get ready; its logs are in {}", kept.display())));
        }
        fs::write(folder.join("key"), key).context("finishing the saved machine")?;
        Ok(snapshot)
    }
}

/// Everything a saved state depends on.
fn key(rig: &Rig) -> String {
    let nowhere = PathBuf::new();
    let places = Places { root: &nowhere, discard: true, folder: &nowhere, state: None, more: &[] };
    format!("{}\n{MODULES}\n{:?}", rig.identity(), line::arguments(rig, &places))
}
