//! The self-issue against the same commands one by one, over a link that costs nothing but a function call.

use crate::table::Table;
use crate::terminal::{Terminal, batch_of};
use crate::timing::{Samples, interleave, show, timed};
use anyhow::Result;
use smcard_batch::Batch;
use smcard_batch::issue::{Blocks, Recovery};
use smcard_card::CreateOptions;
use smcard_card::scp03::SecurityLevel;
use smcard_fixtures as fixtures;
use smcard_flash::Durability;
use smcard_link::SecureCard;

/// How the application gets onto the card.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// START of a batch that was written before.
    Start,
    /// Direct write and START.
    WriteAndStart,
    /// Each command in an exchange of its own, in a session of this level.
    OneByOne(SecurityLevel),
}

/// All ways, the one that the others are compared with first.
pub(crate) const WAYS: [Way; 5] = [
    Way::WriteAndStart,
    Way::Start,
    Way::OneByOne(SecurityLevel::AUTHENTICATED),
    Way::OneByOne(SecurityLevel::C_MAC_C_ENC),
    Way::OneByOne(SecurityLevel::ALL),
];

impl Way {
    pub(crate) fn name(self) -> String {
        match self {
            Way::WriteAndStart => "self-issue: direct write and START".to_owned(),
            Way::Start => "self-issue: START alone".to_owned(),
            Way::OneByOne(SecurityLevel::AUTHENTICATED) => "one by one, unprotected".to_owned(),
            Way::OneByOne(level) => format!("one by one, SCP03 level {:02X}", level.p1()),
        }
    }
}

/// The batch of the 60 KiB application.
pub(crate) fn wallet() -> Result<Vec<u8>> {
    batch_of(&fixtures::wallet_cap(), Blocks::default(), Recovery::Functions)
}

/// Times all ways on one card with flushes and on one without.
pub(crate) fn run(rounds: usize) -> Result<Table> {
    let file = wallet()?;
    let commands = Batch::parse(&file)?.count();
    let about = format!(
        "The application of 60 KiB with two applets, {commands} commands in a batch of {} bytes; recovery by function. \
         Authentication, and the deletion of what the round before installed, are not timed. The link is a function \
         call, so this is what cryptography and the count of commands cost by themselves; on a wire each exchange adds \
         its own time. With flushes, six of them are most of what a self-issue takes here.",
        file.len()
    );
    let heads = ["issue, in one process", "exchanges", "median", "min", "× self-issue", "median without flushes", "×"];
    let mut table = Table::new("Issue of 60 KiB in blocks", about, &heads);
    let (exchanges, flushed) = measure(&file, Durability::Barrier, rounds)?;
    let (_, unflushed) = measure(&file, Durability::None, rounds)?;
    for (n, way) in WAYS.iter().enumerate() {
        table.row([
            way.name(),
            exchanges[n].to_string(),
            show(flushed[n].median()),
            show(flushed[n].min()),
            format!("{:.2}", flushed[n].over(&flushed[0])),
            show(unflushed[n].median()),
            format!("{:.2}", unflushed[n].over(&unflushed[0])),
        ]);
    }
    let what = "level 33 one by one over self-issue, in one process without flushes";
    table.at_least(what, unflushed[4].over(&unflushed[0]), 10.0, " times");
    Ok(table)
}

fn measure(file: &[u8], durability: Durability, rounds: usize) -> Result<(Vec<u64>, Vec<Samples>)> {
    let batch = Batch::parse(file)?;
    let mut terminal = Terminal::new(&CreateOptions::default(), durability)?;
    let mut exchanges = vec![0; WAYS.len()];
    let samples = interleave(rounds, &WAYS, |way| {
        let (before, time) = match way {
            Way::WriteAndStart => {
                terminal.authenticate(SecurityLevel::AUTHENTICATED)?;
                let before = terminal.card.counters().exchanges;
                let (done, time) = timed(|| terminal.write("wallet.batch", file).and_then(|id| terminal.start(id)));
                done?;
                (before, time)
            }
            Way::Start => {
                let id = terminal.upload("wallet.batch", file)?;
                let before = terminal.card.counters().exchanges;
                let (done, time) = timed(|| terminal.start(id));
                done?;
                (before, time)
            }
            Way::OneByOne(level) => {
                let mut session = terminal.authenticate(*level)?;
                let before = terminal.card.counters().exchanges;
                let (done, time) = timed(|| terminal.one_by_one(&mut session, &batch));
                done?;
                (before, time)
            }
        };
        if let Some(index) = WAYS.iter().position(|known| known == way) {
            exchanges[index] = terminal.card.counters().exchanges - before;
        }
        terminal.delete(fixtures::aid::WALLET_PACKAGE)?;
        Ok(time)
    })?;
    Ok((exchanges, samples))
}
