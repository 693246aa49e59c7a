//! The self-issue manager (system S5.1): knows when to select, authenticate and start, and reads what comes back.
//!
//! It owns the card through its [`Sender`] and lives on the card thread; every call blocks until the card has answered.

use super::generator::{self, CardData, Target};
use super::inventory::{self, CardInfo, Content, IssueRecord, Listing, Memory, StoredFile};
use super::receiver::{IssueResult, issue_result};
use super::sender::Sender;
use super::session::{self, Attempt, KeyRing};
use crate::refusal::Refusal;
use smcard_batch::{ApduError, Fault, StatusWord};
use smcard_card::scp03::SecurityLevel;
use smcard_ioctl::FailureFormat;
use smcard_link::{Answer, LinkError, PrivilegeKind, SecureCard, WriteId};

/// Kinds of card content that GET STATUS knows: issuer security domain, applications, load files.
pub const CONTENT_KINDS: [u8; 3] = [0x80, 0x40, 0x20];
/// Most answers that are taken for one list; a card that always has more is not followed for ever.
const ANSWERS_MAX: usize = 256;

/// The self-issue manager of one card.
#[derive(Debug)]
pub struct Manager {
    sender: Sender,
    ring: Option<KeyRing>,
    auto: bool,
    refused: Option<String>,
}

impl Manager {
    /// Takes over a card that has just been powered on. With `auto` a channel is opened when an operation needs one.
    #[must_use]
    pub fn new(card: Box<dyn SecureCard>, ring: Option<KeyRing>, auto: bool) -> Self {
        Manager { sender: Sender::new(card), ring, auto, refused: None }
    }

    /// The sender, for what needs no manager.
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The sender, for a program's own commands.
    pub fn sender_mut(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// Why no channel is opened by itself, where that is so.
    #[must_use]
    pub fn no_channel(&self) -> Option<String> {
        match (&self.refused, &self.ring) {
            (Some(text), _) => Some(text.clone()),
            (None, None) => Some("no keys are configured".into()),
            (None, Some(_)) if !self.auto => Some("the configuration leaves it to AUTHENTICATE".into()),
            (None, Some(_)) => None,
        }
    }

    /// Another card has come: it has refused nothing yet.
    pub fn another_card(&mut self) {
        self.refused = None;
    }

    /// Exchanges with the card since the link was opened.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.sender.counters().exchanges
    }

    /// Tries once to open a channel because somebody asked for it. `None` where there are no keys.
    ///
    /// # Errors
    /// Transport only.
    pub fn authenticate(
        &mut self,
        level: Option<SecurityLevel>,
        version: Option<u8>,
    ) -> Result<Option<Attempt>, LinkError> {
        let Some(ring) = &self.ring else { return Ok(None) };
        let attempt = session::open(&mut self.sender, ring, level, version)?;
        match &attempt {
            Attempt::Opened => {
                self.refused = None;
                log::info!("secure channel open, level {:02X}", self.sender.level());
            }
            Attempt::Refused { text, .. } => {
                log::error!("authentication: {text}; not tried again until AUTHENTICATE asks for it");
                self.refused = Some(text.clone());
            }
        }
        Ok(Some(attempt))
    }

    /// Makes sure that a channel is open; opens one where that is allowed and has not been refused before.
    ///
    /// # Errors
    /// [`Refusal::NotAuthenticated`] with the reason; transport.
    pub fn ensure_channel(&mut self) -> Result<(), Refusal> {
        self.sender.select_if_needed()?;
        if self.sender.is_open() {
            return Ok(());
        }
        if let Some(reason) = self.no_channel() {
            return Err(Refusal::NotAuthenticated(reason));
        }
        match self.authenticate(None, None)? {
            Some(Attempt::Refused { text, .. }) => Err(Refusal::NotAuthenticated(text)),
            _ => Ok(()),
        }
    }

