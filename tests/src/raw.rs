//! System calls exactly as given, errors as the kernel names them: for what the client library would never send.

use std::path::Path;
use std::process::Command;

use crate::run::run;

/// A Python program's preamble: `call(path, flags, number, hex)` opens a file, makes one ioctl and prints `0` or the
/// name of the errno; `raw(fd, number, hex)` does so on an open descriptor.
const PREAMBLE: &str = "
import errno, fcntl, os, select, signal, socket, struct, sys, time
errno.errorcode[errno.EOPNOTSUPP] = 'EOPNOTSUPP'
def raw(fd, number, data):
    buffer = bytearray.fromhex(data)
    try:
        fcntl.ioctl(fd, number, buffer)
        return 0, bytes(buffer)
    except OSError as error:
        return errno.errorcode[error.errno], None
def call(path, flags, number, data):
    try:
        fd = os.open(path, flags)
    except OSError as error:
        return 'open ' + errno.errorcode[error.errno]
    try:
        return raw(fd, number, data)[0]
    finally:
        os.close(fd)
";

/// Runs a Python program behind the preamble, in the mount's folder; its lines of output.
///
/// # Panics
/// If it fails.
#[track_caller]
#[must_use]
pub fn python(mountpoint: &Path, program: &str) -> Vec<String> {
    let mut command = Command::new("python3");
    let output = run(command.arg("-c").arg(format!("{PREAMBLE}{program}")).current_dir(mountpoint)).ok();
    output.stdout.lines().map(str::to_owned).collect()
}
