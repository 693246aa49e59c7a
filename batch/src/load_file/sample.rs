//! A smallest package, for the tests of everything that reads one.

use super::tag;

/// Components by tag, each without tag and size.
pub(crate) type Parts = Vec<(u8, Vec<u8>)>;

pub(crate) const PACKAGE: [u8; 7] = [0xF0, 0x53, 0x4D, 0x43, 0x41, 0x52, 0x01];
pub(crate) const APPLET: [u8; 8] = [0xF0, 0x53, 0x4D, 0x43, 0x41, 0x52, 0x01, 0x01];
pub(crate) const FRAMEWORK: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x62, 0x01, 0x01];

/// A length, then the bytes.
pub(crate) fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::try_from(bytes.len()).expect("short")];
    out.extend_from_slice(bytes);
    out
}

/// A Header of format 2.2, package version 1.3.
pub(crate) fn header(flags: u8) -> Vec<u8> {
    let mut info = vec![0xDE, 0xCA, 0xFF, 0xED, 2, 2, flags, 3, 1];
    info.extend(counted(&PACKAGE));
    info.extend(counted(b"org/example/tag"));
    info
}

/// The components of a package with one applet and one custom component; the Directory still empty.
pub(crate) fn parts() -> Parts {
    let mut applet = vec![1];
    applet.extend(counted(&APPLET));
    applet.extend([0, 1]);
    let mut import = vec![1, 2, 1];
    import.extend(counted(&FRAMEWORK));
    vec![
        (tag::HEADER, header(4)),
        (tag::DIRECTORY, Vec::new()),
        (tag::IMPORT, import),
        (tag::APPLET, applet),
        (tag::CLASS, vec![0, 0]),
        (tag::METHOD, vec![0, 0x01, 0x10, 0x7A]),
        (tag::STATIC_FIELD, vec![0; 10]),
        (tag::CONSTANT_POOL, vec![0, 1, 6, 0x80, 0, 0]),
        (tag::REF_LOCATION, vec![0, 1, 2, 0, 0]),
        (0xDB, vec![1, 2, 3]),
    ]
}

/// The contents of one component.
pub(crate) fn part(parts: &mut Parts, tag: u8) -> &mut Vec<u8> {
    &mut parts.iter_mut().find(|part| part.0 == tag).expect("the component").1
}

/// The Directory (format 2.2) that describes `parts`.
pub(crate) fn directory(parts: &Parts) -> Vec<u8> {
    let size = |tag| u16::try_from(parts.iter().find(|part| part.0 == tag).map_or(0, |part| part.1.len()));
    let custom: Vec<_> = parts.iter().filter(|part| part.0 >= tag::CUSTOM).collect();
    let length = 24 + 6 + 3 + custom.len() * (3 + 8);
    let mut info = Vec::new();
    for tag in 1..=12 {
        let size = if tag == tag::DIRECTORY { u16::try_from(length) } else { size(tag) };
        info.extend(size.expect("short").to_be_bytes());
    }
    info.extend([0; 6]);
    info.extend([1, u8::from(size(tag::APPLET).expect("short") > 0), u8::try_from(custom.len()).expect("few")]);
    for (tag, bytes) in custom {
        info.push(*tag);
        info.extend(u16::try_from(bytes.len()).expect("short").to_be_bytes());
        info.extend(counted(&PACKAGE));
    }
    info
}

/// The components one behind the other.
pub(crate) fn join(parts: &Parts) -> Vec<u8> {
    let mut data = Vec::new();
    for (tag, info) in parts {
        data.push(*tag);
        data.extend(u16::try_from(info.len()).expect("short").to_be_bytes());
        data.extend_from_slice(info);
    }
    data
}

/// The components after `change`, with a Directory made afterwards.
pub(crate) fn described(change: impl Fn(&mut Parts)) -> Parts {
    let mut parts = parts();
    change(&mut parts);
    if parts.iter().any(|part| part.0 == tag::DIRECTORY) {
        *part(&mut parts, tag::DIRECTORY) = directory(&parts);
    }
    parts
}
