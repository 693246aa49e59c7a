//! Timings of smcard and of what it is compared with, side by side in one run.
//!
//! `smcard-bench [--rounds N] [SECTION...]` prints Markdown: the machine, then a table for each section (all without
//! arguments): `issue`, `direct`, `dispatch`, `durability`.
//!
//! Rules of the figures: medians; what is compared runs interleaved, in another order each round; the first round is
//! not kept; ratios rather than times; a target that is missed is said and makes the program end with 1.

#![forbid(unsafe_code)]

mod direct;
mod dispatch;
mod durability;
mod issue;
mod machine;
mod pin;
mod table;
mod terminal;
mod timing;

use anyhow::{Context, Result, bail};

type Section = fn(usize) -> Result<table::Table>;

const SECTIONS: [(&str, Section); 4] =
    [("issue", issue::run), ("direct", direct::run), ("dispatch", dispatch::run), ("durability", durability::run)];

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
