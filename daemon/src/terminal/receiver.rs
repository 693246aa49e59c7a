//! The response receiver (system S5.1): what the card's answer to START says about the issue.

use smcard_ioctl::FailureFormat;
use smcard_link::Answer;

/// How an issue ended, as the card told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssueResult {
    /// True where the whole batch was issued.
    pub success: bool,
    /// The status word: 9000, that of the command that failed, or 63CX.
    pub sw: u16,
    /// Commands the card was given, the failing one included (S4.1); 0 where START itself was refused.
    pub given: u32,
    /// Commands the batch holds; 0 = not known.
    pub total: u32,
    /// Commands whose effect stands on the card, from the first on; `None` = it has not said.
    pub kept: Option<u32>,
}

/// Reads the answer to START. `total` is the number of commands the batch holds, 0 where that is not known.
#[must_use]
pub fn issue_result(answer: &Answer, format: FailureFormat, total: u32) -> IssueResult {
    let success = answer.is_success();
    let given = match format {
        _ if success => total,
        FailureFormat::Data => answer.data.as_slice().try_into().map_or(0, u32::from_be_bytes),
        FailureFormat::Counter if answer.sw & 0xFFF0 == 0x63C0 => u32::from(answer.sw & 0x000F),
        // A count above 15 does not fit the status word; the card then falls back to data.
        FailureFormat::Counter => answer.data.as_slice().try_into().map_or(0, u32::from_be_bytes),
    };
    // A card cannot have been given more than the batch holds; one that says so is not believed.
    let given = if total != 0 { given.min(total) } else { given };
    let kept = match (success, given) {
        (true, 0) => None,
        (true, given) => Some(given),
        (false, 0) => Some(0),
        // Which commands recovery has kept is asked of the card.
        (false, _) => None,
    };
    IssueResult { success, sw: answer.sw, given, total, kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(data: &[u8], sw: u16) -> Answer {
        Answer { data: data.to_vec(), sw }
    }

    #[test]
    fn success_means_all_were_given() {
        let result = issue_result(&answer(b"last response", 0x9000), FailureFormat::Data, 12);
        assert_eq!(result, IssueResult { success: true, sw: 0x9000, given: 12, total: 12, kept: Some(12) });
    }

    #[test]
    fn a_failure_tells_the_count_in_either_format() {
        let data = issue_result(&answer(&[0, 0, 1, 7], 0x6A84), FailureFormat::Data, 300);
        assert_eq!((data.success, data.sw, data.given, data.kept), (false, 0x6A84, 263, None));
        let counter = issue_result(&answer(&[], 0x63C7), FailureFormat::Counter, 300);
        assert_eq!((counter.sw, counter.given), (0x63C7, 7));
    }

    #[test]
    fn a_refused_start_gave_no_command() {
        assert_eq!(issue_result(&answer(&[], 0x6A82), FailureFormat::Data, 0).given, 0);
        assert_eq!(issue_result(&answer(&[1, 2], 0x6F00), FailureFormat::Data, 5).given, 0);
    }

    #[test]
    fn a_count_beyond_the_batch_is_not_believed() {
        assert_eq!(issue_result(&answer(&[0xFF; 4], 0x6A80), FailureFormat::Data, 9).given, 9);
    }
}
