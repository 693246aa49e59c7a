//! Replays the corpora of the fuzz targets `mmc_driver` and `psi` with any compiler, and inputs at random.

#[path = "../../fuzz/src/mmc_driver.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses it from outside")]
mod mmc_driver;
#[path = "../../fuzz/src/psi.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses it from outside")]
mod psi;

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

/// Inputs at random, of any length up to a kilobyte.
fn at_random(target: fn(&[u8]), runs: u32) {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        random.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes()
    };
    for _ in 0..runs {
        let [a, b, ..] = next();
        let length = usize::from(u16::from_be_bytes([a, b]) % 1024);
        let input: Vec<u8> = (0..length).map(|_| next()[2]).collect();
        target(&input);
    }
}

#[test]
fn kernels_of_the_corpus() {
    replay("mmc_driver", mmc_driver::mmc_driver);
}

#[test]
fn kernels_that_talk_at_random() {
    at_random(mmc_driver::mmc_driver, 2000);
}

#[test]
fn registers_of_the_corpus() {
    replay("psi", psi::psi);
}

#[test]
fn hosts_that_talk_at_random() {
    at_random(psi::psi, 2000);
}
