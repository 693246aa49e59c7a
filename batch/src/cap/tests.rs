//! A smallest CAP file, and what one change to the zip or its entries makes of it.

use super::*;
use crate::load_file::{
    CapReason,
    sample::{Parts, described, header, part},
};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Entries of a zip: name and contents.
type Entries = Vec<(String, Vec<u8>)>;

/// The entry that holds a component.
fn entry(tag: u8, info: &[u8]) -> (String, Vec<u8>) {
    let name = tag::name(tag).map_or_else(|| format!("Custom{tag}"), str::to_owned);
    let mut bytes = vec![tag];
    if tag == tag::STATIC_RESOURCES {
        bytes.extend(u32::try_from(info.len()).expect("short").to_be_bytes());
    } else {
        bytes.extend(u16::try_from(info.len()).expect("short").to_be_bytes());
    }
    bytes.extend_from_slice(info);
    (format!("org/example/javacard/{name}.cap"), bytes)
}

fn zip(entries: &Entries) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let method = if bytes.len() > 64 { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(name.as_str(), options).expect("an entry");
        writer.write_all(bytes).expect("written");
    }
    writer.finish().expect("a zip").into_inner()
}

fn entries(parts: &Parts) -> Entries {
    parts.iter().map(|(tag, info)| entry(*tag, info)).collect()
}

/// A CAP file with these components.
pub(crate) fn zipped(parts: &Parts) -> Vec<u8> {
    zip(&entries(parts))
}

/// What is said of the smallest CAP file after `change` to its entries.
fn refused(change: impl Fn(&mut Entries)) -> CapError {
    let mut entries = entries(&described(|_| ()));
    change(&mut entries);
    CapFile::read(&zip(&entries)).expect_err("a fault")
}

#[test]
fn components_come_out_in_load_order_without_debug() {
    let mut parts = described(|parts| {
        parts.reverse();
        parts.push((tag::DESCRIPTOR, vec![0, 0, 0]));
        parts.push((tag::DEBUG, vec![0; 100]));
    });
    parts.rotate_left(4);
    let mut entries = entries(&parts);
    entries.insert(0, ("META-INF/MANIFEST.MF".to_owned(), b"Manifest-Version: 1.0\n".to_vec()));
    entries.push(("org/example/javacard/example.exp".to_owned(), vec![0; 10]));
    let cap = CapFile::read(&zip(&entries)).expect("a CAP file");
    let tags = |descriptor, custom| {
        let data = cap.load_file_data(Include { descriptor, custom, ..Include::default() });
        LoadFile::parse(&data).expect("load file data").components().map(|component| component.tag).collect::<Vec<_>>()
    };
    assert_eq!(tags(false, true), [1, 2, 4, 3, 6, 7, 8, 5, 9, 0xDB]);
    assert_eq!(tags(true, true), [1, 2, 4, 3, 6, 7, 8, 5, 9, 0xDB, 11]);
    assert_eq!(tags(true, false), [1, 2, 4, 3, 6, 7, 8, 5, 9, 11]);
}

#[test]
fn names_may_be_in_any_case() {
    let mut entries = entries(&described(|_| ()));
    for entry in &mut entries {
        entry.0 = entry.0.to_uppercase();
    }
    assert!(CapFile::read(&zip(&entries)).is_ok());
}

#[test]
fn what_is_no_zip_or_no_cap_is_told() {
    for bytes in [&[][..], b"PK", b"SMCB", &[0; 1000]] {
        assert!(matches!(CapFile::read(bytes), Err(CapError::Zip(_))));
    }
    let cap = zipped(&described(|_| ()));
    for length in 0..cap.len() {
        assert!(CapFile::read(&cap[..length]).is_err(), "cut to {length}");
    }
    assert_eq!(refused(Vec::clear), CapError::NoComponents);
    assert_eq!(refused(|entries| entries.retain(|entry| entry.0.ends_with(".exp"))), CapError::NoComponents);
}

#[test]
fn a_changed_byte_of_a_component_is_noticed() {
    let entries = entries(&described(|_| ()));
    let cap = zip(&entries);
    for (_, bytes) in &entries {
        let at = cap.windows(bytes.len()).position(|window| window == bytes).expect("stored");
        let mut damaged = cap.clone();
        damaged[at + bytes.len() - 1] ^= 1;
        assert!(CapFile::read(&damaged).is_err());
    }
}

#[test]
fn two_packages_are_one_too_many() {
    let error = refused(|entries| entries[3].0 = "org/other/javacard/Applet.cap".to_owned());
    assert_eq!(error, CapError::TwoPackages("org/example/javacard".into(), "org/other/javacard".into()));
}

#[test]
fn names_and_tags_belong_together() {
    let error = refused(|entries| {
        entries[4].0 = "org/example/javacard/Export.cap".to_owned();
    });
    assert_eq!(error, CapError::EntryTag { name: "org/example/javacard/Export.cap".into(), found: tag::CLASS });
    let error = refused(|entries| {
        entries[4].0 = "org/example/javacard/Klass.cap".to_owned();
    });
    assert_eq!(error, CapError::EntryTag { name: "org/example/javacard/Klass.cap".into(), found: tag::CLASS });
    let error = refused(|entries| entries[4].1.clear());
    assert_eq!(error, CapError::EntryTag { name: "org/example/javacard/Class.cap".into(), found: 0 });
}

