//! The driver against a card that is strict about its host.

use super::double::{Double, Traits};
use super::{SpiCrc, SpiHost, SpiOptions};
use crate::sd::{Command, index};
use crate::{BusError, BusFault, CardHost, Data, Recorder, Step, Taken, Trace, WriteToken};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

fn host(double: &Double) -> SpiHost {
    SpiHost::new(Box::new(double.clone()), Box::new(double.clone()), SpiOptions::default(), Trace::off())
}

/// A card that has been brought up.
fn up(traits: Traits) -> (SpiHost, Double) {
    let double = Double::new(traits);
    let mut host = host(&double);
    host.bring_up().expect("brought up");
    lawful(&double);
    (host, double)
}

fn fails(traits: Traits) -> (BusError, Duration) {
    let double = Double::new(traits);
    let error = host(&double).bring_up().expect_err("no card to be used");
    let now = double.card().now;
    (error, now)
}

/// The host has done nothing that it must not do.
fn lawful(double: &Double) {
    let offences = &double.card().offences;
    assert!(offences.is_empty(), "{offences:?}");
}

fn pattern(blocks: usize, seed: u8) -> Vec<u8> {
    (0..blocks * 512).map(|at| (at * 7 + at / 512).to_le_bytes()[0] ^ seed).collect()
}

fn run(host: &mut SpiHost, command: Command, data: Data<'_>) -> Result<(), BusError> {
    host.run(&mut [Step { command, data, limit: Duration::ZERO }]).map_err(|(error, number)| {
        assert_eq!(number, 0);
        error
    })
}

#[test]
fn a_card_is_brought_up_as_the_specification_says() {
    let (host, double) = up(Traits::default());
    let indices: Vec<u8> = double.card().commands.iter().map(|command| command.index).collect();
    assert_eq!(indices, [0, 8, 59, 55, 41, 55, 41, 55, 41, 58, 9, 10, 13, 10, 55, 51]);
    assert_eq!(double.card().commands[4].argument, 0x4000_0000, "high capacity and nothing else");
    assert_eq!(host.blocks(), 4096);
    assert!(double.card().checks);
    assert_eq!(
        host.describe(),
        "SPI, 25000000 Hz, checksums on both sides, 2 MiB addressed by blocks, messages of 4096 bytes"
    );
}

#[test]
fn cards_of_all_sorts_are_brought_up() {
    let sorts = [
        Traits { version1: true, high_capacity: false, ..Traits::default() },
        Traits { high_capacity: false, ..Traits::default() },
        Traits { high_capacity: false, knows_block_length: false, ..Traits::default() },
        Traits { knows_crc: false, ..Traits::default() },
        Traits { deaf: 3, ..Traits::default() },
        Traits { response_after: 0, token_after: 0, ..Traits::default() },
        Traits { response_after: 14, token_after: 600, ..Traits::default() },
        Traits { zero_byte: true, ..Traits::default() },
        Traits { select_resets: false, ..Traits::default() },
    ];
    for traits in sorts.into_iter().chain((1..8).map(|shift| Traits { shift, ..Traits::default() })) {
        let capacity = traits.high_capacity;
        let (mut host, double) = up(traits.clone());
        assert_eq!(host.blocks(), if capacity { 4096 } else { 128 }, "{traits:?}");
        for (blocks, seed) in [(1, 3), (5, 4)] {
            let (data, mut read) = (pattern(blocks, seed), vec![0; blocks * 512]);
            host.write_blocks(9, &data).unwrap_or_else(|error| panic!("{error}: {traits:?}"));
            host.read_blocks(9, &mut read).unwrap_or_else(|error| panic!("{error}: {traits:?}"));
            assert!(read == data, "{traits:?}");
            assert_eq!(double.card().memory.len(), blocks, "{traits:?}");
        }
        lawful(&double);
    }
}

#[test]
fn a_card_left_in_the_middle_of_a_transfer_is_got_out() {
    for bytes in [0, 1, 300, 513] {
        let double = Double::new(Traits::default());
        double.card().leave_in_write(bytes);
        double.card().checks = true;
        host(&double).bring_up().expect("brought up");
        assert!(double.card().memory.is_empty(), "nothing has been written by that");
    }
    let double = Double::new(Traits::default());
    double.card().leave_in_read();
    host(&double).bring_up().expect("brought up");
}

