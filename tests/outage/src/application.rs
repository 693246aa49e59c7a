//! Applications of a given size, as batches.
//!
//! A conventional LOAD ends at 256 blocks, some 62 kB: what is longer comes as several packages, as applications of that
//! size do on real cards. The last one has the applet that is installed.

use anyhow::{Context, Result};
use smcard_batch::cap::CapFile;
use smcard_batch::issue::{IssuePlan, Recovery};
use smcard_batch::{Batch, BatchBuilder, aid::Aid};
use smcard_card::{CreateOptions, EmulatedCard};
use smcard_fixtures::asm::CapSpec;
use smcard_fixtures::packages::nothing::{self, module};
use smcard_flash::{Medium, RamMedium};
use smcard_link::RecoveryKind;

/// Most bytes of load file data that 256 blocks of 247 carry, rounded down.
const PACKAGE_MAX: usize = 62_500;
/// Begins the AIDs of the packages; a number follows.
const AID_PREFIX: [u8; 8] = [0xF0, 0x53, 0x4D, 0x43, 0x41, 0x52, 0x44, 0x70];

/// One package: its AID and its commands.
pub(crate) struct Package {
    pub(crate) aid: Vec<u8>,
    pub(crate) commands: Vec<Vec<u8>>,
}

/// An application of some size.
pub(crate) struct Application {
    /// Bytes of load file data.
    pub(crate) size: usize,
    pub(crate) packages: Vec<Package>,
    /// What is selected when it is there.
    pub(crate) instance: Vec<u8>,
    /// All commands, with recovery points before each load and each install.
    pub(crate) batch: Vec<u8>,
    /// Number of commands.
    pub(crate) count: u32,
}

impl Application {
    /// An application with this many bytes of load file data.
    pub(crate) fn new(size: usize) -> Result<Self> {
        let number = size.div_ceil(PACKAGE_MAX).max(1);
        let mut builder = BatchBuilder::new();
        let mut packages = Vec::new();
        for index in 0..number {
            let aid = [&AID_PREFIX[..], &u8::try_from(index)?.to_be_bytes()].concat();
            // What does not divide evenly goes to the first ones.
            let bytes = size / number + usize::from(index < size % number);
            let cap = CapFile::read(&cap_file(&aid, bytes)?)?;
            let mut plan = IssuePlan::new(&cap);
            plan.recovery = Recovery::Functions;
            if index + 1 == number {
                plan.install_all()?;
            }
            let file = plan.build()?.finish()?;
            let part = Batch::parse(&file)?;
            for command in part.commands() {
                if part.recovery_points().any(|point| point.command == command.number) {
                    builder.recovery_point();
                }
                builder.push(&command.apdu)?;
            }
            packages.push(Package { aid, commands: part.commands().map(|command| command.bytes().to_vec()).collect() });
        }
        let instance = module(&packages.last().context("a package")?.aid);
        Ok(Application { size, instance, batch: builder.finish()?, count: builder.count(), packages })
    }

    /// A new card with room for it, the same each time.
    pub(crate) fn card(&self, recovery: RecoveryKind) -> Result<Vec<u8>> {
        let size = u64::try_from(self.batch.len() + self.size)? + (2 << 20);
        let options = CreateOptions { size, recovery, individual: Some([0x70; 14]), ..CreateOptions::default() };
        let medium = EmulatedCard::format(Box::new(RamMedium::new(size)), &options)?;
        Ok(medium.bytes().to_vec())
    }
}

/// A package with an applet that does nothing, and a custom component that fills it up to `size` bytes.
fn cap_file(package: &[u8], size: usize) -> Result<Vec<u8>> {
    let length = |bulk| Ok::<_, anyhow::Error>(spec(package, bulk).assemble()?.load_file_data(false).len());
    let bulk = size.checked_sub(length(1)? - 1).context("the application is too small")?;
    Ok(spec(package, bulk).assemble()?.zip())
}

fn spec(package: &[u8], bulk: usize) -> CapSpec {
    nothing::spec("smcard/outage", package, bulk)
}

/// DELETE of a package with what belongs to it.
pub(crate) fn delete(package: &[u8]) -> Result<Vec<u8>> {
    let aid = Aid::new(package).map_err(|error| anyhow::anyhow!("{error}"))?;
    let length = u8::try_from(aid.as_bytes().len())?;
    Ok([&[0x80, 0xE4, 0x00, 0x80, length + 2, 0x4F, length], aid.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_and_packages_as_few_as_can_be() {
        for (size, packages, commands) in [(30_000, 1, 124), (100_000, 2, 409), (1_000_000, 16, 16 * 255 + 1)] {
            let application = Application::new(size).expect("an application");
            assert_eq!((application.packages.len(), application.count), (packages, commands), "{size}");
            let batch = Batch::parse(&application.batch).expect("a batch");
            assert_eq!(batch.recovery_points().len(), packages + 1, "each load, and the install");
            let blocks = batch.commands().filter(|command| command.apdu.ins == 0xE8);
            let data: usize = blocks.map(|command| command.apdu.data.len()).sum();
            assert_eq!(data, size + 4 * packages, "load file data, and a tag with a length for each");
        }
    }
}
