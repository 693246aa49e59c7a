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
//! [terminal]
//! answer_timeout_s = 60                # a card silent for longer is taken for one without power
//! command_timeout_s = 2                # beside that, for each command of an issue
//! confirm = "auto"                     # or "manual": CONFIRM is left to the operator
//!
//! [[progress]]                         # what follows when an issue ends so; the first row that matches wins
//! given = "any"                        # commands given: "any", 7, "1..=3", "4.."
//! sw = ["none"]                        # "6a84", "65xx", "any" refusal, "none" = no answer, "9000"
//! action = "resume"                    # retry, resume, clear, confirm, report, stop
//! limit = 5                            # times without the issue getting on; then the next row
//! backoff_ms = 100                     # before the first time; doubled for each one after
//! backoff_max_ms = 10000
//!
//! [notify]                             # who is told how issues end; nobody unless named here
//! outbox = "/var/lib/smcard/outbox"    # where results wait until they are taken
//! outbox_max = 1000                    # for each receiver; beyond, the oldest is lost
//! command = ["/usr/local/bin/told"]    # gets the result as JSON on standard input, and as SMCARD_ variables
//! command_timeout_s = 30
//!
//! [notify.mqtt]
//! host = "broker.example.org"
//! port = 8883                          # 1883 without TLS
//! topic = "smcard/{cid}/issue"
//! client_id = "smcardd-{cid}"
//! username = "terminal-7"
//! password_file = "/etc/smcard/mqtt.password"
//! timeout_s = 30
//!
//! [notify.mqtt.tls]                    # empty: the system's authorities, no certificate of its own
//! ca = "/etc/smcard/broker-ca.pem"
//! certificate = "/etc/smcard/terminal-7.pem"
//! key = "/etc/smcard/terminal-7.key"
//!
//! [card]
//! cid = ""                             # only the card with this CID; another is refused
//! trace_lines = 2000                   # lines kept of what crosses the wire (smcardctl trace)
//! [card.quirks]                        # overrides what is known of the card: docs/ASSD.md, section 7
//! clock_hz = 25000000                  # spi:
//! [[card.known]]                       # cards to be known beside those the program knows
//! manufacturer = 0x27
//! product = "ASSDC"
//! quirks = { function = "1", system = 1 }
//!
//! [emulated]
//! profile = "standard"                 # oddities of a card on a wire: emulated-spi:, emulated-mmc:
//! area_mib = 64                        # its open memory area, in IMAGE.area
//! record = false                       # operators may record what is done to the card: docs/RECORD.md
//! command_delay_ms = 0                 # makes each command of an issue last
//! cut_at_commands = []                 # the power goes at these commands, counted over all issues since the mount
//!
//! [pcsc]                               # an emulated card as a smart card: docs/PCSC.md; off unless a way is named
//! vpcd = "127.0.0.1:35963"             # where vsmartcard-vpcd waits for a card
//! socket = "/run/smcard/pcsc.sock"     # where smcard-ifd finds the card
//! group = "root"                       # whose members may connect there
//! mode = "0660"
//!
//! [log]
//! file = "/var/log/smcardd.log"        # in the background; otherwise syslog
//! ```

use crate::terminal::Table;
mod card;
mod notify;
mod pcsc;
mod rights;
mod terminal;

pub use card::{CardConfig, Known, Options};
pub use notify::Notify;
pub use pcsc::PcscConfig;
pub use rights::RightsConfig;
pub use terminal::{Confirm, Terminal};

use serde::{Deserialize, Deserializer, de};
use smcard_card::scp03::SecurityLevel;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::Spanned;

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
    /// Who is to be told makes no sense.
    #[error("[notify] {0}")]
    Notify(String),
    /// A group that does not exist.
    #[error("[{section}] {field}: no group {name} on this system")]
    Group {
        /// The section.
        section: &'static str,
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
    /// How the terminal goes about an issue.
    pub terminal: Terminal,
    /// Rows of the progress table, as they stand in the file.
    progress: Vec<Spanned<terminal::RowText>>,
    /// The progress table.
    #[serde(skip)]
    pub table: Table,
    /// Who is told how issues end.
    pub notify: Notify,
    /// Which card, and what is known of it.
    pub card: CardConfig,
    /// An emulated card.
    pub emulated: Emulated,
    /// Its second interface.
    pub pcsc: PcscConfig,
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

/// `[emulated]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Emulated {
    /// How long each command of an issue lasts longer than it must, milliseconds.
    pub command_delay_ms: u64,
    /// The power goes as the issuer is about to give these commands, counted over all issues since the card was opened,
    /// the first being 1: to see what recovery does.
    pub cut_at_commands: Vec<u64>,
    /// Oddities of a card on a wire, by name.
    pub profile: String,
    /// Size of its open memory area in MiB; the area lies in a file beside the image.
    pub area_mib: u32,
    /// Operators may record what is done to the card, keys and secret data of preparers included.
    pub record: bool,
}

