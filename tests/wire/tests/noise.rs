//! Bits turned round, lost and doubled.

use smcard_wire::noise::survey::{run, sum};

#[test]
fn every_transfer_is_right_repaired_or_reported() {
    let results = run(600, 1).expect("cards that work on a quiet wire");
    let all = sum(&results);
    assert_eq!((all.secure().wrong, all.twice, all.strange), (0, 0, 0), "{results:#?}");
    assert!(all.secure().at_once > 3_000 && all.secure().repaired > 300 && all.secure().reported > 300, "{all:?}");
    assert!(all.blocks.wrong <= 2, "CRC16 lets hardly anything through: {all:?}");
}
