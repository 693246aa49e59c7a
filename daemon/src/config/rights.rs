//! `[rights]`: who may do what.

use super::{Config, ConfigError};
use crate::options::MountOptions;
use crate::tree::Rights;
use serde::{Deserialize, Deserializer, de};

/// `[rights]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RightsConfig {
    /// Group that may write into `issue/`.
    pub preparer_group: Option<String>,
    /// Group that may open `control` for writing.
    pub operator_group: Option<String>,
    /// Mode of `issue/`.
    #[serde(deserialize_with = "mode")]
    pub issue_mode: u16,
    /// Mode of batches.
    #[serde(deserialize_with = "mode")]
    pub batch_mode: u16,
    /// Mode of `control`.
    #[serde(deserialize_with = "mode")]
    pub control_mode: u16,
    /// Others than who mounted it may come in.
    pub allow_other: Option<bool>,
}

impl Default for RightsConfig {
    fn default() -> Self {
        RightsConfig {
            preparer_group: None,
            operator_group: None,
            issue_mode: 0o770,
            batch_mode: 0o220,
            control_mode: 0o660,
            allow_other: None,
        }
    }
}

impl Config {
    /// Ownership and modes, for a daemon run by `uid` and `gid`.
    ///
    /// # Errors
    /// A group that does not exist.
    pub fn rights(&self, options: &MountOptions, uid: u32, gid: u32) -> Result<Rights, ConfigError> {
        let gid = options.gid.unwrap_or(gid);
        let group = |field, name: &Option<String>| match name {
            None => Ok(gid),
            Some(name) => {
                group_id(name).ok_or_else(|| ConfigError::Group { section: "rights", field, name: name.clone() })
            }
        };
        Ok(Rights {
            uid: options.uid.unwrap_or(uid),
            gid,
            preparer_gid: group("preparer_group", &self.rights.preparer_group)?,
            operator_gid: group("operator_group", &self.rights.operator_group)?,
            issue_mode: self.rights.issue_mode,
            batch_mode: self.rights.batch_mode,
            control_mode: self.rights.control_mode,
        })
    }

    /// Whether others than who mounted it may come in. Groups make no sense without.
    #[must_use]
    pub fn allow_other(&self, options: &MountOptions) -> bool {
        let groups = self.rights.preparer_group.is_some() || self.rights.operator_group.is_some();
        options.allow_other || self.rights.allow_other.unwrap_or(groups)
    }
}

pub(super) fn group_id(name: &str) -> Option<u32> {
    if let Ok(gid) = name.parse() {
        return Some(gid);
    }
    nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}

pub(super) fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mode = u16::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &"an octal mode such as \"0770\""))
}
