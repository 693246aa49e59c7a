//! `smcard-slot`: an emulated secure memory card in the SD slot of a virtual machine. See the library for what it does and
//! `smcard-slot --help` for how it is called.
#![forbid(unsafe_code)]

use clap::Parser;
use smcard_slot::bay::{Bay, Opener, Receptacle};
use smcard_slot::card::Behaviour;
use smcard_slot::control::{self, Request};
use smcard_slot::options::{self, Arguments, Ask, Task};
use smcard_slot::sdhci::Controller;
use smcard_slot::serve::{Server, Signals};
use smcard_slot::socket::Listener;
use smcard_slot::ssp::{self, Port};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Task::Ctl { request }) => ask(&arguments, request),
        Some(Task::AcpiTable { file }) => {
            std::fs::write(file, ssp::ACPI_TABLE).map_err(|error| format!("{}: {error}", file.display()).into())
        }
        None => start(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("smcard-slot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    env_logger::Builder::new()
        .parse_filters("info")
        .parse_env(env_logger::Env::new().filter("SMCARD_LOG"))
        .format(|buffer, record| writeln!(buffer, "smcard-slot: {}", record.args()))
        .init();
    let behaviour = Behaviour::new(arguments)?;
    if arguments.spi {
        serve(arguments, Port::new(), Box::new(move |image| behaviour.open_spi(image)))
    } else {
        serve(arguments, Controller::new(), Box::new(move |image| behaviour.open_sd(image)))
    }
}

fn serve<R: Receptacle>(arguments: &Arguments, device: R, open: Opener<R::Card>) -> Result<(), Box<dyn Error>> {
    let (Some(socket), Some(control)) = (&arguments.socket, arguments.control()) else {
        return Err("--socket PATH is missing".into());
    };
    let signals = Signals::new()?;
    let mut bay = Bay::new(device, open);
    if let Some(source) = &arguments.card {
        bay.insert(&options::image(source)?)?;
    }
    let (listener, control) = (Listener::bind(socket)?, Listener::bind(&control)?);
    let mut stdout = std::io::stdout();
    // Whoever closed the output does not want the line.
    let _ = writeln!(stdout, "QEMU: {}", options::qemu(socket, arguments.spi)).and_then(|()| stdout.flush());
    Server::new(bay, listener, control).run(&signals, arguments.once)?;
    Ok(())
}

fn ask(arguments: &Arguments, ask: &Ask) -> Result<(), Box<dyn Error>> {
    let control = arguments.control().ok_or("say which one: --control PATH or --socket PATH")?;
    let request = match ask {
        Ask::Insert { card } => Request::Insert(options::image(card)?),
        Ask::Eject => Request::Eject,
        Ask::Status => Request::Status,
    };
    let answer = control::request(&control, &request)?;
    if !answer.is_empty() {
        println!("{answer}");
    }
    Ok(())
}
