//! The Import and Applet components (JCVM 6.6 and 6.7): which packages are needed, which applets are there.

use super::component::Component;
use super::cursor::Cursor;
use super::fault::{CapFault, CapReason};

/// A package that this one needs. Its index in the table is its token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Import<'a> {
    /// Its AID, 5 to 16 bytes.
    pub aid: &'a [u8],
    /// Major version that it must have.
    pub major: u8,
    /// Minor version that it must at least have.
    pub minor: u8,
}

/// An applet that the package defines: a *module* that INSTALL makes instances of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applet<'a> {
    /// Its AID, 5 to 16 bytes.
    pub aid: &'a [u8],
    /// Where its install method stands: bytes from the start of the Method component's contents.
    pub install_method_offset: u16,
}

fn start<'a>(component: &Component<'a>) -> Cursor<'a> {
    Cursor::new(component.tag, component.info_offset(), component.info)
}

fn import<'a>(cursor: &mut Cursor<'a>) -> Result<Import<'a>, CapFault> {
    let (minor, major) = (cursor.u8()?, cursor.u8()?);
    Ok(Import { aid: cursor.aid()?, major, minor })
}

fn applet<'a>(cursor: &mut Cursor<'a>) -> Result<Applet<'a>, CapFault> {
    Ok(Applet { aid: cursor.aid()?, install_method_offset: cursor.u16()? })
}

/// The imports of a table that has been checked, or those before its first fault.
pub(super) fn imports<'a>(component: &Component<'a>) -> impl Iterator<Item = Import<'a>> + use<'a> {
    let mut cursor = start(component);
    let count = cursor.u8().unwrap_or(0);
    (0..count).map_while(move |_| import(&mut cursor).ok())
}

/// The applets of a table that has been checked, or those before its first fault.
pub(super) fn applets<'a>(component: Option<&Component<'a>>) -> impl Iterator<Item = Applet<'a>> + use<'a> {
    let mut cursor = component.map(start);
    let count = cursor.as_mut().and_then(|cursor| cursor.u8().ok()).unwrap_or(0);
    (0..count).map_while(move |_| applet(cursor.as_mut()?).ok())
}

pub(super) fn check_imports(component: &Component<'_>, package: &[u8], expected: u8) -> Result<(), CapFault> {
    /// Package tokens have seven bits.
    const MAX: u8 = 128;
    let mut cursor = start(component);
    let fault = cursor.fault(CapReason::ImportCount);
    let count = cursor.u8()?;
    if count != expected || count > MAX {
        return Err(fault);
    }
    for index in 0..count {
        let at = cursor.clone();
        let import = import(&mut cursor)?;
        if import.aid == package {
            return Err(at.fault(CapReason::SelfImport));
        }
        if imports(component).take(usize::from(index)).any(|before| before.aid == import.aid) {
            return Err(at.fault(CapReason::ImportDuplicate));
        }
    }
    cursor.finish()
}

pub(super) fn check_applets(
    component: &Component<'_>,
    package: &[u8],
    expected: u8,
    method: &[u8],
) -> Result<(), CapFault> {
    let mut cursor = start(component);
    let fault = cursor.fault(CapReason::AppletCount);
    let count = cursor.u8()?;
    if count != expected || count == 0 {
        return Err(fault);
    }
    for index in 0..count {
        let at = cursor.clone();
        let applet = applet(&mut cursor)?;
        if applet.aid.get(..5) != package.get(..5) {
            return Err(at.fault(CapReason::AppletRid));
        }
        // At most 255 applets of at most 16 bytes each: the square is small.
        if applets(Some(component)).take(usize::from(index)).any(|before| before.aid == applet.aid) {
            return Err(at.fault(CapReason::AppletDuplicate));
        }
        if !leads_to_method(applet.install_method_offset, method) {
            return Err(at.fault(CapReason::InstallOffset));
        }
    }
    cursor.finish()
}

/// Whether `offset` lies behind the exception handlers, with room for a method's header and one instruction (JCVM 6.10).
fn leads_to_method(offset: u16, method: &[u8]) -> bool {
    const HANDLER_LEN: usize = 8;
    const SHORTEST_METHOD: usize = 3;
    let handlers = method.first().map_or(0, |&count| usize::from(count));
    let offset = usize::from(offset);
    offset > handlers * HANDLER_LEN && offset + SHORTEST_METHOD <= method.len()
}
