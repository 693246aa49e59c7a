//! `inspect`: what a batch holds, command by command.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use smcard_batch::describe::Narrator;
use smcard_batch::{BODY_OFFSET, Batch, Command, Fault, Form, Header, Reason};
use zeroize::Zeroizing;

use crate::cli;
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report};

/// One command.
#[derive(Debug, PartialEq, Serialize)]
struct Line {
    number: u32,
    /// Where the command begins, behind its length: bytes from the start of the file.
    offset: u64,
    /// Bytes of the command.
    length: usize,
    /// `short`, `extended` or `direct`.
    form: &'static str,
    /// Instruction byte, two digits.
    ins: String,
    /// What it does and to whom, never what it carries.
    command: String,
}

/// A whole batch.
#[derive(Debug, PartialEq, Serialize)]
struct Inspection {
    file: String,
    bytes: usize,
    commands: Vec<Line>,
    /// Bytes that LOAD commands carry.
    load_bytes: usize,
    /// Numbers of the commands where an interrupted issue can go on; `null` without recovery information.
    recovery_points: Option<Vec<u32>>,
    confirmation_needed: bool,
}

pub(crate) fn run(output: Output, options: &cli::Inspect) -> Result<Exit, Failure> {
    let path = &options.file;
    let file = read(path)?;
    let batch = Batch::parse(&file).map_err(|fault| damaged(path, fault))?;
    output.show(&Inspection::new(path, file.len(), &batch))?;
    Ok(Exit::Done)
}

/// Reads a batch. What does not begin like one is not read further, whatever its size.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: io::Error| Failure::file(path, &error);
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    (&mut file).take(BODY_OFFSET as u64).read_to_end(&mut bytes).map_err(failed)?;
    let header = Header::parse(&bytes).map_err(|fault| damaged(path, fault))?;
    // One byte beyond what the header says: enough for the parser to see that the file is too long.
    let rest = u64::from(header.body_len) + 1;
    file.take(rest).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// A batch that is damaged.
pub(crate) fn damaged(path: &Path, fault: Fault) -> Failure {
    let advice = match fault.reason {
        Reason::Magic => "'smcardctl pack' makes a batch of a CAP file",
        Reason::Version => "a newer smcardctl may know it",
        _ => "make or copy the batch again",
    };
    Failure::new(Exit::BadInput, printable(&path.to_string_lossy()), fault.to_string(), advice)
}

impl Inspection {
    fn new(path: &Path, bytes: usize, batch: &Batch<'_>) -> Self {
        let mut narrator = Narrator::default();
        let load = |command: &Command<'_>| command.apdu.cla & 0x80 != 0 && command.apdu.ins == 0xE8;
        Self {
            file: path.to_string_lossy().into_owned(),
            bytes,
            commands: batch.commands().map(|command| Line::new(&command, &mut narrator)).collect(),
            load_bytes: batch.commands().filter(load).map(|command| command.apdu.data.len()).sum(),
            recovery_points: batch.has_recovery().then(|| batch.recovery_points().map(|point| point.command).collect()),
            confirmation_needed: batch.needs_confirmation(),
        }
    }
}

impl Line {
    fn new(command: &Command<'_>, narrator: &mut Narrator) -> Self {
        let form = match command.apdu.form {
            Form::Short => "short",
            Form::Extended => "extended",
            Form::Direct => "direct",
        };
        // The command's own offset counts from the body and points at its four-byte length.
        let offset = u64::from(command.offset) + BODY_OFFSET as u64 + 4;
        Self {
            number: command.number,
            offset,
            length: command.bytes().len(),
            form,
            ins: format!("{:02X}", command.apdu.ins),
            command: narrator.next(command),
        }
    }
}