impl Default for Emulated {
    fn default() -> Self {
        let (command_delay_ms, cut_at_commands) = (0, Vec::new());
        Emulated { command_delay_ms, cut_at_commands, profile: "standard".to_owned(), area_mib: 64, record: false }
    }
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
            Ok(text) => Self::parse(&text).map_err(|text| ConfigError::Parse { path: path.to_owned(), text }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !wanted => Ok(Config::default()),
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut config: Self = toml::from_str(text).map_err(|error| terminal::name_row(text, &error))?;
        let rows = std::mem::take(&mut config.progress);
        config.table = terminal::table(text, rows, config.terminal.confirm)?;
        Ok(config)
    }
}

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecurityLevel, D::Error> {
    let text = String::deserialize(deserializer)?;
    let level = u8::from_str_radix(&text, 16).ok().filter(|level| matches!(level, 0x01 | 0x03 | 0x11 | 0x13 | 0x33));
    let level = level.and_then(SecurityLevel::from_p1);
    level.ok_or_else(|| {
        de::Error::invalid_value(de::Unexpected::Str(&text), &"\"01\", \"03\", \"11\", \"13\" or \"33\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::MountOptions;

    #[test]
    fn the_example_in_the_documentation_is_a_configuration() {
        let example: String = include_str!("mod.rs")
            .lines()
            .skip_while(|line| !line.contains("```toml"))
            .skip(1)
            .take_while(|line| !line.contains("```"))
            .map(|line| format!("{}\n", line.trim_start_matches("//!")))
            .collect();
        let config = Config::parse(&example).unwrap();
        assert_eq!(config.keys.version, 1);
        assert_eq!(config.rights.control_mode, 0o660);
        assert_eq!(config.terminal.confirm, Confirm::Auto);
        assert_eq!(config.session.authenticate, Authenticate::Auto);
        assert!(config.allow_other(&MountOptions::default()));
    }

    #[test]
    fn the_file_that_ships_says_what_holds_without_it() {
        let ships = include_str!("../../../systemd/smcardd.toml");
        let mut shipped = Config::parse(ships).unwrap();
        // Roles have no default, and are never the same group.
        let groups = (shipped.rights.preparer_group.take(), shipped.rights.operator_group.take());
        assert_eq!(groups, (Some("smcard-preparers".into()), Some("smcard-operators".into())));
        let sysusers = include_str!("../../../systemd/smcard.sysusers.conf");
        assert!(sysusers.contains("\ng smcard-preparers -\n") && sysusers.contains("\ng smcard-operators -\n"));
        assert_eq!(format!("{shipped:?}"), format!("{:?}", Config::default()));
        // What stands there as a comment can be taken out of it; the progress table is then the one that ships, twice.
        let setting = |line: &&str| line.starts_with("# ") && (line.contains(" = ") || line.starts_with("# ["));
        let all: Vec<&str> = ships.lines().map(|line| if setting(&line) { &line[2..] } else { line }).collect();
        let all = Config::parse(&all.join("\n")).unwrap();
        assert!(all.keys.file.is_some() && all.log.file.is_some() && all.notify.outbox.is_some());
        assert_eq!(all.terminal.limits(), shipped.terminal.limits());
        assert_ne!(all.table, shipped.table);
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
        let error = Config::parse("[session]\nlevel = \"33\"\nlvel = \"33\"\n").unwrap_err();
        assert!(error.contains("line 3") && error.contains("lvel"), "{error}");
        for bad in ["[session]\nlevel = \"77\"", "[rights]\nissue_mode = \"0999\"", "[session]\nauthenticate = \"no\""]
        {
            let error = Config::parse(bad).unwrap_err();
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
