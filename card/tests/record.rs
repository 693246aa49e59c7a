//! What a client does over a secure channel, recorded and self-issued on a second card.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

mod common;

use common::{Bench, bytes, hex};
use smcard_batch::cap::CapFile;
use smcard_batch::describe::Narrator;
use smcard_batch::issue::{Blocks, IssuePlan};
use smcard_batch::{Batch, CommandApdu};
use smcard_card::recording::RecordingError;
use smcard_card::scp03::HostSession;
use smcard_card::{CommandRecorder, CreateOptions, OpenOptions};
use smcard_fixtures as fixtures;

/// Two cards that nothing tells apart.
fn card() -> (Bench, CommandRecorder) {
    let individual = Some([0x11; 14]);
    let mut bench = Bench::new(&CreateOptions { size: 8 << 20, individual, ..CreateOptions::default() });
    let recorder = CommandRecorder::default();
    bench.open(OpenOptions { recorder: recorder.clone(), ..OpenOptions::default() });
    (bench, recorder)
}

fn commands_of(cap: &[u8]) -> Vec<Vec<u8>> {
    let cap = CapFile::read(cap).unwrap();
    let mut plan = IssuePlan::new(&cap);
    plan.blocks = Blocks::default();
    let file = plan.install_all().unwrap().build().unwrap().finish().unwrap();
    Batch::parse(&file).unwrap().commands().map(|command| command.bytes().to_vec()).collect()
}

/// Sends a command through the secure channel.
fn secured(bench: &mut Bench, session: &mut HostSession, command: &[u8]) -> u16 {
    bench.secured(session, &CommandApdu::parse(command).unwrap()).sw
}

/// Loads and installs a package as clients do.
fn load(bench: &mut Bench, level: u8, cap: &[u8]) {
    bench.sw("00A4040000");
    let mut session = bench.authenticate_at(level);
    for command in commands_of(cap) {
        assert_eq!(secured(bench, &mut session, &command), 0x9000);
    }
}

fn words(batch: &[u8]) -> Vec<String> {
    let mut narrator = Narrator::default();
    Batch::parse(batch).unwrap().commands().map(|command| narrator.next(&command)).collect()
}

/// The registry, the life cycle and what the tag holds.
fn registry(bench: &mut Bench) -> Vec<String> {
    bench.sw("00A4040000");
    let mut session = bench.authenticate();
    let mut lists = Vec::new();
    for scope in [0x80, 0x40, 0x20, 0x10] {
        let command = CommandApdu::new(0x80, 0xF2, scope, 0x02, &[0x4F, 0x00]);
        let answer = bench.secured(&mut session, &command);
        lists.push(format!("{scope:02X} {:04X} {}", answer.sw, hex(&answer.data)));
    }
    for command in ["00A4040007D2760000850101", "00A4000C02E104", "00B0000020"] {
        let answer = bench.send(command);
        lists.push(format!("{:04X} {}", answer.sw, hex(&answer.data)));
    }
    bench.sw("00A4040000");
    lists
}

/// Self-issues the batch on a card that was made like the first, and takes the batch away again.
fn issued(batch: &[u8]) -> (Vec<String>, u64) {
    let (mut second, _) = card();
    let id = second.upload("recorded", batch);
    let answer = second.start(id);
    assert_eq!(answer.sw, 0x9000, "{:?}", words(batch));
    let mut session = second.authenticate();
    let erase = [&[0x80, 0x58, 0, 0, 2][..], &id.to_be_bytes()].concat();
    assert_eq!(secured(&mut second, &mut session, &erase), 0x9000);
    (registry(&mut second), second.free())
}

