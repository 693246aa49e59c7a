//! What a driver sees of the controller.

use super::registers::{TIMEOUT_CLOCK, interrupt, mode, present};
use super::testing::{CSD, Card, DATA, Failed, Host, TABLE, Way};
use super::{Controller, testing};
use crate::device::{Device, Pace};
use crate::memory::GuestMemory;
use proptest::prelude::*;
use std::time::Duration;

const R1: u16 = 0x1A;
const R1B: u16 = 0x1B;
const R2: u16 = 0x09;
const WAYS: [Way; 2] = [Way::Port, Way::Adma];

fn pattern(blocks: usize) -> Vec<u8> {
    (0..blocks * 512).map(|n| (n * 7 + n / 512).to_le_bytes()[0]).collect()
}

#[test]
fn a_driver_that_probes_finds_version_2_with_adma2_and_high_speed() {
    let mut host = Host::with(&Card::new(1));
    assert_eq!(host.get16(0xFE), 0x0001);
    let capabilities = host.get32(0x40);
    assert_eq!(capabilities & 0xFF, 0x81, "timeout clock 1 MHz");
    assert_eq!(capabilities >> 8 & 0xFF, 50, "base clock 50 MHz");
    assert_eq!(capabilities >> 16 & 3, 0, "blocks of 512 bytes");
    assert_eq!(capabilities & (1 << 19 | 1 << 21 | 1 << 24), 1 << 19 | 1 << 21 | 1 << 24);
    assert_eq!(capabilities & (1 << 22), 0, "no simple DMA");
}

#[test]
fn without_reachable_memory_no_dma_is_offered() {
    let mut controller = Controller::new();
    controller.step(Duration::ZERO, &testing::Ram::new(0));
    let mut bytes = [0; 4];
    controller.read(0x40, &mut bytes);
    assert_eq!(u32::from_le_bytes(bytes) & 1 << 19, 0);
}

#[test]
fn a_long_response_is_shown_without_its_checksum() {
    let mut host = Host::with(&Card::new(1));
    host.command(9, 0, R2).unwrap();
    let words = [0x1C, 0x18, 0x14, 0x10].map(|offset| host.get32(offset));
    let shown = words.iter().fold(0_u128, |value, word| value << 32 | u128::from(*word));
    assert_eq!(shown, u128::from_be_bytes(CSD) >> 8);
}

#[test]
fn silence_is_a_command_timeout() {
    let mut host = Host::with(&Card::new(1));
    assert_eq!(host.command(36, 0, R1), Err(Failed(interrupt::COMMAND_TIMEOUT | interrupt::ERROR)));
    assert_eq!(host.command(9, 0, R1), Err(Failed(interrupt::COMMAND_END_BIT | interrupt::ERROR)), "too long");
    assert_eq!(host.command(13, 0, R1), Ok(0x900), "the next command is heard");
    host.set16(0x2C, 1);
    assert!(host.command(13, 0, R1).is_err(), "no clock for the card");
    host.set16(0x2C, 5);
    host.set8(0x29, 0x0B);
    assert!(host.command(13, 0, R1).is_err(), "3.0 V are not offered");
}

#[test]
fn blocks_pass_either_way_in_both_directions() {
    for way in WAYS {
        for blocks in [1_u16, 2, 8, 300] {
            let card = Card::new(400);
            card.state().waits = 3;
            card.state().busy = 5;
            let mut host = Host::with(&card);
            let data = pattern(blocks.into());
            host.write(way, 7, &data).unwrap();
            assert_eq!(host.read(way, 7, blocks), Ok(data), "{way:?} {blocks}");
            assert_eq!(host.read(way, 7 + u32::from(blocks), 1).unwrap()[0], u8::try_from((7 + blocks) % 251).unwrap());
            let stops = card.state().commands.iter().filter(|(index, _)| *index == 12).count();
            assert_eq!(stops, if blocks > 1 { 2 } else { 0 }, "stopped by the controller");
            assert_eq!(host.get32(0x24) & present::DATA_INHIBIT, 0);
        }
    }
}

