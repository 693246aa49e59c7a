//! Whole scripts. The bytes of INSTALL and DELETE are those that GPShell's library sent in its recorded load session
//! (`install_mac_enc` of its SCP02 tests), unwrapped.

use super::super::{Place, ScriptReason};
use super::*;
use crate::hex::Hex;

fn read_with(text: &str, cap: &[u8]) -> Result<Script, ScriptFault> {
    let mut read_cap =
        |name: &str| if name == "a.cap" { Ok(cap.to_vec()) } else { Err(format!("{name} is not there")) };
    parse(text, &mut read_cap)
}

fn read(text: &str) -> Result<Script, ScriptFault> {
    read_with(text, &smcard_fixtures::ndef_cap())
}

fn commands(script: &Script) -> Vec<String> {
    script.commands().map(|command| Hex(&command.to_vec().expect("encoded")).to_string()).collect()
}

#[test]
fn a_script_as_people_have_them_is_read() {
    let text = "mode_211\nenable_trace\nenable_timer\n\nestablish_context\ncard_connect\nselect -AID a000000151000000\n\
                open_sc -security 1 -keyind 0 -keyver 0 -mac_key 404142434445464748494a4b4c4d4e4f // Open secure channel\n\
                delete -AID F0534D4341524401\ninstall -file a.cap -instParam 00 -priv 2\n# getdata\n\
                \x20 // options:\n  //   -keyind Key index\ncard_disconnect\nrelease_context\n";
    let script = read(text).expect("a script");
    let commands = commands(&script);
    assert_eq!(commands.first().map(String::as_str), Some("00A4040008A00000015100000000"));
    assert_eq!(commands.get(1).map(String::as_str), Some("80E400800A4F08F0534D434152440100"));
    assert_eq!(commands.get(2).map(String::as_str), Some("80E602001508F0534D434152440108A00000015100000000000000"));
    assert!(commands[3].starts_with("80E80000F7C4"), "{}", commands[3]);
    let install = commands.last().expect("commands");
    assert!(install.starts_with("80E60C00") && install.ends_with("010203C901000000"), "{install}");
    let noted: Vec<_> = script.notes().iter().map(|note| note.place).collect();
    assert_eq!(noted, [1, 2, 3, 5, 6, 8, 9, 14, 15].map(Place::Line));
    assert!(!script.notes().iter().any(|note| note.kind.to_string().contains("4041")));
}

#[test]
fn the_bytes_are_those_the_tool_sends() {
    for (line, command) in [
        ("delete -AID D0D1D2D3D4D501", "80E40080094F07D0D1D2D3D4D50100"),
        (
            "install_for_load -pkgAID D0D1D2D3D4D501 -sdAID A000000003000000 -nvCodeLimit 352 -nvDataLimit 2000",
            "80E602001E07D0D1D2D3D4D50108A000000003000000000AEF08C6020160C80207D00000",
        ),
        (
            "install_for_install -pkgAID D0D1D2D3D4D501 -AID D0D1D2D3D4D50101 -priv 2 -instParam 00 -nvDataLimit 2000",
            "80E604002707D0D1D2D3D4D50108D0D1D2D3D4D5010108D0D1D2D3D4D50101010209C90100EF04C80207D00000",
        ),
        ("install_for_load -pkgAID D0D1D2D3D4D501", "80E602000C07D0D1D2D3D4D5010000000000"),
        ("install_for_make_selectable -instAID D0D1D2D3D4 -priv 0x04", "80E608000C000005D0D1D2D3D40104000000"),
        ("install_for_personalization -aid D0D1D2D3D4", "80E620000B000005D0D1D2D3D400000000"),
        ("select", "00A4040000"),
        ("send_apdu -sc 1 -APDU 80E28000020102", "80E28000020102"),
        ("store_data -data 0102 -dataFormat 0x10 -dataEncryption 0x60", "80E2F000020102"),
        ("delete_key -keyver 1 -keyind 2", "80E4008006D00102D2010100"),
        ("delete_key -keyver 115", "80E4008003D2017300"),
    ] {
        assert_eq!(commands(&read(line).expect(line)), [command], "{line}");
    }
}

#[test]
fn store_data_is_cut_into_numbered_blocks() {
    let script = read(&format!("store_data -data {} -responseDataExpected 1", "07".repeat(300))).expect("a script");
    let heads: Vec<_> = script.commands().map(|c| (c.p1, c.p2, c.data.len(), c.le)).collect();
    assert_eq!(heads, [(0x01, 0, 255, None), (0x81, 1, 45, Some(256))]);
}

#[test]
fn a_load_is_that_of_pack() {
    let cap = crate::CapFile::read(&smcard_fixtures::ndef_cap()).expect("a CAP file");
    let mut plan = crate::IssuePlan::new(&cap);
    plan.install_all().expect("applets");
    let packed = plan.build().expect("commands").finish().expect("a batch");
    let script = read("install -file a.cap").expect("a script");
    let imported = script.build(crate::issue::Recovery::None, false).expect("commands").finish().expect("a batch");
    assert!(packed == imported);
    let two = read("install_for_load -pkgAID F0534D4341524401\nload -file a.cap").expect("a script");
    assert_eq!(commands(&two), commands(&script)[..two.count()]);
}

#[test]
fn what_cannot_be_in_a_batch_is_refused_with_its_line() {
    for (line, says) in [
        ("get_status -element 40", "asks the card"),
        ("get_data -identifier 9F7F", "asks the card"),
        ("put_sc_key -keyver 0 -newkeyver 1 -mac_key 404142434445464748494a4b4c4d4e4f", "keys travel encrypted"),
        ("mode_201", "OpenPlatform"),
        ("frobnicate", "'frobnicate' is no command"),
        ("00A4040000", "what stands there is no command"),
        ("select -AID A0", "5 to 16 bytes"),
        ("select -AID ${AID}", "environment"),
        ("select -aids A0", "is no option"),
        ("delete", "-AID needs to be given"),
        ("delete_key -keyver 0", "-keyver"),
        ("install -file b.cap", "b.cap is not there"),
        ("install -file a.cap -AID A000000001", "no applet A000000001"),
        ("install -file a.cap -pkgAID A000000001", "-pkgAID"),
        ("install -file \"a.cap", "quote"),
        ("install_for_load -pkgAID A000000001 -nvCodeLimit 70000", "65535"),
        ("install_for_load -pkgAID", "-pkgAID needs a value"),
        ("send_apdu -APDU 00A4", "too few"),
        ("send_apdu -APDU xyz", "hexadecimal"),
        ("send_apdu -sc 0", "-APDU needs to be given"),
    ] {
        let fault = read(&format!("mode_211\n\n{line}")).expect_err(line);
        let said = fault.to_string();
        assert_eq!(fault.place, Place::Line(3), "{line}");
        assert!(said.contains(says), "{line}: {said}");
        assert!(!said.contains("4041"), "{said}");
    }
    let long = "00".repeat(250);
    let fault =
        read(&format!("install_for_install -pkgAID A000000001 -AID A000000002 -instParam {long}")).expect_err("long");
    assert!(matches!(fault.reason, ScriptReason::TooLong(256..)), "{fault}");
}

#[test]
fn an_exit_ends_the_script() {
    let script = read("select\nexit\nget_status").expect("a script");
    assert_eq!((script.count(), script.notes().last().map(|note| note.kind)), (1, Some(NoteKind::Exit)));
}
