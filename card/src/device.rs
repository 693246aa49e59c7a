//! The card as a thing with power and interfaces.
//!
//! Any number of outer interfaces share one [`Device`]. Each passes the gate of the privileged mode manager before it
//! touches anything else; while the card issues itself an interface is told at once that nobody answers. The first
//! interface is that of the cable; what is of the others alone stands in [`crate::interfaces`].

use crate::emulated::OpenOptions;
use crate::interfaces::{Interfaces, PowerEvents};
use crate::issuer::{Broken, Issuer};
use crate::manager::{Manager, Origin, Processed, Surroundings};
use crate::memory::{Flash, Memory};
use crate::privilege::{Gate, Passage, Power, PowerFate};
use crate::recovery::{History, IssueState};
use crate::response::ResponseTable;
use crate::settings::Settings;
use crate::store::{self, CommandStore};
use crate::write_file::{NumberedWrites, commit_answer, is_write_file};
use crate::{applet::Runtime, registry};
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::{Durability, FlashError, Medium, Stats};
use smcard_link::{Answer, LinkError, LinkStatus, RecoveryKind, WriteId};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

/// How long another interface leaves the card to the first before it asks again, at first.
const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
/// And at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

/// Makes the runtime of a card each time the power comes.
pub type RuntimeFactory = Box<dyn Fn() -> Box<dyn Runtime> + Send + Sync>;

/// A card with its power switch and its outer interfaces.
pub(crate) struct Device {
    gate: Gate,
    pub(crate) power: Arc<Power>,
    pub(crate) asked: PowerEvents,
    state: Mutex<State>,
    /// Commands of the first interface that wait for their turn.
    waiting: AtomicUsize,
    delay: Duration,
    fate: Option<PowerFate>,
    runtime: RuntimeFactory,
    surroundings: Surroundings,
    durability: Durability,
}

type BoxedMedium = Box<dyn Medium + Send>;

enum State {
    On(Box<Session>),
    Off(BoxedMedium),
    /// The medium failed, or could not be opened again: nothing is answered until the power comes anew.
    Mute(BoxedMedium, String),
    /// Between two others: seen only where a thread ended in between.
    Gone,
}

impl State {
    fn status(&self) -> LinkStatus {
        match self {
            State::On(_) => LinkStatus::Ready,
            State::Off(_) => LinkStatus::Off,
            State::Mute(..) => LinkStatus::Mute,
            State::Gone => LinkStatus::Gone,
        }
    }
}

/// What lives from power-on to power-off.
pub(crate) struct Session {
    pub(crate) manager: Manager,
    pub(crate) store: CommandStore,
    pub(crate) writes: NumberedWrites,
    pub(crate) interfaces: Interfaces,
}

impl Session {
    /// The medium; everything volatile is lost.
    fn into_medium(self) -> BoxedMedium {
        self.manager.into_memory().into_flash().into_medium()
    }
}

impl Device {
    /// A card that is switched on. The error says why its image cannot be used; nothing has been changed then.
    pub(crate) fn new(flash: Flash, options: OpenOptions) -> Result<Self, PowerOnError> {
        let OpenOptions { command_delay: delay, power_fate: fate, runtime, back_off, random, recorder, .. } = options;
        let surroundings = Surroundings { back_off, random, recorder };
        let durability = flash.durability();
        let session = power_on(flash, &runtime, &surroundings).map_err(|failed| failed.1)?;
        let state = Mutex::new(State::On(Box::new(session)));
        let (gate, power, asked, waiting) = Default::default();
        Ok(Device { gate, power, asked, state, waiting, delay, fate, runtime, surroundings, durability })
    }

    /// What was fixed when the card was made.
    pub(crate) fn settings(&self) -> Option<Settings> {
        match &*self.lock() {
            State::On(session) => Some(session.manager.settings.clone()),
            _ => None,
        }
    }

    /// What the flash did since power-on.
    pub(crate) fn flash_stats(&self) -> Option<Stats> {
        match &*self.lock() {
            State::On(session) => Some(session.manager.memory.flash().stats()),
            _ => None,
        }
    }

    /// How the card stands. Never waits: a card that is busy with an issue or a command is shut for others.
    pub(crate) fn status(&self) -> LinkStatus {
        match (self.gate.passage(), self.state.try_lock()) {
            (Passage::Shut, _) | (_, Err(TryLockError::WouldBlock)) => LinkStatus::Shut,
            (Passage::OnlySelect, _) => LinkStatus::Held,
            (Passage::Open, Ok(state)) => state.status(),
            (Passage::Open, Err(TryLockError::Poisoned(state))) => state.into_inner().status(),
        }
    }

