//! Recording: what a client does to the card, as a batch that does it again.
//!
//! The card manager tells a [`CommandRecorder`] every command of its interfaces in plain form, that is after the secure
//! channel was taken off, and what became of it. Recorded is what changed the card and succeeded; a batch stops at the first
//! command that fails. The rest is counted by its reason and never in the batch.
//!
//! A client has sessions, may lose the power and may have begun before the recording; a batch is one session that begins
//! with the card manager. So the recorder knows where the *replay* of its batch would stand (the current application, the
//! application being personalized, the load in progress) and puts the SELECT or INSTALL in front that leads from there to
//! where the client was.
//!
//! The recording is in RAM only, at most [`RECORDING_MAX`] bytes, and zeroized: it holds what a preparer sent.

use smcard_batch::aid::Aid;
use smcard_batch::{BatchBuilder, CommandApdu};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use zeroize::Zeroizing;

/// Most bytes of commands that one recording holds.
pub const RECORDING_MAX: usize = 16 << 20;

/// Records what is done to a card; copies are handles of the same recording. Off until [`CommandRecorder::start`].
#[derive(Clone, Default)]
pub struct CommandRecorder(Arc<Shared>);

#[derive(Default)]
struct Shared {
    running: AtomicBool,
    tape: Mutex<Tape>,
}

/// What a recording holds, in figures.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// It is going on.
    pub running: bool,
    /// Commands that its batch has.
    pub commands: usize,
    /// Why commands were left out, and how many.
    pub left_out: Vec<(&'static str, u32)>,
}

/// Why a recording gives no batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// It has not ended, or has not begun.
    #[error("nothing has been recorded, or the recording still goes on")]
    NotEnded,
    /// More than it may hold; part of it would be a batch that does something else.
    #[error("more than {RECORDING_MAX} bytes of commands: record in parts")]
    TooLong,
    /// A command that no batch can carry.
    #[error("a recorded command does not fit into a batch")]
    Command,
}

/// Where a session stands, as far as the next command depends on it.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// The current application; `None` = the card manager.
    pub(crate) current: Option<Aid>,
    /// STORE DATA goes to this application.
    pub(crate) personalized: Option<Aid>,
    /// A load has begun.
    pub(crate) loading: bool,
}

/// What a command is to the recorder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Select,
    BeginLoad,
    Load,
    Content,
    Application,
    LeftOut(&'static str),
    /// Changes nothing.
    Question,
}

struct Heard {
    bytes: Zeroizing<Vec<u8>>,
    before: Place,
    meaning: Meaning,
}

#[derive(Default)]
struct Tape {
    ended: bool,
    commands: Vec<Zeroizing<Vec<u8>>>,
    bytes: usize,
    overflow: bool,
    left_out: BTreeMap<&'static str, u32>,
    /// Where the batch stands when it has done what was recorded.
    replay: Place,
    /// Where the load in progress begins, and where the replay stood then.
    load: Option<(usize, Place)>,
    heard: Option<Heard>,
}

const REFUSED: &str = "refused by the card";
const KEYS: &str = "PUT KEY and DELETE of keys: keys do not go into a file";
const CHANNEL: &str = "on another logical channel than the basic one";
const SECURED: &str = "in secure messaging with an application";
const HEADLESS: &str = "LOAD of a load that began before the recording";
const UNFINISHED: &str = "of a load that was not completed";
const OPERATORS: &str = "CLEAR, CONFIRM and the files of the command store: no card content";

impl CommandRecorder {
    /// Begins; what was recorded before is wiped.
    pub fn start(&self) {
        *self.tape() = Tape::default();
        self.0.running.store(true, Ordering::Release);
    }

    /// Ends; a load that is not complete is taken out. Nothing changes where nothing is being recorded.
    pub fn stop(&self) {
        if self.0.running.swap(false, Ordering::AcqRel) {
            let mut tape = self.tape();
            tape.heard = None;
            tape.give_load_up();
            tape.ended = true;
        }
    }

    /// Wipes what was recorded, and ends the recording.
    pub fn forget(&self) {
        self.0.running.store(false, Ordering::Release);
        *self.tape() = Tape::default();
    }

    /// What the recording holds now.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let tape = self.tape();
        let left_out = tape.left_out.iter().map(|(reason, count)| (*reason, *count)).collect();
        Summary { running: self.is_running(), commands: tape.commands.len(), left_out }
    }

    /// The batch of a recording that has ended; it may have no command.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn batch(&self) -> Result<Zeroizing<Vec<u8>>, RecordingError> {
        let tape = self.tape();
        if !tape.ended {
            return Err(RecordingError::NotEnded);
        }
        if tape.overflow {
            return Err(RecordingError::TooLong);
        }
        let mut builder = BatchBuilder::new();
        for command in &tape.commands {
            builder.push_bytes(command).map_err(|_| RecordingError::Command)?;
        }
        builder.finish().map(Zeroizing::new).map_err(|_| RecordingError::Command)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.0.running.load(Ordering::Acquire)
    }

    /// A command, in plain form, that an interface gives now. `own`: it is the card manager's.
    pub(crate) fn hear(&self, before: Place, command: &CommandApdu<'_>, own: bool) {
        let meaning = meaning(command, own);
        // Only the card manager's secure channel has been taken off.
        let cla = if own { command.cla & !0x04 } else { command.cla };
        let mut plain = CommandApdu::new(cla, command.ins, command.p1, command.p2, command.data);
        if let Some(le) = command.le {
            plain = plain.with_le(le);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(plain.encoded_len()));
        let heard = plain.encode(&mut bytes).ok().map(|()| Heard { bytes, before, meaning });
        self.tape().heard = heard;
    }

    /// How the command that was heard ended, on which logical channel, and where its session stands now.
    pub(crate) fn judge(&self, channel: u8, success: bool, after: Place) {
        let mut tape = self.tape();
        let Some(heard) = tape.heard.take().filter(|heard| heard.meaning != Meaning::Question) else { return };
        if !success {
            tape.leave_out(REFUSED, 1);
        } else if let Meaning::LeftOut(reason) = heard.meaning {
            tape.leave_out(reason, 1);
        } else if channel != 0 {
            tape.leave_out(CHANNEL, 1);
        } else {
            tape.keep(heard, after);
        }
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.0.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CommandRecorder {
    /// Figures only: what was recorded is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { running, commands, .. } = self.summary();
        write!(f, "CommandRecorder, running: {running}, {commands} commands")
    }
}

