//! Where messages go: standard error in the foreground, the journal's format under a service manager, a file or syslog
//! in the background. `SMCARD_LOG` chooses what is logged, as in `SMCARD_LOG=debug` (see the crate `env_logger`).

use log::{Level, Record};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const FILTER: &str = "SMCARD_LOG";
const SYSLOG: &str = "/dev/log";
/// Facility `daemon` of syslog(3), in its place.
const FACILITY: u8 = 3 << 3;

enum Output {
    Terminal,
    Journal,
    File(File),
    Syslog(UnixDatagram),
    Nothing,
}

/// The logger; it can be turned to another output while it is in use.
#[derive(Clone)]
pub struct Logger(Arc<Mutex<Output>>);

impl Logger {
    /// Starts logging to standard error, or in the journal's format where a service manager reads it.
    #[must_use]
    pub fn start() -> Self {
        let output = if std::env::var_os("JOURNAL_STREAM").is_some() { Output::Journal } else { Output::Terminal };
        let logger = Logger(Arc::new(Mutex::new(output)));
        let (format, sink) = (logger.clone(), logger.clone());
        let mut builder = env_logger::Builder::new();
        builder
            .parse_filters("info,fuser=error")
            .parse_env(env_logger::Env::new().filter(FILTER))
            .format(move |buffer, record| format.format(buffer, record))
            .target(env_logger::Target::Pipe(Box::new(sink)));
        // Only a second logger in one process fails here; the first goes on.
        let _ = builder.try_init();
        logger
    }

    /// Turns to a file, which is made readable to its owner alone and appended to.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn to_file(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        *self.lock() = Output::File(file);
        Ok(())
    }

    /// Turns to syslog, or to nothing where there is none.
    pub fn to_syslog(&self) {
        let socket = UnixDatagram::unbound().and_then(|socket| socket.connect(SYSLOG).map(|()| socket));
        *self.lock() = socket.map_or(Output::Nothing, Output::Syslog);
    }

    fn format(&self, buffer: &mut env_logger::fmt::Formatter, record: &Record<'_>) -> io::Result<()> {
        let (level, text) = (record.level(), record.args());
        match *self.lock() {
            Output::Terminal => writeln!(buffer, "smcardd: {}{text}", word(level)),
            Output::Journal => writeln!(buffer, "<{}>{text}", priority(level)),
            Output::File(_) => {
                let now = buffer.timestamp_millis();
                writeln!(buffer, "{now} {}{text}", word(level))
            }
            Output::Syslog(_) => {
                write!(buffer, "<{}>smcardd[{}]: {text}", FACILITY | priority(level), std::process::id())
            }
            Output::Nothing => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Output> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Logger {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.lock() {
            Output::Terminal | Output::Journal => io::stderr().write(bytes),
            Output::File(file) => file.write(bytes),
            // A message that syslog does not take is lost; the daemon goes on.
            Output::Syslog(socket) => Ok(socket.send(bytes).map_or(bytes.len(), |_| bytes.len())),
            Output::Nothing => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
        Level::Debug => "debug: ",
        Level::Trace => "trace: ",
    }
}

/// Priorities of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}
