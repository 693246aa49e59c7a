//! Every way in which a CAP file can be wrong is refused with the reason that fits; what only looks odd is taken.

use smcard_batch::CapFile;
use smcard_batch::cap::Include;
use smcard_fixtures::{Layer, damaged, unusual};

/// The damage and parts of what must be said about it.
const REASONS: &[(&str, &str)] = &[
    ("empty-file", "not a readable zip file"),
    ("not-a-zip", "not a readable zip file"),
    ("half-a-zip", "not a readable zip file"),
    ("zip-without-end", "not a readable zip file"),
    ("no-components", "not a CAP file"),
    ("outside-javacard", "not a CAP file"),
    ("two-packages", "components of two packages"),
    ("header-twice", "Header component .. the component is there twice"),
    ("wrong-crc", "Method.cap\" cannot be unpacked: Invalid checksum"),
    ("claims-4-gib", "Method.cap\" unpacks to more than 65538 bytes"),
    ("encrypted", "Method.cap\" cannot be unpacked: Password"),
    ("unknown-compression", "Method.cap\" cannot be unpacked: Compression method not supported"),
    ("empty-component", "Import.cap\" holds component tag 0"),
    ("two-byte-component", "Import.cap\" says 0 bytes, 2 follow"),
    ("zip-bomb", "Method.cap\" unpacks to more than 65538 bytes"),
    ("no-header", "Header component .. the component is missing"),
    ("no-directory", "Directory component .. the component is missing"),
    ("no-import", "Import component .. the component is missing"),
    ("no-constant-pool", "ConstantPool component .. the component is missing"),
    ("no-class", "Class component .. the component is missing"),
    ("no-method", "Method component .. the component is missing"),
    ("no-static-field", "StaticField component .. the component is missing"),
    ("no-ref-location", "RefLocation component .. the component is missing"),
    ("no-descriptor", "the Descriptor component is missing"),
    ("tag-of-another", "Class.cap\" holds component tag 7"),
    ("tag-unknown", "Class.cap\" holds component tag 100"),
    ("size-too-long", "Class.cap\" says 21 bytes, 20 follow"),
    ("size-too-short", "Class.cap\" says 19 bytes, 20 follow"),
    ("trailing-byte", "Class.cap\" says 20 bytes, 21 follow"),
    ("cut-component", "Class.cap\" says 20 bytes, 19 follow"),
    ("wrong-magic", "does not begin with DECAFFED"),
    ("format-9", "unknown version of the CAP format"),
    ("format-2-9", "unknown version of the CAP format"),
    ("reserved-flag", "reserved flag bits"),
    ("extended-flag", "extended CAP format"),
    ("package-aid-4", "Header component .. an AID must have 5 to 16 bytes"),
    ("package-aid-17", "Header component .. an AID must have 5 to 16 bytes"),
    ("package-name-overruns", "Header component .. the component ends too early"),
    ("header-too-long", "Header component .. bytes follow"),
    ("directory-size", "Method component .. the component's size differs"),
    ("directory-denies", "Applet component .. the component's size differs"),
    ("directory-invents", "the Debug component is missing"),
    ("directory-imports", "the number of imported packages"),
    ("directory-applets", "the number of applets"),
    ("directory-customs", "Directory component .. the component ends too early"),
    ("directory-statics", "the static field sizes differ"),
    ("directory-of-2-1", "Directory component .. the component ends too early"),
    ("directory-too-long", "Directory component .. bytes follow"),
    ("applet-count-high", "the number of applets"),
    ("applet-count-zero", "the number of applets"),
    ("applet-aid-4", "Applet component .. an AID must have 5 to 16 bytes"),
    ("applet-aid-17", "Applet component .. an AID must have 5 to 16 bytes"),
    ("applet-of-another-rid", "does not begin with the package's RID"),
    ("install-beyond", "install method lies outside the Method component"),
    ("applet-twice", "two applets have the same AID"),
    ("import-count-high", "the number of imported packages"),
    ("import-count-low", "the number of imported packages"),
    ("import-aid-4", "Import component .. an AID must have 5 to 16 bytes"),
    ("import-aid-17", "Import component .. an AID must have 5 to 16 bytes"),
    ("import-twice", "a package is imported twice"),
    ("import-of-itself", "the package imports itself"),
    ("array-overruns", "StaticField component"),
    ("array-of-nothing", "the initial values of the static fields"),
    ("more-arrays-than-references", "the initial values of the static fields"),
    ("no-applet", "Applet component .. the component is missing"),
    ("applet-flag-alone", "Applet component .. the component is missing"),
    ("applet-without-flag", "the flags in the Header say that it is not"),
    ("export-flag-alone", "Export component .. the component is missing"),
    ("export-without-flag", "the flags in the Header say that it is not"),
    ("custom-missing", "custom component 128 is missing"),
    ("custom-of-other-size", "component 128, offset 69: the component's size differs"),
    ("custom-tag-reserved", "Extra.cap\" holds component tag 127"),
    ("custom-unlisted", "the Directory does not list the custom component"),
    ("custom-aid-4", "Directory component .. an AID must have 5 to 16 bytes"),
    ("pool-count", "the constant pool's count"),
    ("pool-tag", "an entry is of unknown kind"),
    ("pool-package", "names a package that is not imported"),
    ("reference-count", "the lists of reference locations"),
    ("export-count", "Export component, offset"),
];

#[test]
fn damage_is_refused_with_the_reason_that_fits() {
    let mut unseen: Vec<_> = REASONS.iter().map(|reason| reason.0).collect();
    for file in damaged() {
        unseen.retain(|name| *name != file.name);
        let expected = REASONS.iter().find(|reason| reason.0 == file.name).map(|reason| reason.1);
        match (CapFile::read(&file.bytes), expected) {
            (Err(error), Some(words)) => {
                let said = error.to_string();
                assert!(words.split(" .. ").all(|words| said.contains(words)), "{} ({}): {said}", file.name, file.why);
            }
            (Ok(_), None) => assert_eq!(file.layer, Layer::Code, "{} ({}) is accepted", file.name, file.why),
            (Ok(_), Some(_)) => panic!("{} ({}) is accepted", file.name, file.why),
            (Err(error), None) => panic!("{} ({}): which words fit? {error}", file.name, file.why),
        }
    }
    assert!(unseen.is_empty(), "no file has the damage {unseen:?}");
}

#[test]
fn what_only_looks_odd_is_taken() {
    let usual = CapFile::read(&smcard_fixtures::ndef_cap()).expect("a CAP file");
    let usual = usual.load_file_data(Include { descriptor: true, ..Include::default() });
    for file in unusual() {
        let cap = CapFile::read(&file.bytes).unwrap_or_else(|error| panic!("{} ({}): {error}", file.name, file.why));
        let data = cap.load_file_data(Include { descriptor: true, custom: false, ..Include::default() });
        // The Directory tells of custom and Debug components, all else is the same.
        assert_eq!(cap.load_file().expect("checked").package().aid, smcard_fixtures::aid::NDEF_PACKAGE);
        if !matches!(file.name, "custom" | "debug") {
            assert!(data == usual, "{} ({})", file.name, file.why);
        }
    }
}
