//! Components of which only the frame is looked at: counts that must fill the component's size.

use super::component::Component;
use super::cursor::Cursor;
use super::directory::Directory;
use super::fault::{CapFault, CapReason};

fn start<'a>(component: &Component<'a>) -> Cursor<'a> {
    Cursor::new(component.tag, component.info_offset(), component.info)
}

/// ConstantPool (JCVM 6.8): a count and as many entries of four bytes, each of one of six kinds.
pub(super) fn check_constant_pool(component: &Component<'_>) -> Result<(), CapFault> {
    const ENTRY_LEN: usize = 4;
    let mut cursor = start(component);
    let fault = cursor.fault(CapReason::ConstantPool);
    let count = usize::from(cursor.u16()?);
    if count * ENTRY_LEN != cursor.rest().len() {
        return Err(fault);
    }
    for _ in 0..count {
        let fault = cursor.fault(CapReason::ConstantPool);
        if !matches!(cursor.take(ENTRY_LEN)?, [1..=6, ..]) {
            return Err(fault);
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

/// StaticField (JCVM 6.11) begins with numbers that the Directory repeats.
pub(super) fn check_static_field(component: &Component<'_>, directory: &Directory<'_>) -> Result<(), CapFault> {
    let mut cursor = start(component);
    let fault = cursor.fault(CapReason::StaticFieldSize);
    let (image_size, _reference_count, array_init_count) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
    if (image_size, array_init_count) == (directory.image_size, directory.array_init_count) {
        Ok(())
    } else {
        Err(fault)
    }
}