#[test]
fn what_is_no_card_to_be_used_is_told_apart() {
    for low in [false, true] {
        let (error, time) = fails(Traits { present: false, low, ..Traits::default() });
        assert!(matches!(error.fault, BusFault::Removed), "{error}");
        assert!(time < Duration::from_secs(1), "{time:?}");
        assert!(error.to_string().contains(if low { "stays low" } else { "stays high" }), "{error}");
    }
    let (error, _) = fails(Traits { locked: true, ..Traits::default() });
    assert!(matches!(error.fault, BusFault::Locked), "{error}");
    let (error, _) = fails(Traits { mmc: true, version1: true, ..Traits::default() });
    assert!(matches!(error.fault, BusFault::Illegal), "{error}");
    assert!(error.to_string().contains("an MMC, or no SD card"), "{error}");
}

#[test]
fn the_clock_goes_down_until_the_card_can_be_read() {
    let (host, double) = up(Traits { limit_hz: 5_000_000, ..Traits::default() });
    assert!(host.describe().contains("3125000 Hz"), "{}", host.describe());
    lawful(&double);
}

#[test]
fn checksums_can_be_left_out() {
    let double = Double::new(Traits::default());
    let options = SpiOptions { crc: SpiCrc::Off, ..SpiOptions::default() };
    let mut host = SpiHost::new(Box::new(double.clone()), Box::new(double.clone()), options, Trace::off());
    host.bring_up().expect("brought up");
    assert!(!double.card().checks && host.describe().contains("no checksums"));
    double.card().traits.damaged_out = (0..100).collect();
    host.read_blocks(0, &mut [0; 512]).expect("nobody looks");
}

#[test]
fn a_mebibyte_directly_written_is_97_percent_payload() {
    let (mut host, double) = up(Traits::default());
    let data = pattern(2048, 1);
    let meter = host.meter();
    let (bytes, messages) = (meter.bytes(), meter.messages());
    let command = Command::new(index::DIRECT_SECURE_WRITE, 1 << 30 | 2047 << 16);
    run(&mut host, command, Data::Write { from: &data, token: WriteToken::Single }).expect("written");
    assert!(double.card().secure.concat() == data);
    let (bytes, messages) = (meter.bytes() - bytes, meter.messages() - messages);
    assert!(data.len() as f64 / bytes as f64 > 0.985, "{bytes} bytes");
    assert!(messages < 2048 + 20, "{messages} messages");
    lawful(&double);
}

#[test]
fn a_card_that_works_for_long_is_polled_with_few_clocks() {
    let traits = Traits { busy: 0, busy_time: Duration::from_millis(3), ..Traits::default() };
    let (mut host, double) = up(traits);
    let (bytes, begin) = (host.meter().bytes(), host.now());
    host.write_blocks(0, &pattern(10, 0)).expect("written");
    let (bytes, time) = (host.meter().bytes() - bytes, host.now() - begin);
    assert!(bytes < 10 * 1000, "{bytes}");
    assert!(time < Duration::from_micros(11 * 3600), "{time:?}");
    lawful(&double);
}

#[test]
fn blocks_of_the_secure_side_are_read_with_few_messages() {
    let (mut host, double) = up(Traits::default());
    double.card().answer = pattern(1, 5)[..32].to_vec();
    let (bytes, messages) = (host.meter().bytes(), host.meter().messages());
    let mut register = [0; 32];
    let command = Command::new(index::SEND_PSI, 4);
    run(&mut host, command, Data::Read { block: 32, into: &mut register }).expect("read");
    assert_eq!(register[..], pattern(1, 5)[..32]);
    assert_eq!((host.meter().bytes() - bytes, host.meter().messages() - messages), (54, 1));

    double.card().answer = pattern(20, 6);
    let mut answer = vec![0; 20 * 512];
    run(&mut host, Command::new(index::READ_SEC_CMD, 20), Data::Read { block: 512, into: &mut answer }).expect("read");
    assert_eq!(answer, pattern(20, 6));
    assert!(!double.card().commands.iter().any(|command| command.index == 12), "the count is in the argument");
    lawful(&double);
}

#[test]
fn a_secure_command_goes_with_the_token_asked_for() {
    for token in [WriteToken::Single, WriteToken::Multi, WriteToken::MultiStop] {
        let (mut host, double) = up(Traits::default());
        let data = pattern(1, 9);
        run(&mut host, Command::new(35, 1), Data::Write { from: &data, token }).expect("taken");
        assert_eq!(double.card().secure.concat(), data, "{token:?}");
        run(&mut host, Command::new(37, 1), Data::Busy).expect("in step");
        lawful(&double);
    }
}

