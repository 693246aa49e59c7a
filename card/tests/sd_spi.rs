//! The card on SPI, byte by byte.

mod wire;

use smcard_card::sd::{Executor, Profile};
use smcard_link::SpiBus;
use smcard_link::assd::{Checksum, SecureState, write_token};
use smcard_link::sd::{Command, Csd, Function, Scr, SwitchArgument};
use wire::spi::{SpiHost, Trouble};
use wire::{Apdus, SELECT, START, authenticate, inline, new_card, options, pattern, profile, wallet_batch};

fn card(profile: Profile, executor: Executor) -> smcard_card::sd::SpiCard {
    new_card().into_spi(options(profile, executor)).expect("a card")
}

fn host(profile: Profile, executor: Executor) -> SpiHost {
    SpiHost::new(card(profile, executor))
}

fn standard() -> SpiHost {
    host(Profile::default(), inline(2))
}

/// Clocks `bytes` with chip select as it is.
fn exchange(bus: &mut dyn SpiBus, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bus.exchange(&mut bytes).expect("the controller");
    bytes
}

/// Vectors: what is on the wire, both ways, until the card takes data. NCR is one byte, CMD8 echoes, CMD58 says SDHC.
#[test]
fn initialisation_is_what_the_specification_prints() {
    let mut card = card(Profile::default(), inline(0));
    assert_eq!(exchange(&mut card, &[0xFF; 10]), [0xFF; 10]);
    card.select(true).unwrap();
    let mut say = |command: &[u8], answer: &[u8]| {
        let sent = [command, &[0xFF; 8]].concat();
        let came = exchange(&mut card, &sent);
        assert_eq!(came[..7], [0xFF; 7], "one byte of gap");
        assert_eq!(came[7..7 + answer.len()], *answer, "{command:02X?}");
        assert!(came[7 + answer.len()..].iter().all(|byte| *byte == 0xFF));
    };
    say(&[0x40, 0, 0, 0, 0, 0x95], &[0x01]);
    say(&[0x48, 0, 0, 0x01, 0xAA, 0x87], &[0x01, 0, 0, 0x01, 0xAA]);
    say(&[0x48, 0, 0, 0x01, 0xAA, 0x85], &[0x09]);
    say(&[0x51, 0, 0, 0, 0, 0x55], &[0x05]);
    say(&[0x7B, 0, 0, 0, 1, 0x83], &[0x01]);
    say(&[0x77, 0, 0, 0, 0, 0x65], &[0x01]);
    say(&[0x69, 0x40, 0, 0, 0, 0x77], &[0x01]);
    say(&[0x77, 0, 0, 0, 0, 0x65], &[0x01]);
    say(&[0x69, 0x40, 0, 0, 0, 0x77], &[0x00]);
    say(&[0x7A, 0, 0, 0, 0, 0xFD], &[0x00, 0xC0, 0xFF, 0x80, 0x00]);
    say(&[0x4D, 0, 0, 0, 0, 0x0D], &[0x00, 0x00]);
    say(&[0x4D, 0, 0, 0, 0, 0x0F], &[0x08]);
    say(&[0x64, 0, 0, 0, 0, 0x7D], &[0x04]);
}

#[test]
fn nothing_is_heard_before_cmd0_with_chip_select_low() {
    let mut card = card(profile("strict"), inline(0));
    card.select(true).unwrap();
    let cmd0 = Command::new(0, 0).frame().0;
    assert_eq!(exchange(&mut card, &[&cmd0[..], &[0xFF; 8]].concat()), [0xFF; 14], "no clocks with chip select high");
    card.select(false).unwrap();
    exchange(&mut card, &[0xFF; 9]);
    card.select(true).unwrap();
    assert_eq!(exchange(&mut card, &[&cmd0[..], &[0xFF; 8]].concat()), [0xFF; 14], "72 clocks are too few");
    card.select(false).unwrap();
    exchange(&mut card, &[0xFF; 1]);
    card.select(true).unwrap();
    assert_eq!(exchange(&mut card, &[0x4D, 0, 0, 0, 0, 0x0D, 0xFF, 0xFF]), [0xFF; 8]);
    assert_eq!(exchange(&mut card, &[&cmd0[..], &[0xFF; 2]].concat())[7], 0x01);
}

