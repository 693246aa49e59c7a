//! Privileges of applications (GlobalPlatform 2.3.1 section 6.6): which this card grants, and in which combinations.
//!
//! Granted: card lock, card terminate, default selected (at most one application has it), CVM management, global lock.
//! Those of security domains are refused until the card has more than one security domain, and so is what this card could
//! not honour: a privilege is never taken without being served.

use super::Manager;
use crate::refusal::{Refusal, refuse};
use crate::registry::{self, Application};
use smcard_batch::StatusWord;
use smcard_batch::aid::Aid;

/// Names of all privileges, first byte first, highest bit first (table 6-1).
const NAMES: [&str; 24] = [
    "security domain",
    "DAP verification",
    "delegated management",
    "card lock",
    "card terminate",
    "default selected",
    "CVM management",
    "mandated DAP verification",
    "trusted path",
    "authorized management",
    "token management",
    "global delete",
    "global lock",
    "global registry",
    "final application",
    "global service",
    "receipt generation",
    "ciphered load file data block",
    "contactless activation",
    "contactless self-activation",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
];
/// Card lock, card terminate, default selected, CVM management; global lock.
const GRANTED: [u8; 3] = [0x1E, 0x08, 0x00];
/// Security domain and what only one can have: DAP, delegated management, mandated DAP; trusted path, authorized and token
/// management, global delete; receipts, ciphered load files.
const OF_SECURITY_DOMAINS: [u8; 3] = [0xE1, 0xF0, 0xC0];

/// One or three bytes of a privileges field; none at all stands for no privileges.
pub(super) fn read(field: &[u8]) -> Result<[u8; 3], StatusWord> {
    match *field {
        [] => Ok([0; 3]),
        [a] => Ok([a, 0, 0]),
        [a, b, c] => Ok([a, b, c]),
        _ => Err(StatusWord::WRONG_DATA),
    }
}

impl Manager {
    /// Whether application `aid` may have these privileges.
    ///
    /// # Errors
    /// 6A80 for a privilege that is not served, 6985 where another application has one that only one can have.
    pub(super) fn check_privileges(&self, aid: &Aid, privileges: [u8; 3]) -> Result<(), Refusal> {
        let wanted = u32::from_be_bytes([0, privileges[0], privileges[1], privileges[2]]);
        let [of_domains, granted] = [OF_SECURITY_DOMAINS, GRANTED].map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]));
        if let Some(name) = first_name(wanted & of_domains) {
            log::info!("INSTALL: {aid} wants the privilege {name}: this card has no security domain but its own");
            return refuse(StatusWord::WRONG_DATA);
        }
        if let Some(name) = first_name(wanted & !granted) {
            log::info!("INSTALL: {aid} wants the privilege {name}, which this card does not serve");
            return refuse(StatusWord::WRONG_DATA);
        }
        if privileges[0] & Application::DEFAULT_SELECTED == 0 {
            return Ok(());
        }
        let applications = registry::applications(&self.memory);
        let holder = applications.iter().find(|found| found.entry.is_default_selected() && found.entry.aid != *aid);
        if let Some(holder) = holder {
            log::info!("INSTALL: {} is the default selected application already", holder.entry.aid);
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        Ok(())
    }
}

/// The name of the highest privilege in a set of 24 bits.
fn first_name(set: u32) -> Option<&'static str> {
    let place = usize::try_from(set.leading_zeros()).ok()?.checked_sub(8)?;
    NAMES.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_the_names_of_the_specification() {
        assert_eq!(first_name(0), None);
        assert_eq!(first_name(0x80_0000), Some("security domain"));
        assert_eq!(first_name(0x04_0000), Some("default selected"));
        assert_eq!(first_name(0x00_1000), Some("global delete"));
        assert_eq!(first_name(0x00_0080), Some("receipt generation"));
        assert_eq!(first_name(0x00_0001), Some("reserved"));
    }
}