#[test]
fn a_damaged_block_is_refused_and_nothing_has_happened() {
    let (mut host, double) = up(Traits { damaged_in: vec![1], ..Traits::default() });
    let data = pattern(1, 9);
    let error =
        run(&mut host, Command::new(35, 1), Data::Write { from: &data, token: WriteToken::Single }).unwrap_err();
    assert!(matches!((&error.fault, error.taken, error.blocks), (BusFault::BlockCrc, Taken::No, 0)), "{error}");
    assert!(double.card().secure.is_empty());
    run(&mut host, Command::new(35, 1), Data::Write { from: &data, token: WriteToken::Single }).expect("in step");
    lawful(&double);
}

#[test]
fn blocks_before_a_refused_one_are_counted() {
    let (mut host, double) = up(Traits { damaged_in: vec![4], ..Traits::default() });
    let data = pattern(9, 9);
    let command = Command::new(57, 1 << 30 | 8 << 16);
    let error = run(&mut host, command, Data::Write { from: &data, token: WriteToken::Single }).unwrap_err();
    assert!(matches!((&error.fault, error.taken, error.blocks), (BusFault::BlockCrc, Taken::No, 3)), "{error}");
    assert_eq!(double.card().secure.len(), 3);
    lawful(&double);
}

#[test]
fn a_response_that_may_be_a_damaged_one_is_not_believed() {
    // Bit 3 makes "accepted" a write error; bit 0 makes it nothing at all.
    for (flip_bit, words) in [(0x08, "refused, but busy"), (0x01, "E4")] {
        let (mut host, double) = up(Traits { flipped: vec![1], flip_bit, ..Traits::default() });
        let data = pattern(1, 9);
        let error = run(&mut host, Command::new(35, 1), Data::Write { from: &data, token: WriteToken::Single });
        let error = error.unwrap_err();
        assert_eq!(error.taken, Taken::Unknown, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(double.card().secure.len(), 1, "it had been taken");
        run(&mut host, Command::new(37, 1), Data::Busy).expect("in step");
    }
    let (mut host, _double) = up(Traits { flipped: vec![1], flip_bit: 0x08, busy: 0, ..Traits::default() });
    let error = run(&mut host, Command::new(35, 1), Data::Write { from: &[0; 512], token: WriteToken::Single });
    let error = error.unwrap_err();
    assert!(error.to_string().contains("CMD13 knows nothing") && error.taken == Taken::Unknown, "{error}");
}

#[test]
fn a_lost_stop_token_is_sent_again() {
    let (mut host, double) = up(Traits { stop_tokens_lost: 2, ..Traits::default() });
    host.write_blocks(3, &pattern(4, 2)).expect("written");
    assert_eq!(double.card().traits.stop_tokens_lost, 0);
    run(&mut host, Command::new(37, 1), Data::Busy).expect("in step");
}

#[test]
fn late_data_responses_are_waited_for() {
    for late in [1, 7, 15] {
        let (mut host, double) = up(Traits { data_response_after: late, ..Traits::default() });
        host.write_blocks(3, &pattern(4, 2)).expect("written");
        assert_eq!(double.card().memory.len(), 4);
        lawful(&double);
    }
    let (mut host, _) = up(Traits { data_response_after: 17, ..Traits::default() });
    let error = run(&mut host, Command::new(24, 0), Data::Write { from: &[0; 512], token: WriteToken::Single });
    let error = error.unwrap_err();
    assert!(matches!((&error.fault, error.taken), (BusFault::BlockUnclear, Taken::Unknown)), "{error}");
}

#[test]
fn data_that_arrive_damaged_are_noticed_and_memory_is_read_again() {
    let (mut host, double) = up(Traits::default());
    double.card().traits.damaged_out = vec![5, 6, 9];
    let data = pattern(40, 3);
    host.write_blocks(0, &data).expect("written");
    let mut read = vec![0; data.len()];
    host.read_blocks(0, &mut read).expect("read");
    assert!(read == data);

    let mut register = [0; 32];
    let number = 1000;
    double.card().traits.damaged_out = (0..number).collect();
    double.card().answer = vec![7; 32];
    let error = run(&mut host, Command::new(36, 4), Data::Read { block: 32, into: &mut register }).unwrap_err();
    assert!(matches!((&error.fault, error.taken), (BusFault::DataCrc, Taken::Unknown)), "{error}");
    lawful(&double);
}

/// One bit of a start token is enough to make it end a bit early. Half of all blocks are then their own right shift with a
/// right checksum.
#[test]
fn a_block_that_begins_a_bit_early_is_not_taken_for_whole() {
    let mut lost = 0;
    for seed in 0..40 {
        let (mut host, double) = up(Traits::default());
        double.card().memory.insert(0, pattern(1, seed).try_into().expect("a block"));
        double.card().traits.start_token = 0xFC;
        let read = Data::Read { block: 512, into: &mut [0; 512] };
        let error = run(&mut host, Command::new(17, 0), read).expect_err("a damaged block");
        assert!(matches!(error.fault, BusFault::DataCrc), "{error}");
        lost += usize::from(crate::sd::crc16(&pattern(1, seed)) & 1 == 0);
    }
    assert!((10..30).contains(&lost), "both sorts of blocks: {lost}");
}

#[test]
fn an_error_token_says_what_is_wrong() {
    let (mut host, double) = up(Traits::default());
    double.card().traits.error_token = Some(0x08);
    let error = run(&mut host, Command::new(17, 0), Data::Read { block: 512, into: &mut [0; 512] }).unwrap_err();
    assert!(matches!(error.fault, BusFault::Argument), "{error}");
    assert!(error.to_string().contains("error token 08 out of range"), "{error}");
    double.card().traits.error_token = None;
    run(&mut host, Command::new(17, 0), Data::Read { block: 512, into: &mut [0; 512] }).expect("in step");
}

#[test]
fn an_illegal_command_is_told_as_such_even_by_a_card_that_says_so_late() {
    let (mut host, _double) = up(Traits::default());
    let error = run(&mut host, Command::new(36, 4), Data::Read { block: 32, into: &mut [0; 32] }).unwrap_err();
    assert!(matches!((&error.fault, error.taken), (BusFault::Illegal, Taken::No)), "{error}");
    let (mut host, _double) = up(Traits { quiet_refusal: true, ..Traits::default() });
    let error = run(&mut host, Command::new(36, 4), Data::Read { block: 32, into: &mut [0; 32] }).unwrap_err();
    assert!(matches!((&error.fault, error.taken), (BusFault::Illegal, Taken::No)), "{error}");
}

#[test]
fn a_step_that_cannot_be_is_refused_before_anything_is_sent() {
    let (mut host, double) = up(Traits::default());
    let commands = double.card().commands.len();
    for data in [
        Data::Read { block: 0, into: &mut [0; 32] },
        Data::Read { block: 4096, into: &mut [0; 4096] },
        Data::Read { block: 32, into: &mut [0; 33] },
        Data::Read { block: 32, into: &mut [] },
        Data::Write { from: &[0; 511], token: WriteToken::Single },
        Data::Write { from: &[], token: WriteToken::Single },
    ] {
        let error = run(&mut host, Command::new(36, 4), data).unwrap_err();
        assert!(matches!((&error.fault, error.taken), (BusFault::Io(_), Taken::No)), "{error}");
    }
    for (first, blocks) in [(4096, 1), (4095, 2), (u64::MAX, 1)] {
        assert!(host.read_blocks(first, &mut vec![0; blocks * 512]).is_err());
        assert!(host.write_blocks(first, &vec![0; blocks * 512]).is_err());
    }
    assert!(host.erase(5, 4).is_err() && host.erase(0, 4096).is_err());
    host.erase(0, 4095).expect("all of it");
    assert_eq!(
        double.card().commands[commands..].iter().map(|command| command.index).collect::<Vec<_>>(),
        [32, 33, 38]
    );
    let mut fresh = self::host(&double);
    assert!(run(&mut fresh, Command::new(13, 0), Data::None).is_err(), "not brought up");
}

#[test]
fn a_card_that_stays_busy_is_given_up_after_the_limit_and_no_command_is_sent_to_it() {
    let (mut host, double) = up(Traits::default());
    double.card().traits.busy_time = Duration::from_secs(5);
    let begin = host.now();
    let limit = Duration::from_millis(700);
    let step = Step { command: Command::new(37, 1), data: Data::Busy, limit };
    let (error, _) = host.run(&mut [step]).unwrap_err();
    assert!(matches!(error.fault, BusFault::BusyTimeout(time) if time == limit), "{error}");
    assert_eq!(error.taken, Taken::Unknown);
    assert!((limit..limit * 11 / 10).contains(&(host.now() - begin)));
    let commands = double.card().commands.len();
    let error = run(&mut host, Command::new(35, 1), Data::Write { from: &[0; 512], token: WriteToken::Single });
    let error = error.unwrap_err();
    assert!(matches!((&error.fault, error.taken), (BusFault::BusyTimeout(_), Taken::No)), "{error}");
    assert_eq!(double.card().commands.len(), commands);
    host.sleep(Duration::from_secs(5));
    double.card().traits.busy_time = Duration::ZERO;
    run(&mut host, Command::new(35, 1), Data::Write { from: &[0; 512], token: WriteToken::Single })
        .expect("ready again");
    lawful(&double);
}

#[test]
fn a_card_pulled_out_anywhere_is_gone() {
    for low in [false, true] {
        for after in (1..700).step_by(13).chain(500..540) {
            let (mut host, double) = up(Traits { low, ..Traits::default() });
            double.card().traits.removed_after = Some(after);
            let data = pattern(1, 9);
            let begin = host.now();
            let results = (0..4).map(|number| {
                let data = Data::Write { from: &data, token: WriteToken::Single };
                (number, run(&mut host, Command::new(35, 1), data))
            });
            let (number, error) =
                results.into_iter().find_map(|(number, result)| Some((number, result.err()?))).expect("gone at last");
            assert!(matches!(error.fault, BusFault::Removed), "after {after}: {error}");
            assert!(double.card().secure.len() == number || error.taken == Taken::Unknown, "after {after}: {error}");
            assert!(host.now() - begin < Duration::from_secs(5));
            let again = run(&mut host, Command::new(13, 0), Data::None).unwrap_err();
            assert!(matches!(again.fault, BusFault::Removed | BusFault::BusyTimeout(_)), "{again}");
        }
    }
}

/// A bus whose controller fails at the n-th message from now.
struct Failing(Double, Arc<AtomicI32>);

impl crate::SpiBus for Failing {
    fn select(&mut self, selected: bool) -> io::Result<()> {
        self.0.select(selected)
    }
    fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        if self.1.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(io::Error::other("the controller is stuck"));
        }
        self.0.exchange(bytes)
    }
    fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
        self.0.set_clock(hz)
    }
    fn message_max(&self) -> usize {
        4096
    }
}

