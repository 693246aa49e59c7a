//! Going into the background without forking: the program starts itself again.
//!
//! A fork of a program is safe only before it has threads, and cannot be done without `unsafe` code; a new process is
//! always clean. The child tells on its standard output that the mount answers; its errors go to the standard error of
//! the parent until then.

use crate::logging::Logger;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// What the child says once the mount answers.
const READY: &[u8] = b"ready\n";

/// Starts the daemon in the background with the arguments of this process, and waits until the mount answers or the
/// child has ended.
///
/// # Errors
/// The program cannot be started. What the child itself fails with it has said; its exit code is given.
pub fn spawn() -> io::Result<ExitCode> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let name = if arguments.is_empty() { OsString::from("smcardd") } else { arguments.remove(0) };
    let mut child = Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(["--child", "-f"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // The child closes its end by going on, or by ending.
        stdout.take(16).read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    if code.is_none() {
        eprintln!("smcardd: the daemon ended before the mount answered ({status})");
    }
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// The child's first step: a session of its own, so that a signal to the terminal's programs does not hit it.
pub fn begin() {
    // Fails only where it leads a session already.
    let _ = rustix::process::setsid();
}

/// The child's last step before it serves: tells the parent, then lets go of terminal and working directory.
///
/// # Errors
/// The log file cannot be opened, or `/dev/null` cannot.
pub fn settle(logger: &Logger, log: Option<&Path>) -> io::Result<()> {
    match log {
        Some(path) => logger
            .to_file(path)
            .map_err(|error| io::Error::new(error.kind(), format!("log file {}: {error}", path.display())))?,
        None => logger.to_syslog(),
    }
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // The parent may be gone; the daemon serves all the same.
    let _ = io::stdout().write_all(READY).and_then(|()| io::stdout().flush());
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    rustix::process::chdir("/")?;
    Ok(())
}
