//! Where the parts of the rig are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// What `scripts/vm-setup.sh` made, and the programs under test.
#[derive(Clone, Debug)]
pub struct Rig {
    vm: PathBuf,
    programs: PathBuf,
    identity: String,
}

impl Rig {
    /// Finds the rig of this source tree and the programs of the build profile this program was built with.
    ///
    /// # Errors
    /// If the rig is not set up; the message says how to.
    pub fn find() -> Result<Self> {
        let this = env::current_exe().context("where is this program?")?;
        let programs = this.parent().context("this program has no folder")?;
        let programs = if programs.ends_with("deps") { programs.parent().unwrap_or(programs) } else { programs };
        let vm = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/vm");
        let vm = vm.canonicalize().context("the rig is not set up; run: scripts/vm-setup.sh")?;
        let mut identity = Vec::new();
        for file in ["qemu/key", "qemu/version", "guest/key", "guest/version"] {
            let text = fs::read_to_string(vm.join(file))
                .with_context(|| format!("{file} is missing in {}; run: scripts/vm-setup.sh", vm.display()))?;
            identity.push(text.trim().to_owned());
        }
        Ok(Rig { vm, programs: programs.to_owned(), identity: identity.join(" ") })
    }

    /// Starter of programs of QEMU's tree: its first argument is the program's name.
    #[must_use]
    pub fn starter(&self) -> PathBuf {
        self.vm.join("qemu/run")
    }

    /// Folders with firmware, in the order QEMU shall look into them.
    #[must_use]
    pub fn firmware(&self) -> [PathBuf; 2] {
        let share = self.vm.join("qemu/tree/usr/share");
        [share.join("qemu"), share.join("seabios")]
    }

    /// A file of the guest: `vmlinux`, `initrd`, `root.ext4`.
    #[must_use]
    pub fn guest(&self, file: &str) -> PathBuf {
        self.vm.join("guest").join(file)
    }

    /// A file of the board with a real SPI controller: `vmlinux`, `initrd`.
    #[must_use]
    pub fn board(&self, file: &str) -> PathBuf {
        self.vm.join("riscv").join(file)
    }

    /// A program of this workspace, built for that board by `scripts/vm-cross.sh`.
    ///
    /// # Errors
    /// If it is not built.
    pub fn cross_program(&self, name: &str) -> Result<PathBuf> {
        let path = self.vm.join("cross/target/riscv64gc-unknown-linux-gnu/debug").join(name);
        if !path.is_file() {
            bail!("{} is not built; run: make vm", path.display());
        }
        Ok(path)
    }

    /// Folder of the saved state of a guest that has come up.
    #[must_use]
    pub fn snapshot(&self) -> PathBuf {
        self.vm.join("snapshot")
    }

    /// Folder of the logs that are kept.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.vm.join("logs")
    }

    /// Folder of the programs under test; the guest sees it as `/programs`.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// A program under test, for the host to run.
    ///
    /// # Errors
    /// If it is not built.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.programs.join(name);
        if !path.is_file() {
            bail!("{} is not built; run: make vm", path.display());
        }
        Ok(path)
    }

    /// What the state of a guest depends on besides QEMU's command line.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }
}
