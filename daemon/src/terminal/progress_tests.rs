use super::*;

fn row(given: &str, said: &[&str], action: Action) -> Row {
    let said = said.iter().map(|said| Said::parse(said).unwrap()).collect();
    Row::new(Given::parse(given).unwrap(), said, action)
}

fn actions(progress: &mut Progress, sw: Option<u16>, given: u32, times: usize) -> Vec<Action> {
    (0..times).map(|_| progress.decide(End { sw, given: Some(given) }).action).collect()
}

#[test]
fn counts_and_status_words_are_read_as_they_are_written() {
    assert_eq!(Given::parse("any"), Some(Given::Any));
    assert_eq!(Given::parse("7"), Some(Given::Range(7, 7)));
    assert_eq!(Given::parse("1..=3"), Some(Given::Range(1, 3)));
    assert_eq!(Given::parse("4.."), Some(Given::Range(4, u32::MAX)));
    assert_eq!(Given::parse("..=9"), Some(Given::Range(0, 9)));
    for bad in ["", "x", "3..=1", "1..3", "..=", "-1", "1...2"] {
        assert_eq!(Given::parse(bad), None, "{bad}");
    }
    assert_eq!(Said::parse("6a84"), Some(Said::Word { mask: 0xFFFF, value: 0x6A84 }));
    assert_eq!(Said::parse("65xx"), Some(Said::Word { mask: 0xFF00, value: 0x6500 }));
    assert_eq!(Said::parse("63Cx"), Some(Said::Word { mask: 0xFFF0, value: 0x63C0 }));
    assert_eq!((Said::parse("any"), Said::parse("none")), (Some(Said::AnyRefusal), Some(Said::Nothing)));
    for bad in ["", "6a8", "6a840", "6g84", "all"] {
        assert_eq!(Said::parse(bad), None, "{bad}");
    }
}

#[test]
fn the_first_row_that_matches_wins() {
    let table = Table::new(
        vec![
            row("1..=3", &["6a84", "65xx"], Action::Clear),
            row("any", &["6581", "6a84"], Action::Stop),
            row("5..", &["any"], Action::Clear),
        ],
        true,
    );
    let mut progress = Progress::new(&table);
    let mut one = |sw, given| actions(&mut progress, Some(sw), given, 1)[0];
    assert_eq!(one(0x6A84, 1), Action::Clear);
    assert_eq!(one(0x6581, 3), Action::Clear);
    assert_eq!(one(0x6581, 4), Action::Stop);
    assert_eq!(one(0x6A84, 0), Action::Stop);
    assert_eq!(one(0x6985, 4), Action::Report);
    assert_eq!(one(0x6985, 5), Action::Clear);
    assert_eq!(one(0x9000, 5), Action::Confirm, "any is any refusal");
    let silence = progress.decide(End { sw: None, given: None });
    assert_eq!(silence.action, Action::Resume, "what the configuration does not name is done as without one");
}

#[test]
fn a_count_that_is_not_known_matches_any_alone() {
    let mut progress = Progress::new(&Table::new(vec![row("0..", &["none"], Action::Clear)], true));
    assert_eq!(progress.decide(End { sw: None, given: None }).action, Action::Resume);
    assert_eq!(progress.decide(End { sw: None, given: Some(0) }).action, Action::Clear);
}

#[test]
fn a_row_whose_limit_is_used_up_leaves_the_word_to_the_next() {
    let retry = Row { limit: 2, ..row("any", &["6f00"], Action::Retry) };
    let mut progress = Progress::new(&Table::new(vec![retry, row("any", &["any"], Action::Clear)], true));
    assert_eq!(actions(&mut progress, Some(0x6F00), 1, 3), [Action::Retry, Action::Retry, Action::Clear]);
}

#[test]
fn pauses_double_up_to_their_bound() {
    let mut progress = Progress::new(&Table::new(Vec::new(), true));
    let end = End { sw: None, given: Some(3) };
    let decisions: Vec<_> = (0..6).map(|_| progress.decide(end)).collect();
    let pauses: Vec<_> = decisions.iter().map(|decision| decision.pause.as_millis()).collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 0]);
    assert_eq!((decisions[1].time, decisions[1].limit), (2, 5));
    assert_eq!(decisions[5].action, Action::Report);
    let often = Row { limit: 100, ..row("any", &["none"], Action::Resume) };
    let mut progress = Progress::new(&Table::new(vec![often], true));
    let last = (0..100).map(|_| progress.decide(end).pause).last();
    assert_eq!(last, Some(Duration::from_secs(10)));
}

#[test]
fn without_confirm_success_is_reported() {
    let mut progress = Progress::new(&Table::new(Vec::new(), false));
    assert_eq!(actions(&mut progress, Some(0x9000), 9, 1), [Action::Report]);
}

#[test]
fn rows_whose_parts_disagree_are_refused() {
    let check = |row: Row| row.check().unwrap_err();
    assert_eq!(check(Row { said: vec![], ..row("any", &["any"], Action::Clear) }), RowError::NothingSaid);
    assert_eq!(check(row("any", &["9000", "any"], Action::Confirm)), RowError::ConfirmWithoutSuccess);
    assert_eq!(check(row("any", &["90xx"], Action::Confirm)), RowError::ConfirmWithoutSuccess);
    assert_eq!(check(row("any", &["xxxx"], Action::Clear)), RowError::AfterSuccess);
    assert_eq!(check(Row { limit: 0, ..row("any", &["none"], Action::Retry) }), RowError::NoLimit);
    let hasty = Row { backoff: Duration::from_secs(20), ..row("any", &["none"], Action::Retry) };
    assert_eq!(check(hasty), RowError::Pauses);
    assert_eq!(row("any", &["9000"], Action::Confirm).check(), Ok(()));
    assert_eq!(row("any", &["none"], Action::Clear).check(), Ok(()));
}

#[test]
fn limits_and_pauses_begin_anew_when_the_issue_gets_on() {
    let mut progress = Progress::new(&Table::default());
    let silent = End { sw: None, given: Some(9) };
    for time in 1..=5 {
        assert_eq!(progress.decide(silent).time, time);
    }
    assert_eq!(progress.decide(silent).action, Action::Report, "it does not get on");
    progress.reached(0);
    assert_eq!(progress.decide(silent).action, Action::Report, "nothing was kept");
    progress.reached(7);
    let again = progress.decide(silent);
    assert_eq!((again.action, again.time, again.pause), (Action::Resume, 1, Duration::from_millis(100)));
    progress.reached(7);
    assert_eq!(progress.decide(silent).time, 2, "no further than before");
}

#[test]
fn a_limit_of_the_configuration_is_the_limit() {
    let mut two = row("any", &["none"], Action::Resume);
    two.limit = 2;
    let mut progress = Progress::new(&Table::new(vec![two.clone()], true));
    assert_eq!(actions(&mut progress, None, 3, 3), [Action::Resume, Action::Resume, Action::Report]);
    let mut progress = Progress::new(&Table::new(vec![two, row("any", &["none"], Action::Clear)], true));
    assert_eq!(actions(&mut progress, None, 3, 3), [Action::Resume, Action::Resume, Action::Clear]);
}
