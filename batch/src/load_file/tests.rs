//! What the smallest package tells, and every fault that one change makes of it.

use super::sample::{APPLET, FRAMEWORK, PACKAGE, Parts, directory, header, join, part, parts};
use super::*;

/// The package after `change`, with a Directory made afterwards.
fn described(change: impl Fn(&mut Parts)) -> Vec<u8> {
    join(&sample::described(change))
}

/// The package with `change` made after the Directory.
fn undescribed(change: impl Fn(&mut Parts)) -> Vec<u8> {
    let mut parts = parts();
    *part(&mut parts, tag::DIRECTORY) = directory(&parts);
    change(&mut parts);
    join(&parts)
}

fn fault(data: &[u8]) -> (Option<u8>, CapReason) {
    let fault = LoadFile::parse(data).expect_err("a fault");
    assert!(usize::try_from(fault.offset).expect("in memory") <= data.len(), "{fault}");
    (fault.component, fault.reason)
}

#[test]
fn what_stands_in_the_components_is_told() {
    let data = described(|_| ());
    let file = LoadFile::parse(&data).expect("a load file");
    assert_eq!(
        file.package(),
        Package { aid: &PACKAGE, major: 1, minor: 3, name: Some(b"org/example/tag".as_slice()) }
    );
    assert_eq!(file.format_version(), FormatVersion::V2_2);
    assert!(file.flags().has_applets() && !file.flags().exports() && !file.flags().uses_int());
    assert_eq!(file.imports().collect::<Vec<_>>(), [Import { aid: &FRAMEWORK, major: 1, minor: 2 }]);
    assert_eq!(file.applets().collect::<Vec<_>>(), [Applet { aid: &APPLET, install_method_offset: 1 }]);
    assert_eq!(file.custom_components().collect::<Vec<_>>(), [(0xDB, PACKAGE.as_slice())]);
    let tags: Vec<_> = file.components().map(|component| component.tag).collect();
    assert_eq!(tags, [1, 2, 4, 3, 6, 7, 8, 5, 9, 0xDB]);
    let method = file.component(tag::METHOD).expect("Method");
    let at = usize::try_from(method.info_offset()).expect("in memory");
    assert_eq!(data.get(at..at + 4), Some(method.info));
    assert_eq!(file.component(tag::EXPORT), None);
    assert_eq!((file.declared_size(tag::METHOD), file.declared_size(tag::EXPORT)), (Some(4), Some(0)));
    assert_eq!(file.declared_size(tag::STATIC_RESOURCES), None);
}

#[test]
fn any_order_will_do() {
    let data = described(|parts| parts.reverse());
    assert_eq!(LoadFile::parse(&data).expect("a load file").applets().count(), 1);
}

#[test]
fn descriptor_and_custom_components_may_stay_away() {
    let with_descriptor = |parts: &mut Parts| parts.push((tag::DESCRIPTOR, vec![0, 0, 0]));
    assert!(LoadFile::parse(&described(with_descriptor)).is_ok());
    let mut parts = parts();
    with_descriptor(&mut parts);
    *part(&mut parts, tag::DIRECTORY) = directory(&parts);
    parts.retain(|part| part.0 != tag::DESCRIPTOR && part.0 < tag::CUSTOM);
    let data = join(&parts);
    let file = LoadFile::parse(&data).expect("a load file");
    assert_eq!((file.declared_size(tag::DESCRIPTOR), file.component(tag::DESCRIPTOR)), (Some(3), None));
}

#[test]
fn every_required_component_is_missed() {
    for tag in tag::REQUIRED {
        let data = described(|parts| parts.retain(|part| part.0 != tag));
        assert_eq!(fault(&data), (Some(tag), CapReason::Missing));
    }
}

#[test]
fn every_cut_is_refused() {
    let data = described(|parts| parts.retain(|part| part.0 < tag::CUSTOM));
    for length in 0..data.len() {
        fault(&data[..length]);
    }
}

