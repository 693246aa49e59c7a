//! An application that keeps count: which command it has executed, how often, and whether it was what was sent.

use super::Random;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};
use smcard_card::applet::{Applet, AppletMemory, AppletResult, Runtime};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Its instruction.
const COUNT: u8 = 0x10;
/// Most bytes behind the number in a command, and in an answer.
const FILL_MAX: u64 = 200;

#[derive(Default)]
struct Counts {
    /// How often each number was executed.
    executed: Vec<u8>,
    /// Commands that were not as anybody had sent them.
    strange: u64,
}

/// What has been executed. Clones are the same ledger.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Counts>>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new number, and the command that carries it.
    pub fn issue(&self) -> (u32, Vec<u8>) {
        let mut counts = self.lock();
        let number = u32::try_from(counts.executed.len()).unwrap_or(u32::MAX);
        counts.executed.push(0);
        (number, command(number))
    }

    /// How often the command with this number was executed.
    #[must_use]
    pub fn executed(&self, number: u32) -> u8 {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        self.lock().executed.get(index).copied().unwrap_or(0)
    }

    /// Numbers executed more than once.
    #[must_use]
    pub fn twice(&self) -> u64 {
        u64::try_from(self.lock().executed.iter().filter(|count| **count > 1).count()).unwrap_or(u64::MAX)
    }

    /// Commands executed that nobody had sent like that.
    #[must_use]
    pub fn strange(&self) -> u64 {
        self.lock().strange
    }

    fn execute(&self, command: &CommandApdu<'_>) -> Option<u32> {
        let mut counts = self.lock();
        let number = command.data.first_chunk().map(|number| u32::from_be_bytes(*number));
        let number = number.filter(|number| (command.ins, command.data) == (COUNT, &data(*number)[..]));
        let place = number.and_then(|number| counts.executed.get_mut(usize::try_from(number).ok()?));
        match place {
            Some(count) => *count = count.saturating_add(1),
            None => counts.strange += 1,
        }
        number
    }
}

fn fill(number: u32, salt: u64) -> Vec<u8> {
    let mut random = Random::new(u64::from(number) << 8 | salt);
    let mut bytes = vec![0; usize::try_from(random.below(FILL_MAX)).unwrap_or(0)];
    random.fill(&mut bytes);
    bytes
}

fn data(number: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &fill(number, 1)].concat()
}

/// The command with this number.
fn command(number: u32) -> Vec<u8> {
    let data = data(number);
    let length = u8::try_from(data.len()).unwrap_or(u8::MAX);
    [&[0x80, COUNT, 0, 0, length], &data[..], &[0]].concat()
}

/// What is answered to it.
#[must_use]
pub fn answer(number: u32) -> Vec<u8> {
    [&number.to_le_bytes()[..], &fill(number, 2)].concat()
}

/// Runs the counting application, whatever package is asked for.
pub struct Counting(pub Ledger);

impl Runtime for Counting {
    fn applet(&self, _package: &Aid, _load_file: &[u8], _module: &Aid) -> Option<Box<dyn Applet>> {
        Some(Box::new(Counting(self.0.clone())))
    }
}

impl Applet for Counting {
    fn install(&mut self, _memory: &mut dyn AppletMemory, _parameters: &[u8]) -> Result<(), StatusWord> {
        Ok(())
    }

    fn select(&mut self, _memory: &mut dyn AppletMemory) -> Result<(), StatusWord> {
        Ok(())
    }

    fn process(&mut self, _memory: &mut dyn AppletMemory, command: &CommandApdu<'_>) -> AppletResult {
        self.0.execute(command).map(answer).ok_or(StatusWord::WRONG_DATA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_executed_is_counted_and_what_nobody_sent_is_strange() {
        let ledger = Ledger::default();
        let (first, _) = ledger.issue();
        let (second, bytes) = ledger.issue();
        let mut bytes = bytes;
        let parsed = CommandApdu::parse(&bytes).expect("a command");
        assert_eq!((ledger.execute(&parsed), ledger.execute(&parsed)), (Some(second), Some(second)));
        assert_eq!((ledger.executed(first), ledger.executed(second), ledger.twice()), (0, 2, 1));
        bytes[8] ^= 1;
        let changed = CommandApdu::parse(&bytes).expect("a command");
        assert_eq!(ledger.execute(&changed), None);
        assert_eq!(ledger.strange(), 1);
        assert_ne!(answer(first), answer(second));
    }
}
