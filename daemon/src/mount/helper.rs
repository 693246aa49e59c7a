//! `fusermount3`: mounting and unmounting without being root.
//!
//! The helper opens `/dev/fuse`, mounts, and hands the descriptor over a socket whose number it is told in
//! `_FUSE_COMMFD`. The socket is its standard input, so that nothing needs to be inherited.

use super::table::is_plain;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

const HELPER: &str = "fusermount3";

/// Mounts at `mountpoint`; the connection to be served.
pub(super) fn mount(source: &str, mountpoint: &Path, allow_other: bool) -> io::Result<OwnedFd> {
    check(mountpoint)?;
    let mut options = format!("fsname={source},subtype=smcardd,nosuid,nodev,noexec,noatime,default_permissions");
    if allow_other {
        options.push_str(",allow_other");
    }
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let child = Command::new(HELPER)
        .args(["-o", &options, "--"])
        .arg(mountpoint)
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    let received = receive(&ours);
    let output = child.wait_with_output()?;
    match received {
        Ok(Some(fd)) if output.status.success() => Ok(fd),
        Err(error) if output.status.success() => Err(error),
        _ => Err(said(&output.stderr)),
    }
}

/// Unmounts lazily.
pub(super) fn unmount(mountpoint: &Path) -> io::Result<()> {
    check(mountpoint)?;
    let output = Command::new(HELPER)
        .args(["-u", "-z", "--"])
        .arg(mountpoint)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(missing)?;
    if output.status.success() { Ok(()) } else { Err(said(&output.stderr)) }
}

fn check(mountpoint: &Path) -> io::Result<()> {
    if is_plain(mountpoint) { Ok(()) } else { Err(io::Error::other("the path cannot be handed to fusermount3")) }
}

fn missing(error: io::Error) -> io::Error {
    io::Error::other(format!("{HELPER}: {error}; install the package fuse3, or mount as root"))
}

fn said(stderr: &[u8]) -> io::Error {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim().replace('\n', "; ");
    io::Error::other(if text.is_empty() { format!("{HELPER} failed") } else { text })
}

/// The descriptor that comes with one byte over the socket; `None` where the socket is closed without.
fn receive(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    if message.bytes == 0 {
        return Ok(None);
    }
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.map(Some).ok_or_else(|| io::Error::other(format!("{HELPER} sent no descriptor")))
}
