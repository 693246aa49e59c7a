//! The shipped program on a real mount, taken away again however a test ends.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use smcard_batch::{BatchBuilder, CommandApdu};
use smcard_ioctl::Client;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A place for a card: an image, a mount point, perhaps a configuration.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of_size("8M")
    }

    /// An image of another size.
    pub(crate) fn of_size(size: &str) -> Self {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(place.mountpoint()).unwrap();
        let made = smcardd().arg("create").arg(place.image()).args(["--size", size]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        place
    }

    pub(crate) fn mountpoint(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.dir.path().join("card.img")
    }

    pub(crate) fn source(&self) -> String {
        format!("emulated:{}", self.image().display())
    }

    pub(crate) fn config(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("smcardd.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// The command that mounts it in the foreground.
    pub(crate) fn command(&self) -> Command {
        let mut command = smcardd();
        command.arg(self.source()).arg(self.mountpoint()).arg("-f");
        command
    }

    /// Mounts and waits until the mount answers.
    pub(crate) fn mount(&self, arguments: &[&str]) -> Mounted {
        let mut command = self.command();
        command.args(arguments);
        Mounted::start(command, &self.mountpoint())
    }

    pub(crate) fn is_mounted(&self) -> bool {
        mounts_at(&self.mountpoint()) > 0
    }

    /// Runs a mount that is to fail; exit code and what it said.
    pub(crate) fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = run(self.command().args(arguments));
        assert!(!self.is_mounted());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        while self.is_mounted() {
            let detached = Command::new("umount").arg("-l").arg(self.mountpoint()).status();
            if !detached.is_ok_and(|status| status.success()) {
                break;
            }
        }
    }
}

/// A mounted card.
pub(crate) struct Mounted {
    child: Child,
    pub(crate) mountpoint: PathBuf,
}

impl Mounted {
    pub(crate) fn start(mut command: Command, mountpoint: &Path) -> Self {
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut mounted = Mounted { child, mountpoint: mountpoint.to_owned() };
        let begun = Instant::now();
        while fs::read(mountpoint.join("status")).is_err() {
            if let Some(status) = mounted.child.try_wait().unwrap() {
                panic!("smcardd ended ({status}): {}", mounted.said());
            }
            assert!(begun.elapsed() < PATIENCE, "the mount does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        mounted
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.mountpoint.join(path)
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}")).trim_end().to_owned()
    }

    pub(crate) fn number(&self, path: &str) -> u64 {
        self.read(path).parse().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::open(&self.path("control")).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end of the daemon.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "smcardd does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it said on standard error; only after its end.
    pub(crate) fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said).unwrap();
        }
        said
    }

    /// Ends it as a service manager does.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.ended();
        let said = self.said();
        assert!(status.success(), "{status}: {said}");
        said
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            let begun = Instant::now();
            while self.child.try_wait().is_ok_and(|status| status.is_none()) && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

pub(crate) fn smcardd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smcardd"));
    command.env_remove("NOTIFY_SOCKET").env_remove("CREDENTIALS_DIRECTORY").env_remove("JOURNAL_STREAM");
    command
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// How many mounts lie on a path.
pub(crate) fn mounts_at(path: &Path) -> usize {
    let path = path.parent().unwrap().canonicalize().unwrap().join(path.file_name().unwrap());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = path.to_str().unwrap();
    table.lines().filter(|line| line.split(' ').nth(4) == Some(path)).count()
}

/// A batch of harmless commands (GET STATUS).
pub(crate) fn batch(commands: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for _ in 0..commands {
        builder.push(&CommandApdu::new(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).with_le(256)).unwrap();
    }
    builder.finish().unwrap()
}
