//! Opens the emulated card of an image, and puts it on a bus.

use crate::options::Arguments;
use smcard_card::sd::{FileArea, Profile, SdOptions};
use smcard_card::{EmulatedCard, OpenOptions};
use smcard_link::{SdBus, SpiBus};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the cards of this slot behave.
#[derive(Clone, Debug)]
pub struct Behaviour {
    profile: Profile,
    /// Bytes of an open memory area that is new.
    area: u64,
    command_delay: Duration,
}

impl Behaviour {
    /// What the command line says.
    ///
    /// # Errors
    /// A profile that is not known. As text for the user.
    pub fn new(arguments: &Arguments) -> Result<Self, String> {
        let word = &arguments.profile;
        let profile = Profile::from_word(word).ok_or_else(|| {
            let known: Vec<_> = Profile::words().map(|(word, meaning)| format!("  {word}: {meaning}")).collect();
            format!("profile {word}: not known; known are\n{}", known.join("\n"))
        })?;
        let command_delay = Duration::from_millis(arguments.command_delay_ms);
        Ok(Behaviour { profile, area: u64::from(arguments.area_mib) << 20, command_delay })
    }

    /// The card of an image, on a native SD bus. The image is locked until the card is dropped; its open memory area lies
    /// in `IMAGE.area`, which is made where it is missing and keeps its size where it is not.
    ///
    /// # Errors
    /// The image is no card, or in use; the area cannot be used. As text for the user.
    pub fn open_sd(&self, image: &Path) -> Result<Box<dyn SdBus>, String> {
        let (card, options) = self.open(image)?;
        let card = card.into_sd(options).map_err(|error| format!("{}: {error}", image.display()))?;
        Ok(Box::new(card))
    }

    /// The card of an image, on an SPI bus; otherwise as [`Behaviour::open_sd`].
    ///
    /// # Errors
    /// As [`Behaviour::open_sd`].
    pub fn open_spi(&self, image: &Path) -> Result<Box<dyn SpiBus>, String> {
        let (card, options) = self.open(image)?;
        let card = card.into_spi(options).map_err(|error| format!("{}: {error}", image.display()))?;
        Ok(Box::new(card))
    }

    fn open(&self, image: &Path) -> Result<(EmulatedCard, SdOptions), String> {
        let options = OpenOptions { command_delay: self.command_delay, ..OpenOptions::default() };
        let card = EmulatedCard::open(image, options).map_err(|error| format!("{}: {error}", image.display()))?;
        let mut path = image.as_os_str().to_owned();
        path.push(".area");
        let path = PathBuf::from(path);
        let area = FileArea::open_or_create(&path, self.area);
        let area = area.map_err(|error| format!("open memory area {}: {error}", path.display()))?;
        Ok((card, SdOptions { profile: self.profile.clone(), ..SdOptions::new(Box::new(area)) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use smcard_card::CreateOptions;

    fn behaviour(words: &[&str]) -> Result<Behaviour, String> {
        let line = ["smcard-slot", "--socket", "/s", "--empty"].iter().chain(words);
        Behaviour::new(&Arguments::try_parse_from(line).unwrap())
    }

    #[test]
    fn an_image_is_locked_while_its_card_is_there_and_its_area_stays() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("card.img");
        EmulatedCard::create(&image, &CreateOptions { size: 1 << 20, ..CreateOptions::default() }).unwrap();
        let behaviour = behaviour(&["--area-mib", "1"]).unwrap();
        let card = behaviour.open_sd(&image).unwrap();
        assert!(behaviour.open_sd(&image).is_err_and(|why| why.contains("card.img")));
        drop(card);
        let area = folder.path().join("card.img.area");
        assert_eq!(area.metadata().unwrap().len(), 1 << 20);
        let larger = Behaviour { area: 2 << 20, ..behaviour };
        let mut card = larger.open_sd(&image).unwrap();
        assert!(card.is_present());
        assert_eq!(area.metadata().unwrap().len(), 1 << 20);
    }

    #[test]
    fn what_is_no_card_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("none.img");
        assert!(behaviour(&[]).unwrap().open_sd(&image).is_err_and(|why| why.contains("none.img")));
        std::fs::write(&image, [0; 4096]).unwrap();
        assert!(behaviour(&[]).unwrap().open_sd(&image).is_err_and(|why| why.contains("none.img")));
        let Err(why) = behaviour(&["--profile", "odd"]) else { panic!("a profile that is not known") };
        assert!(why.contains("odd") && why.contains("standard"), "{why}");
    }
}
