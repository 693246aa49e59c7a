//! Logical channels: each with a current application and a secure channel of its own.

mod common;

use common::{Bench, batch_of, hex};
use smcard_batch::CommandApdu;
use smcard_batch::issue::{Blocks, Recovery};
use smcard_card::scp03::{HostHandshake, HostSession, SecurityLevel, StaticKeys};
use smcard_fixtures as fixtures;
use smcard_link::SecureCard;

const TAG: &str = "09F0534D434152440101";
const WALLET: &str = "09F0534D434152440201";

/// A card with the fixtures' NDEF tag and wallet.
fn card() -> Bench {
    let mut bench = Bench::standard();
    for cap in [fixtures::ndef_cap(), fixtures::wallet_cap()] {
        let id = bench.upload("app", &batch_of(&cap, Blocks::default(), Recovery::None));
        assert_eq!(bench.start(id).sw, 0x9000);
    }
    bench.send("00A4040000");
    bench
}

/// Opens a secure channel on a logical channel.
fn authenticate(bench: &mut Bench, channel: u8) -> HostSession {
    let (handshake, mut command) = HostHandshake::begin(0, [0x5A; 8]);
    command[0] |= channel;
    let answer = bench.card().transmit(&command).expect("an answer");
    assert_eq!(answer.sw, 0x9000, "INITIALIZE UPDATE on channel {channel}");
    let (session, mut command) =
        handshake.finish(&StaticKeys::test(), SecurityLevel::ALL, &answer.data).expect("the test keys");
    command[0] |= channel;
    assert_eq!(bench.card().transmit(&command).expect("an answer").sw, 0x9000);
    session
}

/// A command through the secure channel of a logical channel; the MAC knows nothing of the channel.
fn secured(bench: &mut Bench, session: &mut HostSession, channel: u8, command: &str) -> u16 {
    let command = common::bytes(command);
    let mut wrapped = session.wrap(&CommandApdu::parse(&command).expect("a command")).expect("fits");
    wrapped[0] |= channel;
    let answer = bench.card().transmit(&wrapped).expect("an answer");
    session.unwrap(answer).expect("right MAC").sw
}

#[test]
fn channels_are_opened_closed_and_counted() {
    let mut bench = card();
    for number in ["01", "02", "03"] {
        let answer = bench.send("0070000001");
        assert_eq!((hex(&answer.data).as_str(), answer.sw), (number, 0x9000));
    }
    assert_eq!(bench.sw("0070000001"), 0x6A81, "no fourth");
    assert_eq!(bench.sw("0070800200"), 0x9000);
    assert_eq!(bench.sw("02A4040000"), 0x6881, "closed");
    assert_eq!(bench.sw("0070800200"), 0x6200, "closed already");
    assert_eq!(hex(&bench.send("0170000001").data), "02", "opened from another channel");
    assert_eq!(bench.sw("0170800000"), 0x9000, "a channel closes itself");
    assert_eq!(bench.sw("01A4040000"), 0x6881);
    for (command, sw) in [
        ("0070800000", 0x6A81),
        ("0070800400", 0x6A86),
        ("0070000101", 0x6A86),
        ("0070400001", 0x6A86),
        ("00700000", 0x6700),
        ("0470000001", 0x6882),
        ("0170000001", 0x6881),
        ("4070000001", 0x6881),
        ("04A4040000", 0x6882),
        ("40A4040000", 0x6881),
    ] {
        assert_eq!(bench.sw(command), sw, "{command}");
    }
    bench.card().reset().expect("the power comes back");
    assert_eq!(bench.sw("03A4040000"), 0x6881, "the power closes them");
    assert_eq!(hex(&bench.send("0070000001").data), "01");
}

#[test]
fn each_channel_has_its_own_application() {
    let mut bench = card();
    bench.send("0070000001");
    assert_eq!(bench.sw(&format!("00A40400{TAG}")), 0x9000);
    assert_eq!(bench.sw(&format!("01A40400{WALLET}")), 0x9000);
    assert_eq!(bench.sw("00A4000C02E103"), 0x9000, "the tag's own SELECT of a file");
    assert_eq!(bench.sw("01A4000C02E103"), 0x6D00, "the wallet has none");
    assert_eq!(bench.sw(&format!("01A40400{TAG}")), 0x6985, "an application is on one channel");
    assert_eq!(bench.sw("00A4040000"), 0x9000);
    assert_eq!(bench.sw(&format!("01A40400{TAG}")), 0x9000, "now it is free");
    assert_eq!(bench.sw("01A4000C02E103"), 0x9000);
    assert_eq!(bench.sw("0170000001"), 0x6985, "a channel opened from this one would share it");
    assert_eq!(bench.sw("80CA006600"), 0x9000, "the basic channel is the card manager's");
    assert_eq!(bench.sw("81CA006600"), 0x6E00, "the other the tag's, which has no such class");
}

