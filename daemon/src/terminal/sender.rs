//! The command sender (system S5.1): one card, one command at a time.
//!
//! Knows what must be known to send: which application the card's basic channel has selected, and the secure channel.
//! After a failure of the link neither is certain any more, so both are given up.

use super::generator;
use super::watchdog::{Limits, Watchdog};
use crate::presence::Absent;
use smcard_batch::CommandApdu;
use smcard_card::scp03::HostSession;
use smcard_link::{Answer, CardProperties, Counters, LinkError, LinkStatus, PowerSwitch, SecureCard, WriteId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which application gets the next command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Current {
    /// The card manager, as after power-on.
    Manager,
    /// Another one, or it is not certain.
    Unknown,
}

/// Sends commands to the one card it owns.
pub struct Sender {
    card: Box<dyn SecureCard>,
    current: Current,
    channel: Option<HostSession>,
    gone: bool,
    watchdog: Option<Watchdog>,
    limits: Limits,
    /// What went over the link with cards before this one.
    before: Counters,
}

impl Sender {
    /// A sender for a card that has just been powered on.
    #[must_use]
    pub fn new(card: Box<dyn SecureCard>) -> Self {
        let watchdog = card.power_switch().map(Watchdog::new);
        let (limits, before) = (Limits::default(), Counters::default());
        Sender { card, current: Current::Manager, channel: None, gone: false, watchdog, limits, before }
    }

    /// What does not change while the card is in place.
    #[must_use]
    pub fn properties(&self) -> &CardProperties {
        self.card.properties()
    }

    /// Sets how long the card may take.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How the card stands, without an exchange.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        self.card.status()
    }

    /// What went over the link since the first card was there.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let (before, now) = (self.before, self.card.counters());
        Counters {
            exchanges: before.exchanges + now.exchanges,
            bytes_sent: before.bytes_sent + now.bytes_sent,
            bytes_received: before.bytes_received + now.bytes_received,
            wire_transactions: before.wire_transactions + now.wire_transactions,
        }
    }

    /// The card has been seen to be gone.
    pub fn lost(&mut self) {
        self.forget();
        self.gone = true;
    }

    /// Lets go of a card that is gone.
    pub fn put_away(&mut self) {
        let absent = Absent(self.properties().clone());
        self.insert(Box::new(absent));
        self.lost();
    }

    /// Takes over a card that has just been powered on, in the place of the one before.
    pub fn insert(&mut self, card: Box<dyn SecureCard>) {
        self.before = self.counters();
        self.watchdog = card.power_switch().map(Watchdog::new);
        self.card = card;
        self.forget();
        (self.current, self.gone) = (Current::Manager, false);
    }

    /// The power switch, where the card has one.
    #[must_use]
    pub fn power_switch(&self) -> Option<Arc<dyn PowerSwitch>> {
        self.card.power_switch()
    }

    /// Security level of the open channel; 0 = none.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.channel.as_ref().map_or(0, |channel| channel.level().p1())
    }

    /// True while a secure channel is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.channel.is_some()
    }

    /// True after [`LinkError::Gone`], until the card has answered again.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Sends a command to the card manager in the clear; selects it first where another application may be current.
    ///
    /// # Errors
    /// Transport only.
    pub fn plain(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        self.select_if_needed()?;
        self.transmit(command)
    }

    /// As [`Sender::plain`] for START of a batch of `commands` (0 = not known): the time limit grows with them.
    ///
    /// # Errors
    /// Transport only.
    pub fn start(&mut self, command: &[u8], commands: u32) -> Result<Answer, LinkError> {
        self.select_if_needed()?;
        self.transmit_within(command, self.limits.issue(commands))
    }

    /// Sends a command to the card manager through the secure channel.
    ///
    /// # Errors
    /// Transport; a missing channel or an answer that is not the card's is [`LinkError::Malformed`] and closes it.
    pub fn secured(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        let Some(channel) = self.channel.as_mut() else {
            return Err(LinkError::Malformed("no secure channel".into()));
        };
        let malformed = |error: &dyn fmt::Display| LinkError::Malformed(error.to_string());
        let parsed = CommandApdu::parse(command).map_err(|error| malformed(&error))?;
        let wrapped = channel.wrap(&parsed).map_err(|error| malformed(&error))?;
        let answer = self.transmit(&wrapped)?;
        let unwrapped = match self.channel.as_mut() {
            Some(channel) => channel.unwrap(answer),
            None => Ok(answer),
        };
        unwrapped.map_err(|error| {
            self.close_channel();
            malformed(&error)
        })
    }

    /// Sends a program's own command to whatever application is current. The secure channel is the daemon's and takes
    /// no part in it.
    ///
    /// # Errors
    /// Transport only.
    pub fn raw(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        self.close_channel();
        if command.get(1).is_none_or(|ins| *ins == 0xA4) {
            self.current = Current::Unknown;
        }
        self.transmit(command)
    }

    /// After this another application, or none, may be current; the channel is lost.
    pub fn forget(&mut self) {
        self.current = Current::Unknown;
        self.close_channel();
    }

    /// Selects the card manager where it may not be current. That ends a secure channel on the card's side.
    ///
    /// # Errors
    /// Transport; a card manager that refuses to be selected is [`LinkError::Malformed`].
    pub fn select_if_needed(&mut self) -> Result<(), LinkError> {
        if self.current == Current::Manager {
            return Ok(());
        }
        self.close_channel();
        let answer = self.transmit(&generator::select_manager())?;
        // 6283: selected, but the card is locked.
        if !answer.is_success() && answer.sw != 0x6283 {
            return Err(LinkError::Malformed(format!("SELECT of the card manager answered {:04x}", answer.sw)));
        }
        self.current = Current::Manager;
        Ok(())
    }

    /// Takes over a channel that the card has agreed to.
    pub fn open_channel(&mut self, channel: HostSession) {
        self.channel = Some(channel);
    }

    /// Gives the channel up on this side.
    pub fn close_channel(&mut self) {
        self.channel = None;
    }

    /// Power off and on: the card manager is current, no channel is open.
    ///
    /// # Errors
    /// No card comes back, or its medium has failed.
    pub fn reset(&mut self) -> Result<(), LinkError> {
        let reset = self.card.reset();
        self.forget();
        self.checked(reset)?;
        self.current = Current::Manager;
        Ok(())
    }

    /// Opens a direct write; the refusal of the card is inside.
    ///
    /// # Errors
    /// Transport only.
    pub fn write_open(&mut self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        let opened = self.card.write_open(name, length);
        self.checked(opened)
    }

    /// Streams the next bytes of a direct write.
    ///
    /// # Errors
    /// Transport; an unknown write.
    pub fn write_chunk(&mut self, id: WriteId, chunk: &[u8]) -> Result<(), LinkError> {
        // A write the card has forgotten says nothing about the channel: it is kept.
        self.card.write_chunk(id, chunk)
    }

    /// Ends a direct write.
    ///
    /// # Errors
    /// Transport only.
    pub fn write_commit(&mut self, id: WriteId) -> Result<Answer, LinkError> {
        let answer = self.card.write_commit(id);
        self.checked(answer)
    }

    /// Gives up a direct write.
    pub fn write_abort(&mut self, id: WriteId) {
        self.card.write_abort(id);
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        self.transmit_within(command, self.limits.answer)
    }

    fn transmit_within(&mut self, command: &[u8], limit: Duration) -> Result<Answer, LinkError> {
        let (card, mut late) = (&mut self.card, false);
        let mut answer = match &self.watchdog {
            None => card.transmit(command),
            Some(watchdog) => {
                let (answer, bitten) = watchdog.watch(limit, || card.transmit(command));
                late = bitten;
                answer
            }
        };
        if late && matches!(answer, Err(LinkError::PowerCut)) {
            answer = Err(LinkError::NoAnswer(limit));
        }
        let answer = self.checked(answer)?;
        if late {
            // It came just when its time was up: it counts, but the card is off.
            if let Err(error) = self.reset() {
                log::warn!("power off and on: {error}");
            }
        }
        Ok(answer)
    }

    fn checked<T>(&mut self, result: Result<T, LinkError>) -> Result<T, LinkError> {
        match &result {
            Ok(_) => self.gone = false,
            Err(error) => {
                self.gone = matches!(error, LinkError::Gone);
                self.forget();
            }
        }
        result
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender to {}, {:?}, level {:02X}", self.properties().source, self.current, self.level())
    }
}
