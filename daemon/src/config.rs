//! The configuration file, and what it comes to together with the mount options.
//!
//! ```toml
//! [keys]
//! file = "/etc/smcard/preparer.keys"   # or the credential "smcard-keys" of the service
//! version = 1                          # key version number; 0 = the card's first
//!
//! [session]
//! level = "33"                         # 01 MAC, 03 MAC and encryption, 33 both ways
//! authenticate = "auto"                # or "manual": only when AUTHENTICATE asks for it
//!
//! [rights]
//! preparer_group = "preparers"         # may write into issue/
//! operator_group = "operators"         # may open control for writing
//! issue_mode = "0770"
//! batch_mode = "0220"
//! control_mode = "0660"
//! allow_other = true                   # others than who mounted it; given with a group above
//!
//! [emulated]
//! command_delay_ms = 0                 # makes each command of an issue last
//!
//! [log]
//! file = "/var/log/smcardd.log"        # in the background; otherwise syslog
//! ```

use crate::options::MountOptions;
use crate::tree::Rights;
use serde::{Deserialize, Deserializer, de};
use smcard_card::scp03::SecurityLevel;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where the configuration is looked for when nobody says so.
pub const DEFAULT: &str = "/etc/smcard/smcardd.toml";

/// Why there is no configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It makes no sense; the text names the line.
    #[error("{}: {text}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        text: String,
    },
    /// A group that does not exist.
    #[error("[rights] {field}: no group {name} on this system")]
    Group {
        /// The field.
        field: &'static str,
        /// The group.
        name: String,
    },
}

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The preparer's keys.
    pub keys: Keys,
    /// The secure channel.
    pub session: Session,
    /// Who may do what.
    pub rights: RightsConfig,
    /// An emulated card.
    pub emulated: Emulated,
    /// Logging.
    pub log: Log,
}

/// `[keys]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The key file.
    pub file: Option<PathBuf>,
    /// Key version number; 0 = the card's first.
    pub version: u8,
}

/// `[session]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// Security level.
    #[serde(deserialize_with = "level")]
    pub level: SecurityLevel,
    /// When a channel is opened.
    pub authenticate: Authenticate,
}

impl Default for Session {
    fn default() -> Self {
        Session { level: SecurityLevel::ALL, authenticate: Authenticate::Auto }
    }
}

/// When a channel is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authenticate {
    /// When a file operation needs one.
    Auto,
    /// Only when AUTHENTICATE asks for it.
    Manual,
}

/// `[rights]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RightsConfig {
    /// Group that may write into `issue/`.
    pub preparer_group: Option<String>,
    /// Group that may open `control` for writing.
    pub operator_group: Option<String>,
    /// Mode of `issue/`.
    #[serde(deserialize_with = "mode")]
    pub issue_mode: u16,
    /// Mode of batches.
    #[serde(deserialize_with = "mode")]
    pub batch_mode: u16,
    /// Mode of `control`.
    #[serde(deserialize_with = "mode")]
    pub control_mode: u16,
    /// Others than who mounted it may come in.
    pub allow_other: Option<bool>,
}

impl Default for RightsConfig {
    fn default() -> Self {
        RightsConfig {
            preparer_group: None,
            operator_group: None,
            issue_mode: 0o770,
            batch_mode: 0o220,
            control_mode: 0o660,
            allow_other: None,
        }
    }
}

