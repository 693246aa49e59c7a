//! The card on the native SD bus.

mod wire;

use smcard_card::sd::{Executor, Profile, Worked};
use smcard_link::assd::{Checksum, SecureState, Version, error, write_token};
use smcard_link::sd::{CardState, CardStatus, Csd, Function, Scr, SwitchArgument};
use smcard_link::{SdBus, SdResponse, Transfer};
use wire::native::{NativeHost, Trouble, seal};
use wire::{Apdus, SELECT, START, authenticate, inline, new_card, options, pattern, profile, wallet_batch};

fn host(profile: Profile, executor: Executor) -> NativeHost {
    NativeHost::new(new_card().into_sd(options(profile, executor)).expect("a card"))
}

fn standard() -> NativeHost {
    host(Profile::default(), inline(2))
}

#[test]
fn registers_say_what_the_card_is() {
    let mut host = standard();
    assert!(host.high);
    assert_eq!(host.card.command(7, 0), None);
    let Some(SdResponse::Long(csd)) = host.card.command(9, host.rca) else { panic!("CMD9") };
    assert_eq!(Csd(csd).blocks(), Some(2048));
    let Some(SdResponse::Long(cid)) = host.card.command(10, host.rca) else { panic!("CMD10") };
    assert_eq!(&cid[1..8], b"SMSMCRD");
    host.command(7, host.rca).unwrap();
    host.command(55, host.rca).unwrap();
    let scr = host.read(51, 0, 8, 1).unwrap();
    assert!(Scr(scr.try_into().unwrap()).has_switch());
    host.command(55, host.rca).unwrap();
    assert_eq!(host.read(13, 0, 64, 1).unwrap()[0], 0x80);
    assert_eq!(host.state().state(), Some(CardState::Transfer));
}

#[test]
fn memory_is_written_read_and_erased() {
    for word in ["standard", "sdsc", "sd-1.10", "slow"] {
        let mut host = host(profile(word), inline(0));
        let scale = if host.high { 1 } else { 512 };
        let data = pattern(8 * 512, 1);
        host.write(24, 5 * scale, &data[..512]).unwrap();
        assert_eq!(host.read(17, 5 * scale, 512, 1).unwrap(), data[..512], "{word}");
        host.write(25, 100 * scale, &data).unwrap();
        assert_eq!(host.state().state(), Some(CardState::Receive));
        host.command(12, 0).unwrap();
        host.not_busy().unwrap();
        host.command(55, host.rca).unwrap();
        assert_eq!(host.read(22, 0, 4, 1).unwrap(), [0, 0, 0, 8]);
        assert_eq!(host.read(18, 100 * scale, 512, 8).unwrap(), data);
        host.command(12, 0).unwrap();
        host.command(32, 101 * scale).unwrap();
        host.command(33, 102 * scale).unwrap();
        host.command(38, 0).unwrap();
        host.not_busy().unwrap();
        let mut erased = data.clone();
        erased[512..3 * 512].fill(0);
        assert_eq!(host.read(18, 100 * scale, 512, 8).unwrap(), erased, "{word}");
        host.command(12, 0).unwrap();
        let beyond = host.command(17, 2048 * scale);
        assert!(matches!(beyond, Err(Trouble::Refused(status)) if status.contains(CardStatus::OUT_OF_RANGE)), "{word}");
        assert_eq!(host.command(38, 0), Err(Trouble::Refused(CardStatus(CardStatus::ERASE_SEQ_ERROR.0 | 0x900))));
    }
}

#[test]
fn a_count_given_first_ends_a_transfer() {
    let mut host = standard();
    let data = pattern(4 * 512, 3);
    host.command(23, 4).unwrap();
    host.write(25, 0, &data).unwrap();
    assert_eq!(host.state().state(), Some(CardState::Transfer));
    host.command(23, 4).unwrap();
    assert_eq!(host.read(18, 0, 512, 4).unwrap(), data);
    assert_eq!(host.card.command(12, 0), None);
    assert!(host.state().contains(CardStatus::ILLEGAL_COMMAND));
    assert!(!host.state().is_error());
}

