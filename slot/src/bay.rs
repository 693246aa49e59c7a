//! A device with its place for a card: cards are opened, put in, pulled out.

use crate::control::Request;
use crate::device::Device;
use std::path::{Path, PathBuf};

/// A device with a place for a card.
pub trait Receptacle: Device {
    /// What fits in.
    type Card;

    /// Puts a card in. Whatever was in there is pulled out.
    fn insert(&mut self, card: Self::Card);

    /// Pulls the card out; its power is off. `false`: there was none.
    fn eject(&mut self) -> bool;
}

/// How a card is opened; the text is for whoever asked.
pub type Opener<C> = Box<dyn Fn(&Path) -> Result<C, String>>;

/// A device, and what is in it.
pub struct Bay<R: Receptacle> {
    device: R,
    open: Opener<R::Card>,
    image: Option<PathBuf>,
}

impl<R: Receptacle> Bay<R> {
    /// A device whose place is empty.
    pub fn new(device: R, open: Opener<R::Card>) -> Self {
        Bay { device, open, image: None }
    }

    /// The device.
    pub fn device(&mut self) -> &mut R {
        &mut self.device
    }

    /// Puts the card of an image in; the image is locked from now on.
    ///
    /// # Errors
    /// The image is no card or is in use, or there is a card already. As text for whoever asked.
    pub fn insert(&mut self, path: &Path) -> Result<(), String> {
        if let Some(image) = &self.image {
            return Err(format!("{} is in the slot: eject it first", image.display()));
        }
        let card = (self.open)(path)?;
        self.device.insert(card);
        self.image = Some(path.to_owned());
        log::info!("{} is in the slot", path.display());
        Ok(())
    }

    /// Pulls the card out, whatever it is doing; its image is free.
    ///
    /// # Errors
    /// There is none.
    pub fn eject(&mut self) -> Result<(), String> {
        let image = self.image.take().ok_or("the slot is empty")?;
        self.device.eject();
        log::info!("{} is out of the slot", image.display());
        Ok(())
    }

    /// Does what came over the control socket.
    ///
    /// # Errors
    /// See [`Bay::insert`] and [`Bay::eject`].
    pub fn perform(&mut self, request: &Request, machine: bool) -> Result<String, String> {
        match request {
            Request::Insert(path) => self.insert(path).map(|()| String::new()),
            Request::Eject => self.eject().map(|()| String::new()),
            Request::Status => {
                let card = self.image.as_ref().map_or("none".into(), |image| image.display().to_string());
                let machine = if machine { "connected" } else { "none" };
                Ok(format!("card={card}\nmachine={machine}"))
            }
        }
    }
}
