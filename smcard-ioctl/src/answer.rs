//! The answers in words of the program rather than of the border: the daemon fills them, the client reads them.

use std::time::Duration;

use crate::abi::{self, ABI_VERSION, SHORT_RESPONSE_MAX};
use crate::apdu::Apdu;
use crate::text;
use crate::value::{CardState, OperationKind, OperationState};

/// An answer that holds a value this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer's field {0} holds a value this version does not know")]
pub struct UnknownValue(pub &'static str);

/// VERSION.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Version of this interface the daemon speaks.
    pub abi: u32,
    /// `CAP_` bits of [`abi`].
    pub capabilities: u64,
    /// Longest command inside the structure, bytes.
    pub max_short_command: u32,
    /// Longest command by write(2), bytes; 0 = none.
    pub max_command: u32,
    /// Longest response by read(2), bytes; 0 = none.
    pub max_response: u32,
    /// Name and version of the daemon.
    pub server: String,
}

impl VersionInfo {
    /// What a daemon built with this crate answers.
    pub fn new(server: &str, capabilities: u64) -> Self {
        let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let extended = capabilities & abi::CAP_EXTENDED != 0;
        Self {
            abi: u32::from(ABI_VERSION),
            capabilities,
            max_short_command: size(abi::SHORT_COMMAND_MAX),
            max_command: if extended { size(abi::EXTENDED_COMMAND_MAX) } else { 0 },
            max_response: if extended { size(abi::EXTENDED_RESPONSE_MAX) } else { 0 },
            server: server.to_owned(),
        }
    }
}

impl From<&VersionInfo> for abi::Version {
    fn from(info: &VersionInfo) -> Self {
        Self {
            version: ABI_VERSION,
            abi: info.abi,
            max_short_command: info.max_short_command,
            max_command: info.max_command,
            max_response: info.max_response,
            capabilities: info.capabilities,
            server: text::to_field(&info.server),
            ..Self::default()
        }
    }
}

impl From<&abi::Version> for VersionInfo {
    fn from(raw: &abi::Version) -> Self {
        Self {
            abi: raw.abi,
            capabilities: raw.capabilities,
            max_short_command: raw.max_short_command,
            max_command: raw.max_command,
            max_response: raw.max_response,
            server: text::from_field(&raw.server),
        }
    }
}

/// STATUS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardStatus {
    /// Where the card stands.
    pub state: CardState,
    /// Security level of the daemon's secure channel; 0 = none.
    pub auth_level: u8,
    /// Life cycle of the card; 0 = not known. [`life_cycle_name`](crate::life_cycle_name) has the words.
    pub life_cycle: u8,
    /// Status word of the last issue's answer; 0 = none yet.
    pub last_sw: u16,
    /// `FACT_` bits of [`abi`].
    pub facts: u32,
    /// Commands of the last issue that the card was given, the failing one included.
    pub given: u32,
    /// Commands the last issue's batch holds; 0 = not known.
    pub total: u32,
    /// Commands of the last issue whose effect stands on the card, from the first on; `None` = the card did not say.
    pub kept: Option<u32>,
    /// Transport error (errno) that ended the last issue; 0 = none.
    pub last_error: i32,
    /// Time the running issue has taken so far or the last one took; whole milliseconds cross the border.
    pub elapsed: Duration,
    /// Free bytes of protected memory.
    pub free_bytes: u64,
    /// Exchanges with the card since it was mounted.
    pub exchanges: u64,
    /// Exchanges of the last issue, its upload included.
    pub issue_exchanges: u64,
    /// Issues that have ended since the card was mounted.
    pub issues: u64,
    /// The line of the file `status`, without line feed.
    pub line: String,
    /// Why the last upload was refused; empty after one that was taken.
    pub upload_error: String,
}

