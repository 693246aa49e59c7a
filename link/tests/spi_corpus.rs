//! Replays the corpus of the fuzz target `spi_driver` with any compiler, and inputs at random.

#[path = "../../fuzz/src/spi_driver.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses it from outside")]
mod spi_driver;

use std::fs;
use std::path::Path;

#[test]
fn cards_of_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/spi_driver");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        spi_driver::spi_driver(&fs::read(&path).expect("a file"));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

/// Bytes at random, most of them the ones a card says most.
#[test]
fn cards_that_talk_at_random() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        random.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes()
    };
    for _ in 0..300 {
        let usual = next()[0] % 8;
        let input: Vec<u8> = (0..next()[0] as usize * 8)
            .map(|_| match next() {
                [kind, ..] if kind % 8 < usual => 0xFF,
                [_, kind, ..] if kind % 4 == 0 => 0x00,
                [_, kind, ..] if kind % 4 == 1 => 0x01,
                [_, _, kind, ..] if kind % 4 == 0 => 0xFE,
                [.., byte] => byte,
            })
            .collect();
        spi_driver::spi_driver(&input);
    }
}