impl Report for Inspection {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { file, bytes, commands, load_bytes, recovery_points, confirmation_needed } = self;
        let number = commands.len().to_string().len().max(1);
        let offset = bytes.to_string().len().max(6);
        writeln!(out, "{:>number$}  {:>offset$}  {:>offset$}  command", "#", "offset", "length")?;
        for Line { number: n, offset: at, length, command, .. } in commands {
            writeln!(out, "{n:>number$}  {at:>offset$}  {length:>offset$}  {}", printable(command))?;
        }
        writeln!(out)?;
        let count = commands.len();
        writeln!(out, "{}: {count} commands, {bytes} bytes, {load_bytes} of them load file", printable(file))?;
        match recovery_points.as_deref() {
            None => writeln!(out, "no recovery information")?,
            Some([]) => writeln!(out, "recovery information without a point")?,
            Some(points) => writeln!(out, "an interrupted issue can go on at {}", ranges(points))?,
        }
        if *confirmation_needed {
            writeln!(out, "the card asks for 'smcardctl confirm' before first use")?;
        }
        Ok(())
    }
}

/// `command 1`, `commands 1 to 4, 7`.
fn ranges(ascending: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &n in ascending {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(n) => *last = n,
            _ => runs.push((n, n)),
        }
    }
    let runs = runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a} to {b}") });
    let noun = if ascending.len() == 1 { "command" } else { "commands" };
    format!("{noun} {}", runs.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_batch::{BatchBuilder, CommandApdu};

    fn batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.confirm(true).recovery_point();
        builder.push(&CommandApdu::new(0x80, 0xE8, 0x80, 0, &[0xC0, 0xFF, 0xEE])).unwrap();
        builder.recovery_point().push(&CommandApdu::new(0x80, 0x5E, 0, 0, &[])).unwrap();
        builder.push(&CommandApdu::new(0x00, 0xA4, 4, 0, &[0xA0; 5])).unwrap();
        builder.finish().unwrap()
    }

    fn written(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.batch");
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn every_command_has_its_place_and_its_words() {
        let file = batch();
        let (_folder, path) = written(&file);
        let read = read(&path).unwrap();
        assert_eq!(*read, file);
        let inspection = Inspection::new(Path::new("a.batch"), file.len(), &Batch::parse(&read).unwrap());
        for line in &inspection.commands {
            let at = usize::try_from(line.offset).unwrap();
            let command = &file[at..at + line.length];
            assert!(CommandApdu::parse_in_batch(command).is_ok(), "{line:?}");
        }
        let mut text = Vec::new();
        inspection.text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let expected = "#  offset  length  command\n\
                        1      42       8  LOAD block 0, 3 bytes, last\n\
                        2      54       4  80 5E 00 00\n\
                        3      62      10  SELECT A0A0A0A0A0\n\n\
                        a.batch: 3 commands, 72 bytes, 3 of them load file\n\
                        an interrupted issue can go on at commands 1 to 2\n\
                        the card asks for 'smcardctl confirm' before first use\n";
        assert_eq!(text, expected);
        let json = serde_json::to_string(&inspection).unwrap();
        assert!(!json.to_uppercase().contains("C0FFEE") && !json.contains("192,255,238"), "{json}");
    }

    #[test]
    fn damage_is_named_with_its_offset_and_ends_with_5() {
        let good = batch();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for (bytes, says) in [
            (&b"PK\x03\x04 a CAP file"[..], "does not begin with SMCB"),
            (&good[..10], "ends inside the header"),
            (&good[..good.len() - 1], "shorter than its header says"),
            (&[&good[..], &[0]].concat(), "longer than its header says"),
            (&flipped, "offset 12: the checksum does not match"),
        ] {
            let (_folder, path) = written(bytes);
            let failure = run(Output { json: false }, &cli::Inspect { file: path }).unwrap_err();
            assert_eq!(failure.exit, Exit::BadInput);
            assert!(failure.line().contains(says), "{} should say: {says}", failure.line());
        }
    }

    #[test]
    fn runs_of_numbers_are_drawn_together() {
        assert_eq!(ranges(&[3]), "command 3");
        assert_eq!(ranges(&[1, 2, 3, 7, u32::MAX]), "commands 1 to 3, 7, 4294967295");
    }
}
