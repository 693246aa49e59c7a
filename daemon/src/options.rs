//! What the command line and `/etc/fstab` say: arguments and mount options.

use clap::{Parser, Subcommand};
use smcard_link::{PrivilegeKind, RecoveryKind};
use std::path::PathBuf;
use thiserror::Error;

/// Arguments of `smcardd`.
#[derive(Parser, Debug)]
#[command(
    name = "smcardd",
    version,
    about = "Mounts a secure memory card",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Arguments {
    /// Something else than mounting.
    #[command(subcommand)]
    pub command: Option<Task>,
    /// The card: emulated:, emulated-spi: or emulated-mmc: and /path/card.img, spi:/dev/spidevB.C or mmc:/dev/mmcblkN
    #[arg(required = true)]
    pub source: Option<String>,
    /// Where to mount it: an empty directory
    #[arg(required = true)]
    pub mountpoint: Option<PathBuf>,
    /// Mount options, separated by commas: config=FILE, log=FILE, allow_other, uid=N, gid=N, and the generic ones
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<String>,
    /// Stay in the foreground; readiness is told by sd_notify(3)
    #[arg(short = 'f', long)]
    pub foreground: bool,
    /// Configuration file [default: /etc/smcard/smcardd.toml, where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Started by smcardd itself: tell readiness on standard output, then let go of the terminal.
    #[arg(long, hide = true)]
    pub child: bool,
}

/// What smcardd does beside mounting.
#[derive(Subcommand, Debug)]
pub enum Task {
    /// Make the image of an emulated card; an existing file is never overwritten
    Create {
        /// The image file
        image: PathBuf,
        /// Protected memory in bytes; K, M and G are powers of 1024
        #[arg(long, default_value = "64M", value_parser = size)]
        size: u64,
        /// What the card does with a broken issue: restart, command or function
        #[arg(long, default_value = "function", value_parser = recovery)]
        recovery: RecoveryKind,
        /// How the card leaves privileged mode: auto or hold
        #[arg(long, default_value = "auto", value_parser = privilege)]
        privilege: PrivilegeKind,
    },
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..) {
        Some("") => 1,
        Some("K" | "KiB") => 1 << 10,
        Some("M" | "MiB") => 1 << 20,
        Some("G" | "GiB") => 1 << 30,
        _ => return Err("a number of bytes, perhaps with K, M or G".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "a number of bytes, perhaps with K, M or G")?;
    number.checked_mul(factor).ok_or_else(|| "too large".into())
}

fn recovery(text: &str) -> Result<RecoveryKind, &'static str> {
    RecoveryKind::from_word(text).ok_or("restart, command or function")
}

fn privilege(text: &str) -> Result<PrivilegeKind, &'static str> {
    PrivilegeKind::from_word(text).ok_or("auto or hold")
}

/// What the mount options say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// `config=FILE`
    pub config: Option<PathBuf>,
    /// `log=FILE`
    pub log: Option<PathBuf>,
    /// `allow_other`
    pub allow_other: bool,
    /// `uid=N`
    pub uid: Option<u32>,
    /// `gid=N`
    pub gid: Option<u32>,
}

/// A mount option that cannot be taken.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionError {
    /// A card mounted read-only could not be issued.
    #[error("option ro: a card is written to; rights are given by [rights] in the configuration")]
    ReadOnly,
    /// None of ours and no generic one.
    #[error("option {0}: not known; known are config=FILE, log=FILE, allow_other, uid=N and gid=N")]
    Unknown(String),
    /// A value that makes no sense.
    #[error("option {name}={value}: {reason}")]
    Value {
        /// The option.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        reason: &'static str,
    },
}

/// Options that mount(8) and fstab(5) have for every file system, or that libfuse's helper passes on. They change
/// nothing here: `nosuid`, `nodev`, `noexec` and `default_permissions` hold anyway.
const GENERIC: &[&str] = &[
    "rw",
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "nousers",
    "owner",
    "noowner",
    "group",
    "nogroup",
    "_netdev",
    "nofail",
    "dev",
    "nodev",
    "suid",
    "nosuid",
    "exec",
    "noexec",
    "async",
    "sync",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "iversion",
    "noiversion",
    "silent",
    "loud",
    "default_permissions",
    "nonempty",
];
const GENERIC_PREFIXES: &[&str] = &["x-", "X-", "comment=", "context=", "fscontext=", "defcontext=", "rootcontext="];

