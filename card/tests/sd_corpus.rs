//! Replays the corpus of the fuzz target `spi_card` with any compiler, and inputs at random.

#[path = "../../fuzz/src/spi_card.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses it from outside")]
mod spi_card;

use proptest::prelude::*;
use std::fs;
use std::path::Path;

#[test]
fn hosts_of_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/spi_card");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        spi_card::spi_card(&fs::read(&path).expect("a file"));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

proptest! {
    #[test]
    fn hosts_at_random(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        spi_card::spi_card(&data);
    }
}
