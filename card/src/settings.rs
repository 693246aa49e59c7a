//! What is fixed when a card is made, and the records that hold it.

use crate::memory::{Kind, Memory, Reader, Writer};
use crate::scp::keyset::KeySet;
use crate::scp02;
use crate::scp03::Options;
use smcard_flash::{Changes, Record};
use smcard_link::{PrivilegeKind, RecoveryKind};

/// Version of the card's records in the image. An image of another version is refused, never converted in silence.
pub(crate) const CARD_VERSION: u16 = 1;

/// What is fixed when a card is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    pub(crate) recovery: RecoveryKind,
    pub(crate) privilege: PrivilegeKind,
    pub(crate) options: Options,
    /// For key sets of DES keys.
    pub(crate) scp02: scp02::Options,
    /// Key diversification data of INITIALIZE UPDATE.
    pub(crate) diversification: [u8; 10],
}

/// Life cycle of the card (GlobalPlatform 2.3.1 section 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum LifeCycle {
    /// Ready for content.
    OpReady = 0x01,
    /// Initialized.
    Initialized = 0x07,
    /// In the field.
    Secured = 0x0F,
    /// Locked: only the card manager answers, no content can change.
    CardLocked = 0x7F,
    /// The end: nothing but GET DATA works.
    Terminated = 0xFF,
}

impl LifeCycle {
    /// The state with this coding (GlobalPlatform 2.3.1 table 11-6).
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => LifeCycle::OpReady,
            0x07 => LifeCycle::Initialized,
            0x0F => LifeCycle::Secured,
            0x7F => LifeCycle::CardLocked,
            0xFF => LifeCycle::Terminated,
            _ => return None,
        })
    }

    /// Whether SET STATUS may go from this state to `next` (section 5.1.1: forwards, and back from locked to secured).
    #[must_use]
    pub fn may_become(self, next: LifeCycle) -> bool {
        use LifeCycle::{CardLocked, Initialized, OpReady, Secured, Terminated};
        matches!(
            (self, next),
            (OpReady, Initialized)
                | (OpReady | Initialized | CardLocked, Secured)
                | (Secured, CardLocked)
                | (OpReady | Initialized | Secured | CardLocked, Terminated)
        )
    }
}

/// The life cycle state of the card. What an unfinished or unconfirmed issue has made of it counts only for that issue.
pub(crate) fn life_cycle(memory: &Memory) -> LifeCycle {
    let state = memory.settled(Kind::LifeCycle.key(0)).and_then(|bytes| bytes.first().copied());
    state.and_then(LifeCycle::from_byte).unwrap_or(LifeCycle::Terminated)
}

impl Settings {
    /// The records of a new card: settings, life cycle OP_READY, key sets by version, their sequence counters at zero.
    pub(crate) fn factory(&self, keys: &[(u8, KeySet)]) -> Changes {
        let mut changes = Changes::new();
        let mut put = |key, bytes| changes.put(key, Record { bytes, extent: None });
        let recovery = match self.recovery {
            RecoveryKind::Restart => 0,
            RecoveryKind::Command => 1,
            RecoveryKind::Function => 2,
        };
        let privilege = match self.privilege {
            PrivilegeKind::Auto => 0,
            PrivilegeKind::Hold => 1,
        };
        let settings = Writer::new().u16(CARD_VERSION).u8(recovery).u8(privilege).u8(self.options.byte());
        put(Kind::Settings.key(0), settings.raw(&self.diversification).finish());
        put(Kind::LifeCycle.key(0), vec![LifeCycle::OpReady as u8]);
        if self.scp02 != scp02::Options::PSEUDO_RANDOM {
            put(Kind::Settings.key(1), vec![self.scp02.byte()]);
        }
        for (version, keys) in keys {
            changes.put(Kind::Keys.key(u32::from(*version)), keys.record());
            let sequence = Record { bytes: vec![0; 3], extent: None };
            changes.put(Kind::Sequence.key(u32::from(*version)), sequence);
        }
        changes
    }

    /// Reads them back; the error says what is wrong with the image.
    pub(crate) fn load(memory: &Memory) -> Result<Self, String> {
        let record = memory
            .get(Kind::Settings.key(0))
            .ok_or("the image holds no card settings: it was not made by `smcardd create`")?;
        let mut reader = Reader::new(&record.bytes);
        let version = reader.u16().ok_or("the card settings are damaged")?;
        if version != CARD_VERSION {
            return Err(format!("card version {version} is not {CARD_VERSION}, the only one this program knows"));
        }
        let scp02 = match memory.get(Kind::Settings.key(1)).map(|record| record.bytes.as_slice()) {
            None => Some(scp02::Options::PSEUDO_RANDOM),
            Some([byte]) => scp02::Options::from_byte(*byte),
            Some(_) => None,
        };
        let settings = scp02.and_then(|scp02| Self::read(reader, scp02));
        settings.ok_or_else(|| "the card settings are damaged".to_owned())
    }

    fn read(mut reader: Reader<'_>, scp02: scp02::Options) -> Option<Self> {
        let recovery = match reader.u8()? {
            0 => RecoveryKind::Restart,
            1 => RecoveryKind::Command,
            2 => RecoveryKind::Function,
            _ => return None,
        };
        let privilege = match reader.u8()? {
            0 => PrivilegeKind::Auto,
            1 => PrivilegeKind::Hold,
            _ => return None,
        };
        let options = Options::from_byte(reader.u8()?)?;
        let diversification = reader.array()?;
        reader.end()?;
        Some(Settings { recovery, privilege, options, scp02, diversification })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GlobalPlatform 2.3.1 figure 5-1.
    #[test]
    fn the_life_cycle_goes_forwards_and_back_only_from_locked() {
        use LifeCycle::*;
        let all = [OpReady, Initialized, Secured, CardLocked, Terminated];
        let allowed: Vec<_> =
            all.iter().flat_map(|a| all.iter().filter(|b| a.may_become(**b)).map(|b| (*a, *b))).collect();
        assert_eq!(
            allowed,
            [
                (OpReady, Initialized),
                (OpReady, Secured),
                (OpReady, Terminated),
                (Initialized, Secured),
                (Initialized, Terminated),
                (Secured, CardLocked),
                (Secured, Terminated),
                (CardLocked, Secured),
                (CardLocked, Terminated),
            ]
        );
    }
}
