//! Opens the emulated cards.
use crate::options::Arguments;
use smcard_link::{SdBus, SpiBus};
use std::path::Path;

/// x
pub struct Behaviour;
impl Behaviour {
    /// x
    /// # Errors
    /// x
    pub fn new(_: &Arguments) -> Result<Self, String> {
        Ok(Behaviour)
    }
    /// x
    /// # Errors
    /// x
    pub fn open_sd(&self, path: &Path) -> Result<Box<dyn SdBus>, String> {
        Err(format!("{}: no SD front yet", path.display()))
    }
    /// x
    /// # Errors
    /// x
    pub fn open_spi(&self, path: &Path) -> Result<Box<dyn SpiBus>, String> {
        Err(format!("{}: no SD front yet", path.display()))
    }
}
