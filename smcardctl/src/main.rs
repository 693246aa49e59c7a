//! `smcardctl`: the command line of secure memory cards.
//!
//! Every command says the same facts as text or, with `--json`, as one JSON value on stdout. What the card refuses and
//! what goes wrong is one line on stderr. The exit codes are stable; `exit` lists them.

#![forbid(unsafe_code)]

mod applet;
mod card;
mod cli;
mod commands;
mod exit;
mod hex;
mod interrupt;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use crate::card::Card;
use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.json;
    let exit = run(cli).unwrap_or_else(|failure| {
        failure.tell(json);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let card = Card { folder: cli.card };
    let output = Output { json: cli.json };
    match cli.command {
        Command::Status => commands::status::run(&card, output),
        Command::Start(options) => commands::start::run(&card, output, options),
        Command::Wait(options) => commands::wait::run(&card, output, &options),
        Command::List => commands::list::run(&card, output),
        Command::Apps => commands::apps::run(&card, output),
        Command::Apdu(options) => commands::apdu::run(&card, output, &options),
        Command::Clear => commands::plain::clear(&card, output),
        Command::Confirm => commands::plain::confirm(&card, output),
        Command::Reset => commands::plain::reset(&card, output),
        Command::Authenticate(options) => commands::plain::authenticate(&card, output, &options),
        Command::Trace(options) => commands::trace::run(&card, output, &options),
        Command::Record(options) => commands::record::run(&card, output, &options),
        Command::Pack(options) => commands::pack::run(output, &options),
        Command::Import(options) => commands::import::run(output, &options),
        Command::Export(options) => commands::export::run(output, &options),
        Command::Plan(options) => commands::plan::run(&card, output, &options),
        Command::Inspect(options) => commands::inspect::run(output, &options),
        Command::Completions { shell } => commands::pages::completions(shell),
        Command::Man(options) => commands::pages::man(&options),
    }
}

/// A command line that cannot be understood, or a wish for help.
fn usage(error: &clap::Error) -> ExitCode {
    let wrong = error.use_stderr();
    if wrong && std::env::args_os().any(|argument| argument == "--json") {
        let why = error.render().to_string();
        let why = why.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Failure::new(Exit::Usage, "usage", why, "see 'smcardctl --help'").tell(true);
    } else {
        // Nobody is left to be told where this cannot be written.
        let _ = error.print();
    }
    ExitCode::from(if wrong { Exit::Usage } else { Exit::Done } as u8)
}
