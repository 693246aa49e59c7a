//! What a scenario works in: a folder of its own and machines that come up at once.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::line::Places;
use crate::machine::Machine;
use crate::rig::Rig;
use crate::snapshot::Snapshot;

/// Logs of a machine's folder, the telling ones last.
const LOGS: [&str; 4] = ["qemu.log", "slot.log", "serial.log", "transcript.log"];
/// Lines of each log that are shown when a scenario fails.
const SHOWN: usize = 30;

/// The working place of one scenario. Dropping it removes its folder.
#[derive(Debug)]
pub struct Lab {
    rig: Rig,
    snapshot: Snapshot,
    folder: TempDir,
}

impl Lab {
    /// A new one.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn new(rig: &Rig, snapshot: &Snapshot) -> Result<Self> {
        // Short, for a socket's path holds 107 bytes.
        let folder = tempfile::Builder::new().prefix("smcard-vm-").tempdir().context("making a folder")?;
        Ok(Lab { rig: rig.clone(), snapshot: snapshot.clone(), folder })
    }

    /// A machine that has come up.
    ///
    /// # Errors
    /// If it cannot be restored.
    pub fn machine(&self) -> Result<Machine> {
        Machine::restore(&self.rig, &self.snapshot.root, &self.snapshot.state, self.folder.path())
    }

    /// A machine that boots, with more on QEMU's command line.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn machine_with(&self, more: &[OsString]) -> Result<Machine> {
        let root = self.rig.guest("root.ext4");
        let places = Places { root: &root, discard: true, folder: self.folder.path(), state: None, more };
        let mut machine = Machine::boot(&self.rig, &places)?;
        machine.settle_in()?;
        Ok(machine)
    }

    /// The rig.
    #[must_use]
    pub fn rig(&self) -> &Rig {
        &self.rig
    }

    /// A path in this scenario's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new raw image of that many bytes, all zero.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn image(&self, name: &str, length: u64) -> Result<PathBuf> {
        let path = self.path(name);
        let file = fs::File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        file.set_len(length).with_context(|| format!("sizing {}", path.display()))?;
        Ok(path)
    }

    /// The ends of all logs, and a copy of them in a folder that stays.
    #[must_use]
    pub fn account(&self, name: &str) -> String {
        let kept = self.rig.logs().join(name);
        keep(self.folder.path(), &kept);
        let mut text = String::new();
        for log in LOGS {
            let Ok(bytes) = fs::read(self.folder.path().join(log)) else { continue };
            let content = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = content.lines().collect();
            let shown = lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default();
            if !shown.is_empty() {
                text.push_str(&format!("--- {log}\n{}\n", shown.join("\n")));
            }
        }
        text.push_str(&format!("--- all of it: {}\n", kept.display()));
        text
    }
}

/// Copies the logs of a machine's folder to `kept`. What cannot be copied is left out.
pub(crate) fn keep(folder: &Path, kept: &Path) {
    if fs::create_dir_all(kept).is_ok() {
        for log in LOGS {
            let _ = fs::copy(folder.join(log), kept.join(log));
        }
    }
}
