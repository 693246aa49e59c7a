//! The card is taken out, and put back, or another one.

use super::{open, result, rows, start, status, submit, transmit, until};
use crate::refusal::Refusal;
use crate::terminal::progress::Action;
use crate::testing::{ME, Rig, Setup, batch};
use crate::tree::ISSUE;
use rustix::io::Errno;
use smcard_card::scp03::{StaticKeys, TEST_KEY_VERSION};
use smcard_card::{CreateOptions, EmulatedCard};
use smcard_ioctl::abi;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SIZE: u64 = 4 << 20;

/// A slot for cards: images that get its name.
struct Slot {
    dir: tempfile::TempDir,
}

impl Slot {
    fn new() -> Self {
        let slot = Slot { dir: tempfile::tempdir().unwrap() };
        slot.make("first", StaticKeys::test());
        slot.insert("first");
        slot
    }

    fn make(&self, name: &str, keys: StaticKeys) {
        let options = CreateOptions { size: SIZE, keys, key_version: TEST_KEY_VERSION, ..CreateOptions::default() };
        EmulatedCard::create(&self.path(name), &options).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn slot(&self) -> PathBuf {
        self.path("slot")
    }

    fn insert(&self, name: &str) {
        fs::rename(self.path(name), self.slot()).unwrap();
    }

    fn pull(&self, name: &str) {
        fs::rename(self.slot(), self.path(name)).unwrap();
    }

    fn rig(&self, setup: Setup) -> Rig {
        Rig::on_image(setup, &self.slot())
    }
}

fn cid(rig: &Rig) -> [u8; 16] {
    rig.core.read(|state| state.view.properties.cid)
}

fn present(rig: &Rig) -> bool {
    rig.core.read(|state| !state.view.gone)
}

fn slow() -> Setup {
    Setup { delay: Duration::from_millis(40), ..Setup::default() }
}

#[test]
fn a_card_pulled_while_idle_is_enodev_and_known_again_when_it_is_back() {
    let slot = Slot::new();
    let rig = slot.rig(Setup::default());
    rig.copy("app", &batch(3)).unwrap();
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "app").unwrap();
    assert_eq!(result(&rig, fh, ticket).sw, 0x9000);
    let (before, exchanges) = (cid(&rig), rig.exchanges());
    slot.pull("first");
    until("nobody has to ask for it to be noticed", || !present(&rig));
    assert_eq!(rig.line(), "none: the card is gone");
    assert_eq!(rig.ask(|core, reply| core.opendir(ISSUE, reply)).err(), Some(Refusal::Gone));
    assert_eq!(rig.ask(|core, reply| core.lookup(ISSUE, b"app", reply)).err(), Some(Refusal::Gone));
    assert_eq!(start(&rig, fh, "app"), Err(Refusal::Gone));
    assert_eq!(status(&rig, fh).card_state, 0);
    slot.insert("first");
    until("it is back", || present(&rig));
    assert_eq!(cid(&rig), before);
    assert_eq!(rig.list().len(), 1);
    assert_eq!(status(&rig, fh).issues, 1, "the same card: what is known of it stays");
    assert!(rig.line().starts_with("done app"), "{}", rig.line());
    rig.copy("new", &batch(1)).unwrap();
    assert!(rig.exchanges() > exchanges, "exchanges are counted on");
}

#[test]
fn an_upload_is_over_when_the_card_is_pulled_and_stays_over() {
    let slot = Slot::new();
    let rig = slot.rig(Setup::default());
    let whole = batch(40);
    let (half, empty) = (rig.create("half").unwrap(), rig.create("empty").unwrap());
    rig.write(half, 0, &whole[..100]).unwrap();
    slot.pull("first");
    until("it is gone", || !present(&rig));
    assert_eq!(rig.write(half, 100, &whole[100..]), Err(Refusal::Gone));
    slot.insert("first");
    until("it is back", || present(&rig));
    for fh in [half, empty] {
        assert_eq!(rig.write(fh, 100, &whole[100..]), Err(Refusal::Gone));
        assert_eq!(rig.core.flush(ME, fh), Err(Refusal::Gone));
        rig.core.release(fh);
    }
    assert!(!rig.list().iter().any(|(name, _)| name == "half"));
    assert!(rig.line().contains("last upload refused: ") && rig.line().contains("the card is gone"), "{}", rig.line());
    rig.copy("half", &whole).unwrap();
}

