//! Into the secure command set: CMD6, properties, security system (`docs/ASSD.md` section 2).

use super::OpenError;
use super::wire::{Form, Gaps, Unread, Wire};
use crate::assd::{Properties, Register, SecureState, Version};
use crate::quirks::PsiLength;
use crate::sd::{Cid, Command, Function, SwitchArgument, SwitchStatus, index};
use crate::{BusError, BusFault, Data, LinkError, Trace};
use std::time::Duration;

/// How long a function may be busy, and how far apart it is asked for.
const SWITCH_LIMIT: Duration = Duration::from_secs(2);
const SWITCH_GAP: Duration = Duration::from_millis(16);
/// How often the secure command set is entered before it counts as missing.
const ENTRIES: u32 = 3;
/// How often something that came damaged is asked for again.
const TRIES: u32 = 8;
/// Rounds of dropping and resetting until a card counts as one that does not come to rest.
const ROUNDS: u32 = 8;

/// The card is not at rest.
#[derive(Debug)]
pub(super) enum Unsettled {
    /// The secure mode is not on (any more).
    Lost(BusError),
    /// Something else.
    Link(LinkError),
}

impl Wire {
    /// Enters the secure command set and brings the card to where a command can be sent. A card may lose it again on the
    /// way; that it has none is believed after the third time.
    pub(super) fn enter(&mut self) -> Result<(), OpenError> {
        for _ in 1..ENTRIES {
            match self.enter_once() {
                Err(OpenError::Lies { .. } | OpenError::Bus(_)) if !self.gone => {}
                done => return done,
            }
        }
        self.enter_once()
    }

    fn enter_once(&mut self) -> Result<(), OpenError> {
        if !self.identity.has_switch {
            return Err(OpenError::NotSecure("it is older than SD version 1.10 and has no CMD6".into()));
        }
        let function = self.choose_function()?;
        self.set_function(function)?;
        self.function = function;
        match self.inside() {
            Ok(()) => Ok(()),
            Err(error) => {
                if !self.gone && matches!(error, OpenError::Lies { .. } | OpenError::NoSystem { .. }) {
                    self.trace.note(format_args!("the secure command set is left again"));
                    // The card is refused in any case.
                    let _ = self.switch(SwitchArgument::set(Function::Default));
                }
                Err(error)
            }
        }
    }

    fn inside(&mut self) -> Result<(), OpenError> {
        self.read_properties()?;
        if self.properties.version() >= Version::V2_0 {
            let systems = self.properties.systems();
            self.system = match self.quirks.system {
                Some(wanted) if systems >> wanted & 1 == 0 => return Err(OpenError::NoSystem { wanted, systems }),
                Some(wanted) => wanted,
                // Sixteen where the card names none: the one it had before there were several.
                None => u8::try_from(systems.trailing_zeros()).ok().filter(|system| *system < 16).unwrap_or(0),
            };
            let (status, _) = self.status().map_err(unread)?;
            if status.system() != self.system {
                self.trace.note(format_args!("security system {} is selected", self.system));
                self.reset_core().map_err(OpenError::from_bus)?;
                let (status, _) = self.status().map_err(unread)?;
                if status.system() != self.system {
                    let text = format!("it stays with security system {}", status.system());
                    return Err(OpenError::Restless(text));
                }
            }
        }
        if self.quirks.reset_on_enter {
            self.reset_core().map_err(OpenError::from_bus)?;
        }
        match self.settle() {
            Ok(_) => Ok(()),
            Err(Unsettled::Lost(error)) => Err(OpenError::Bus(error)),
            Err(Unsettled::Link(error)) => Err(OpenError::from_link(error, removed)),
        }
    }

    fn choose_function(&mut self) -> Result<Function, OpenError> {
        let status = match self.switch(SwitchArgument::QUERY) {
            Ok(status) => status,
            Err(error) if matches!(error.fault, BusFault::Illegal | BusFault::NoResponse) => {
                return Err(OpenError::NotSecure(format!("it does not answer CMD6 ({error})")));
            }
            Err(error) => return Err(OpenError::from_bus(error)),
        };
        let offered = status.supported(2);
        let has = |function: Function| offered >> function as u16 & 1 == 1;
        let wanted = self.quirks.function;
        let choice = match wanted {
            Some(function) => Some(function).filter(|function| has(*function)),
            None => [Function::Assd2, Function::Assd1].into_iter().find(|function| has(*function)),
        };
        choice.ok_or_else(|| {
            let option = if wanted.is_some() { ", and the option function asks for another one" } else { "" };
            OpenError::NotSecure(format!("its command systems are {offered:04X}{option}"))
        })
    }

