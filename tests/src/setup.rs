//! What kind of card a test wants, and how the daemon is told.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::mounted::Mounted;
use crate::run::run;

/// The source that stands for a card in this image: `SMCARD_TEST_SOURCE` names the cable (`emulated`, `emulated-spi`,
/// `emulated-mmc`), so that the same tests run over each.
///
/// # Panics
/// If it names another.
#[must_use]
pub fn source(image: &Path) -> String {
    let cable = std::env::var("SMCARD_TEST_SOURCE").unwrap_or_else(|_| "emulated".to_owned());
    assert!(matches!(cable.as_str(), "emulated" | "emulated-spi" | "emulated-mmc"), "SMCARD_TEST_SOURCE={cable}");
    format!("{cable}:{}", image.display())
}

/// The keys the daemon is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Nothing is configured: the well-known test keys, as an emulated card has them.
    Default,
    /// A file with the card's keys.
    Right,
    /// A file with other keys.
    Wrong,
    /// Nothing is configured, and the daemon waits for AUTHENTICATE.
    Manual,
}

/// A card to be made and mounted. Starts from what the programs do by themselves, with a smaller image.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Bytes of the image, as `smcardd create --size` takes it.
    pub size: &'static str,
    /// Kind of recovery.
    pub recovery: Option<&'static str>,
    /// Kind of privileged mode.
    pub privilege: Option<&'static str>,
    /// Keys of the daemon.
    pub keys: Keys,
    /// Security level of the secure channel.
    pub level: Option<&'static str>,
    /// Milliseconds each command of an issue takes.
    pub command_delay_ms: u32,
    /// Groups that may write into `issue/` and start: preparers, operators.
    pub groups: Option<(&'static str, &'static str)>,
    /// Further sections of the configuration.
    pub sections: &'static str,
    /// `SMCARD_LOG` of the daemon.
    pub log: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            size: "8M",
            recovery: None,
            privilege: None,
            keys: Keys::Default,
            level: None,
            command_delay_ms: 0,
            groups: None,
            sections: "",
            log: "info",
        }
    }
}

impl Setup {
    /// What the programs do by themselves, on a card of 8 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With an image of this size.
    #[must_use]
    pub fn size(self, size: &'static str) -> Self {
        Self { size, ..self }
    }

    /// With this kind of recovery.
    #[must_use]
    pub fn recovery(self, recovery: &'static str) -> Self {
        Self { recovery: Some(recovery), ..self }
    }

    /// With this kind of privileged mode.
    #[must_use]
    pub fn privilege(self, privilege: &'static str) -> Self {
        Self { privilege: Some(privilege), ..self }
    }

    /// With these keys.
    #[must_use]
    pub fn keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// With a secure channel of this level.
    #[must_use]
    pub fn level(self, level: &'static str) -> Self {
        Self { level: Some(level), ..self }
    }

    /// With a card that takes its time for each command of an issue.
    #[must_use]
    pub fn slow(self, command_delay_ms: u32) -> Self {
        Self { command_delay_ms, ..self }
    }

    /// With groups of preparers and operators.
    #[must_use]
    pub fn groups(self, preparers: &'static str, operators: &'static str) -> Self {
        Self { groups: Some((preparers, operators)), ..self }
    }

    /// With further sections in the configuration.
    #[must_use]
    pub fn configured(self, sections: &'static str) -> Self {
        Self { sections, ..self }
    }

    /// Makes the card and mounts it.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn mount(self) -> Mounted {
        Mounted::new(self)
    }

    /// Makes the image.
    ///
    /// # Panics
    /// If `smcardd create` fails.
    pub fn create(&self, image: &Path) {
        let mut command = crate::daemon::program();
        command.arg("create").arg(image).args(["--size", self.size]);
        for (option, value) in [("--recovery", self.recovery), ("--privilege", self.privilege)] {
            if let Some(value) = value {
                command.args([option, value]);
            }
        }
        run(&mut command).ok();
    }

    /// Writes the configuration, and the key file where one is wanted, into `folder`.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn configure(&self, folder: &Path) {
        let mut text = String::new();
        let wrong = if self.keys == Keys::Wrong { "FF" } else { "40" };
        if matches!(self.keys, Keys::Right | Keys::Wrong) {
            let file = folder.join("keys");
            let line = |name: &str| format!("{name} = \"{wrong}4142434445464748494A4B4C4D4E4F\"\n");
            fs::write(&file, [line("enc"), line("mac"), line("dek")].concat()).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            writeln!(text, "[keys]\nfile = \"{}\"", file.display()).unwrap();
        }
        text += "[session]\n";
        if self.keys == Keys::Manual {
            text += "authenticate = \"manual\"\n";
        }
        if let Some(level) = self.level {
            writeln!(text, "level = \"{level}\"").unwrap();
        }
        if let Some((preparers, operators)) = self.groups {
            writeln!(text, "[rights]\npreparer_group = \"{preparers}\"\noperator_group = \"{operators}\"").unwrap();
        }
        writeln!(text, "[emulated]\ncommand_delay_ms = {}", self.command_delay_ms).unwrap();
        text += self.sections;
        fs::write(folder.join("smcardd.toml"), text).unwrap();
    }
}
