//! A card, mounted.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use smcard_ioctl::Client;
use tempfile::TempDir;

use crate::daemon::{self, Daemon};
use crate::run::{Output, bash, run};
use crate::setup::Setup;
use crate::{binaries, proc};

/// A card with its own folder, image, configuration and daemon. Dropping it ends the daemon and its mount.
#[derive(Debug)]
pub struct Mounted {
    // Fields are dropped in this order: the daemon before the folder it works in.
    daemon: Option<Daemon>,
    setup: Setup,
    folder: TempDir,
}

impl Mounted {
    /// Makes a card and mounts it.
    ///
    /// # Panics
    /// If that fails, or if it cannot be tried: no root, no `/dev/fuse`.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let mut mounted = Self::unmounted(setup);
        mounted.mount();
        mounted
    }

    /// Makes a card and its configuration, and mounts nothing.
    ///
    /// # Panics
    /// As [`Mounted::new`].
    #[must_use]
    pub fn unmounted(setup: Setup) -> Self {
        assert!(rustix::process::geteuid().is_root(), "tests on real mounts run as root");
        assert!(Path::new("/dev/fuse").exists(), "/dev/fuse is missing; load the kernel module: modprobe fuse");
        let folder = tempfile::Builder::new().prefix("smcard-test.").tempdir().unwrap();
        let mounted = Self { daemon: None, setup, folder };
        fs::create_dir(mounted.mountpoint()).unwrap();
        fs::create_dir(mounted.scratch()).unwrap();
        // Others reach the mount through this folder, and nothing else in it.
        fs::set_permissions(mounted.folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        mounted.setup.configure(mounted.folder.path());
        mounted.setup.create(&mounted.image());
        mounted
    }

    /// Mounts the card.
    ///
    /// # Panics
    /// If that fails.
    pub fn mount(&mut self) {
        self.try_mount().unwrap_or_else(|log| panic!("smcardd did not mount:\n{log}"));
    }

    /// Tries to mount the card.
    ///
    /// # Errors
    /// What the daemon said.
    ///
    /// # Panics
    /// If it is mounted already.
    pub fn try_mount(&mut self) -> Result<(), String> {
        assert!(self.daemon.is_none(), "mounted already");
        let daemon = Daemon::start(self.command(), &self.mountpoint(), &self.folder.path().join("log"))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// The command that mounts the card and stays in the foreground.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = daemon::program();
        command.arg(self.source()).arg(self.mountpoint()).arg("-f").arg("--config").arg(self.config());
        command.env("SMCARD_LOG", self.setup.log);
        command
    }

    /// Ends the daemon by SIGTERM.
    ///
    /// # Panics
    /// If it does not end well.
    pub fn unmount(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        assert_eq!(daemon.end(Signal::TERM), 0, "{}", daemon.log());
        assert_eq!(daemon.mounts(), [], "the mount is left");
    }

    /// Lets go of a daemon that has ended, so that the card can be mounted again. Its mount stays if there is one.
    ///
    /// # Panics
    /// If it has not ended.
    pub fn forget(&mut self) {
        self.daemon.take().unwrap().forget();
    }

    /// Ends the daemon and mounts the card again.
    ///
    /// # Panics
    /// If either fails.
    pub fn remount(&mut self) {
        self.unmount();
        self.mount();
    }

    /// Like [`Mounted::remount`], as another setup has it. The card itself stays what it is.
    ///
    /// # Panics
    /// If it fails.
    pub fn remount_as(&mut self, setup: Setup) {
        self.unmount();
        self.setup = setup;
        self.setup.configure(self.folder.path());
        self.mount();
    }

    /// The daemon.
    ///
    /// # Panics
    /// If the card is not mounted.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().unwrap()
    }

    /// What the daemon has logged since the card was made.
    ///
    /// # Panics
    /// If nothing was ever mounted.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap()).into_owned()
    }

    /// The file systems mounted at the mount point.
    #[must_use]
    pub fn mounts(&self) -> Vec<proc::Mount> {
        proc::mounts_at(&self.mountpoint())
    }

    /// The folder of this card: image, configuration, keys, log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the card is mounted.
    #[must_use]
    pub fn mountpoint(&self) -> PathBuf {
        self.folder.path().join("card")
    }

    /// A folder on another file system than the card.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    /// The card's image.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.path().join("card.img")
    }

    /// The daemon's configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("smcardd.toml")
    }

    /// What is mounted.
    #[must_use]
    pub fn source(&self) -> String {
        crate::setup::source(&self.image())
    }

    /// A file of the mount.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.mountpoint().join(path)
    }

    /// The content of a small file of the mount, without line feed.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn value(&self, path: &str) -> String {
        let text = fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        text.strip_suffix('\n').unwrap_or_else(|| panic!("{path} ends without line feed: {text:?}")).to_owned()
    }

    /// The names in a folder of the mount, sorted.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The batches in the store, name and size, sorted.
    ///
    /// # Panics
    /// If they cannot be listed.
    #[must_use]
    #[track_caller]
    pub fn batches(&self) -> Vec<(String, u64)> {
        let size = |name: String| {
            let size = fs::metadata(self.path("issue").join(&name)).unwrap().len();
            (name, size)
        };
        self.names("issue").into_iter().map(size).collect()
    }

    /// Writes bytes into a new file of the scratch folder.
    ///
    /// # Panics
    /// If that fails.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.scratch().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Copies bytes into `issue/` with `cp`.
    ///
    /// # Panics
    /// If `cp` cannot be run; what it says is the answer.
    #[must_use]
    pub fn copy(&self, bytes: &[u8], name: &str) -> Output {
        let file = self.file(name, bytes);
        run(Command::new("cp").arg(file).arg(self.path("issue")).env("LC_ALL", "C").stdin(Stdio::null()))
    }

    /// Copies a batch into `issue/` with `cp`, which must succeed.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn put(&self, bytes: &[u8], name: &str) {
        self.copy(bytes, name).ok();
    }

    /// `smcardctl` for this card, not yet run.
    #[must_use]
    pub fn ctl_command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(binaries::smcardctl());
        command.arg("--card").arg(self.mountpoint()).args(arguments).env_remove("SMCARD").stdin(Stdio::null());
        command
    }

    /// Runs `smcardctl` for this card.
    ///
    /// # Panics
    /// If it cannot be run, or takes too long.
    #[must_use]
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        run(&mut self.ctl_command(arguments))
    }

    /// Runs `smcardctl --json` for this card; the object or array it prints.
    ///
    /// # Panics
    /// If it prints anything else.
    #[must_use]
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.ctl(&[arguments, &["--json"]].concat()).json()
    }

    /// Runs a `bash` script in the scratch folder; `$CARD` is the mount point, and `smcardctl` finds the card.
    ///
    /// # Panics
    /// If it cannot be run, or takes too long.
    #[must_use]
    pub fn shell(&self, script: &str) -> Output {
        run(&mut self.bash(script))
    }

    /// A `bash` script for [`Mounted::shell`], to be given more before it runs.
    #[must_use]
    pub fn bash(&self, script: &str) -> Command {
        let mut command = bash(script);
        command.current_dir(self.scratch()).env("CARD", self.mountpoint()).env("SMCARD", self.mountpoint());
        command
    }

    /// The status word and the response data of one APDU, in hexadecimal.
    ///
    /// # Panics
    /// If the card does not answer.
    #[must_use]
    #[track_caller]
    pub fn apdu(&self, hex: &str) -> (String, String) {
        let answer = self.json(&["apdu", hex]);
        let text = |name: &str| answer[0][name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        (text("sw"), text("response"))
    }

    /// The status word of SELECT by AID.
    ///
    /// # Panics
    /// If the card does not answer.
    #[must_use]
    #[track_caller]
    pub fn select(&self, aid: &[u8]) -> String {
        let length = u8::try_from(aid.len()).unwrap();
        self.apdu(&format!("00A40400{length:02X}{}", hex(aid))).0
    }

    /// The control file, opened for operations.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::open(&self.path("control")).unwrap()
    }
}

/// Hexadecimal in capitals.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