impl From<&CardStatus> for abi::Status {
    fn from(status: &CardStatus) -> Self {
        Self {
            version: ABI_VERSION,
            card_state: status.state.to_wire(),
            auth_level: status.auth_level,
            life_cycle: status.life_cycle,
            last_sw: status.last_sw,
            facts: status.facts,
            given: status.given,
            total: status.total,
            kept: kept_to_wire(status.kept),
            last_error: status.last_error,
            elapsed_ms: u64::try_from(status.elapsed.as_millis()).unwrap_or(u64::MAX),
            free_bytes: status.free_bytes,
            exchanges: status.exchanges,
            issue_exchanges: status.issue_exchanges,
            issues: status.issues,
            line: text::to_field(&status.line),
            upload_error: text::to_field(&status.upload_error),
            ..Self::default()
        }
    }
}

impl TryFrom<&abi::Status> for CardStatus {
    type Error = UnknownValue;

    fn try_from(raw: &abi::Status) -> Result<Self, UnknownValue> {
        Ok(Self {
            state: CardState::from_wire(raw.card_state).ok_or(UnknownValue("card_state"))?,
            auth_level: raw.auth_level,
            life_cycle: raw.life_cycle,
            last_sw: raw.last_sw,
            facts: raw.facts,
            given: raw.given,
            total: raw.total,
            kept: kept_from_wire(raw.kept),
            last_error: raw.last_error,
            elapsed: Duration::from_millis(raw.elapsed_ms),
            free_bytes: raw.free_bytes,
            exchanges: raw.exchanges,
            issue_exchanges: raw.issue_exchanges,
            issues: raw.issues,
            line: text::from_field(&raw.line),
            upload_error: text::from_field(&raw.upload_error),
        })
    }
}

fn kept_to_wire(kept: Option<u32>) -> u32 {
    kept.unwrap_or(abi::KEPT_UNKNOWN)
}

fn kept_from_wire(kept: u32) -> Option<u32> {
    (kept != abi::KEPT_UNKNOWN).then_some(kept)
}

/// RESULT: what became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub state: OperationState,
    /// What it was.
    pub kind: OperationKind,
    /// Transport error (errno); 0 = the card answered.
    pub error: i32,
    /// Status word; 0 where the card did not answer.
    pub sw: u16,
    /// START: commands the card was given, the failing one included.
    pub given: u32,
    /// START: commands the batch holds; 0 = not known.
    pub total: u32,
    /// START: commands whose effect stands on the card, from the first on; `None` = the card did not say.
    pub kept: Option<u32>,
    /// Exchanges with the card; for START those of the upload included.
    pub exchanges: u64,
    /// Time from submission to the answer.
    pub duration: Duration,
    /// The whole response, data and status word.
    pub response: Apdu,
}

impl Outcome {
    /// The structure for RESULT. A response longer than it holds gets [`abi::RESULT_MORE`]; the daemon then gives
    /// the whole [`response`](Self::response) to read(2).
    pub fn to_raw(&self, ticket: u64) -> abi::OperationResult {
        let response = self.response.as_bytes();
        let mut field = [0; SHORT_RESPONSE_MAX];
        for (to, from) in field.iter_mut().zip(response) {
            *to = *from;
        }
        abi::OperationResult {
            result: self.error,
            version: ABI_VERSION,
            flags: if response.len() > SHORT_RESPONSE_MAX { abi::RESULT_MORE } else { 0 },
            ticket,
            state: self.state.to_wire(),
            kind: self.kind.to_wire(),
            sw: self.sw,
            given: self.given,
            total: self.total,
            kept: kept_to_wire(self.kept),
            response_length: u32::try_from(response.len()).unwrap_or(u32::MAX),
            exchanges: self.exchanges,
            nanoseconds: u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX),
            response: field,
            ..abi::OperationResult::default()
        }
    }
}

impl TryFrom<&abi::OperationResult> for Outcome {
    type Error = UnknownValue;

