//! The part of pjdfstest and fsx that a drop box can pass, on a mounted card.
//!
//! `smcard-conformance` mounts a card, runs three suites on its `issue/` and holds their results to the lists of
//! expected failures beside this crate. It ends with one line of figures, and with 1 where a case failed that should
//! pass, passed that should fail, or where a line of a list fits no case any more.
//!
//! * `pjdfstest` 0.2.2, every case unchanged. It makes a folder for each case, and a drop box has none: `flat.c` mounts
//!   the drop box over each of these folders.
//! * `fsx` 0.3.2, each of its operations. It writes random bytes to random places, which no drop box takes; what does not
//!   need content is run.
//! * [`sequential`]: what fsx would do if it knew batches: random pieces in order, random calls in between.
//!
//! Needs root, `/dev/fuse`, `cc`, and `pjdfstest` and `fsx` in `PATH`; `scripts/conformance.sh` sees to the last two.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod expected;
mod fsx;
mod pjdfstest;
mod sequential;

use anyhow::Result;
use expected::{Case, Expected, Tally};
use smcard_tests::{Mounted, Setup};
use std::path::PathBuf;
use std::process::ExitCode;

/// Rights under which pjdfstest's users reach the drop box; what they come to for others is a matter of other tests.
const CONFIGURATION: &str = "[rights]\nissue_mode = \"0755\"\nbatch_mode = \"0644\"\nallow_other = true\n";

fn main() -> Result<ExitCode> {
    let mut tally = Tally::default();
    for (name, run) in [
        ("pjdfstest", pjdfstest::run as fn(&Mounted) -> Result<Vec<Case>>),
        ("fsx", fsx::run),
        ("sequential", sequential::run),
    ] {
        let mut card = Mounted::unmounted(Setup::new().size("32M"));
        std::fs::write(card.config(), CONFIGURATION)?;
        card.mount();
        let cases = run(&card)?;
        card.unmount();
        let list = folder().join(format!("{name}.expected"));
        tally.add(name, &cases, &Expected::read(&list)?);
    }
    println!("{tally}");
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the lists are.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
