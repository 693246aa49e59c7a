//! `completions` and `man`: made from the definition of the command line.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Man};
use crate::exit::{Exit, Failure};
use crate::output::print;

pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "smcardctl", &mut script);
    show(&script)
}

pub(crate) fn man(options: &Man) -> Result<Exit, Failure> {
    let command = Cli::command();
    match &options.output {
        Some(folder) => {
            clap_mangen::generate_to(command, folder).map_err(|error| Failure::file(folder, &error))?;
            Ok(Exit::Done)
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).map_err(failed)?;
            show(&page)
        }
    }
}

fn show(bytes: &[u8]) -> Result<Exit, Failure> {
    print(bytes).map_err(failed)?;
    Ok(Exit::Done)
}

fn failed(error: io::Error) -> Failure {
    Failure::file(Path::new("standard output"), &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_command_and_exit_code() {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for command in Cli::command().get_subcommands() {
            assert!(page.contains(&format!("smcardctl\\-{}", command.get_name())), "{}", command.get_name());
        }
        for text in ["Exit codes", "a file given is not what it must be", "SMCARD"] {
            assert!(page.contains(text), "{text}");
        }
    }

    #[test]
    fn a_folder_gets_a_page_for_each_command() {
        let folder = tempfile::tempdir().unwrap();
        man(&Man { output: Some(folder.path().to_owned()) }).unwrap();
        for name in ["smcardctl.1", "smcardctl-start.1", "smcardctl-apdu.1"] {
            assert!(folder.path().join(name).exists(), "{name}");
        }
        let missing = folder.path().join("missing");
        assert_eq!(man(&Man { output: Some(missing) }).unwrap_err().exit, Exit::BadInput);
    }
}
