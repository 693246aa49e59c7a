//! What a batch will run into, told before its first command is given.
//!
//! The same plan as `smcardctl plan` makes, on what the card knows better than anybody. It is told to the log alone: the
//! issue goes on and fails where it fails, with its status word and its progress, as if nobody had looked.

use super::{Manager, load};
use crate::registry::{self, CARD_MANAGER_AID, OLDER_CARD_MANAGER_AID};
use smcard_batch::Batch;
use smcard_batch::aid::Aid;
use smcard_batch::plan::{Inventory, Package, Plan};

/// Most problems that are told one by one.
const TOLD_MAX: usize = 16;

impl Manager {
    /// Tells what of a batch will fail, where anybody listens.
    pub(crate) fn foresee(&self, batch: &Batch<'_>) {
        if !log::log_enabled!(log::Level::Info) {
            return;
        }
        let problems = Plan::new(batch, self.inventory()).problems;
        for (number, problem) in problems.iter().take(TOLD_MAX) {
            log::info!("START: command {number} will fail: {problem}");
        }
        if let Some(more) = problems.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
            log::info!("START: {more} more commands will fail");
        }
    }

    pub(crate) fn inventory(&self) -> Inventory {
        let packages = registry::load_files(&self.memory).into_iter().map(|found| Package {
            aid: found.entry.aid,
            version: (found.entry.major, found.entry.minor),
            modules: Some(found.entry.modules),
            imports: found.entry.imports,
        });
        let applications = registry::applications(&self.memory).into_iter();
        let flash = self.memory.flash();
        let named = |aid: &[u8]| Aid::new(aid).ok();
        Inventory {
            packages: packages.collect(),
            applications: applications.map(|found| (found.entry.aid, Some(found.entry.load_file))).collect(),
            reserved: [CARD_MANAGER_AID, OLDER_CARD_MANAGER_AID].iter().filter_map(|aid| named(aid)).collect(),
            built_in: Some(load::BUILT_IN.iter().filter_map(|(aid, newest)| Some((named(aid)?, *newest))).collect()),
            free: flash.free(),
            largest: flash.largest_free(),
        }
    }
}
