//! Who holds an image open.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process that holds an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its command name as the kernel gives it (at most 15 bytes), or empty.
    pub name: String,
}

/// The holders in words.
pub(crate) fn listed(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "a process this user may not see".to_owned();
    }
    let each: Vec<_> = holders.iter().map(|Holder { pid, name }| format!("process {pid} ({name})")).collect();
    each.join(", ")
}

/// The processes with an open-file-description lock on the file `(dev, inode)`; if none is found, those that have it
/// open. Only what this user may see; never fails.
pub(crate) fn of_file(dev: u64, inode: u64) -> Vec<Holder> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut locking = Vec::new();
    let mut opening = Vec::new();
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(locks) = lock_of(&process.path(), dev, inode) else { continue };
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        let list = if locks { &mut locking } else { &mut opening };
        list.push(Holder { pid, name: name.trim_end().to_owned() });
    }
    if locking.is_empty() { opening } else { locking }
}

/// `Some` if the process has the file open: whether with a lock.
fn lock_of(process: &Path, dev: u64, inode: u64) -> Option<bool> {
    let descriptors = fs::read_dir(process.join("fd")).ok()?.flatten();
    let mut found = None;
    for descriptor in descriptors {
        let Ok(metadata) = fs::metadata(descriptor.path()) else { continue };
        if (metadata.dev(), metadata.ino()) == (dev, inode) {
            let info = fs::read_to_string(process.join("fdinfo").join(descriptor.file_name())).unwrap_or_default();
            found = Some(found.unwrap_or(false) || info.lines().any(|line| line.starts_with("lock:")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_listed_in_words() {
        let holder = |pid, name: &str| Holder { pid, name: name.to_owned() };
        assert_eq!(listed(&[holder(7, "smcardd")]), "process 7 (smcardd)");
        assert_eq!(listed(&[holder(7, "smcardd"), holder(9, "dd")]), "process 7 (smcardd), process 9 (dd)");
        assert_eq!(listed(&[]), "a process this user may not see");
    }

    #[test]
    fn without_a_lock_those_that_have_it_open_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let found = of_file(metadata.dev(), metadata.ino());
        assert_eq!(found.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [std::process::id()]);
        assert!(!found[0].name.is_empty());
        let _path = file.into_temp_path();
        assert_eq!(of_file(metadata.dev(), metadata.ino()), []);
    }
}