#[test]
fn flags_and_components_must_agree() {
    let data = described(|parts| *part(parts, tag::HEADER) = header(0));
    assert_eq!(fault(&data), (Some(tag::APPLET), CapReason::NotFlagged));
    let data = described(|parts| parts.retain(|part| part.0 != tag::APPLET));
    assert_eq!(fault(&data), (Some(tag::APPLET), CapReason::Missing));
    let data = described(|parts| *part(parts, tag::HEADER) = header(6));
    assert_eq!(fault(&data), (Some(tag::EXPORT), CapReason::Missing));
    let data = described(|parts| parts.push((tag::EXPORT, vec![0])));
    assert_eq!(fault(&data), (Some(tag::EXPORT), CapReason::NotFlagged));
}

#[test]
fn a_header_of_another_kind_is_refused() {
    let change = |index: usize, value: u8| described(move |parts| part(parts, tag::HEADER)[index] = value);
    for (index, value, reason) in [
        (0, 0, CapReason::Magic),
        (4, 4, CapReason::Version),
        (5, 3, CapReason::Version),
        (6, 0x0C, CapReason::Extended),
        (6, 0x84, CapReason::Flags),
        (9, 4, CapReason::AidLength),
        (9, 17, CapReason::AidLength),
        (17, 16, CapReason::InfoCut),
        (17, 14, CapReason::InfoTrailing),
    ] {
        assert_eq!(fault(&change(index, value)), (Some(tag::HEADER), reason), "byte {index}");
    }
}

#[test]
fn the_extended_format_is_recognised_before_its_wider_sizes_confuse() {
    let mut data = described(|parts| *part(parts, tag::HEADER) = header(0x0C));
    data.truncate(60);
    assert_eq!(fault(&data), (Some(tag::HEADER), CapReason::Extended));
}

#[test]
fn sizes_must_be_those_of_the_directory() {
    for tag in [tag::CLASS, tag::METHOD, tag::REF_LOCATION, 0xDB] {
        let data = undescribed(|parts| part(parts, tag).push(0));
        assert_eq!(fault(&data), (Some(tag), CapReason::SizeTable));
    }
    for tag in tag::REQUIRED.into_iter().filter(|&tag| tag != tag::DIRECTORY) {
        let index = usize::from(tag) * 2 - 1;
        let data = undescribed(|parts| part(parts, tag::DIRECTORY)[index] ^= 0x80);
        assert_eq!(fault(&data), (Some(tag), CapReason::SizeTable));
    }
    let data = undescribed(|parts| part(parts, tag::DIRECTORY)[19] = 9);
    assert_eq!(fault(&data), (Some(tag::EXPORT), CapReason::Missing));
}

#[test]
fn counts_must_be_those_of_the_directory() {
    for (index, tag, reason) in [(30, tag::IMPORT, CapReason::ImportCount), (31, tag::APPLET, CapReason::AppletCount)] {
        let data = undescribed(|parts| part(parts, tag::DIRECTORY)[index] = 2);
        assert_eq!(fault(&data), (Some(tag), reason));
    }
    let data = undescribed(|parts| part(parts, tag::DIRECTORY)[25] = 2);
    assert_eq!(fault(&data), (Some(tag::STATIC_FIELD), CapReason::StaticFieldSize));
    let data = undescribed(|parts| part(parts, tag::DIRECTORY)[32] = 2);
    assert_eq!(fault(&data), (Some(tag::DIRECTORY), CapReason::InfoCut));
    let data = undescribed(|parts| part(parts, tag::DIRECTORY)[32] = 0);
    assert_eq!(fault(&data), (Some(tag::DIRECTORY), CapReason::InfoTrailing));
}

#[test]
fn custom_components_must_be_listed_once() {
    let data = undescribed(|parts| parts.push((0xDC, vec![1])));
    assert_eq!(fault(&data), (Some(0xDC), CapReason::CustomUnlisted));
    let data = undescribed(|parts| part(parts, tag::DIRECTORY)[33] = 0x7F);
    assert_eq!(fault(&data), (Some(tag::DIRECTORY), CapReason::CustomTag));
    let twice = |parts: &mut Parts| parts.push((0xDB, vec![1]));
    assert_eq!(fault(&undescribed(twice)), (Some(0xDB), CapReason::Duplicate));
    let listed_twice = described(|parts| {
        parts.push((0xDB, vec![1]));
    });
    assert_eq!(fault(&listed_twice), (Some(0xDB), CapReason::Duplicate));
}

