//! What a process that holds keys owes to its host: no core dumps, no debuggers, no files for others, no chatter.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Nothing of this process's memory is to reach a file or another process, and files it makes are its own.
pub fn narrow() {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    let cores = rustix::process::setrlimit(Resource::Core, nothing);
    let dumps = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = cores.and(dumps) {
        eprintln!("smcardd: core dumps cannot be turned off: {error}");
    }
    rustix::process::umask(Mode::from_raw_mode(0o077));
}

/// Panics are logged with their place and not with their message, which may hold what must not be shown.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        log::error!("panic in thread {} at {place}", thread.name().unwrap_or("?"));
    }));
}