#[test]
fn secure_commands_exist_only_in_their_mode() {
    let mut host = standard();
    for index in [34, 35, 36, 37, 50, 57] {
        assert_eq!(host.card.command(index, 1), None, "CMD{index}");
        assert!(host.state().contains(CardStatus::ILLEGAL_COMMAND), "CMD{index}");
    }
    host.enter(Function::Assd2);
    assert_eq!(host.switch(SwitchArgument::QUERY).result(2), 4);
    assert!(host.register(0).is_ok());
    host.enter(Function::Default);
    assert_eq!(host.register(0), Err(Trouble::NoResponse));
    host.enter(Function::Assd1);
    host.card.command(0, 0);
    host.bring_up();
    assert_eq!(host.switch(SwitchArgument::QUERY).result(2), 0);
}

#[test]
fn an_apdu_goes_through_every_state_and_skips_none() {
    let mut host = standard();
    host.enter(Function::Assd1);
    assert_eq!(host.status().state(), Ok(SecureState::Idle));
    host.write(35, 1, &write_token(&SELECT, Checksum::None).unwrap()).unwrap();
    assert_eq!(host.status().state(), Ok(SecureState::InProgress));
    assert_eq!(host.state().state(), Some(CardState::Transfer));
    assert_eq!(host.command(34, 1), Err(Trouble::NoResponse));
    assert_eq!(host.card.command(35, 1), None);
    let _ = host.state();
    assert_eq!(host.status().state(), Ok(SecureState::InProgress));
    let status = host.status();
    assert_eq!((status.state(), status.error(), status.read_blocks()), (Ok(SecureState::Complete), 0, 1));
    let answer = host.read(34, 1, 512, 1).unwrap();
    assert_eq!(host.state().state(), Some(CardState::Transfer));
    assert_eq!(host.read(34, 1, 512, 1).unwrap(), answer, "read again");
    assert_eq!(host.status().state(), Ok(SecureState::Idle));
    assert_eq!(host.card.command(34, 1), None, "no longer directly after itself");
}

#[test]
fn a_whole_issue_runs_over_the_bus() {
    for (executor, blocks) in [(inline(3), 16), (Executor::Thread, 2048), (inline(0), 1)] {
        let mut host = host(Profile::default(), executor);
        host.enter(Function::Assd2);
        authenticate(&mut host);
        let stored = host.direct_write(b"wallet", &wallet_batch(), blocks);
        assert_eq!((stored.sw, stored.data.len()), (0x9000, 2));
        assert_eq!(host.apdu(&START).sw, 0x9000);
    }
}

