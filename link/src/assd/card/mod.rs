//! A card with the secure command set, on whatever host: the [`SecureCard`] behind it.
//!
//! # Contract
//!
//! * The host's errors, the card's registers and its answers are untrusted: none of them makes the driver panic, hang
//!   beyond its limits, or allocate more than the longest token.
//! * A command goes out again only where the card has said that it did not take it. Where that cannot be found out the
//!   caller hears [`LinkError::Unknown`].
//! * The secure mode may be lost at any time. It is entered again; a command that was outstanding is [`LinkError::Unknown`].
//! * A card that is gone stays gone: after [`LinkError::Gone`] it must be opened again.

mod apdu;
mod direct;
mod enter;
mod error;
mod file;
mod memory;
mod power;
#[cfg(test)]
mod tests;
mod wire;

pub use error::OpenError;

use crate::quirks::{QuirkTable, Quirks};
use crate::sd::{Cid, Function};
use crate::{
    Answer, CardHost, CardProperties, Counters, LinkError, LinkStatus, PowerSwitch, PrivilegeKind, RecoveryKind,
    SecureCard, Trace, WriteId, assd,
};
use direct::Writes;
use power::Switch;
use std::sync::Arc;
use wire::Wire;

/// How a card is opened.
#[derive(Default)]
pub struct AssdOptions {
    /// The card that is wanted; `None` takes any. The checksum in the last byte is not compared.
    pub expected: Option<Cid>,
    /// What is known of cards.
    pub quirks: QuirkTable,
    /// Where to tell what happens.
    pub trace: Trace,
    /// The power switch of the card itself, where it has one (an emulated card has).
    pub power: Option<Arc<dyn PowerSwitch>>,
}

/// A card with the secure command set.
pub struct AssdCard {
    wire: Wire,
    properties: CardProperties,
    counters: Counters,
    /// Transactions of the host when the counters began.
    transactions: u64,
    writes: Writes,
    /// It holds privileged mode, as far as its answers tell.
    held: bool,
}

/// GET DATA of the card's own state, and how it answers: life cycle, recovery kind, privileged mode kind, session.
const GET_CARD_STATE: [u8; 5] = [0x80, 0xCA, 0xDF, 0x74, 0x00];
/// SELECT without a name: the card manager.
const SELECT_MANAGER: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];

impl AssdCard {
    /// Brings the card on `host` up, enters its secure command set and asks what sort of card it is.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(mut host: Box<dyn CardHost>, options: AssdOptions) -> Result<Self, OpenError> {
        let AssdOptions { expected, quirks, trace, power } = options;
        let identity = host.bring_up().map_err(|error| {
            trace.error(&error);
            OpenError::from_bus(error)
        })?;
        enter::trace_cid(&trace, &identity.cid);
        if let Some(expected) = expected.filter(|expected| !enter::same_card(expected, &identity.cid)) {
            return Err(OpenError::WrongCard { found: identity.cid, expected });
        }
        let quirks = quirks.find(&identity.cid);
        let mut wire = Wire {
            stop_after_write: quirks.stop_after_write,
            stop_after_read: quirks.stop_after_read,
            host,
            trace,
            quirks,
            identity,
            function: Function::Default,
            system: 0,
            properties: assd::Properties([0; assd::PSI_LENGTH]),
            form: None,
            switch: Arc::new(Switch::new(power)),
            gone: false,
        };
        wire.enter().inspect_err(|error| wire.trace.error(error))?;
        let (recovery, privilege) = kinds(&mut wire)?;
        let properties = CardProperties {
            cid: wire.identity.cid.0,
            assd_version: Some(wire.properties.version().word()),
            recovery,
            privilege,
            direct_write: wire.quirks.direct_write && wire.properties.has_protected_memory(),
            apdu_max: wire.apdu_max(),
            source: wire.host.describe(),
        };
        let transactions = wire.host.transactions();
        let counters = Counters::default();
        Ok(AssdCard { wire, properties, counters, transactions, writes: Writes::default(), held: false })
    }

    /// How this card is treated.
    #[must_use]
    pub fn quirks(&self) -> &Quirks {
        &self.wire.quirks
    }

    /// The properties register as it was read last.
    #[must_use]
    pub fn assd_properties(&self) -> assd::Properties {
        self.wire.properties
    }

    /// The host, for what goes beside the secure command set: the memory area, counters of its own.
    pub fn host(&mut self) -> &mut dyn CardHost {
        &mut *self.wire.host
    }

    fn count(&mut self, sent: usize, received: usize) {
        self.counters.exchanges += 1;
        self.counters.bytes_sent += u64::try_from(sent).unwrap_or(u64::MAX);
        self.counters.bytes_received += u64::try_from(received).unwrap_or(u64::MAX);
    }

    /// One exchange that is counted.
    fn counted(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        let answer = answer(&mut self.wire, command);
        if !matches!(answer, Err(LinkError::Length { .. })) {
            self.count(command.len(), answer.as_ref().map_or(0, |answer| answer.data.len() + 2));
        }
        answer
    }

    /// What the answer to `command` says of privileged mode.
    fn watch_privilege(&mut self, command: &[u8], answer: &Result<Answer, LinkError>) {
        match (command, answer) {
            ([0x00, 0xA4, 0x04, ..], Ok(answer)) if answer.is_success() => self.held = false,
            // A refusal of START has neither count nor success: no issue has begun.
            (start, Ok(answer)) if apdu::is_start(start) => {
                let began = answer.is_success() || answer.data.len() == 4 || answer.sw & 0xFFF0 == 0x63C0;
                self.held |= began && self.properties.privilege == PrivilegeKind::Hold;
            }
            (_, Err(LinkError::NoAnswer(_))) => self.held |= self.properties.privilege == PrivilegeKind::Hold,
            _ => {}
        }
    }

    fn restart(&mut self) -> Result<(), LinkError> {
        let bus = |error: OpenError| error.into_link();
        self.wire.trace.note(format_args!("power off and on"));
        if self.wire.host.power_cycle()? {
            self.wire.bring_up().and_then(|()| self.wire.enter()).map_err(bus)?;
        } else {
            self.wire.trace.note(format_args!("the host cannot do that: the secure core is reset"));
            if self.wire.reset_core().is_err() {
                self.wire.powered()?;
                self.wire.bring_up().and_then(|()| self.wire.enter()).map_err(bus)?;
                self.wire.reset_core().map_err(|error| self.wire.bus(error))?;
            }
        }
        self.wire.at_rest().map(drop)
    }
}

