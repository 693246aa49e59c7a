//! The secure channel: one attempt to open it, never two by itself.

use super::sender::Sender;
use smcard_batch::StatusWord;
use smcard_card::scp03::{HostError, HostHandshake, KeySetKind, SecurityLevel, StaticKeys};
use smcard_link::LinkError;
use std::fmt;

/// The preparer's keys and how they are used.
pub struct KeyRing {
    keys: StaticKeys,
    version: u8,
    level: SecurityLevel,
}

/// What became of an attempt to open a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A channel is open.
    Opened,
    /// The card said no, or is another card than these keys are for. Not to be repeated without being asked.
    Refused {
        /// The card's status word; `None` where the daemon itself broke off because the card's cryptogram is wrong.
        sw: Option<StatusWord>,
        /// What happened and what to do.
        text: String,
    },
}

impl KeyRing {
    /// Keys with their version number on the card (0 = the card's first) and the security level of sessions.
    #[must_use]
    pub fn new(keys: StaticKeys, version: u8, level: SecurityLevel) -> Self {
        KeyRing { keys, version, level }
    }

    /// True for keys the whole world knows.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.keys.kind() == KeySetKind::Test
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing of version {:02X}, level {:02X}", self.version, self.level.p1())
    }
}

/// Opens a channel with the card manager: INITIALIZE UPDATE, EXTERNAL AUTHENTICATE. One attempt.
///
/// `level` and `version` stand for what the ring says where they are `None`.
///
/// # Errors
/// Transport only; that says nothing about the keys.
pub fn open(
    sender: &mut Sender,
    ring: &KeyRing,
    level: Option<SecurityLevel>,
    version: Option<u8>,
) -> Result<Attempt, LinkError> {
    let level = level.unwrap_or(ring.level);
    sender.close_channel();
    let mut challenge = [0; 8];
    getrandom::fill(&mut challenge).map_err(|error| LinkError::Io(std::io::Error::other(error.to_string())))?;

    let (handshake, command) = HostHandshake::begin(version.unwrap_or(ring.version), challenge);
    let answer = sender.plain(&command)?;
    if !answer.is_success() {
        return Ok(refused("INITIALIZE UPDATE", answer.sw));
    }
    let (channel, command) = match handshake.finish(&ring.keys, level, &answer.data) {
        Ok(pair) => pair,
        Err(error @ HostError::Cryptogram) => {
            return Ok(Attempt::Refused { sw: None, text: format!("{error}; check the keys in the configuration") });
        }
        Err(error) => return Ok(Attempt::Refused { sw: None, text: error.to_string() }),
    };
    let answer = sender.plain(&command)?;
    if !answer.is_success() {
        return Ok(refused("EXTERNAL AUTHENTICATE", answer.sw));
    }
    sender.open_channel(channel);
    Ok(Attempt::Opened)
}

fn refused(command: &str, sw: u16) -> Attempt {
    let sw = StatusWord(sw);
    let hint = match sw.0 {
        0x6A88 => "; the card has no keys of this version",
        0x6983 => "; the card takes no more attempts",
        0x6A86 => "; the card does not offer this security level",
        _ => "",
    };
    Attempt::Refused { sw: Some(sw), text: format!("{command} answered {sw} ({}){hint}", sw.meaning()) }
}
