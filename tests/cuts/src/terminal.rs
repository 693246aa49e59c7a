//! A terminal with a card on a simulated medium: the card's own commands, and nothing else.

use crate::apdu;
use crate::medium::Lender;
use smcard_batch::CommandApdu;
use smcard_card::applet::{Resident, Runtime};
use smcard_card::scp03::{HostHandshake, HostSession, SecurityLevel, StaticKeys};
use smcard_card::{EmulatedCard, ImageError, OpenOptions};
use smcard_flash::FlashError;
use smcard_flash::sim::{Fault, Simulator};
use smcard_link::{Answer, LinkError, SecureCard};
use std::time::Duration;

/// A card that is switched on, and who talks to it.
pub struct Terminal {
    card: EmulatedCard,
    lender: Lender,
    session: Option<HostSession>,
}

/// A card that did not come up.
pub struct Refused {
    /// The medium.
    pub simulator: Simulator,
    /// Why.
    pub error: ImageError,
}

impl Refused {
    /// Whether it was a failure of the medium, and no verdict on the image.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self.error, ImageError::Flash(FlashError::Medium { .. }))
    }
}

/// Why an exchange has no answer.
#[derive(Debug)]
pub enum Silence {
    /// The card went mute, as it must after a failure of its medium.
    Mute,
    /// Something else.
    Wrong(String),
}

impl From<LinkError> for Silence {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Mute(_) => Silence::Mute,
            other => Silence::Wrong(format!("the link says: {other}")),
        }
    }
}

impl Terminal {
    /// Switches a card on.
    ///
    /// # Errors
    /// The card does not come up; the medium comes back.
    pub fn open(simulator: Simulator) -> Result<Self, Box<Refused>> {
        let (lender, lent) = Lender::lend(simulator);
        let runtime = || Box::new(Resident::standard()) as Box<dyn Runtime>;
        // A cut in an authentication costs a try; time does not pass here, so nothing rests.
        let back_off = Duration::ZERO;
        let options = OpenOptions { runtime: Box::new(runtime), back_off, ..OpenOptions::default() };
        match EmulatedCard::on_medium(Box::new(lent), String::new(), options) {
            Ok(card) => Ok(Terminal { card, lender, session: None }),
            Err(error) => {
                let simulator = lender.take_back().unwrap_or_else(|| Simulator::from_bytes(Vec::new()));
                Err(Box::new(Refused { simulator, error }))
            }
        }
    }

    /// Takes the card away, as it is: nothing more is written.
    ///
    /// # Panics
    /// If something else still holds the medium.
    #[must_use]
    pub fn close(self) -> Simulator {
        let Terminal { card, lender, .. } = self;
        drop(card);
        lender.take_back().expect("nobody else holds the card")
    }

    /// One command, one answer.
    ///
    /// # Errors
    /// No answer.
    pub fn send(&mut self, command: &[u8]) -> Result<Answer, Silence> {
        if command.starts_with(&[0x00, 0xA4, 0x04]) {
            self.session = None;
        }
        Ok(self.card.transmit(command)?)
    }

    /// Whether a session is open.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Opens a session with the factory's keys, level 03.
    ///
    /// # Errors
    /// No answer, or one that does not lead to a session.
    pub fn authenticate(&mut self) -> Result<(), Silence> {
        self.send(&apdu::select(apdu::CARD_MANAGER))?;
        let wrong = |what: &str| Silence::Wrong(format!("no session: {what}"));
        let (handshake, command) = HostHandshake::begin(0, [0x5A; 8]);
        let answer = self.send(&command)?;
        let level = SecurityLevel::from_p1(0x03).ok_or_else(|| wrong("level"))?;
        let finished = handshake.finish(&StaticKeys::test(), level, &answer.data);
        let (session, command) = finished.map_err(|error| wrong(&error.to_string()))?;
        if self.send(&command)?.sw != 0x9000 {
            return Err(wrong("EXTERNAL AUTHENTICATE"));
        }
        self.session = Some(session);
        Ok(())
    }

    /// One command through the session.
    ///
    /// # Errors
    /// No answer, or no session.
    pub fn send_secured(&mut self, command: &[u8]) -> Result<Answer, Silence> {
        let wrong = |error: String| Silence::Wrong(error);
        let command = CommandApdu::parse(command).map_err(|error| wrong(error.to_string()))?;
        let session = self.session.as_mut().ok_or_else(|| wrong("no session".to_owned()))?;
        let wrapped = session.wrap(&command).map_err(|error| wrong(error.to_string()))?;
        let answer = self.card.transmit(&wrapped)?;
        self.session
            .as_mut()
            .map_or(Ok(answer.clone()), |session| session.unwrap(answer))
            .map_err(|e| wrong(e.to_string()))
    }

    /// Opens a direct write and streams a file, all but its end.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn stream(&mut self, name: &str, file: &[u8]) -> Result<smcard_link::WriteId, Silence> {
        let length = u32::try_from(file.len()).unwrap_or(u32::MAX);
        let opened = self.card.write_open(name.as_bytes(), length)?;
        let id = opened.map_err(|answer| Silence::Wrong(format!("direct write refused: {:04X}", answer.sw)))?;
        for chunk in file.chunks(1500) {
            self.card.write_chunk(id, chunk)?;
        }
        Ok(id)
    }

    /// Ends a direct write.
    ///
    /// # Errors
    /// No answer.
    pub fn commit(&mut self, id: smcard_link::WriteId) -> Result<Answer, Silence> {
        Ok(self.card.write_commit(id)?)
    }

    /// The host serves the medium again, or fails once more.
    pub fn revive(&self, fault: Option<Fault>) {
        self.lender.revive(fault);
    }

    /// Power off and on, without taking the medium away.
    ///
    /// # Errors
    /// The card stays mute, or worse.
    pub fn reset(&mut self) -> Result<(), Silence> {
        self.session = None;
        Ok(self.card.reset()?)
    }
}
