//! A first file system for a kernel: files in the archive form `newc` (Linux `Documentation/driver-api/early-userspace`).
//! The kernel unpacks several archives one after the other, so one can be put behind another.

use std::fmt::Write;

use anyhow::{Context, Result};

/// Files that become an archive.
#[derive(Default, Debug)]
pub struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    /// Adds a file in the root folder, which may be executed.
    ///
    /// # Errors
    /// If it is 4 GiB long or longer.
    pub fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.count += 1;
        self.entry(self.count, 0o100_755, name, content)
    }

    /// The archive, with its end mark, as long as a multiple of 512 bytes.
    ///
    /// # Errors
    /// None that can happen with an end mark.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.entry(0, 0, "TRAILER!!!", &[])?;
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        Ok(self.bytes)
    }

    fn entry(&mut self, inode: u32, mode: u32, name: &str, content: &[u8]) -> Result<()> {
        let length = u32::try_from(content.len()).with_context(|| format!("{name} is too long for an archive"))?;
        let name_length = u32::try_from(name.len() + 1).context("a name is too long for an archive")?;
        let mut header = String::from("070701");
        // Inode, mode, owner, group, links, time, length, device, device of the node, length of the name, checksum.
        for field in [inode, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0] {
            write!(header, "{field:08x}").context("writing to memory")?;
        }
        self.bytes.extend(header.bytes());
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn an_archive_is_what_cpio_takes() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = Archive::default();
        archive.file("test", b"echo hello\n").unwrap();
        archive.file("empty", b"").unwrap();
        let path = folder.path().join("archive");
        fs::write(&path, archive.finish().unwrap()).unwrap();
        let unpacked = Command::new("busybox")
            .args(["cpio", "-i"])
            .current_dir(&folder)
            .stdin(fs::File::open(&path).unwrap())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(unpacked.success());
        assert_eq!(fs::read(folder.path().join("test")).unwrap(), b"echo hello\n");
        assert_eq!(fs::metadata(folder.path().join("test")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::metadata(folder.path().join("empty")).unwrap().len(), 0);
    }
}
