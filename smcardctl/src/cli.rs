//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use smcard_batch::{Aid, issue::Recovery};

use crate::applet::Applet;

/// What stands below every long help and in the man page.
pub(crate) const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    the card said no, or is busy
  2    wrong use of the program
  3    the link, the card or the system failed
  4    not permitted
  5    a file given is not what it must be (damaged CAP or batch)
  130  Ctrl-C while waiting: the card goes on

Errors are one line on stderr, 'smcardctl: what: why; what to do'. With --json every
command prints one object or one array on stdout, an error as {\"error\":{...}}.";

/// Secure memory cards: pack a batch, let the card issue itself, look at it.
#[derive(Debug, Parser)]
#[command(name = "smcardctl", version, after_long_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// The folder where the card is mounted.
    #[arg(long, value_name = "DIR", env = "SMCARD", default_value = "/mnt/securecard", global = true)]
    pub(crate) card: PathBuf,
    /// Print JSON: one object or one array.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, in the order people need them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show where the card stands.
    Status,
    /// Let the card issue itself from a batch in its store.
    Start(Start),
    /// Wait for the end of the running issue, and tell the last one.
    Wait(Wait),
    /// List the batches in the store.
    List,
    /// List the applications on the card.
    Apps,
    /// Send APDUs to the card, one after the other.
    Apdu(Apdu),
    /// Remove what an unfinished issue has written.
    Clear,
    /// Make a card usable that asked for confirmation.
    Confirm,
    /// Reset the card: power off and on.
    Reset,
    /// Open a secure channel between smcardd and the card.
    Authenticate(Authenticate),
    /// Show what crossed the wire to the card, for a bug report; data and keys are masked.
    Trace(Trace),
    /// Make a batch of what a client does to an emulated card.
    Record(Record),
    /// Make a batch of a CAP file.
    Pack(Pack),
    /// Make a batch of a list of commands that another tool wrote.
    Import(Import),
    /// Write the commands of a batch as other tools read them.
    Export(Export),
    /// Say what a batch would do to this card, without writing anything.
    Plan(Plan),
    /// Show what a batch holds, command by command.
    Inspect(Inspect),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the man page.
    Man(Man),
}

/// Options of `start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Name of the batch in issue/; may be left out where the store holds one.
    pub(crate) name: Option<String>,
    /// File identifier instead of a name (decimal, or hexadecimal with 0x).
    #[arg(long, value_name = "N", conflicts_with = "name", value_parser = number::<u16>)]
    pub(crate) id: Option<u16>,
    /// First byte of the batch within the file.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = number::<u32>)]
    pub(crate) offset: u32,
    /// Bytes the card may read from there; without it, to the end of the file.
    #[arg(long, value_name = "BYTES", value_parser = number::<u32>)]
    pub(crate) length: Option<u32>,
    /// Return as soon as the card has been told; 'smcardctl wait' waits later.
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Options of everything that waits for an issue.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Wait no longer than this; the card goes on.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// Options of `apdu`.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code tells the last status word: 0 for 9000, 61xx, 62xx and 63xx (the command was processed), 1 for any
other. Sending stops only where the card does not answer.")]
pub(crate) struct Apdu {
    /// One APDU each, in hexadecimal; spaces and colons may stand between bytes (quote spaces).
    #[arg(value_name = "HEX", required = true, value_parser = apdu)]
    pub(crate) commands: Vec<ApduBytes>,
}

/// The bytes of one APDU from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApduBytes(pub(crate) Vec<u8>);

/// Options of `authenticate`.
#[derive(Debug, Args)]
pub(crate) struct Authenticate {
    /// Security level in hexadecimal; without it, as smcardd is configured.
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    pub(crate) level: Option<u8>,
    /// Key version number, 1 to 127; without it, as smcardd is configured.
    #[arg(long, value_name = "N", value_parser = key_version)]
    pub(crate) key_version: Option<u8>,
}

/// Options of `trace`.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// Write it to a new file instead.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Go on with what comes, until Ctrl-C.
    #[arg(short, long, conflicts_with = "output")]
    pub(crate) follow: bool,
}

