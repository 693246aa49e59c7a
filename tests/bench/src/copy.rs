//! `cp` of a large batch into the drop box, into tmpfs, and through libfuse's passthrough_ll onto the same disk.

use crate::pin::Pinned;
use crate::table::Table;
use crate::timing::{Samples, interleave, show, timed};
use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use smcard_tests::{Setup, batch, proc};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Pause before each copy: what the one before has left to do, and the disk's own buffers, are not the next one's matter.
const REST: Duration = Duration::from_millis(60);
/// Bytes of the batch.
const SIZE: usize = 16 << 20;
/// Debian's libfuse3-dev brings it.
const SOURCE: &str = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c";

/// Where `cp` copies to.
struct Target {
    name: &'static str,
    folder: PathBuf,
    /// The copy is flushed as well, as a program does that wants to be sure.
    flush: bool,
}

/// Times all targets with everything on one core, and as the scheduler likes it.
pub(crate) fn run(rounds: usize) -> Result<Table> {
    let pinned = {
        let _pinned = Pinned::to_one_core()?;
        measure(rounds)?
    };
    let free = measure(rounds)?;
    let about = "`cp` (coreutils) from tmpfs, start of the process included. The drop box has checked the whole batch and \
                 made it durable when `cp` ends, so the fair comparison is with the rows that flush; the others have \
                 written to memory only. `passthrough_ll` is libfuse's example, compiled from the distribution's source, \
                 with its default options. All are mounted at once, and the disk is at rest before each copy. The ratios say how much faster than it (with a flush \
                 behind it) each row is.";
    let heads = [
        "cp of 16 MiB into",
        "median",
        "min",
        "MB/s",
        "× passthrough_ll",
        "× flushed",
        "median, any core",
        "× passthrough_ll",
        "× flushed",
    ];
    let mut table = Table::new("cp into issue/", about, &heads);
    let (plain, flushed) = (find(&pinned, PLAIN)?, find(&pinned, FLUSHED)?);
    for (n, (name, one)) in pinned.iter().enumerate() {
        let any = &free[n].1;
        table.row([
            (*name).to_owned(),
            show(one.median()),
            show(one.min()),
            format!("{:.0}", SIZE as f64 / 1e6 / one.median().as_secs_f64()),
            format!("{:.2}", pinned[plain].1.over(one)),
            format!("{:.2}", pinned[flushed].1.over(one)),
            show(any.median()),
            format!("{:.2}", free[plain].1.over(any)),
            format!("{:.2}", free[flushed].1.over(any)),
        ]);
    }
    table.at_least("cp against passthrough_ll, any core", free[plain].1.over(&free[0].1), 1.0, "");
    table.at_least("cp against passthrough_ll, one core", pinned[plain].1.over(&pinned[0].1), 1.0, "");
    table.at_least("cp against passthrough_ll with a flush, any core", free[flushed].1.over(&free[0].1), 1.0, "");
    table.at_least("cp against passthrough_ll with a flush, one core", pinned[flushed].1.over(&pinned[0].1), 1.0, "");
    Ok(table)
}

const PLAIN: &str = "passthrough_ll";
const FLUSHED: &str = "passthrough_ll, then fsync";

fn find(samples: &[(&'static str, Samples)], name: &str) -> Result<usize> {
    samples.iter().position(|sample| sample.0 == name).context("a target of that name")
}

fn measure(rounds: usize) -> Result<Vec<(&'static str, Samples)>> {
    let card = Setup::new().size("64M").mount();
    let disk = card.scratch();
    let tmpfs = Tmpfs::new(disk.join("tmpfs"))?;
    let through = Passthrough::new(&disk)?;
    let file = tmpfs.0.join("source.batch");
    fs::write(&file, batch::filler(SIZE))?;

    let target = |name, folder: &Path, flush| Target { name, folder: folder.to_owned(), flush };
    let targets = [
        target("issue/ of a card (checked and durable)", &card.path("issue"), false),
        target(PLAIN, &through.mountpoint, false),
        target(FLUSHED, &through.mountpoint, true),
        target("the disk itself", &disk, false),
        target("the disk itself, then fsync", &disk, true),
        target("tmpfs", &tmpfs.0, false),
    ];
    let samples = interleave(rounds, &targets, |target| {
        rustix::fs::sync();
        std::thread::sleep(REST);
        let to = target.folder.join("copy.batch");
        let copy = || -> Result<bool> {
            let copied = Command::new("cp").arg(&file).arg(&to).status()?.success();
            if target.flush {
                File::options().write(true).open(&to)?.sync_all()?;
            }
            Ok(copied)
        };
        let (copied, time) = timed(copy);
        ensure!(copied?, "cp into {} failed", target.name);
        fs::remove_file(&to)?;
        Ok(time)
    })?;
    Ok(targets.iter().map(|target| target.name).zip(samples).collect())
}

/// A tmpfs of its own, as long as this lives.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn new(at: PathBuf) -> Result<Self> {
        fs::create_dir(&at)?;
        mount("smcard-bench", &at, "tmpfs", MountFlags::empty(), None).context("mounting tmpfs (needs root)")?;
        Ok(Tmpfs(at))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
            eprintln!("smcard-bench: {} stays mounted: {error}", self.0.display());
        }
    }
}

/// libfuse's passthrough_ll over a folder of the disk, as long as this lives.
struct Passthrough {
    child: Child,
    mountpoint: PathBuf,
}

impl Passthrough {
    fn new(disk: &Path) -> Result<Self> {
        let (program, source, mountpoint) = (disk.join("passthrough_ll"), disk.join("behind"), disk.join("through"));
        fs::create_dir(&source)?;
        fs::create_dir(&mountpoint)?;
        let flags = Command::new("pkg-config").args(["--cflags", "--libs", "fuse3"]).output().context("pkg-config")?;
        let flags = String::from_utf8(flags.stdout)?;
        let compiled = Command::new("cc")
            .args(["-O2", "-o"])
            .arg(&program)
            .arg(SOURCE)
            .args(flags.split_whitespace())
            .output()
            .context("cc")?;
        ensure!(
            compiled.status.success(),
            "{SOURCE} does not compile; is libfuse3-dev installed (make setup)? {}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        let child = Command::new(&program)
            .arg("-f")
            .arg("-o")
            .arg(format!("source={}", source.display()))
            .arg(&mountpoint)
            .stdin(Stdio::null())
            .stderr(File::create(disk.join("passthrough_ll.log"))?)
            .spawn()?;
        let mut through = Passthrough { child, mountpoint };
        let begin = Instant::now();
        while proc::mounts_at(&through.mountpoint).is_empty() {
            if begin.elapsed() > Duration::from_secs(10) || through.child.try_wait()?.is_some() {
                bail!("passthrough_ll does not mount: {}", fs::read_to_string(disk.join("passthrough_ll.log"))?);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(through)
    }
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        // Not there where mounting has failed.
        let _ = unmount(&self.mountpoint, UnmountFlags::DETACH);
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begin.elapsed() > Duration::from_secs(5) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
