//! Load file data: the components of a CAP file one behind the other, as LOAD brings them to a card.
//!
//! [`LoadFile::parse`] checks the frame: that every component is whole, that none is missing, doubled or unannounced,
//! that the Directory's sizes and counts are those of the components, that AIDs are AIDs, that install methods lie in
//! the Method component, that constant pool entries name imported packages, and that lists end where their components do.
//! Class and Method are not looked into: linking and verifying bytecode is for a virtual machine.
//!
//! # Contract
//!
//! * Arbitrary bytes are accepted without panic and without allocation; the views borrow from the data.
//! * Time is linear in the length of the data, apart from tables of at most 255 entries that are compared pairwise.
//! * The order of components is free (JCVM 6.3 only recommends one). Descriptor may be left out; Debug (never loaded) is refused.
//!   A custom component may be left out, since a card ignores those it does not know; one that is there must be listed in the
//!   Directory. Every other component is there exactly if the Directory gives it a size.
//! * Offsets are in bytes from the start of the data; multi-byte numbers are big-endian.
//!
//! Source: Java Card Virtual Machine Specification 3.1, chapter 6; formats 2.1, 2.2 and 2.3, compact form only.

mod component;
mod cursor;
mod directory;
mod fault;
mod header;
mod shape;
mod tables;
pub mod tag;

pub use component::Component;
pub use fault::{CapFault, CapReason};
pub use header::{Flags, FormatVersion, Package};
pub use tables::{Applet, Import};

use component::Walk;
use directory::Directory;
use header::Header;
use std::fmt;

/// Load file data whose frame has been checked. Borrows it, copies nothing.
#[derive(Clone)]
pub struct LoadFile<'a> {
    data: &'a [u8],
    header: Header<'a>,
    directory: Directory<'a>,
    import: Component<'a>,
    applet: Option<Component<'a>>,
}

/// The components by tag (0 stays empty), and which custom ones are there.
struct Found<'a> {
    numbered: [Option<Component<'a>>; 14],
    custom: u128,
    header: Option<Header<'a>>,
    end: u32,
}

impl<'a> Found<'a> {
    fn collect(data: &'a [u8]) -> Result<Self, CapFault> {
        let too_long = CapFault { component: None, offset: u32::MAX, reason: CapReason::TooLong };
        let end = u32::try_from(data.len()).map_err(|_| too_long)?;
        let mut found = Found { numbered: [None; 14], custom: 0, header: None, end };
        for component in Walk::new(data) {
            let component = component?;
            let fault = |reason| CapFault { component: Some(component.tag), offset: component.offset, reason };
            if component.tag == tag::DEBUG {
                return Err(fault(CapReason::Debug));
            }
            if let Some(index) = component.tag.checked_sub(tag::CUSTOM) {
                if found.custom & (1 << index) != 0 {
                    return Err(fault(CapReason::Duplicate));
                }
                found.custom |= 1 << index;
                continue;
            }
            let Some(place) = found.numbered.get_mut(usize::from(component.tag)) else {
                return Err(fault(CapReason::UnknownTag));
            };
            if place.replace(component).is_some() {
                return Err(fault(CapReason::Duplicate));
            }
            if component.info.is_empty() {
                return Err(fault(CapReason::Empty));
            }
            if component.tag == tag::HEADER {
                // At once: in the extended format the sizes that follow have another width.
                found.header = Some(Header::parse(&component)?);
            }
        }
        Ok(found)
    }

