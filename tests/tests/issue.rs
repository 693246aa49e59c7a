//! The way of a batch, end to end: pack, copy, start, and the application answers.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use serde_json::{Value, json};
use smcard_fixtures::aid;
use smcard_tests::batch;
use smcard_tests::mounted::hex;
use smcard_tests::{Mounted, Setup};

const NDEF: &[u8] = aid::NDEF_INSTANCE;

/// Issues a batch and holds the report to what every successful issue must show.
#[track_caller]
fn issue(card: &Mounted, batch: &[u8], name: &str) -> Value {
    card.put(batch, name);
    let report = card.json(&["start", name]);
    let commands = batch::commands(batch);
    assert_eq!(report["state"], "done", "{report}");
    assert_eq!(report["sw"], "9000", "{report}");
    assert_eq!(report["commands"], commands, "{report}");
    assert_eq!(report["given"], commands, "{report}");
    assert_eq!(report["exchanges"], 2, "the upload is one exchange, START the other: {report}");
    assert!(report["seconds"].as_f64().unwrap() < 20.0, "{report}");
    report
}

/// The counter of the link, which counts every exchange of whomever.
#[track_caller]
fn exchanges(card: &Mounted) -> u64 {
    card.value("card/exchanges").parse().unwrap()
}

#[test]
fn two_kib_in_blocks_becomes_an_application_that_answers() {
    let card = Setup::new().mount();
    assert_eq!(card.select(NDEF), "6a82", "nothing is installed yet");
    issue(&card, batch::ndef(), "ndef.batch");
    assert_eq!(card.select(NDEF), "9000");
    // The NFC Forum's Type 4 tag: select the capability container, read its first two bytes.
    let answers = card.json(&["apdu", "00A4040007D276000085010100", "00A4000C02E103", "00B0000002"]);
    let words: Vec<_> = (0..3).map(|n| answers[n]["sw"].as_str().unwrap()).collect();
    assert_eq!(words, ["9000"; 3], "{answers}");
    assert_eq!(answers[2]["response"], "000F", "{answers}");
}

#[test]
fn sixty_kib_in_blocks_brings_two_applications() {
    let card = Setup::new().mount();
    issue(&card, batch::wallet(), "wallet.batch");
    for applet in [aid::WALLET_PURSE, aid::WALLET_LOYALTY] {
        assert_eq!(card.select(applet), "9000");
    }
}

#[test]
fn a_mebibyte_travels_by_direct_reference() {
    let card = Setup::new().mount();
    assert!(batch::library().len() > 1_000_000);
    issue(&card, batch::library(), "library.batch");
    assert_eq!(card.select(aid::LIBRARY_APPLET), "9000");
}

#[test]
fn an_issue_after_authentication_makes_the_link_count_two_exchanges() {
    let card = Setup::new().mount();
    card.put(&batch::long(1), "opens-the-channel.batch");
    for (batch, name) in [(batch::ndef(), "a"), (batch::wallet(), "b"), (batch::library(), "c")] {
        let before = exchanges(&card);
        issue(&card, batch, name);
        assert_eq!(exchanges(&card) - before, 2, "{name}");
    }
}

#[test]
fn every_level_of_the_secure_channel_issues() {
    for level in ["01", "03", "33"] {
        let card = Setup::new().level(level).mount();
        issue(&card, batch::ndef(), "ndef.batch");
        assert_eq!(card.value("card/security_level"), level);
    }
}

