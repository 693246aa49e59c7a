//! Timings of smcard and of what it is compared with, side by side in one run.
//!
//! `smcard-bench [--rounds N] [SECTION...]` prints Markdown: the machine, then a table for each section, all of them
//! without arguments. `issue`, `direct`, `dispatch`, `durability` and `opening` have the card in their own process; `mounted`,
//! `copy`, `calls` and `size` mount cards with the `smcardd` beside this program, and need root.
//!
//! Rules of the figures: medians; what is compared runs interleaved, in another order each round; the first round is
//! not kept; ratios rather than times; a target that is missed is said. Nothing stays mounted, whatever fails.

#![forbid(unsafe_code)]

mod copy;
mod direct;
mod dispatch;
mod durability;
mod issue;
mod machine;
mod mounted;
mod opening;
mod pin;
mod size;
mod table;
mod terminal;
mod timing;

use anyhow::{Context, Result, bail};

type Section = fn(usize) -> Result<table::Table>;

const SECTIONS: [(&str, Section); 9] = [
    ("issue", issue::run),
    ("mounted", mounted::run),
    ("direct", direct::run),
    ("dispatch", dispatch::run),
    ("copy", copy::run),
    ("calls", mounted::calls),
    ("durability", durability::run),
    ("opening", opening::run),
    ("size", size::run),
];

fn main() -> Result<()> {
    let mut rounds = 31;
    let mut wanted = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => rounds = arguments.next().context("--rounds needs a number")?.parse()?,
            name if SECTIONS.iter().any(|section| section.0 == name) => wanted.push(argument),
            other => bail!("unknown section {other:?}; there are {:?}", SECTIONS.map(|section| section.0)),
        }
    }
    println!("{}.\n", machine::describe(&std::env::temp_dir()));
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("{}", section(rounds).with_context(|| format!("section {name}"))?);
        }
    }
    Ok(())
}
