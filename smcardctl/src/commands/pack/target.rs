//! Where the batch goes: a file of its owner's, or the drop box of a card.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure, printable};
use crate::progress::Progress;

/// Bytes of one write(2): what a card's drop box takes best.
const CHUNK: usize = 1 << 20;
/// A batch may hold keys and personal data: nobody else reads it.
const MODE: u32 = 0o600;

/// A file to be written.
pub(crate) struct Target {
    path: PathBuf,
}

impl Target {
    /// Refuses a target that is one of the `inputs`.
    pub(crate) fn new<'a>(path: &Path, inputs: impl Iterator<Item = &'a PathBuf>) -> Result<Self, Failure> {
        let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let own = identity(path);
        for input in inputs {
            if own.is_some() && identity(input) == own {
                let what = printable(&path.to_string_lossy());
                return Err(Failure::new(Exit::Usage, what, "would overwrite an input", "name another output"));
            }
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Writes the file, closing included: a drop box says at the end what is wrong with a batch. What cannot be
    /// finished is removed.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::file(&self.path, &error);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(MODE).open(&self.path).map_err(failed)?;
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        fill(file, bytes).map_err(|error| {
            if regular {
                // The error that matters is the first.
                let _ = fs::remove_file(&self.path);
            }
            failed(error)
        })
    }
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    let progress = Progress::bytes("writing", u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    for chunk in bytes.chunks(CHUNK) {
        file.write_all(chunk)?;
        progress.advance(u64::try_from(chunk.len()).unwrap_or(0));
    }
    nix::unistd::close(file).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_owner_reads_a_batch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.batch");
        let bytes = vec![7; CHUNK + 1];
        Target::new(&path, [].iter()).unwrap().write(&bytes).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_input_is_never_overwritten_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let (cap, link) = (folder.path().join("a.cap"), folder.path().join("link"));
        fs::write(&cap, b"cap").unwrap();
        fs::hard_link(&cap, &link).unwrap();
        for name in [&cap, &link] {
            assert_eq!(Target::new(name, [cap.clone()].iter()).err().unwrap().exit, Exit::Usage);
        }
        assert!(Target::new(&folder.path().join("new"), [cap].iter()).is_ok());
    }

    #[test]
    fn a_full_device_is_told() {
        let full = Target::new(Path::new("/dev/full"), [].iter()).unwrap();
        let failure = full.write(b"x").unwrap_err();
        assert!(failure.line().starts_with("/dev/full: No space left"), "{}", failure.line());
    }
}