    fn set_function(&mut self, function: Function) -> Result<(), OpenError> {
        let deadline = self.host.now() + SWITCH_LIMIT;
        let number = function as u8;
        loop {
            self.trace.round();
            let status = self.switch(SwitchArgument::set(function)).map_err(OpenError::from_bus)?;
            if status.result(2) == number {
                return Ok(());
            }
            if !status.is_busy(2, number) {
                let text = format!("it offers function {number} and refuses it (answer {:X})", status.result(2));
                return Err(OpenError::NotSecure(text));
            }
            if self.host.now() >= deadline {
                return Err(OpenError::Restless(format!("function {number} stays busy (CMD6)")));
            }
            self.wait(SWITCH_GAP).map_err(|error| OpenError::from_link(error, removed))?;
        }
    }

    /// CMD6. Asking again for what may be in force already changes nothing.
    fn switch(&mut self, argument: SwitchArgument) -> Result<SwitchStatus, BusError> {
        let mut doubts = Doubts::default();
        loop {
            let mut into = [0; 64];
            let data = Data::Read { block: 64, into: &mut into };
            match self.step(Command::new(index::SWITCH_FUNC, argument.0), data, Duration::ZERO) {
                Ok(()) => {
                    let status = SwitchStatus(into);
                    self.trace.register(&format_args!(
                        "switch status: command systems {:04X}, in force or possible {:X}{}, {} mA",
                        status.supported(2),
                        status.result(2),
                        if status.is_busy(2, argument.group(2)) { ", busy" } else { "" },
                        status.current()
                    ));
                    return Ok(status);
                }
                Err(error) if self.gone || doubts.is_final(&error.fault) => return Err(error),
                Err(_) => self.host.sleep(Duration::from_millis(1)),
            }
        }
    }

    /// The properties register; finds out how registers are read.
    fn read_properties(&mut self) -> Result<(), OpenError> {
        let mut form = match self.form {
            Some(form) => form,
            None => self.first_form().map_err(OpenError::from_bus)?,
        };
        let may_change = self.form.is_none() && self.quirks.psi_length == PsiLength::Auto;
        let (mut doubts, mut damaged) = (Doubts::default(), 0);
        loop {
            match self.read_register(Register::Properties, form) {
                Ok(bytes) => {
                    self.properties = Properties(bytes);
                    self.trace.register(&self.properties);
                    self.form = Some(form);
                    return Ok(());
                }
                Err(error) => {
                    if self.gone || matches!(error.fault, BusFault::Forbidden(_) | BusFault::Io(_)) {
                        return Err(OpenError::from_bus(error));
                    }
                    if doubts.is_final(&error.fault) {
                        return Err(OpenError::Lies { function: self.function as u8, error });
                    }
                    // Another length than was expected looks like damage, again and again.
                    let looks_damaged = matches!(error.fault, BusFault::DataCrc | BusFault::DataTimeout(_));
                    damaged = if looks_damaged { damaged + 1 } else { 0 };
                    if may_change && damaged == 2 {
                        damaged = 0;
                        form = match form {
                            Form::Short => Form::Block,
                            Form::Block => Form::Plain,
                            Form::Plain => Form::Short,
                        };
                        self.trace.note(format_args!("registers are tried as {form:?}"));
                    }
                }
            }
            self.host.sleep(Duration::from_millis(1));
        }
    }

    /// Brings the card to where a command can be sent: what is in progress is waited for, what is complete is dropped,
    /// what was aborted is reset where the card wants that.
    pub(super) fn settle(&mut self) -> Result<SecureState, Unsettled> {
        let (start, limit) = (self.host.now(), self.answer_limit().max(self.memory_limit()));
        let mut rounds = 0;
        let mut gaps = Gaps::new();
        loop {
            let (status, state) = self.status().map_err(|unread| match unread {
                Unread::Lost(error) => Unsettled::Lost(error),
                other => Unsettled::Link(other.into_link()),
            })?;
            if status.system_error() {
                return Err(Unsettled::Link(LinkError::Mute("it reports an error of its security system".into())));
            }
            match state {
                SecureState::Idle if self.quirks.direct_write && status.memory_state() == 1 => {}
                SecureState::Idle => return Ok(state),
                SecureState::Aborted if !self.quirks.reset_after_abort => return Ok(state),
                SecureState::InProgress => {}
                SecureState::Complete | SecureState::Aborted => {
                    rounds += 1;
                    if rounds > ROUNDS {
                        let text = format!("its status register stays at {status:?}");
                        return Err(Unsettled::Link(LinkError::Mute(text)));
                    }
                    if state == SecureState::Aborted || rounds > ROUNDS / 2 || !self.drop_answer(&status) {
                        self.trace.note(format_args!("the secure core is reset"));
                        self.reset_core().map_err(|error| Unsettled::Link(self.bus(error)))?;
                    }
                    continue;
                }
            }
            let waited = self.host.now().saturating_sub(start);
            if waited >= limit {
                return Err(Unsettled::Link(LinkError::NoAnswer(waited)));
            }
            self.wait(gaps.next()).map_err(Unsettled::Link)?;
        }
    }