    fn get(&self, tag: u8) -> Option<Component<'a>> {
        self.numbered.get(usize::from(tag)).copied().flatten()
    }

    fn missing(&self, tag: u8) -> CapFault {
        CapFault { component: Some(tag), offset: self.end, reason: CapReason::Missing }
    }

    fn require(&self, tag: u8) -> Result<Component<'a>, CapFault> {
        self.get(tag).ok_or_else(|| self.missing(tag))
    }

    /// A component is there exactly if its flag is set.
    fn require_flagged(&self, tag: u8, flag: bool) -> Result<Option<Component<'a>>, CapFault> {
        match (self.get(tag), flag) {
            (Some(component), false) => {
                Err(CapFault { component: Some(tag), offset: component.offset, reason: CapReason::NotFlagged })
            }
            (None, true) => Err(self.missing(tag)),
            (found, _) => Ok(found),
        }
    }

    /// Every size in the Directory is that of its component; 0 where there is none.
    fn check_sizes(&self, data: &[u8], directory: &Directory<'_>) -> Result<(), CapFault> {
        for tag in tag::HEADER..=tag::STATIC_RESOURCES {
            let (found, entry) = (self.get(tag), directory.entry(tag));
            match (found, entry) {
                (Some(component), Some(entry)) if component.size() == entry.size => {}
                (Some(_), Some(entry)) => {
                    return Err(CapFault { component: Some(tag), offset: entry.offset, reason: CapReason::SizeTable });
                }
                (Some(Component { offset, .. }), None) => {
                    return Err(CapFault { component: Some(tag), offset, reason: CapReason::NotInVersion });
                }
                (None, Some(entry)) if entry.size != 0 && !matches!(tag, tag::DESCRIPTOR | tag::DEBUG) => {
                    return Err(self.missing(tag));
                }
                (None, _) => {}
            }
        }
        for component in custom(data) {
            let fault = |offset, reason| CapFault { component: Some(component.tag), offset, reason };
            match directory.entry(component.tag) {
                None => return Err(fault(component.offset, CapReason::CustomUnlisted)),
                Some(entry) if entry.size != component.size() => {
                    return Err(fault(entry.offset, CapReason::SizeTable));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

fn custom(data: &[u8]) -> impl Iterator<Item = Component<'_>> {
    Walk::new(data).map_while(Result::ok).filter(|component| component.tag >= tag::CUSTOM)
}

impl<'a> LoadFile<'a> {
    /// Checks load file data (what stands inside the tag C4 of a GlobalPlatform load file).
    ///
    /// # Errors
    /// The first fault with its component and its offset.
    pub fn parse(data: &'a [u8]) -> Result<Self, CapFault> {
        let found = Found::collect(data)?;
        let header = found.header.ok_or_else(|| found.missing(tag::HEADER))?;
        for tag in tag::REQUIRED {
            found.require(tag)?;
        }
        let directory = Directory::parse(&found.require(tag::DIRECTORY)?, header.version)?;
        let applet = found.require_flagged(tag::APPLET, header.flags.has_applets())?;
        let export = found.require_flagged(tag::EXPORT, header.flags.exports())?;
        found.check_sizes(data, &directory)?;

        let package = header.package.aid;
        let import = found.require(tag::IMPORT)?;
        tables::check_imports(&import, package, directory.import_count)?;
        if let Some(applet) = &applet {
            let method = found.require(tag::METHOD)?;
            tables::check_applets(applet, package, directory.applet_count, method.info)?;
        } else if directory.applet_count != 0 {
            return Err(CapFault { reason: CapReason::AppletCount, ..found.missing(tag::APPLET) });
        }
        shape::check_constant_pool(&found.require(tag::CONSTANT_POOL)?, directory.import_count)?;
        shape::check_ref_location(&found.require(tag::REF_LOCATION)?)?;
        shape::check_static_field(&found.require(tag::STATIC_FIELD)?, &directory)?;
        if let Some(export) = &export {
            shape::check_export(export)?;
        }
        Ok(LoadFile { data, header, directory, import, applet })
    }

    /// The package that the file defines.
    #[must_use]
    pub fn package(&self) -> Package<'a> {
        self.header.package
    }

    /// The Header's flags.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.header.flags
    }

    /// The version of the CAP format.
    #[must_use]
    pub fn format_version(&self) -> FormatVersion {
        self.header.version
    }

    /// The packages that this one needs, in the order of their tokens.
    pub fn imports(&self) -> impl Iterator<Item = Import<'a>> + use<'a> {
        tables::imports(&self.import)
    }

    /// The applets that the package defines.
    pub fn applets(&self) -> impl Iterator<Item = Applet<'a>> + use<'a> {
        tables::applets(self.applet.as_ref())
    }

    /// All components in the order in which they stand.
    pub fn components(&self) -> impl Iterator<Item = Component<'a>> + use<'a> {
        Walk::new(self.data).map_while(Result::ok)
    }

    /// The component with this tag.
    #[must_use]
    pub fn component(&self, tag: u8) -> Option<Component<'a>> {
        self.components().find(|component| component.tag == tag)
    }

    /// The size that the Directory gives to the component `tag`, whether or not it is in the data; 0 for one that the
    /// CAP file does not have, `None` where the Directory has no place for it.
    #[must_use]
    pub fn declared_size(&self, tag: u8) -> Option<u32> {
        self.directory.entry(tag).map(|entry| entry.size)
    }

    /// Tags and AIDs of the custom components that the Directory lists, whether or not they are in the data.
    pub fn custom_components(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        self.directory.custom().map(|(tag, _, aid)| (tag, aid))
    }

    /// The data that was parsed.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

impl fmt::Debug for LoadFile<'_> {
    /// Package and size only: the contents of a load file are the issuer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoadFile of {:?}, {} bytes", self.header.package, self.data.len())
    }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
