//! The daemon from its start to its end: signals, crashes, mounts that are not its own, and what is left behind.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use smcard_tests::run::{self, run, shell, until};
use smcard_tests::{Daemon, Mounted, Setup, batch, binaries, daemon, proc};

/// The signals that end a daemon.
const SIGNALS: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::HUP];

/// Does the same with each signal, at the same time: most of it is waiting.
fn with_each_signal(test: impl Fn(Signal) + Sync) {
    std::thread::scope(|scope| {
        let test = &test;
        for signal in SIGNALS {
            scope.spawn(move || test(signal));
        }
    });
}

/// A `tmpfs` somewhere, taken away in the end.
struct Bystander<'a>(&'a Path);

impl<'a> Bystander<'a> {
    fn new(point: &'a Path) -> Self {
        shell(&format!("mount -t tmpfs bystander {0} && echo here > {0}/note", point.display())).ok();
        Self(point)
    }

    #[track_caller]
    fn is_well(&self) {
        assert_eq!(fs::read_to_string(self.0.join("note")).unwrap(), "here\n");
    }
}

impl Drop for Bystander<'_> {
    fn drop(&mut self) {
        shell(&format!("umount -l {}", self.0.display()));
    }
}

/// Ends the daemon by a signal and holds it to leaving nothing; how long it took.
#[track_caller]
fn ends(card: &mut Mounted, signal: Signal) -> Duration {
    let begun = Instant::now();
    let daemon = card.daemon();
    let code = daemon.end(signal);
    assert_eq!(code, 0, "{signal:?}: {}", daemon.log());
    assert!(daemon.has_told("STOPPING=1"));
    let took = begun.elapsed();
    assert_eq!(card.mounts(), [], "{signal:?}");
    assert_eq!(fs::read_dir(card.mountpoint()).unwrap().count(), 0, "the folder is as it was");
    card.forget();
    took
}

#[test]
fn each_signal_ends_an_idle_daemon_at_once() {
    let mut card = Setup::new().mount();
    let scratch = card.scratch();
    let bystander = Bystander::new(&scratch);
    for signal in SIGNALS {
        let took = ends(&mut card, signal);
        assert!(took < Duration::from_secs(1), "{signal:?} took {took:?}");
        bystander.is_well();
        card.mount();
    }
}

#[test]
fn open_files_do_not_keep_a_daemon() {
    with_each_signal(|signal| {
        let mut card = Setup::new().mount();
        let open = ["status", "control", "issue"].map(|name| File::open(card.path(name)).unwrap());
        let took = ends(&mut card, signal);
        assert!(took < Duration::from_secs(4), "{signal:?} took {took:?}");
        drop(open);
        card.mount();
        assert_eq!(card.value("status"), "ready");
    });
}

#[test]
fn half_an_upload_does_not_keep_a_daemon_and_leaves_nothing() {
    with_each_signal(|signal| {
        let mut card = Setup::new().mount();
        card.put(batch::ndef(), "whole.batch");
        let mut half = File::create(card.path("issue/half.batch")).unwrap();
        half.write_all(&batch::wallet()[..30_000]).unwrap();
        let took = ends(&mut card, signal);
        assert!(took < Duration::from_secs(4), "{signal:?} took {took:?}");
        assert!(half.write_all(&batch::wallet()[30_000..]).is_err(), "the writer is told");
        drop(half);
        card.mount();
        let free: u64 = card.value("card/free_bytes").parse().unwrap();
        assert_eq!(card.names("issue"), ["whole.batch"]);
        card.shell("rm $CARD/issue/whole.batch").ok();
        let all: u64 = card.value("card/free_bytes").parse().unwrap();
        assert!(all > free && all - free < 16_384, "the room of the half one was free: {free} {all}");
    });
}

#[test]
fn a_running_issue_does_not_keep_a_daemon_and_goes_on_after_the_next_start() {
    with_each_signal(|signal| {
        let mut card = Setup::new().recovery("command").slow(50).mount();
        card.put(&batch::long(60), "long.batch");
        card.ctl(&["start", "--no-wait"]).ok();
        assert!(until(Duration::from_secs(5), || card.value("status").starts_with("issuing")));
        // The card has got it, and is in the middle of its three seconds.
        std::thread::sleep(Duration::from_millis(500));
        let took = ends(&mut card, signal);
        assert!(took < Duration::from_secs(1), "{signal:?} took {took:?}");
        card.mount();
        assert_eq!(card.json(&["status"])["interrupted"], true, "{}", card.value("status"));
        card.remount_as(Setup::new());
        let report = card.json(&["start"]);
        assert_eq!((&report["state"], &report["given"]), (&json!("done"), &json!(60)), "{report}");
    });
}

