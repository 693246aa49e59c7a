//! The card's end of a secure channel, whichever protocol the key set calls for.

use super::{AuthenticateError, ChannelBroken, SecurityLevel, Unwrapped};
use crate::{scp02, scp03};
use smcard_batch::CommandApdu;
use zeroize::Zeroizing;

/// What INITIALIZE UPDATE leaves behind.
pub(crate) enum Handshake {
    Scp02(scp02::card::Handshake),
    Scp03(scp03::card::Handshake),
}

impl Handshake {
    pub(crate) fn key_version(&self) -> u8 {
        match self {
            Handshake::Scp02(handshake) => handshake.key_version(),
            Handshake::Scp03(handshake) => handshake.key_version(),
        }
    }

    /// True where the sequence counter goes on because a session was opened, not because one was asked for.
    pub(crate) fn counts_sessions(&self) -> bool {
        matches!(self, Handshake::Scp02(_))
    }

    /// Checks EXTERNAL AUTHENTICATE; the handshake is spent in any case.
    pub(crate) fn authenticate(self, command: &CommandApdu<'_>) -> Result<Channel, AuthenticateError> {
        match self {
            Handshake::Scp02(handshake) => handshake.authenticate(command).map(Channel::Scp02),
            Handshake::Scp03(handshake) => handshake.authenticate(command).map(Channel::Scp03),
        }
    }
}

/// An open channel.
pub(crate) enum Channel {
    Scp02(scp02::card::Channel),
    Scp03(scp03::card::Channel),
}

impl Channel {
    pub(crate) fn level(&self) -> SecurityLevel {
        match self {
            Channel::Scp02(channel) => channel.level(),
            Channel::Scp03(channel) => channel.level(),
        }
    }

    pub(crate) fn key_version(&self) -> u8 {
        match self {
            Channel::Scp02(channel) => channel.key_version(),
            Channel::Scp03(channel) => channel.key_version(),
        }
    }

    /// Takes the protection off a command.
    pub(crate) fn unwrap(&mut self, command: &CommandApdu<'_>) -> Result<Unwrapped, ChannelBroken> {
        match self {
            Channel::Scp02(channel) => channel.unwrap(command),
            Channel::Scp03(channel) => channel.unwrap(command),
        }
    }

    /// Puts the protection on a response.
    pub(crate) fn wrap(&mut self, data: &mut Vec<u8>, sw: u16) {
        match self {
            Channel::Scp02(_) => {}
            Channel::Scp03(channel) => channel.wrap(data, sw),
        }
    }

    /// How many bytes of response data in the clear fit into `room` with their protection.
    pub(crate) fn response_room(&self, room: usize) -> usize {
        match self {
            Channel::Scp02(_) => room,
            Channel::Scp03(channel) => channel.response_room(room),
        }
    }

    /// Takes the encryption under the data encryption key off a key; `None` where the length is none of the cipher's.
    pub(crate) fn decrypt_key(&self, encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Channel::Scp02(channel) => channel.decrypt_key(encrypted),
            Channel::Scp03(channel) => channel.decrypt_key(encrypted),
        }
    }
}
