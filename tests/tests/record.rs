//! A client at work on a mounted card, recorded; the batch issues a second card.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use smcard_fixtures::aid;
use smcard_tests::mounted::hex;
use smcard_tests::{Mounted, Setup, batch};

const ALLOWED: &str = "record = true\n";

fn recording() -> Mounted {
    Setup::new().groups("users", "games").configured(ALLOWED).mount()
}

/// A client: installs are the batch author's business, so this one works with the NDEF tag as a reader would.
const CLIENT: &str = "smcardctl apdu 00A4040007D2760000850101 00A4000C02E104 00D6000204D1010154 00D60000020004 00A4000C02E999 \
    > /dev/null; true";

#[test]
fn what_a_client_does_becomes_a_batch_that_does_it_on_another_card() {
    let (first, second) = (recording(), Setup::new().mount());
    for card in [&first, &second] {
        card.put(batch::ndef(), "ndef.batch");
        card.ctl(&["start", "ndef.batch"]).ok();
    }
    let said = first.shell(&format!("smcardctl record -o client.batch --json -- sh -c '{CLIENT}'")).ok().json();
    assert_eq!((&said["commands"], &said["ended"]), (&4.into(), &0.into()), "{said}");
    assert_eq!(said["left_out"][0]["commands"], 1, "the file that is not there: {said}");
    let file = first.scratch().join("client.batch");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    second.put(&fs::read(&file).unwrap(), "client.batch");
    second.ctl(&["start", "client.batch"]).ok();
    let read = |card: &Mounted| {
        let select = format!("00A40400{:02X}{}", aid::NDEF_INSTANCE.len(), hex(aid::NDEF_INSTANCE));
        card.json(&["apdu", &select, "00A4000C02E104", "00B0000006"])[2]["response"].to_string()
    };
    assert_eq!(read(&first), "\"0004D1010154\"");
    assert_eq!(read(&first), read(&second));
    assert_eq!(fs::read(first.path("record")).unwrap(), b"", "nothing is left in the daemon");
    assert_eq!(first.value("record.log"), "stopped 0");
}

#[test]
fn recording_is_there_only_where_it_is_allowed() {
    let card = Setup::new().mount();
    assert!(!card.names("").iter().any(|name| name.starts_with("record")));
    card.shell("smcardctl record -o a.batch -- true").expect(1).fails("record = true");
    card.shell("echo start > $CARD/record").fails("");
    assert!(!card.scratch().join("a.batch").exists());

    let card = recording();
    assert_eq!(card.names("").iter().filter(|name| name.starts_with("record")).count(), 2);
    card.shell("smcardctl record -o a.batch -- true").expect(1).fails("nothing was recorded");
    card.shell("echo play > $CARD/record").fails("Invalid argument");
    let owners = card.shell("stat -c '%a %U:%G' $CARD/record $CARD/record.log").ok();
    assert_eq!(owners.stdout, "660 root:games\n440 root:games\n");
}

#[test]
fn a_shell_is_enough() {
    let card = recording();
    card.put(batch::ndef(), "ndef.batch");
    card.ctl(&["start", "ndef.batch"]).ok();
    let script = format!(
        "echo start > $CARD/record && {CLIENT} && cat $CARD/record.log && echo stop > $CARD/record \
        && cat $CARD/record > a.batch && echo forget > $CARD/record && smcardctl inspect a.batch | grep -c '^[0-9]'"
    );
    let said = card.shell(&script).ok().stdout;
    assert_eq!(said, "recording 4\n1\trefused by the card\n4\n");
}
