//! The Header component (JCVM 6.4, compact form).

use super::component::Component;
use super::cursor::Cursor;
use super::fault::{CapFault, CapReason};
use std::fmt;

/// The version of the CAP format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FormatVersion {
    /// Java Card 2.1: no package name, eleven sizes in the Directory.
    V2_1,
    /// Java Card 2.2 and 3.0.
    V2_2,
    /// Java Card 3.1: StaticResources.
    V2_3,
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FormatVersion::V2_1 => "2.1",
            FormatVersion::V2_2 => "2.2",
            FormatVersion::V2_3 => "2.3",
        })
    }
}

/// The flags of the Header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(u8);

impl Flags {
    const INT: u8 = 1;
    const EXPORT: u8 = 2;
    const APPLET: u8 = 4;
    const EXTENDED: u8 = 8;

    /// ACC_INT: the package uses the type `int`.
    #[must_use]
    pub fn uses_int(self) -> bool {
        self.0 & Self::INT != 0
    }

    /// ACC_EXPORT: there is an Export component.
    #[must_use]
    pub fn exports(self) -> bool {
        self.0 & Self::EXPORT != 0
    }

    /// ACC_APPLET: there is an Applet component.
    #[must_use]
    pub fn has_applets(self) -> bool {
        self.0 & Self::APPLET != 0
    }

    /// The byte itself.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }
}

/// The package that a CAP file defines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Package<'a> {
    /// Its AID, 5 to 16 bytes.
    pub aid: &'a [u8],
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
    /// Its name as the Java Card converter writes it (UTF-8, `/` between the parts); `None` where the file gives none.
    pub name: Option<&'a [u8]>,
}

/// A parsed Header.
#[derive(Clone, Copy)]
pub(super) struct Header<'a> {
    pub(super) version: FormatVersion,
    pub(super) flags: Flags,
    pub(super) package: Package<'a>,
}

const MAGIC: u32 = 0xDECA_FFED;

impl<'a> Header<'a> {
    pub(super) fn parse(component: &Component<'a>) -> Result<Self, CapFault> {
        let mut cursor = Cursor::new(component.tag, component.info_offset(), component.info);
        let fault = cursor.fault(CapReason::Magic);
        if cursor.u32()? != MAGIC {
            return Err(fault);
        }
        let fault = cursor.fault(CapReason::Version);
        let (minor, major) = (cursor.u8()?, cursor.u8()?);
        let version = match (major, minor) {
            (2, 1) => FormatVersion::V2_1,
            (2, 2) => FormatVersion::V2_2,
            (2, 3) => FormatVersion::V2_3,
            _ => return Err(fault),
        };
        let fault = cursor.fault(CapReason::Flags);
        let flags = cursor.u8()?;
        if flags & Flags::EXTENDED != 0 {
            return Err(CapFault { reason: CapReason::Extended, ..fault });
        }
        if flags & !(Flags::INT | Flags::EXPORT | Flags::APPLET) != 0 {
            return Err(fault);
        }
        let (minor, major) = (cursor.u8()?, cursor.u8()?);
        let aid = cursor.aid()?;
        let name = match version {
            FormatVersion::V2_1 => None,
            FormatVersion::V2_2 | FormatVersion::V2_3 => Some(cursor.counted()?).filter(|name| !name.is_empty()),
        };
        cursor.finish()?;
        Ok(Header { version, flags: Flags(flags), package: Package { aid, major, minor, name } })
    }
}
