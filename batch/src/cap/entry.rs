//! The name of a component's zip entry: `<package path>/javacard/<Component>.cap` (JCVM 6.2.1).

use crate::load_file::tag;

/// The name of an entry that should hold a component.
pub(super) struct Name {
    path: String,
    /// Bytes of the path before the file name.
    folder_len: usize,
    /// The tag that belongs to the file name; `None` for a custom component.
    tag: Option<u8>,
}

impl Name {
    /// Reads the name of an entry; `None` where it belongs to no component. Upper and lower case are the same (JCVM 6.2.1),
    /// and `.capx` is the ending of StaticResources and of the extended format.
    pub(super) fn of_component(path: &str) -> Option<Self> {
        let (folder, file) = path.rsplit_once('/')?;
        let parent = folder.rsplit_once('/').map_or(folder, |(_, parent)| parent);
        if !parent.eq_ignore_ascii_case("javacard") {
            return None;
        }
        let (stem, ending) = file.rsplit_once('.')?;
        if !ending.eq_ignore_ascii_case("cap") && !ending.eq_ignore_ascii_case("capx") {
            return None;
        }
        let tag = (tag::HEADER..=tag::STATIC_RESOURCES)
            .find(|&tag| tag::name(tag).is_some_and(|name| name.eq_ignore_ascii_case(stem)));
        Some(Name { path: path.to_owned(), folder_len: folder.len(), tag })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn folder(&self) -> &str {
        self.path.get(..self.folder_len).unwrap_or_default()
    }

    /// Whether a component with this tag may have the name.
    pub(super) fn fits(&self, tag: u8) -> bool {
        self.tag.map_or(tag >= tag::CUSTOM, |own| own == tag)
    }

    /// Most bytes of an entry of this name: tag, size field and what the size field can express.
    pub(super) fn bound(&self) -> u64 {
        match self.tag {
            Some(tag::STATIC_RESOURCES) => 5 + u64::from(u32::MAX),
            _ => 3 + u64::from(u16::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_told_from_other_entries() {
        let name = Name::of_component("org/example/javacard/Header.cap").expect("a component");
        assert_eq!((name.folder(), name.tag), ("org/example/javacard", Some(tag::HEADER)));
        assert!(name.fits(tag::HEADER) && !name.fits(tag::CLASS) && !name.fits(0xDB));
        let name = Name::of_component("JAVACARD/reflocation.CAP").expect("a component");
        assert_eq!((name.folder(), name.tag), ("JAVACARD", Some(tag::REF_LOCATION)));
        let custom = Name::of_component("a/javacard/Extra.cap").expect("a component");
        assert!(custom.fits(0x80) && custom.fits(0xFF) && !custom.fits(tag::METHOD));
        for other in
            ["Header.cap", "a/Header.cap", "a/javacard/a.exp", "META-INF/MANIFEST.MF", "a/notjavacard/Header.cap"]
        {
            assert!(Name::of_component(other).is_none(), "{other}");
        }
    }

    #[test]
    fn only_static_resources_may_pass_64_kib() {
        let bound = |path| Name::of_component(path).expect("a component").bound();
        assert_eq!(bound("a/javacard/Method.cap"), 65_538);
        assert_eq!(bound("a/javacard/Extra.cap"), 65_538);
        assert_eq!(bound("a/javacard/StaticResources.capx"), 4_294_967_300);
    }
}