#[test]
fn registers_and_memory_are_there() {
    for word in ["standard", "sdsc", "sd-1.10", "slow", "late-tokens", "crc-refused", "strict", "reset-lost"] {
        let mut host = host(profile(word), inline(0));
        let csd = host.read(9, 0, 16, 1).unwrap();
        assert_eq!(Csd(csd.try_into().unwrap()).blocks(), Some(2048), "{word}");
        assert_eq!(&host.read(10, 0, 16, 1).unwrap()[1..8], b"SMSMCRD");
        host.command(55, 0, false).unwrap();
        assert!(Scr(host.read(51, 0, 8, 1).unwrap().try_into().unwrap()).has_switch());
        let scale = if host.high { 1 } else { 512 };
        let data = pattern(8 * 512, 1);
        host.write(24, 5 * scale, &data[..512]).unwrap();
        assert_eq!(host.read(17, 5 * scale, 512, 1).unwrap(), data[..512], "{word}");
        host.write(25, 100 * scale, &data).unwrap();
        host.command(55, 0, false).unwrap();
        assert_eq!(host.read(22, 0, 4, 1).unwrap(), [0, 0, 0, 8]);
        assert_eq!(host.read(18, 100 * scale, 512, 8).unwrap(), data);
        host.command(12, 0, false).unwrap();
        host.command(32, 101 * scale, false).unwrap();
        host.command(33, 102 * scale, false).unwrap();
        host.command(38, 0, false).unwrap();
        let mut erased = data.clone();
        erased[512..3 * 512].fill(0);
        assert_eq!(host.read(18, 100 * scale, 512, 8).unwrap(), erased, "{word}");
        host.command(12, 0, false).unwrap();
        assert_eq!(host.command(17, 2048 * scale, true), Err(Trouble::R1(0x40)), "{word}");
        assert_eq!(host.command(38, 0, false), Err(Trouble::R1(0x10)));
        assert_eq!(host.command(13, 0, false), Ok(vec![0, 0]));
    }
}

