//! What the secure channel protocols have in common: security levels, the card's end of a channel, stored key sets.
//!
//! The card manager works with one [`Channel`], whichever protocol is behind it: SCP03 where the key set holds AES keys,
//! SCP02 where it holds DES keys.

mod channel;
pub(crate) mod keyset;

pub(crate) use channel::{Channel, Handshake};

use smcard_batch::{CommandApdu, Form};

/// What protects commands and responses (GlobalPlatform 2.3.1 table 10-1; P1 of EXTERNAL AUTHENTICATE).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecurityLevel(u8);

impl SecurityLevel {
    /// Authenticated, nothing protected.
    pub const AUTHENTICATED: SecurityLevel = SecurityLevel(0x00);
    /// Commands carry a MAC.
    pub const C_MAC: SecurityLevel = SecurityLevel(0x01);
    /// Commands carry a MAC and are encrypted.
    pub const C_MAC_C_ENC: SecurityLevel = SecurityLevel(0x03);
    /// Commands and responses carry a MAC.
    pub const C_MAC_R_MAC: SecurityLevel = SecurityLevel(0x11);
    /// Commands carry a MAC and are encrypted, responses carry a MAC.
    pub const C_MAC_C_ENC_R_MAC: SecurityLevel = SecurityLevel(0x13);
    /// Commands and responses carry a MAC and are encrypted.
    pub const ALL: SecurityLevel = SecurityLevel(0x33);

    /// The level with this value of P1; `None` for combinations the specification does not name.
    #[must_use]
    pub fn from_p1(p1: u8) -> Option<Self> {
        matches!(p1, 0x00 | 0x01 | 0x03 | 0x11 | 0x13 | 0x33).then_some(SecurityLevel(p1))
    }

    /// The value of P1.
    #[must_use]
    pub fn p1(self) -> u8 {
        self.0
    }

    pub(crate) fn c_mac(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Whether this command carries protection, as it must at this level and at level 00 must not.
    ///
    /// # Errors
    /// It is the other way round: the channel is broken.
    pub(crate) fn demands_protection(self, command: &CommandApdu<'_>) -> Result<bool, ChannelBroken> {
        let protected = command.cla & 0x04 != 0;
        if protected == self.c_mac() { Ok(protected) } else { Err(ChannelBroken) }
    }

    pub(crate) fn c_enc(self) -> bool {
        self.0 & 0x02 != 0
    }

    pub(crate) fn r_mac(self) -> bool {
        self.0 & 0x10 != 0
    }

    pub(crate) fn r_enc(self) -> bool {
        self.0 & 0x20 != 0
    }
}

/// Why the card does not open a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthenticateError {
    /// The MAC or the format is wrong: 6982.
    Mac,
    /// The host cryptogram is wrong: 6300.
    Cryptogram,
    /// The security level is not one, or not with this implementation option: 6A86.
    Level,
}

/// The MAC, the format or the level of a command is wrong: 6982, and the channel is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelBroken;

/// A command without its protection, its data in a buffer of its own (the decryption buffer).
pub struct Unwrapped {
    cla: u8,
    ins: u8,
    p1: u8,
    p2: u8,
    le: Option<u32>,
    form: Form,
    data: zeroize::Zeroizing<Vec<u8>>,
}

impl Unwrapped {
    /// The command `secured`, its secure messaging bit off and `data` in the place of what it carries.
    pub(crate) fn new(secured: &CommandApdu<'_>, data: Vec<u8>) -> Self {
        let CommandApdu { cla, ins, p1, p2, le, form, .. } = *secured;
        Unwrapped { cla: cla & !0x04, ins, p1, p2, le, form, data: data.into() }
    }

    /// The command in the clear, secure messaging bit off.
    #[must_use]
    pub fn command(&self) -> CommandApdu<'_> {
        let Unwrapped { cla, ins, p1, p2, le, form, .. } = *self;
        CommandApdu { cla, ins, p1, p2, data: &self.data, le, form }
    }
}

/// Responses of these status words are protected: 9000 and warnings. Errors are not (Amendment D section 6.2.5).
pub(crate) fn protects(sw: u16) -> bool {
    matches!(sw >> 8, 0x90 | 0x62 | 0x63)
}
