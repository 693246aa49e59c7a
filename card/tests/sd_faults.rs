//! A wire that damages what it carries: nothing wrong is taken for right.

mod wire;

use smcard_card::sd::Profile;
use smcard_card::sd::faults::{Faults, FaultySd, FaultySpi};
use smcard_link::sd::crc16;
use smcard_link::{SdBus, SdResponse, SpiBus, Transfer};
use wire::spi::{SpiHost, Trouble};
use wire::{inline, new_card, options, pattern};

fn spi(faults: Faults) -> SpiHost<FaultySpi<smcard_card::sd::SpiCard>> {
    let card = new_card().into_spi(options(Profile::default(), inline(0))).expect("a card");
    let clock = Box::new(card.time());
    SpiHost::on(FaultySpi::new(card, faults), clock)
}

/// Sees to it that the card is out of whatever it thinks it is in.
fn in_step(host: &mut SpiHost<FaultySpi<smcard_card::sd::SpiCard>>) {
    host.deselect();
    for _ in 0..4 {
        if host.command(12, 0, false).is_ok() || host.command(13, 0, false).is_ok() {
            return;
        }
    }
}

#[test]
fn a_read_that_is_taken_for_right_is_right() {
    for (seed, one_in) in [(1, 100_000), (2, 10_000), (3, 1000)] {
        let mut host = spi(Faults { seed, to_card: one_in, from_card: one_in, ..Faults::default() });
        let handle = host.bus.handle();
        handle.pause(true);
        host.bring_up();
        let data = pattern(64 * 512, 5);
        host.write(25, 0, &data).unwrap();
        handle.pause(false);
        let (mut right, mut reported) = (0, 0);
        for round in 0..1500_u32 {
            let at = round % 64;
            match host.read(17, at, 512, 1) {
                Ok(block) => {
                    let expected = &data[at as usize * 512..][..512];
                    assert!(block == expected || crc16(&block) == crc16(expected), "round {round}");
                    right += 1;
                }
                Err(_) => {
                    reported += 1;
                    in_step(&mut host);
                }
            }
        }
        let counts = handle.counts();
        assert!(
            right > 0 && reported > 0 && counts.to_card > 0 && counts.from_card > 0,
            "{right} {reported} {counts:?}"
        );
    }
}

#[test]
fn a_write_that_is_taken_for_right_is_right() {
    let mut host = spi(Faults { seed: 9, to_card: 20_000, from_card: 20_000, slips: 200_000, ..Faults::default() });
    let handle = host.bus.handle();
    handle.pause(true);
    host.bring_up();
    for round in 0..1500_u32 {
        let data = pattern(512, round);
        handle.pause(false);
        let wrote = host.write(24, round % 50, &data);
        handle.pause(true);
        in_step(&mut host);
        if wrote.is_ok() {
            assert_eq!(host.read(17, round % 50, 512, 1).unwrap(), data, "round {round}");
        }
    }
    assert!(handle.counts().slips > 0);
}

#[test]
fn the_card_can_be_pulled_out_at_any_byte_and_comes_back() {
    let mut start = 0_u64;
    loop {
        // Far beyond the whole exchange the card stays in.
        let mut host = spi(Faults { removed: start..start + 40, ..Faults::default() });
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| host.bring_up())).is_err();
        let wrote = if gone { Err(Trouble::Silent) } else { host.write(24, 3, &[0x77; 512]) };
        if start > 1200 {
            assert!(!gone && wrote.is_ok());
            break;
        }
        host.deselect();
        host.bus.exchange(&mut [0xFF; 2000]).unwrap();
        host.bring_up();
        let block = host.read(17, 3, 512, 1).unwrap();
        assert!(block == [0x77; 512] || (wrote.is_err() && block == [0; 512]), "removed at {start}");
        start += 17;
    }
}

#[test]
fn a_line_that_sticks_is_a_busy_that_ends_or_does_not() {
    let mut host = spi(Faults::default());
    host.bring_up();
    let at = host.bus.bus().clocked();
    let mut host = spi(Faults { stuck: at..u64::MAX, ..Faults::default() });
    host.bring_up();
    assert!(host.write(24, 0, &[1; 512]).is_err());
}

#[test]
fn the_native_bus_damages_frames_and_their_checksums_tell() {
    let card = new_card().into_sd(options(Profile::default(), inline(0))).expect("a card");
    let mut host = wire::native::NativeHost::new(card);
    let data = pattern(64 * 512, 5);
    host.write(25, 0, &data).unwrap();
    host.command(12, 0).unwrap();
    let rca = host.rca;
    let mut bus = FaultySd::new(host.card, Faults { seed: 3, to_card: 3000, from_card: 3000, ..Faults::default() });
    let handle = bus.handle();
    let (mut right, mut damaged, mut silent) = (0, 0, 0);
    for round in 0..3000_u32 {
        let at = round % 64;
        match bus.command(17, at) {
            Some(SdResponse::Short(status)) if status & 0x0000_1E00 == 0x0800 => {}
            _ => {
                silent += 1;
                handle.pause(true);
                bus.command(12, 0);
                handle.pause(false);
                continue;
            }
        }
        let mut block = [0; 512];
        match bus.read_block(&mut block) {
            Transfer::Done => {
                let expected = &data[at as usize * 512..][..512];
                assert!(block == expected || crc16(&block) == crc16(expected));
                right += 1;
            }
            Transfer::Crc => damaged += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(right > 100 && damaged > 100 && silent > 10, "{right} {damaged} {silent}");
    handle.pause(true);
    bus.command(12, 0);
    // A block that arrives damaged is not written, and the card takes the next command.
    handle.pause(false);
    let mut refused = 0;
    for round in 0..300_u16 {
        handle.pause(true);
        assert!(bus.command(24, 100).is_some());
        handle.pause(false);
        let block = [round.to_le_bytes()[0] | 1; 512];
        let wrote = bus.write_block(&block);
        handle.pause(true);
        assert!(bus.command(13, rca).is_some());
        let mut now = [0; 512];
        assert!(bus.command(17, 100).is_some());
        assert_eq!(bus.read_block(&mut now), Transfer::Done);
        match wrote {
            Transfer::Done => assert_eq!(now, block),
            _ => refused += 1,
        }
    }
    assert!(refused > 50, "{refused}");
}