#[test]
fn what_the_controller_says_is_told_and_the_card_is_in_step_afterwards() {
    for message in 0..3 {
        let double = Double::new(Traits { busy: 40, ..Traits::default() });
        let fails = Arc::new(AtomicI32::new(-1));
        let bus = Failing(double.clone(), fails.clone());
        let mut host = SpiHost::new(Box::new(bus), Box::new(double.clone()), SpiOptions::default(), Trace::off());
        host.bring_up().expect("brought up");
        fails.store(message, Ordering::Relaxed);
        let write = Data::Write { from: &[5; 512], token: WriteToken::Single };
        let error = run(&mut host, Command::new(35, 1), write).expect_err("a stuck controller");
        assert!(error.to_string().contains("the controller is stuck"), "{error}");
        assert_eq!(error.taken, Taken::Unknown);
        let write = Data::Write { from: &[6; 512], token: WriteToken::Single };
        run(&mut host, Command::new(35, 1), write).expect("in step");
        assert_eq!(double.card().secure.last(), Some(&[6; 512]), "message {message}");
    }
}

#[test]
fn messages_are_as_long_as_the_bus_allows() {
    for most in [1, 2, 7, 64, 4096, 1 << 20] {
        let double = Double::new(Traits::default()).with_messages_of(most);
        let mut host = host(&double);
        host.bring_up().expect("brought up");
        let (data, mut read) = (pattern(33, 1), vec![0; 33 * 512]);
        host.write_blocks(1, &data).expect("written");
        host.read_blocks(1, &mut read).expect("read");
        assert!(read == data);
        lawful(&double);
    }
}