#[test]
fn what_was_issued_shows_in_apps_card_and_status() {
    let card = Setup::new().mount();
    let free: u64 = card.value("card/free_bytes").parse().unwrap();
    issue(&card, batch::ndef(), "ndef.batch");

    let folder = format!("apps/{}", hex(NDEF));
    assert_eq!(card.value(&format!("{folder}/aid")), hex(NDEF));
    assert_eq!(card.value(&format!("{folder}/kind")), "application");
    assert_eq!(card.value(&format!("{folder}/package")), hex(aid::NDEF_PACKAGE));
    assert_eq!(card.value(&format!("apps/{}/kind", hex(aid::NDEF_PACKAGE))), "package");
    assert_eq!(card.value(&format!("apps/{}/version", hex(aid::NDEF_PACKAGE))), "1.0");
    let apps = card.json(&["apps"]);
    let found = apps.as_array().unwrap().iter().find(|app| app["aid"] == hex(NDEF).as_str());
    assert!(found.is_some_and(|app| app["kind"] == "application"), "{apps}");

    let line = card.value("status");
    let expected = format!("done ndef.batch: {} commands, 2 exchanges, ", batch::commands(batch::ndef()));
    assert!(line.starts_with(&expected), "{line}");
    assert_eq!(card.value("card/last_issue"), line);
    assert_eq!(card.value("card/issues"), "1");
    let now: u64 = card.value("card/free_bytes").parse().unwrap();
    assert!(now < free, "the batch and the package take room: {free} -> {now}");
    let status = card.json(&["status"]);
    assert_eq!(status["state"], "done");
    assert_eq!(status["last_issue"]["exchanges"], 2);
    assert_eq!(status["free_bytes"], now);
    assert_eq!(status["test_keys"], true);
    assert!(card.log().contains("test keys"), "{}", card.log());
}

#[test]
fn applications_and_batches_survive_a_remount() {
    let mut card = Setup::new().mount();
    issue(&card, batch::ndef(), "ndef.batch");
    card.put(batch::wallet(), "wallet.batch");
    let batches = card.batches();
    card.remount();
    assert_eq!(card.batches(), batches);
    assert_eq!(card.select(NDEF), "9000");
    // Uploaded by one daemon, started by the next: the operator needs no keys.
    let report = card.json(&["start", "wallet.batch"]);
    assert_eq!((&report["state"], &report["sw"]), (&json!("done"), &json!("9000")), "{report}");
}

#[test]
fn a_failing_command_ends_the_issue_and_what_came_before_it_stays() {
    let card = Setup::new().mount();
    card.put(batch::failing(), "failing.batch");
    let report = card.json(&["start", "failing.batch"]);
    assert_eq!(report["state"], "failed", "{report}");
    assert_eq!(report["sw"], "6a88", "{report}");
    assert_eq!((&report["given"], &report["commands"], &report["kept"]), (&json!(3), &json!(3), &json!(2)), "{report}");
    assert_eq!(report["exchanges"], 2, "{report}");
    assert!(card.value("status").starts_with("failed 6a88 after 3 of 3"), "{}", card.value("status"));
    let package = hex(aid::NDEF_PACKAGE);
    assert!(card.names("apps").contains(&package), "the two commands before it are kept: {:?}", card.names("apps"));

    let text = card.ctl(&["wait"]).expect(1).stderr;
    let sentences = ["command 3 of 3 failed with 6a88 (", "commands 1 to 2 stay carried out", "'smcardctl clear'"];
    for sentence in sentences {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }

    card.ctl(&["clear"]).ok();
    assert!(!card.names("apps").contains(&package), "CLEAR removes it: {:?}", card.names("apps"));
    assert_eq!(card.batches().len(), 1, "the batch itself stays");
    assert_eq!(card.json(&["status"])["clear_possible"], false);
    issue(&card, batch::ndef(), "ndef.batch");
    assert_eq!(card.select(NDEF), "9000");
}

#[test]
fn a_failed_start_is_told_with_the_exit_code() {
    let card = Setup::new().mount();
    card.put(batch::failing(), "failing.batch");
    let output = card.ctl(&["start", "failing.batch"]).expect(1);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("start: command 3 of 3 failed with 6a88"), "{}", output.stderr);
    assert_eq!(card.ctl(&["start", "failing.batch", "--json"]).expect(1).json()["state"], "failed");
}

#[test]
fn an_unfinished_issue_is_known_after_a_remount() {
    let mut card = Setup::new().mount();
    card.put(batch::failing(), "failing.batch");
    card.ctl(&["start"]).expect(1);
    card.remount();
    let line = card.value("status");
    assert!(line.contains("an issue stopped after 3 of 3"), "{line}");
    assert_eq!(card.json(&["status"])["clear_possible"], true);
    card.ctl(&["clear"]).ok();
    assert_eq!(card.value("status"), "ready");
}

