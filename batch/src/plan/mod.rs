//! Planning: what a batch would do to a card, and what of it would fail, without doing it.
//!
//! The plan walks the commands as the card would, on an [`Inventory`] of what the card holds, and goes on behind what
//! fails as if it had succeeded, so that all problems come in one go. It knows INSTALL, LOAD, DELETE and PUT KEY;
//! whether an application likes what it is sent, only the application knows. A plan without problems is therefore no promise;
//! a problem is one. Plans never show command data.

mod walk;

use crate::aid::Aid;
use crate::load_file::CapFault;
use crate::parse::Batch;
use thiserror::Error;

/// What a card holds.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Its load files.
    pub packages: Vec<Package>,
    /// Its applications, with the load file each comes from where that is known.
    pub applications: Vec<(Aid, Option<Aid>)>,
    /// Names that cannot be given: those of the card manager.
    pub reserved: Vec<Aid>,
    /// Packages that are part of the card, with their newest versions; `None` where the card does not tell.
    pub built_in: Option<Vec<(Aid, (u8, u8))>>,
    /// Bytes that load files can take.
    pub free: u64,
    /// Longest load file that finds a place.
    pub largest: u64,
}

/// A load file on the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its AID.
    pub aid: Aid,
    /// Major and minor version.
    pub version: (u8, u8),
    /// Its modules, where they are known.
    pub modules: Option<Vec<Aid>>,
    /// The packages it stands on, where they are known.
    pub imports: Vec<Aid>,
}

/// What becomes of a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// PUT KEY of a new version.
    Added(u8),
    /// PUT KEY in place of a version.
    Replaced {
        /// The version that was.
        old: u8,
        /// The version that will be; 0 where the command does not say.
        new: u8,
    },
    /// DELETE of a version.
    Deleted(u8),
}

/// What would fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The AID is on the card.
    #[error("AID {0} is already on the card; delete it first, or choose another")]
    Taken(Aid),
    /// A package that is not there, or too old.
    #[error("{package} needs {import} version {}.{}, which the card lacks; load it first", version.0, version.1)]
    MissingImport {
        /// The load file.
        package: Aid,
        /// What it imports.
        import: Aid,
        /// Major and minor version that it asks for.
        version: (u8, u8),
    },
    /// The load file of an application is not there.
    #[error("no load file {0} on the card")]
    NoPackage(Aid),
    /// The load file has no such module.
    #[error("load file {package} has no module {module}")]
    NoModule {
        /// The load file.
        package: Aid,
        /// The module.
        module: Aid,
    },
    /// Nothing of this name.
    #[error("{0} is not on the card")]
    NotThere(Aid),
    /// A load file that another stands on.
    #[error("load file {aid} is needed by {by}")]
    Needed {
        /// The load file.
        aid: Aid,
        /// What stands on it.
        by: Aid,
    },
    /// A load file that has applications.
    #[error("load file {aid} has the application {application}; delete it first")]
    HasApplication {
        /// The load file.
        aid: Aid,
        /// One of its applications.
        application: Aid,
    },
    /// What is loaded is another package than was announced.
    #[error("INSTALL [for load] names {announced}, the load file is {found}")]
    OtherPackage {
        /// By INSTALL.
        announced: Aid,
        /// By the load file.
        found: Aid,
    },
    /// A load file that is damaged.
    #[error("the load file is damaged: {0}")]
    Damaged(CapFault),
    /// LOAD without INSTALL [for load], or with a wrong block number or length.
    #[error("LOAD does not continue a load")]
    NoLoad,
    /// Not enough memory for all that is loaded until there.
    #[error("{needed} bytes are loaded, {free} are free")]
    Memory {
        /// Bytes of all load files up to there. What the batch deletes becomes free only when it is done.
        needed: u64,
        /// Free bytes.
        free: u64,
    },
    /// No free place is long enough.
    #[error("a load file of {needed} bytes finds no place; the longest has {largest}")]
    Place {
        /// Bytes of the load file.
        needed: u64,
        /// Bytes of the longest place.
        largest: u64,
    },
    /// The data of a command is not what its instruction asks for.
    #[error("the command's data is malformed")]
    Malformed,
}

/// What a batch would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Load files that would come, with their bytes.
    pub loaded: Vec<(Aid, u64)>,
    /// Applications that would be installed.
    pub installed: Vec<Aid>,
    /// What would be deleted.
    pub deleted: Vec<Aid>,
    /// Key sets that would change.
    pub keys: Vec<KeyChange>,
    /// Packages that are taken for part of the card, with the versions asked for: the card does not tell.
    pub assumed: Vec<(Aid, (u8, u8))>,
    /// What would fail: the number of the command, the first being 1, and why.
    pub problems: Vec<(u32, Problem)>,
}

impl Plan {
    /// What `batch` would do to a card that holds `inventory`.
    #[must_use]
    pub fn new(batch: &Batch<'_>, inventory: Inventory) -> Self {
        let mut walk = walk::Walk::new(inventory);
        for command in batch.commands() {
            walk.step(command.number, &command.apdu);
        }
        walk.finish()
    }

    /// Bytes of all load files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.loaded.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}