#[test]
fn reading_to_the_very_end_and_beyond() {
    let mut host = standard();
    assert!(host.read(18, 2047, 512, 1).is_ok());
    host.command(12, 0, false).unwrap();
    assert_eq!(host.command(13, 0, false), Ok(vec![0, 0]), "stopped in time, nothing happened");
    host.read(18, 2047, 512, 1).unwrap();
    assert_eq!((0..30).map(|_| host.byte(0xFF)).find(|byte| *byte != 0xFF), Some(0x08));
    host.command(12, 0, false).unwrap();
    assert_eq!(host.command(13, 0, false), Ok(vec![0, 0x80]));
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
fn every_start_token_of_the_field_is_taken_for_a_command() {
    for token in [(0xFE, false), (0xFC, false), (0xFC, true)] {
        let mut host = standard();
        host.enter(Function::Assd1);
        host.token = token;
        assert_ne!(host.apdu(&SELECT).sw, 0, "{token:X?}");
        assert_ne!(host.apdu(&SELECT).sw, 0, "{token:X?}");
    }
    for (word, good, bad) in [("token-fe", 0xFE, 0xFC), ("token-fc", 0xFC, 0xFE)] {
        let mut host = host(profile(word), inline(0));
        host.enter(Function::Assd1);
        host.token = (bad, false);
        assert_eq!(host.write(35, 1, &[0; 512]), Err(Trouble::Response(0xFF)), "{word}");
        host.token = (good, false);
        assert_ne!(host.apdu(&SELECT).sw, 0, "{word}");
    }
}

#[test]
fn what_arrives_damaged_has_no_effect() {
    let mut host = standard();
    host.enter(Function::Assd2);
    let mut frame = Command::new(37, 1).frame().0;
    frame[4] ^= 2;
    host.bus.select(true).unwrap();
    host.bus.exchange(&mut frame).unwrap();
    assert_eq!((0..2).map(|_| host.byte(0xFF)).last(), Some(0x08));

    let token = write_token(&SELECT, Checksum::None).unwrap();
    host.command(35, 1, true).unwrap();
    let mut message = [&[0xFE][..], &token, &smcard_link::sd::crc16(&token).to_be_bytes(), &[0xFF; 3]].concat();
    message[100] ^= 1;
    host.bus.exchange(&mut message).unwrap();
    assert_eq!(message[515..], [0xEB, 0xFF, 0xFF]);
    host.deselect();
    assert_eq!(host.status().state(), Ok(SecureState::Idle));

    // In a transfer of several blocks what follows the damaged one is not taken either, and is not taken for commands.
    let data = pattern(2 * 512, 9);
    host.command(25, 0, true).unwrap();
    host.send_block(0xFC, &data[..512]).unwrap();
    let mut message = [&[0xFC][..], &data[512..], &[0, 0], &[0xFF; 2]].concat();
    host.bus.exchange(&mut message).unwrap();
    assert_eq!(message[515..], [0xEB, 0xFF]);
    assert_eq!(host.send_block(0xFC, &data[..512]), Err(Trouble::Response(0xED)));
    host.command(12, 0, false).unwrap();
    assert_eq!(host.read(17, 0, 512, 1).unwrap(), data[..512]);
    assert_eq!(host.read(17, 1, 512, 1).unwrap(), [0; 512]);
}

#[test]
fn a_busy_card_hears_only_cmd0_and_stays_busy_while_deselected() {
    let mut host = host(profile("slow"), inline(0));
    host.command(24, 0, true).unwrap();
    let block = [0x5A; 512];
    let mut message = [&[0xFE][..], &block, &smcard_link::sd::crc16(&block).to_be_bytes(), &[0xFF; 3]].concat();
    host.bus.exchange(&mut message).unwrap();
    assert_eq!(message[515..], [0xE5, 0x00, 0x00]);
    host.deselect();
    host.bus.select(true).unwrap();
    assert_eq!(host.byte(0xFF), 0x00);
    host.bus.exchange(&mut Command::new(13, 0).frame().0).unwrap();
    assert!((0..20).all(|_| host.byte(0xFF) == 0x00), "CMD13 is not heard");
    host.bus.exchange(&mut Command::new(0, 0).frame().0).unwrap();
    assert_eq!((0..2).map(|_| host.byte(0xFF)).last(), Some(0x01));
}

#[test]
fn chip_select_raised_in_the_middle_of_anything_ends_it() {
    let data = pattern(512, 4);
    for cut in [1, 3, 5, 6, 7, 8, 9, 20, 300, 522, 523, 530] {
        let mut host = standard();
        host.write(24, 3, &data).unwrap();
        let message = [&Command::new(17, 3).frame().0[..], &[0xFF; 600]].concat();
        host.bus.select(true).unwrap();
        exchange(&mut host.bus, &message[..cut]);
        host.deselect();
        host.bus.exchange(&mut [0xFF; 8]).unwrap();
        assert_eq!(host.read(17, 3, 512, 1).unwrap(), data, "cut after {cut}");

        let crc = smcard_link::sd::crc16(&data).to_be_bytes();
        let write = [&Command::new(24, 9).frame().0[..], &[0xFF; 3], &[0xFE], &data, &crc, &[0xFF; 9]].concat();
        host.bus.select(true).unwrap();
        exchange(&mut host.bus, &write[..cut]);
        host.deselect();
        host.command(13, 0, false).unwrap();
        let expected = if cut < 6 + 3 + 1 + 512 + 2 { vec![0; 512] } else { data.clone() };
        assert_eq!(host.read(17, 9, 512, 1).unwrap(), expected, "cut after {cut}");
    }
}

#[test]
fn an_answer_that_was_not_read_to_its_end_is_still_there() {
    let mut host = standard();
    host.enter(Function::Assd2);
    host.write(35, 1, &write_token(&SELECT, Checksum::None).unwrap()).unwrap();
    host.until_done();
    host.command(34, 1, true).unwrap();
    host.bus.exchange(&mut [0xFF; 100]).unwrap();
    host.deselect();
    assert_eq!(host.status().state(), Ok(SecureState::Complete));
    let answer = host.read(34, 1, 512, 1).unwrap();
    assert_eq!(host.read(34, 1, 512, 1).unwrap(), answer);
    assert_eq!(host.status().state(), Ok(SecureState::Idle));
}

#[test]
fn tokens_off_the_byte_grid_carry_the_same_data() {
    let mut host = host(profile("shifted-tokens"), inline(0));
    host.bus.select(true).unwrap();
    let message = [&Command::new(6, SwitchArgument::QUERY.0).frame().0[..], &[0xFF; 90]].concat();
    let came = exchange(&mut host.bus, &message);
    let bits: Vec<u8> = came.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let start = bits.iter().skip(8 * 8).position(|bit| *bit == 0).unwrap() + 8 * 8 + 1;
    assert_ne!(start % 8, 0);
    let data: Vec<u8> = bits[start..].chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    assert_eq!(smcard_link::sd::crc16(&data[..64]).to_be_bytes(), data[64..66]);
    assert_eq!(data[10..12], [0x80, 0x13]);
    assert!(data[66..76].iter().all(|byte| *byte == 0xFF));
}

#[test]
fn a_card_that_is_pulled_out_is_silent_and_comes_back_fresh() {
    let mut host = standard();
    host.enter(Function::Assd2);
    let slot = host.bus.slot();
    slot.remove();
    assert_eq!(host.command(13, 0, false), Err(Trouble::Silent));
    slot.insert();
    assert_eq!(host.command(13, 0, false), Err(Trouble::Silent), "it waits for CMD0");
    host.bring_up();
    assert_eq!(host.register(0), Err(Trouble::R1(0x04)));
    assert!(host.bus.power_cycle().unwrap());
    host.bring_up();
    host.enter(Function::Assd2);
}

#[test]
fn the_payload_is_97_percent_of_a_long_direct_write() {
    let mut host = host(Profile::default(), inline(0));
    host.enter(Function::Assd2);
    authenticate(&mut host);
    let file = vec![0x5A; 1 << 20];
    let before = host.bus.clocked();
    host.direct_write(b"long", &file, 2048);
    let clocked = host.bus.clocked() - before;
    assert!(clocked * 97 <= (1 << 20) * 100, "{clocked} bytes were clocked");
}

#[test]
fn a_card_that_needs_a_stop_takes_cmd12_or_the_stop_token() {
    for with_token in [true, false] {
        let mut host = host(profile("needs-stop"), inline(0));
        host.enter(Function::Assd1);
        host.token = (0xFC, false);
        host.command(35, 1, true).unwrap();
        host.send_block(0xFC, &write_token(&SELECT, Checksum::None).unwrap()).unwrap();
        if with_token {
            host.bus.exchange(&mut [0xFD, 0xFF, 0xFF]).unwrap();
            host.deselect();
        } else {
            host.deselect();
            host.command(12, 0, false).unwrap();
        }
        assert_eq!(host.status().state(), Ok(SecureState::Complete), "stop token: {with_token}");
        assert!(host.read(34, 1, 512, 1).is_ok());
        host.command(12, 0, false).unwrap();
        assert_eq!(host.status().state(), Ok(SecureState::Idle));
    }
}

#[test]
fn what_a_card_does_not_know_is_illegal_and_what_gets_lost_is_silent() {
    let mut host = host(profile("first-lost"), inline(0));
    for index in [2, 3, 4, 7, 11, 15, 20, 23, 26, 27, 28, 42, 52, 56, 60, 63] {
        assert_eq!(host.command(index, 0, false), Err(Trouble::R1(0x04)), "CMD{index}");
    }
    for index in [34, 35, 36, 37, 50, 57] {
        assert_eq!(host.command(index, 1, false), Err(Trouble::R1(0x04)), "CMD{index}");
    }
    host.enter(Function::Assd1);
    for _ in 0..3 {
        assert_eq!(host.command(35, 1, false), Err(Trouble::Silent));
    }
    assert_ne!(host.apdu(&SELECT).sw, 0);
}
