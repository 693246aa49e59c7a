//! Mounting and unmounting.
//!
//! Done here and not by the FUSE crate, for three reasons: the unmount must not fail because a file is open, it must
//! never hit a mount that is not ours, and a mount left behind by a crash is to be replaced. As root the system call is
//! used, otherwise `fusermount3`.

mod helper;
pub mod table;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The type of the mount, as the mount table shows it.
pub const FSTYPE: &str = "fuse.smcardd";

/// Why a card is not mounted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MountError {
    /// The mount point cannot be used.
    #[error("{}: {source}; the mount point must be an existing directory", path.display())]
    Mountpoint {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no directory.
    #[error("{}: not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// It has contents that would be hidden.
    #[error("{}: not empty, its contents would be hidden; choose an empty directory", .0.display())]
    NotEmpty(PathBuf),
    /// A card is mounted there and answers.
    #[error("{}: a card is mounted here already; unmount it first", .0.display())]
    Mounted(PathBuf),
    /// Something that does not answer is mounted there, and it is not ours.
    #[error("{}: a dead mount of type {fstype} is in the way; unmount it first (umount -l)", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Its type.
        fstype: String,
    },
    /// The kernel or the helper refused.
    #[error("{}: mounting failed: {text}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// Why, and what to do.
        text: String,
    },
}

/// A mount of ours.
#[derive(Debug)]
pub struct Mount {
    mountpoint: PathBuf,
    id: Option<u64>,
    minor: Option<u32>,
    by_helper: bool,
}

/// Makes sure that a card can be mounted at `path`: an empty directory; a dead mount of ours is taken away first. Gives
/// the path without symbolic links.
///
/// # Errors
/// All but [`MountError::Refused`].
pub fn prepare(path: &Path) -> Result<PathBuf, MountError> {
    let unusable = |source| MountError::Mountpoint { path: path.to_owned(), source };
    // Opening asks whoever serves the mount; the attributes of a dead one may still be remembered by the kernel.
    if let Err(error) = std::fs::read_dir(path) {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOTCONN | Errno::CONNABORTED) => heal(path)?,
            Some(Errno::NOTDIR) => return Err(MountError::NotADirectory(path.to_owned())),
            _ => return Err(unusable(error)),
        }
    }
    let path = path.canonicalize().map_err(unusable)?;
    if table::top(&path).map_err(unusable)?.is_some_and(|entry| entry.fstype == FSTYPE) {
        return Err(MountError::Mounted(path));
    }
    if std::fs::read_dir(&path).map_err(unusable)?.next().is_some() {
        return Err(MountError::NotEmpty(path));
    }
    Ok(path)
}

/// Takes away the mount a crash has left behind, if it is one of ours.
fn heal(path: &Path) -> Result<(), MountError> {
    let unusable = |source| MountError::Mountpoint { path: path.to_owned(), source };
    // The path itself cannot be resolved through a dead mount; its parent can.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| unusable(io::ErrorKind::InvalidInput.into()))?;
    let real = parent.canonicalize().map_err(unusable)?.join(name);
    let Some(entry) = table::top(&real).map_err(unusable)? else {
        return Err(unusable(Errno::NOTCONN.into()));
    };
    if entry.fstype != FSTYPE {
        return Err(MountError::Foreign { path: real, fstype: entry.fstype });
    }
    log::warn!("{}: a mount left behind by a crash is replaced", real.display());
    detach(&real, !rustix::process::geteuid().is_root()).map_err(unusable)
}

fn detach(mountpoint: &Path, by_helper: bool) -> io::Result<()> {
    if by_helper {
        return helper::unmount(mountpoint);
    }
    Ok(rustix::mount::unmount(mountpoint, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?)
}

impl Mount {
    /// Mounts a card at `mountpoint` (as [`prepare`] gave it): the mount, and the connection to be served.
    ///
    /// # Errors
    /// [`MountError::Refused`].
    pub fn new(source: &str, mountpoint: &Path, allow_other: bool) -> Result<(Self, OwnedFd), MountError> {
        let source = table::sanitized(source);
        let root = rustix::process::geteuid().is_root();
        let fd = if root {
            by_system_call(&source, mountpoint, allow_other)
        } else {
            helper::mount(&source, mountpoint, allow_other)
        };
        let refused = |error: io::Error| MountError::Refused { path: mountpoint.to_owned(), text: error.to_string() };
        let fd = fd.map_err(refused)?;
        let entry = table::top(mountpoint).map_err(refused)?.filter(|entry| entry.fstype == FSTYPE);
        let mount = Mount {
            mountpoint: mountpoint.to_owned(),
            id: entry.as_ref().map(|entry| entry.id),
            minor: entry.map(|entry| entry.minor),
            by_helper: !root,
        };
        Ok((mount, fd))
    }

    /// Takes the mount out of the tree, whatever is open in it. A mount that is not this one is left alone.
    ///
    /// # Errors
    /// The kernel or the helper refused.
    pub fn detach(&self) -> io::Result<()> {
        let top = table::top(&self.mountpoint)?;
        match top {
            Some(entry) if self.id == Some(entry.id) => detach(&self.mountpoint, self.by_helper),
            Some(entry) => {
                log::warn!("{}: another mount ({}) is here now; it stays", self.mountpoint.display(), entry.fstype);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Breaks the connection: programs that still wait get an error at once. Works where the kernel's control file
    /// system is mounted; otherwise the end of the process does the same.
    pub fn abort(&self) {
        if let Some(minor) = self.minor {
            let path = format!("/sys/fs/fuse/connections/{minor}/abort");
            if let Err(error) = std::fs::write(&path, "1") {
                log::debug!("{path}: {error}");
            }
        }
    }
}

fn by_system_call(source: &str, mountpoint: &Path, allow_other: bool) -> io::Result<OwnedFd> {
    let device = "/dev/fuse";
    let fd = rustix::fs::open(device, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| io::Error::other(format!("{device}: {error}; is the kernel module fuse loaded?")))?;
    let mut options = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions",
        fd.as_raw_fd(),
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    if allow_other {
        options.push_str(",allow_other");
    }
    let options = CString::new(options).map_err(io::Error::other)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    rustix::mount::mount(source, mountpoint, FSTYPE, flags, &*options)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_an_empty_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(prepare(dir.path()).unwrap(), dir.path().canonicalize().unwrap());
        let missing = dir.path().join("missing");
        assert!(matches!(prepare(&missing), Err(MountError::Mountpoint { .. })));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(prepare(&file), Err(MountError::NotADirectory(_))));
        assert!(matches!(prepare(dir.path()), Err(MountError::NotEmpty(_))));
    }

    #[test]
    fn a_mount_that_is_not_ours_is_left_alone() {
        let stranger = Mount { mountpoint: "/".into(), id: None, minor: None, by_helper: false };
        stranger.detach().unwrap();
        assert!(table::top(Path::new("/")).unwrap().is_some());
    }
}