#[test]
fn a_batch_can_ask_for_confirmation_before_first_use() {
    let mut card = Setup::new().configured("[terminal]\nconfirm = \"manual\"\n").mount();
    let report = issue(&card, batch::confirmed(), "ndef.batch");
    assert_eq!(report["confirm_needed"], true, "{report}");
    assert!(card.value("status").ends_with("; waits for confirm"), "{}", card.value("status"));
    assert_ne!(card.select(NDEF), "9000", "not usable yet");
    card.remount();
    assert_eq!(card.json(&["status"])["confirm_needed"], true, "the card remembers");
    card.ctl(&["confirm"]).ok();
    assert_eq!(card.select(NDEF), "9000");
    assert_eq!(card.json(&["status"])["confirm_needed"], false);
    card.ctl(&["confirm"]).expect(1);
}

#[test]
fn the_terminal_confirms_by_itself_where_nobody_says_otherwise() {
    let card = Setup::new().mount();
    card.put(batch::confirmed(), "ndef.batch");
    let report = card.json(&["start", "ndef.batch"]);
    assert_eq!((&report["state"], &report["confirm_needed"]), (&json!("done"), &json!(false)), "{report}");
    assert_eq!(report["exchanges"], 3, "the upload, START and CONFIRM: {report}");
    assert_eq!(card.select(NDEF), "9000");
}

#[test]
fn several_batches_lie_in_the_store_and_one_is_chosen_by_name() {
    let card = Setup::new().mount();
    card.put(batch::wallet(), "wallet.batch");
    card.put(batch::ndef(), "ndef.batch");
    let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap();
    let expected = [("ndef.batch".to_owned(), size(batch::ndef())), ("wallet.batch".to_owned(), size(batch::wallet()))];
    assert_eq!(card.batches(), expected);
    let listed = card.json(&["list"]);
    assert_eq!(listed[1], json!({"name": "wallet.batch", "size": size(batch::wallet())}));

    let text = card.ctl(&["start"]).expect(1).stderr;
    assert!(text.contains("the card refused START") && text.contains("smcardctl list"), "{text}");
    let text = card.ctl(&["start", "no-such.batch"]).expect(1).stderr;
    assert!(text.contains("6a82"), "{text}");
    card.ctl(&["start", "ndef.batch"]).ok();
    assert_eq!(card.select(NDEF), "9000");
    assert_eq!(card.select(aid::WALLET_PURSE), "6a82");

    card.shell("rm $CARD/issue/ndef.batch && mv $CARD/issue/wallet.batch $CARD/issue/w").ok();
    card.ctl(&["start"]).ok();
    assert_eq!(card.select(aid::WALLET_PURSE), "9000");
}

#[test]
fn offset_and_length_choose_a_batch_within_a_file() {
    let card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    let length = batch::ndef().len().to_string();
    let report = card.json(&["start", "ndef.batch", "--offset", "0", "--length", &length]);
    assert_eq!(report["state"], "done", "{report}");
    // What stands at other offsets is no batch, and the issuer never reads beyond the length.
    for arguments in [["--offset", "4"], ["--length", "100"], ["--offset", "4000000"]] {
        let report = card.json(&[&["start", "ndef.batch"], &arguments[..]].concat());
        assert_eq!(report["state"], "failed", "{arguments:?}: {report}");
        assert_eq!(report["given"], 0, "{arguments:?}: {report}");
    }
}