impl MountOptions {
    /// Reads option lists as they stand behind `-o`.
    ///
    /// # Errors
    /// `ro`, unknown options, values that make no sense.
    pub fn parse<S: AsRef<str>>(lists: &[S]) -> Result<Self, OptionError> {
        let mut options = MountOptions::default();
        let all = lists.iter().flat_map(|list| list.as_ref().split(',')).filter(|option| !option.is_empty());
        for option in all {
            match option.split_once('=') {
                Some(("config", value)) => options.config = Some(path("config", value)?),
                Some(("log", value)) => options.log = Some(path("log", value)?),
                Some(("uid", value)) => options.uid = Some(number("uid", value)?),
                Some(("gid", value)) => options.gid = Some(number("gid", value)?),
                None if option == "allow_other" => options.allow_other = true,
                None if option == "ro" => return Err(OptionError::ReadOnly),
                _ if GENERIC.contains(&option) => {}
                _ if GENERIC_PREFIXES.iter().any(|prefix| option.starts_with(prefix)) => {}
                _ => return Err(OptionError::Unknown(option.to_owned())),
            }
        }
        Ok(options)
    }
}

fn path(name: &'static str, value: &str) -> Result<PathBuf, OptionError> {
    if value.is_empty() {
        return Err(OptionError::Value { name, value: String::new(), reason: "a file is wanted" });
    }
    Ok(PathBuf::from(value))
}

fn number(name: &'static str, value: &str) -> Result<u32, OptionError> {
    value.parse().map_err(|_| OptionError::Value { name, value: value.to_owned(), reason: "a number is wanted" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_that_of_a_mount_helper() {
        let arguments = Arguments::parse_from(["smcardd", "emulated:/c.img", "/mnt", "-o", "rw,nosuid", "-o", "uid=1"]);
        assert_eq!(arguments.source.as_deref(), Some("emulated:/c.img"));
        assert_eq!(arguments.options, ["rw,nosuid", "uid=1"]);
        assert!(!arguments.foreground && arguments.command.is_none());
        assert!(Arguments::try_parse_from(["smcardd", "emulated:/c.img"]).is_err());
    }

    #[test]
    fn create_has_its_own_arguments() {
        let arguments = Arguments::parse_from(["smcardd", "create", "c.img", "--size", "2M", "--recovery", "command"]);
        let Some(Task::Create { size, recovery, privilege, .. }) = arguments.command else { panic!("create") };
        assert_eq!((size, recovery, privilege), (2 << 20, RecoveryKind::Command, PrivilegeKind::Auto));
        for bad in [["--size", "2X"], ["--size", ""], ["--recovery", "never"], ["--size", "99999999999999999G"]] {
            assert!(Arguments::try_parse_from(["smcardd", "create", "c.img"].into_iter().chain(bad)).is_err());
        }
    }

    #[test]
    fn generic_options_pass_and_ours_are_checked() {
        let options = MountOptions::parse(&["rw,noauto,x-systemd.automount,_netdev", "allow_other,gid=7,config=/c"]);
        let expected =
            MountOptions { allow_other: true, gid: Some(7), config: Some("/c".into()), ..MountOptions::default() };
        assert_eq!(options, Ok(expected));
        assert_eq!(MountOptions::parse(&["ro"]), Err(OptionError::ReadOnly));
        assert_eq!(MountOptions::parse(&["allow_otter"]), Err(OptionError::Unknown("allow_otter".into())));
        assert!(matches!(MountOptions::parse(&["uid=me"]), Err(OptionError::Value { name: "uid", .. })));
        assert!(matches!(MountOptions::parse(&["config="]), Err(OptionError::Value { name: "config", .. })));
    }
}
