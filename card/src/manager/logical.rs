//! Logical channels 0 to 3 and MANAGE CHANNEL (GlobalPlatform 2.3.1 sections 4.2 and 11.7, ISO/IEC 7816-4).
//!
//! Each channel has a session of its own: its current application, its secure channel, its load in progress. The session
//! of the channel in use stands in the manager, the others are parked here.

use super::{Context, Current, Manager};
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::registry::{self, Application, Indexed};
use crate::settings::LifeCycle;
use smcard_batch::{CommandApdu, StatusWord};

/// Channels, the basic one included.
pub(super) const CHANNELS: usize = 4;
/// MANAGE CHANNEL closed a channel that was not open.
const ALREADY_CLOSED: StatusWord = StatusWord(0x6200);

const OPEN: u8 = 0x00;
const CLOSE: u8 = 0x80;

/// Sessions of the channels that are open and not in use. Place 0 is taken while another channel is in use.
#[derive(Default)]
pub(super) struct Parked([Option<Context>; CHANNELS]);

impl Parked {
    /// True where an open channel that is not in use has this application selected.
    pub(super) fn has_selected(&self, index: u32) -> bool {
        self.0.iter().flatten().any(|context| context.has_selected(index))
    }

    /// Applications are no more: nothing on its way to one may reach another that gets its place.
    fn forget(&mut self, deleted: &[u32]) {
        self.0.iter_mut().flatten().for_each(|context| context.forget(deleted));
    }
}

/// What belongs to one interface: the session of its basic channel, and those of the others.
pub(crate) struct Sessions {
    basic: Context,
    others: Parked,
}

impl Default for Sessions {
    /// As after power-on, before anything is selected by default.
    fn default() -> Self {
        Sessions { basic: Context::new(), others: Parked::default() }
    }
}

impl Sessions {
    /// Applications with these indices are no longer there.
    pub(crate) fn forget(&mut self, deleted: &[u32]) {
        self.basic.forget(deleted);
        self.others.forget(deleted);
    }
}

impl Manager {
    /// Puts the sessions of another interface in hand, and gives those that were.
    pub(crate) fn swap_sessions(&mut self, sessions: Sessions) -> Sessions {
        let Sessions { basic, others } = sessions;
        Sessions { basic: self.swap_context(basic), others: std::mem::replace(&mut self.parked, others) }
    }

    /// Applications with these indices are no longer there.
    pub(crate) fn forget(&mut self, deleted: &[u32]) {
        self.context.forget(deleted);
        self.parked.forget(deleted);
    }

    /// The interface in hand has its power anew.
    pub(crate) fn begin_sessions(&mut self) {
        self.swap_sessions(Sessions::default());
        self.select_default();
    }

    /// The power of the interface in hand is gone: what hangs on its sessions is given up.
    pub(crate) fn end_sessions(&mut self) {
        for number in 1..=3 {
            if self.enter_channel(number) {
                self.close_session();
                self.leave_channel(number);
            }
        }
        self.close_session();
        self.swap_sessions(Sessions::default());
    }
}

impl Manager {
    /// Puts the session of channel `number` in hand. False where it is not open.
    pub(super) fn enter_channel(&mut self, number: u8) -> bool {
        if number == 0 {
            return true;
        }
        let Some(parked) = self.parked.0.get_mut(usize::from(number)).and_then(Option::take) else { return false };
        let basic = std::mem::replace(&mut self.context, parked);
        if let Some(place) = self.parked.0.first_mut() {
            *place = Some(basic);
        }
        true
    }

    /// Back to the basic channel.
    pub(super) fn leave_channel(&mut self, number: u8) {
        let Some(basic) = self.parked.0.first_mut().and_then(Option::take) else { return };
        let used = std::mem::replace(&mut self.context, basic);
        if let Some(place) = self.parked.0.get_mut(usize::from(number)) {
            *place = Some(used);
        }
    }