#[test]
fn sizes_are_those_of_the_entries() {
    let name = || "org/example/javacard/Class.cap".to_owned();
    let longer = refused(|entries| entries[4].1.push(0));
    assert_eq!(longer, CapError::ComponentLength { name: name(), claimed: 2, present: 3 });
    let shorter = refused(|entries| entries[4].1.truncate(4));
    assert_eq!(shorter, CapError::ComponentLength { name: name(), claimed: 2, present: 1 });
    let headless = refused(|entries| entries[4].1.truncate(2));
    assert_eq!(headless, CapError::ComponentLength { name: name(), claimed: 0, present: 2 });
}

#[test]
fn entries_of_one_name_are_refused_rather_than_chosen_from() {
    let mut entries = entries(&described(|_| ()));
    let again = entries[4].clone();
    entries.push((again.0.replace("Class", "Klass"), again.1));
    let mut bytes = zip(&entries);
    for at in 0..bytes.len() - 5 {
        if &bytes[at..at + 5] == b"Klass" {
            bytes[at..at + 5].copy_from_slice(b"Class");
        }
    }
    assert_eq!(CapFile::read(&bytes).err(), Some(CapError::RepeatedEntry));
}

#[test]
fn what_unpacks_too_large_is_refused() {
    let bomb = refused(|entries| entries[5].1.resize(10_000_000, 0));
    assert_eq!(bomb, CapError::EntryTooLarge { name: "org/example/javacard/Method.cap".into(), limit: 65_538 });
    let many = refused(|entries| {
        for number in 0..300 {
            let mut bytes = vec![0; 65_538];
            bytes[..3].copy_from_slice(&[0x80, 0xFF, 0xFF]);
            entries.push((format!("org/example/javacard/Extra{number}.cap"), bytes));
        }
    });
    assert!(matches!(many, CapError::EntryTooLarge { limit: ..65_538, .. }), "{many}");
}

/// Sets the uncompressed size in every header of the zip (at 22 in a local one, at 24 in the directory's).
fn claim(bytes: &mut [u8], name: &str, size: u32) {
    for at in 0..bytes.len() {
        let (offset, name_at) = match bytes.get(at..at + 4) {
            Some(b"PK\x03\x04") => (22, 30),
            Some(b"PK\x01\x02") => (24, 46),
            _ => continue,
        };
        if bytes.get(at + name_at..).is_some_and(|rest| rest.starts_with(name.as_bytes())) {
            bytes[at + offset..at + offset + 4].copy_from_slice(&size.to_le_bytes());
        }
    }
}

#[test]
fn entries_that_lie_about_their_size_are_refused() {
    let mut parts = described(|parts| part(parts, tag::CLASS).resize(5000, 0));
    parts.rotate_left(2);
    for size in [0, 5002, 5004, 60_000] {
        let mut bytes = zipped(&parts);
        claim(&mut bytes, "org/example/javacard/Class.cap", size);
        let error = CapFile::read(&bytes).expect_err("a lie");
        let name = "org/example/javacard/Class.cap".to_owned();
        assert_eq!(error, CapError::EntryLength { name, claimed: size.into(), found: 5003 });
    }
    let mut bytes = zipped(&parts);
    claim(&mut bytes, "org/example/javacard/Class.cap", u32::MAX - 1);
    assert!(matches!(CapFile::read(&bytes), Err(CapError::EntryTooLarge { limit: 65_538, .. })));
}

#[test]
fn too_many_entries_and_zip64_are_refused() {
    let many = refused(|entries| entries.extend((0..5000).map(|number| (format!("{number}"), Vec::new()))));
    assert_eq!(many, CapError::TooManyEntries { found: 5010, limit: 4096 });
    let mut bytes = zipped(&described(|_| ()));
    let end = bytes.windows(4).rposition(|window| window == b"PK\x05\x06").expect("the end");
    let mut locator = b"PK\x06\x07".to_vec();
    locator.resize(20, 0);
    bytes.splice(end..end, locator);
    assert_eq!(CapFile::read(&bytes).err(), Some(CapError::Zip64));
}

#[test]
fn the_extended_format_is_named() {
    let error = refused(|entries| {
        entries[0] = entry(tag::HEADER, &header(0x0C));
        entries[5].1.extend([0; 4]);
    });
    let CapError::Frame(fault) = error else { panic!("{error}") };
    assert_eq!((fault.component, fault.reason), (Some(tag::HEADER), CapReason::Extended));
}

#[test]
fn nothing_that_the_directory_lists_may_be_left_out() {
    let all = described(|parts| parts.push((tag::DESCRIPTOR, vec![0; 3])));
    for (tag, size) in [(tag::DESCRIPTOR, 3), (0xDB, 3)] {
        let mut parts = all.clone();
        parts.retain(|part| part.0 != tag);
        assert_eq!(CapFile::read(&zipped(&parts)).err(), Some(CapError::Missing { tag, size }));
    }
    let mut parts = described(|parts| parts.push((tag::DEBUG, vec![0; 100])));
    part(&mut parts, tag::DEBUG).push(0);
    assert_eq!(CapFile::read(&zipped(&parts)).err(), Some(CapError::DebugSize { claimed: 100, found: 101 }));
    parts.retain(|part| part.0 != tag::DEBUG);
    assert_eq!(CapFile::read(&zipped(&parts)).err(), Some(CapError::Missing { tag: tag::DEBUG, size: 100 }));
}
