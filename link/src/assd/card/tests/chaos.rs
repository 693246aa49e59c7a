//! Mishaps at random: whatever goes wrong, no command is executed twice, and what is said of it is true.

use super::*;
use crate::BusFault;

/// A generator with a period long enough (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % bound
    }
}

/// Something that can happen on a wire to this command.
fn mishap(random: &mut Random, command: u8, steady: bool) -> Mishap {
    let is_write = matches!(command, 35 | 57);
    let fault = match (random.below(4), is_write) {
        (0, _) => Mishap::new(|| BusFault::NoResponse, if is_write { Taken::No } else { Taken::Unknown }),
        (1, _) => Mishap::new(|| BusFault::CommandCrc, Taken::No),
        (2, true) => Mishap::refused(),
        (_, true) => Mishap::unclear(),
        (2, false) => Mishap::damaged(),
        (_, false) => Mishap::damaged().done(),
    };
    // A card may have done what it seems to have refused: its reply came damaged, too. One that keeps its mode.
    let fault = if random.below(3) == 0 { fault.done() } else { fault };
    match random.below(20) {
        0 if !steady => fault.and_then(|double| double.lose_mode()),
        _ => fault,
    }
}

fn weather(handle: &Handle, random: &mut Random, severity: u64, steady: bool) {
    handle.lock().mishaps.clear();
    for _ in 0..random.below(severity) {
        let command = [35, 34, 36, 36, 16, 37, 6, 57, 50][usize::try_from(random.below(9)).unwrap()];
        handle.fail(command, mishap(random, command, steady));
    }
}

#[test]
fn no_command_is_executed_twice_whatever_happens() {
    for (open, steady, seed) in
        [(ours as fn() -> (AssdCard, Handle), true, 101), (ours, false, 102), (other, true, 103), (other, false, 104)]
    {
        let mut random = Random(seed);
        let (mut card, handle) = open();
        let (mut right, mut untaken, mut unknown) = (0, 0, 0);
        for number in 0..4000_u16 {
            weather(&handle, &mut random, 12, steady);
            let before = handle.lock().executed.len();
            let [high, low] = number.to_be_bytes();
            let answer = card.transmit(&[0x80, 0xE2, high, low]);
            let executed = handle.lock().executed.len() - before;
            let what = format!("seed {seed}, command {number}: {answer:?}, executed {executed} times");
            match answer {
                Ok(answer) => {
                    right += 1;
                    assert!(answer == ok(&[0xE2]) && executed == 1, "{what}");
                    assert_eq!(handle.lock().executed.last().unwrap()[2..4], [high, low]);
                }
                Err(LinkError::Untaken(_)) => {
                    untaken += 1;
                    assert_eq!(executed, 0, "{what}");
                }
                Err(LinkError::Unknown { .. }) => {
                    unknown += 1;
                    assert!(executed <= 1, "{what}");
                }
                // Beside the command: it did not get so far.
                Err(LinkError::Bus(_) | LinkError::ModeLost(_)) => assert_eq!(executed, 0, "{what}"),
                Err(_) => panic!("{what}"),
            }
        }
        assert!(right > 2000, "seed {seed}: {right} right, {untaken} untaken, {unknown} unknown");
    }
}

#[test]
fn a_file_arrives_as_it_was_or_not_at_all_whatever_happens() {
    let mut random = Random(5);
    let (mut card, handle) = ours();
    let mut stored = 0;
    for number in 0..600_u32 {
        let file: Vec<u8> = (0..random.below(9000)).map(|_| random.below(256).to_le_bytes()[0]).collect();
        weather(&handle, &mut random, 14, number % 2 == 0);
        let files = handle.files();
        let result = write::put(&mut card, &file, 3000);
        let new = handle.files() - files;
        match result {
            Ok(answer) if answer.is_success() => {
                stored += 1;
                assert_eq!(new, 1, "file {number}");
                assert_eq!(handle.lock().files.last().unwrap().blocks[..file.len()], file);
            }
            other => assert!(new <= 1, "file {number}: {other:?}"),
        }
        handle.lock().mishaps.clear();
        card.reset().unwrap();
    }
    assert!(stored > 200, "{stored}");
}
