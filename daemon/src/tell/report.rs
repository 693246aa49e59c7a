//! What is told of an issue: one JSON object.

use crate::apps::hex;
use crate::status::Ended;
use serde_json::{Value, json};
use smcard_batch::StatusWord;
use std::time::{SystemTime, UNIX_EPOCH};

/// The result of one issue.
#[derive(Clone, Debug)]
pub struct Report {
    /// Identification of the card, hexadecimal.
    pub cid: String,
    /// How the issue ended.
    pub ended: Ended,
    /// The card still waits for CONFIRM.
    pub confirm_needed: bool,
    /// When it ended.
    pub at: SystemTime,
}

impl Report {
    /// Of an issue that has just ended on the card with this identification.
    #[must_use]
    pub fn new(cid: &[u8; 16], ended: Ended, confirm_needed: bool) -> Self {
        Report { cid: hex(cid), ended, confirm_needed, at: SystemTime::now() }
    }

    /// The identifier of the issue: no other issue of any card has it.
    #[must_use]
    pub fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.cid)
    }

    /// The whole object, on one line.
    #[must_use]
    pub fn json(&self, number: u64) -> String {
        let Ended { name, result, silence, exchanges, elapsed } = &self.ended;
        let sw = (result.sw != 0).then_some(StatusWord(result.sw));
        let at = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let object: Value = json!({
            "id": self.id(number),
            "cid": self.cid,
            "number": number,
            "ended_unix": at.as_secs(),
            "issue": name,
            "state": if result.success { "done" } else { "failed" },
            "sw": sw.map(|sw| sw.to_string()),
            "meaning": sw.map(StatusWord::meaning),
            "commands": result.total,
            "given": result.given,
            "kept": result.kept,
            "exchanges": exchanges,
            "seconds": elapsed.as_secs_f64(),
            "confirm_needed": self.confirm_needed,
            "error": silence.as_ref().map(|(_, text)| text),
        });
        object.to_string()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::terminal::IssueResult;
    use std::time::Duration;

    /// A failed issue of a card whose identification is all `cid`.
    pub(crate) fn report(cid: u8) -> Report {
        let result = IssueResult { success: false, sw: 0x6A84, given: 7, total: 12, kept: Some(4) };
        let (name, elapsed) = ("app.batch".into(), Duration::from_millis(1500));
        Report::new(&[cid; 16], Ended { name, result, silence: None, exchanges: 2, elapsed }, false)
    }

    #[test]
    fn everything_that_is_known_is_told() {
        let report = Report { at: UNIX_EPOCH + Duration::from_secs(1_767_225_600), ..report(0xAB) };
        let told: Value = serde_json::from_str(&report.json(42)).unwrap();
        let cid = "AB".repeat(16);
        let expected = json!({
            "id": format!("{cid}-42"), "cid": cid, "number": 42, "ended_unix": 1_767_225_600, "issue": "app.batch",
            "state": "failed", "sw": "6a84", "meaning": "not enough memory", "commands": 12, "given": 7, "kept": 4,
            "exchanges": 2, "seconds": 1.5, "confirm_needed": false, "error": null,
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn a_card_that_did_not_answer_has_no_status_word() {
        let mut report = report(1);
        report.ended.result.sw = 0;
        report.ended.silence = Some((110, "the card gave no answer".into()));
        let told: Value = serde_json::from_str(&report.json(1)).unwrap();
        assert_eq!((&told["sw"], &told["meaning"]), (&Value::Null, &Value::Null));
        assert_eq!(told["error"], "the card gave no answer");
        assert!(!report.json(1).contains('\n'));
    }
}