#[test]
fn a_client_that_waits_is_told_that_the_daemon_ends() {
    let mut card = Setup::new().slow(50).mount();
    card.put(&batch::long(60), "long.batch");
    let mut command = card.ctl_command(&["start"]);
    let mut starter = command.stderr(Stdio::piped()).spawn().unwrap();
    assert!(until(Duration::from_secs(5), || card.value("status").starts_with("issuing")));
    let mut waiter = card.ctl_command(&["wait"]).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    ends(&mut card, Signal::TERM);
    for child in [&mut starter, &mut waiter] {
        let status = run::wait(child, Duration::from_secs(5)).expect("a client hangs");
        assert_eq!(status.code(), Some(3));
    }
}

#[test]
fn an_external_umount_ends_the_daemon() {
    let mut card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    shell(&format!("umount {}", card.mountpoint().display())).ok();
    assert_eq!(card.daemon().wait(), 0);
    card.forget();
    card.mount();
    assert_eq!(card.names("issue"), ["ndef.batch"]);
}

#[test]
fn a_mount_that_takes_the_place_of_ours_is_left_alone() {
    for by_signal in [true, false] {
        let mut card = Setup::new().mount();
        let point = card.mountpoint();
        // The open file keeps the daemon serving although its mount is out of sight.
        let open = File::open(card.path("status")).unwrap();
        shell(&format!("umount -l {}", point.display())).ok();
        let bystander = Bystander::new(&point);
        if by_signal {
            card.daemon().signal(Signal::TERM);
        }
        drop(open);
        assert_eq!(card.daemon().wait(), 0, "{}", card.log());
        bystander.is_well();
        assert_eq!(card.mounts().len(), 1);
        card.forget();
    }
}

#[test]
fn a_mount_on_top_of_ours_is_left_alone() {
    let mut card = Setup::new().mount();
    let point = card.mountpoint();
    let bystander = Bystander::new(&point);
    card.daemon().signal(Signal::TERM);
    assert_eq!(card.daemon().wait(), 0, "{}", card.log());
    bystander.is_well();
    drop(bystander);
    // What was below could not be taken away from below; it is dead, and the next start replaces it.
    card.forget();
    card.mount();
    assert_eq!(card.value("status"), "ready");
    assert_eq!(card.mounts().len(), 1, "{:?}", card.mounts());
}

#[test]
fn a_killed_daemon_leaves_a_dead_mount_that_the_next_start_replaces() {
    let mut card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    assert_eq!(card.daemon().end(Signal::KILL), 137);
    assert_eq!(card.mounts().len(), 1, "nobody was left to take it away");
    let dead = fs::metadata(card.path("status")).unwrap_err();
    assert_eq!(dead.raw_os_error(), Some(107), "ENOTCONN: {dead}");
    card.ctl(&["status"]).expect(3);
    card.forget();
    card.mount();
    assert_eq!(card.mounts().len(), 1);
    assert!(card.log().contains("left behind by a crash is replaced"), "{}", card.log());
    assert_eq!(card.names("issue"), ["ndef.batch"], "what cp has said is there");
    card.ctl(&["start"]).ok();
}

#[test]
fn a_mount_point_that_cannot_be_one_is_refused() {
    let mut card = Setup::new().mount();
    let place = |name: &str| card.scratch().join(name);
    fs::create_dir(place("full")).unwrap();
    fs::write(place("full/file"), "mine").unwrap();
    fs::write(place("file"), "mine").unwrap();
    let spare = place("spare.img");
    run(daemon::program().arg("create").arg(&spare).args(["--size", "1M"])).ok();
    let before = fs::read(&spare).unwrap();
    let source = format!("emulated:{}", spare.display());
    let mounted = card.mountpoint();
    for foreground in [true, false] {
        for (point, words) in [
            (place("full"), "not empty"),
            (place("file"), "not a directory"),
            (place("missing"), "No such file or directory"),
            (mounted.clone(), "a card is mounted here already"),
        ] {
            let mut command = daemon::program();
            command.arg(&source).arg(&point).args(foreground.then_some("-f"));
            let output = run(&mut command).fails(words);
            assert!(output.stderr.contains(&point.display().to_string()), "{output:?}");
            assert_eq!(output.stderr.lines().filter(|line| !line.contains("warning")).count(), 1, "{output:?}");
        }
    }
    assert_eq!(fs::read_to_string(place("full/file")).unwrap(), "mine");
    assert_eq!(fs::read(&spare).unwrap(), before);
    assert_eq!(card.value("status"), "ready");
    assert!(!card.daemon().has_ended());
}

