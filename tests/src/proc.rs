//! What `/proc` says of mounts and processes.

use std::fs;
use std::path::Path;

/// One line of `/proc/self/mountinfo` that matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Type of the file system, `fuse.smcardd` for a card.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Options of the mount, comma-separated.
    pub options: String,
}

/// The file systems that are mounted at `point`, lowest first.
///
/// # Panics
/// If `/proc` is not there.
#[must_use]
pub fn mounts_at(point: &Path) -> Vec<Mount> {
    let point = fs::canonicalize(point.parent().unwrap()).unwrap().join(point.file_name().unwrap());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(4);
        let (at, options) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let found = Mount { kind: right.next()?.into(), source: right.next()?.into(), options: options.into() };
        (Path::new(at) == point).then_some(found)
    };
    table.lines().filter_map(mount).collect()
}

/// Resident memory of a process in bytes, without the pages of the files for which `mapped` says true.
///
/// # Panics
/// If the process is not there.
#[must_use]
pub fn resident_beyond(pid: u32, mapped: impl Fn(&str) -> bool) -> u64 {
    let table = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut skip, mut total) = (false, 0);
    for line in table.lines() {
        match line.strip_prefix("Rss:") {
            Some(rss) if !skip => total += rss.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024,
            Some(_) => {}
            // The head of a mapping: a range of addresses comes first.
            None if line.split(' ').next().is_some_and(|first| first.contains('-')) => skip = mapped(line),
            None => {}
        }
    }
    total
}

/// Number of open files of a process.
///
/// # Panics
/// If the process is not there.
#[must_use]
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Processes whose command line contains `text`.
///
/// # Panics
/// If `/proc` is not there.
#[must_use]
pub fn with_argument(text: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let named = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && String::from_utf8_lossy(&line).contains(text)
    };
    entries.filter(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_kernel_are_understood() {
        assert!(!mounts_at(Path::new("/dev/shm")).is_empty());
        assert!(mounts_at(Path::new("/dev/not-there")).is_empty());
        let own = std::process::id();
        let (all, none) = (resident_beyond(own, |_| false), resident_beyond(own, |_| true));
        assert!(all > 1 << 20 && none == 0, "{all} {none}");
        assert!(open_files(own) > 2);
    }
}
