//! Formats told apart, and commands made into batches.

use super::*;
use crate::parse::Batch;

#[test]
fn formats_are_told_apart() {
    for (bytes, format) in [
        (&b"\xAA\x00"[..], Format::Etsi),
        (b"\xAE\x80\x00\x00", Format::Etsi),
        (b"", Format::List),
        (b"# APDUs\n00A4040000", Format::List),
        (b"# install\n\n  mode_211 // GP\nselect", Format::Gpshell),
        (b"\xEF\xBB\xBFenable_trace", Format::Gpshell),
        (b"whatever else", Format::List),
    ] {
        assert_eq!(detect(bytes), Ok(format), "{bytes:02X?}");
    }
    for (bytes, reason) in [
        (&b"SMCB\x01"[..], ScriptReason::Batch),
        (b"PK\x03\x04", ScriptReason::CapFile),
        (b"\xFF\xFE0\x000\x00", ScriptReason::NotText),
    ] {
        let fault = detect(bytes).expect_err("refused");
        assert_eq!(fault, ScriptFault { place: Place::Offset(0), reason });
        assert!(!fault.reason.advice().is_empty());
    }
}

fn points(text: &str, recovery: Recovery) -> Vec<u32> {
    let script = list::parse(text).expect("a list");
    let file = script.build(recovery, true).expect("commands").finish().expect("a batch");
    let batch = Batch::parse(&file).expect("a batch");
    assert!(batch.needs_confirmation());
    assert_eq!(batch.has_recovery(), recovery != Recovery::None);
    batch.recovery_points().map(|point| point.command).collect()
}

#[test]
fn recovery_points_stand_before_functions() {
    let package = "80E60200\n80E80000\n80E88001\n80E60C00\n80E20000\n80E28001\n80E40080";
    assert_eq!(points(package, Recovery::Functions), [1, 4, 5, 7]);
    assert_eq!(points(package, Recovery::Commands), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(points(package, Recovery::None), [0; 0]);
}

#[test]
fn no_function_point_loses_the_application_selected() {
    let personal = "80E60C00\n00A4040005A000000001\n80E20000\n00D60000\n00A4040000\n80E40080\n00700000\n80E40080";
    assert_eq!(points(personal, Recovery::Functions), [1, 2, 5, 6, 7]);
}

#[test]
fn debug_shows_no_commands() {
    let script = list::parse("80D80102 03 C0FFEE\n84D80102").expect("a list");
    assert_eq!(format!("{script:?}"), "Script of 2 commands, 1 notes");
}