#[test]
fn what_the_command_line_cannot_mean_is_refused() {
    let card = Mounted::unmounted(Setup::new());
    let source = card.source();
    let point = card.mountpoint().display().to_string();
    for (arguments, code, words) in [
        (vec![source.as_str(), &point, "-o", "ro"], 1, "option ro"),
        (vec![&source, &point, "-o", "colour=red"], 1, "colour=red"),
        (vec![&source, &point, "-o", "uid=me"], 1, "uid=me"),
        (vec!["/dev/mmcblk0", &point], 1, "emulated:"),
        (vec!["emulated:", &point], 1, "emulated:"),
        (vec![&source], 2, "MOUNTPOINT"),
        (vec![&source, &point, "--colour"], 2, "--colour"),
    ] {
        let output = run(daemon::program().args(&arguments).arg("-f"));
        assert!(output.code == code && output.stderr.contains(words), "{arguments:?}: {output:?}");
        assert_eq!(card.mounts(), []);
    }
    assert!(run(daemon::program().arg("--help")).ok().stdout.contains("sd_notify"));
    assert!(run(daemon::program().arg("--version")).ok().stdout.starts_with("smcardd 0"));
}

/// Ends a daemon that runs in the background by taking its mount away, and waits until its process is gone.
#[track_caller]
fn unmounted_from_outside(card: &Mounted) {
    shell(&format!("umount {}", card.mountpoint().display())).ok();
    let image = card.image().display().to_string();
    let gone = until(Duration::from_secs(5), || proc::with_argument(&image).is_empty());
    assert!(gone, "still there: {:?}", proc::with_argument(&image));
}

#[test]
fn in_the_background_it_returns_when_the_mount_answers() {
    let card = Mounted::unmounted(Setup::new());
    let log = card.folder().join("daemon.log");
    let mut command = daemon::program();
    command.arg(card.source()).arg(card.mountpoint()).arg("--config").arg(card.config());
    let output = run(command.args(["-o", &format!("log={},rw,noauto,x-systemd.automount", log.display())])).ok();
    assert_eq!(card.value("status"), "ready", "answers at once; {output:?}");
    card.put(batch::ndef(), "ndef.batch");
    card.ctl(&["start"]).ok();
    assert!(fs::read_to_string(&log).unwrap().contains("done ndef.batch"));
    let daemons = proc::with_argument(&card.image().display().to_string());
    assert_eq!(daemons.len(), 1, "the parent is gone");
    let cwd = fs::read_link(format!("/proc/{}/cwd", daemons[0])).unwrap();
    assert_eq!(cwd, Path::new("/"), "it keeps no folder busy");
    unmounted_from_outside(&card);
}

#[test]
fn in_the_background_the_error_of_the_child_is_shown() {
    let card = Mounted::unmounted(Setup::new());
    fs::write(card.image(), "no card").unwrap();
    let mut command = daemon::program();
    command.arg(card.source()).arg(card.mountpoint());
    let output = run(&mut command).expect(1);
    assert!(output.stderr.contains("not a card image"), "{output:?}");
    assert_eq!(card.mounts(), []);
    assert_eq!(proc::with_argument(&card.image().display().to_string()), Vec::<u32>::new());
}

#[test]
fn mount_and_fstab_know_the_type() {
    let helper = ["/sbin/mount.fuse", "/sbin/mount.fuse3"].iter().any(|path| Path::new(path).exists());
    assert!(helper, "mount.fuse is missing; scripts/setup.sh installs it (fuse3)");
    let card = Mounted::unmounted(Setup::new());
    let (source, point) = (card.source(), card.mountpoint().display().to_string());
    let options = format!("config={},allow_other,noauto,nofail", card.config().display());
    let fstab = card.file("fstab", format!("{source} {point} fuse.smcardd {options} 0 0\n").as_bytes());
    let image = card.image().display().to_string();
    for mount in [
        format!("mount -t fuse.smcardd {source} {point} -o {options}"),
        format!("mount --fstab {} {point}", fstab.display()),
    ] {
        // The helper looks for the daemon where the system keeps its programs, so it is put there for a while, in a
        // mount name space of its own.
        let script = format!(
            "set -e
            mount -t tmpfs tmpfs /usr/local/sbin
            ln -s {} /usr/local/sbin/smcardd
            {mount}
            cat {point}/status
            grep ' {point} ' /proc/self/mounts
            umount {point}",
            binaries::smcardd().display(),
        );
        let output = run(Command::new("unshare").args(["-m", "--propagation", "private", "bash", "-c", &script])).ok();
        let (status, entry) = output.stdout.split_once('\n').unwrap();
        assert_eq!(status, "ready");
        assert!(entry.starts_with(&format!("{source} {point} fuse.smcardd ")), "{entry}");
        for option in ["nosuid", "nodev", "noexec", "default_permissions", "allow_other"] {
            assert!(entry.split([' ', ',']).any(|given| given == option), "{option}: {entry}");
        }
        assert!(until(Duration::from_secs(5), || proc::with_argument(&image).is_empty()), "the daemon is still there");
    }
}

