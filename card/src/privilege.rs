//! Privileged mode manager: while the card issues itself nothing passes an outer interface (system S2, S3).
//!
//! The gate is looked at by every interface *before* anything else of the card is touched, so that an APDU that arrives
//! during an issue gets no processing at all: not a status word, not even a wait.

use smcard_batch::CommandApdu;
use smcard_link::{PowerSwitch, PrivilegeKind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Instruction byte of START.
pub const INS_START: u8 = 0x5A;

const OPEN: u8 = 0;
const ISSUING: u8 = 1;
const HELD: u8 = 2;

/// Tells an issue request from anything else (S2.1).
pub(crate) fn is_issue_request(command: &CommandApdu<'_>) -> bool {
    (command.cla, command.ins) == (0x80, INS_START)
}

/// What an interface may do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passage {
    /// Commands pass.
    Open,
    /// Nothing passes.
    Shut,
    /// Nothing passes but SELECT by name, which leaves the mode.
    OnlySelect,
}

/// The gate before all outer interfaces.
#[derive(Default)]
pub(crate) struct Gate(AtomicU8);

impl Gate {
    pub(crate) fn passage(&self) -> Passage {
        match self.0.load(Ordering::Acquire) {
            OPEN => Passage::Open,
            HELD => Passage::OnlySelect,
            _ => Passage::Shut,
        }
    }

    /// Sets the mode: an issue begins.
    pub(crate) fn enter(&self) {
        self.0.store(ISSUING, Ordering::Release);
    }

    /// The issue has ended: the mode is left, or held until a SELECT or power-off.
    pub(crate) fn end(&self, kind: PrivilegeKind) {
        let next = match kind {
            PrivilegeKind::Auto => OPEN,
            PrivilegeKind::Hold => HELD,
        };
        self.0.store(next, Ordering::Release);
    }

    /// Left by SELECT or by power-off.
    pub(crate) fn leave(&self) {
        self.0.store(OPEN, Ordering::Release);
    }
}

/// Sees each command of an issue as the card manager is about to get it; `true` and the power goes before it has any
/// effect.
pub type PowerFate = Box<dyn Fn(&CommandApdu<'_>) -> bool + Send + Sync>;

/// The card's power, as another thread can cut it.
#[derive(Default)]
pub(crate) struct Power {
    off: Mutex<bool>,
    changed: Condvar,
}

impl Power {
    pub(crate) fn is_off(&self) -> bool {
        *self.off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn on(&self) {
        *self.off.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Waits for `duration` or until the power goes; true where it is off.
    pub(crate) fn wait(&self, duration: Duration) -> bool {
        let off = self.off.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(off, duration, |off| !*off);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl PowerSwitch for Power {
    fn cut(&self) {
        *self.off.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}
