//! INSTALL (GlobalPlatform 2.3.1 section 11.5): for load, for install, for make selectable, for personalization.

use super::load::LoadSession;
use super::{Manager, privileges};
use crate::refusal::{Outcome, Response, refuse};
use crate::registry::{self, Application, card_manager};
use crate::tlv;
use smcard_batch::aid::Aid;
use smcard_batch::{CommandApdu, StatusWord};

const FOR_LOAD: u8 = 0x02;
const FOR_INSTALL: u8 = 0x04;
const FOR_MAKE_SELECTABLE: u8 = 0x08;
const FOR_INSTALL_AND_MAKE_SELECTABLE: u8 = FOR_INSTALL | FOR_MAKE_SELECTABLE;
const FOR_PERSONALIZATION: u8 = 0x20;

/// The fields of an INSTALL, each behind its length.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next field, behind a length of one byte or in BER form (parameters may pass 127 bytes).
    fn next(&mut self) -> Result<&'a [u8], StatusWord> {
        let (&first, rest) = self.0.split_first().ok_or(StatusWord::WRONG_DATA)?;
        let (length, rest) = match (first, rest) {
            (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
            (0x82, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (0..=0x80, rest) => (usize::from(first), rest),
            _ => return Err(StatusWord::WRONG_DATA),
        };
        let (field, rest) = rest.split_at_checked(length).ok_or(StatusWord::WRONG_DATA)?;
        self.0 = rest;
        Ok(field)
    }

    fn aid(&mut self) -> Result<Aid, StatusWord> {
        Aid::new(self.next()?).or(Err(StatusWord::WRONG_DATA))
    }

    fn empty(&mut self) -> Result<(), StatusWord> {
        if self.next()?.is_empty() { Ok(()) } else { Err(StatusWord::WRONG_DATA) }
    }

    /// Tokens belong to delegated management, which this card does not have.
    fn token_and_end(mut self) -> Result<(), StatusWord> {
        self.empty()?;
        if self.0.is_empty() { Ok(()) } else { Err(StatusWord::WRONG_DATA) }
    }
}

/// The response data of a successful INSTALL: no confirmation.
fn no_confirmation() -> Outcome {
    Ok(Response::data(vec![0x00]))
}

impl Manager {
    pub(super) fn install(&mut self, command: &CommandApdu<'_>) -> Outcome {
        if command.p2 != 0 {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let fields = Fields(command.data);
        match command.p1 {
            FOR_LOAD => self.install_for_load(fields),
            FOR_INSTALL => self.install_for_install(fields, Application::INSTALLED),
            FOR_INSTALL_AND_MAKE_SELECTABLE => self.install_for_install(fields, Application::SELECTABLE),
            FOR_MAKE_SELECTABLE => self.make_selectable(fields),
            FOR_PERSONALIZATION => self.install_for_personalization(fields),
            _ => refuse(StatusWord::WRONG_P1_P2),
        }
    }

    /// Load file AID, security domain, hash, parameters, token (table 11-41).
    fn install_for_load(&mut self, mut fields: Fields<'_>) -> Outcome {
        let aid = fields.aid()?;
        let domain = fields.next()?;
        if !domain.is_empty() && !registry::is_card_manager(domain) {
            let named = Aid::new(domain).map_or_else(|_| format!("{} bytes", domain.len()), |aid| aid.to_string());
            log::info!("INSTALL [for load]: no security domain {named} on the card");
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        }
        let _hash = fields.next()?;
        let _parameters = fields.next()?;
        fields.token_and_end()?;
        if registry::is_taken(&self.memory, &aid) {
            log::info!("INSTALL [for load]: AID {aid} is already on the card");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        self.context.load = Some(LoadSession::new(aid, card_manager()));
        no_confirmation()
    }

    /// Load file AID, module AID, application AID, privileges, parameters, token (table 11-43).
    fn install_for_install(&mut self, mut fields: Fields<'_>, state: u8) -> Outcome {
        let (load_file, module, instance) = (fields.aid()?, fields.aid()?, fields.aid()?);
        let privileges = privileges::read(fields.next()?)?;
        let parameters = application_parameters(fields.next()?)?;
        fields.token_and_end()?;
        self.check_privileges(&instance, privileges)?;

        let Some(file) = registry::load_file(&self.memory, &load_file) else {
            log::info!("INSTALL [for install]: no load file {load_file} on the card");
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        };
        if !file.entry.modules.contains(&module) {
            log::info!("INSTALL [for install]: load file {load_file} has no module {module}");
            return refuse(StatusWord::REFERENCE_NOT_FOUND);
        }
        if registry::is_taken(&self.memory, &instance) && instance != load_file && instance != module {
            log::info!("INSTALL [for install]: AID {instance} is already on the card");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if registry::application(&self.memory, &instance).is_some() {
            log::info!("INSTALL [for install]: application {instance} is already on the card");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let application =
            Application { aid: instance, load_file, module, domain: card_manager(), privileges, state, locked: false };
        let index = registry::add_application(&mut self.memory, &application);
        if let Some(mut applet) = self.code_of(&application) {
            applet.install(&mut self.data_of(index), parameters)?;
        }
        no_confirmation()
    }

    /// Two empty fields, application AID, privileges, parameters, token (table 11-44). Of the privileges only "default
    /// selected" can still be given here; the others are those of INSTALL [for install].
    fn make_selectable(&mut self, mut fields: Fields<'_>) -> Outcome {
        fields.empty()?;
        fields.empty()?;
        let aid = fields.aid()?;
        let added = privileges::read(fields.next()?)?;
        let _parameters = fields.next()?;
        fields.token_and_end()?;
        let found = registry::application(&self.memory, &aid).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        if found.entry.state != Application::INSTALLED {
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let mut privileges = found.entry.privileges;
        privileges[0] |= added[0] & Application::DEFAULT_SELECTED;
        self.check_privileges(&aid, privileges)?;
        let changed = Application { state: Application::SELECTABLE, privileges, ..found.entry };
        registry::update_application(&mut self.memory, found.index, &changed);
        no_confirmation()
    }

    /// Two empty fields, application AID, three empty fields (table 11-48). STORE DATA goes to that application next.
    fn install_for_personalization(&mut self, mut fields: Fields<'_>) -> Outcome {
        fields.empty()?;
        fields.empty()?;
        let aid = fields.aid()?;
        fields.empty()?;
        fields.empty()?;
        fields.token_and_end()?;
        let found = registry::application(&self.memory, &aid).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        self.context.personalized = Some(found.index);
        no_confirmation()
    }
}

/// The content of C9 among the install parameters; system parameters (EF) are read over.
fn application_parameters(field: &[u8]) -> Result<&[u8], StatusWord> {
    let objects = tlv::all(field).ok_or(StatusWord::WRONG_DATA)?;
    let found = objects.into_iter().find(|(tag, _)| *tag == 0xC9);
    Ok(found.map_or(&[], |(_, value)| value))
}
