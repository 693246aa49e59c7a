//! The card manager: knows the current application, routes commands, and serves those that are its own.
//!
//! One manager serves two sources of commands. A command from an outer *interface* needs what the standard demands of
//! it (a secure channel for card content). A command from the *card issuer* stands in the command store, was written by
//! an authenticated preparer, and runs with that authority.

mod application;
mod channel;
mod data;
mod delete;
mod files;
mod foresee;
mod install;
mod issue;
mod keys;
mod life_cycle;
mod load;
mod logical;
mod privileges;
mod record;
mod select;
mod status;
mod tries;

pub(crate) use issue::Trigger;
pub(crate) use logical::Sessions;

use crate::applet::{Applet, Runtime};
use crate::emulated::RandomSource;
use crate::memory::Memory;
use crate::privilege;
use crate::recording::CommandRecorder;
use crate::recovery::History;
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::scp::{Channel, Handshake};
use crate::settings::{self, LifeCycle, Settings};
use load::LoadSession;
use logical::Parked;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::FlashError;
use smcard_link::Answer;
use std::time::Duration;
use tries::BackOff;

/// Instruction bytes of the card manager (GlobalPlatform 2.3.1 table 11-1, and the card's own from 54 to 5E).
mod ins {
    pub(super) const INITIALIZE_UPDATE: u8 = 0x50;
    pub(super) const RENAME_FILE: u8 = 0x56;
    pub(super) const ERASE_FILE: u8 = 0x58;
    pub(super) const CLEAR: u8 = 0x5C;
    pub(super) const CONFIRM: u8 = 0x5E;
    pub(super) const MANAGE_CHANNEL: u8 = 0x70;
    pub(super) const EXTERNAL_AUTHENTICATE: u8 = 0x82;
    pub(super) const SELECT: u8 = 0xA4;
    pub(super) const GET_DATA: u8 = 0xCA;
    pub(super) const PUT_KEY: u8 = 0xD8;
    pub(super) const STORE_DATA: u8 = 0xE2;
    pub(super) const DELETE: u8 = 0xE4;
    pub(super) const INSTALL: u8 = 0xE6;
    pub(super) const LOAD: u8 = 0xE8;
    pub(super) const SET_STATUS: u8 = 0xF0;
    pub(super) const GET_STATUS: u8 = 0xF2;
}

/// Bits of the class byte that name the logical channel.
const CHANNEL_BITS: u8 = 0x03;
/// The class byte codes a channel above 3, which this card does not have.
const FURTHER_INTERINDUSTRY: u8 = 0x40;

/// Where a command comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// An outer interface.
    Interface,
    /// The card issuer, with the authority of the batch.
    Issuer,
}

/// What the manager makes of a command.
pub(crate) enum Processed {
    /// The answer goes to where the command came from.
    Answer(Answer),
    /// The answer to START goes inward: it is the issuer's trigger.
    Trigger(Trigger),
}

/// Which application gets the commands.
enum Current {
    CardManager,
    Application {
        index: u32,
        aid: Aid,
        applet: Option<Box<dyn Applet>>,
    },
    /// An application that was deleted meanwhile: nobody answers until the next SELECT.
    Deleted,
}

/// How far the secure channel is.
enum ChannelState {
    Closed,
    Handshake(Handshake),
    Open(Channel),
}

/// What lives as long as a session of one source of commands, and is lost with the power.
pub(crate) struct Context {
    current: Current,
    /// The current application is so because it is the default selected one: nobody has selected anything yet.
    implicit: bool,
    channel: ChannelState,
    load: Option<LoadSession>,
    listing: Option<status::Listing>,
    personalized: Option<u32>,
    last_selected: Option<select::Occurrence>,
    /// Version of the key set whose holder wrote the batch that this session issues from.
    authority: Option<u8>,
}

impl Context {
    /// As after power-on: the card manager is the current application, nobody is authenticated.
    pub(crate) fn new() -> Self {
        Context {
            current: Current::CardManager,
            implicit: false,
            channel: ChannelState::Closed,
            load: None,
            listing: None,
            personalized: None,
            last_selected: None,
            authority: None,
        }
    }

