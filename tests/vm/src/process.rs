//! A program that ends with whoever started it.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How often something that must come soon is looked at.
const STEP: Duration = Duration::from_millis(10);

/// A running program. Dropping it kills it, by its process id, and waits for its end.
///
/// Should this process die without dropping anything, the kernel kills the program: it is started by `setpriv
/// --pdeathsig`, which becomes it. That holds for the *thread* that started it, so the thread must outlive it.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
}

impl Program {
    /// Starts `program`, with everything it prints in the file `log`.
    ///
    /// # Errors
    /// If the log cannot be made or the program not be started.
    pub fn start<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>, log: &Path) -> Result<Self> {
        let name = program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let log = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("duplicating the log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Program { name, child })
    }

    /// True while it runs.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("waiting for a program")?.is_none())
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// With its name and status if it has.
    pub fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("waiting for a program")? {
            bail!("{} ended by itself: {status}", self.name);
        }
        Ok(())
    }

    /// Waits until it ends, and says whether it did so with success.
    ///
    /// # Errors
    /// If it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().context("waiting for a program")? {
                return Ok(status.success());
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {limit:?}", self.name);
            }
            std::thread::sleep(STEP);
        }
    }

    /// Kills it, so that it can do nothing any more, and waits for its end.
    pub fn kill(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits for that; kills it after `limit`. True if asking was enough.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn stop(&mut self, limit: Duration) -> Result<bool> {
        if self.runs()? {
            kill_process(Pid::from_child(&self.child), Signal::TERM)
                .with_context(|| format!("asking {} to end", self.name))?;
        }
        if self.wait(limit).is_ok() {
            return Ok(true);
        }
        self.kill();
        Ok(false)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `condition` holds.
///
/// # Errors
/// With `what` if it does not within `limit`, or what the condition itself reports.
pub fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !condition()? {
        if Instant::now() > deadline {
            bail!("{what}: not within {limit:?}");
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Program::start(Path::new("sleep"), ["1000"], &folder.path().join("log")).unwrap();
        assert!(program.runs().unwrap());
        let pid = Pid::from_child(&program.child);
        drop(program);
        assert_eq!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    }

    #[test]
    fn what_does_not_come_is_named() {
        let error = until("the ferry", Duration::ZERO, || Ok(false)).unwrap_err();
        assert_eq!(error.to_string(), "the ferry: not within 0ns");
    }

    #[test]
    fn an_early_end_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Program::start(Path::new("false"), [""; 0], &folder.path().join("log")).unwrap();
        assert!(!program.wait(Duration::from_secs(10)).unwrap());
        let error = program.must_run().unwrap_err().to_string();
        assert!(error.starts_with("false ended by itself"), "{error}");
    }
}