#[test]
fn each_channel_has_its_own_secure_channel() {
    let mut bench = card();
    bench.send("0070000001");
    let mut basic = authenticate(&mut bench, 0);
    let mut first = authenticate(&mut bench, 1);
    for _ in 0..3 {
        assert_eq!(secured(&mut bench, &mut basic, 0, "80F28002024F0000"), 0x9000);
        assert_eq!(secured(&mut bench, &mut first, 1, "80F24002024F0000"), 0x9000);
    }
    assert_eq!(bench.sw("81F28002024F0000"), 0x6982, "below the level: this channel ends");
    assert_eq!(secured(&mut bench, &mut basic, 0, "80F28002024F0000"), 0x9000, "the other lasts");
    assert_eq!(secured(&mut bench, &mut first, 1, "80F28002024F0000"), 0x6982);
    assert_eq!(secured(&mut bench, &mut basic, 1, "80F28002024F0000"), 0x6982, "and is not this one's");
}

#[test]
fn what_is_selected_elsewhere_is_not_deleted() {
    let mut bench = card();
    bench.send("0070000001");
    assert_eq!(bench.sw(&format!("01A40400{TAG}")), 0x9000);
    let mut basic = authenticate(&mut bench, 0);
    assert_eq!(secured(&mut bench, &mut basic, 0, &format!("80E400000B4F{TAG}00")), 0x6985);
    assert_eq!(secured(&mut bench, &mut basic, 0, "80E400800A4F08F0534D434152440100"), 0x6985, "nor with its package");
    assert_eq!(bench.sw("01A4040000"), 0x9000);
    assert_eq!(secured(&mut bench, &mut basic, 0, &format!("80E400000B4F{TAG}00")), 0x9000);
}

#[test]
fn an_issue_may_delete_what_is_selected_and_nobody_reaches_another_in_its_place() {
    let mut bench = card();
    let delete = common::batch(&[&format!("80E400000B4F{TAG}00"), &format!("80E400000B4F{WALLET}00")]);
    let id = bench.upload("delete", &delete);
    bench.send("0070000001");
    assert_eq!(bench.sw(&format!("01A40400{TAG}")), 0x9000);
    assert_eq!(bench.start(id).sw, 0x9000);
    assert_eq!(bench.sw("01A4000C02E103"), 0x6985, "it is gone");
    assert_eq!(bench.sw("81CA006600"), 0x6985, "nor does the card manager answer in its stead");
    assert_eq!(bench.sw("01A4040000"), 0x9000);
}

#[test]
fn a_load_lives_on_its_channel_and_its_end_gives_the_room_back() {
    let mut bench = card();
    bench.send("0070000001");
    let free = bench.free();
    let mut first = authenticate(&mut bench, 1);
    let mut basic = authenticate(&mut bench, 0);
    let for_load = "80E602000D 08F0534D4341524404 00000000 00";
    assert_eq!(secured(&mut bench, &mut first, 1, for_load), 0x9000);
    assert_eq!(secured(&mut bench, &mut first, 1, "80E8000005C482FFFF0100"), 0x9000);
    assert!(bench.free() < free);
    assert_eq!(secured(&mut bench, &mut basic, 0, "80F28002024F0000"), 0x9000, "the other channel leaves it alone");
    assert_eq!(secured(&mut bench, &mut first, 1, "80E8000101AA00"), 0x9000);
    assert_eq!(bench.sw("0070800100"), 0x9000);
    assert_eq!(bench.free(), free);
    assert_eq!(hex(&bench.send("0070000001").data), "01");
    assert_eq!(bench.sw("81E8000201AA00"), 0x6982, "nothing is left of the session");
}

#[test]
fn a_locked_card_opens_no_channel_and_lets_no_application_go_on() {
    let mut bench = card();
    bench.send("0070000001");
    assert_eq!(bench.sw(&format!("01A40400{TAG}")), 0x9000);
    let mut basic = authenticate(&mut bench, 0);
    assert_eq!(secured(&mut bench, &mut basic, 0, "80F0800F"), 0x9000);
    assert_eq!(secured(&mut bench, &mut basic, 0, "80F0807F"), 0x9000);
    assert_eq!(bench.sw("0070000001"), 0x6A81);
    assert_eq!(bench.sw("01A4000C02E103"), 0x6985);
    assert_eq!(bench.sw("01A4040000"), 0x6283);
}