#[test]
fn a_recorded_session_issued_on_a_second_card_leaves_the_same_registry_and_memory() {
    let (mut first, recorder) = card();
    recorder.start();
    load(&mut first, 0x33, &fixtures::wallet_cap());
    load(&mut first, 0x01, &fixtures::ndef_cap());
    // A second instance by another client, with the message "Hi".
    let mut session = first.authenticate();
    let message = bytes("C9024869");
    let parts = [fixtures::aid::NDEF_PACKAGE, fixtures::aid::NDEF_APPLET, fixtures::aid::NDEF_INSTANCE];
    let mut data = Vec::new();
    for part in parts.iter().copied().chain([&[0x00][..], &message, &[]]) {
        data.push(u8::try_from(part.len()).unwrap());
        data.extend_from_slice(part);
    }
    let mut install = Vec::new();
    CommandApdu::new(0x80, 0xE6, 0x0C, 0x00, &data).encode(&mut install).unwrap();
    assert_eq!(secured(&mut first, &mut session, &install), 0x9000);
    // Personalised after a SELECT, which ends the channel.
    for command in ["00A4040007D2760000850101", "00A4000C02E104", "00D6000204D1010154", "00D60000020004", "00B0000004"]
    {
        assert_eq!(first.sw(command), 0x9000, "{command}");
    }
    // The purse goes again, and the card has a new life cycle state.
    assert_eq!(first.sw("00A4040000"), 0x9000);
    let mut session = first.authenticate();
    for command in ["80E400000B4F09F0534D434152440201", "80F0800700"] {
        assert_eq!(secured(&mut first, &mut session, &bytes(command)), 0x9000, "{command}");
    }
    recorder.stop();
    let batch = recorder.batch().unwrap();
    assert_eq!(recorder.summary().left_out, [], "everything succeeded");
    let said = words(&batch);
    assert!(!said.iter().any(|line| line.contains("GET STATUS") || line.contains("INITIALIZE")), "{said:#?}");

    let second = issued(&batch);
    assert_eq!((registry(&mut first), first.free()), second, "{said:#?}");
}

#[test]
fn what_failed_is_not_in_the_batch_and_is_counted() {
    let (mut first, recorder) = card();
    recorder.start();
    let ndef = commands_of(&fixtures::ndef_cap());
    let mut session = first.authenticate();
    // A load that breaks in its middle, one that the client gives up, then one that gets through.
    for command in &ndef[..3] {
        assert_eq!(secured(&mut first, &mut session, command), 0x9000);
    }
    assert_ne!(secured(&mut first, &mut session, &ndef[1]), 0x9000, "the wrong block");
    for command in &ndef[..2] {
        assert_eq!(secured(&mut first, &mut session, command), 0x9000);
    }
    smcard_link::SecureCard::reset(first.card()).unwrap();
    load(&mut first, 0x03, &fixtures::ndef_cap());
    assert_ne!(first.sw("80E400000B4F09F0534D434152440201"), 0x9000, "without the channel");
    recorder.stop();
    let batch = recorder.batch().unwrap();
    assert_eq!(words(&batch).len(), ndef.len(), "{:#?}", words(&batch));
    let left_out = recorder.summary().left_out;
    assert!(left_out.contains(&("of a load that was not completed", 5)), "{left_out:?}");
    assert!(left_out.iter().any(|(reason, _)| *reason == "refused by the card"), "{left_out:?}");
    assert_eq!((registry(&mut first), first.free()), issued(&batch));
}

