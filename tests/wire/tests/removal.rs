//! The card is pulled everywhere.

use smcard_wire::cable::Cable;
use smcard_wire::removal::{Deed, everywhere};

#[test]
fn a_card_pulled_in_the_middle_of_any_byte_is_whole_when_it_is_in_again() {
    for (deed, least) in [(Deed::Apdu, 1_000), (Deed::Write, 4_000), (Deed::Start, 1_000)] {
        let pulls = everywhere(Cable::Spi, deed, 1).expect("whole");
        assert!(pulls.places >= least && pulls.undone > 0 && pulls.happened > 0, "{deed:?}: {pulls:?}");
    }
}

#[test]
fn a_card_pulled_before_any_command_or_block_is_whole_when_it_is_in_again() {
    for deed in Deed::ALL {
        let pulls = everywhere(Cable::Mmc, deed, 1).expect("whole");
        assert!(pulls.places >= 10 && pulls.undone > 0 && pulls.happened > 0, "{deed:?}: {pulls:?}");
    }
}
