//! Response judgement and response calculation: what a response means to the issuer, and what goes out when an issue fails.

use smcard_batch::StatusWord;
use smcard_link::Answer;

/// What the issuer makes of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// The command succeeded: give the next one.
    Success,
    /// It did not: the issue ends here.
    Failure,
}

/// The response table (system S3.3): the first row that matches decides, what matches no row is a failure.
#[derive(Clone, Copy, Debug)]
pub struct ResponseTable {
    rows: &'static [(StatusWord, Judgement)],
}

impl ResponseTable {
    /// 9000 is success, all else is failure.
    pub const STANDARD: ResponseTable = ResponseTable { rows: &[(StatusWord::SUCCESS, Judgement::Success)] };

    /// Looks a status word up.
    #[must_use]
    pub fn judge(&self, sw: StatusWord) -> Judgement {
        self.rows.iter().find(|row| row.0 == sw).map_or(Judgement::Failure, |row| row.1)
    }
}

/// How a failure goes out (system S4.1; P2 of START).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureFormat {
    /// The count of commands given as four bytes of data, then the failing status word.
    CountAndStatus,
    /// 63CX with X = the count, where four bits hold it; otherwise as [`FailureFormat::CountAndStatus`].
    StatusOnly,
}

impl FailureFormat {
    /// The format that P2 of START asks for.
    #[must_use]
    pub fn from_p2(p2: u8) -> Option<Self> {
        match p2 {
            0 => Some(FailureFormat::CountAndStatus),
            1 => Some(FailureFormat::StatusOnly),
            _ => None,
        }
    }

    /// The response calculator: the answer that tells the terminal how far the issue got. `given` counts the commands
    /// given to the card manager, the failing one included.
    #[must_use]
    pub fn failure(self, given: u32, sw: StatusWord) -> Answer {
        match (self, u16::try_from(given)) {
            (FailureFormat::StatusOnly, Ok(count @ 0..=15)) => Answer::status(0x63C0 | count),
            _ => Answer { data: given.to_be_bytes().to_vec(), sw: sw.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_9000_is_success() {
        let table = ResponseTable::STANDARD;
        assert_eq!(table.judge(StatusWord(0x9000)), Judgement::Success);
        for sw in [0x6A84, 0x6310, 0x6100, 0x9001, 0x0000] {
            assert_eq!(table.judge(StatusWord(sw)), Judgement::Failure);
        }
    }

    #[test]
    fn both_formats_tell_the_count() {
        let sw = StatusWord::NOT_ENOUGH_MEMORY;
        let answer = FailureFormat::CountAndStatus.failure(3, sw);
        assert_eq!((answer.data.as_slice(), answer.sw), (&[0, 0, 0, 3][..], 0x6A84));
        assert_eq!(FailureFormat::StatusOnly.failure(15, sw), Answer::status(0x63CF));
        let answer = FailureFormat::StatusOnly.failure(16, sw);
        assert_eq!((answer.data.as_slice(), answer.sw), (&[0, 0, 0, 16][..], 0x6A84));
    }
}