#[test]
fn the_line_is_up_until_everything_is_acknowledged() {
    let mut host = Host::with(&Card::new(1));
    host.set16(0x0E, 13 << 8 | R1);
    assert!(host.controller.line());
    assert_eq!(host.get16(0xFC), 1, "slot interrupt status");
    host.acknowledge();
    assert!(!host.controller.line());
    host.set32(0x38, 0);
    host.set16(0x0E, 13 << 8 | R1);
    assert!(!host.controller.line(), "no signal enabled");
    assert_eq!(host.acknowledge(), interrupt::COMMAND_COMPLETE);
}

#[test]
fn a_busy_card_is_waited_for_after_r1b() {
    let card = Card::new(1);
    card.state().busy = 20;
    let mut host = Host::with(&card);
    host.set16(0x0E, 12 << 8 | R1B);
    assert_eq!(host.acknowledge(), interrupt::COMMAND_COMPLETE);
    assert_eq!(host.get32(0x24) & (present::DATA_INHIBIT | present::DAT0), present::DATA_INHIBIT);
    host.pace();
    assert_eq!(host.acknowledge(), interrupt::TRANSFER_COMPLETE);
    assert_eq!(host.get32(0x24) & (present::DATA_INHIBIT | present::DAT0), present::DAT0);
}

#[test]
fn the_data_time_limit_is_the_hosts() {
    let timeout = Err(Failed(interrupt::DATA_TIMEOUT | interrupt::COMMAND_COMPLETE | interrupt::ERROR));
    for value in [0_u8, 5, 14, 15] {
        let card = Card::new(4);
        card.state().waits = u32::MAX;
        let mut host = Host::with(&card);
        host.set8(0x2E, value);
        let before = host.now;
        assert_eq!(host.read(Way::Adma, 0, 2).map(drop), timeout);
        let limit = Duration::from_secs(1 << (13 + value.min(14))) / TIMEOUT_CLOCK;
        assert_eq!(host.now - before, limit);
        // Nothing to read where the card is in no data state is the same.
        card.state().waits = 0;
        assert_eq!(host.read(Way::Port, 99, 2).map(drop), timeout);
    }
    let card = Card::new(4);
    card.state().busy = u32::MAX;
    let mut host = Host::with(&card);
    assert_eq!(host.write(Way::Adma, 0, &[0; 512]), timeout, "busy for ever");
}

#[test]
fn a_card_is_asked_once_more_after_the_limit() {
    let card = Card::new(1);
    card.state().waits = 1;
    let mut host = Host::with(&card);
    host.set16(0x04, 512);
    host.set16(0x0C, mode::READ);
    host.set16(0x0E, 17 << 8 | 0x3A);
    assert!(matches!(host.controller.step(host.now, &host.ram), Pace::After(_)));
    host.now += Duration::from_secs(1000);
    host.pace();
    assert_eq!(host.acknowledge(), interrupt::COMMAND_COMPLETE | interrupt::BUFFER_READ);
}

#[test]
fn a_damaged_block_is_a_checksum_error() {
    for way in WAYS {
        let card = Card::new(8);
        card.state().damaged = Some(3);
        let mut host = Host::with(&card);
        let Err(Failed(status)) = host.read(way, 0, 8) else { panic!("damaged") };
        assert_eq!(status & interrupt::ERRORS, interrupt::DATA_CRC);
        host.set8(0x2F, 6);
        host.command(12, 0, R1B | 0xC0).unwrap();
        card.state().damaged = None;
        assert!(host.read(way, 0, 8).is_ok());
    }
}