    /// One command from the first interface.
    pub(crate) fn transmit(&self, bytes: &[u8]) -> Result<Answer, LinkError> {
        self.passes(is_select_by_name(bytes))?;
        let mut state = self.first();
        self.passes(is_select_by_name(bytes))?;
        let answered = self.serve(&mut state, bytes);
        if let State::On(session) = &mut *state {
            session.forget_deleted();
        }
        answered
    }

    /// One command from another interface.
    pub(crate) fn transmit_at(&self, id: u32, bytes: &[u8]) -> Result<Answer, LinkError> {
        let mut state = self.between(is_select_by_name(bytes))?;
        let parked = on(&mut state)?.take_up(id).ok_or(LinkError::PowerCut)?;
        let answered = self.serve(&mut state, bytes);
        if let State::On(session) = &mut *state {
            session.put_back(id, parked);
        }
        answered
    }

    fn serve(&self, state: &mut State, bytes: &[u8]) -> Result<Answer, LinkError> {
        let session = on(state)?;
        // The APDU buffer of an interface: the command is copied here, where one in the command store is not.
        let buffer = zeroize::Zeroizing::new(bytes.to_vec());
        let Ok(command) = CommandApdu::parse(&buffer) else {
            return Ok(Answer::status(StatusWord::WRONG_LENGTH.0));
        };
        if session.manager.is_card_manager() && is_write_file(&command) {
            let Session { manager, store, writes, .. } = session;
            let answered = writes.serve(manager, store, &command);
            return answered.map_err(|error| self.broken(state, error.into()));
        }
        let answered = match session.manager.process(Origin::Interface, &command) {
            Ok(Processed::Answer(answer)) => Ok(answer),
            Ok(Processed::Trigger(trigger)) => {
                self.gate.enter();
                let kind = session.manager.settings.privilege;
                let table = ResponseTable::STANDARD;
                let (manager, power, fate) = (&mut session.manager, &*self.power, self.fate.as_ref());
                let ended = Issuer { manager, power, delay: self.delay, fate, table }.run(&trigger);
                self.gate.end(kind);
                ended
            }
            Err(error) => Err(Broken::Medium(error)),
        };
        match answered {
            Ok(answer) => {
                if self.gate.passage() == Passage::OnlySelect && is_select_by_name(bytes) && answer.is_success() {
                    self.gate.leave();
                }
                Ok(answer)
            }
            Err(broken) => Err(self.broken(state, broken)),
        }
    }

    /// Opens a direct write for the card manager's current secure session.
    pub(crate) fn write_open(&self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        self.with_store(|session| {
            let authority = match session.manager.write_authority() {
                Ok(authority) => authority,
                Err(sw) => return Ok(Err(Answer::status(sw.0))),
            };
            let opened = session.store.open(session.manager.memory.flash_mut(), name, length, authority)?;
            Ok(opened.map_err(|sw| Answer::status(sw.0)))
        })
    }

    /// Streams the next bytes.
    pub(crate) fn write_chunk(&self, id: WriteId, chunk: &[u8]) -> Result<(), LinkError> {
        let taken = self.with_store(|session| session.store.chunk(session.manager.memory.flash_mut(), id, chunk))?;
        if taken { Ok(()) } else { Err(LinkError::Write("not open, or more bytes than announced")) }
    }

    /// Commits a direct write. Room for it was reserved when it was opened, by an authenticated host.
    pub(crate) fn write_commit(&self, id: WriteId) -> Result<Answer, LinkError> {
        let commit = self.with_store(|session| session.store.commit(session.manager.memory.flash_mut(), id))?;
        Ok(commit_answer(&commit.ok_or(LinkError::Write("not open"))?))
    }

    /// Gives a direct write up.
    pub(crate) fn write_abort(&self, id: WriteId) {
        if let State::On(session) = &mut *self.lock() {
            session.store.abort(session.manager.memory.flash_mut(), id);
        }
    }

    /// Power off and on again.
    pub(crate) fn reset(&self) -> Result<(), LinkError> {
        let mut state = self.lock();
        self.gate.leave();
        self.power.on();
        let medium = match std::mem::replace(&mut *state, State::Gone) {
            State::On(session) => session.into_medium(),
            State::Off(medium) | State::Mute(medium, _) => medium,
            State::Gone => return Err(LinkError::Gone),
        };
        let (medium, error) = match Flash::open_or_return(medium) {
            Ok(mut flash) => {
                flash.set_durability(self.durability);
                match power_on(flash, &self.runtime, &self.surroundings) {
                    Ok(session) => {
                        *state = State::On(Box::new(session));
                        return Ok(());
                    }
                    Err(failed) => (failed.0.into_medium(), failed.1),
                }
            }
            Err(failed) => (failed.0, failed.1.into()),
        };
        let text = error.to_string();
        *state = State::Mute(medium, text.clone());
        Err(LinkError::Mute(text))
    }

