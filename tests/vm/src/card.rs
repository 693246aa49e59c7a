//! A card mounted by `smcardd` in the guest, and an application issued to it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::agent::Output;
use crate::lab::Lab;
use crate::machine::{Machine, SOON};

/// Where the card is mounted in the guest.
pub const MOUNT: &str = "/mnt/card";
/// Longest time an issue may take, on a loaded machine.
const ISSUE: Duration = Duration::from_secs(120);

/// The application of the scenarios: an NFC Forum Type 4 Tag.
pub const APPLICATION: &str = "D2760000850101";
/// The well-known test key of a new emulated card; no other card is given it without being told.
const TEST_KEY: &str = "404142434445464748494A4B4C4D4E4F";

/// A last command that fails: DELETE of what is not there.
const FAILS: &str = "80E40000094F07D2760000850199\n";

/// Makes the batches of the scenarios in the folder that the guest sees as `/share`: `tag.batch` issues an application,
/// `bad.batch` fails at its last command.
///
/// # Errors
/// If a program on the host fails.
pub fn batches(lab: &Lab) -> Result<()> {
    let share = lab.path("share");
    fs::create_dir_all(&share).context("making the shared folder")?;
    let fixtures = lab.path("fixtures");
    on_host(Command::new(lab.rig().program("smcard-fixtures")?).arg(&fixtures))?;
    let applet = format!("F0534D434152440101={APPLICATION},params=D1010F5402656E48656C6C6F2C20636172642E");
    let pack = |name: &str, more: &[&str]| -> Result<()> {
        let mut command = Command::new(lab.rig().program("smcardctl")?);
        command.arg("pack").arg(fixtures.join("cap/ndef.cap")).arg("-o").arg(share.join(name)).args(more);
        on_host(&mut command)
    };
    let also = lab.path("fails.apdu");
    fs::write(&also, FAILS).context("writing a file of APDUs")?;
    pack("tag.batch", &["--recovery", "function", "--applet", &applet])?;
    pack("bad.batch", &["--applet", &applet, "--also", &also.to_string_lossy()])
}

fn on_host(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// What `smcardctl` says of an issue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issue {
    /// `done` or `failed`.
    pub state: String,
    /// Status word, hexadecimal; empty if the card has not answered.
    pub status_word: String,
    /// What is wrong with the link; empty if the card has answered.
    pub error: String,
    /// Commands of the batch.
    pub commands: u64,
    /// Commands given, the failing one included.
    pub given: u64,
    /// Exchanges, the upload included.
    pub exchanges: u64,
}

/// Writes the daemon's configuration, with the keys of a new card, and makes the mount point.
///
/// # Errors
/// If the guest does not take it.
pub fn configure(guest: &mut Machine, configuration: &str) -> Result<()> {
    guest.sh(&format!(
        "mkdir -p {MOUNT}; umask 77
         for name in enc mac dek; do echo \"$name = \\\"{TEST_KEY}\\\"\"; done > /run/keys
         printf '[keys]\\nfile = \"/run/keys\"\\n' > /run/smcardd.toml; cat >> /run/smcardd.toml <<'END'\n{configuration}\nEND"
    ))?;
    Ok(())
}

/// A mounted card.
#[derive(Debug)]
pub struct Card<'a> {
    guest: &'a mut Machine,
}

impl<'a> Card<'a> {
    /// Starts `smcardd` in the guest for `source`, with `configuration`, as the unit `smcardd`; waits until it is mounted.
    ///
    /// # Errors
    /// What the daemon says, if it does not mount.
    pub fn mount(guest: &'a mut Machine, source: &str, configuration: &str) -> Result<Self> {
        configure(guest, configuration)?;
        let started = guest.run(
            &format!(
                "systemctl reset-failed smcardd 2>/dev/null
                 systemd-run -q --unit smcardd -p Type=notify -p TimeoutStartSec=60 -p 'ExecStopPost=-/bin/umount -l {MOUNT}' -E SMCARD_LOG=info \
                 /programs/smcardd {source} {MOUNT} -f --config /run/smcardd.toml"
            ),
            Duration::from_secs(90),
        )?;
        if started.status != 0 {
            bail!("smcardd does not mount {source}: {}{}", started.text, log(guest)?);
        }
        Ok(Card { guest })
    }

    /// The guest.
    pub fn guest(&mut self) -> &mut Machine {
        self.guest
    }

