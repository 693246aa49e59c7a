//! `[pcsc]`: the emulated card's second interface, for programs that speak PC/SC.

use super::rights::{group_id, mode};
use super::{Config, ConfigError};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `[pcsc]`; off unless one of the two ways is named.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PcscConfig {
    /// Where `vsmartcard-vpcd` waits for a card.
    pub vpcd: Option<SocketAddr>,
    /// Where `smcard-ifd` finds the card.
    pub socket: Option<PathBuf>,
    /// Group that may connect to the socket; the daemon's own unless named.
    pub group: Option<String>,
    /// Mode of the socket.
    #[serde(deserialize_with = "mode")]
    pub mode: u16,
}

impl Default for PcscConfig {
    fn default() -> Self {
        PcscConfig { vpcd: None, socket: None, group: None, mode: 0o660 }
    }
}

impl PcscConfig {
    /// True where the card is to be had over PC/SC.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.vpcd.is_some() || self.socket.is_some()
    }
}

impl Config {
    /// The group that may connect to the socket.
    ///
    /// # Errors
    /// A group that does not exist.
    pub fn pcsc_group(&self) -> Result<Option<u32>, ConfigError> {
        let Some(name) = &self.pcsc.group else { return Ok(None) };
        let missing = || ConfigError::Group { section: "pcsc", field: "group", name: name.clone() };
        group_id(name).map(Some).ok_or_else(missing)
    }
}
