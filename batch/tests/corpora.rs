//! Replays the fuzzers' corpora with any compiler.

#[path = "../../fuzz/src/targets.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use it from outside")]
mod targets;

use std::fs;
use std::path::Path;

/// Runs every file of a corpus through its target; a corpus must not be empty.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        target(&fs::read(&path).expect("a file"));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn apdu() {
    replay("apdu", targets::apdu);
}

#[test]
fn batch() {
    replay("batch", targets::batch);
}

#[test]
fn cap() {
    replay("cap", targets::cap);
}

#[test]
fn load_file() {
    replay("load_file", targets::load_file);
}