/// Options of `record`.
#[derive(Debug, Args)]
#[command(after_help = "\
The card must be an emulated one, and smcardd.toml must have record = true in [emulated]. What failed, keys and what other
logical channels did is left out, and told.")]
pub(crate) struct Record {
    /// The batch to write: a new file.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The client: a program that is run, and recorded until it ends. Without it, until Ctrl-C.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Options of `pack`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --applet every applet of the package is installed under its own AID, without privileges and parameters.
A file of --also has one APDU a line, in hexadecimal; '#' begins a comment.")]
pub(crate) struct Pack {
    /// The CAP file.
    pub(crate) cap: PathBuf,
    /// The batch to write; may stand in issue/ of a mounted card.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Bytes of load file in each LOAD, 1 to 255.
    #[arg(long, value_name = "N", default_value = "247", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) block: u8,
    /// One LOAD of any size, which the card reads where it lies (direct reference).
    #[arg(long, conflicts_with = "block")]
    pub(crate) direct: bool,
    /// Install an applet, perhaps under another AID, with privileges and parameters (hexadecimal); may be repeated.
    #[arg(long = "applet", value_name = "MODULE[=INSTANCE][,priv=HEX][,params=HEX]")]
    pub(crate) applets: Vec<Applet>,
    /// Load the package and install nothing.
    #[arg(long, conflicts_with = "applets")]
    pub(crate) no_install: bool,
    /// Where an interrupted issue may go on.
    #[arg(long, value_enum, default_value_t = RecoveryPoints::None, value_name = "WHERE")]
    pub(crate) recovery: RecoveryPoints,
    /// The card asks for 'smcardctl confirm' before first use.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Take the Descriptor component along, for cards that verify bytecode.
    #[arg(long)]
    pub(crate) descriptor: bool,
    /// Leave the StaticResources component out.
    #[arg(long)]
    pub(crate) no_static_resources: bool,
    /// The security domain the package shall belong to; without it, the one that runs the batch.
    #[arg(long, value_name = "AID")]
    pub(crate) sd: Option<Aid>,
    /// More commands behind the installs, from a file of APDUs; may be repeated.
    #[arg(long, value_name = "FILE.apdu")]
    pub(crate) also: Vec<PathBuf>,
}

impl From<RecoveryPoints> for Recovery {
    fn from(points: RecoveryPoints) -> Self {
        match points {
            RecoveryPoints::None => Recovery::None,
            RecoveryPoints::Function => Recovery::Functions,
            RecoveryPoints::Command => Recovery::Commands,
        }
    }
}

/// Where an interrupted issue may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecoveryPoints {
    /// Nowhere.
    None,
    /// Before each function: the load as a whole, each install, each command of --also or of a list.
    Function,
    /// Before every command.
    Command,
}

/// Options of `import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Lists have one APDU a line, in hexadecimal; '#', '//' and ';' begin a comment, marks of common logs are understood and
responses skipped; behind '==' or 'SW:' only 9000 may be expected. CAP files that a GPShell script names stand beside it.")]
pub(crate) struct Import {
    /// The list, script or template.
    pub(crate) file: PathBuf,
    /// The batch to write; may stand in issue/ of a mounted card.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What the file is.
    #[arg(long, value_enum, default_value_t = ImportFormat::Auto)]
    pub(crate) format: ImportFormat,
    /// Where an interrupted issue may go on.
    #[arg(long, value_enum, default_value_t = RecoveryPoints::None, value_name = "WHERE")]
    pub(crate) recovery: RecoveryPoints,
    /// The card asks for 'smcardctl confirm' before first use.
    #[arg(long)]
    pub(crate) confirm: bool,
}

/// What `import` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// As the file looks.
    Auto,
    /// One APDU a line, in hexadecimal.
    Apdu,
    /// A script of GPShell.
    Gpshell,
    /// A command scripting template of ETSI TS 102 226, in bytes or hexadecimal.
    Etsi,
}

/// Options of `export`.
#[derive(Debug, Args)]
#[command(after_help = "The commands stand in the clear in what is written, keys included.")]
pub(crate) struct Export {
    /// The batch.
    pub(crate) file: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value_t = ExportFormat::Apdu)]
    pub(crate) format: ExportFormat,
    /// The file to write; without it, standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One APDU a line, in hexadecimal.
    Apdu,
    /// A command scripting template of ETSI TS 102 226.
    Etsi,
}