#[test]
fn a_table_that_leads_nowhere_is_an_adma_error_and_says_where() {
    let mut host = Host::with(&Card::new(8));
    host.set32(0x58, 0xFFFF_0000);
    host.set16(0x04, 512);
    host.set16(0x0C, mode::READ | mode::DMA);
    host.set16(0x0E, 17 << 8 | 0x3A);
    host.pace();
    assert_eq!(host.acknowledge() & interrupt::ERRORS, interrupt::ADMA);
    assert_eq!((host.get32(0x54), host.get32(0x58)), (1, 0xFFFF_0000));
    // A table too short for its transfer.
    host.table(512);
    host.set16(0x06, 2);
    host.set16(0x0C, mode::READ | mode::DMA | mode::MULTI | mode::COUNT);
    host.set16(0x0E, 18 << 8 | 0x3A);
    host.pace();
    assert_eq!(host.acknowledge() & interrupt::ERRORS, interrupt::ADMA);
    assert_eq!((host.get32(0x54), host.get32(0x58)), (4, TABLE + 8));
}

#[test]
fn an_open_ended_read_stops_with_its_table_or_by_an_abort() {
    let card = Card::new(64);
    let mut host = Host::with(&card);
    host.table(4096);
    host.set16(0x04, 512);
    host.set16(0x0C, mode::READ | mode::DMA | mode::MULTI);
    host.set16(0x0E, 18 << 8 | 0x3A);
    host.pace();
    assert_eq!(host.acknowledge(), interrupt::COMMAND_COMPLETE | interrupt::TRANSFER_COMPLETE);
    host.set16(0x0C, mode::READ | mode::MULTI);
    host.set16(0x0E, 18 << 8 | 0x3A);
    host.pace();
    assert_eq!(host.acknowledge(), interrupt::COMMAND_COMPLETE | interrupt::BUFFER_READ);
    host.command(12, 0, R1B | 0xC0).unwrap();
    assert_eq!(host.get32(0x24) & (present::DATA_INHIBIT | present::BUFFER_READ), 0);
}

#[test]
fn a_card_comes_and_goes_with_interrupts_and_loses_its_power() {
    let card = Card::new(4);
    let mut host = Host::start(Controller::new());
    assert_eq!(host.get32(0x24) & (present::INSERTED | present::STABLE), present::STABLE);
    assert!(!host.controller.line());
    host.controller.insert(Box::new(card.clone()));
    host.pace();
    assert_eq!(host.acknowledge(), interrupt::INSERTED);
    assert_eq!(host.get32(0x24) & present::INSERTED, present::INSERTED);
    assert!(card.state().powered && host.command(13, 0, R1).is_ok());

    host.controller.eject();
    assert!(!card.state().powered);
    assert_eq!(host.acknowledge(), interrupt::REMOVED);
    assert!(host.command(13, 0, R1).is_err());
    assert_eq!(host.get32(0x28) & 0x100, 0, "the controller has switched the supply off");

    // Another card while one is in: both events.
    host.controller.insert(Box::new(card.clone()));
    assert!(host.controller.insert(Box::new(Card::new(1))).is_some());
    host.pace();
    assert_eq!(host.acknowledge() & 0xC0, interrupt::INSERTED | interrupt::REMOVED);
}

#[test]
fn a_card_that_goes_by_itself_in_a_transfer_is_noticed() {
    let card = Card::new(64);
    card.state().waits = 5;
    let mut host = Host::with(&card);
    host.set16(0x04, 512);
    host.set16(0x0C, mode::READ);
    host.set16(0x0E, 17 << 8 | 0x3A);
    host.controller.step(host.now, &host.ram);
    card.state().absent = true;
    host.controller.step(host.now, &host.ram);
    assert_eq!(host.acknowledge() & interrupt::REMOVED, interrupt::REMOVED);
}

