//! What a card hangs on: the first argument of `smcardd`.

mod cable;

use crate::config::{Config, Emulated};
use crate::pcsc::Ports;
use crate::presence::{Alarm, Removable};
use smcard_card::sd::PlugError;
use smcard_card::{CommandRecorder, CreateOptions, EmulatedCard, ImageError};
use smcard_link::assd::OpenError;
use smcard_link::mmc::DeviceError;
use smcard_link::quirks::QuirkTable;
use smcard_link::sd::Cid;
use smcard_link::{Recorder, SecureCard, Trace};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Why there is no card.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A word before the colon that names no cable.
    #[error(
        "source {0}: not known; a card is spi:/dev/spidevB.C, mmc:/dev/mmcblkN, or emulated:, emulated-spi: or \
        emulated-mmc: with /path/card.img"
    )]
    Unknown(String),
    /// The image cannot be used.
    #[error("card image {}: {source}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// The open memory of an emulated card.
    #[error("open memory area {}: {source}", path.display())]
    Area {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An emulated card does not go onto its bus.
    #[error("[emulated] {0}")]
    Plug(#[from] PlugError),
    /// `[emulated] profile`
    #[error("[emulated] profile: {0:?} is none; there are {1}")]
    Profile(String, String),
    /// `[card]`
    #[error("{0}")]
    Options(String),
    /// `[pcsc]` with a card on a wire.
    #[error(
        "[pcsc]: the card at {} has no interface but this wire; programs that speak PC/SC can be given an emulated \
        card alone (or put the card into a reader)",
        .0.display()
    )]
    OneInterface(PathBuf),
    /// The device of an SPI bus cannot be opened; the text names it.
    #[error("{0}")]
    Spidev(io::Error),
    /// The device of a slot cannot be opened.
    #[error(transparent)]
    Slot(#[from] DeviceError),
    /// No card, or none that can be used.
    #[error("{device}: {source}")]
    Open {
        /// What it hangs on.
        device: String,
        /// Why.
        source: OpenError,
    },
}

/// A source, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `emulated:PATH`, `emulated-spi:PATH`, `emulated-mmc:PATH`
    Emulated(Cable, PathBuf),
    /// `spi:/dev/spidevB.C`
    Spi(PathBuf),
    /// `mmc:/dev/mmcblkN`
    Mmc(PathBuf),
}

/// How an emulated card is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cable {
    /// By function calls.
    Direct,
    /// By its SPI interface.
    Spi,
    /// By the SD bus, with a stand-in for the kernel.
    Mmc,
}

/// What is known of cards before one is opened.
#[derive(Clone)]
pub struct Surroundings {
    /// An emulated one.
    emulated: Emulated,
    expected: Option<Cid>,
    quirks: QuirkTable,
    trace: Trace,
    /// Where readers find the second interface of an emulated card.
    ports: Option<Ports>,
    /// The same for every card that is opened: a recording outlasts a card that is taken out.
    recording: CommandRecorder,
}

impl Surroundings {
    /// As it is configured; what crosses the wire goes to `recorder`.
    ///
    /// # Errors
    /// [`SourceError::Options`], [`SourceError::Profile`].
    pub fn new(config: &Config, recorder: Arc<Recorder>) -> Result<Self, SourceError> {
        cable::profile(&config.emulated)?;
        Ok(Surroundings {
            emulated: config.emulated.clone(),
            expected: config.card.cid,
            quirks: config.card.table().map_err(SourceError::Options)?,
            trace: Trace::new(recorder),
            ports: None,
            recording: CommandRecorder::default(),
        })
    }

    /// Readers find the card's second interface in these ports.
    #[must_use]
    pub fn with_ports(self, ports: Ports) -> Self {
        Surroundings { ports: Some(ports), ..self }
    }

    /// What records the commands of this card, where it is an emulated one and the configuration allows it.
    #[must_use]
    pub fn recording(&self, source: &Source) -> Option<CommandRecorder> {
        (self.emulated.record && matches!(source, Source::Emulated(..))).then(|| self.recording.clone())
    }
}

