//! The shipped program, and a card that is taken out and put back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Mounted, PATIENCE, Place, batch, run, smcardd};
use smcard_ioctl::StartRequest;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<i32> {
    result.unwrap_err().raw_os_error()
}

const ENODEV: Option<i32> = Some(19);

fn gone(card: &Mounted) -> bool {
    card.read("status") == "none: the card is gone"
}

#[test]
fn programs_see_enodev_until_the_card_is_back() {
    let place = Place::new();
    let card = place.mount(&[]);
    fs::write(card.path("issue/app.batch"), batch(3)).unwrap();
    let mut half = fs::File::create(card.path("issue/half")).unwrap();
    half.write_all(&batch(9)[..50]).unwrap();
    let away = place.dir.path().join("pocket");
    fs::rename(place.image(), &away).unwrap();
    until("its removal is noticed", || gone(&card));
    assert_eq!(errno(fs::read_dir(card.path("issue")).map(drop)), ENODEV);
    assert_eq!(errno(fs::write(card.path("issue/new"), batch(1))), ENODEV);
    assert_eq!(errno(half.write_all(&batch(9)[50..])), ENODEV);
    assert!(card.client().start(&StartRequest::default()).is_err());
    fs::rename(&away, place.image()).unwrap();
    until("it is back", || !gone(&card));
    assert_eq!(errno(half.write_all(&batch(9)[50..])), ENODEV, "what was meant for it before is over");
    drop(half);
    let names: Vec<_> = fs::read_dir(card.path("issue")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["app.batch"]);
    let client = card.client();
    let outcome = client.wait(client.start(&StartRequest::default()).unwrap(), Some(PATIENCE)).unwrap();
    assert_eq!((outcome.sw, outcome.given), (0x9000, 3));
    let said = card.stop();
    assert!(said.contains("the card is gone") && said.contains("the card is back"), "{said}");
}

#[test]
fn another_card_is_seen_as_another() {
    let place = Place::new();
    let other = place.dir.path().join("other.img");
    assert!(run(smcardd().arg("create").arg(&other).args(["--size", "4M"])).status.success());
    let card = place.mount(&[]);
    fs::write(card.path("issue/app.batch"), batch(3)).unwrap();
    let before = (card.read("card/cid"), card.number("card/capacity_bytes"));
    fs::rename(&other, place.image()).unwrap();
    until("another is there", || card.read("status") == "ready");
    until("and named", || fs::read_to_string(card.path("card/cid")).is_ok_and(|cid| cid.trim_end() != before.0));
    assert!(card.number("card/capacity_bytes") < before.1);
    assert_eq!(fs::read_dir(card.path("issue")).unwrap().count(), 0);
    fs::write(card.path("issue/app.batch"), batch(2)).unwrap();
}

#[test]
fn a_daemon_without_a_card_ends_as_any_other() {
    let place = Place::new();
    let card = place.mount(&[]);
    fs::remove_file(place.image()).unwrap();
    until("its removal is noticed", || gone(&card));
    let begun = Instant::now();
    card.stop();
    assert!(begun.elapsed() < Duration::from_secs(5));
}