    /// Sends a command through the channel; where the card has lost it, opens it once more.
    fn secured(&mut self, command: &[u8]) -> Result<Answer, Refusal> {
        self.ensure_channel()?;
        let answer = self.sender.secured(command)?;
        if answer.sw != StatusWord::SECURITY_NOT_SATISFIED.0 {
            return Ok(answer);
        }
        self.sender.close_channel();
        self.ensure_channel()?;
        Ok(self.sender.secured(command)?)
    }

    /// Opens the direct write of a file.
    ///
    /// # Errors
    /// Not authenticated, no room, too many at once, what else the card says, transport.
    pub fn write_open(&mut self, name: &[u8], length: u32) -> Result<WriteId, Refusal> {
        self.ensure_channel()?;
        let refusal = match self.sender.write_open(name, length)? {
            Ok(id) => return Ok(id),
            Err(answer) => answer,
        };
        if refusal.sw != StatusWord::SECURITY_NOT_SATISFIED.0 {
            return Err(upload_refusal(&refusal, length));
        }
        self.sender.close_channel();
        self.ensure_channel()?;
        self.sender.write_open(name, length)?.map_err(|answer| upload_refusal(&answer, length))
    }

    /// Streams the next bytes of a direct write.
    ///
    /// # Errors
    /// Transport; a write the card has forgotten.
    pub fn write_chunk(&mut self, id: WriteId, chunk: &[u8]) -> Result<(), Refusal> {
        Ok(self.sender.write_chunk(id, chunk)?)
    }

    /// Ends a direct write of `length` bytes: the file's identifier.
    ///
    /// # Errors
    /// The fault the card found, no room, transport. Nothing of the file stays then.
    pub fn write_commit(&mut self, id: WriteId, length: u32) -> Result<u16, Refusal> {
        let answer = self.sender.write_commit(id)?;
        if !answer.is_success() {
            return Err(upload_refusal(&answer, length));
        }
        let id = answer.data.as_slice().try_into().map(u16::from_be_bytes);
        id.map_err(|_| LinkError::Malformed(format!("file identifier of {} bytes", answer.data.len())).into())
    }

