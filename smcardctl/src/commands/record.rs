//! `record`: what an ordinary client does to an emulated card becomes a batch.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{SigSet, Signal};
use serde::Serialize;
use smcard_batch::Batch;
use zeroize::Zeroizing;

use crate::card::Card;
use crate::cli::Record;
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report};

/// More than smcardd records.
const RECORDING_MAX: u64 = 64 << 20;

/// Commands that are not in the batch.
#[derive(Debug, PartialEq, Serialize)]
struct LeftOut {
    commands: u32,
    why: String,
}

/// What was recorded.
#[derive(Debug, PartialEq, Serialize)]
struct Recorded {
    file: String,
    commands: u32,
    bytes: usize,
    left_out: Vec<LeftOut>,
    /// How the program ended that was run; `null` without one, or where a signal ended it.
    ended: Option<i32>,
}

pub(crate) fn run(card: &Card, output: Output, options: &Record) -> Result<Exit, Failure> {
    let recording = Recording { file: card.folder.join("record"), log: card.folder.join("record.log") };
    // Before anything is recorded: a name that is taken, or a folder that cannot be written.
    let mut batch = create(&options.output)?;
    let recorded = recording.tell("start").and_then(|()| {
        let ended = wait(&options.command);
        // Whatever has happened, the recording does not go on.
        let stopped = recording.tell("stop");
        let recorded =
            ended.and_then(|ended| stopped.and_then(|()| recording.save(&mut batch, &options.output, ended)));
        recording.tell("forget").and(recorded)
    });
    match recorded {
        Ok(recorded) => {
            output.show(&recorded)?;
            Ok(Exit::Done)
        }
        Err(failure) => {
            // Half a batch, or none: nothing that could be taken for one stays.
            let _ = fs::remove_file(&options.output);
            Err(failure)
        }
    }
}

/// The batch holds what a preparer sent: for its owner alone.
fn create(path: &Path) -> Result<File, Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| Failure::file(path, &error))
}

/// Runs the command to its end, or waits for Ctrl-C. The exit code of the command.
fn wait(command: &[OsString]) -> Result<Option<i32>, Failure> {
    let system = |error: io::Error| Failure::new(Exit::Gone, "record", crate::exit::system(&error), "");
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    let Some((program, arguments)) = command.split_first() else {
        signals.thread_block().map_err(|errno| system(errno.into()))?;
        let _ = writeln!(io::stderr(), "smcardctl: recording; Ctrl-C ends it and writes the batch");
        signals.wait().map_err(|errno| system(errno.into()))?;
        return Ok(None);
    };
    let mut child = Command::new(program).args(arguments).spawn().map_err(|error| {
        Failure::new(Exit::BadInput, printable(&program.to_string_lossy()), crate::exit::system(&error), "")
    })?;
    // Behind the start, for the child has the mask of its parent: Ctrl-C ends the child, and the recording is saved.
    signals.thread_block().map_err(|errno| system(errno.into()))?;
    child.wait().map(|status| status.code()).map_err(system)
}

/// The files of the mount.
struct Recording {
    file: PathBuf,
    log: PathBuf,
}

impl Recording {
    fn tell(&self, word: &str) -> Result<(), Failure> {
        let told = OpenOptions::new().write(true).open(&self.file).and_then(|mut file| file.write_all(word.as_bytes()));
        told.map_err(|error| self.failure(&error))
    }

    fn save(&self, to: &mut File, name: &Path, ended: Option<i32>) -> Result<Recorded, Failure> {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = File::open(&self.file).and_then(|file| file.take(RECORDING_MAX).read_to_end(&mut bytes));
        read.map_err(|error| self.failure(&error))?;
        let log = fs::read_to_string(&self.log).map_err(|error| self.failure(&error))?;
        let left_out = left_out(&log);
        let commands = Batch::parse(&bytes).map(|batch| batch.count()).map_err(|fault| {
            Failure::new(
                Exit::Gone,
                "record",
                fault.to_string(),
                "the recording was ended by somebody else; record again",
            )
        })?;
        if commands == 0 {
            let why = left_out.iter().map(|left| format!("; {} {}", left.commands, left.why)).collect::<String>();
            let advice = "the client must change the card while the recording goes on";
            return Err(Failure::new(Exit::Refused, "record", format!("nothing was recorded{why}"), advice));
        }
        let written = to.write_all(&bytes).and_then(|()| to.sync_all());
        written.map_err(|error| Failure::file(name, &error))?;
        Ok(Recorded { file: name.to_string_lossy().into_owned(), commands, bytes: bytes.len(), left_out, ended })
    }

    fn failure(&self, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::NotFound => Failure::new(
                Exit::Refused,
                "record",
                format!("{} is not there", printable(&self.file.to_string_lossy())),
                "only emulated cards record, and only with record = true in [emulated] of smcardd.toml",
            ),
            io::ErrorKind::PermissionDenied => {
                Failure::new(Exit::NotPermitted, "record", "not permitted", "recording is for operators")
            }
            _ => Failure::file(&self.file, error),
        }
    }
}

/// The lines of `record.log` behind the first: a number, a tab, the reason.
fn left_out(log: &str) -> Vec<LeftOut> {
    let line = |line: &str| {
        let (commands, why) = line.split_once('\t')?;
        Some(LeftOut { commands: commands.parse().ok()?, why: printable(why) })
    };
    log.lines().skip(1).filter_map(line).collect()
}

impl Report for Recorded {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { file, commands, bytes, left_out, ended } = self;
        let plural = |count: u32| if count == 1 { "" } else { "s" };
        writeln!(out, "{}: {commands} command{}, {bytes} bytes", printable(file), plural(*commands))?;
        for LeftOut { commands, why } in left_out {
            writeln!(out, "  left out: {commands} command{} {why}", plural(*commands))?;
        }
        if let Some(code @ 1..) = ended {
            writeln!(out, "  the program ended with {code}: look at the batch before it is used")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(word: &str) -> (tempfile::TempDir, Card) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("record"), word).unwrap();
        fs::write(folder.path().join("record.log"), "stopped 2\n3\trefused by the card\n").unwrap();
        let card = Card { folder: folder.path().to_owned() };
        (folder, card)
    }

    #[test]
    fn the_log_tells_what_is_not_there() {
        let left = left_out("stopped 2\n3\trefused by the card\nodd line\n1\tkeys\n");
        assert_eq!(left.len(), 2);
        assert_eq!((left[0].commands, left[0].why.as_str()), (3, "refused by the card"));
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten_and_no_empty_one_is_left() {
        let (folder, card) = recorded("");
        let path = folder.path().join("a.batch");
        let options = |output: &Path| Record { output: output.to_owned(), command: vec!["true".into()] };
        // The folder is no mount: what is told stays in the file, and is no batch.
        let failure = run(&card, Output { json: false }, &options(&path)).unwrap_err();
        assert_eq!(failure.exit, Exit::Gone, "{}", failure.line());
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        let failure = run(&card, Output { json: false }, &options(&path)).unwrap_err();
        assert_eq!(failure.exit, Exit::BadInput);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_card_without_recording_says_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let card = Card { folder: folder.path().to_owned() };
        let options = Record { output: folder.path().join("a.batch"), command: vec!["true".into()] };
        let failure = run(&card, Output { json: false }, &options).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.line().contains("record = true"), "{}", failure.line());
    }
}