/// Options of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 0 where nothing is in the way of the batch, 1 where something is. The card makes the same check at START, and
smcardd logs what it says. An application may still refuse what it is sent.")]
pub(crate) struct Plan {
    /// The batch; not one that is on the card already, which nobody can read.
    pub(crate) file: PathBuf,
}

/// Options of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The batch.
    pub(crate) file: PathBuf,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for the program and one for each command into this folder instead.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

/// A number, decimal or hexadecimal with 0x.
fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let value = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let value = value.map_err(|_| "not a number (decimal, or hexadecimal with 0x)".to_owned())?;
    T::try_from(value).map_err(|_| "too large".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn apdu(text: &str) -> Result<ApduBytes, String> {
    let bytes = crate::hex::parse(text)?;
    let (least, most) = (smcard_batch::apdu::HEADER_LEN, smcard_ioctl::abi::EXTENDED_COMMAND_MAX);
    if (least..=most).contains(&bytes.len()) {
        Ok(ApduBytes(bytes))
    } else {
        Err(format!("an APDU has {least} to {most} bytes, not {}; one with spaces needs quotes", bytes.len()))
    }
}

fn level(text: &str) -> Result<u8, String> {
    match u8::from_str_radix(text, 16) {
        Ok(level @ (0x01 | 0x03 | 0x11 | 0x13 | 0x33)) => Ok(level),
        _ => Err("security levels are 01, 03, 11, 13 and 33".to_owned()),
    }
}

fn key_version(text: &str) -> Result<u8, String> {
    match number::<u8>(text)? {
        version @ 1..=0x7F => Ok(version),
        _ => Err("key version numbers are 1 to 127".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["smcardctl"], args].concat())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn start_takes_a_name_or_an_identifier() {
        let Ok(Cli { command: Command::Start(start), .. }) = parse(&["start", "app.batch", "--offset", "0x10"]) else {
            panic!("start by name was refused");
        };
        assert_eq!((start.name.as_deref(), start.offset, start.length), (Some("app.batch"), 16, None));
        assert!(parse(&["start", "--id", "0xffff"]).is_ok());
        for wrong in [&["start", "a", "--id", "1"][..], &["start", "--id", "65536"], &["start", "--length", "-1"]] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn json_and_card_stand_before_or_after_the_command() {
        for args in [["--json", "--card", "/x", "status"], ["status", "--json", "--card", "/x"]] {
            let cli = parse(&args).unwrap();
            assert!(cli.json);
            assert_eq!(cli.card, PathBuf::from("/x"));
        }
    }

    #[test]
    fn apdus_are_checked_before_any_is_sent() {
        assert!(parse(&["apdu", "00a40400", "00 CA 00 66 00"]).is_ok());
        for wrong in [&["apdu"][..], &["apdu", "00", "a4", "04", "00"], &["apdu", "00a4040"], &["apdu", "hello"]] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn pack_refuses_what_contradicts_itself() {
        let pack = ["pack", "a.cap", "-o", "a.batch"];
        assert!(parse(&pack).is_ok());
        for wrong in [
            &["--block", "0"][..],
            &["--block", "256"],
            &["--block", "100", "--direct"],
            &["--no-install", "--applet", "A000000001"],
            &["--applet", "A0"],
            &["--recovery", "everywhere"],
            &["--sd", "00"],
        ] {
            assert_eq!(parse(&[&pack, wrong].concat()).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        for wrong in [
            &["authenticate", "--level", "2"][..],
            &["authenticate", "--level", "00"],
            &["authenticate", "--key-version", "0"],
            &["authenticate", "--key-version", "128"],
            &["wait", "--timeout", "-1"],
            &["wait", "--timeout", "NaN"],
            &["wait", "--timeout", "1e300"],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
        assert!(parse(&["authenticate", "--level", "33", "--key-version", "0x30"]).is_ok());
        assert!(parse(&["wait", "--timeout", "0.5"]).is_ok());
    }
}
