//! A medium in memory that can be looked at while a card holds it, and that a card can be given again.

use smcard_flash::{Medium, RamMedium};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files begin at a multiple of it.
const PAGE: usize = 4096;

/// A card's medium; every write goes to the copy that its [`Image`] shows as well.
pub struct Mirrored {
    medium: RamMedium,
    image: Image,
}

/// What a card has written so far.
#[derive(Clone)]
pub struct Image(Arc<Mutex<Vec<u8>>>);

impl Image {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Image(Arc::new(Mutex::new(bytes)))
    }

    /// A medium that holds them.
    #[must_use]
    pub fn medium(&self) -> Mirrored {
        Mirrored { medium: RamMedium::from_bytes(self.bytes().clone()), image: self.clone() }
    }

    /// The bytes.
    pub fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True where `content` stands there, from the beginning of a page on.
    #[must_use]
    pub fn holds(&self, content: &[u8]) -> bool {
        let bytes = self.bytes();
        (0..bytes.len()).step_by(PAGE).any(|at| bytes.get(at..).is_some_and(|rest| rest.starts_with(content)))
    }
}

impl Medium for Mirrored {
    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn bytes(&self) -> &[u8] {
        self.medium.bytes()
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.medium.write(offset, data)?;
        let mut bytes = self.image.bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(place) = start.checked_add(data.len()).and_then(|end| bytes.get_mut(start..end)) {
            place.copy_from_slice(data);
        }
        Ok(())
    }

    fn barrier(&mut self) -> io::Result<()> {
        self.medium.barrier()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_card_writes_is_seen_while_it_holds_the_medium() {
        let image = Image::new(vec![0; 3 * PAGE]);
        let mut medium = image.medium();
        medium.write(4096, &[1, 2, 3]).expect("inside");
        assert!(image.holds(&[1, 2, 3, 0]) && !image.holds(&[2, 3]));
        assert!(medium.write(3 * 4096 - 1, &[9, 9]).is_err());
        assert_eq!(image.medium().bytes(), medium.bytes(), "another card finds the same");
    }
}
