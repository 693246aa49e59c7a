//! Running programs, never longer than a limit.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Longest time one program may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How a program ended, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 128 + signal where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// This output of a program that must have ended with `code`.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// This output of a program that must have succeeded.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.expect(0)
    }

    /// This output of a program that must have failed with a message that contains `text`.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn fails(self, text: &str) -> Self {
        assert_ne!(self.code, 0, "succeeded; stdout: {}", self.stdout);
        assert!(self.stderr.contains(text), "exit {}, without {text:?}: {}", self.code, self.stderr);
        self
    }

    /// Standard output, which must be one JSON value.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Exit code as shells count it.
#[must_use]
pub fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap()
}

/// Runs a program to its end, without input unless it was given one.
///
/// # Panics
/// If it cannot be started or takes longer than [`LIMIT`].
pub fn run(command: &mut Command) -> Output {
    let (mut stdout, mut stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status = wait(&mut child, LIMIT);
    let (stdout, stderr) = (text(&mut stdout), text(&mut stderr));
    match status {
        Some(status) => Output { code: code(status), stdout, stderr },
        None => {
            // What it started as well; the bounded wait that follows is for the notice of its end.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let dead = wait(&mut child, Duration::from_secs(2)).is_some();
            panic!("{command:?}: longer than {LIMIT:?} (killed: {dead})\nstdout: {stdout}\nstderr: {stderr}");
        }
    }
}

/// Runs a `bash` script with the programs under test in `PATH`.
///
/// # Panics
/// As [`run`].
pub fn shell(script: &str) -> Output {
    run(&mut bash(script))
}

/// A `bash` script with the programs under test in `PATH`, to be given more before it runs.
#[must_use]
pub fn bash(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script]).env("PATH", crate::binaries::search_path()).env_remove("SMCARD").env("LC_ALL", "C");
    command.stdin(Stdio::null());
    command
}

/// Waits for the end of a child, not longer than `limit`.
///
/// # Panics
/// If it is no child of this process.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let mut ended = None;
    until(limit, || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    ended
}

/// Waits until something holds, not longer than `limit`; tells whether it does.
pub fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_and_how_it_ends_is_kept() {
        let sh = |script: &str| run(Command::new("sh").args(["-c", script]));
        let output = sh("echo out; echo err >&2; exit 3");
        assert_eq!(output, Output { code: 3, stdout: "out\n".into(), stderr: "err\n".into() });
        assert_eq!(sh("kill -9 $$").code, 137);
    }

    #[test]
    fn waiting_is_bounded() {
        let mut child = Command::new("sleep").arg("5").spawn().unwrap();
        assert!(wait(&mut child, Duration::from_millis(20)).is_none());
        child.kill().unwrap();
        assert!(wait(&mut child, Duration::from_secs(5)).is_some());
    }
}