    /// The response is what stands in the structure; with [`abi::RESULT_MORE`] only its beginning.
    fn try_from(raw: &abi::OperationResult) -> Result<Self, UnknownValue> {
        let length = usize::try_from(raw.response_length).unwrap_or(usize::MAX);
        let more = raw.flags & abi::RESULT_MORE != 0;
        if (length > SHORT_RESPONSE_MAX) != more || length > abi::EXTENDED_RESPONSE_MAX {
            return Err(UnknownValue("response_length"));
        }
        Ok(Self {
            state: OperationState::from_wire(raw.state).ok_or(UnknownValue("state"))?,
            kind: OperationKind::from_wire(raw.kind).ok_or(UnknownValue("kind"))?,
            error: raw.result,
            sw: raw.sw,
            given: raw.given,
            total: raw.total,
            kept: kept_from_wire(raw.kept),
            exchanges: raw.exchanges,
            duration: Duration::from_nanos(raw.nanoseconds),
            response: Apdu::new(raw.response.get(..length).unwrap_or(&raw.response)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(response: &[u8]) -> Outcome {
        Outcome {
            state: OperationState::Failed,
            kind: OperationKind::Start,
            error: 0,
            sw: 0x6A84,
            given: 7,
            total: 12,
            kept: Some(4),
            exchanges: 2,
            duration: Duration::from_nanos(1_234_567),
            response: Apdu::new(response),
        }
    }

    #[test]
    fn an_outcome_comes_back() {
        let outcome = outcome(&[0, 0, 0, 7, 0x6A, 0x84]);
        let raw = outcome.to_raw(9);
        assert_eq!((raw.ticket, raw.flags), (9, 0));
        assert_eq!(Outcome::try_from(&raw), Ok(outcome));
    }

    #[test]
    fn a_long_response_is_announced_not_cut_in_silence() {
        let raw = outcome(&[1; SHORT_RESPONSE_MAX + 1]).to_raw(1);
        assert_eq!(raw.flags, abi::RESULT_MORE);
        assert_eq!(raw.response_length, 259);
        assert_eq!(outcome(&[1; SHORT_RESPONSE_MAX]).to_raw(1).flags, 0);
    }

    #[test]
    fn an_answer_with_an_impossible_length_is_refused() {
        let mut raw = outcome(&[]).to_raw(1);
        raw.response_length = 259;
        assert_eq!(Outcome::try_from(&raw), Err(UnknownValue("response_length")));
        raw.flags = abi::RESULT_MORE;
        raw.response_length = u32::MAX;
        assert_eq!(Outcome::try_from(&raw), Err(UnknownValue("response_length")));
        raw.response_length = 10;
        assert_eq!(Outcome::try_from(&raw), Err(UnknownValue("response_length")));
    }

    #[test]
    fn a_status_comes_back() {
        let status = CardStatus {
            state: CardState::Issuing,
            auth_level: 0x33,
            life_cycle: 0x0F,
            last_sw: 0x9000,
            facts: abi::FACT_CONFIRM_NEEDED | abi::FACT_OPERATOR,
            given: 1,
            total: 2,
            kept: None,
            last_error: 5,
            elapsed: Duration::from_millis(3200),
            free_bytes: 1 << 40,
            exchanges: 11,
            issue_exchanges: 2,
            issues: 3,
            line: "issuing (for 3.2 s)".to_owned(),
            upload_error: "offset 20: command longer than the body".to_owned(),
        };
        assert_eq!(CardStatus::try_from(&abi::Status::from(&status)), Ok(status.clone()));
        let mut raw = abi::Status::from(&status);
        raw.card_state = 99;
        assert_eq!(CardStatus::try_from(&raw), Err(UnknownValue("card_state")));
    }

    #[test]
    fn a_version_comes_back() {
        let info = VersionInfo::new("smcardd 0.1.0", abi::CAP_EXTENDED);
        assert_eq!(VersionInfo::from(&abi::Version::from(&info)), info);
        assert_eq!((info.max_short_command, info.max_command, info.max_response), (261, 65_544, 65_538));
        assert_eq!(VersionInfo::new("x", 0).max_command, 0);
    }
}
