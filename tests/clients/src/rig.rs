//! A pcscd of its own, and a card in both of its readers.

use rustix::process::{Pid, Signal, kill_process};
use smcard_tests::run::{self, until};
use smcard_tests::{Mounted, Setup, binaries};
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest time pcscd may take for anything.
const LIMIT: Duration = Duration::from_secs(10);

/// How the card gets to pcscd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Debian's vsmartcard-vpcd.
    Vpcd,
    /// Our own IFD handler.
    Handler,
}

impl Way {
    /// Both.
    pub const ALL: [Way; 2] = [Way::Vpcd, Way::Handler];

    /// The reader, as pcscd names it.
    #[must_use]
    pub fn reader(self) -> &'static str {
        match self {
            Way::Vpcd => "vpcd 00 00",
            Way::Handler => "smcard 00 00",
        }
    }
}

/// A card, mounted, with sockets for both ways.
#[must_use]
pub fn mounted(setup: Setup) -> (Mounted, u16) {
    let mut mounted = Mounted::unmounted(setup);
    let port = free_ports();
    let socket = socket_of(&mounted);
    let mut config = File::options().append(true).open(mounted.config()).unwrap();
    writeln!(config, "[pcsc]\nvpcd = \"127.0.0.1:{port}\"\nsocket = \"{}\"\nmode = \"0600\"", socket.display())
        .unwrap();
    mounted.mount();
    (mounted, port)
}

/// The socket for our handler.
#[must_use]
pub fn socket_of(mounted: &Mounted) -> PathBuf {
    mounted.folder().join("pcsc.sock")
}

/// Two free ports, one behind the other: vpcd has two slots.
fn free_ports() -> u16 {
    let free = (0..100).find_map(|_| {
        let first = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        TcpListener::bind(("127.0.0.1", first.checked_add(1)?)).ok().map(|_| first)
    });
    free.expect("two free ports")
}

/// A card and a pcscd that sees it in two readers.
pub struct Rig {
    pcscd: Pcscd,
    /// The card.
    pub card: Mounted,
}

impl Rig {
    /// Starts both and waits until the card is in both readers.
    ///
    /// # Panics
    /// If it does not get there.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let (card, port) = mounted(setup);
        let rig = Rig { pcscd: Pcscd::start(card.folder(), &socket_of(&card), port), card };
        rig.wait_for_card();
        rig
    }

    /// Waits until the card is in both readers.
    ///
    /// # Panics
    /// If it is not after a while.
    pub fn wait_for_card(&self) {
        let mut listing = String::new();
        let there = until(LIMIT, || {
            listing = run::run(self.client("opensc-tool").arg("-l")).stdout;
            Way::ALL.iter().all(|way| listing.lines().any(|line| line.contains("Yes") && line.ends_with(way.reader())))
        });
        assert!(there, "no card in the readers:\n{listing}\n{}\n{}", self.card.log(), self.pcscd.log());
    }

    /// A program that will find this pcscd.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("PCSCLITE_CSOCK_NAME", &self.pcscd.socket).env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// This program again, as the client `name` of the reader.
    ///
    /// # Panics
    /// If the system does not know where this program is.
    #[must_use]
    pub fn ourselves(&self, name: &str, way: Way) -> Command {
        let mut command = self.client(std::env::current_exe().unwrap().to_str().unwrap());
        command.args(["client", name, way.reader()]).arg(self.card.mountpoint());
        command
    }

    /// What pcscd has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.pcscd.log()
    }
}

/// pcscd, in a mount namespace where its folder in `/run` is ours.
struct Pcscd {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Pcscd {
    fn start(folder: &Path, socket: &Path, port: u16) -> Self {
        let (run, readers, log) = (folder.join("run"), folder.join("readers"), folder.join("pcscd.log"));
        fs::create_dir(&run).unwrap();
        fs::create_dir(&readers).unwrap();
        let handler = binaries::folder().join("libsmcard_ifd.so");
        assert!(handler.is_file(), "{} is not built; run: make clients", handler.display());
        let readers_text = format!(
            "FRIENDLYNAME \"smcard\"\nDEVICENAME unix:{}\nLIBPATH {}\n\n\
             FRIENDLYNAME \"vpcd\"\nDEVICENAME /dev/null:{port:#x}\n\
             LIBPATH /usr/lib/pcsc/drivers/serial/libifdvpcd.so\nCHANNELID {port:#x}\n",
            socket.display(),
            handler.display()
        );
        fs::write(readers.join("smcard"), readers_text).unwrap();
        let script = "mkdir -p /run/pcscd && mount --bind \"$1\" /run/pcscd && exec pcscd --foreground -c \"$2\"";
        let file = File::create(&log).unwrap();
        let mut command = Command::new("unshare");
        // What we unmount is not kept mounted there.
        command
            .args(["--mount", "--propagation", "slave", "sh", "-c", script, "pcscd"])
            .arg(&run)
            .arg(&readers)
            .stdin(Stdio::null());
        // pcscd is a system program, and not in everybody's path.
        let path = format!("/usr/sbin:{}", std::env::var("PATH").unwrap_or_default());
        let child = command.env("PATH", path).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let pcscd = Pcscd { child, socket: run.join("pcscd.comm"), log };
        assert!(until(LIMIT, || pcscd.socket.exists()), "pcscd does not start:\n{}", pcscd.log());
        pcscd
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Pcscd {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if run::wait(&mut self.child, LIMIT).is_none() {
            eprintln!("pcscd does not end by SIGTERM");
            let _ = self.child.kill();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of pcscd's log:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}