    fn with_store<T>(&self, act: impl FnOnce(&mut Session) -> Result<T, FlashError>) -> Result<T, LinkError> {
        self.passes(false)?;
        let mut state = self.first();
        self.passes(false)?;
        act(on(&mut state)?).map_err(|error| self.broken(&mut state, error.into()))
    }

    fn passes(&self, select: bool) -> Result<(), LinkError> {
        match self.gate.passage() {
            Passage::Open => Ok(()),
            Passage::OnlySelect if select => Ok(()),
            Passage::OnlySelect | Passage::Shut => Err(LinkError::NoAnswer(Duration::ZERO)),
        }
    }

    fn broken(&self, state: &mut State, broken: Broken) -> LinkError {
        self.gate.leave();
        let State::On(session) = std::mem::replace(state, State::Gone) else { return LinkError::Gone };
        let medium = session.into_medium();
        match broken {
            Broken::PowerCut => {
                *state = State::Off(medium);
                LinkError::PowerCut
            }
            Broken::Medium(error) => {
                log::error!("the card goes mute: {error}");
                *state = State::Mute(medium, error.to_string());
                LinkError::Mute(error.to_string())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first interface's turn: the others let it go first.
    fn first(&self) -> MutexGuard<'_, State> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let mut state = self.lock();
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.settled(&mut state);
        state
    }

    /// The turn of another interface, between two commands of the first. It never outlasts an issue.
    fn between(&self, select: bool) -> Result<MutexGuard<'_, State>, LinkError> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            self.passes(select)?;
            if self.waiting.load(Ordering::Acquire) == 0 {
                if let Some(mut state) = self.try_lock() {
                    self.passes(select)?;
                    self.settled(&mut state);
                    return Ok(state);
                }
            }
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Does what interfaces have asked of their power, unless the card is busy: then the next command does.
    pub(crate) fn settle(&self) {
        if let Some(mut state) = self.try_lock() {
            self.settled(&mut state);
        }
    }

    fn settled(&self, state: &mut State) {
        if let State::On(session) = state {
            session.settle(&self.asked);
        }
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Why a card does not come up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PowerOnError {
    /// The medium.
    #[error(transparent)]
    Flash(#[from] FlashError),
    /// What is written on it is no card, or one of another version.
    #[error("{0}; nothing was changed")]
    Content(String),
}

fn power_on(
    flash: Flash,
    runtime: &RuntimeFactory,
    surroundings: &Surroundings,
) -> Result<Session, Box<(Flash, PowerOnError)>> {
    let mut memory = Memory::new(flash);
    match prepare(&mut memory) {
        Ok(settings) => {
            let manager = Manager::new(memory, settings, runtime(), surroundings.clone());
            let (store, writes, interfaces) = Default::default();
            Ok(Session { manager, store, writes, interfaces })
        }
        Err(error) => Err(Box::new((memory.into_flash(), error))),
    }
}

fn prepare(memory: &mut Memory) -> Result<Settings, PowerOnError> {
    let settings = Settings::load(memory).map_err(PowerOnError::Content)?;
    registry::check(memory).map_err(PowerOnError::Content)?;
    store::check(memory.flash()).map_err(PowerOnError::Content)?;
    History::check(memory).map_err(PowerOnError::Content)?;
    History::check_shadows(memory).map_err(PowerOnError::Content)?;
    let unfinished = History::load(memory).is_some_and(|history| history.state == IssueState::Unfinished);
    if unfinished && settings.recovery == RecoveryKind::Restart {
        log::info!("power-on: the unfinished issue is wiped");
        memory.undo_group(None)?;
    }
    Ok(settings)
}

fn on(state: &mut State) -> Result<&mut Session, LinkError> {
    match state {
        State::On(session) => Ok(session),
        State::Off(_) => Err(LinkError::PowerCut),
        State::Mute(_, why) => Err(LinkError::Mute(why.clone())),
        State::Gone => Err(LinkError::Gone),
    }
}

fn is_select_by_name(bytes: &[u8]) -> bool {
    matches!(bytes, [0x00, 0xA4, 0x04, ..])
}