#[test]
fn a_direct_write_can_be_taken_up_again_and_is_refused_beyond() {
    let mut host = standard();
    host.enter(Function::Assd2);
    assert_eq!(host.direct_write(b"x", &[0; 10], 1).sw, 0x6982, "nobody is authenticated");
    authenticate(&mut host);
    assert_eq!(host.direct_write(b"a/b", &[0; 10], 1).sw, 0x6A80);
    assert_eq!(host.direct_write(b"huge", &[0; 5 << 20], 2048).sw, 0x6A84);

    let file = wallet_batch();
    let mut open = [0; 512];
    open[..4].copy_from_slice(&u32::try_from(file.len()).unwrap().to_be_bytes());
    open[4..6].copy_from_slice(b"\x01w");
    assert_eq!(host.write(57, 0, &open), Err(Trouble::Crc), "not sealed");
    seal(&mut open);
    host.write(57, 0, &open).unwrap();
    host.until_done();
    assert_eq!(host.result().data, [0]);
    assert_eq!(host.status().memory_state(), 0);
    let mut padded = file.clone();
    padded.resize(file.len().next_multiple_of(512), 0);
    let data = |first: u16, blocks: u16| 1 << 30 | u32::from(blocks - 1) << 16 | u32::from(first);
    host.write(57, data(0, 4), &padded[..4 * 512]).unwrap();
    host.write(57, data(2, 4), &padded[2 * 512..6 * 512]).unwrap();
    let gap = host.command(57, data(7, 1));
    assert!(matches!(gap, Err(Trouble::Refused(status)) if status.contains(CardStatus::OUT_OF_RANGE)));
    assert_eq!(host.status().error(), error::RANGE_OVER);
    let blocks = u16::try_from(padded.len() / 512).unwrap();
    assert!(host.command(57, data(6, blocks - 5)).is_err(), "beyond the end");
    assert!(host.command(57, data(0, 1) | 5 << 27).is_err(), "no such write");
    assert_eq!(host.status().error(), error::AREA_NOT_FOUND);
    let state = host.read(50, 1 << 30, 512, 1).unwrap();
    assert_eq!(state[..12], [&[1, 0, 0, 0][..], &open[..4], &[0, 0, 0, 6]].concat());
    host.write(57, data(6, blocks - 6), &padded[6 * 512..]).unwrap();
    let mut commit = [0; 512];
    commit[..4].copy_from_slice(&crc32fast::hash(&file).to_be_bytes());
    seal(&mut commit);
    host.write(57, 2 << 30, &commit).unwrap();
    host.until_done();
    assert_eq!(host.result().sw, 0x9000);
    assert_eq!(host.result().sw, 0x9000, "a result can be read again");
    assert!(host.write(57, 2 << 30, &commit).is_err(), "it is not open any more");
}

#[test]
fn a_file_with_another_checksum_is_not_stored() {
    let mut host = standard();
    host.enter(Function::Assd2);
    authenticate(&mut host);
    let mut open = [0; 512];
    open[..6].copy_from_slice(&[0, 0, 0, 9, 1, b'x']);
    seal(&mut open);
    host.write(57, 0, &open).unwrap();
    host.until_done();
    host.result();
    host.write(57, 1 << 30, &[0; 512]).unwrap();
    let mut commit = [0; 512];
    seal(&mut commit);
    host.write(57, 2 << 30, &commit).unwrap();
    host.until_done();
    let answer = host.result();
    assert_eq!((answer.sw, answer.data.len()), (0x6A80, 0));
    assert!(host.card.inspect().writes.is_empty());
}

#[test]
fn tokens_of_several_blocks_and_checked_ones_are_taken() {
    let mut host = standard();
    host.enter(Function::Assd2);
    let long = [&[0x80, 0xCA, 0xDF, 0x72, 0x00, 0x03, 0xE8][..], &[0; 1000], &[0, 0]].concat();
    for checksum in [Checksum::None, Checksum::Crc32] {
        let bit = if checksum == Checksum::Crc32 { 1 << 30 } else { 0 };
        let token = write_token(&long, checksum).unwrap();
        host.write(35, 2 | bit, &token).unwrap();
        assert_eq!(host.until_done().state(), Ok(SecureState::Complete));
        assert!(host.read(34, 1 | bit, 512, 1).is_ok());
    }
    let mut token = write_token(&SELECT, Checksum::Crc32).unwrap();
    token[3] ^= 1;
    assert_eq!(host.write(35, 1 | 1 << 30, &token), Err(Trouble::Crc));
    assert_eq!(host.status().state(), Ok(SecureState::Idle));
    assert!(matches!(host.command(35, 129), Err(Trouble::Refused(_))));
    assert!(matches!(host.command(35, 0), Err(Trouble::Refused(_))));
    let mut plain = self::host(profile("plain"), inline(0));
    plain.enter(Function::Assd2);
    for argument in [2, 1 | 1 << 30] {
        assert!(matches!(plain.command(35, argument), Err(Trouble::Refused(_))));
    }
}

