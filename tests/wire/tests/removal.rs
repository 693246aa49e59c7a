//! The card is pulled everywhere.

use smcard_wire::cable::Cable;
use smcard_wire::removal::{Deed, Mishap, everywhere};

#[test]
fn a_card_pulled_in_the_middle_of_any_byte_is_whole_when_it_is_in_again() {
    for (deed, least) in [(Deed::Apdu, 1_000), (Deed::Write, 4_000), (Deed::Start, 1_000)] {
        let pulls = everywhere(Cable::Spi, deed, Mishap::Pulled, 1).expect("whole");
        assert!(pulls.places >= least && pulls.undone > 0 && pulls.happened > 0, "{deed:?}: {pulls:?}");
    }
}

#[test]
fn a_card_pulled_before_any_command_or_block_is_whole_when_it_is_in_again() {
    for deed in Deed::ALL {
        let pulls = everywhere(Cable::Mmc, deed, Mishap::Pulled, 1).expect("whole");
        assert!(pulls.places >= 10 && pulls.undone > 0 && pulls.happened > 0, "{deed:?}: {pulls:?}");
    }
}

#[test]
fn a_data_line_that_sticks_is_waited_for_or_told() {
    for deed in Deed::ALL {
        for bytes in [1, 30, 50_000] {
            let stuck = everywhere(Cable::Spi, deed, Mishap::Stuck(bytes), 23).expect("whole");
            assert!(stuck.places >= 40 && stuck.done + stuck.undone + stuck.happened == stuck.places, "{stuck:?}");
            assert!(stuck.done > 0 || bytes > 30, "{deed:?}, {bytes}: {stuck:?}");
        }
    }
}
