//! The suites in small, with every test run; `make cuts` runs them whole.

use smcard_cuts::course::Course;
use smcard_cuts::id::Id;
use smcard_cuts::replay;
use smcard_cuts::suite::errors::Way;
use smcard_cuts::suite::random::Length;
use smcard_cuts::suite::{create, cuts, errors, random, sabotage};
use smcard_cuts::tears::Thoroughness;
use smcard_flash::sim::{Sabotage, sabotage as leave_out};
use std::time::Duration;

fn courses() -> Vec<Course> {
    Course::all().unwrap_or_else(|what| panic!("without any cut: {what}"))
}

#[test]
fn a_cut_anywhere_leaves_the_state_before_or_after() {
    let report = cuts::run(&courses(), &cuts::QUICK);
    assert!(report.failures.is_empty(), "{report}");
    assert!(report.passed == 6 && report.tried > 50_000, "{report}");
}

#[test]
fn a_cut_while_a_card_is_made_leaves_a_card_or_none() {
    let report = create::run(Thoroughness::Some);
    assert!(report.failures.is_empty(), "{report}");
    assert!(report.passed == 3 && report.tried > 150, "{report}");
}

#[test]
fn a_host_that_fails_makes_the_card_mute_and_harms_nothing() {
    let report = errors::run(&courses(), &Way::ALL[..2]);
    assert!(report.failures.is_empty(), "{report}");
    assert!(report.passed == 6 && report.tried > 5000, "{report}");
}

#[test]
fn cuts_at_random_do_no_harm_either() {
    let length = Length { cuts: 5000, time: Duration::from_secs(60) };
    let report = random::run(&courses(), 7, length, |_| {});
    assert!(report.failures.is_empty(), "{report}");
    assert!(report.tried >= 5000, "{report}");
}

#[test]
fn a_missing_barrier_is_noticed_and_its_id_reproduces() {
    let courses = courses();
    let course = courses.iter().find(|course| course.name == "command").expect("a course");
    for which in [Sabotage::Extents, Sabotage::Frame, Sabotage::Snapshot, Sabotage::Header] {
        let failure = sabotage::noticed(course, which).expect("nobody noticed");
        let id: Id = failure.id.parse().expect("an id");
        assert_eq!((id.suite.as_str(), id.case.as_str()), ("cuts", "command"));
        leave_out(Some(which));
        let again = replay::follow(course, &id.cuts, &mut drop);
        leave_out(None);
        assert_eq!(again.expect_err("it does not reproduce").to_string(), failure.what);
        let whole = replay::follow(course, &id.cuts, &mut drop);
        assert!(whole.is_ok(), "{which:?}: the same cuts do no harm with the barrier: {:?}", whole.err());
    }
}
