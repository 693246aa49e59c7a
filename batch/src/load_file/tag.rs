//! Component tags (JCVM 3.1 table 6-1) and the order in which components are loaded (table 6-3).

/// Header.
pub const HEADER: u8 = 1;
/// Directory.
pub const DIRECTORY: u8 = 2;
/// Applet.
pub const APPLET: u8 = 3;
/// Import.
pub const IMPORT: u8 = 4;
/// ConstantPool.
pub const CONSTANT_POOL: u8 = 5;
/// Class.
pub const CLASS: u8 = 6;
/// Method.
pub const METHOD: u8 = 7;
/// StaticField.
pub const STATIC_FIELD: u8 = 8;
/// ReferenceLocation.
pub const REF_LOCATION: u8 = 9;
/// Export.
pub const EXPORT: u8 = 10;
/// Descriptor.
pub const DESCRIPTOR: u8 = 11;
/// Debug; never loaded.
pub const DEBUG: u8 = 12;
/// StaticResources, since format 2.3. Its size field has four bytes, all others have two.
pub const STATIC_RESOURCES: u8 = 13;
/// The first tag of custom components; the last is 255.
pub const CUSTOM: u8 = 128;

/// The components that every package has, in the order of their tags. Descriptor is required in a CAP file, not on a card.
pub const REQUIRED: [u8; 8] = [HEADER, DIRECTORY, IMPORT, CONSTANT_POOL, CLASS, METHOD, STATIC_FIELD, REF_LOCATION];

/// The order in which components without a choice are loaded; StaticResources, custom ones and Descriptor follow.
pub const LOAD_ORDER: [u8; 10] =
    [HEADER, DIRECTORY, IMPORT, APPLET, CLASS, METHOD, STATIC_FIELD, EXPORT, CONSTANT_POOL, REF_LOCATION];

/// The name of a component as it is written in file names (`Header.cap`); `None` for custom and unknown ones.
#[must_use]
pub fn name(tag: u8) -> Option<&'static str> {
    Some(match tag {
        HEADER => "Header",
        DIRECTORY => "Directory",
        APPLET => "Applet",
        IMPORT => "Import",
        CONSTANT_POOL => "ConstantPool",
        CLASS => "Class",
        METHOD => "Method",
        STATIC_FIELD => "StaticField",
        REF_LOCATION => "RefLocation",
        EXPORT => "Export",
        DESCRIPTOR => "Descriptor",
        DEBUG => "Debug",
        STATIC_RESOURCES => "StaticResources",
        _ => return None,
    })
}
