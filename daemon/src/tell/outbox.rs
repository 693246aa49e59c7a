//! Where results wait until they are taken: one file a result, in one folder a receiver.
//!
//! ```text
//!  outbox/numbers/CID                      the number given last to an issue of that card
//!  outbox/RECEIVER/NUMBER-CID.json         a result that waits
//! ```
//!
//! A file is written under another name, flushed, renamed, and the folder flushed: it is there as a whole or not at all,
//! and what was put survives the host's power. Several daemons may share an outbox.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Longest result, bytes.
const ENTRY_MAX: u64 = 64 * 1024;
const SUFFIX: &str = ".json";
const UNFINISHED: &str = ".new-";
/// Older than this, a file that has not got its name will not get it any more.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// The outbox cannot be used.
#[derive(Debug, Error)]
#[error("outbox {}: {source}", path.display())]
pub struct OutboxError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OutboxError + '_ {
    move |source| OutboxError { path: path.to_owned(), source }
}

/// The outbox.
#[derive(Clone, Debug)]
pub struct Outbox {
    root: PathBuf,
    max: usize,
}

impl Outbox {
    /// The outbox in this folder, with at most `max` results for each receiver.
    #[must_use]
    pub fn new(root: PathBuf, max: usize) -> Self {
        Outbox { root, max: max.max(1) }
    }

    /// The folder of one receiver; it is made where it is missing. What a crash left half-written is removed.
    ///
    /// # Errors
    /// It cannot be made or read.
    pub fn folder(&self, receiver: &str) -> Result<Folder, OutboxError> {
        let path = self.root.join(receiver);
        make_folder(&path)?;
        let folder = Folder { path, max: self.max };
        for name in folder.names(|name| name.starts_with(UNFINISHED))? {
            let path = folder.path.join(name);
            // A young one may be on its way to its name, by another daemon.
            let modified = fs::metadata(&path).and_then(|file| file.modified());
            if modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT_BEHIND)) {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(folder)
    }

    /// A number that no issue of this card has had: one more than the last, kept before it is given.
    ///
    /// # Errors
    /// It cannot be kept, or what is kept is no number.
    pub fn number(&self, cid: &str) -> Result<u64, OutboxError> {
        let folder = self.root.join("numbers");
        make_folder(&folder)?;
        let path = folder.join(cid);
        let next = || -> io::Result<u64> {
            let lock = File::open(&folder)?;
            flock(&lock, FlockOperation::LockExclusive)?;
            let last = match fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
                text => text?.trim_end().parse::<u64>().ok(),
            };
            let next = last.and_then(|last| last.checked_add(1)).ok_or_else(|| io::Error::other("holds no number"))?;
            replace(&folder.join(UNFINISHED), &path, format!("{next}\n").as_bytes())?;
            lock.sync_all()?;
            Ok(next)
        };
        next().map_err(at(&path))
    }
}

/// Results for one receiver.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    max: usize,
}

/// A result that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Identification of the card, hexadecimal.
    pub cid: String,
    /// The number of the issue.
    pub number: u64,
    /// The result.
    pub text: String,
}

/// Held by who takes results out; ends with the file.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Folder {
    /// Keeps a result. Where too many wait the oldest is lost; the log says which.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn put(&self, cid: &str, number: u64, text: &[u8]) -> Result<(), OutboxError> {
        let name = format!("{number:020}-{cid}{SUFFIX}");
        let unfinished = self.path.join(format!("{UNFINISHED}{name}"));
        let put = replace(&unfinished, &self.path.join(&name), text);
        put.and_then(|()| self.flush()).map_err(at(&unfinished))?;
        let names = self.names(is_entry)?;
        for name in names.iter().take(names.len().saturating_sub(self.max)) {
            log::error!("outbox {}: full; the result {name} is lost", self.path.display());
            self.remove(name)?;
        }
        Ok(())
    }

    /// Keeps other daemons from telling the same; waits for one that does.
    ///
    /// # Errors
    /// The folder cannot be locked.
    pub fn lock(&self) -> Result<Lock, OutboxError> {
        let lock = || {
            let file = File::open(&self.path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(Lock { _file: file })
        };
        lock().map_err(at(&self.path))
    }

    /// The names of what waits, the oldest number first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn waiting(&self) -> Result<Vec<String>, OutboxError> {
        self.names(is_entry)
    }

    /// Reads a result; `None` where it has gone meanwhile, or is none and was removed.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Entry>, OutboxError> {
        let path = self.path.join(name);
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(ENTRY_MAX + 1).read_to_string(&mut text));
        let whole = match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(at(&path)(error)),
            read => read.is_ok() && u64::try_from(text.len()).is_ok_and(|length| length <= ENTRY_MAX),
        };
        let parts = name.strip_suffix(SUFFIX).and_then(|stem| stem.split_once('-'));
        let parts = parts.and_then(|(number, cid)| Some((number.parse().ok()?, cid.to_owned())));
        match parts.filter(|_| whole) {
            Some((number, cid)) => Ok(Some(Entry { cid, number, text })),
            None => {
                log::error!("outbox {}: {name} is no result; it is removed", self.path.display());
                self.remove(name)?;
                Ok(None)
            }
        }
    }

    /// Removes a result that has been taken. One that is not there any more is fine.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), OutboxError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
            _ => self.flush().map_err(at(&self.path)),
        }
    }

    fn flush(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn names(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, OutboxError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(at(&self.path))? {
            let name = entry.map_err(at(&self.path))?.file_name();
            names.extend(name.to_str().filter(|name| wanted(name)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }
}

fn is_entry(name: &str) -> bool {
    !name.starts_with('.') && name.ends_with(SUFFIX)
}

/// Puts a file in its place as a whole; the folder is not flushed.
fn replace(unfinished: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

fn make_folder(path: &Path) -> Result<(), OutboxError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