#[test]
fn the_trace_tells_commands_and_no_payload() {
    let recorder = Arc::new(Recorder::new(1000));
    let double = Double::new(Traits::default());
    let trace = Trace::new(recorder.clone());
    let mut host = SpiHost::new(Box::new(double.clone()), Box::new(double.clone()), SpiOptions::default(), trace);
    host.bring_up().expect("brought up");
    run(&mut host, Command::new(35, 1), Data::Write { from: &[0xAB; 512], token: WriteToken::Single }).expect("taken");
    let text = recorder.text();
    assert!(text.contains("CMD35 WRITE_SEC_CMD 00000001") && text.contains(">> 512 bytes"), "{text}");
    assert!(!text.contains("AB"), "{text}");
}

/// A card that missed a start token has read the block as commands, CMD59 perhaps among them.
#[test]
fn a_card_that_stopped_checking_in_a_write_that_went_wrong_is_told_to_check_again() {
    let (mut host, double) = up(Traits { damaged_in: vec![1], ..Traits::default() });
    let data = pattern(1, 3);
    let write = |host: &mut SpiHost| {
        run(host, Command::new(index::WRITE_BLOCK, 7), Data::Write { from: &data, token: WriteToken::Single })
    };
    assert!(matches!(write(&mut host).expect_err("damaged").fault, BusFault::BlockCrc));
    double.card().checks = false;
    write(&mut host).expect("taken");
    assert!(double.card().checks);
    lawful(&double);
}
