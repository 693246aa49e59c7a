//! `import`: from a list of commands that another tool wrote to a batch.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use smcard_batch::Batch;
use smcard_batch::script::{self, Format, Place, Script, ScriptFault};
use zeroize::{Zeroize, Zeroizing};

use super::pack::Target;
use crate::cli::{Import, ImportFormat};
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report};

const WHAT: &str = "import";
/// The longest list and the longest CAP file that is read.
const READ_MAX: u64 = 64 << 20;
/// Notes that the text shows; JSON has all.
const NOTES_SHOWN: usize = 20;

/// What was imported.
#[derive(Debug, PartialEq, Serialize)]
struct Imported {
    file: String,
    /// `apdu`, `gpshell` or `etsi`.
    format: &'static str,
    bytes: usize,
    commands: u32,
    recovery_points: usize,
    confirmation_needed: bool,
    notes: Vec<Remark>,
}

/// Something left out, or that ends otherwise than with the other tool.
#[derive(Debug, PartialEq, Serialize)]
struct Remark {
    /// Line of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// Bytes from the start of a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    note: String,
}

pub(crate) fn run(output: Output, options: &Import) -> Result<Exit, Failure> {
    let target = Target::new(&options.output, [&options.file].into_iter())?;
    let bytes = read(&options.file)?;
    let refuse = |fault: ScriptFault| refused(&options.file, &fault);
    let format = match options.format {
        ImportFormat::Auto => script::detect(&bytes).map_err(refuse)?,
        ImportFormat::Apdu => Format::List,
        ImportFormat::Gpshell => Format::Gpshell,
        ImportFormat::Etsi => Format::Etsi,
    };
    let script = match format {
        Format::List => script::text(&bytes).and_then(script::list::parse).map_err(refuse)?,
        Format::Etsi => script::etsi::parse(&bytes).map_err(refuse)?,
        Format::Gpshell => gpshell(options, script::text(&bytes).map_err(refuse)?)?,
    };
    if script.count() == 0 {
        let what = printable(&options.file.to_string_lossy());
        return Err(Failure::new(Exit::BadInput, what, "names no command", "check which file it is"));
    }
    let unbuildable = |error: smcard_batch::BuildError| {
        Failure::new(Exit::Usage, WHAT, error.to_string(), "see 'smcardctl import --help'")
    };
    let builder = script.build(options.recovery.into(), options.confirm).map_err(unbuildable)?;
    let batch = Zeroizing::new(builder.finish().map_err(unbuildable)?);
    let imported = Imported::new(options, format, &script, &batch)?;
    target.write(&batch)?;
    output.show(&imported)?;
    Ok(Exit::Done)
}

/// Reads a script. CAP files that it names by a relative path stand beside it.
fn gpshell(options: &Import, text: &str) -> Result<Script, Failure> {
    let mut failed = None;
    let mut read_cap = |name: &str| -> Result<Vec<u8>, String> {
        let path = beside(&options.file, name);
        if same(&path, &options.output) {
            return Err("the script names the output as its CAP file".to_owned());
        }
        read(&path).map(|mut bytes| std::mem::take(&mut *bytes)).map_err(|failure| {
            let why = failure.why.clone();
            failed = Some(failure);
            why
        })
    };
    script::gpshell::parse(text, &mut read_cap).map_err(|fault| {
        let mut failure = refused(&options.file, &fault);
        if let Some(file) = failed.take() {
            failure.exit = file.exit;
            failure.why = format!("{}: {}", file.what, file.why);
            failure.advice = file.advice;
        }
        failure
    })
}

fn beside(script: &Path, name: &str) -> PathBuf {
    script.parent().unwrap_or(Path::new("")).join(name)
}

fn same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    identity(one).is_some_and(|found| Some(found) == identity(other))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: io::Error| Failure::file(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len().min(READ_MAX));
    // Room for all at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    (&mut file).take(READ_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= READ_MAX) {
        return Ok(bytes);
    }
    bytes.zeroize();
    let what = printable(&path.to_string_lossy());
    Err(Failure::new(Exit::BadInput, what, "longer than 64 MiB", "split it into several"))
}

/// `FILE:3` for a line, as compilers say it; an offset stands in words.
fn refused(path: &Path, fault: &ScriptFault) -> Failure {
    let path = printable(&path.to_string_lossy());
    let (what, why) = match fault.place {
        Place::Line(line) => (format!("{path}:{line}"), fault.reason.to_string()),
        _ => (path, fault.to_string()),
    };
    Failure::new(Exit::BadInput, what, printable(&why), fault.reason.advice())
}

impl Imported {
    fn new(options: &Import, format: Format, script: &Script, batch: &[u8]) -> Result<Self, Failure> {
        // Read again what was made: a batch that this program would refuse is never written.
        let parsed = Batch::parse(batch).map_err(|fault| Failure::new(Exit::Gone, WHAT, fault.to_string(), ""))?;
        let notes = script.notes().iter().map(|note| {
            let (line, offset) = match note.place {
                Place::Line(line) => (Some(line), None),
                Place::Offset(offset) => (None, Some(offset)),
                _ => (None, None),
            };
            Remark { line, offset, note: note.kind.to_string() }
        });
        Ok(Self {
            file: options.output.to_string_lossy().into_owned(),
            format: match format {
                Format::List => "apdu",
                Format::Gpshell => "gpshell",
                Format::Etsi => "etsi",
            },
            bytes: batch.len(),
            commands: parsed.count(),
            recovery_points: parsed.recovery_points().len(),
            confirmation_needed: parsed.needs_confirmation(),
            notes: notes.collect(),
        })
    }
}

impl Report for Imported {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { file, bytes, commands, recovery_points, confirmation_needed, notes, .. } = self;
        let noun = if *commands == 1 { "command" } else { "commands" };
        writeln!(out, "{}: {commands} {noun}, {bytes} bytes", printable(file))?;
        for Remark { line, offset, note } in notes.iter().take(NOTES_SHOWN) {
            match (line, offset) {
                (Some(line), _) => writeln!(out, "  line {line}: {note}")?,
                (_, Some(offset)) => writeln!(out, "  offset {offset}: {note}")?,
                _ => writeln!(out, "  {note}")?,
            }
        }
        if let Some(more) = notes.len().checked_sub(NOTES_SHOWN).filter(|more| *more > 0) {
            writeln!(out, "  and {more} more notes; --json shows all")?;
        }
        if *recovery_points > 0 {
            writeln!(out, "  recovery {recovery_points} points")?;
        }
        if *confirmation_needed {
            writeln!(out, "  confirm  the card asks for 'smcardctl confirm' before first use")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
