//! Batches of all sizes.

use anyhow::Result;
use smcard_batch::cap::CapFile;
use smcard_batch::issue::{Blocks, IssuePlan, Recovery};
use smcard_batch::{Batch, BatchBuilder};
use smcard_fixtures::{library_cap, ndef_cap, wallet_cap};

fn of(cap: &[u8], blocks: Blocks, confirm: bool) -> Result<BatchBuilder> {
    let cap = CapFile::read(cap)?;
    let mut plan = IssuePlan::new(&cap);
    plan.blocks = blocks;
    plan.recovery = Recovery::Functions;
    plan.confirm = confirm;
    Ok(plan.install_all()?.build()?)
}

/// The NDEF application, about 2 KiB in blocks.
///
/// # Errors
/// A fixture is not what it should be.
pub fn small() -> Result<Vec<u8>> {
    Ok(of(&ndef_cap(), Blocks::default(), false)?.finish()?)
}

/// The same; the card asks for CONFIRM.
///
/// # Errors
/// As [`small`].
pub fn to_be_confirmed() -> Result<Vec<u8>> {
    Ok(of(&ndef_cap(), Blocks::default(), true)?.finish()?)
}

/// The same, and as its last command DELETE of what is not there: fails with 6A88.
///
/// # Errors
/// As [`small`].
pub fn failing() -> Result<Vec<u8>> {
    let mut builder = of(&ndef_cap(), Blocks::default(), false)?;
    builder.push_bytes(&[0x80, 0xE4, 0x00, 0x00, 0x09, 0x4F, 0x07, 0xA0, 0, 0, 0, 0x62, 0x01, 0x99])?;
    Ok(builder.finish()?)
}

/// The wallet, 60 KiB in blocks, two applets.
///
/// # Errors
/// As [`small`].
pub fn medium() -> Result<Vec<u8>> {
    Ok(of(&wallet_cap(), Blocks::default(), false)?.finish()?)
}

/// The library, 1 MiB by direct reference.
///
/// # Errors
/// As [`small`].
pub fn large() -> Result<Vec<u8>> {
    Ok(of(&library_cap(), Blocks::Direct, false)?.finish()?)
}

/// The number of commands.
///
/// # Errors
/// No batch.
pub fn commands(file: &[u8]) -> Result<u32> {
    Ok(u32::try_from(Batch::parse(file)?.commands().count())?)
}
