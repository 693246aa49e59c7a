//! What a card hangs on: the first argument of `smcardd`.

mod cable;

use crate::config::{Config, Emulated};
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
            recording: CommandRecorder::default(),
        })
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

    #[test]
    fn what_is_configured_wrongly_is_named() {
        let mut config = Config::default();
        config.emulated.profile = "odd".into();
        let error = Surroundings::new(&config, Arc::new(Recorder::new(1))).err().unwrap().to_string();
        assert!(error.contains("odd") && error.contains("standard"), "{error}");
    }
}
