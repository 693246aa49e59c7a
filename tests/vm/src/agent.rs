//! Running commands in the guest: the harness's end of `guest/agent`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Longest output the harness takes, in bytes.
const OUTPUT_MAX: u64 = 4 << 20;
/// What the agent and a loaded machine may take beyond the command's own limit.
const GRACE: Duration = Duration::from_secs(15);

/// How a command in the guest ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Exit status of the shell; 124 if the time was up.
    pub status: i32,
    /// Standard output and standard error, in the order they were written.
    pub text: String,
}

/// The agent of a running guest. It runs one command at a time.
#[derive(Debug)]
pub struct Agent {
    reader: BufReader<UnixStream>,
    transcript: File,
}

impl Agent {
    /// Connects to the agent's socket. Everything said is added to the file `transcript`.
    ///
    /// # Errors
    /// If nobody listens there or the transcript cannot be written.
    pub fn connect(path: &Path, transcript: &Path) -> Result<Self> {
        let socket = UnixStream::connect(path).with_context(|| format!("connecting to {}", path.display()))?;
        let transcript = OpenOptions::new()
            .append(true)
            .create(true)
            .open(transcript)
            .with_context(|| format!("opening {}", transcript.display()))?;
        Ok(Agent { reader: BufReader::new(socket), transcript })
    }

    /// Waits until a guest that starts says that its agent is there.
    ///
    /// # Errors
    /// If it does not within `limit`.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        self.set_limit(limit)?;
        let line = self.line().context("the guest's agent does not come up")?;
        if line != "READY" {
            bail!("the guest's agent says {line:?} instead of READY");
        }
        Ok(())
    }

    /// Runs `script` in a shell of the guest, for `limit` at most.
    ///
    /// # Errors
    /// If the guest does not answer. A command that fails is no error.
    pub fn run(&mut self, script: &str, limit: Duration) -> Result<Output> {
        let started = Instant::now();
        let seconds = limit.as_secs().max(1);
        if script.contains('\0') {
            bail!("a script for the guest holds a NUL byte");
        }
        self.set_limit(Duration::from_secs(seconds) + GRACE)?;
        writeln!(self.transcript, "$ {script}").context("writing the transcript")?;
        let mut message = format!("{seconds}\n{script}").into_bytes();
        message.push(0);
        self.reader.get_mut().write_all(&message).context("sending a command to the guest")?;
        let output = self.answer().with_context(|| format!("no answer from the guest to: {script}"))?;
        writeln!(self.transcript, "{}\n[{} after {:.2?}]", output.text.trim_end(), output.status, started.elapsed())
            .context("writing the transcript")?;
        Ok(output)
    }

    fn answer(&mut self) -> Result<Output> {
        let line = self.line()?;
        let (status, length) = line.split_once(' ').with_context(|| format!("the agent answers {line:?}"))?;
        let status = status.parse().with_context(|| format!("the agent's status is {status:?}"))?;
        let length: u64 = length.parse().with_context(|| format!("the agent's length is {length:?}"))?;
        if length > OUTPUT_MAX {
            bail!("the command printed {length} bytes; at most {OUTPUT_MAX} are taken");
        }
        let mut bytes = Vec::new();
        let taken = self.reader.by_ref().take(length).read_to_end(&mut bytes).context("reading output")?;
        if u64::try_from(taken).ok() != Some(length) {
            bail!("the agent's output ends after {taken} of {length} bytes");
        }
        Ok(Output { status, text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).context("reading from the agent")?;
        match line.strip_suffix('\n') {
            Some(line) => Ok(line.to_owned()),
            None => bail!("the guest is gone"),
        }
    }

    fn set_limit(&self, limit: Duration) -> Result<()> {
        self.reader.get_ref().set_read_timeout(Some(limit)).context("setting the time limit")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// An agent that answers `answer` to the one request it gets, and the request.
    fn ask(script: &str, answer: &'static [u8]) -> (Result<Output>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        let guest = thread::spawn(move || {
            let mut reader = BufReader::new(listener.accept().unwrap().0);
            let mut request = Vec::new();
            reader.read_until(0, &mut request).unwrap();
            reader.get_mut().write_all(answer).unwrap();
            request
        });
        let mut agent = Agent::connect(&path, &folder.path().join("transcript")).unwrap();
        let output = agent.run(script, Duration::from_secs(3));
        drop(agent);
        (output, guest.join().unwrap())
    }

    #[test]
    fn a_command_carries_its_limit_and_brings_status_and_output() {
        let (output, request) = ask("ls /nowhere", b"2 12\nno such file");
        assert_eq!(request, b"3\nls /nowhere\0");
        assert_eq!(output.unwrap(), Output { status: 2, text: "no such file".into() });
    }

    #[test]
    fn output_that_ends_early_is_an_error() {
        let (output, _) = ask("true", b"0 12\nno such");
        assert!(format!("{:#}", output.unwrap_err()).contains("ends after 7 of 12 bytes"));
    }

    #[test]
    fn output_without_bound_is_refused() {
        let (output, _) = ask("yes", b"0 99999999999\n");
        assert!(format!("{:#}", output.unwrap_err()).contains("99999999999 bytes"));
    }

    #[test]
    fn a_guest_that_goes_is_named() {
        let (output, _) = ask("true", b"");
        assert!(format!("{:#}", output.unwrap_err()).contains("the guest is gone"));
    }
}
