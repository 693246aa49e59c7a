//! The row of components: tag, size, contents.

use super::fault::{CapFault, CapReason};
use super::tag;

/// One component, its contents borrowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Component<'a> {
    /// Its tag, see [`tag`].
    pub tag: u8,
    /// Where its tag stands: bytes from the start of the load file data.
    pub offset: u32,
    /// What follows the size field (`info` in JCVM chapter 6).
    pub info: &'a [u8],
}

impl Component<'_> {
    /// Where [`Component::info`] begins: bytes from the start of the load file data.
    #[must_use]
    pub fn info_offset(&self) -> u32 {
        self.offset.saturating_add(1 + size_len(self.tag))
    }

    /// Bytes of [`Component::info`], as the size field says.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.info.len()).unwrap_or(u32::MAX)
    }
}

impl std::fmt::Debug for Component<'_> {
    /// Tag and lengths only: the contents of a load file are the issuer's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "component {} at {}, {} bytes", self.tag, self.offset, self.info.len())
    }
}

/// Bytes of the size field behind `tag`.
fn size_len(tag: u8) -> u32 {
    if tag == tag::STATIC_RESOURCES { 4 } else { 2 }
}

/// Walks concatenated components. After an error nothing follows.
#[derive(Clone)]
pub(super) struct Walk<'a> {
    rest: &'a [u8],
    at: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Walk { rest: data, at: 0 }
    }

    fn step(&mut self, tag: u8, behind: &'a [u8]) -> Result<Component<'a>, CapFault> {
        let cut = CapFault { component: Some(tag), offset: self.at, reason: CapReason::ComponentCut };
        if !matches!(tag, tag::HEADER..=tag::STATIC_RESOURCES | tag::CUSTOM..) {
            return Err(CapFault { component: None, reason: CapReason::UnknownTag, ..cut });
        }
        let (size, behind) = if tag == tag::STATIC_RESOURCES {
            let (size, behind) = behind.split_first_chunk().ok_or(cut)?;
            (u32::from_be_bytes(*size), behind)
        } else {
            let (size, behind) = behind.split_first_chunk().ok_or(cut)?;
            (u32::from(u16::from_be_bytes(*size)), behind)
        };
        let length = usize::try_from(size).map_err(|_| cut)?;
        let (info, rest) = behind.split_at_checked(length).ok_or(cut)?;
        let component = Component { tag, offset: self.at, info };
        self.at = component.info_offset().checked_add(size).ok_or(cut)?;
        self.rest = rest;
        Ok(component)
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Component<'a>, CapFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, behind) = self.rest.split_first()?;
        let step = self.step(tag, behind);
        if step.is_err() {
            self.rest = &[];
        }
        Some(step)
    }
}
