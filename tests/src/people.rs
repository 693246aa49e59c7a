//! Programs run by people without rights of their own.

use std::process::{Command, Stdio};

use crate::binaries;
use crate::mounted::Mounted;
use crate::run::{Output, run};

/// A script run by `nobody` in the scratch folder, in the groups given (comma-separated, or none), with a copy of the client
/// where everybody can reach it; `$CARD` is the mount point, and `smcardctl` finds the card.
///
/// # Panics
/// If it cannot be run.
#[must_use]
pub fn as_nobody(card: &Mounted, groups: &str, script: &str) -> Output {
    let client = card.scratch().join("smcardctl");
    if !client.exists() {
        std::fs::copy(binaries::smcardctl(), &client).unwrap();
    }
    let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={groups}") };
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", &groups, "bash", "-c", script]);
    command.current_dir(card.scratch()).env("CARD", card.mountpoint()).env("SMCARD", card.mountpoint());
    command.env("PATH", format!("{}:/usr/bin:/bin", card.scratch().display())).env("LC_ALL", "C");
    run(command.stdin(Stdio::null()))
}
