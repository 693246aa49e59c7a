//! The mount table of this process, `/proc/self/mountinfo`.
//!
//! Read without touching the mounts themselves: a look at our own would wait for ourselves.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its identifier; not used again while it is mounted.
    pub id: u64,
    /// The minor number of its device, by which the kernel names a FUSE connection.
    pub minor: u32,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// Type, as `fuse.smcardd`.
    pub fstype: String,
}

/// The mount that is seen at `mountpoint`: of several, the one on top.
///
/// # Errors
/// The table cannot be read.
pub fn top(mountpoint: &Path) -> io::Result<Option<Entry>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).rfind(|entry| entry.mountpoint == mountpoint))
}

/// Reads one line: `id parent major:minor root mountpoint options... - fstype source superoptions` (proc(5)).
fn parse(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let text = |field: &[u8]| std::str::from_utf8(field).map(str::to_owned).ok();
    let id = text(fields.next()?)?.parse().ok()?;
    let device = text(fields.nth(1)?)?;
    let minor = device.split_once(':')?.1.parse().ok()?;
    let mountpoint = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    let mut fields = fields.skip_while(|field| *field != b"-");
    let fstype = text(fields.nth(1)?)?;
    Some(Entry { id, minor, mountpoint, fstype })
}

/// Spaces and the like stand as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.first_chunk::<3>().filter(|_| first == b'\\');
        let value = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match value {
            Some(value) => {
                out.push(value);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

/// A source as it may stand in the mount table and in an option list: no comma, no control character, no backslash.
#[must_use]
pub fn sanitized(source: &str) -> String {
    source.chars().map(|c| if c.is_control() || matches!(c, ',' | '\\' | ' ') { '_' } else { c }).collect()
}

/// True where the path can be named to `fusermount3`.
#[must_use]
pub fn is_plain(path: &Path) -> bool {
    path.is_absolute() && !path.as_os_str().as_bytes().contains(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = br"77 29 0:52 / /mnt/my\040card rw,nosuid shared:4 - fuse.smcardd emulated:/x rw,user_id=0";
        let entry = parse(line).unwrap();
        assert_eq!((entry.id, entry.minor, entry.fstype.as_str()), (77, 52, "fuse.smcardd"));
        assert_eq!(entry.mountpoint, Path::new("/mnt/my card"));
        for odd in [&b""[..], b"77", b"x 29 0:52 / / rw - a b c", b"77 29 0 / / rw - a b c", b"77 29 0:1 / / rw"] {
            assert_eq!(parse(odd), None);
        }
    }

    #[test]
    fn every_process_has_a_root() {
        assert!(top(Path::new("/")).unwrap().is_some());
        assert_eq!(top(Path::new("/no/such/place")).unwrap(), None);
    }

    #[test]
    fn a_source_cannot_bring_options_along() {
        assert_eq!(sanitized("emulated:/a,ro b\\c\nd"), "emulated:/a_ro_b_c_d");
    }
}
