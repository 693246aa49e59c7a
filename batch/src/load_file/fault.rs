//! What can be wrong with load file data: the first fault, with the component, the offset and the reason.

use super::tag;
use std::fmt;
use thiserror::Error;

/// The first fault found in load file data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapFault {
    /// The component concerned; `None` where no component could be recognised.
    pub component: Option<u8>,
    /// Where the fault shows: bytes from the start of the data. For a component that is missing, the length of the data.
    pub offset: u32,
    /// What is wrong.
    pub reason: CapReason,
}

/// Why load file data is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CapReason {
    /// More bytes than offsets of four bytes can express.
    #[error("longer than 4 GiB")]
    TooLong,
    /// The data ends inside the component or inside its tag and size.
    #[error("the data ends inside the component")]
    ComponentCut,
    /// A tag that no version up to 2.3 defines.
    #[error("unknown component tag")]
    UnknownTag,
    /// Two components with one tag.
    #[error("the component is there twice")]
    Duplicate,
    /// A required component, or one that the Header's flags or the Directory announce, is not there.
    #[error("the component is missing")]
    Missing,
    /// An Applet or Export component although the Header's flags say that there is none.
    #[error("the component is there, but the flags in the Header say that it is not")]
    NotFlagged,
    /// A StaticResources component in a format before 2.3.
    #[error("the format version in the Header does not know the component")]
    NotInVersion,
    /// Debug is for tools only and is never sent to a card (JCVM 6.2).
    #[error("debug information does not belong into a load file")]
    Debug,
    /// A component without contents.
    #[error("the component is empty")]
    Empty,
    /// The component ends before what it must hold.
    #[error("the component ends too early")]
    InfoCut,
    /// Bytes behind what the component holds.
    #[error("bytes follow what the component holds")]
    InfoTrailing,
    /// The Header does not begin with DECAFFED.
    #[error("not a CAP file: the Header does not begin with DECAFFED")]
    Magic,
    /// A format version other than 2.1, 2.2 and 2.3.
    #[error("unknown version of the CAP format (2.1, 2.2 and 2.3 are known)")]
    Version,
    /// The extended format of Java Card 3.1.
    #[error("extended CAP format (several packages, blocks of methods) is not supported, only the compact format is")]
    Extended,
    /// Reserved flag bits.
    #[error("reserved flag bits are set")]
    Flags,
    /// An AID shorter than 5 or longer than 16 bytes.
    #[error("an AID must have 5 to 16 bytes")]
    AidLength,
    /// The Directory gives another size for this component.
    #[error("the component's size differs from the size in the Directory")]
    SizeTable,
    /// The Directory and the Import component count differently, or more than 128 packages are imported.
    #[error("the number of imported packages is not the one in the Directory, or above 128")]
    ImportCount,
    /// A package that imports itself.
    #[error("the package imports itself")]
    SelfImport,
    /// A package imported twice: its two tokens would be one.
    #[error("a package is imported twice")]
    ImportDuplicate,
    /// The Directory and the Applet component count differently, or there is no applet.
    #[error("the number of applets is not the one in the Directory, or 0")]
    AppletCount,
    /// Two applets with one AID.
    #[error("two applets have the same AID")]
    AppletDuplicate,
    /// An applet's AID begins with other five bytes than the package's (JCVM 6.6).
    #[error("an applet's AID does not begin with the package's RID")]
    AppletRid,
    /// An applet's `install_method_offset` leads to no method.
    #[error("an applet's install method lies outside the Method component")]
    InstallOffset,
    /// A custom component's tag in the Directory is below 128 or stands there twice.
    #[error("the Directory lists a custom component with a tag below 128 or twice")]
    CustomTag,
    /// A custom component that the Directory does not list.
    #[error("the Directory does not list the custom component")]
    CustomUnlisted,
    /// The number of entries does not fill the ConstantPool, or an entry has an unknown kind.
    #[error("the constant pool's count does not fit its size, or an entry is of unknown kind")]
    ConstantPool,
    /// A constant pool entry names a package that is not in the Import component.
    #[error("an entry of the constant pool names a package that is not imported")]
    PackageToken,
    /// The two lists do not fill the RefLocation component.
    #[error("the lists of reference locations do not fit the component's size")]
    RefLocation,
    /// The sizes of the static field image differ between Directory and StaticField.
    #[error("the static field sizes differ from those in the Directory")]
    StaticFieldSize,
    /// Arrays of no known type, more arrays than references, or parts that do not add up to the image's size.
    #[error("the initial values of the static fields contradict themselves")]
    StaticField,
}

impl fmt::Display for CapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.component.map(|tag| (tag, tag::name(tag))) {
            Some((_, Some(name))) => write!(f, "{name} component, offset {}: {}", self.offset, self.reason),
            Some((tag, None)) => write!(f, "component {tag}, offset {}: {}", self.offset, self.reason),
            None => write!(f, "offset {}: {}", self.offset, self.reason),
        }
    }
}

impl std::error::Error for CapFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_component_offset_and_reason() {
        let mut fault = CapFault { component: Some(tag::APPLET), offset: 40, reason: CapReason::AidLength };
        assert_eq!(fault.to_string(), "Applet component, offset 40: an AID must have 5 to 16 bytes");
        fault.component = Some(200);
        assert_eq!(fault.to_string(), "component 200, offset 40: an AID must have 5 to 16 bytes");
        fault.component = None;
        assert_eq!(fault.to_string(), "offset 40: an AID must have 5 to 16 bytes");
    }
}
