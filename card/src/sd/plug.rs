//! Plugging an emulated card into a bus.

use super::area::Area;
use super::engine::Engine;
use super::executor::Executor;
use super::native::SdCard;
use super::profile::Profile;
use super::registers::Registers;
use super::secure::Secure;
use super::spi::SpiCard;
use super::time::BusTime;
use crate::EmulatedCard;
use crate::privilege::Power;
use smcard_link::PowerSwitch;
use smcard_link::assd::SecureState;
use smcard_link::sd::{CardState, CardStatus};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use thiserror::Error;

/// How an emulated card hangs on its bus.
pub struct SdOptions {
    /// How it behaves.
    pub profile: Profile,
    /// Its open memory.
    pub area: Box<dyn Area>,
    /// Who does the work of its secure core.
    pub executor: Executor,
    /// The time of the bus.
    pub time: BusTime,
}

impl SdOptions {
    /// The standard profile, worked by a thread, on the system's time.
    #[must_use]
    pub fn new(area: Box<dyn Area>) -> Self {
        SdOptions { profile: Profile::default(), area, executor: Executor::Thread, time: BusTime::system() }
    }
}

/// Why a card cannot be plugged in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlugError {
    /// The open memory is smaller than the smallest card of its kind.
    #[error("an open memory area of {0} bytes is too small: a card of this kind has 512 KiB at least")]
    TooSmall(u64),
    /// The host has no thread for the secure core.
    #[error("the secure core gets no thread: {0}")]
    Thread(#[from] io::Error),
}

/// A card in a slot, or beside it.
pub(super) struct Slot {
    present: AtomicBool,
    pulls: AtomicU32,
    power: Arc<Power>,
}

impl Slot {
    pub(super) fn pulls(&self) -> u32 {
        self.pulls.load(Ordering::Acquire)
    }

    pub(super) fn is_present(&self) -> bool {
        self.present.load(Ordering::Acquire)
    }
}

/// Pulls a card out of its slot and puts it in, from any thread.
#[derive(Clone)]
pub struct SlotHandle(Arc<Slot>);

impl SlotHandle {
    pub(super) fn new(slot: &Arc<Slot>) -> Self {
        SlotHandle(Arc::clone(slot))
    }

    /// Pulls the card out: what it does breaks off as by a loss of power.
    pub fn remove(&self) {
        self.0.present.store(false, Ordering::Release);
        self.0.pulls.fetch_add(1, Ordering::AcqRel);
        self.0.power.cut();
    }

    /// Puts it in again; it comes up as after power-on.
    pub fn insert(&self) {
        self.0.present.store(true, Ordering::Release);
    }

    /// True while it is in.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.0.is_present()
    }

    /// Switches the supply of the secure core alone: a command in progress ends aborted, until CMD37, CMD0 or a power cycle
    /// brings the core up again.
    #[must_use]
    pub fn power_switch(&self) -> Arc<dyn PowerSwitch> {
        Arc::clone(&self.0.power) as Arc<dyn PowerSwitch>
    }
}

/// How a card stands inside; for tests that compare two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// State on the native bus.
    pub state: Option<CardState>,
    /// Function of group 1 (access mode) in force.
    pub access_mode: u8,
    /// Function of group 2 (command system) in force.
    pub command_system: u8,
    /// Where a secure command stands.
    pub secure: SecureState,
    /// CMD16.
    pub block_length: u16,
    /// Errors not told yet.
    pub errors: CardStatus,
    /// True while a transfer is open.
    pub in_transfer: bool,
    /// Open direct writes: number, length in bytes, blocks received.
    pub writes: Vec<(u8, u32, u32)>,
}

impl Inspection {
    pub(super) fn of(engine: &Engine, state: Option<CardState>) -> Self {
        Inspection {
            state,
            access_mode: engine.functions.access_mode,
            command_system: engine.functions.command_system,
            secure: engine.secure.state(),
            block_length: engine.block_length,
            errors: engine.errors,
            in_transfer: engine.direction() != super::engine::Direction::None,
            writes: engine.secure.writes.progress(),
        }
    }
}

impl EmulatedCard {
    /// Puts the card on a native SD bus.
    ///
    /// # Errors
    /// [`PlugError`].
    pub fn into_sd(self, options: SdOptions) -> Result<SdCard, PlugError> {
        let time = options.time.clone();
        let (engine, slot) = self.plug(options)?;
        Ok(SdCard::new(engine, slot, time))
    }

    /// Puts the card on an SPI bus.
    ///
    /// # Errors
    /// [`PlugError`].
    pub fn into_spi(self, options: SdOptions) -> Result<SpiCard, PlugError> {
        let time = options.time.clone();
        let (engine, slot) = self.plug(options)?;
        Ok(SpiCard::new(engine, slot, time))
    }

    fn plug(self, options: SdOptions) -> Result<(Engine, Arc<Slot>), PlugError> {
        let (device, properties) = self.into_parts();
        let length = options.area.length();
        let registers = Registers::new(&options.profile, options.profile.cid(properties.cid), length)
            .ok_or(PlugError::TooSmall(length))?;
        let power = Arc::clone(&device.power);
        let slot = Arc::new(Slot { present: AtomicBool::new(true), pulls: AtomicU32::new(0), power });
        let secure = Secure::new(options.executor.core(device)?);
        Ok((Engine::new(options.profile, registers, options.area, secure), slot))
    }
}
