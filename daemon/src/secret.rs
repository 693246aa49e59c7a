//! Files that only their owner may read: keys, passwords.

use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// No such file is longer, bytes.
const FILE_MAX: u64 = 4096;

/// Why a secret is not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read it, or it is somebody else's.
    #[error("{}: {problem}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
}

/// What the file holds, at most 4096 bytes. It must be readable by its owner alone, and the owner must be root or whoever
/// runs the daemon.
///
/// # Errors
/// It cannot be read, or others could.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let unreadable = |source| SecretError::Read { path: path.to_owned(), source };
    let unfit = |problem| Err(SecretError::Unsafe { path: path.to_owned(), problem });
    // Not blocking on a pipe that somebody put there.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let stat = rustix::fs::fstat(&file).map_err(|error| unreadable(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return unfit("is no regular file");
    }
    if stat.st_mode & 0o177 != 0 {
        return unfit("is open to others; chmod 0600 it");
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return unfit("belongs neither to root nor to the user that runs the daemon");
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    File::from(file).take(FILE_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_others_can_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        let with = |mode| {
            std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
            read(file.path())
        };
        for mode in [0o640, 0o604, 0o666, 0o700] {
            let error = with(mode).unwrap_err();
            assert!(matches!(error, SecretError::Unsafe { .. }) && !error.to_string().contains("secret"), "{mode:o}");
        }
        for mode in [0o600, 0o400] {
            assert_eq!(with(mode).unwrap().as_slice(), b"secret");
        }
        assert!(matches!(read(Path::new("/")), Err(SecretError::Unsafe { .. })));
        assert!(matches!(read(Path::new("/no/such/file")), Err(SecretError::Read { .. })));
    }
}
