//! A command that is told: run once for each result, with the result on its standard input.

use super::courier::{Courier, Stop};
use super::outbox::Entry;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The command.
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// The program, by its whole path, and its arguments.
    pub program: Vec<String>,
    /// How long it may run; then it and what it has started are killed.
    pub timeout: Duration,
}

/// Runs the command.
#[derive(Debug)]
pub struct Runner {
    settings: CommandSettings,
}

impl Runner {
    /// For this command.
    #[must_use]
    pub fn new(settings: CommandSettings) -> Self {
        Runner { settings }
    }

    fn start(&self, entry: &Entry) -> io::Result<Child> {
        let Some((program, arguments)) = self.settings.program.split_first() else {
            return Err(io::Error::other("no program is named"));
        };
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.envs(variables(&entry.text));
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // Shorter than a pipe holds, so this does not wait; a command that does not read is its own business.
            match stdin.write_all(entry.text.as_bytes()).and_then(|()| stdin.write_all(b"\n")) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => log::warn!("{program}: {error}"),
                _ => {}
            }
        }
        Ok(child)
    }

    fn wait(&self, child: &mut Child, stop: &Stop) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + self.settings.timeout;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline || stop.wait(LOOK) {
                let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                // It leads a group of its own; one that has ended just now is none any more.
                let _ = group.map(|group| kill_process_group(group, Signal::KILL));
                child.wait()?;
                return Ok(None);
            }
        }
    }
}

impl Courier for Runner {
    fn name(&self) -> String {
        self.settings.program.first().cloned().unwrap_or_default()
    }

    fn deliver(&mut self, entry: &Entry, stop: &Stop) -> Result<(), String> {
        let mut child = self.start(entry).map_err(|error| error.to_string())?;
        match self.wait(&mut child, stop).map_err(|error| error.to_string())? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("issue {}-{}: {status}", entry.cid, entry.number)),
            None => {
                let limit = self.settings.timeout.as_secs_f64();
                Err(format!("issue {}-{}: killed after {limit} s", entry.cid, entry.number))
            }
        }
    }
}

/// `SMCARD_ID`, `SMCARD_STATE` and so on: each value of the result that is a word or a number.
fn variables(text: &str) -> Vec<(String, String)> {
    let Ok(Value::Object(result)) = serde_json::from_str(text) else { return Vec::new() };
    let word = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        plain => Some(plain.to_string()),
    };
    let variable = |(name, value): (String, Value)| Some((format!("SMCARD_{}", name.to_uppercase()), word(value)?));
    result.into_iter().filter_map(variable).filter(|(_, value)| !value.contains('\0')).collect()
}
