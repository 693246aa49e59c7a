//! What a card hangs on: the first argument of `smcardd`.

use crate::config::Emulated;
use crate::presence::{Alarm, Removable};
use smcard_card::{CreateOptions, EmulatedCard, ImageError, OpenOptions, PowerFate};
use smcard_link::SecureCard;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;

/// Why there is no card.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A word before the colon that names no cable.
    #[error("source {0}: not known; an emulated card is emulated:/path/card.img")]
    Unknown(String),
    /// The image cannot be used.
    #[error("card image {}: {source}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
}

/// A source, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `emulated:PATH`
    Emulated(PathBuf),
}

impl Source {
    /// Reads a source.
    ///
    /// # Errors
    /// [`SourceError::Unknown`].
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        match text.split_once(':') {
            // Whole, because a daemon in the background has another working directory.
            Some(("emulated", path)) if !path.is_empty() => {
                Ok(Source::Emulated(std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))))
            }
            _ => Err(SourceError::Unknown(text.to_owned())),
        }
    }

    /// True where the card's factory keys are the well-known test keys.
    #[must_use]
    pub fn has_test_keys(&self) -> bool {
        matches!(self, Source::Emulated(_))
    }

    /// Switches the card on. The alarm is told when it is taken out.
    ///
    /// # Errors
    /// No card, or one in use.
    pub fn open(&self, emulated: &Emulated, alarm: &Alarm) -> Result<Box<dyn SecureCard>, SourceError> {
        let Source::Emulated(path) = self;
        let command_delay = Duration::from_millis(emulated.command_delay_ms);
        let power_fate = (!emulated.cut_at_commands.is_empty()).then(|| cuts(emulated.cut_at_commands.clone()));
        let options = OpenOptions { command_delay, power_fate, ..OpenOptions::default() };
        let card = EmulatedCard::open(path, options);
        let card = card.map_err(|source| SourceError::Image { path: path.clone(), source })?;
        Ok(Box::new(Removable::new(Box::new(card), path, Arc::clone(alarm))))
    }
}

/// A power that goes at these commands.
fn cuts(at: Vec<u64>) -> PowerFate {
    let given = AtomicU64::new(0);
    Box::new(move |_| {
        let number = given.fetch_add(1, Ordering::Relaxed) + 1;
        let goes = at.contains(&number);
        if goes {
            log::warn!("as configured, the power goes at command {number} since the mount");
        }
        goes
    })
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
    use smcard_batch::CommandApdu;

    #[test]
    fn the_power_goes_once_at_each_command_that_is_named() {
        let goes = cuts(vec![2, 3, 6]);
        let command = CommandApdu::new(0x80, 0xE2, 0, 0, &[]);
        let gone = [(); 8].map(|()| goes(&command));
        assert_eq!(gone, [false, true, true, false, false, true, false, false]);
    }

    #[test]
    fn a_source_names_its_cable() {
        assert_eq!(Source::parse("emulated:/a:b").unwrap(), Source::Emulated("/a:b".into()));
        for bad in ["", "emulated", "emulated:", "/dev/mmcblk0", "usb:1"] {
            assert!(matches!(Source::parse(bad), Err(SourceError::Unknown(_))), "{bad}");
        }
    }
}
