//! The programs of opensc, pcsc-tools and pyscard.

use crate::rig::{Rig, Way};
use smcard_tests::{binaries, run};

/// The ATR, as the programs write it.
const ATR: &str = "3b:85:80:01:80:73:c0:01:40:76";

/// `opensc-tool` tells the ATR and sends commands.
///
/// # Panics
/// If it does not.
pub fn opensc(rig: &Rig, way: Way) {
    let tool = |arguments: &[&str]| {
        run(rig.client("opensc-tool").args(["--reader", way.reader()]).args(arguments)).ok().stdout
    };
    assert_eq!(tool(&["--atr"]).trim(), ATR);
    let said = tool(&["--send-apdu", "00A4040000", "--send-apdu", "80CA006600", "--send-apdu", "80FE000000"]);
    let words: Vec<&str> = said.lines().filter(|line| line.starts_with("Received")).collect();
    assert_eq!(words.len(), 3, "{said}");
    assert!(words[0].contains("SW1=0x90, SW2=0x00") && words[1].contains("SW1=0x90"), "{said}");
    assert!(words[2].contains("SW1=0x6D, SW2=0x00"), "{said}");
}

/// `pcsc_scan` sees the card in both readers.
///
/// # Panics
/// If it does not.
pub fn pcsc_scan(rig: &Rig) {
    // It scans until it is ended.
    let said = run(rig.client("timeout").args(["3", "pcsc_scan", "-n"])).stdout;
    let atr = ATR.replace(':', " ").to_uppercase();
    assert_eq!(said.matches(&atr).count(), 2, "{said}");
    for way in Way::ALL {
        assert!(said.contains(way.reader()), "{said}");
    }
}

/// `pyscard`: lists, selects, sends extended commands, resets.
///
/// # Panics
/// If something is not as it should be.
pub fn pyscard(rig: &Rig, way: Way) {
    // Debian's interpreter, for Debian's package.
    let script = binaries::source("tests/clients/python/session.py");
    let limit = match way {
        Way::Vpcd => "none",
        Way::Handler => "65526",
    };
    let said = run(rig.client("/usr/bin/python3").arg(script).args([way.reader(), limit])).ok().stdout;
    assert!(said.ends_with("done\n"), "{said}");
}