/// Sends a command and reads the answer.
fn answer(wire: &mut Wire, command: &[u8]) -> Result<Answer, LinkError> {
    let bytes = wire.exchange(command)?;
    Answer::from_bytes(&bytes).ok_or_else(|| LinkError::Malformed(format!("{} bytes", bytes.len())))
}

/// Recovery and privileged mode of the card; of one that does not tell, the kinds that promise least.
///
/// A slot and an SPI bus leave a card its power when a program ends: another application may be current, or privileged mode
/// be held. The card manager is then selected, and stays so.
fn kinds(wire: &mut Wire) -> Result<(RecoveryKind, PrivilegeKind), OpenError> {
    let removed = || enter::removed();
    let mut told = match answer(wire, &GET_CARD_STATE) {
        Ok(answer) => told_kinds(&answer),
        Err(LinkError::NoAnswer(_)) => None,
        Err(error) => return Err(OpenError::from_link(error, removed)),
    };
    if told.is_none() {
        wire.trace.note(format_args!("not the card manager's answer: it is selected"));
        answer(wire, &SELECT_MANAGER).map_err(|error| OpenError::from_link(error, removed))?;
        let asked = answer(wire, &GET_CARD_STATE).map_err(|error| OpenError::from_link(error, removed))?;
        told = told_kinds(&asked);
    }
    let Some((recovery, privilege)) = told else {
        wire.trace.note(format_args!("the card tells neither its recovery nor its privileged mode"));
        return Ok((RecoveryKind::Restart, PrivilegeKind::Auto));
    };
    let recovery = match recovery {
        1 => RecoveryKind::Command,
        2 => RecoveryKind::Function,
        _ => RecoveryKind::Restart,
    };
    Ok((recovery, if privilege == 1 { PrivilegeKind::Hold } else { PrivilegeKind::Auto }))
}

/// Recovery and privileged mode as the card's state tells them; `None`: that is no such answer.
fn told_kinds(answer: &Answer) -> Option<(u8, u8)> {
    match (answer.sw, &answer.data[..]) {
        (0x9000, &[0xDF, 0x74, 0x04, _, recovery, privilege, _]) => Some((recovery, privilege)),
        _ => None,
    }
}

impl SecureCard for AssdCard {
    fn properties(&self) -> &CardProperties {
        &self.properties
    }

    fn status(&self) -> LinkStatus {
        match self.wire.powered() {
            Err(LinkError::Gone) => LinkStatus::Gone,
            Err(_) => LinkStatus::Off,
            Ok(()) if self.held => LinkStatus::Held,
            Ok(()) => LinkStatus::Ready,
        }
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        let answer = self.counted(command);
        self.watch_privilege(command, &answer);
        answer
    }

    fn write_open(&mut self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        if self.properties.direct_write { self.direct_open(name, length) } else { self.file_open(name, length) }
    }

    fn write_chunk(&mut self, id: WriteId, chunk: &[u8]) -> Result<(), LinkError> {
        self.chunk(id, chunk)
    }

    fn write_commit(&mut self, id: WriteId) -> Result<Answer, LinkError> {
        self.commit(id)
    }

    fn write_abort(&mut self, id: WriteId) {
        self.abort(id);
    }

    fn reset(&mut self) -> Result<(), LinkError> {
        if self.wire.gone {
            return Err(LinkError::Gone);
        }
        self.wire.switch.on();
        self.writes.clear();
        self.held = false;
        let restarted = self.restart();
        if let Err(error) = &restarted {
            self.wire.trace.error(error);
            self.wire.gone |= matches!(error, LinkError::Gone);
        }
        restarted
    }

    fn counters(&self) -> Counters {
        let now = self.wire.host.transactions();
        Counters { wire_transactions: now.saturating_sub(self.transactions), ..self.counters }
    }

    fn power_switch(&self) -> Option<Arc<dyn PowerSwitch>> {
        Some(Arc::clone(&self.wire.switch) as Arc<dyn PowerSwitch>)
    }
}