    /// The session of an issue, with the authority of its batch.
    pub(crate) fn of_issue(authority: u8) -> Self {
        Context { authority: Some(authority), ..Self::new() }
    }

    fn has_selected(&self, index: u32) -> bool {
        matches!(&self.current, Current::Application { index: selected, .. } if *selected == index)
    }

    /// Applications with these indices are no longer there: nothing on its way to one may reach another that gets its
    /// place.
    fn forget(&mut self, deleted: &[u32]) {
        if matches!(&self.current, Current::Application { index, .. } if deleted.contains(index)) {
            self.current = Current::Deleted;
        }
        self.personalized.take_if(|personalized| deleted.contains(personalized));
    }
}

/// The card manager.
pub(crate) struct Manager {
    pub(crate) memory: Memory,
    pub(crate) settings: Settings,
    /// The session in hand: the basic channel's, unless a command of another is being served.
    context: Context,
    parked: Parked,
    runtime: Box<dyn Runtime>,
    back_off: BackOff,
    random: RandomSource,
    /// See [`Manager::take_deleted`].
    deleted: Vec<u32>,
    recorder: CommandRecorder,
}

/// What the card finds where it is switched on.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// The shortest rest of a key set that has been tried too often.
    pub(crate) back_off: Duration,
    /// Where challenges come from.
    pub(crate) random: RandomSource,
    /// What records the commands of the interfaces.
    pub(crate) recorder: CommandRecorder,
}

impl Manager {
    /// The manager of a card that has just been switched on.
    pub(crate) fn new(
        memory: Memory,
        settings: Settings,
        runtime: Box<dyn Runtime>,
        surroundings: Surroundings,
    ) -> Self {
        let Surroundings { back_off, random, recorder } = surroundings;
        let (context, parked, back_off) = (Context::new(), Parked::default(), BackOff::new(back_off));
        let deleted = Vec::new();
        let mut manager = Manager { memory, settings, context, parked, runtime, back_off, random, deleted, recorder };
        manager.select_default();
        manager
    }

    /// The medium; everything volatile is lost: the power is off.
    pub(crate) fn into_memory(self) -> Memory {
        self.memory
    }

    /// Puts another session in hand and gives the one that was.
    pub(crate) fn swap_context(&mut self, context: Context) -> Context {
        std::mem::replace(&mut self.context, context)
    }

