//! Components of which only the frame is looked at: counts that must fill the component's size.

use super::component::Component;
use super::cursor::Cursor;
use super::directory::Directory;
use super::fault::{CapFault, CapReason};

fn start<'a>(component: &Component<'a>) -> Cursor<'a> {
    Cursor::new(component.tag, component.info_offset(), component.info)
}

/// ConstantPool (JCVM 6.8): a count and as many entries of four bytes, each of one of six kinds. Entries that lead to another
/// package name one of the `imports`.
pub(super) fn check_constant_pool(component: &Component<'_>, imports: u8) -> Result<(), CapFault> {
    const ENTRY_LEN: usize = 4;
    const EXTERNAL: u8 = 0x80;
    let mut cursor = start(component);
    let fault = cursor.fault(CapReason::ConstantPool);
    let count = usize::from(cursor.u16()?);
    if count * ENTRY_LEN != cursor.rest().len() {
        return Err(fault);
    }
    for _ in 0..count {
        let fault = cursor.fault(CapReason::ConstantPool);
        let &[1..=6, package, ..] = cursor.take(ENTRY_LEN)? else { return Err(fault) };
        if package & EXTERNAL != 0 && package & !EXTERNAL >= imports {
            return Err(CapFault { reason: CapReason::PackageToken, ..fault });
        }
    }
    cursor.finish()
}

/// ReferenceLocation (JCVM 6.12): two lists of bytes, each behind its length of two bytes.
pub(super) fn check_ref_location(component: &Component<'_>) -> Result<(), CapFault> {
    let mut cursor = start(component);
    for _ in 0..2 {
        let fault = cursor.fault(CapReason::RefLocation);
        let length = cursor.u16().map_err(|_| fault)?;
        cursor.take(usize::from(length)).map_err(|_| fault)?;
    }
    cursor.finish()
}

/// StaticField (JCVM 6.11): the image's size, which the Directory repeats, and how the image is filled: references, of which
/// the first are arrays with given elements, then zeroes, then given values.
pub(super) fn check_static_field(component: &Component<'_>, directory: &Directory<'_>) -> Result<(), CapFault> {
    const REFERENCE_LEN: u32 = 2;
    let mut cursor = start(component);
    let fault = cursor.fault(CapReason::StaticFieldSize);
    let (image_size, references, arrays) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
    if (image_size, arrays) != (directory.image_size, directory.array_init_count) {
        return Err(fault);
    }
    if arrays > references {
        return Err(CapFault { reason: CapReason::StaticField, ..fault });
    }
    for _ in 0..arrays {
        let fault = cursor.fault(CapReason::StaticField);
        // The types boolean, byte, short and int.
        if !matches!(cursor.u8()?, 2..=5) {
            return Err(fault);
        }
        let length = cursor.u16()?;
        cursor.take(usize::from(length))?;
    }
    let zeroes = cursor.u16()?;
    let values = cursor.u16()?;
    cursor.take(usize::from(values))?;
    if u32::from(references) * REFERENCE_LEN + u32::from(zeroes) + u32::from(values) != u32::from(image_size) {
        return Err(CapFault { reason: CapReason::StaticField, ..fault });
    }
    cursor.finish()
}

/// Export (JCVM 6.13): for each class its offset and the tokens of its static fields and methods.
pub(super) fn check_export(component: &Component<'_>) -> Result<(), CapFault> {
    const TOKEN_LEN: usize = 2;
    let mut cursor = start(component);
    for _ in 0..cursor.u8()? {
        cursor.u16()?;
        let (fields, methods) = (usize::from(cursor.u8()?), usize::from(cursor.u8()?));
        cursor.take((fields + methods) * TOKEN_LEN)?;
    }
    cursor.finish()
}