    /// The secure mode was lost: enters it again, bringing the card up anew where that must be.
    pub(super) fn reenter(&mut self) -> Result<(), LinkError> {
        self.trace.note(format_args!("the secure command set is off: it is entered again"));
        match self.enter() {
            Ok(()) => return Ok(()),
            Err(OpenError::Bus(_) | OpenError::NotSecure(_) | OpenError::Lies { .. }) if !self.gone => {}
            Err(error) => return Err(error.into_link()),
        }
        self.bring_up().and_then(|()| self.enter()).map_err(|error| {
            self.gone |= matches!(error, OpenError::NoCard(_) | OpenError::WrongCard { .. });
            error.into_link()
        })
    }

    /// From power-on to where it takes data; it must be the card it was.
    pub(super) fn bring_up(&mut self) -> Result<(), OpenError> {
        let identity = self.host.bring_up().map_err(OpenError::from_bus)?;
        trace_cid(&self.trace, &identity.cid);
        if !same_card(&identity.cid, &self.identity.cid) {
            return Err(OpenError::WrongCard { found: identity.cid, expected: self.identity.cid });
        }
        Ok(())
    }

    /// An error of the bus as the caller of a card hears it.
    pub(super) fn bus(&self, error: BusError) -> LinkError {
        if self.gone { LinkError::Gone } else { LinkError::Bus(error) }
    }
}

impl Unread {
    /// As the caller of a card hears it, where nothing better is known.
    pub(super) fn into_link(self) -> LinkError {
        match self {
            Unread::Lost(error) | Unread::Bus(error) => LinkError::Bus(error),
            Unread::Nonsense(byte) => LinkError::Malformed(format!("state {byte:02X} in its status register")),
            Unread::Link(error) => error,
        }
    }
}

fn unread(unread: Unread) -> OpenError {
    match unread {
        Unread::Lost(error) | Unread::Bus(error) => OpenError::from_bus(error),
        other => OpenError::from_link(other.into_link(), removed),
    }
}

pub(super) fn removed() -> BusError {
    BusError {
        command: Command::new(index::SEND_PSI, 0),
        fault: BusFault::Removed,
        taken: crate::Taken::Unknown,
        seen: String::new(),
        blocks: 0,
    }
}

/// The same card; the checksum in the last byte is not compared, for some host drivers do not deliver it.
pub(super) fn same_card(a: &Cid, b: &Cid) -> bool {
    a.0[..15] == b.0[..15]
}

/// The CID with its fields in words.
pub(super) fn trace_cid(trace: &Trace, cid: &Cid) {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let (oem, product) = (text(&cid.oem()), text(&cid.product()));
    trace.register(&format_args!("CID {cid:?}: manufacturer {:02X}, OEM {oem}, product {product}", cid.manufacturer()));
}

/// How often a card is asked again before a failure is believed.
#[derive(Default)]
pub(super) struct Doubts {
    tries: u32,
    refusals: u32,
}

impl Doubts {
    /// True where `fault` need not be doubted any more. What can be damage on the wire is tried longest; a refusal must come
    /// twice in a row, for one bit of a response is enough for one.
    pub(super) fn is_final(&mut self, fault: &BusFault) -> bool {
        self.tries += 1;
        match fault {
            BusFault::Removed | BusFault::Forbidden(_) | BusFault::Io(_) => return true,
            BusFault::Illegal | BusFault::Argument | BusFault::Card | BusFault::Locked => self.refusals += 1,
            _ => self.refusals = 0,
        }
        self.refusals >= 2 || self.tries >= TRIES
    }
}