#[test]
fn an_issue_is_over_at_once_when_the_card_is_pulled() {
    let slot = Slot::new();
    let rig = slot.rig(slow());
    rig.copy("app", &batch(250)).unwrap();
    let (fh, other) = (open(&rig, true), open(&rig, true));
    let issue = start(&rig, fh, "app").unwrap();
    let waiting = transmit(&rig, other, &[0x80, 0xCA, 0xDF, 0x74, 0]).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let begun = Instant::now();
    slot.pull("first");
    for (fh, ticket) in [(fh, issue), (other, waiting)] {
        let answer = result(&rig, fh, ticket);
        assert_eq!((answer.state, answer.result), (2, Errno::NODEV.raw_os_error()));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    slot.insert("first");
    until("it is back", || present(&rig));
    assert!(rig.line().contains("start goes on or over"), "{}", rig.line());
    assert_ne!(status(&rig, fh).facts & abi::FACT_INTERRUPTED, 0);
}

#[test]
fn a_pause_is_over_at_once_when_the_card_is_pulled() {
    let slot = Slot::new();
    let rig = slot.rig(Setup { table: rows(&[("none", Action::Resume, 9000)]), ..slow() });
    rig.copy("app", &batch(50)).unwrap();
    let fh = open(&rig, true);
    let ticket = start(&rig, fh, "app").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    rig.core.cut_power();
    until("it pauses", || rig.line().starts_with("recovering"));
    let begun = Instant::now();
    slot.pull("first");
    assert_eq!(result(&rig, fh, ticket).result, Errno::NODEV.raw_os_error());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

fn swapped(slot: &Slot, rig: &Rig) {
    let before = cid(rig);
    slot.pull("first");
    until("it is gone", || !present(rig));
    slot.insert("second");
    until("another is there", || present(rig));
    assert_ne!(cid(rig), before);
}

#[test]
fn another_card_gets_nothing_that_was_meant_for_the_first() {
    let slot = Slot::new();
    slot.make("second", StaticKeys::test());
    let rig = slot.rig(slow());
    rig.copy("app", &batch(20)).unwrap();
    let whole = batch(40);
    let (half, empty) = (rig.create("half").unwrap(), rig.create("empty").unwrap());
    rig.write(half, 0, &whole[..100]).unwrap();
    let (fh, talking) = (open(&rig, true), open(&rig, true));
    let ticket = start(&rig, fh, "app").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    swapped(&slot, &rig);
    assert_eq!(result(&rig, fh, ticket).result, Errno::NODEV.raw_os_error());
    assert_eq!(rig.line(), "ready; last upload refused: half: the card is gone".to_owned());
    assert_eq!((rig.list().len(), status(&rig, fh).issues), (0, 0), "nothing is said of a card that is not there");
    for fh in [half, empty] {
        assert_eq!(rig.write(fh, 100, &whole[100..]), Err(Refusal::Gone));
        assert_eq!(rig.core.flush(ME, fh), Err(Refusal::Gone));
        rig.core.release(fh);
    }
    // The batch of the first is not there to be started.
    let ticket = start(&rig, talking, "app").unwrap();
    assert_eq!(result(&rig, talking, ticket).sw, 0x6A82);
    rig.copy("app", &batch(2)).unwrap();
    assert_eq!(rig.list().len(), 1);
}

#[test]
fn a_dialogue_does_not_go_on_with_another_card() {
    let slot = Slot::new();
    slot.make("second", StaticKeys::test());
    let rig = slot.rig(Setup::default());
    let (talking, other) = (open(&rig, true), open(&rig, true));
    let select = [0x00, 0xA4, 0x04, 0x00, 0x00];
    let ticket = transmit(&rig, talking, &select).unwrap();
    assert_eq!(result(&rig, talking, ticket).sw, 0x9000);
    swapped(&slot, &rig);
    assert_eq!(transmit(&rig, talking, &select), Err(Refusal::Gone));
    let ticket = transmit(&rig, other, &select).unwrap();
    assert_eq!(result(&rig, other, ticket).sw, 0x9000, "one that begins now means the card that is there");
    rig.core.release(other);
    let reset = submit(&rig, talking, abi::RESET).unwrap();
    assert_eq!(result(&rig, talking, reset).state, 1);
    let ticket = transmit(&rig, talking, &select).unwrap();
    assert_eq!(result(&rig, talking, ticket).sw, 0x9000);
}

#[test]
fn keys_that_one_card_has_refused_are_tried_with_another() {
    let slot = Slot::new();
    fs::remove_file(slot.slot()).unwrap();
    slot.make("first", StaticKeys::new([1; 16], [2; 16], [3; 16]));
    slot.insert("first");
    slot.make("second", StaticKeys::test());
    let rig = slot.rig(Setup::default());
    assert_eq!(rig.copy("app", &batch(1)).unwrap_err().errno(), Errno::ACCESS);
    swapped(&slot, &rig);
    rig.copy("app", &batch(1)).unwrap();
}

#[test]
fn an_image_that_is_no_card_is_no_card() {
    let slot = Slot::new();
    let rig = slot.rig(Setup::default());
    slot.pull("first");
    until("it is gone", || !present(&rig));
    fs::write(slot.slot(), "not a card").unwrap();
    std::thread::sleep(Duration::from_millis(1300));
    assert_eq!(rig.line(), "none: the card is gone");
    assert_eq!(fs::read(slot.slot()).unwrap(), b"not a card");
    slot.insert("first");
    until("it is back", || present(&rig));
    assert!(Path::new(&slot.slot()).exists());
}
