//! Two hundred kills, and some.

use std::thread;

use smcard_kills::card::Recovery;
use smcard_kills::ledger::Found;
use smcard_kills::{LifeId, Report, live, live_forgetful};

/// Kills of one card of each kind; together more than 200.
const KILLS: u64 = 72;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_half_issued_is_visible() {
    let mut report = Report::default();
    let lives = thread::scope(|scope| {
        let lives = Recovery::ALL.map(|recovery| {
            scope.spawn(move || {
                let mut report = Report::default();
                live(LifeId { recovery, seed: 1 }, KILLS, &mut report).map(|()| report)
            })
        });
        lives.map(|life| life.join().unwrap())
    });
    for life in lives {
        report.add(&life.unwrap_or_else(|broken| panic!("{broken}")));
    }
    println!("{report}");
    assert_eq!((report.lives, report.all_kills()), (3, 3 * KILLS));
    // The kills fall where they can do harm: otherwise this would test nothing.
    assert!(report.interrupted() > KILLS, "{report}");
    assert!(report.times("START", Found::Between) > 5, "{report}");
    for what in ["cp", "START"] {
        assert!(report.times(what, Found::Before) > 5, "{what}: {report}");
    }
    assert!(report.acknowledged() > 5 * KILLS && report.cuts > 10, "{report}");
}

#[test]
fn a_card_that_forgets_what_it_acknowledged_is_found_out() {
    for recovery in Recovery::ALL {
        let mut report = Report::default();
        let broken = live_forgetful(LifeId { recovery, seed: 2 }, 20, &mut report).unwrap_err();
        assert!(broken.contains("the ledger allows"), "{broken}");
        assert!(report.acknowledged() > 0, "{broken}");
    }
}