/// `[emulated]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Emulated {
    /// How long each command of an issue lasts longer than it must, milliseconds.
    pub command_delay_ms: u64,
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Where a daemon in the background logs to.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads the file named, or the default one where it exists.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let (path, wanted) = path.map_or((Path::new(DEFAULT), false), |path| (path, true));
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text)
                .map_err(|error| ConfigError::Parse { path: path.to_owned(), text: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !wanted => Ok(Config::default()),
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Ownership and modes, for a daemon run by `uid` and `gid`.
    ///
    /// # Errors
    /// A group that does not exist.
    pub fn rights(&self, options: &MountOptions, uid: u32, gid: u32) -> Result<Rights, ConfigError> {
        let gid = options.gid.unwrap_or(gid);
        let group = |field, name: &Option<String>| match name {
            None => Ok(gid),
            Some(name) => group_id(name).ok_or_else(|| ConfigError::Group { field, name: name.clone() }),
        };
        Ok(Rights {
            uid: options.uid.unwrap_or(uid),
            gid,
            preparer_gid: group("preparer_group", &self.rights.preparer_group)?,
            operator_gid: group("operator_group", &self.rights.operator_group)?,
            issue_mode: self.rights.issue_mode,
            batch_mode: self.rights.batch_mode,
            control_mode: self.rights.control_mode,
        })
    }

    /// Whether others than who mounted it may come in. Groups make no sense without.
    #[must_use]
    pub fn allow_other(&self, options: &MountOptions) -> bool {
        let groups = self.rights.preparer_group.is_some() || self.rights.operator_group.is_some();
        options.allow_other || self.rights.allow_other.unwrap_or(groups)
    }
}

fn group_id(name: &str) -> Option<u32> {
    if let Ok(gid) = name.parse() {
        return Some(gid);
    }
    nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecurityLevel, D::Error> {
    let text = String::deserialize(deserializer)?;
    let level = u8::from_str_radix(&text, 16).ok().filter(|level| matches!(level, 0x01 | 0x03 | 0x11 | 0x13 | 0x33));
    let level = level.and_then(SecurityLevel::from_p1);
    level.ok_or_else(|| {
        de::Error::invalid_value(de::Unexpected::Str(&text), &"\"01\", \"03\", \"11\", \"13\" or \"33\"")
    })
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mode = u16::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &"an octal mode such as \"0770\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_in_the_documentation_is_a_configuration() {
        let example: String = include_str!("config.rs")
            .lines()
            .skip_while(|line| !line.contains("```toml"))
            .skip(1)
            .take_while(|line| !line.contains("```"))
            .map(|line| format!("{}\n", line.trim_start_matches("//!")))
            .collect();
        let config = Config::parse(&example).unwrap();
        assert_eq!(config.keys.version, 1);
        assert_eq!(config.rights.control_mode, 0o660);
        assert_eq!(config.session.authenticate, Authenticate::Auto);
        assert!(config.allow_other(&MountOptions::default()));
    }

    #[test]
    fn nothing_configured_is_a_configuration_too() {
        let config = Config::parse("").unwrap();
        assert_eq!((config.rights.issue_mode, config.rights.batch_mode), (0o770, 0o220));
        assert_eq!(config.session.level, SecurityLevel::ALL);
        assert!(!config.allow_other(&MountOptions::default()));
        let rights = config.rights(&MountOptions { uid: Some(5), gid: None, ..Default::default() }, 1, 2).unwrap();
        assert_eq!((rights.uid, rights.gid, rights.operator_gid), (5, 2, 2));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = Config::parse("[session]\nlevel = \"33\"\nlvel = \"33\"\n").unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("lvel"), "{error}");
        for bad in ["[session]\nlevel = \"77\"", "[rights]\nissue_mode = \"0999\"", "[session]\nauthenticate = \"no\""]
        {
            let error = Config::parse(bad).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{error}");
        }
    }

    #[test]
    fn groups_are_looked_up_and_a_missing_one_is_named() {
        let config = Config::parse("[rights]\noperator_group = \"root\"\n").unwrap();
        assert_eq!(config.rights(&MountOptions::default(), 1, 2).unwrap().operator_gid, 0);
        assert!(config.allow_other(&MountOptions::default()));
        let config = Config::parse("[rights]\npreparer_group = \"no such group\"\n").unwrap();
        let error = config.rights(&MountOptions::default(), 1, 2).unwrap_err().to_string();
        assert_eq!(error, "[rights] preparer_group: no group no such group on this system");
    }

    #[test]
    fn only_a_file_that_was_asked_for_must_exist() {
        assert!(matches!(Config::load(Some(Path::new("/no/such/file"))), Err(ConfigError::Read { .. })));
    }
}