#[test]
fn a_reset_takes_power_and_transfers_away_but_not_the_card() {
    let card = Card::new(4);
    card.state().waits = u32::MAX;
    let mut host = Host::with(&card);
    host.set16(0x04, 512);
    host.set16(0x0C, mode::READ);
    host.set16(0x0E, 17 << 8 | 0x3A);
    host.set8(0x2F, 4);
    assert_eq!(host.get32(0x24) & present::DATA_INHIBIT, 0, "data reset");
    assert!(card.state().powered);
    host.set8(0x2F, 1);
    assert!(!card.state().powered);
    assert_eq!((host.get32(0x34), host.get32(0x2C), host.get32(0x28)), (0, 0, 0));
    assert_eq!(host.get32(0x24) & present::INSERTED, present::INSERTED);
}

#[derive(Clone, Debug)]
enum Touch {
    Read(u64, usize),
    Write(u64, Vec<u8>),
    Memory(u16, Vec<u8>),
    Step(u32),
    Eject,
    Insert,
}

fn touch() -> impl Strategy<Value = Touch> {
    let offset = prop_oneof![8 => 0_u64..0x100, 1 => any::<u64>()];
    let bytes =
        prop_oneof![8 => prop::collection::vec(any::<u8>(), 1..=4), 1 => prop::collection::vec(any::<u8>(), 0..64)];
    // What makes something happen, so that not all is refused at the door.
    let sensible = prop_oneof![
        Just((0x29, vec![0x0F])),
        Just((0x2C, vec![5, 0])),
        Just((0x34, vec![0xFF; 8])),
        Just((0x28, vec![0x12])),
        (0_u8..64, any::<u8>(), any::<u8>()).prop_map(|(index, flags, modes)| (0x0C, vec![modes, 0, flags, index])),
        Just((0x0C, vec![0x37, 0, 0x3A, 18])),
        Just((0x0C, vec![0x27, 0, 0x3A, 25])),
        (0_u8..4, any::<u8>()).prop_map(|(high, low)| (0x04, vec![low, high, 3, 0])),
        Just((0x58, vec![0, 1, 0, 0])),
    ];
    prop_oneof![
        1 => (offset.clone(), 0_usize..40).prop_map(|(offset, length)| Touch::Read(offset, length)),
        1 => (offset, bytes.clone()).prop_map(|(offset, bytes)| Touch::Write(offset, bytes)),
        4 => sensible.prop_map(|(offset, bytes)| Touch::Write(offset, bytes)),
        1 => (0_u16..0x200, bytes).prop_map(|(at, bytes)| Touch::Memory(at, bytes)),
        2 => (0_u32..2_000_000).prop_map(Touch::Step),
        1 => prop_oneof![Just(Touch::Eject), Just(Touch::Insert)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_guest_can_break_the_controller(touches in prop::collection::vec(touch(), 1..120)) {
        let card = Card::new(16);
        let mut controller = Controller::new();
        let ram = testing::Ram::new(0x2000);
        let mut now = Duration::ZERO;
        for touch in touches {
            match touch {
                Touch::Read(offset, length) => controller.read(offset, &mut vec![0; length]),
                Touch::Write(offset, bytes) => controller.write(offset, &bytes),
                Touch::Memory(at, bytes) => drop(ram.write(at.into(), &bytes)),
                Touch::Step(micros) => now += Duration::from_micros(micros.into()),
                Touch::Eject => drop(controller.eject()),
                Touch::Insert => drop(controller.insert(Box::new(card.clone()))),
            }
            controller.step(now, &ram);
        }
        // Whatever the guest did, after a reset the controller works.
        controller.write(0x2F, &[1]);
        drop(controller.insert(Box::new(Card::new(16))));
        let mut host = Host::start(controller);
        host.acknowledge();
        prop_assert_eq!(host.read(Way::Adma, 2, 2).map(|data| (data[0], data[512])), Ok((2, 3)));
        let mut byte = [0];
        host.ram.read(u64::from(DATA), &mut byte).unwrap();
        prop_assert_eq!(byte, [2]);
    }
}