    /// Copies a batch from `/share` into the card's protected memory.
    ///
    /// # Errors
    /// If `cp` fails.
    pub fn put(&mut self, batch: &str) -> Result<()> {
        let copied = self.guest.run(&format!("cp /share/{batch} {MOUNT}/issue/"), ISSUE)?;
        if copied.status != 0 {
            bail!("cp {batch}: {}{}", copied.text, log(self.guest)?);
        }
        Ok(())
    }

    /// START of a batch in the store, and what became of it.
    ///
    /// # Errors
    /// If `smcardctl` does not say.
    pub fn start(&mut self, batch: &str) -> Result<Issue> {
        let output = self.guest.run(&ctl(&format!("start --json {batch}")), ISSUE)?;
        outcome("start", &output)
    }

    /// START of a batch, without waiting for what becomes of it.
    ///
    /// # Errors
    /// If the daemon does not take it.
    pub fn begin(&mut self, batch: &str) -> Result<()> {
        self.guest.sh(&ctl(&format!("start --no-wait {batch}"))).map(|_| ())
    }

    /// What became of the issue that was started last.
    ///
    /// # Errors
    /// If `smcardctl` does not say.
    pub fn wait(&mut self) -> Result<Issue> {
        let output = self.guest.run(&ctl("wait --json"), ISSUE)?;
        outcome("wait", &output)
    }

    /// Waits until the status begins with `word`.
    ///
    /// # Errors
    /// If it does not soon.
    pub fn wait_status(&mut self, word: &str) -> Result<()> {
        let what = format!("the card's status {word:?}");
        self.guest.wait_for(&what, ISSUE, &format!("grep -q '^{word}' {MOUNT}/status"))
    }

    /// CLEAR: removes what an unfinished issue has written.
    ///
    /// # Errors
    /// If the card refuses.
    pub fn clear(&mut self) -> Result<()> {
        self.guest.sh(&ctl("clear")).map(|_| ())
    }

    /// The status word and the response of an APDU, hexadecimal.
    ///
    /// # Errors
    /// If the card does not answer.
    pub fn apdu(&mut self, command: &str) -> Result<(String, String)> {
        let output = self.guest.run(&ctl(&format!("apdu --json {command}")), ISSUE)?;
        let value: Value = serde_json::from_str(output.text.trim())
            .with_context(|| format!("smcardctl apdu ended with {}: {}", output.status, output.text))?;
        let text = |name: &str| value[0][name].as_str().unwrap_or_default().to_owned();
        Ok((text("sw"), text("response")))
    }

    /// Fails unless the application answers, with the text that the batch gave it.
    ///
    /// # Errors
    /// If it does not.
    pub fn must_answer(&mut self) -> Result<()> {
        let (selected, _) = self.apdu(&format!("00A4040007{APPLICATION}"))?;
        ensure!(selected == "9000", "SELECT of the application: {selected}");
        let (file, _) = self.apdu("00A4000C02E104")?;
        ensure!(file == "9000", "SELECT of its file: {file}");
        let (read, response) = self.apdu("00B0000015")?;
        let text = "48656C6C6F2C20636172642E"; // "Hello, card."
        ensure!(read == "9000" && response.to_uppercase().contains(text), "READ BINARY: {read} {response}");
        Ok(())
    }

    /// A value of the card's folders, by its path in the mount.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn value(&mut self, path: &str) -> Result<String> {
        self.guest.sh(&format!("cat {MOUNT}/{path}"))
    }

    /// Ends the daemon, which unmounts.
    ///
    /// # Errors
    /// If it fails, or leaves its mount.
    pub fn unmount(self) -> Result<()> {
        self.guest.sh("systemctl stop smcardd")?;
        self.guest.sh(&format!("! mountpoint -q {MOUNT} && [ $(systemctl is-failed smcardd) != failed ]"))?;
        Ok(())
    }
}

/// What `smcardctl` said became of an issue.
fn outcome(command: &str, output: &Output) -> Result<Issue> {
    let value: Value = serde_json::from_str(output.text.trim())
        .with_context(|| format!("smcardctl {command} ended with {}: {}", output.status, output.text))?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| value[name].as_u64().with_context(|| format!("{name} is missing in {value}"));
    Ok(Issue {
        state: text("state"),
        status_word: text("sw"),
        error: text("error"),
        commands: number("commands")?,
        given: number("given")?,
        exchanges: number("exchanges")?,
    })
}

/// What the daemon has logged.
///
/// # Errors
/// If the guest does not answer.
pub fn log(guest: &mut Machine) -> Result<String> {
    Ok(guest.run("journalctl -q -o cat -u smcardd --no-pager | tail -n 40", SOON)?.text)
}

fn ctl(arguments: &str) -> String {
    format!("/programs/smcardctl --card {MOUNT} {arguments}")
}
