//! The controller with the emulated card in its slot: what a kernel and its user do with both.

use super::Controller;
use super::registers::interrupt;
use super::testing::{Failed, Host, Ram, Way};
use crate::device::Device;
use proptest::prelude::*;
use smcard_card::sd::{BusTime, Executor, RamArea, SdOptions, Worked};
use smcard_card::{CreateOptions, EmulatedCard};
use smcard_link::SdBus;
use std::time::Duration;

const R1: u16 = 0x1A;
const R1B: u16 = 0x1B;
const R2: u16 = 0x09;
const R3: u16 = 0x02;

fn card(folder: &tempfile::TempDir) -> Box<dyn SdBus> {
    let image = folder.path().join("card.img");
    if !image.exists() {
        EmulatedCard::create(&image, &CreateOptions { size: 1 << 20, ..CreateOptions::default() }).unwrap();
    }
    let card = EmulatedCard::open(&image, smcard_card::OpenOptions::default()).unwrap();
    let options = SdOptions {
        executor: Executor::Inline { polls: 2, worked: Worked::First },
        time: BusTime::counted(),
        ..SdOptions::new(Box::new(RamArea::new(1 << 20)))
    };
    Box::new(card.into_sd(options).unwrap())
}

/// Identifies the card as a kernel does, up to high speed and four bits. The RCA, in its place of an argument.
fn identify(host: &mut Host) -> u32 {
    host.command(0, 0, 0).unwrap();
    assert_eq!(host.command(8, 0x1AA, R1), Ok(0x1AA));
    let mut tries = 0;
    while host.command(55, 0, R1).and_then(|_| host.command(41, 0x4030_0000, R3)).unwrap() & 1 << 31 == 0 {
        tries += 1;
        assert!(tries < 100, "the card does not become ready");
    }
    host.command(2, 0, R2).unwrap();
    let rca = host.command(3, 0, R1).unwrap() & 0xFFFF_0000;
    host.command(9, rca, R2).unwrap();
    host.command(7, rca, R1B).unwrap();
    for (index, argument) in [(55, rca), (6, 2)] {
        host.command(index, argument, R1).unwrap();
    }
    let mut status = [0; 64];
    host.data(Way::Adma, 6, 0x80FF_FFF1, true, 64, &mut status).unwrap();
    assert_eq!(status[16] & 0xF, 1, "high speed");
    rca
}

/// Sends a command APDU in a secure token and fetches the answer.
fn transmit(host: &mut Host, apdu: &[u8]) -> Vec<u8> {
    let mut token = [0; 512];
    token[..2].copy_from_slice(&u16::try_from(apdu.len() + 2).unwrap().to_be_bytes());
    token[2..2 + apdu.len()].copy_from_slice(apdu);
    host.data(Way::Adma, 35, 1, false, 512, &mut token).unwrap();
    let mut state = [0; 32];
    let mut tries = 0;
    while state[0] != 2 {
        host.command(16, 32, R1).unwrap();
        host.data(Way::Port, 36, 0, true, 32, &mut state).unwrap();
        tries += 1;
        assert!(tries < 100, "state {}", state[0]);
    }
    host.command(16, 512, R1).unwrap();
    host.data(Way::Adma, 34, 1, true, 512, &mut token).unwrap();
    let length = usize::from(u16::from_be_bytes([token[0], token[1]]));
    token[2..length].to_vec()
}

#[test]
fn a_kernel_identifies_the_card_and_its_user_speaks_to_the_card_manager() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new();
    controller.insert(card(&folder));
    let mut host = Host::start(controller);
    let rca = identify(&mut host);
    let pattern: Vec<u8> = (0..64 * 512_u32).map(|n| (n / 7).to_le_bytes()[0]).collect();
    for way in [Way::Port, Way::Adma] {
        host.write(way, 8, &pattern).unwrap();
        assert!(host.read(way, 8, 64).unwrap() == pattern);
    }
    assert_eq!(
        host.data(Way::Adma, 36, 0, true, 32, &mut [0; 32]),
        Err(Failed(interrupt::COMMAND_TIMEOUT | interrupt::ERROR)),
        "illegal before the command system is switched"
    );
    let mut status = [0; 64];
    host.data(Way::Adma, 6, 0x80FF_FF4F, true, 64, &mut status).unwrap();
    assert_eq!(status[16] >> 4, 4);
    let answer = transmit(&mut host, &[0x00, 0xA4, 0x04, 0x00, 0x00]);
    assert_eq!(answer[answer.len() - 2..], [0x90, 0x00], "{answer:x?}");

    // Pulled out and put in: it has to be identified anew.
    drop(host.controller.eject());
    host.controller.insert(card(&folder));
    host.acknowledge();
    host.set8(0x29, 0x0F);
    assert!(host.command(13, rca, R1).is_err());
    identify(&mut host);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random commands with random data phases, from a card that is in whatever state they bring it to.
    #[test]
    fn no_sequence_of_commands_breaks_card_and_controller(
        commands in prop::collection::vec(
            (0_u8..64, any::<u8>(), any::<u8>(), any::<u32>(), 0_u16..600, 0_u16..4, any::<bool>()), 1..80),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut controller = Controller::new();
        controller.insert(card(&folder));
        let mut host = Host::start(controller);
        identify(&mut host);
        for (index, flags, modes, argument, block, count, small) in commands {
            let argument = if small { argument & 0xF } else { argument };
            host.table(4096);
            host.set16(0x04, block);
            host.set16(0x06, count);
            host.set32(0x08, argument);
            host.set16(0x0C, u16::from(modes));
            host.controller.write(0x0E, &[flags, index]);
            host.controller.step(host.now, &host.ram);
            for _ in 0..block / 4 {
                host.get32(0x20);
                host.set32(0x20, argument);
            }
            host.now += Duration::from_millis(200);
            host.controller.step(host.now, &host.ram);
            if small {
                host.set8(0x2F, 6);
            }
        }
        host.set8(0x2F, 1);
        let mut host = Host { ram: Ram::new(0x8_0000), ..Host::start(host.controller) };
        identify(&mut host);
        prop_assert!(host.read(Way::Adma, 0, 4).is_ok());
    }
}
