//! The command line.

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Arguments of `smcard-slot`.
#[derive(Parser, Debug)]
#[command(
    name = "smcard-slot",
    version,
    about = "Puts an emulated secure memory card into the SD slot of a virtual machine (QEMU 10.1 or newer)",
    subcommand_negates_reqs = true
)]
pub struct Arguments {
    /// Something else than serving.
    #[command(subcommand)]
    pub command: Option<Task>,
    /// The card that is in the slot at first: an image, or emulated:IMAGE (smcardd create makes one)
    #[arg(required_unless_present = "empty", conflicts_with = "empty")]
    pub card: Option<OsString>,
    /// Start with an empty slot
    #[arg(long)]
    pub empty: bool,
    /// Where the virtual machine connects to; made and removed by smcard-slot
    #[arg(long, value_name = "PATH", required = true)]
    pub socket: Option<PathBuf>,
    /// Where `smcard-slot ctl` connects to [default: the socket with .ctl behind it]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// End when the virtual machine ends
    #[arg(long)]
    pub once: bool,
    /// Be an SPI port with the card on it instead of an SD slot; slow, see docs/SLOT.md
    #[arg(long)]
    pub spi: bool,
    /// Which oddities the card has
    #[arg(long, value_name = "WORD", default_value = "standard")]
    pub profile: String,
    /// Size of the card's open memory area in MiB; it is kept beside the image, in IMAGE.area
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=32 << 10))]
    pub area_mib: u32,
    /// Time that each command of an issue takes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub command_delay_ms: u64,
}

/// What smcard-slot does beside serving.
#[derive(Subcommand, Debug)]
pub enum Task {
    /// Ask a smcard-slot that is running; it is found by --control or --socket
    Ctl {
        /// What to ask
        #[command(subcommand)]
        request: Ask,
    },
    /// Write the ACPI table that tells a guest of the card on an SPI port
    AcpiTable {
        /// Where to write it
        file: PathBuf,
    },
}

/// What a running program can be asked.
#[derive(Subcommand, Debug)]
pub enum Ask {
    /// Put a card into the slot
    Insert {
        /// An image, or emulated:IMAGE
        card: OsString,
    },
    /// Pull the card out
    Eject,
    /// Say which card is in the slot and whether a machine is connected
    Status,
}

impl Arguments {
    /// The control socket.
    #[must_use]
    pub fn control(&self) -> Option<PathBuf> {
        self.control.clone().or_else(|| {
            let mut path = self.socket.clone()?.into_os_string();
            path.push(".ctl");
            Some(path.into())
        })
    }
}

/// The image that a source names, as an absolute path: the program it goes to may have another working directory.
///
/// # Errors
/// Another cable than `emulated:`, or no path. As text for the user.
pub fn image(source: &OsString) -> Result<PathBuf, String> {
    let path = match source.to_str().and_then(|text| text.split_once(':')) {
        Some(("emulated", path)) => Path::new(path),
        Some((cable, _)) if !cable.contains('/') => {
            return Err(format!("{cable}: not known; a card is an image, or emulated:IMAGE"));
        }
        _ => Path::new(source),
    };
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// What QEMU has to be told for a slot at this socket, as words for a shell.
#[must_use]
pub fn qemu(socket: &Path, spi: bool) -> String {
    let path = std::path::absolute(socket).unwrap_or_else(|_| socket.to_owned());
    // Quotes for JSON; then for a shell, which ends a quoted word at the only character it does not take.
    let path = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\'', "'\\''");
    let place = if spi { r#""bus":"pcie.0","addr":"0x10","# } else { "" };
    format!(r#"-device '{{"driver":"vfio-user-pci",{place}"socket":{{"type":"unix","path":"{path}"}}}}'"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_or_an_empty_slot_is_wanted() {
        let parse = |words: &[&str]| Arguments::try_parse_from(["smcard-slot"].iter().chain(words));
        let arguments = parse(&["--socket", "/run/s", "emulated:card.img"]).unwrap();
        assert_eq!(arguments.control(), Some("/run/s.ctl".into()));
        assert!(parse(&["--socket", "/run/s", "--empty", "--control", "/run/c"]).is_ok());
        for words in
            [&["--socket", "/run/s"][..], &["card.img"], &["--empty"], &["--socket", "/s", "--empty", "card.img"]]
        {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn ctl_needs_no_card() {
        let words = ["smcard-slot", "--control", "/run/c", "ctl", "insert", "card.img"];
        let arguments = Arguments::try_parse_from(words).unwrap();
        assert!(matches!(&arguments.command, Some(Task::Ctl { request: Ask::Insert { card } }) if card == "card.img"));
        assert_eq!(arguments.control(), Some("/run/c".into()));
        assert!(Arguments::try_parse_from(["smcard-slot", "--socket", "/run/s", "ctl", "eject"]).is_ok());
    }

    #[test]
    fn an_image_is_named_plainly_or_by_its_cable() {
        assert_eq!(image(&"/c.img".into()), Ok("/c.img".into()));
        assert_eq!(image(&"emulated:/c.img".into()), Ok("/c.img".into()));
        assert_eq!(image(&"./a:b".into()), Ok(std::env::current_dir().unwrap().join("a:b")));
        assert!(image(&"c.img".into()).unwrap().is_absolute());
        assert!(image(&"mmc:/dev/mmcblk0".into()).is_err());
        assert!(image(&"emulated:".into()).is_err());
    }

    #[test]
    fn the_line_for_qemu_survives_a_shell() {
        assert_eq!(
            qemu(Path::new("/run/a'b.sock"), false),
            r#"-device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/run/a'\''b.sock"}}'"#
        );
        // Where the ACPI table looks for it.
        assert!(qemu(Path::new("/s"), true).contains(r#","bus":"pcie.0","addr":"0x10","#));
    }
}
