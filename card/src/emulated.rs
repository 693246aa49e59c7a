//! The emulated card behind the link's [`SecureCard`] trait: a function call for a cable.

use crate::applet::{Resident, Runtime};
use crate::device::{Device, PowerOnError, RuntimeFactory};
use crate::interfaces::SecondInterface;
use crate::memory::Flash;
use crate::privilege::PowerFate;
use crate::recording::CommandRecorder;
use crate::scp::keyset::KeySet;
use crate::scp02;
use crate::scp03::{Options, StaticKeys, TEST_KEY_VERSION};
use crate::settings::Settings;
use smcard_flash::{CreateOptions as FlashOptions, Durability, MappedFile, Medium, Stats};
use smcard_link::{
    Answer, CardProperties, Counters, LinkError, LinkStatus, PowerSwitch, PrivilegeKind, RecoveryKind, SecureCard,
    WriteId,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest command APDU: header, extended Lc, 65 535 bytes, extended Le.
const APDU_MAX: usize = 4 + 3 + 65_535 + 2;
/// The shortest rest of a key set that has been tried too often.
const BACK_OFF: Duration = Duration::from_secs(1);

/// How a new card is made.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Bytes of the image.
    pub size: u64,
    /// What it does with a broken issue.
    pub recovery: RecoveryKind,
    /// How it leaves privileged mode.
    pub privilege: PrivilegeKind,
    /// Implementation option of its SCP03.
    pub scp03: Options,
    /// The factory's key set.
    pub keys: StaticKeys,
    /// Version number of that key set.
    pub key_version: u8,
    /// A second key set, for SCP02; INITIALIZE UPDATE with version 0 takes the lowest version there is.
    pub scp02: Option<Scp02Keys>,
    /// What tells it from every other: serial number (4 bytes) and key diversification data (10). `None` draws them at
    /// random; only tests that need the same image each time say more.
    pub individual: Option<[u8; 14]>,
}

/// A key set for SCP02 that a new card has from the factory.
#[derive(Clone, Debug)]
pub struct Scp02Keys {
    /// The keys.
    pub keys: scp02::StaticKeys,
    /// Version number of the key set; another than [`CreateOptions::key_version`].
    pub version: u8,
    /// Implementation option of the card's SCP02; key sets of DES keys that PUT KEY adds have it too.
    pub options: scp02::Options,
}

impl Default for CreateOptions {
    /// 64 MiB, recovery by function, self-releasing privileged mode, SCP03 with i=70, the well-known test keys.
    fn default() -> Self {
        CreateOptions {
            size: 64 << 20,
            recovery: RecoveryKind::Function,
            privilege: PrivilegeKind::Auto,
            scp03: Options::FULL,
            keys: StaticKeys::test(),
            key_version: TEST_KEY_VERSION,
            scp02: None,
            individual: None,
        }
    }
}

/// A source of random numbers: fills its argument, or says that it cannot.
pub type RandomSource = Arc<dyn Fn(&mut [u8]) -> bool + Send + Sync>;

/// How an emulated card behaves; nothing of it is kept in the image.
pub struct OpenOptions {
    /// Time that each command of an issue takes; zero is as fast as possible.
    pub command_delay: Duration,
    /// Where a simulation decides in which command of an issue the power goes; `None` is a card left in peace.
    pub power_fate: Option<PowerFate>,
    /// What runs the applications, made anew with each power-on.
    pub runtime: RuntimeFactory,
    /// The shortest time that a key set rests after too many failed authentications in a row; it doubles with each (see
    /// `docs/CARD.md`). Zero for tests that try many.
    pub back_off: Duration,
    /// Where the card's challenges come from; fills its argument, false where it cannot. Anything but the operating system's
    /// random numbers is for replaying recorded sessions.
    pub random: RandomSource,
    /// What records the commands of the interfaces; off until it is started.
    pub recorder: CommandRecorder,
    /// `None` only for comparisons: without barriers a power cut of the host loses what the card has acknowledged.
    pub durability: Durability,
}

impl Default for OpenOptions {
    fn default() -> Self {
        let runtime: RuntimeFactory = Box::new(|| Box::new(Resident::standard()) as Box<dyn Runtime>);
        OpenOptions {
            command_delay: Duration::ZERO,
            power_fate: None,
            runtime,
            back_off: BACK_OFF,
            random: Arc::new(|out| getrandom::fill(out).is_ok()),
            recorder: CommandRecorder::default(),
            durability: Durability::Barrier,
        }
    }
}

/// Why an image cannot be made or used. The image is as it was.
pub type ImageError = PowerOnError;

/// An emulated card, switched on. The image is locked for it until it is dropped.
pub struct EmulatedCard {
    device: Arc<Device>,
    properties: CardProperties,
    counters: Counters,
}

impl EmulatedCard {
    /// Makes the image of a new card at `path`, which must not exist.
    ///
    /// # Errors
    /// The path exists, the size is out of bounds, or the host cannot write it.
    pub fn create(path: &Path, options: &CreateOptions) -> Result<(), ImageError> {
        let medium = MappedFile::create(path, options.size)?;
        let made = Self::format(Box::new(medium), options).map(drop);
        if made.is_err() {
            // The file was made a moment ago by us; half a card helps nobody.
            let _ = std::fs::remove_file(path);
        }
        made
    }