impl Source {
    /// Reads a source.
    ///
    /// # Errors
    /// [`SourceError::Unknown`].
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let unknown = || SourceError::Unknown(text.to_owned());
        let (cable, path) = text.split_once(':').filter(|(_, path)| !path.is_empty()).ok_or_else(unknown)?;
        // Whole, because a daemon in the background has another working directory.
        let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        match cable {
            "emulated" => Ok(Source::Emulated(Cable::Direct, path)),
            "emulated-spi" => Ok(Source::Emulated(Cable::Spi, path)),
            "emulated-mmc" => Ok(Source::Emulated(Cable::Mmc, path)),
            "spi" => Ok(Source::Spi(path)),
            "mmc" => Ok(Source::Mmc(path)),
            _ => Err(unknown()),
        }
    }

    /// True where the card's factory keys are the well-known test keys.
    #[must_use]
    pub fn has_test_keys(&self) -> bool {
        matches!(self, Source::Emulated(..))
    }

    /// That the card has a second interface.
    ///
    /// # Errors
    /// [`SourceError::OneInterface`].
    pub fn needs_second_interface(&self) -> Result<(), SourceError> {
        match self {
            Source::Emulated(..) => Ok(()),
            Source::Spi(path) | Source::Mmc(path) => Err(SourceError::OneInterface(path.clone())),
        }
    }

    /// Switches the card on, or finds it. The alarm is told when it is taken out.
    ///
    /// # Errors
    /// No card, one in use, or not one that can be used.
    pub fn open(&self, known: &Surroundings, alarm: &Alarm) -> Result<Box<dyn SecureCard>, SourceError> {
        let (card, place) = match self {
            Source::Emulated(cable, path) => (cable::emulated(*cable, path, known)?, path),
            Source::Spi(path) => (cable::spi(path, known)?, path),
            Source::Mmc(path) => (cable::mmc(path, known)?, path),
        };
        let found = Cid(card.properties().cid);
        match known.expected {
            Some(expected) if expected.0[..15] != found.0[..15] => Err(SourceError::Open {
                device: card.properties().source.clone(),
                source: OpenError::WrongCard { found, expected },
            }),
            _ => Ok(Box::new(Removable::new(card, place, Arc::clone(alarm)))),
        }
    }
}

