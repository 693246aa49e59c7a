//! The seam: what a terminal can ask of a card.

use crate::{Answer, Counters, LinkError};
use std::sync::Arc;

/// Longest file name in the card's file management table, in bytes.
pub const NAME_MAX: usize = 255;

/// What a card does with a broken issue after the power went (system S7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecoveryKind {
    /// Start over: power-on wipes what the broken issue wrote (S7.4).
    #[default]
    Restart,
    /// Go on with the command during which the power failed (S7.5).
    Command,
    /// Go on at the nearest earlier recovery point (S7.6).
    Function,
}

/// How privileged mode is left (system S2, S3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PrivilegeKind {
    /// By the issuer itself, on success and on failure.
    #[default]
    Auto,
    /// Only by power-off, by selecting another application, or by selecting the card manager again.
    Hold,
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),* }) => {
        impl $type {
            /// The word for it in configuration, status files and `--json`.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($type::$variant => $word),* }
            }

            /// The inverse of `word`.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($type::$variant),)* _ => None }
            }
        }
    };
}
words!(RecoveryKind { Restart = "restart", Command = "command", Function = "function" });
words!(PrivilegeKind { Auto = "auto", Hold = "hold" });

/// What does not change while a card is in place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CardProperties {
    /// Card identification: the CID register of an SD card (16 bytes), or the image's identity for an emulated card.
    pub cid: [u8; 16],
    /// Version of the secure command set the card speaks, as `1.1` or `2.0`; `None` where there is no such wire.
    pub assd_version: Option<&'static str>,
    /// What the card does with a broken issue.
    pub recovery: RecoveryKind,
    /// How it leaves privileged mode.
    pub privilege: PrivilegeKind,
    /// True where a file goes into protected memory in one exchange.
    pub direct_write: bool,
    /// Longest command APDU that [`SecureCard::transmit`] takes, in bytes.
    pub apdu_max: usize,
    /// What the card hangs on, in words (for people): `emulated`, `spi /dev/spidev0.0`, ...
    pub source: String,
}

/// How a card stands, as far as the link can tell without an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LinkStatus {
    /// It would answer.
    Ready,
    /// Its outer interfaces are shut: it issues itself.
    Shut,
    /// It holds privileged mode after an issue: it would answer a SELECT and nothing else.
    Held,
    /// Its power is off.
    Off,
    /// Its medium has failed.
    Mute,
    /// There is no card.
    Gone,
}

/// A direct write in progress.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct WriteId(pub u32);

/// Switches the power of the card from another thread than the one that owns the link.
pub trait PowerSwitch: Send + Sync {
    /// Cuts the power. An exchange in progress ends with [`LinkError::PowerCut`] at the card's next step; the card stays
    /// off until [`SecureCard::reset`].
    fn cut(&self);
}

/// A secure memory card at the end of a cable.
///
/// One owner at a time: methods take `&mut self` and block until the card has answered or the time limit has passed.
pub trait SecureCard: Send {
    /// What does not change while the card is in place.
    fn properties(&self) -> &CardProperties;

    /// How the card stands now. Never waits, never an exchange.
    fn status(&self) -> LinkStatus;

    /// Sends one command APDU (ISO 7816-4, short or extended) and waits for the response. One exchange.
    ///
    /// # Errors
    /// Transport only; a status word is in the answer.
    fn transmit(&mut self, command: &[u8]) -> Result<Answer, LinkError>;

    /// Opens the direct write of a file of `length` bytes under `name` (1..=[`NAME_MAX`] bytes, no `/`, no zero byte).
    /// An existing file of that name is replaced when the write is committed. `Err(answer)` inside is the card's refusal:
    /// 6982 not authenticated, 6A84 no room, 6A80 bad name, 6985 too many open writes, 6A81 the card is
    /// locked or terminated.
    ///
    /// # Errors
    /// Transport only.
    fn write_open(&mut self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError>;

    /// Streams the next bytes of an open direct write. The card answers only the commit.
    ///
    /// # Errors
    /// Transport; [`LinkError::Write`] for an unknown `id` or bytes beyond the announced length.
    fn write_chunk(&mut self, id: WriteId, chunk: &[u8]) -> Result<(), LinkError>;

    /// Ends an open direct write: the card checks the file, enters it into its file management table and answers. One
    /// exchange for the whole file. On 9000 the data is the file's identifier (2 bytes, big-endian); on 6A80 it is the
    /// fault, encoded as `smcard_batch::Fault::encode` does (5 bytes), and nothing stays in the store; on 6700 fewer bytes
    /// came than announced.
    ///
    /// # Errors
    /// Transport only.
    fn write_commit(&mut self, id: WriteId) -> Result<Answer, LinkError>;

    /// Gives up an open direct write; the card forgets it. Unknown ids are ignored. Not an exchange.
    fn write_abort(&mut self, id: WriteId);

    /// Switches the power off and on again.
    ///
    /// # Errors
    /// [`LinkError::Gone`] where no card comes back, [`LinkError::Mute`] where its medium has failed.
    fn reset(&mut self) -> Result<(), LinkError>;

    /// Counters since the link was opened.
    fn counters(&self) -> Counters;

    /// A power switch for other threads, where the card has one (an emulated card has).
    fn power_switch(&self) -> Option<Arc<dyn PowerSwitch>>;
}