/// Instructions by their numbers: GlobalPlatform 2.3.1 table 11-1, and the card's own from 54 to 5E.
fn meaning(command: &CommandApdu<'_>, own: bool) -> Meaning {
    match (command.cla & !0x04, command.ins, command.p1) {
        (0x00, 0xA4, 0x04) => Meaning::Select,
        _ if !own && command.cla & 0x04 != 0 => Meaning::LeftOut(SECURED),
        _ if !own => Meaning::Application,
        (0x80, 0xE6, 0x02) => Meaning::BeginLoad,
        (0x80, 0xE8, _) => Meaning::Load,
        (0x80, 0xD8, _) => Meaning::LeftOut(KEYS),
        (0x80, 0xE4, _) if matches!(command.data.first(), Some(0xD0 | 0xD2)) => Meaning::LeftOut(KEYS),
        (0x80, 0xE2 | 0xE4 | 0xE6 | 0xF0, _) => Meaning::Content,
        (0x80, 0x54..=0x58 | 0x5C | 0x5E, _) => Meaning::LeftOut(OPERATORS),
        _ => Meaning::Question,
    }
}

impl Tape {
    fn leave_out(&mut self, reason: &'static str, commands: usize) {
        let count = self.left_out.entry(reason).or_default();
        *count = count.saturating_add(u32::try_from(commands).unwrap_or(u32::MAX));
    }

    fn push(&mut self, bytes: Zeroizing<Vec<u8>>) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > RECORDING_MAX {
            self.overflow = true;
            self.commands = Vec::new();
        }
        if !self.overflow {
            self.commands.push(bytes);
        }
    }

    /// `00 A4 04 00` with this name; the empty one is the card manager's.
    fn push_select(&mut self, name: &[u8]) {
        self.push(encoded(&CommandApdu::new(0x00, 0xA4, 0x04, 0x00, name)));
    }

    fn keep(&mut self, heard: Heard, after: Place) {
        let Heard { bytes, before, meaning } = heard;
        if self.replay.loading && !before.loading {
            self.give_load_up();
        }
        match meaning {
            Meaning::Load if !self.replay.loading => return self.leave_out(HEADLESS, 1),
            Meaning::Load => {}
            Meaning::Select => {
                self.give_load_up();
                // Back to the card manager: what follows there brings its SELECT along.
                if let Some(aid) = &after.current {
                    self.push_select(aid.as_bytes());
                    self.replay = after;
                }
                return;
            }
            _ => self.lead_to(&before),
        }
        if meaning == Meaning::BeginLoad {
            self.give_load_up();
            self.load = Some((self.commands.len(), self.replay.clone()));
        }
        self.push(bytes);
        if !after.loading {
            self.load = None;
        }
        self.replay = after;
    }

    /// Commands that lead the replay to where the client stood.
    fn lead_to(&mut self, before: &Place) {
        let strays = before.personalized != self.replay.personalized && self.replay.personalized.is_some();
        if before.current != self.replay.current || strays {
            let name = before.current.as_ref().map_or(&[][..], Aid::as_bytes).to_vec();
            self.give_load_up();
            self.push_select(&name);
            self.replay = Place { current: before.current, ..Place::default() };
        }
        if let Some(aid) = before.personalized.filter(|_| before.personalized != self.replay.personalized) {
            // INSTALL [for personalization], GlobalPlatform 2.3.1 table 11-48.
            let length = u8::try_from(aid.as_bytes().len()).unwrap_or(0);
            let data = [&[0, 0, length], aid.as_bytes(), &[0, 0, 0]].concat();
            self.push(encoded(&CommandApdu::new(0x80, 0xE6, 0x20, 0x00, &data)));
            self.replay.personalized = Some(aid);
        }
    }

    /// Takes a load that was never completed out again.
    fn give_load_up(&mut self) {
        if let Some((first, replay)) = self.load.take() {
            let given_up = self.commands.len().saturating_sub(first);
            let bytes: usize = self.commands.drain(first.min(self.commands.len())..).map(|bytes| bytes.len()).sum();
            self.bytes = self.bytes.saturating_sub(bytes);
            self.leave_out(UNFINISHED, given_up);
            self.replay = replay;
        }
    }
}

/// A short command that the recorder makes itself: an AID and a few bytes always fit.
fn encoded(command: &CommandApdu<'_>) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(command.encoded_len()));
    if command.encode(&mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}
