//! `smcardd`: mounts a secure memory card. See the library for what it does and `smcardd --help` for how it is called.
#![forbid(unsafe_code)]

use clap::Parser;
use smcard_card::CreateOptions;
use smcardd::logging::Logger;
use smcardd::options::{Arguments, Task};
use smcardd::{background, hygiene, serve, source};
use std::fmt::Display;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Task::Create { image, size, recovery, privilege }) = &arguments.command {
        hygiene::narrow();
        let options =
            CreateOptions { size: *size, recovery: *recovery, privilege: *privilege, ..CreateOptions::default() };
        return match source::create(image, &options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    if !arguments.foreground {
        return background::spawn().unwrap_or_else(|error| failed(&error));
    }
    if arguments.child {
        background::begin();
    }
    hygiene::narrow();
    let logger = Logger::start();
    hygiene::log_panics();
    serve::serve(&arguments, &logger).unwrap_or_else(|error| failed(&error))
}

fn failed(error: &dyn Display) -> ExitCode {
    eprintln!("smcardd: {error}");
    ExitCode::FAILURE
}
