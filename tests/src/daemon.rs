//! One running `smcardd`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::run::{self, until};
use crate::{binaries, proc};

/// Longest time a daemon may take to mount, or to end after a signal.
pub const LIMIT: Duration = Duration::from_secs(10);

/// `smcardd`, not yet told what to do; without the settings of whoever runs the tests.
#[must_use]
pub fn program() -> Command {
    let mut command = Command::new(binaries::smcardd());
    command.stdin(Stdio::null()).env_remove("NOTIFY_SOCKET").env_remove("CREDENTIALS_DIRECTORY");
    command.env_remove("SMCARD_LOG");
    command
}

/// A `smcardd -f` and its mount. Dropping it ends both.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    notices: Notices,
    mountpoint: PathBuf,
    log: PathBuf,
    ended: Option<ExitStatus>,
    forgotten: bool,
}

impl Daemon {
    /// Starts the daemon with `arguments` and waits until it says that the mount answers. It logs into `log`, behind
    /// what stands there.
    ///
    /// # Errors
    /// The log, where the daemon ended or did not get ready.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start(mut command: Command, mountpoint: &Path, log: &Path) -> Result<Self, String> {
        let notices = Notices::new();
        let file = File::options().create(true).append(true).open(log).unwrap();
        command
            .env("NOTIFY_SOCKET", notices.folder.path().join("notify"))
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let child = command.spawn().unwrap();
        let mut daemon = Self {
            child,
            notices,
            mountpoint: mountpoint.to_owned(),
            log: log.to_owned(),
            ended: None,
            forgotten: false,
        };
        let mut ready = false;
        until(LIMIT, || {
            ready = daemon.has_told("READY=1");
            ready || daemon.has_ended()
        });
        if ready { Ok(daemon) } else { Err(daemon.log()) }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its card is mounted.
    #[must_use]
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// What it has logged.
    ///
    /// # Panics
    /// If the log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// True where it has told its service manager `what` since this was asked last.
    #[must_use]
    pub fn has_told(&self, what: &str) -> bool {
        let mut notice = [0; 1024];
        let mut told = false;
        while let Ok(length) = self.notices.socket.recv(&mut notice) {
            told |= String::from_utf8_lossy(&notice[..length]).lines().any(|line| line == what);
        }
        told
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has been waited for already.
    pub fn signal(&self, signal: Signal) {
        assert!(self.ended.is_none(), "the daemon has ended");
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// True once it has ended.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_some()
    }

    /// Waits for its end and tells its exit code; 128 + signal where a signal ended it.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn wait(&mut self) -> i32 {
        let ended = until(LIMIT, || self.has_ended());
        assert!(ended, "the daemon has not ended after {LIMIT:?}:\n{}", self.log());
        run::code(self.ended.unwrap())
    }

    /// Ends it by a signal and tells its exit code.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn end(&mut self, signal: Signal) -> i32 {
        self.signal(signal);
        self.wait()
    }

    /// The mounts of cards at its mount point.
    #[must_use]
    pub fn mounts(&self) -> Vec<proc::Mount> {
        proc::mounts_at(&self.mountpoint)
    }

    /// Lets go of a daemon that has ended. Its mount stays if there is one.
    ///
    /// # Panics
    /// If it has not ended.
    pub fn forget(mut self) {
        assert!(self.has_ended(), "the daemon has not ended");
        self.forgotten = true;
    }

    /// Ends it, by force if need be. What force was needed for, in words.
    fn tidy(&mut self) -> Result<(), String> {
        let mut wrong = Vec::new();
        if !self.has_ended() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            if until(LIMIT, || self.has_ended()) {
                let code = run::code(self.ended.unwrap());
                if code != 0 {
                    wrong.push(format!("it ended with {code} after SIGTERM"));
                }
            } else {
                let _ = self.child.kill();
                wrong.push(format!("it did not end by SIGTERM in {LIMIT:?}"));
            }
        }
        while self.mounts().iter().any(|mount| mount.kind == "fuse.smcardd") {
            wrong.push("it left its mount".to_owned());
            let detached = unmount(&self.mountpoint, UnmountFlags::DETACH);
            if let Err(error) = detached {
                wrong.push(format!("which cannot be detached: {}", io::Error::from(error)));
                break;
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.forgotten {
            return;
        }
        let tidy = self.tidy();
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        } else if let Err(wrong) = tidy {
            panic!("the daemon: {wrong}\n{}", self.log());
        }
    }
}

/// What the daemon tells its service manager.
#[derive(Debug)]
struct Notices {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Notices {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        // Daemons of other users write into it.
        for path in [folder.path().to_owned(), folder.path().join("notify")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        socket.set_nonblocking(true).unwrap();
        Self { socket, folder }
    }
}
