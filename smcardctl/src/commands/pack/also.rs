//! `--also`: more commands, from a text file of APDUs.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use smcard_batch::{BatchBuilder, CommandApdu};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure, printable};
use crate::hex;

/// The longest file that is read.
const FILE_MAX: u64 = 64 << 20;

/// Appends the commands of a file. An error names the line, never what stands there.
pub(super) fn append(builder: &mut BatchBuilder, path: &Path, recovery: bool) -> Result<(), Failure> {
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
    file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => fault(path, None, "not a text file"),
        _ => Failure::file(path, &error),
    })?;
    if u64::try_from(text.len()).is_ok_and(|length| length > FILE_MAX) {
        return Err(fault(path, None, "longer than 64 MiB"));
    }
    for (index, line) in text.lines().enumerate() {
        let wrong = |why: &str| fault(path, Some(index + 1), why);
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let bytes = Zeroizing::new(hex::parse(line).map_err(|_| wrong("not hexadecimal digits in pairs"))?);
        let command = CommandApdu::parse_in_batch(&bytes).map_err(|error| wrong(&error.to_string()))?;
        if recovery {
            builder.recovery_point();
        }
        builder.push(&command).map_err(|error| super::unbuildable(&error))?;
    }
    Ok(())
}

fn fault(path: &Path, line: Option<usize>, why: &str) -> Failure {
    let place = line.map_or_else(String::new, |line| format!(":{line}"));
    let what = format!("{}{place}", printable(&path.to_string_lossy()));
    Failure::new(Exit::BadInput, what, why, "one APDU a line, in hexadecimal; '#' begins a comment")
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_batch::Batch;

    fn appended(text: &[u8], recovery: bool) -> Result<BatchBuilder, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("more.apdu");
        std::fs::write(&path, text).unwrap();
        let mut builder = BatchBuilder::new();
        append(&mut builder, &path, recovery).map(|()| builder)
    }

    #[test]
    fn comments_and_empty_lines_carry_nothing() {
        let builder = appended(b"# key\n\n00 A4 04 00\r\n80E28000 02 CAFE # store\n", true).unwrap();
        let file = builder.finish().unwrap();
        let batch = Batch::parse(&file).unwrap();
        let commands: Vec<_> = batch.commands().map(|command| command.bytes().to_vec()).collect();
        assert_eq!(commands, [vec![0, 0xA4, 4, 0], vec![0x80, 0xE2, 0x80, 0, 2, 0xCA, 0xFE]]);
        assert_eq!(batch.recovery_points().len(), 2);
    }

    #[test]
    fn a_fault_names_its_line_and_hides_its_contents() {
        for (text, place, why) in [
            (&b"00A40400\n80E28000 03 CAFE"[..], "more.apdu:2", "length field says 3"),
            (b"\n\nCAFE", "more.apdu:3", "too few"),
            (b"secret", "more.apdu:1", "not hexadecimal"),
            (b"\xff\xfe", "more.apdu", "not a text file"),
        ] {
            let failure = appended(text, false).unwrap_err();
            let line = failure.line();
            assert_eq!(failure.exit, Exit::BadInput);
            assert!(line.contains(&format!("{place}: ")) && line.contains(why), "{line}");
            assert!(!line.contains("CAFE") && !line.contains("secret"), "{line}");
        }
    }
}
