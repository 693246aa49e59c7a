//! The mounted card: its folder, its control file, waiting for an operation.

use std::io::Read;
use std::path::PathBuf;
use std::{fs, io};

use smcard_batch::StatusWord;
use smcard_ioctl::{Client, Outcome, Ticket};

use crate::exit::{Exit, Failure, printable, system};

/// The longest value a file of card/ or apps/ has. More is not read.
const VALUE_MAX: u64 = 4096;

/// A card by its folder.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) folder: PathBuf,
}

impl Card {
    /// Opens the control file to send operations; `what` is the command.
    pub(crate) fn operate(&self, what: &str) -> Result<Client, Failure> {
        Client::open(&self.folder.join("control")).map_err(|error| Failure::client(what, &error))
    }

    /// Opens the control file to look.
    pub(crate) fn look(&self, what: &str) -> Result<Client, Failure> {
        Client::open_read_only(&self.folder.join("control")).map_err(|error| Failure::client(what, &error))
    }

    /// The entries of a folder of the card, by name. A folder that is not there means that no card is mounted.
    pub(crate) fn entries(&self, what: &str, folder: &str) -> Result<Vec<fs::DirEntry>, Failure> {
        let path = self.folder.join(folder);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::file(&path, &error),
            _ => Failure::new(
                Exit::Gone,
                what,
                format!("{}: {}", printable(&path.to_string_lossy()), system(&error)),
                "mount a card there with smcardd, or name its folder with --card",
            ),
        };
        let mut entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        Ok(entries)
    }
}

/// The value in a file of one line, as in sysfs; `None` where it cannot be read.
pub(crate) fn value(path: &std::path::Path) -> Option<String> {
    let mut text = Vec::new();
    fs::File::open(path).ok()?.take(VALUE_MAX).read_to_end(&mut text).ok()?;
    Some(printable(String::from_utf8_lossy(&text).trim_end()))
}

/// Waits as long as it takes.
pub(crate) fn wait(what: &str, client: &Client, ticket: Ticket) -> Result<Outcome, Failure> {
    client.wait(ticket, None).map_err(|error| Failure::client(what, &error))
}

/// A transport error in words.
pub(crate) fn errno(errno: i32) -> String {
    system(&io::Error::from_raw_os_error(errno))
}

/// `6a84 (not enough memory)`.
pub(crate) fn in_words(sw: u16) -> String {
    let sw = StatusWord(sw);
    format!("{sw} ({})", sw.meaning())
}
