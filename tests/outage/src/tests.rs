//! Where the model could lie: the sums, and what a single break costs.

use crate::application::Application;
use crate::breaks::Breaks;
use crate::method::{METHODS, Method, Outcome, run};
use crate::profile::{Kind, LINK, RECONNECT, checking, writing};
use smcard_batch::Batch;
use smcard_link::RecoveryKind;
use std::time::Duration;

const ISSUES: [RecoveryKind; 3] = [RecoveryKind::Restart, RecoveryKind::Function, RecoveryKind::Command];

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn outcome(method: Method, application: &Application, breaks: Breaks) -> Outcome {
    let card = application.card(method.recovery()).expect("a card");
    run(method, application, card, breaks, Duration::from_secs(3_600)).expect("a run")
}

fn undisturbed(method: Method, application: &Application) -> Duration {
    let outcome = outcome(method, application, Breaks::Never);
    assert_eq!(outcome.begun, application.count);
    assert_eq!((outcome.breaks, outcome.aided), (0, 0));
    outcome.finished.expect("nothing disturbs")
}

fn small() -> Application {
    Application::new(5_000).expect("an application")
}

fn commands(application: &Application) -> Vec<Kind> {
    let batch = Batch::parse(&application.batch).expect("a batch");
    batch.commands().map(|command| Kind::of(command.bytes())).collect()
}

/// When the first command of an undisturbed issue begins inside the card.
fn first_command(application: &Application) -> Duration {
    let length = application.batch.len();
    let written = application.batch.chunks(4096).map(|piece| writing(piece.len())).sum::<Duration>();
    let authentication = ms(66) * 2;
    authentication + LINK / 2 + written + checking(length) + LINK / 2 + LINK / 2 + checking(length)
}

#[test]
fn loading_one_by_one_undisturbed_is_the_sum_of_what_was_seen() {
    let application = Application::new(30_000).expect("an application");
    // SELECT, INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, INSTALL, the first LOAD, 120 more, the last, INSTALL.
    let sum = ms(36 + 66 + 66 + 50 + 104 + 120 * 50 + 692 + 692);
    for method in [Method::OneByOne, Method::PackageByPackage] {
        assert_eq!(undisturbed(method, &application), sum);
    }
}

#[test]
fn an_undisturbed_issue_is_two_exchanges_and_the_sum_of_its_commands() {
    for size in [5_000, 100_000] {
        let application = Application::new(size).expect("an application");
        for kind in ISSUES {
            let inside = commands(&application).iter().map(|command| command.in_batch(kind)).sum::<Duration>();
            let sum = first_command(&application) + inside + LINK / 2;
            assert_eq!(undisturbed(Method::SelfIssue(kind), &application), sum, "{size}, {kind:?}");
        }
    }
}

#[test]
fn a_break_always_costs_and_one_behind_the_end_does_not() {
    let application = small();
    for method in METHODS {
        let alone = undisturbed(method, &application);
        let step = alone / 97;
        for number in 0..97 {
            let moment = step * number + Duration::from_micros(1);
            let broken = outcome(method, &application, Breaks::At(vec![moment]));
            let ended = broken.finished.expect("it ends");
            assert_eq!(broken.breaks, 1, "{method:?} at {moment:?}");
            assert!(broken.begun >= application.count, "{method:?} at {moment:?}");
            // What had been done before may be kept, but not the break itself.
            assert!(ended >= alone + RECONNECT, "{method:?} at {moment:?}: {ended:?}, undisturbed {alone:?}");
            assert!(ended <= moment + alone + RECONNECT + ms(500), "{method:?} at {moment:?}: {ended:?}");
        }
        assert_eq!(outcome(method, &application, Breaks::At(vec![alone])).finished, Some(alone), "{method:?}");
    }
}

#[test]
fn a_break_in_a_command_repeats_what_the_recovery_kind_says() {
    let application = small();
    let kinds = commands(&application);
    let batch = Batch::parse(&application.batch).expect("a batch");
    for recovery in ISSUES {
        let mut begins = first_command(&application);
        for (number, command) in (1..).zip(&kinds) {
            let lasts = command.in_batch(recovery);
            let broken = outcome(Method::SelfIssue(recovery), &application, Breaks::At(vec![begins + lasts / 2]));
            let again = match recovery {
                RecoveryKind::Restart => number,
                RecoveryKind::Command => 1,
                RecoveryKind::Function => {
                    number + 1 - batch.recovery_point_before(number).expect("the first command is one").command
                }
            };
            assert_eq!(broken.begun, application.count + again, "{recovery:?}: command {number}");
            assert_eq!(broken.aided, 0, "the terminal needs nobody");
            begins += lasts;
        }
    }
}

#[test]
fn an_issue_whose_answer_is_lost_is_not_made_again() {
    let application = small();
    for kind in ISSUES {
        let method = Method::SelfIssue(kind);
        let alone = undisturbed(method, &application);
        let broken = outcome(method, &application, Breaks::At(vec![alone - LINK / 4]));
        assert_eq!((broken.begun, broken.aided), (application.count, 0), "{kind:?}");
        assert_eq!(broken.finished, Some(alone - LINK / 4 + RECONNECT + ms(35)), "reset, and one question");
    }
}

#[test]
fn packages_that_are_complete_stay_only_where_they_may() {
    let application = Application::new(100_000).expect("an application");
    let alone = undisturbed(Method::OneByOne, &application);
    // In the last command.
    let breaks = || Breaks::At(vec![alone - ms(100)]);
    let [all, package] = [Method::OneByOne, Method::PackageByPackage].map(|m| outcome(m, &application, breaks()).begun);
    assert_eq!(all, 2 * application.count);
    let second = application.packages[1].commands.len();
    assert_eq!(package, application.count + u32::try_from(second).expect("few"));
}

#[test]
fn who_gives_up_gives_up_at_a_break_behind_the_limit() {
    let application = small();
    let card = || application.card(RecoveryKind::Restart).expect("a card");
    let limit = ms(10_000);
    for method in [Method::OneByOne, Method::SelfIssue(RecoveryKind::Restart)] {
        // The link lasts for a second each time: never long enough.
        let breaks = Breaks::At((0..10_000).map(|n| ms(1_000 + n * 100)).collect());
        let outcome = run(method, &application, card(), breaks, limit).expect("a run");
        assert_eq!(outcome.finished, None, "{method:?}");
        assert!(outcome.ended >= limit && outcome.ended < limit + RECONNECT + ms(2_000), "{outcome:?}");
    }
}

#[test]
fn where_the_table_gives_up_somebody_begins_again() {
    let application = Application::new(30_000).expect("an application");
    // For a while the link lasts for a second each time: an issue that begins anew does not get on.
    let breaks = Breaks::At((1..=60).map(|n| ms(1_000 * n)).collect());
    let broken = outcome(Method::SelfIssue(RecoveryKind::Restart), &application, breaks);
    assert!(broken.finished.is_some() && broken.breaks > 5, "{broken:?}");
    assert!((1..=broken.breaks / 6).contains(&broken.aided), "five times the terminal goes on by itself: {broken:?}");
}

#[test]
fn an_issue_that_gets_on_needs_nobody() {
    let application = Application::new(100_000).expect("an application");
    let breaks = Breaks::At((1..1_000).map(|n| ms(4_000 * n)).collect());
    let broken = outcome(Method::SelfIssue(RecoveryKind::Command), &application, breaks);
    assert!(broken.finished.is_some() && broken.breaks > 5, "{broken:?}");
    assert_eq!(broken.aided, 0, "{broken:?}");
}