#[test]
fn a_wrong_length_aborts_with_a_condition_error() {
    let mut host = standard();
    host.enter(Function::Assd1);
    for stl in [0_u16, 1, 2, 5, 513, 0xFFFF] {
        let mut block = [0; 512];
        block[..2].copy_from_slice(&stl.to_be_bytes());
        host.write(35, 1, &block).unwrap();
        let status = host.status();
        assert_eq!((status.state(), status.error()), (Ok(SecureState::Aborted), error::CONDITION), "STL {stl}");
        host.command(37, 1).unwrap();
        host.not_busy().unwrap();
        assert_eq!((host.status().state(), host.status().error()), (Ok(SecureState::Idle), 0));
    }
}

#[test]
fn a_block_that_arrives_damaged_has_no_effect() {
    let mut host = standard();
    host.enter(Function::Assd2);
    host.command(35, 1).unwrap();
    assert_eq!(host.card.block_damaged(), Transfer::Crc);
    assert_eq!(host.status().state(), Ok(SecureState::Idle));
    host.command(24, 0).unwrap();
    assert_eq!(host.card.block_damaged(), Transfer::Crc);
    assert_eq!(host.read(17, 0, 512, 1).unwrap(), [0; 512]);
    host.card.command_damaged();
    assert!(host.state().contains(CardStatus::COM_CRC_ERROR));
}

#[test]
fn control_selects_a_system_and_resets_the_core() {
    let mut host = standard();
    host.enter(Function::Assd2);
    authenticate(&mut host);
    let session = |host: &mut NativeHost| host.apdu(&[0x80, 0xCA, 0xDF, 0x74, 0x00]).data[6];
    assert_eq!(session(&mut host), 0x83);
    for odd in [0x201, 0xF01, 2, 3, 0, 0x1001] {
        assert!(matches!(host.command(37, odd), Err(Trouble::Refused(_))), "{odd:X}");
    }
    assert_eq!(session(&mut host), 0x83);
    host.command(37, 0x101).unwrap();
    host.not_busy().unwrap();
    assert_eq!(host.status().system(), 1);
    assert_eq!(session(&mut host), 0);
    let mut old = self::host(profile("assd-1.1"), inline(0));
    old.enter(Function::Assd1);
    assert!(matches!(old.command(37, 0x101), Err(Trouble::Refused(_))));
    old.command(37, 1).unwrap();
    assert_eq!(old.register(4).unwrap()[2], Version::V1_1.0);
}

#[test]
fn properties_follow_the_profile() {
    let mut host = standard();
    host.enter(Function::Assd2);
    let properties = host.register(4).unwrap();
    assert_eq!(properties[..8], [1, 1, 2, 0, 1, 1, 4, 1]);
    assert_eq!(properties[12..16], [0, 3, 0, 1]);
    assert!(matches!(host.register(6), Err(Trouble::Refused(_))));
    assert!(matches!(host.register(1), Err(Trouble::Refused(_))));
    for (word, length) in [("cmd16-refused", 512), ("cmd16-refused-32", 32), ("cmd16-ignored", 32), ("psi-512", 512)] {
        let mut host = self::host(profile(word), inline(0));
        host.enter(Function::Assd2);
        let taken = host.card.command(16, 32).is_some();
        assert_eq!(taken, !word.contains("refused"), "{word}");
        assert_eq!(host.read(36, 4, length, 1).unwrap()[..16], properties[..16], "{word}");
    }
}

#[test]
fn a_card_that_needs_a_stop_waits_for_it() {
    let mut host = host(profile("needs-stop"), inline(0));
    host.enter(Function::Assd1);
    host.write(35, 1, &write_token(&SELECT, Checksum::None).unwrap()).unwrap();
    assert_eq!(host.state().state(), Some(CardState::Receive));
    host.command(12, 0).unwrap();
    assert_eq!(host.status().state(), Ok(SecureState::Complete));
    host.read(34, 1, 512, 1).unwrap();
    assert_eq!(host.state().state(), Some(CardState::Data));
    host.command(12, 0).unwrap();
    assert_eq!(host.status().state(), Ok(SecureState::Idle));
}