    /// Makes a new card on any medium.
    ///
    /// # Errors
    /// As [`EmulatedCard::create`].
    pub fn format(
        medium: Box<dyn Medium + Send>,
        options: &CreateOptions,
    ) -> Result<Box<dyn Medium + Send>, ImageError> {
        let mut individual = options.individual.unwrap_or_default();
        if options.individual.is_none() {
            getrandom::fill(&mut individual)
                .map_err(|error| ImageError::Content(format!("no random numbers: {error}")))?;
        }
        let [s0, s1, s2, s3, diversification @ ..] = individual;
        let flash_options = FlashOptions { size: medium.len(), identity: cid([s0, s1, s2, s3]) };
        let mut flash = Flash::format(medium, &flash_options)?;
        let settings = Settings {
            recovery: options.recovery,
            privilege: options.privilege,
            options: options.scp03,
            scp02: options.scp02.as_ref().map_or(scp02::Options::PSEUDO_RANDOM, |more| more.options),
            diversification,
        };
        let mut keys = vec![(options.key_version, KeySet::aes(&options.keys))];
        if let Some(more) = &options.scp02 {
            if more.version == options.key_version {
                return Err(ImageError::Content(format!("two key sets of version {:02X}", more.version)));
            }
            keys.push((more.version, KeySet::des(&more.keys)));
        }
        flash.commit(settings.factory(&keys))?;
        Ok(flash.into_medium())
    }

    /// Opens the image at `path` and switches the card on.
    ///
    /// # Errors
    /// No image, one in use (the holder is named), damaged, of another version, or no card in it; it is as it was.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, ImageError> {
        let medium = MappedFile::open(path)?;
        Self::on_medium(Box::new(medium), format!("emulated {}", path.display()), options)
    }

    /// Switches on a card that lies on any medium; `source` says in words what it hangs on.
    ///
    /// # Errors
    /// As [`EmulatedCard::open`].
    pub fn on_medium(medium: Box<dyn Medium + Send>, source: String, options: OpenOptions) -> Result<Self, ImageError> {
        let mut flash = Flash::open(medium)?;
        flash.set_durability(options.durability);
        let identity = flash.identity();
        let device = Device::new(flash, options)?;
        let settings = device.settings().ok_or_else(|| ImageError::Content("the card did not come up".to_owned()))?;
        let properties = CardProperties {
            cid: identity,
            assd_version: None,
            recovery: settings.recovery,
            privilege: settings.privilege,
            direct_write: true,
            apdu_max: APDU_MAX,
            source,
        };
        Ok(EmulatedCard { device: Arc::new(device), properties, counters: Counters::default() })
    }

    /// A further outer interface, with a session of its own.
    #[must_use]
    pub fn second_interface(&self) -> SecondInterface {
        SecondInterface::new(&self.device)
    }

    /// What the card's flash did since power-on; `None` while the card is off or mute.
    #[must_use]
    pub fn flash_stats(&self) -> Option<Stats> {
        self.device.flash_stats()
    }

    /// The card without its plug, for another one.
    pub(crate) fn into_parts(self) -> (Arc<Device>, CardProperties) {
        (self.device, self.properties)
    }

    fn count(&mut self, sent: usize, received: usize) {
        self.counters.exchanges += 1;
        self.counters.bytes_sent += u64::try_from(sent).unwrap_or(u64::MAX);
        self.counters.bytes_received += u64::try_from(received).unwrap_or(u64::MAX);
    }
}

impl SecureCard for EmulatedCard {
    fn properties(&self) -> &CardProperties {
        &self.properties
    }

    fn status(&self) -> LinkStatus {
        self.device.status()
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        let answered = self.device.transmit(command);
        self.count(command.len(), answered.as_ref().map_or(0, |answer| answer.data.len() + 2));
        answered
    }

    fn write_open(&mut self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        self.device.write_open(name, length)
    }

    fn write_chunk(&mut self, id: WriteId, chunk: &[u8]) -> Result<(), LinkError> {
        self.counters.bytes_sent += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.device.write_chunk(id, chunk)
    }

    fn write_commit(&mut self, id: WriteId) -> Result<Answer, LinkError> {
        let answered = self.device.write_commit(id);
        self.count(0, answered.as_ref().map_or(0, |answer| answer.data.len() + 2));
        answered
    }

    fn write_abort(&mut self, id: WriteId) {
        self.device.write_abort(id);
    }

    fn reset(&mut self) -> Result<(), LinkError> {
        self.device.reset()
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn power_switch(&self) -> Option<Arc<dyn PowerSwitch>> {
        Some(Arc::clone(&self.device.power) as Arc<dyn PowerSwitch>)
    }
}

/// A CID register (SD Physical Layer Simplified Specification section 5.2): no manufacturer, product `SMCRD` 1.0 of
/// January 2026, with its CRC7.
fn cid(serial: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = serial;
    let mut cid = [0x00, b'S', b'M', b'S', b'M', b'C', b'R', b'D', 0x10, a, b, c, d, 0x01, 0xA1, 0x00];
    let crc = cid.iter().take(15).fold(0_u8, |crc, byte| {
        (0..8).rev().fold(crc, |crc, bit| {
            let carry = (crc >> 6 ^ byte >> bit) & 1;
            (crc << 1 & 0x7F) ^ (carry * 0x09)
        })
    });
    cid[15] = crc << 1 | 1;
    cid
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CRC7 of CMD0 with argument 0 is 4A (SD Physical Layer Simplified Specification section 4.5); the same fold
    /// over a CID whose CRC a card reader computed alike.
    #[test]
    fn identities_carry_their_checksum() {
        let cid = cid([0x12, 0x34, 0x56, 0x78]);
        assert_eq!(cid[15] & 1, 1);
        let mut register = 0_u8;
        for bit in cid[..15].iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
            let carry = register >> 6 & 1 ^ bit;
            register = register << 1 & 0x7F;
            if carry == 1 {
                register ^= 0b000_1001;
            }
        }
        assert_eq!(cid[15] >> 1, register);
    }
}
