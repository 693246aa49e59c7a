//! `export`: the commands of a batch as a list or a template that other tools read.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde::Serialize;
use smcard_batch::Batch;
use smcard_batch::script::{ScriptFault, etsi, list};
use zeroize::Zeroizing;

use super::inspect;
use super::pack::Target;
use crate::cli::{Export, ExportFormat};
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report, print};

const WHAT: &str = "export";

/// What was exported.
#[derive(Serialize)]
struct Exported {
    /// The file written; `null` where the commands are in this object.
    file: Option<String>,
    /// `apdu` or `etsi`.
    format: &'static str,
    bytes: usize,
    commands: u32,
    /// What the format has no place for.
    lost: Vec<&'static str>,
    /// The list, or the template in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
}

/// Commands, wiped after they have been printed.
struct Content(Zeroizing<String>);

impl Serialize for Content {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

pub(crate) fn run(output: Output, options: &Export) -> Result<Exit, Failure> {
    let target = options.output.as_ref().map(|path| Target::new(path, [&options.file].into_iter())).transpose()?;
    let file = inspect::read(&options.file)?;
    let batch = Batch::parse(&file).map_err(|fault| inspect::damaged(&options.file, fault))?;
    let refuse = |fault: ScriptFault| refused(&options.file, &fault);
    let (format, bytes) = match options.format {
        ExportFormat::Apdu => {
            let mut text = list::write(&batch).map_err(refuse)?;
            ("apdu", Zeroizing::new(std::mem::take(&mut *text).into_bytes()))
        }
        ExportFormat::Etsi => ("etsi", etsi::write(&batch).map_err(refuse)?),
    };
    let mut exported =
        Exported { file: None, format, bytes: bytes.len(), commands: batch.count(), lost: lost(&batch), content: None };
    match target {
        Some(target) => {
            target.write(&bytes)?;
            exported.file = options.output.as_ref().map(|path| path.to_string_lossy().into_owned());
            output.show(&exported)?;
        }
        None if output.json => {
            exported.content = Some(Content(match options.format {
                ExportFormat::Apdu => Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()),
                ExportFormat::Etsi => Zeroizing::new(crate::hex::show(&bytes)),
            }));
            output.show(&exported)?;
        }
        None if options.format == ExportFormat::Etsi && io::stdout().is_terminal() => {
            let why = "a template is no text for a terminal";
            return Err(Failure::new(Exit::Usage, WHAT, why, "name a file with -o"));
        }
        None => print(&bytes).map_err(|error| Failure::file("standard output".as_ref(), &error))?,
    }
    Ok(Exit::Done)
}

/// What only a batch says of its commands.
fn lost(batch: &Batch<'_>) -> Vec<&'static str> {
    let recovery = batch.recovery_points().len() > 0;
    let mut lost = Vec::new();
    lost.extend(recovery.then_some("recovery points: import with --recovery"));
    lost.extend(batch.needs_confirmation().then_some("confirmation before first use: import with --confirm"));
    lost
}

fn refused(path: &Path, fault: &ScriptFault) -> Failure {
    Failure::new(Exit::BadInput, printable(&path.to_string_lossy()), fault.to_string(), fault.reason.advice())
}

impl Report for Exported {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { file, bytes, commands, lost, .. } = self;
        let noun = if *commands == 1 { "command" } else { "commands" };
        writeln!(out, "{}: {commands} {noun}, {bytes} bytes", printable(file.as_deref().unwrap_or_default()))?;
        for lost in lost {
            writeln!(out, "  without the {lost}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