#[test]
fn while_the_card_issues_the_batch_in_use_stands_still() {
    let card = Setup::new().slow(40).mount();
    let length = 50;
    card.put(&batch::long(length), "long.batch");
    card.put(batch::ndef(), "other.batch");
    let batches = card.batches();
    card.ctl(&["start", "long.batch", "--no-wait"]).ok();

    let line = card.value("status");
    assert!(
        line.starts_with("issuing long.batch for ") && line.contains("the card tells no count meanwhile"),
        "{line}"
    );
    assert_eq!(card.json(&["status"])["state"], "issuing");
    card.file("new.batch", batch::ndef());
    let busy = "Device or resource busy";
    for script in [
        "rm $CARD/issue/long.batch",
        "mv $CARD/issue/long.batch $CARD/issue/x",
        "mv $CARD/issue/other.batch $CARD/issue/long.batch",
        "cp new.batch $CARD/issue/long.batch",
    ] {
        card.shell(script).fails(busy);
    }
    let report = card.json(&["start", "other.batch"]);
    assert_eq!(report["state"], "busy", "{report}");
    card.ctl(&["start", "other.batch"]).expect(1).fails("the card is issuing");
    assert_eq!(card.batches(), batches, "looking is possible, and nothing has changed");
    assert!(card.value("status").starts_with("issuing "), "the issue was over before the test was");

    let report = card.json(&["wait"]);
    assert_eq!((&report["state"], &report["given"]), (&json!("done"), &json!(length)), "{report}");
    card.shell("rm $CARD/issue/long.batch").ok();
}

#[test]
fn starting_again_after_the_end_is_possible_at_once() {
    let card = Setup::new().mount();
    card.put(batch::again_small(), "again.batch");
    for n in 1..=5 {
        let report = card.json(&["start"]);
        assert_eq!(report["state"], "done", "{report}");
        assert_eq!(card.value("card/issues"), n.to_string());
    }
}

#[test]
fn held_privileged_mode_ends_when_the_card_manager_is_selected() {
    let card = Setup::new().privilege("hold").mount();
    assert_eq!(card.value("card/privilege"), "hold");
    issue(&card, batch::ndef(), "ndef.batch");
    assert_eq!(card.select(NDEF), "9000", "an application is selected");
    // Uploading needs the card manager and a new channel, and gets both by itself.
    issue(&card, batch::wallet(), "wallet.batch");
}

#[test]
fn each_kind_of_recovery_issues() {
    for recovery in ["restart", "command", "function"] {
        let card = Setup::new().recovery(recovery).mount();
        assert_eq!(card.value("card/recovery"), recovery);
        issue(&card, batch::wallet(), "wallet.batch");
        assert_eq!(card.select(aid::WALLET_PURSE), "9000");
    }
}

#[test]
fn a_package_that_others_import_is_issued_first() {
    let card = Setup::new().mount();
    card.put(batch::client(), "client.batch");
    let report = card.json(&["start"]);
    assert_eq!(report["state"], "failed", "its import is not there: {report}");
    assert_eq!(report["given"], 3, "the last LOAD is refused: {report}");
    card.ctl(&["clear"]).ok();
    issue(&card, batch::wallet(), "wallet.batch");
    issue(&card, batch::client(), "client.batch");
    assert_eq!(card.select(aid::CLIENT_APPLET), "9000");
}

#[test]
fn the_figures_of_one_status_agree() {
    let card = Setup::new().mount();
    issue(&card, batch::wallet(), "wallet.batch");
    let status = card.json(&["status"]);
    assert_eq!(status["card"]["free_bytes"], status["free_bytes"].to_string(), "{status}");
    assert_eq!(status["card"]["exchanges"], status["exchanges"].to_string(), "{status}");
    assert_eq!(status["card"]["last_issue"], status["line"], "{status}");
}

#[test]
fn a_start_breaks_off_an_upload_that_is_under_way() {
    let card = Setup::new().slow(20).mount();
    card.put(&batch::long(20), "long.batch");
    card.file("wallet.batch", batch::wallet());
    let script = "exec 3> $CARD/issue/wallet.batch; head -c 1000 wallet.batch >&3; smcardctl start long.batch --no-wait
        tail -c +1001 wallet.batch >&3";
    card.shell(script).fails("Device or resource busy");
    card.ctl(&["wait"]).ok();
    assert_eq!(card.names("issue"), ["long.batch"], "nothing half is left");
    issue(&card, batch::wallet(), "wallet.batch");
}

#[test]
fn wait_without_an_issue_says_so() {
    let card = Setup::new().mount();
    assert_eq!(card.json(&["wait"])["state"], "none");
    card.put(batch::again_small(), "again.batch");
    card.ctl(&["start"]).ok();
    assert_eq!(card.json(&["wait"])["state"], "done");
}
