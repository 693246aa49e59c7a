//! `smcard-wire`: the stories over every cable, what the wire costs, what disturbs it.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use smcard_wire::cable::Cable;
use smcard_wire::noise::survey;
use smcard_wire::table::Table;
use smcard_wire::{efficiency, page, removal, scenario, throughput};
use std::fs;
use std::path::{Path, PathBuf};

/// The same card on a function call, on SPI and in an SD slot.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Part,
    /// Write into PERFORMANCE.md of this folder.
    #[arg(long, global = true, value_name = "DOCS")]
    update: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Part {
    /// The same stories over every cable, and what the wire costs, in clocks.
    Costs,
    /// Bits turned round, lost and doubled: every transfer is right, repaired or reported.
    Noise {
        /// Transfers of each wire, kind and rate; there are 27 of these.
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
        transfers: u64,
        /// Where the drawing starts.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// How fast the emulated card's open memory is, in real time.
    Throughput {
        /// Transfers of each path.
        #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
}

fn main() -> Result<()> {
    let Arguments { part, update } = Arguments::parse();
    match part {
        Part::Costs => {
            let mut tables = vec![stories()?];
            tables.extend(efficiency::tables()?);
            tell("wire", &tables, update.as_deref())
        }
        Part::Throughput { rounds } => tell("throughput", &[throughput::table(rounds)?], update.as_deref()),
        Part::Noise { transfers, seed } => {
            let results = survey::run(transfers, seed)?;
            let mut tables = survey::tables(&results, seed);
            tables.push(removal::table()?);
            tell("noise-long", &tables, update.as_deref())?;
            let all = survey::sum(&results);
            let wrong = all.secure().wrong + all.twice + all.strange;
            ensure!(wrong == 0, "{wrong} transfers were wrong, or executed twice");
            Ok(())
        }
    }
}

fn tell(target: &str, tables: &[Table], update: Option<&Path>) -> Result<()> {
    let text: Vec<_> = tables.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    print!("{text}");
    let Some(folder) = update else { return Ok(()) };
    let path = folder.join("PERFORMANCE.md");
    let page = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    fs::write(&path, page::with_tables(&page, target, &text)?).with_context(|| format!("{}", path.display()))
}

/// Tells all stories; a table of what the issues among them cost.
fn stories() -> Result<Table> {
    let all = scenario::all(true);
    let about = format!(
        "{} stories over each cable: issues of three sizes, {} profiles of cards, failures, CLEAR, CONFIRM, the power cut at every \
         command with all three recovery kinds, removal, refusals. Same answers, same listings, same bytes in the card's flash \
         in all of them. An exchange is an APDU or a whole direct write; what the wire makes of it, commands and blocks, stands beside it.",
        all.len(),
        all.iter().filter(|story| story.name.contains(", profile ")).count()
    );
    let heads = ["direct write and START", "exchanges", "SPI: commands and blocks", "SD: commands and blocks"];
    let mut table = Table::new("Exchanges and what the wire makes of them", about, &heads);
    for story in all {
        let (outcomes, differences) = story.differences()?;
        ensure!(differences.is_empty(), "{differences}");
        let cost = |cable: Cable, number: usize| {
            outcomes.iter().find(|(other, _)| *other == cable).and_then(|(_, outcome)| outcome.costs.get(number))
        };
        for number in 0..outcomes.first().map_or(0, |(_, outcome)| outcome.costs.len()) {
            let (Some(spi), Some(mmc)) = (cost(Cable::Spi, number), cost(Cable::Mmc, number)) else { continue };
            ensure!(!spi.direct || (spi.exchanges, mmc.exchanges) == (2, 2), "{}: not two exchanges", spi.what);
            if spi.what.ends_with("by a thread") {
                // How often it is polled depends on the machine.
                continue;
            }
            table.row(vec![spi.what.clone(), spi.exchanges.to_string(), spi.wire.to_string(), mmc.wire.to_string()]);
        }
    }
    Ok(table)
}
