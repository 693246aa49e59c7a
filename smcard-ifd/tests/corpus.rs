//! Replays the corpus of the fuzz target `ifd` with any compiler, and inputs at random.

#[path = "../../fuzz/src/ifd.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses it from outside")]
mod ifd;

use proptest::prelude::*;
use std::fs;
use std::path::Path;

#[test]
fn the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/ifd");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        ifd::ifd(&fs::read(&path).expect("a file"));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

proptest! {
    /// Mostly whole messages, so that more than the first is looked at.
    #[test]
    fn inputs_at_random(
        operations in proptest::collection::vec(any::<u8>(), 0..15),
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..12),
        cut in 0..4_usize,
    ) {
        let mut input = vec![u8::try_from(operations.len()).expect("small")];
        input.extend_from_slice(&operations);
        for message in &messages {
            input.extend_from_slice(&u16::try_from(message.len()).expect("small").to_be_bytes());
            input.extend_from_slice(message);
        }
        input.truncate(input.len().saturating_sub(cut).max(1 + operations.len()));
        ifd::ifd(&input);
    }
}
