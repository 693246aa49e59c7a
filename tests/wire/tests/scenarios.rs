//! The same story over every cable.

use smcard_wire::cable::Cable;
use smcard_wire::scenario::all;

#[test]
fn every_story_ends_the_same_on_every_cable() {
    let mut wrong = String::new();
    for scenario in all(false) {
        let (outcomes, differences) = scenario.differences().expect("a story that can be told");
        wrong += &differences;
        for (cable, outcome) in outcomes {
            for cost in outcome.costs.iter().filter(|cost| cost.direct) {
                assert_eq!(cost.exchanges, 2, "{}: {}", cable.name(), cost.what);
                assert_eq!(cost.wire > 0, cable != Cable::Call, "{}: {}", cable.name(), cost.what);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