/// Makes the image of a new emulated card.
///
/// # Errors
/// The file exists, the size is out of bounds, or it cannot be written.
pub fn create(path: &Path, options: &CreateOptions) -> Result<(), SourceError> {
    EmulatedCard::create(path, options).map_err(|source| SourceError::Image { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_names_its_cable() {
        let emulated = |cable| Source::Emulated(cable, "/a:b".into());
        assert_eq!(Source::parse("emulated:/a:b").unwrap(), emulated(Cable::Direct));
        assert_eq!(Source::parse("emulated-spi:/a:b").unwrap(), emulated(Cable::Spi));
        assert_eq!(Source::parse("emulated-mmc:/a:b").unwrap(), emulated(Cable::Mmc));
        assert_eq!(Source::parse("spi:/dev/spidev0.0").unwrap(), Source::Spi("/dev/spidev0.0".into()));
        assert_eq!(Source::parse("mmc:/dev/mmcblk0").unwrap(), Source::Mmc("/dev/mmcblk0".into()));
        for bad in ["", "emulated", "emulated:", "/dev/mmcblk0", "usb:1", "spi:"] {
            assert!(matches!(Source::parse(bad), Err(SourceError::Unknown(_))), "{bad}");
        }
    }

    #[test]
    fn another_card_than_the_one_expected_is_refused_on_every_cable() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("card.img");
        create(&image, &CreateOptions { size: 1 << 20, ..CreateOptions::default() }).unwrap();
        let mut config = Config::default();
        config.emulated.area_mib = 1;
        let alarm: Alarm = Arc::new(|| {});
        for cable in [Cable::Direct, Cable::Spi, Cable::Mmc] {
            let source = Source::Emulated(cable, image.clone());
            config.card.cid = None;
            let known = Surroundings::new(&config, Arc::new(Recorder::new(100))).unwrap();
            let cid = source.open(&known, &alarm).unwrap().properties().cid;
            config.card.cid = Some(Cid(cid));
            let known = Surroundings::new(&config, Arc::new(Recorder::new(100))).unwrap();
            assert!(source.open(&known, &alarm).is_ok());
            config.card.cid = Some(Cid([7; 16]));
            let known = Surroundings::new(&config, Arc::new(Recorder::new(100))).unwrap();
            let error = source.open(&known, &alarm).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("another card") && error.contains("0707"), "{error}");
        }
    }

    /// The card of every profile is used without a word of configuration, or refused with the reason; one profile needs an
    /// option, as `docs/ASSD.md` says.
    #[test]
    fn a_card_of_every_profile_answers_or_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("card.img");
        create(&image, &CreateOptions { size: 1 << 20, ..CreateOptions::default() }).unwrap();
        let alarm: Alarm = Arc::new(|| {});
        for (profile, _) in smcard_card::sd::Profile::words() {
            for cable in [Cable::Spi, Cable::Mmc] {
                let mut config = Config::default();
                (config.emulated.area_mib, config.emulated.profile) = (1, profile.to_owned());
                if (profile, cable) == ("token-fc", Cable::Spi) {
                    config.card.quirks.0.push(("write_token".into(), "FC".into()));
                }
                let known = Surroundings::new(&config, Arc::new(Recorder::new(100))).unwrap();
                let opened = Source::Emulated(cable, image.clone()).open(&known, &alarm);
                let refusal = match profile {
                    "locked" => Some("locked with a password"),
                    "no-secure" => Some("no secure command set"),
                    "echo" => Some("does not answer it"),
                    _ => None,
                };
                match (opened, refusal) {
                    (Ok(mut card), None) => {
                        // A mode that is lost all the time may take an answer with it; asking again is harmless here.
                        let mut asked = (0..20).map(|_| card.transmit(&[0x80, 0xCA, 0xDF, 0x74, 0x00]));
                        let answer = asked.find_map(Result::ok).unwrap_or_else(|| panic!("{profile} {cable:?}"));
                        assert_eq!(answer.sw, 0x9000, "{profile} {cable:?}");
                    }
                    (Err(error), Some(reason)) => {
                        assert!(error.to_string().contains(reason), "{profile} {cable:?}: {error}");
                    }
                    (Ok(_), Some(_)) => panic!("{profile} {cable:?} was opened"),
                    (Err(error), None) => panic!("{profile} {cable:?}: {error}"),
                }
            }
        }
    }

    #[test]
    fn only_an_emulated_card_has_a_second_interface() {
        for source in ["emulated:/a", "emulated-spi:/a", "emulated-mmc:/a"] {
            assert!(Source::parse(source).unwrap().needs_second_interface().is_ok());
        }
        for source in ["spi:/dev/spidev0.0", "mmc:/dev/mmcblk0"] {
            let error = Source::parse(source).unwrap().needs_second_interface().unwrap_err().to_string();
            assert!(error.starts_with("[pcsc]") && error.contains(&source[4..]), "{error}");
        }
    }

    #[test]
    fn every_emulated_card_is_in_the_ports() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("card.img");
        create(&image, &CreateOptions { size: 1 << 20, ..CreateOptions::default() }).unwrap();
        let mut config = Config::default();
        config.emulated.area_mib = 1;
        let alarm: Alarm = Arc::new(|| {});
        for cable in [Cable::Direct, Cable::Spi, Cable::Mmc] {
            let ports = Ports::default();
            let known = Surroundings::new(&config, Arc::new(Recorder::new(100))).unwrap().with_ports(ports.clone());
            let card = Source::Emulated(cable, image.clone()).open(&known, &alarm).unwrap();
            let (one, two) = (ports.vpcd.card().unwrap(), ports.socket.card().unwrap());
            // Opening may have reset the card.
            one.power_up().unwrap();
            two.power_up().unwrap();
            assert_eq!(one.transmit(&[0x00, 0xA4, 0x04, 0x00, 0x00]).unwrap().sw, 0x9000, "{cable:?}");
            assert_eq!(two.transmit(&[0x80, 0xCA, 0x00, 0x66, 0x00]).unwrap().sw, 0x9000, "{cable:?}");
            drop(card);
            assert!(ports.vpcd.card().is_none());
            drop((one, two));
        }
    }

    #[test]
    fn what_is_configured_wrongly_is_named() {
        let mut config = Config::default();
        config.emulated.profile = "odd".into();
        let error = Surroundings::new(&config, Arc::new(Recorder::new(1))).err().unwrap().to_string();
        assert!(error.contains("odd") && error.contains("standard"), "{error}");
    }
}
