//! From a CAP file to the commands that issue it (GlobalPlatform Card Specification 2.3.1, sections 11.5 and 11.6).
//!
//! INSTALL \[for load\], the load file by LOAD, and INSTALL \[for install and make selectable\] for each instance; in blocks
//! that any card takes, or as one LOAD in the direct form that only a batch knows.
//!
//! ```no_run
//! use smcard_batch::{cap::CapFile, issue::{Install, IssuePlan}};
//! let cap = CapFile::read(&std::fs::read("tag.cap")?)?;
//! let mut plan = IssuePlan::new(&cap);
//! plan.installs.push(Install::new("F0534D434152440101".parse()?, "D2760000850101".parse()?));
//! let batch = plan.build()?.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod install;
mod load;

pub use error::IssueError;
pub use install::{Install, Privileges};
pub use load::{BLOCKS_MAX, Blocks};

pub(crate) use install::check as check_installs;
pub(crate) use load::{commands as load_commands, load_file, push_ber_length, push_counted};

use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::build::{BatchBuilder, BuildError};
use crate::cap::{CapFile, Include};

/// Where an interrupted issue may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Recovery {
    /// Nowhere: the batch carries no recovery information.
    #[default]
    None,
    /// Before each function: the load as a whole, and each install.
    Functions,
    /// Before every command.
    Commands,
}

/// What a batch shall do with a CAP file.
#[derive(Clone, Debug)]
pub struct IssuePlan<'a> {
    /// The package to load.
    pub cap: &'a CapFile,
    /// Which of its optional components to load.
    pub include: Include,
    /// How the load file is cut into LOAD commands.
    pub blocks: Blocks,
    /// The security domain that the package shall belong to; `None` for the one that runs the batch.
    pub security_domain: Option<Aid>,
    /// The instances to make, in this order.
    pub installs: Vec<Install>,
    /// Which recovery points the batch shall name.
    pub recovery: Recovery,
    /// Whether the card shall want CONFIRM before the first use.
    pub confirm: bool,
}

impl<'a> IssuePlan<'a> {
    /// Loads `cap` in blocks of 247 bytes and installs nothing; change the fields to taste.
    #[must_use]
    pub fn new(cap: &'a CapFile) -> Self {
        IssuePlan {
            cap,
            include: Include::default(),
            blocks: Blocks::default(),
            security_domain: None,
            installs: Vec::new(),
            recovery: Recovery::None,
            confirm: false,
        }
    }

    /// An instance of every applet of the package under the applet's own AID, without privileges and parameters.
    ///
    /// # Errors
    /// None in practice, as with [`CapFile::load_file`].
    pub fn install_all(&mut self) -> Result<&mut Self, IssueError> {
        for applet in self.cap.load_file().map_err(IssueError::Cap)?.applets() {
            let aid = Aid::new(applet.aid).map_err(IssueError::Aid)?;
            self.installs.push(Install::new(aid, aid));
        }
        Ok(self)
    }

    /// The commands.
    ///
    /// # Errors
    /// A load file that needs more than 256 blocks, an instance that cannot be, or what does not fit one command.
    pub fn build(&self) -> Result<BatchBuilder, IssueError> {
        let file = self.cap.load_file().map_err(IssueError::Cap)?;
        let package = Aid::new(file.package().aid).map_err(IssueError::Aid)?;
        install::check(&self.installs, &package, &file)?;

        let mut batch = BatchBuilder::new();
        batch.confirm(self.confirm);
        if self.recovery != Recovery::None {
            batch.with_recovery();
        }
        let data = load::for_load(&package, self.security_domain.as_ref())?;
        self.push(&mut batch, &CommandApdu::new(0x80, 0xE6, 0x02, 0x00, &data).with_le(256), true)?;
        let load_file = load::load_file(&self.cap.load_file_data(self.include))?;
        let commands = load::commands(&load_file, self.blocks)?;
        for command in commands {
            self.push(&mut batch, &command, false)?;
        }
        for install in &self.installs {
            let data = install.data(&package)?;
            self.push(&mut batch, &CommandApdu::new(0x80, 0xE6, 0x0C, 0x00, &data).with_le(256), true)?;
        }
        Ok(batch)
    }

    fn push(&self, batch: &mut BatchBuilder, command: &CommandApdu<'_>, function: bool) -> Result<(), BuildError> {
        if self.recovery == Recovery::Commands || (function && self.recovery == Recovery::Functions) {
            batch.recovery_point();
        }
        batch.push(command)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
