//! What a terminal sees and pays.

use crate::cable::Rig;
use crate::terminal::{ISSUE_STATE, LISTING, SPACE, authenticate};
use anyhow::Result;
use smcard_batch::CommandApdu;
use smcard_card::scp03::SecurityLevel;
use smcard_link::{Answer, LinkError};

/// What a part of a story cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cost {
    /// Which part.
    pub what: String,
    /// Exchanges.
    pub exchanges: u64,
    /// Commands and blocks on the wire; 0 where there is none.
    pub wire: u64,
    /// The card has protected memory.
    pub direct: bool,
}

/// What a terminal has seen and paid.
#[derive(Default)]
pub struct Journal {
    pub(super) lines: Vec<String>,
    pub(super) costs: Vec<Cost>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

impl Journal {
    /// A line.
    pub fn note(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// What became of a command. A card that gives no answer is the same on every cable, whatever the reason.
    pub fn result(&mut self, what: &str, result: &Result<Answer, LinkError>) {
        let seen = match result {
            Ok(answer) => format!("{} {:04X}", hex(&answer.data), answer.sw),
            Err(LinkError::Gone | LinkError::PowerCut | LinkError::NoAnswer(_)) => "no answer".to_owned(),
            Err(error) => format!("{error}"),
        };
        self.note(format!("{what}: {seen}"));
    }

    /// Sends a command and notes what comes of it.
    pub fn send(&mut self, rig: &mut Rig, what: &str, command: &[u8]) -> Result<Answer, LinkError> {
        let result = rig.card().transmit(command);
        self.result(what, &result);
        result
    }

    /// Does something and keeps what it cost.
    pub fn cost<T>(
        &mut self,
        rig: &mut Rig,
        what: &str,
        act: impl FnOnce(&mut Self, &mut Rig) -> Result<T>,
    ) -> Result<T> {
        let before = rig.card().counters();
        let done = act(self, rig)?;
        let (after, direct) = (rig.card().counters(), rig.card().properties().direct_write);
        self.costs.push(Cost {
            what: what.to_owned(),
            exchanges: after.exchanges - before.exchanges,
            wire: after.wire_transactions - before.wire_transactions,
            direct,
        });
        Ok(done)
    }

    /// The end of every story: power off and on, then all that the card tells.
    pub(super) fn close(&mut self, rig: &mut Rig) -> Result<()> {
        rig.card().reset()?;
        for (what, command) in [("issue", &ISSUE_STATE[..]), ("files", &LISTING), ("space", &SPACE)] {
            self.send(rig, what, command)?;
        }
        let mut session = authenticate(rig.card(), SecurityLevel::C_MAC)?;
        for (what, p1) in [("applications", 0x40), ("packages", 0x10)] {
            let command = session.wrap(&CommandApdu::new(0x80, 0xF2, p1, 0x02, &[0x4F, 0x00]))?;
            self.send(rig, what, &command)?;
        }
        Ok(())
    }
}
