//! What is counted is what passes.

use smcard_wire::batches;
use smcard_wire::cable::Cable;
use smcard_wire::efficiency::{TARGET, payload, timed};
use smcard_wire::table::ratio;
use std::time::Duration;

#[test]
fn a_megabyte_over_spi_is_payload_for_the_most_part() {
    let file = batches::large().expect("a batch");
    let (payload, traffic) = payload(Cable::Spi, &file).expect("written");
    assert!(ratio(payload, traffic.clocks) >= TARGET, "{payload} of {}", traffic.clocks);
}

/// On SPI every bit is clocked, so the computed time and the time of the bus are one.
#[test]
fn computed_times_are_those_of_the_bus() {
    for work in [0, 3, 50, 750].map(Duration::from_millis) {
        let (passed, computed) = timed(Cable::Spi, work).expect("answered");
        assert!(passed.abs_diff(computed) < Duration::from_micros(1), "{work:?}: {passed:?}, computed {computed:?}");
    }
}
