//! The Directory component (JCVM 6.5, compact form): how large every other component is.

use super::component::Component;
use super::cursor::Cursor;
use super::fault::{CapFault, CapReason};
use super::header::FormatVersion;
use super::tag;

/// Where a size in the Directory stands, and what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) size: u32,
    pub(super) offset: u32,
}

/// A parsed Directory.
#[derive(Clone)]
pub(super) struct Directory<'a> {
    sizes: Cursor<'a>,
    version: FormatVersion,
    pub(super) image_size: u16,
    pub(super) array_init_count: u16,
    pub(super) import_count: u8,
    pub(super) applet_count: u8,
    custom: Cursor<'a>,
}

impl<'a> Directory<'a> {
    pub(super) fn parse(component: &Component<'a>, version: FormatVersion) -> Result<Self, CapFault> {
        let mut cursor = Cursor::new(component.tag, component.info_offset(), component.info);
        let sizes = cursor.clone();
        cursor.take(match version {
            FormatVersion::V2_1 => 11 * 2,
            FormatVersion::V2_2 => 12 * 2,
            FormatVersion::V2_3 => 12 * 2 + 4,
        })?;
        let (image_size, array_init_count, _array_init_size) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
        let (import_count, applet_count, custom_count) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let custom = cursor.clone();
        let mut seen = 0_u128;
        for _ in 0..custom_count {
            let fault = cursor.fault(CapReason::CustomTag);
            let bit = cursor.u8()?.checked_sub(tag::CUSTOM).map(|index| 1_u128 << index);
            let bit = bit.filter(|bit| seen & bit == 0).ok_or(fault)?;
            seen |= bit;
            cursor.u16()?;
            cursor.aid()?;
        }
        cursor.finish()?;
        Ok(Directory { sizes, version, image_size, array_init_count, import_count, applet_count, custom })
    }

    /// What the Directory says of the component `tag`; `None` where it has no place for it.
    pub(super) fn entry(&self, tag: u8) -> Option<Entry> {
        match tag {
            tag::HEADER..=tag::DESCRIPTOR => self.numbered(tag),
            tag::DEBUG if self.version >= FormatVersion::V2_2 => self.numbered(tag),
            tag::STATIC_RESOURCES if self.version >= FormatVersion::V2_3 => {
                let mut cursor = self.sizes.clone();
                cursor.take(24).ok()?;
                let offset = cursor.at();
                Some(Entry { size: cursor.u32().ok()?, offset })
            }
            tag::CUSTOM.. => self.custom().find(|custom| custom.0 == tag).map(|custom| custom.1),
            _ => None,
        }
    }

    fn numbered(&self, tag: u8) -> Option<Entry> {
        let mut cursor = self.sizes.clone();
        cursor.take(usize::from(tag.checked_sub(1)?) * 2).ok()?;
        let offset = cursor.at();
        Some(Entry { size: u32::from(cursor.u16().ok()?), offset })
    }

    /// Tag, size and AID of the custom components.
    pub(super) fn custom(&self) -> impl Iterator<Item = (u8, Entry, &'a [u8])> + use<'a> {
        let mut cursor = self.custom.clone();
        std::iter::from_fn(move || {
            let offset = cursor.at();
            let (tag, size) = (cursor.u8().ok()?, cursor.u16().ok()?);
            Some((tag, Entry { size: u32::from(size), offset }, cursor.aid().ok()?))
        })
    }
}