    /// MANAGE CHANNEL, given on channel `number`, whose session is not in hand unless it is the basic one.
    pub(super) fn manage_channel(&mut self, number: u8, command: &CommandApdu<'_>) -> Outcome {
        if command.cla & 0x04 != 0 {
            return refuse(StatusWord::SECURE_MESSAGING_UNSUPPORTED);
        }
        if number != 0 && self.session_of(number).is_none() {
            return refuse(StatusWord::CHANNEL_UNSUPPORTED);
        }
        if !command.data.is_empty() {
            return refuse(StatusWord::WRONG_LENGTH);
        }
        match (command.p1, command.p2) {
            (OPEN, 0) if command.le.is_some() => self.open_channel(number),
            (OPEN, 0) => refuse(StatusWord::WRONG_LENGTH),
            (CLOSE, 0) if number != 0 => self.close_channel(number),
            (CLOSE, 0) => refuse(StatusWord::FUNCTION_UNSUPPORTED),
            (CLOSE, closed @ 1..=3) => self.close_channel(closed),
            _ => refuse(StatusWord::WRONG_P1_P2),
        }
    }

    fn session_of(&self, number: u8) -> Option<&Context> {
        self.parked.0.get(usize::from(number))?.as_ref()
    }

    /// A channel opened from the basic one begins with the default selected application, one opened from another channel
    /// with that channel's.
    fn open_channel(&mut self, from: u8) -> Outcome {
        if matches!(self.life_cycle(), LifeCycle::CardLocked | LifeCycle::Terminated) {
            return refuse(StatusWord::FUNCTION_UNSUPPORTED);
        }
        let free = (1_u8..).zip(self.parked.0.iter().skip(1)).find(|(_, place)| place.is_none());
        let Some((number, _)) = free else {
            log::info!("MANAGE CHANNEL: all {CHANNELS} channels are open");
            return refuse(StatusWord::FUNCTION_UNSUPPORTED);
        };
        let mut context = Context::new();
        if from == 0 {
            let found = self.default_selected();
            if let Some(found) = found.as_ref().filter(|found| self.is_selected(found.index)) {
                log::info!("MANAGE CHANNEL: {} is selected on another channel", found.entry.aid);
                return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
            }
            context.current = self.implicitly_selected(found)?;
        } else if let Some(Current::Application { aid, .. }) = self.session_of(from).map(|session| &session.current) {
            log::info!("MANAGE CHANNEL: {aid} is selected on channel {from} and cannot be on two");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if let Some(place) = self.parked.0.get_mut(usize::from(number)) {
            *place = Some(context);
        }
        Ok(Response::data(vec![number]))
    }

    fn close_channel(&mut self, number: u8) -> Outcome {
        if !self.enter_channel(number) {
            return Ok(Response { data: Vec::new(), warning: Some(ALREADY_CLOSED) });
        }
        self.close_session();
        self.leave_channel(number);
        if let Some(place) = self.parked.0.get_mut(usize::from(number)) {
            *place = None;
        }
        Ok(Response::default())
    }

    /// True where this application is selected on any channel.
    fn is_selected(&self, index: u32) -> bool {
        self.context.has_selected(index) || self.parked.has_selected(index)
    }

    /// The application with the default selected privilege, where it can be selected now.
    fn default_selected(&self) -> Option<Indexed<Application>> {
        if matches!(self.life_cycle(), LifeCycle::CardLocked | LifeCycle::Terminated) {
            return None;
        }
        let mut applications = registry::applications(&self.memory).into_iter();
        applications.find(|found| found.entry.is_default_selected() && self.is_selectable(found))
    }

    /// What is selected without a SELECT: `found`, or the card manager where there is none or it does not want to be.
    fn implicitly_selected(&mut self, found: Option<Indexed<Application>>) -> Result<Current, Refusal> {
        let Some(found) = found else { return Ok(Current::CardManager) };
        let mut applet = self.code_of(&found.entry);
        if let Some(applet) = &mut applet {
            if applet.select(&mut self.data_of(found.index)).is_err() {
                self.memory.reject();
                return Ok(Current::CardManager);
            }
            self.memory.accept()?;
        }
        Ok(Current::Application { index: found.index, aid: found.entry.aid, applet })
    }

    /// Power-on: the default selected application is current on the basic channel, without anybody's SELECT.
    pub(super) fn select_default(&mut self) {
        match self.implicitly_selected(self.default_selected()) {
            Ok(current) => {
                self.context.implicit = matches!(current, Current::Application { .. });
                self.context.current = current;
            }
            Err(refusal) => log::warn!("the default selected application is not selected: {refusal:?}"),
        }
    }
}