#[test]
fn foreign_components_are_refused() {
    for (component, expected) in [
        ((tag::DEBUG, vec![0]), (Some(tag::DEBUG), CapReason::Debug)),
        ((tag::METHOD, vec![0]), (Some(tag::METHOD), CapReason::Duplicate)),
        ((tag::DESCRIPTOR, vec![]), (Some(tag::DESCRIPTOR), CapReason::Empty)),
        ((14, vec![0]), (None, CapReason::UnknownTag)),
        ((0, vec![0]), (None, CapReason::UnknownTag)),
    ] {
        assert_eq!(fault(&undescribed(|parts| parts.push(component.clone()))), expected);
    }
}

#[test]
fn applets_must_be_of_the_package_and_lead_to_a_method() {
    let change = |index: usize, value: u8| described(move |parts| part(parts, tag::APPLET)[index] = value);
    for (index, value, reason) in [
        (0, 0, CapReason::AppletCount),
        (1, 4, CapReason::AidLength),
        (2, 0xA0, CapReason::AppletRid),
        (11, 0, CapReason::InstallOffset),
        (11, 2, CapReason::InstallOffset),
        (10, 1, CapReason::InstallOffset),
    ] {
        assert_eq!(fault(&change(index, value)), (Some(tag::APPLET), reason), "byte {index}");
    }
    let mut parts = parts();
    let applets = part(&mut parts, tag::APPLET);
    applets.extend_from_within(1..);
    applets[0] = 2;
    let mut directory = directory(&parts);
    directory[31] = 2;
    *part(&mut parts, tag::DIRECTORY) = directory;
    assert_eq!(fault(&join(&parts)), (Some(tag::APPLET), CapReason::AppletDuplicate));
}

#[test]
fn install_methods_stand_behind_the_exception_handlers() {
    let with_handler = |offset: u8| {
        described(move |parts| {
            let mut method = vec![1];
            method.extend([0; 8]);
            method.extend([0x01, 0x10, 0x7A]);
            *part(parts, tag::METHOD) = method;
            part(parts, tag::APPLET)[11] = offset;
        })
    };
    assert!(LoadFile::parse(&with_handler(9)).is_ok());
    assert_eq!(fault(&with_handler(8)), (Some(tag::APPLET), CapReason::InstallOffset));
}

#[test]
fn a_package_does_not_import_itself() {
    let data = described(|parts| part(parts, tag::IMPORT)[4..].copy_from_slice(&PACKAGE));
    assert_eq!(fault(&data), (Some(tag::IMPORT), CapReason::SelfImport));
}

#[test]
fn a_package_is_imported_once() {
    let mut parts = parts();
    let import = part(&mut parts, tag::IMPORT);
    import.extend_from_within(1..);
    import[0] = 2;
    let mut directory = directory(&parts);
    directory[30] = 2;
    *part(&mut parts, tag::DIRECTORY) = directory;
    assert_eq!(fault(&join(&parts)), (Some(tag::IMPORT), CapReason::ImportDuplicate));
}

/// The package with these static fields, whose first six bytes the Directory repeats.
fn with_static_field(info: &[u8]) -> Vec<u8> {
    let mut parts = parts();
    *part(&mut parts, tag::STATIC_FIELD) = info.to_vec();
    let mut directory = directory(&parts);
    directory[24..26].copy_from_slice(&info[..2]);
    directory[26..28].copy_from_slice(&info[4..6]);
    *part(&mut parts, tag::DIRECTORY) = directory;
    join(&parts)
}

#[test]
fn static_fields_add_up() {
    // An image of 9: two references, the first to an array of three bytes; two zeroes, three values.
    let right = [0, 9, 0, 2, 0, 1, 3, 0, 3, 7, 8, 9, 0, 2, 0, 3, 4, 5, 6];
    assert!(LoadFile::parse(&with_static_field(&right)).is_ok());
    for (index, value, reason) in [
        (1, 8, CapReason::StaticField),
        (3, 0, CapReason::StaticField),
        (6, 9, CapReason::StaticField),
        (8, 90, CapReason::InfoCut),
        (13, 3, CapReason::StaticField),
        (15, 4, CapReason::InfoCut),
    ] {
        let mut info = right;
        info[index] = value;
        assert_eq!(fault(&with_static_field(&info)), (Some(tag::STATIC_FIELD), reason), "byte {index}");
    }
    let longer = [&right[..], &[0]].concat();
    assert_eq!(fault(&with_static_field(&longer)), (Some(tag::STATIC_FIELD), CapReason::InfoTrailing));
}