    /// True where the power would take nothing with it that later commands build on: no application is selected and
    /// may remember something, no personalization and no listing has begun. (A load in hand can be saved.)
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_card_manager() && self.context.personalized.is_none() && self.context.listing.is_none()
    }

    /// The life cycle state of the card.
    pub(crate) fn life_cycle(&self) -> LifeCycle {
        settings::life_cycle(&self.memory)
    }

    /// The authority of a direct write that begins now: the version of the key set whose holder is authenticated.
    ///
    /// # Errors
    /// 6982 where nobody is, 6A81 where the card is locked or terminated.
    pub(crate) fn write_authority(&self) -> Result<u8, StatusWord> {
        if matches!(self.life_cycle(), LifeCycle::CardLocked | LifeCycle::Terminated) {
            return Err(StatusWord::FUNCTION_UNSUPPORTED);
        }
        match &self.context.channel {
            ChannelState::Open(channel) => Ok(channel.key_version()),
            _ => Err(StatusWord::SECURITY_NOT_SATISFIED),
        }
    }

    /// Serves one command on the logical channel that its class byte names. Changes are accepted when it succeeds and
    /// rejected when it does not.
    ///
    /// # Errors
    /// The medium failed; the card goes mute.
    pub(crate) fn process(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Result<Processed, FlashError> {
        let number = command.cla & CHANNEL_BITS;
        if command.cla & FURTHER_INTERINDUSTRY != 0 || (number != 0 && origin == Origin::Issuer) {
            return answer(refuse(StatusWord::CHANNEL_UNSUPPORTED)).map(Processed::Answer);
        }
        let interindustry = command.cla & 0xF0 == 0x00;
        if interindustry && command.ins == ins::MANAGE_CHANNEL {
            let managed = match origin {
                Origin::Interface => self.manage_channel(number, command),
                Origin::Issuer => refuse(StatusWord::CHANNEL_UNSUPPORTED),
            };
            return answer(managed).map(Processed::Answer);
        }
        if !self.enter_channel(number) {
            return answer(refuse(StatusWord::CHANNEL_UNSUPPORTED)).map(Processed::Answer);
        }
        let processed = self.process_here(origin, &CommandApdu { cla: command.cla & !CHANNEL_BITS, ..*command });
        self.heard(origin, number, &processed);
        self.leave_channel(number);
        processed
    }

    /// Serves one command in the session in hand. The class byte names no channel any more: a C-MAC is made as on the
    /// basic channel, whichever the command goes to.
    fn process_here(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Result<Processed, FlashError> {
        if origin == Origin::Interface && self.is_own(command) && privilege::is_issue_request(command) {
            return Ok(match self.start(command) {
                Ok(trigger) => Processed::Trigger(trigger),
                Err(refusal) => Processed::Answer(answer(Err(refusal))?),
            });
        }
        let mut outcome = self.secured(origin, command);
        if let Ok(response) = &outcome {
            debug_assert!(response.sw().is_processed());
            if let Err(error) = self.memory.accept() {
                outcome = Err(error.into());
            }
        }
        if outcome.is_err() {
            self.memory.reject();
        }
        answer(outcome).map(Processed::Answer)
    }

    /// Takes the protection of the secure channel off the command and puts it on the response.
    fn secured(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        if (command.cla, command.ins, command.p1) == (0x04, ins::SELECT, select::BY_NAME) {
            return refuse(StatusWord::SECURE_MESSAGING_UNSUPPORTED);
        }
        let outside = !self.is_card_manager() || is_free_of_channel(command);
        let ChannelState::Open(channel) = &mut self.context.channel else {
            if command.cla & 0x04 != 0 && command.ins != ins::EXTERNAL_AUTHENTICATE && self.is_card_manager() {
                return refuse(StatusWord::SECURITY_NOT_SATISFIED);
            }
            return self.route(origin, command);
        };
        if outside {
            return self.route(origin, command);
        }
        let Ok(unwrapped) = channel.unwrap(command) else {
            log::info!("secure channel broken by a command below its level; closed");
            self.close_session();
            return refuse(StatusWord::SECURITY_NOT_SATISFIED);
        };
        let mut response = self.route(origin, &unwrapped.command())?;
        if let ChannelState::Open(channel) = &mut self.context.channel {
            let sw = response.sw().0;
            channel.wrap(&mut response.data, sw);
        }
        Ok(response)
    }

    fn route(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        self.hear(origin, command);
        if command.cla & 0x80 == 0 && command.cla & 0x10 != 0 {
            return refuse(StatusWord::CHAINING_UNSUPPORTED);
        }
        if (command.cla, command.ins, command.p1) == (0x00, ins::SELECT, select::BY_NAME) {
            return self.select(command);
        }
        if self.is_own(command) { self.dispatch(origin, command) } else { self.pass_to_application(command) }
    }

    /// The card manager's own commands.
    fn dispatch(&mut self, origin: Origin, command: &CommandApdu<'_>) -> Outcome {
        if self.life_cycle() == LifeCycle::Terminated && command.ins != ins::GET_DATA {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if command.ins != ins::GET_STATUS {
            self.context.listing = None;
        }
        if self.context.load.is_some() && !matches!(command.ins, ins::LOAD | ins::GET_DATA) {
            log::info!("a load was given up for instruction {:02X}", command.ins);
            self.abort_load();
        }
        match (command.cla & !0x04, command.ins) {
            (0x80 | 0x00, ins::GET_DATA) => self.get_data(command),
            (0x80, ins::INITIALIZE_UPDATE) => self.initialize_update(origin, command),
            (0x80, ins::EXTERNAL_AUTHENTICATE) => self.external_authenticate(command),
            (0x80, ins::CLEAR) => self.clear(origin, command),
            (0x80, ins::CONFIRM) => self.confirm(origin, command),
            (0x80, privilege::INS_START) => refuse(StatusWord::CONDITIONS_NOT_SATISFIED),
            (0x80, ins::GET_STATUS) => self.authorized(origin).and_then(|()| self.get_status(command)),
            (0x80, ins::ERASE_FILE) => self.authorized(origin).and_then(|()| self.erase_file(origin, command)),
            (0x80, ins::RENAME_FILE) => self.authorized(origin).and_then(|()| self.rename_file(origin, command)),
            (0x80, ins::SET_STATUS) => self.authorized(origin).and_then(|()| self.set_status(origin, command)),
            (0x80, ins::STORE_DATA) => self.content(origin).and_then(|()| self.store_data(command)),
            (0x80, ins::PUT_KEY) => self.content(origin).and_then(|()| self.put_key(origin, command)),
            (0x80, ins::DELETE) => self.content(origin).and_then(|()| self.delete(command)),
            (0x80, ins::INSTALL) => self.content(origin).and_then(|()| self.install(command)),
            (0x80, ins::LOAD) => self.content(origin).and_then(|()| self.load(command)),
            (0x80 | 0x00, _) => refuse(StatusWord::INS_UNSUPPORTED),
            _ => refuse(StatusWord::CLA_UNSUPPORTED),
        }
    }

    /// The command needs an authenticated host, or the authority of a batch.
    fn authorized(&self, origin: Origin) -> Result<(), Refusal> {
        match (origin, &self.context.channel) {
            (Origin::Issuer, _) | (Origin::Interface, ChannelState::Open(_)) => Ok(()),
            _ => refuse(StatusWord::SECURITY_NOT_SATISFIED),
        }
    }

    /// The command changes card content: besides authority it needs a card that is neither locked nor terminated, and
    /// none from outside may come between an unfinished issue and its end.
    fn content(&self, origin: Origin) -> Result<(), Refusal> {
        self.authorized(origin)?;
        if matches!(self.life_cycle(), LifeCycle::CardLocked | LifeCycle::Terminated) {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if origin == Origin::Interface && History::is_open(&self.memory) {
            log::info!("card content cannot change while an issue is unfinished: START, CLEAR or CONFIRM first");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        Ok(())
    }

    /// True where the commands of the basic channel are the card manager's own.
    pub(crate) fn is_card_manager(&self) -> bool {
        matches!(self.context.current, Current::CardManager)
    }

    /// True where a command is the card manager's: it is the current application, or another is so only by default and
    /// the command is one that an operator gives without selecting anything.
    fn is_own(&self, command: &CommandApdu<'_>) -> bool {
        self.is_card_manager() || (self.context.implicit && is_operators(command))
    }

    /// Ends the secure channel and what hangs on it.
    pub(crate) fn close_session(&mut self) {
        self.context.channel = ChannelState::Closed;
        self.context.personalized = None;
        self.abort_load();
    }
}

/// START, CLEAR, CONFIRM and the status objects.
fn is_operators(command: &CommandApdu<'_>) -> bool {
    match (command.cla, command.ins) {
        (0x80, ins::CLEAR | ins::CONFIRM) => true,
        (0x80, ins::GET_DATA) => data::is_status_object(command),
        _ => privilege::is_issue_request(command),
    }
}

/// Commands of the self-issue and the status objects need no keys and leave a secure channel alone; SELECT ends it,
/// the opening of a channel stands before it.
fn is_free_of_channel(command: &CommandApdu<'_>) -> bool {
    match (command.cla, command.ins) {
        (0x00, ins::SELECT) | (0x80, ins::CLEAR | ins::CONFIRM | ins::INITIALIZE_UPDATE) => true,
        (0x80, ins::GET_DATA) => data::is_status_object(command),
        _ => false,
    }
}

/// The answer that goes out.
fn answer(outcome: Outcome) -> Result<Answer, FlashError> {
    match outcome {
        Ok(Response { data, warning }) => Ok(Answer { data, sw: warning.unwrap_or(StatusWord::SUCCESS).0 }),
        Err(Refusal::Status(sw)) => Ok(Answer::status(sw.0)),
        Err(Refusal::Medium(error)) => Err(error),
    }
}