    /// Gives up a direct write.
    pub fn write_abort(&mut self, id: WriteId) {
        self.sender.write_abort(id);
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Not authenticated, the card's refusal, transport.
    pub fn erase(&mut self, id: u16) -> Result<(), Refusal> {
        let answer = self.secured(&encoded(generator::erase(id))?)?;
        expect_success(&answer, "ERASE FILE")
    }

    /// Renames a file; with `replace` an existing file of that name gives way.
    ///
    /// # Errors
    /// Not authenticated, the card's refusal, transport.
    pub fn rename(&mut self, id: u16, name: &[u8], replace: bool) -> Result<(), Refusal> {
        let answer = self.secured(&encoded(generator::rename(id, name, replace))?)?;
        expect_success(&answer, "RENAME FILE")
    }

    /// Lets the card issue itself. One exchange where the card manager is current. `total` is the number of commands in
    /// the batch, 0 where it is not known.
    ///
    /// # Errors
    /// Transport only; the card's refusal and the failed issue are in the result.
    pub fn start(
        &mut self,
        target: &Target,
        format: FailureFormat,
        total: u32,
    ) -> Result<(IssueResult, Answer), LinkError> {
        let command = generator::start(target, format).map_err(|error| LinkError::Malformed(error.to_string()))?;
        let answer = self.sender.start(&command, total)?;
        if self.sender.properties().privilege == PrivilegeKind::Hold {
            // Privileged mode is held: until the card manager is selected again nothing is answered.
            self.sender.forget();
        }
        Ok((issue_result(&answer, format, total), answer))
    }

    /// Removes what an unfinished issue has written.
    ///
    /// # Errors
    /// Transport only.
    pub fn clear(&mut self) -> Result<Answer, LinkError> {
        self.sender.plain(&generator::clear())
    }

    /// Makes a card that asked for it usable.
    ///
    /// # Errors
    /// Transport only.
    pub fn confirm(&mut self) -> Result<Answer, LinkError> {
        self.sender.plain(&generator::confirm())
    }

    /// The file management table.
    ///
    /// # Errors
    /// The card's refusal, transport.
    pub fn files(&mut self) -> Result<Listing<StoredFile>, Refusal> {
        Ok(inventory::files(&self.question(CardData::Files, "list of its files")?))
    }

    /// Where the last issue stands.
    ///
    /// # Errors
    /// The card's refusal, a malformed answer, transport.
    pub fn issue(&mut self) -> Result<IssueRecord, Refusal> {
        let data = self.question(CardData::Issue, "state of the last issue")?;
        inventory::issue(&data).ok_or_else(|| malformed("state of the last issue"))
    }

    /// The figures of protected memory.
    ///
    /// # Errors
    /// The card's refusal, a malformed answer, transport.
    pub fn memory(&mut self) -> Result<Memory, Refusal> {
        let data = self.question(CardData::Memory, "figures of its memory")?;
        inventory::memory(&data).ok_or_else(|| malformed("figures of its memory"))
    }

    /// The card's own state.
    ///
    /// # Errors
    /// The card's refusal, a malformed answer, transport.
    pub fn card(&mut self) -> Result<CardInfo, Refusal> {
        let data = self.question(CardData::Card, "life cycle")?;
        inventory::card(&data).ok_or_else(|| malformed("life cycle"))
    }

    /// Everything of one kind of card content.
    ///
    /// # Errors
    /// Not authenticated, the card's refusal, transport.
    pub fn contents(&mut self, kind: u8) -> Result<Listing<Content>, Refusal> {
        let mut all = Listing::default();
        for round in 0..ANSWERS_MAX {
            let answer = self.secured(&encoded(generator::get_status(kind, round > 0))?)?;
            let sw = StatusWord(answer.sw);
            if sw == StatusWord::REFERENCE_NOT_FOUND {
                break;
            }
            if sw != StatusWord::MORE_DATA {
                expect_success(&answer, "GET STATUS")?;
            }
            let listing = inventory::contents(&answer.data);
            all.left_out += listing.left_out;
            all.entries.extend(listing.entries);
            if sw != StatusWord::MORE_DATA || all.entries.len() >= inventory::ENTRIES_MAX {
                break;
            }
        }
        Ok(all)
    }

    fn question(&mut self, what: CardData, words: &'static str) -> Result<Vec<u8>, Refusal> {
        let answer = self.sender.plain(&encoded(generator::get_data(what))?)?;
        expect_success(&answer, "a question")?;
        inventory::data_object(what.tag(), &answer.data).ok_or_else(|| malformed(words))
    }
}

fn expect_success(answer: &Answer, operation: &'static str) -> Result<(), Refusal> {
    if answer.is_success() { Ok(()) } else { Err(Refusal::Card { operation, sw: StatusWord(answer.sw) }) }
}

fn encoded(command: Result<Vec<u8>, ApduError>) -> Result<Vec<u8>, Refusal> {
    command.map_err(|_| Refusal::NameTooLong)
}

fn malformed(what: &str) -> Refusal {
    LinkError::Malformed(format!("its answer about the {what} makes no sense")).into()
}

/// What the card's refusal of a direct write means to the writer.
fn upload_refusal(answer: &Answer, length: u32) -> Refusal {
    let sw = StatusWord(answer.sw);
    match sw {
        StatusWord::NOT_ENOUGH_MEMORY => Refusal::Full(u64::from(length)),
        StatusWord::CONDITIONS_NOT_SATISFIED => Refusal::TooManyUploads,
        StatusWord::SECURITY_NOT_SATISFIED => Refusal::NotAuthenticated("the card lost the secure channel".into()),
        StatusWord::WRONG_DATA => match Fault::decode(&answer.data) {
            Some(fault) => Refusal::Fault(fault),
            None => Refusal::Card { operation: "the file", sw },
        },
        _ => Refusal::Card { operation: "the direct write", sw },
    }
}
