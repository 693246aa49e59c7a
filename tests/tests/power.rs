//! The power of the card goes at every command of an issue, with the daemon in the loop: the terminal finds out where the
//! card stands and finishes the issue, unaided, by the table that ships.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use smcard_fixtures::{aid, ndef_cap, wallet_cap};
use smcard_tests::batch::{self, pack};
use smcard_tests::power::{NAME, Stage, Story, expected_run};

/// A short back-off, for the sake of many cuts; what is done is that of the table that ships.
const QUICK: &str = "[[progress]]\nsw = [\"none\"]\naction = \"resume\"\nbackoff_ms = 1\n";
/// What follows once that has been done five times.
const THEN_REPORT: &str = "[[progress]]\nsw = [\"none\"]\naction = \"report\"\n";

#[track_caller]
fn is_done(story: &Story, total: u32) {
    let outcome = &story.outcome;
    assert_eq!((outcome["state"].as_str(), outcome["sw"].as_str()), (Some("done"), Some("9000")), "{story:?}");
    assert_eq!((outcome["commands"].as_u64(), outcome["given"].as_u64()), (Some(total.into()), Some(total.into())));
    assert_eq!(outcome["kept"].as_u64(), Some(total.into()), "{story:?}");
}

/// Cuts at every command of the small application, without and with recovery points before its functions.
fn every_command(recovery: &'static str) {
    let applet = ["--applet", "F0534D434152440101=D2760000850101"];
    for points in ["none", "function"] {
        let batch = pack(&ndef_cap(), &[&applet[..], &["--recovery", points]].concat(), &[]);
        let mut stage = Stage::new(recovery, "2M", &batch);
        let total = stage.total();
        for cut in 1..=total {
            let story = stage.issue(&[cut], "");
            is_done(&story, total);
            let again = expected_run(recovery, &batch, cut);
            assert_eq!((&story.runs[..], story.repeated), (&[1, again][..], cut - again), "{points} {cut}");
            assert_eq!(story.exchanges, 3, "START, where do you stand, START");
            assert_eq!(stage.card().select(aid::NDEF_INSTANCE), "9000");
        }
    }
}

#[test]
fn cut_at_every_command_the_terminal_finishes_the_issue_from_the_beginning() {
    every_command("restart");
}

#[test]
fn cut_at_every_command_the_terminal_finishes_the_issue_at_the_command() {
    every_command("command");
}

#[test]
fn cut_at_every_command_the_terminal_finishes_the_issue_at_the_function() {
    every_command("function");
}

#[test]
fn large_applications_are_finished_as_well() {
    for recovery in ["restart", "command", "function"] {
        let wallet = pack(&wallet_cap(), &["--recovery", "function"], &[]);
        for (batch, size, step) in [(batch::library(), "8M", 1), (&wallet[..], "2M", 120)] {
            let mut stage = Stage::new(recovery, size, batch);
            let total = stage.total();
            for cut in (2..=total).step_by(step) {
                let story = stage.issue(&[cut], QUICK);
                is_done(&story, total);
                assert_eq!(story.runs, [1, expected_run(recovery, batch, cut)], "{recovery} {cut}");
            }
        }
    }
}

#[test]
fn power_that_goes_again_and_again_is_met_as_often_as_the_table_says() {
    for recovery in ["restart", "command", "function"] {
        let mut stage = Stage::new(recovery, "2M", batch::ndef());
        let total = stage.total();
        // Five times: in the middle, then at the first command of each run that follows.
        let story = stage.issue(&[4, 5, 6, 7, 8], QUICK);
        is_done(&story, total);
        let again = expected_run(recovery, batch::ndef(), 4);
        assert_eq!(story.runs, [1, again, again, again, again, again]);
        assert_eq!(story.repeated, 4 - again);
        // Progress in between: every other command.
        let story = stage.issue(&[3, 5, 7], QUICK);
        is_done(&story, total);
        let runs: &[u32] = if recovery == "restart" { &[1, 1, 1, 1] } else { &[1, 3, 4, 5] };
        assert_eq!(story.runs, runs, "{recovery}");
    }
}

#[test]
fn beyond_the_limit_the_operator_is_told_and_start_goes_on() {
    for (recovery, kept) in [("restart", 0), ("command", 3), ("function", 3)] {
        let mut stage = Stage::new(recovery, "2M", batch::ndef());
        let story = stage.issue(&[4, 5, 6, 7, 8, 9], &[QUICK, THEN_REPORT].concat());
        let outcome = &story.outcome;
        assert_ne!(outcome["state"].as_str(), Some("done"), "{outcome}");
        assert_eq!(outcome["kept"].as_u64(), Some(kept), "{outcome}");
        assert_eq!(story.runs.len(), 6, "once, and five times more: {story:?}");
        let card = stage.card();
        let status = card.value("status");
        // Over a wire the terminal sees the silence and not its reason.
        let told = ["failed without an answer (the power went", "failed without an answer (the card gave no answer"];
        assert!(told.iter().any(|words| status.starts_with(words)), "{status}");
        assert_eq!(card.select(aid::NDEF_INSTANCE), "6a82");
        let again = card.json(&["start", NAME]);
        assert_eq!(again["state"].as_str(), Some("done"), "{again}");
        assert_eq!(card.select(aid::NDEF_INSTANCE), "9000");
    }
}