#[test]
fn a_recording_that_begins_in_the_middle_leads_to_where_the_client_was() {
    let (mut first, recorder) = card();
    load(&mut first, 0x03, &fixtures::ndef_cap());
    assert_eq!(first.sw("00A4040009F0534D434152440101"), 0x9000);
    recorder.start();
    assert_eq!(first.sw("00A4000C02E104"), 0x9000);
    recorder.stop();
    let said = words(&recorder.batch().unwrap());
    assert_eq!(said, ["SELECT F0534D434152440101", "SELECT FILE E104"]);

    // So is the application that is being personalized, and the way back to the card manager.
    let mut session = {
        first.sw("00A4040000");
        first.authenticate()
    };
    let personalize = bytes("80E620000F000009F0534D434152440101000000");
    assert_eq!(secured(&mut first, &mut session, &personalize), 0x9000);
    recorder.start();
    assert_eq!(secured(&mut first, &mut session, &bytes("80E2900006D10102540041")), 0x9000);
    assert_eq!(secured(&mut first, &mut session, &bytes("80E29000054203123456")), 0x9000, "the card's own");
    assert_eq!(first.sw("00A4040009F0534D434152440101"), 0x9000);
    first.sw("00A4040000");
    let mut session = first.authenticate();
    assert_eq!(secured(&mut first, &mut session, &bytes("80E29000054203ABCDEF")), 0x9000);
    recorder.stop();
    let said = words(&recorder.batch().unwrap());
    let expected = [
        "INSTALL [for personalization] F0534D434152440101",
        "STORE DATA block 0, last, 6 bytes not shown",
        "STORE DATA block 0, last, 5 bytes not shown",
        "SELECT F0534D434152440101",
        "SELECT the card manager",
        "STORE DATA block 0, last, 5 bytes not shown",
    ];
    assert_eq!(said, expected);

    // A load that began before is none of the recording's.
    let (mut first, recorder) = card();
    let ndef = commands_of(&fixtures::ndef_cap());
    let mut session = first.authenticate();
    for (number, command) in ndef.iter().enumerate() {
        if number == 2 {
            recorder.start();
        }
        assert_eq!(secured(&mut first, &mut session, command), 0x9000);
    }
    recorder.stop();
    let said = words(&recorder.batch().unwrap());
    assert!(said.len() == 1 && said[0].starts_with("INSTALL [for install"), "{said:?}");
}

#[test]
fn keys_other_channels_and_operators_commands_stay_out() {
    let (mut first, recorder) = card();
    recorder.start();
    let mut session = first.authenticate();
    // A key comes and goes; one that the card lacks cannot go. CLEAR with nothing to clear succeeds.
    let key = [&[0x51, 0x88, 0x10][..], &session.encrypt_key(&[0x77; 16]), &[0]].concat();
    assert_eq!(first.secured(&mut session, &CommandApdu::new(0x80, 0xD8, 0, 0x01, &key)).sw, 0x9000);
    assert_eq!(secured(&mut first, &mut session, &bytes("80E4000006D00101D20151")), 0x9000);
    assert_ne!(secured(&mut first, &mut session, &bytes("80E4000006D00101D20151")), 0x9000);
    assert_eq!(first.sw("805C0000"), 0x9000);
    assert_eq!(first.sw("0070000001"), 0x9000, "a second channel");
    assert_eq!(first.sw("01A4040000"), 0x9000, "SELECT on it");
    recorder.stop();
    let summary = recorder.summary();
    assert_eq!(summary.commands, 0, "{summary:?}");
    let counts: Vec<u32> = summary.left_out.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [1, 2, 1, 1], "operators', keys, channels, refused: {summary:?}");
    assert_eq!(Batch::parse(&recorder.batch().unwrap()).unwrap().count(), 0);
}

#[test]
fn nothing_is_kept_before_start_or_behind_forget() {
    let (mut first, recorder) = card();
    load(&mut first, 0x03, &fixtures::ndef_cap());
    assert_eq!(recorder.batch().unwrap_err(), RecordingError::NotEnded);
    recorder.stop();
    assert_eq!(recorder.batch().unwrap_err(), RecordingError::NotEnded, "nothing had begun");
    recorder.start();
    load(&mut first, 0x03, &fixtures::wallet_cap());
    assert_eq!(recorder.batch().unwrap_err(), RecordingError::NotEnded, "it goes on");
    assert!(recorder.summary().commands > 10 && !format!("{recorder:?}").contains("E6"), "{recorder:?}");
    recorder.forget();
    assert_eq!(recorder.summary(), smcard_card::recording::Summary::default());
    assert_eq!(recorder.batch().unwrap_err(), RecordingError::NotEnded);
}
