//! Keeping this process and its children on chosen cores.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// This thread, and every process it starts, on one core as long as this lives.
pub(crate) struct Pinned(CpuSet);

impl Pinned {
    /// The last core that the process may use: the first one gets most interrupts.
    pub(crate) fn to_one_core() -> Result<Self> {
        let all = sched_getaffinity(None).context("sched_getaffinity")?;
        let last = (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core)).context("no core to run on")?;
        let mut one = CpuSet::new();
        one.set(last);
        sched_setaffinity(None, &one).context("sched_setaffinity")?;
        Ok(Pinned(all))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // What was allowed before is allowed still.
        let _ = sched_setaffinity(None, &self.0);
    }
}
