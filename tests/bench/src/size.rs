//! What the daemon takes: memory beside the mapped image, and disk.

use crate::mounted::{delete, start};
use crate::table::Table;
use anyhow::Result;
use smcard_batch::issue::{Blocks, Recovery};
use smcard_fixtures as fixtures;
use smcard_ioctl::Client;
use smcard_tests::{Setup, batch, binaries, proc};
use std::fs;

const MIB: f64 = 1048576.0;

/// Weighs a daemon before work and after it, and its program.
pub(crate) fn run(_: usize) -> Result<Table> {
    let mut card = Setup::new().size("64M").mount();
    let pid = card.daemon().pid();
    let resident = || proc::resident_beyond(pid, |mapping| mapping.ends_with("card.img")) as f64 / MIB;
    let idle = resident();
    let client = Client::open(&card.path("control"))?;
    let library = crate::terminal::batch_of(&fixtures::library_cap(), Blocks::Direct, Recovery::Functions)?;
    let issue = card.path("issue");
    for _ in 0..3 {
        fs::write(issue.join("large.batch"), batch::filler(16 << 20))?;
        fs::write(issue.join("library.batch"), &library)?;
        start(&client, "library.batch")?;
        delete(&card, fixtures::aid::LIBRARY_PACKAGE)?;
    }
    let after = resident();
    let program = fs::metadata(binaries::smcardd())?.len() as f64 / MIB;

    let about = "Resident memory of `smcardd` without the pages of the image, which the kernel can take back at any time: \
                 after mounting, and after three uploads of 16 MiB and three issues of 1 MiB.";
    let mut table = Table::new("Size", about, &["smcardd", "MiB"]);
    for (name, value) in [("resident, idle", idle), ("resident, after work", after), ("program, stripped", program)] {
        table.row([name.to_owned(), format!("{value:.1}")]);
    }
    table.at_most("resident beyond the image", after, 16.0, " MiB");
    table.at_most("stripped program", program, 6.0, " MiB");
    Ok(table)
}
