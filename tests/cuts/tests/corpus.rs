//! Replays the corpus of the fuzz target `image` with any compiler, and inputs at random.

use smcard_cuts::fuzz;
use smcard_flash::sim::Random;
use std::fs;
use std::path::Path;

#[test]
fn images_of_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/image");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        fuzz::image(&fs::read(&path).expect("a file"));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn images_changed_at_random() {
    for seed in 0..2000 {
        let mut random = Random::new(seed);
        let length = 1 + random.below(120);
        let input: Vec<u8> = (0..length).map(|_| random.next().to_be_bytes()[0]).collect();
        println!("seed {seed}");
        fuzz::image(&input);
    }
}