#[test]
fn exports_fill_their_component() {
    let with = |export: &'static [u8]| {
        described(move |parts| {
            *part(parts, tag::HEADER) = header(6);
            parts.push((tag::EXPORT, export.to_vec()));
        })
    };
    assert!(LoadFile::parse(&with(&[1, 0, 0, 1, 1, 0, 1, 0, 2])).is_ok());
    assert_eq!(fault(&with(&[2, 0, 0, 1, 1, 0, 1, 0, 2])), (Some(tag::EXPORT), CapReason::InfoCut));
    assert_eq!(fault(&with(&[1, 0, 0, 1, 0, 0, 1, 0, 2])), (Some(tag::EXPORT), CapReason::InfoTrailing));
}

#[test]
fn pool_and_reference_lists_fill_their_components() {
    let data = described(|parts| part(parts, tag::CONSTANT_POOL)[1] = 2);
    assert_eq!(fault(&data), (Some(tag::CONSTANT_POOL), CapReason::ConstantPool));
    let data = described(|parts| part(parts, tag::CONSTANT_POOL)[2] = 7);
    assert_eq!(fault(&data), (Some(tag::CONSTANT_POOL), CapReason::ConstantPool));
    let data = described(|parts| part(parts, tag::CONSTANT_POOL)[3] = 0x81);
    assert_eq!(fault(&data), (Some(tag::CONSTANT_POOL), CapReason::PackageToken));
    let data = described(|parts| part(parts, tag::REF_LOCATION)[1] = 3);
    assert_eq!(fault(&data), (Some(tag::REF_LOCATION), CapReason::RefLocation));
}

#[test]
fn older_and_newer_formats_differ_in_header_and_directory() {
    let data = described(|parts| {
        let header = part(parts, tag::HEADER);
        header[4] = 1;
        header.truncate(17);
    });
    assert_eq!(fault(&data).0, Some(tag::DIRECTORY), "twelve sizes where eleven belong");
    let mut parts = parts();
    parts.retain(|part| part.0 < tag::CUSTOM);
    let header = part(&mut parts, tag::HEADER);
    header[4] = 1;
    header.truncate(17);
    let mut directory = directory(&parts);
    directory.drain(22..24);
    directory[3] -= 2;
    *part(&mut parts, tag::DIRECTORY) = directory;
    let data = join(&parts);
    let file = LoadFile::parse(&data).expect("a load file");
    assert_eq!((file.format_version(), file.package().name), (FormatVersion::V2_1, None));
}

#[test]
fn static_resources_have_a_size_of_four_bytes() {
    let mut parts = parts();
    parts.retain(|part| part.0 < tag::CUSTOM);
    part(&mut parts, tag::HEADER)[4] = 3;
    let mut directory = directory(&parts);
    directory.splice(24..24, 70_000_u32.to_be_bytes());
    directory[3] += 4;
    *part(&mut parts, tag::DIRECTORY) = directory;
    let mut data = join(&parts);
    assert_eq!(fault(&data), (Some(tag::STATIC_RESOURCES), CapReason::Missing));
    data.push(tag::STATIC_RESOURCES);
    data.extend(70_000_u32.to_be_bytes());
    data.extend(vec![0x55; 70_000]);
    let file = LoadFile::parse(&data).expect("a load file");
    let resources = file.component(tag::STATIC_RESOURCES).expect("resources");
    assert_eq!((resources.size(), resources.info_offset()), (70_000, resources.offset + 5));
    let data = undescribed(|parts| parts.push((tag::STATIC_RESOURCES, vec![])));
    assert_eq!(fault(&data), (Some(tag::STATIC_RESOURCES), CapReason::ComponentCut));
}