#[test]
fn oddities_show_where_they_should() {
    let mut lost = host(profile("first-lost"), inline(0));
    lost.enter(Function::Assd1);
    for _ in 0..3 {
        assert_eq!(lost.card.command(35, 1), None);
        assert!(!lost.state().is_error());
    }
    assert_ne!(lost.apdu(&SELECT).sw, 0);

    let mut aborts = host(profile("memory-aborts"), inline(5));
    aborts.enter(Function::Assd1);
    aborts.write(35, 1, &write_token(&SELECT, Checksum::None).unwrap()).unwrap();
    aborts.read(17, 0, 512, 1).unwrap();
    assert_eq!(aborts.status().state(), Ok(SecureState::Aborted));

    let mut damaged = host(profile("damaged-answer"), inline(0));
    damaged.enter(Function::Assd1);
    damaged.write(35, 1, &write_token(&SELECT, Checksum::None).unwrap()).unwrap();
    damaged.until_done();
    assert_eq!(damaged.read(34, 1, 512, 1), Err(Trouble::Crc));
    assert!(damaged.read(34, 1, 512, 1).is_ok());

    let mut forgets =
        host(Profile { mode_loss: smcard_card::sd::ModeLoss::Every(20), ..Profile::default() }, inline(0));
    forgets.enter(Function::Assd2);
    assert!((0..20).any(|_| forgets.register(0).is_err()));
    forgets.enter(Function::Assd2);

    let mut none = host(profile("no-secure"), inline(0));
    assert_eq!(none.switch(SwitchArgument::QUERY).supported(2), 0x8001);
    let mut echo = host(profile("echo"), inline(0));
    assert_eq!(echo.switch(SwitchArgument::set(Function::Assd2)).result(2), 4);
    assert_eq!(echo.register(4), Err(Trouble::NoResponse));

    let mut locked = host(profile("locked"), inline(0));
    assert!(locked.state().contains(CardStatus::CARD_IS_LOCKED));
    assert_eq!(locked.card.command(17, 0), None);
    assert_eq!(locked.card.command(6, 0x00FF_FFFF), None);
}

#[test]
fn a_reset_breaks_a_running_command_off() {
    for worked in [Worked::First, Worked::Last] {
        let mut host = host(Profile::default(), Executor::Inline { polls: 10, worked });
        host.enter(Function::Assd2);
        host.write(35, 1, &write_token(&SELECT, Checksum::None).unwrap()).unwrap();
        host.command(37, 1).unwrap();
        host.not_busy().unwrap();
        assert_eq!(host.status().state(), Ok(SecureState::Idle));
        assert_eq!(host.card.command(34, 1), None);
    }
}

#[test]
fn a_card_that_is_pulled_out_is_silent_and_comes_back_fresh() {
    let mut host = standard();
    host.enter(Function::Assd2);
    let slot = host.card.slot();
    slot.remove();
    assert!(!host.card.is_present());
    assert_eq!(host.card.command(13, host.rca), None);
    slot.insert();
    assert_eq!(host.card.command(13, host.rca), None, "it has not been identified");
    host.bring_up();
    assert_eq!(host.switch(SwitchArgument::QUERY).result(2), 0);
    host.card.set_power(false);
    assert_eq!(host.card.command(8, 0x1AA), None);
    host.card.set_power(true);
    host.bring_up();
}

#[test]
fn a_supply_that_fails_in_the_core_aborts_until_a_reset() {
    let mut host = standard();
    host.enter(Function::Assd2);
    authenticate(&mut host);
    assert_eq!(host.direct_write(b"wallet", &wallet_batch(), 64).sw, 0x9000);
    host.card.slot().power_switch().cut();
    host.write(35, 1, &write_token(&START, Checksum::None).unwrap()).unwrap();
    let status = host.until_done();
    assert_eq!((status.state(), status.error()), (Ok(SecureState::Aborted), error::CONDITION));
    host.command(37, 1).unwrap();
    host.not_busy().unwrap();
    assert_eq!(host.apdu(&START).sw, 0x9000);
}