#[test]
fn two_hundred_mounts_leave_no_trace() {
    let mut card = Setup::new().size("1M").mount();
    card.put(batch::ndef(), "ndef.batch");
    let mut files = Vec::new();
    for _ in 0..200 {
        card.remount();
        assert_eq!(card.mounts().len(), 1);
        assert_eq!(card.names("issue"), ["ndef.batch"]);
        files.push(proc::open_files(card.daemon().pid()));
    }
    card.unmount();
    assert!(files.iter().all(|count| *count == files[0]), "open files of the daemons: {files:?}");
    assert_eq!(card.mounts(), []);
    assert_eq!(proc::with_argument(&card.image().display().to_string()), Vec::<u32>::new());
}

#[test]
fn a_daemon_that_works_keeps_no_files_open() {
    let mut card = Setup::new().mount();
    card.put(batch::again_small(), "again.batch");
    let pid = card.daemon().pid();
    let before = proc::open_files(pid);
    for n in 0..50 {
        card.put(batch::again_small(), "again.batch");
        card.ctl(&["start"]).ok();
        let _ = card.copy(b"no batch", &format!("bad{n}"));
    }
    assert_eq!(proc::open_files(pid), before);
    assert_eq!(card.names("issue"), ["again.batch"]);
}

#[test]
fn memory_stays_small_whatever_passes_through() {
    let limit: u64 = 16 << 20;
    let mut card = Setup::new().size("64M").mount();
    card.put(batch::library(), "library.batch");
    card.ctl(&["start"]).ok();
    for n in 0..2 {
        card.put(&batch::filler(16 << 20), &format!("filler{n}.batch"));
    }
    let image = card.image().display().to_string();
    let resident = proc::resident_beyond(card.daemon().pid(), |mapping| mapping.ends_with(&image));
    println!("{} KiB beyond the image, of {}", resident >> 10, limit >> 10);
    assert!(resident <= limit, "{} KiB beyond the image", resident >> 10);
}

#[test]
fn secrets_do_not_leave_the_process() {
    let mut card = Setup::new().mount();
    let pid = card.daemon().pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().rev().skip(1).take(2).all(|limit| limit == "0"), "no core dumps: {core}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.lines().any(|line| line.starts_with("Umask:") && line.ends_with("0077")), "{status}");
}

#[test]
fn an_ordinary_user_mounts_a_card_of_their_own() {
    let card = Mounted::unmounted(Setup::new());
    let folder = card.scratch().join("own");
    fs::copy(binaries::smcardd(), card.scratch().join("smcardd")).unwrap();
    shell(&format!("mkdir -p {0}/card && chown -R 65534:65534 {0}", folder.display())).ok();
    let program = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(card.scratch().join("smcardd"));
        command.current_dir(&folder).env_remove("SMCARD_LOG").env_remove("CREDENTIALS_DIRECTORY").stdin(Stdio::null());
        command
    };
    run(program().args(["create", "own.img", "--size", "1M"])).ok();
    let mut mount = program();
    mount.args(["emulated:own.img", "card", "-f"]);
    let point = folder.join("card");
    let mut daemon = start(mount, &point, &card.folder().join("log"));
    assert_eq!(daemon.mounts().len(), 1);

    let looked = run(Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"])
        .arg(point.join("status")));
    assert_eq!(looked.ok().stdout, "ready\n");
    assert!(fs::read(point.join("status")).is_err(), "not even for root: it is theirs");
    // Keys are in its memory: a process that cannot be dumped or traced by its own user belongs to root in /proc.
    let owner = fs::metadata(format!("/proc/{}/mem", daemon.pid())).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0);
    assert_eq!(daemon.end(Signal::TERM), 0, "{}", daemon.log());
    assert_eq!(daemon.mounts(), []);
}

/// Starts a daemon that must get ready.
#[track_caller]
fn start(command: Command, point: &Path, log: &Path) -> Daemon {
    Daemon::start(command, point, log).unwrap_or_else(|log| panic!("{log}"))
}

#[test]
fn readiness_comes_after_the_mount_answers() {
    let card = Mounted::unmounted(Setup::new());
    for _ in 0..10 {
        let daemon = start(card.command(), &card.mountpoint(), &card.folder().join("log"));
        assert_eq!(fs::read_to_string(card.path("status")).unwrap(), "ready\n");
        drop(daemon);
    }
}
