//! Every golden image opens, says what it said, and its card goes on.

use smcard_card::{EmulatedCard, OpenOptions};
use smcard_cuts::observe::observe;
use smcard_cuts::view::without_sequence;
use smcard_cuts::{apdu, golden};
use smcard_flash::sim::Simulator;
use smcard_link::SecureCard;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/images")
}

/// Image and view of each golden image, by `VERSION/NAME`.
fn images() -> BTreeMap<String, (Vec<u8>, String)> {
    let entries = |path: &Path| fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut images = BTreeMap::new();
    for version in entries(&folder()).filter(|path| path.is_dir()) {
        for path in entries(&version).filter(|path| path.extension().is_some_and(|extension| extension == "zip")) {
            let archive = fs::read(&path).expect("an archive");
            let mut archive = zip::ZipArchive::new(Cursor::new(archive)).expect("an archive");
            let mut bytes = Vec::new();
            archive.by_name("card.img").expect("an image").read_to_end(&mut bytes).expect("an image");
            let view = fs::read_to_string(path.with_extension("txt")).expect("its view");
            let name = path.with_extension("");
            images.insert(name.strip_prefix(folder()).expect("below").display().to_string(), (bytes, view));
        }
    }
    images
}

/// A golden image of this version.
fn image(name: &str) -> (Vec<u8>, String) {
    images().remove(&format!("{}/{name}", env!("CARGO_PKG_VERSION"))).expect("a golden image")
}

#[test]
fn this_version_has_images_of_every_state() {
    let images = images();
    for golden in golden::all().expect("golden images") {
        let kept = &images.get(&format!("{}/{}", env!("CARGO_PKG_VERSION"), golden.name)).expect("kept").1;
        assert_eq!(*kept, golden.view, "{}: what is made today looks otherwise", golden.name);
    }
}

#[test]
fn every_image_says_what_it_said() {
    let images = images();
    assert!(images.len() >= 7);
    for (name, (bytes, view)) in images {
        let found = observe(&Simulator::from_bytes(bytes)).unwrap_or_else(|what| panic!("{name}: {what}"));
        assert_eq!(found, view, "{name}");
    }
}

#[test]
fn opening_an_image_file_changes_no_byte_of_it_unless_an_issue_is_to_be_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, (bytes, _)) in images() {
        let path = folder.path().join("card.img");
        fs::write(&path, &bytes).expect("a copy");
        drop(EmulatedCard::open(&path, OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}")));
        let same = fs::read(&path).expect("the copy") == bytes;
        assert_eq!(same, !name.ends_with("/failed-restart"), "{name}");
    }
}

/// Opens a copy of an image, sends commands that must succeed, and gives the view afterwards.
fn after(name: &str, commands: &[&[u8]]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("card.img");
    fs::write(&path, image(name).0).expect("a copy");
    let mut card = EmulatedCard::open(&path, OpenOptions::default()).expect("a card");
    for command in commands {
        assert_eq!(card.transmit(command).expect("an answer").sw, 0x9000, "{name}");
    }
    drop(card);
    observe(&Simulator::from_bytes(fs::read(&path).expect("the copy"))).expect("a card")
}

#[test]
fn a_broken_issue_goes_on_with_the_version_at_hand() {
    let start = apdu::start("app");
    let done = after("interrupted-function", &[&start]);
    assert_eq!(without_sequence(&done), without_sequence(&image("applications").1));
    let applications = |view: &str| view.lines().filter(|line| line.starts_with("appl")).count();
    let done = after("interrupted-command", &[&start]);
    assert!(done.contains("done, 10 of 10") && applications(&done) == 2, "{done}");
    let cleared = after("failed-function", &[apdu::CLEAR]);
    assert!(!cleared.contains("issue") && applications(&cleared) == 2, "{cleared}");
    let confirmed = after("awaiting-confirmation", &[apdu::CONFIRM]);
    assert!(confirmed.contains("done, 5 of 5") && applications(&confirmed) == 3, "{confirmed}");
    let cleared = after("awaiting-confirmation", &[apdu::CLEAR]);
    assert!(!cleared.contains("issue") && applications(&cleared) == 2, "{cleared}");
}
