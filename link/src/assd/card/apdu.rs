//! One APDU: token to the card, polls, token from the card (`docs/ASSD.md` section 3).
//!
//! The rule above all: a command goes out again only where the card has said that it did not take it.

use super::enter::Unsettled;
use super::wire::{Gaps, Unread, Wire};
use crate::assd::{APDU_MAX, BLOCK, CHECKED, CHECKSUM, Checksum, SecureState, Status, blocks_of, error, read_token};
use crate::assd::{TOKEN_MIN, write_token};
use crate::quirks::Stop;
use crate::sd::{Command, index};
use crate::{BusError, BusFault, Data, LinkError, Taken};
use std::time::Duration;
use zeroize::Zeroizing;

/// How often the secure mode is entered again for one command.
const REENTRIES: u32 = 3;

/// How often an answer is asked for again of a card that gives it again: nothing is lost by it.
const REREADS: u32 = 32;

/// How long an issue may take. It is as long as its batch, which only the caller knows: who waits less cuts the power.
const ISSUE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// True for START, which makes the card issue itself.
pub(super) fn is_start(command: &[u8]) -> bool {
    matches!(command, [cla, 0x5A, ..] if *cla & 0xF0 == 0x80)
}

/// What the card says of a command whose transfer went wrong.
pub(super) enum Fate {
    /// It has it.
    Taken,
    /// It does not have it, as far as "idle" says so.
    Idle,
    /// It has broken it off.
    Aborted(Status),
    /// It is no longer in the secure mode.
    Lost,
    /// It does not say.
    Unread,
}

impl Wire {
    /// How tokens of this card are checked.
    pub(super) fn checksum(&self) -> Checksum {
        if self.quirks.checked { Checksum::Crc32 } else { Checksum::None }
    }

    /// Most blocks of a token.
    fn blocks_max(&self) -> usize {
        usize::from(self.quirks.blocks_max).min(self.host.blocks_max()).max(1)
    }

    /// Longest APDU.
    pub(super) fn apdu_max(&self) -> usize {
        let tail = if self.quirks.checked { CHECKSUM } else { 0 };
        (self.blocks_max() * BLOCK - 2 - tail).min(APDU_MAX)
    }

    /// Sends a command and gets the answer, as bytes.
    pub(super) fn exchange(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, LinkError> {
        let (length, max) = (command.len(), self.apdu_max());
        if !(TOKEN_MIN..=max).contains(&length) {
            return Err(LinkError::Length { length, max });
        }
        let token = write_token(command, self.checksum()).map_err(|_| LinkError::Length { length, max })?;
        let token = Zeroizing::new(token);
        self.powered()?;
        self.trace.round();
        self.trace.command_apdu(command);
        let answer = self.at_rest().and_then(|before| {
            self.send(&token, before)?;
            let status = self.complete(if is_start(command) { ISSUE_LIMIT } else { self.answer_limit() })?;
            self.fetch(&status)
        });
        match &answer {
            Ok(answer) => self.trace.response_apdu(answer),
            Err(error) => self.trace.error(error),
        }
        answer
    }

    /// Nothing is outstanding, in the secure mode: idle, or aborted where the card takes the next command then.
    pub(super) fn at_rest(&mut self) -> Result<SecureState, LinkError> {
        let mut left = REENTRIES;
        loop {
            match self.settle() {
                Ok(state) => return Ok(state),
                Err(Unsettled::Lost(error)) if left == 0 => return Err(self.bus(error)),
                Err(Unsettled::Lost(_)) => {
                    left -= 1;
                    self.reenter()?;
                }
                Err(Unsettled::Link(error)) => return Err(error),
            }
        }
    }

    /// CMD35 until the card has the token.
    fn send(&mut self, token: &[u8], mut before: SecureState) -> Result<(), LinkError> {
        let blocks = u32::try_from(token.len() / BLOCK).unwrap_or(u32::MAX) & 0xFFFF;
        let flag = if self.quirks.checked { CHECKED } else { 0 };
        let (command, limit) = (Command::new(index::WRITE_SEC_CMD, flag | blocks), self.write_limit());
        let (mut retries, mut reentries) = (self.quirks.retries, REENTRIES);
        let mut gaps = Gaps::new();
        loop {
            self.powered()?;
            let error = match self.write(command, token, limit) {
                Ok(()) => {
                    self.stop(true, limit);
                    return Ok(());
                }
                Err(_) if self.gone => return Err(LinkError::Gone),
                Err(error) if matches!(error.fault, BusFault::Forbidden(_)) => return Err(LinkError::Bus(error)),
                Err(error) => error,
            };
            if matches!(error.fault, BusFault::BusyTimeout(_)) && self.stop_after_write != Stop::No {
                // A card that wants CMD12 waits for it with the block in hand.
                self.stop(true, limit);
            }
            match self.fate()? {
                Fate::Taken => return Ok(()),
                // That is how the card stood before: what it refused for certain has not changed it.
                Fate::Aborted(_) if before == SecureState::Aborted && error.taken == Taken::No && retries > 0 => {
                    retries -= 1;
                }
                Fate::Aborted(_) if before == SecureState::Aborted => {
                    return Err(LinkError::Unknown { why: "its reply could not be read", error: Some(error) });
                }
                Fate::Aborted(status) => return Err(self.aborted(&status, Duration::ZERO)),
                Fate::Unread => {
                    return Err(LinkError::Unknown {
                        why: "its reply was lost, and so is its status",
                        error: Some(error),
                    });
                }
                Fate::Lost => {
                    // Any other refusal may have been misread, and with the mode is gone who could have told.
                    let untaken = matches!(error.fault, BusFault::Illegal);
                    if untaken && reentries == 0 {
                        return Err(LinkError::Untaken(error));
                    }
                    reentries = reentries.saturating_sub(1);
                    let entered = self.at_rest();
                    if !untaken {
                        return Err(LinkError::Unknown { why: LOST, error: Some(error) });
                    }
                    before = entered?;
                }
                Fate::Idle if error.taken == Taken::Unknown && !self.quirks.idle_means_untaken => {
                    return Err(LinkError::Unknown { why: "its reply could not be read", error: Some(error) });
                }
                Fate::Idle if retries == 0 => return Err(LinkError::Untaken(error)),
                Fate::Idle => {
                    retries -= 1;
                    self.trace.note(format_args!("not taken: sent again"));
                }
            }
            self.wait(gaps.next())?;
        }
    }

    /// What became of a command whose transfer went wrong. "Idle" must be said twice: it decides whether a command goes
    /// out again.
    pub(super) fn fate(&mut self) -> Result<Fate, LinkError> {
        let mut idle = false;
        loop {
            return Ok(match self.status() {
                Ok((_, SecureState::InProgress | SecureState::Complete)) => Fate::Taken,
                Ok((status, SecureState::Aborted)) => Fate::Aborted(status),
                Ok((_, SecureState::Idle)) if idle => Fate::Idle,
                Ok((_, SecureState::Idle)) => {
                    idle = true;
                    self.wait(Duration::from_millis(1))?;
                    continue;
                }
                Err(Unread::Lost(_)) => Fate::Lost,
                Err(Unread::Link(error)) => return Err(error),
                Err(Unread::Bus(_) | Unread::Nonsense(_)) => Fate::Unread,
            });
        }
    }

    /// Polls until the answer is there.
    fn complete(&mut self, limit: Duration) -> Result<Status, LinkError> {
        let start = self.host.now();
        let mut idle = false;
        let mut gaps = Gaps::new();
        loop {
            let waited = self.host.now().saturating_sub(start);
            match self.status() {
                Ok((status, _)) if status.system_error() => {
                    return Err(LinkError::Mute("it reports an error of its security system".into()));
                }
                Ok((status, SecureState::Complete)) => return Ok(status),
                Ok((_, SecureState::InProgress)) => {}
                Ok((status, SecureState::Aborted)) => return Err(self.aborted(&status, waited)),
                Ok((_, SecureState::Idle)) if idle => {
                    return Err(LinkError::Unknown {
                        why: "it had taken it, and says now that it has none",
                        error: None,
                    });
                }
                Ok((_, SecureState::Idle)) => idle = true,
                Err(Unread::Lost(error)) => {
                    // The next command finds the card as it should be; this one is lost in any case.
                    let _ = self.at_rest();
                    return Err(if self.gone {
                        LinkError::Gone
                    } else {
                        LinkError::Unknown { why: LOST, error: Some(error) }
                    });
                }
                Err(Unread::Bus(error)) => {
                    return Err(LinkError::Unknown { why: "its status cannot be read", error: Some(error) });
                }
                Err(other) => return Err(other.into_link()),
            }
            if waited >= limit {
                return Err(LinkError::NoAnswer(waited));
            }
            self.wait(gaps.next())?;
        }
    }

    /// CMD34, again where that is safe.
    fn fetch(&mut self, status: &Status) -> Result<Zeroizing<Vec<u8>>, LinkError> {
        let blocks = self.answer_blocks(status)?;
        let mut into = Zeroizing::new(vec![0; blocks * BLOCK]);
        let mut retries = if self.quirks.rereads { self.quirks.retries.max(REREADS) } else { self.quirks.retries };
        loop {
            self.powered()?;
            let failed = match self.read_answer(&mut into) {
                Ok(()) => match read_token(&into, self.checksum()) {
                    Ok(apdu) => return Ok(Zeroizing::new(apdu.to_vec())),
                    Err(error) if !self.quirks.checked => return Err(LinkError::Malformed(error.to_string())),
                    Err(error) => {
                        self.trace.error(&error);
                        None
                    }
                },
                Err(_) if self.gone => return Err(LinkError::Gone),
                Err(error) => Some(error),
            };
            let refused = failed.as_ref().is_some_and(|error| matches!(error.fault, BusFault::Illegal));
            let again = self.quirks.rereads && !refused || self.is_still_complete()?;
            if retries == 0 || !again {
                return Err(LinkError::Unknown { why: "its answer was lost on the wire", error: failed });
            }
            retries -= 1;
            self.trace.note(format_args!("the answer is asked for again"));
        }
    }

    fn is_still_complete(&mut self) -> Result<bool, LinkError> {
        match self.status() {
            Ok((_, state)) => Ok(state == SecureState::Complete),
            Err(Unread::Link(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Blocks to ask for; a card that was not known to use several is asked for one.
    fn answer_blocks(&self, status: &Status) -> Result<usize, LinkError> {
        let most = blocks_of(APDU_MAX, self.checksum()).min(self.host.blocks_max());
        match usize::from(status.read_blocks()) {
            blocks if self.quirks.blocks_max > 1 && blocks > most => {
                Err(LinkError::Malformed(format!("an answer of {blocks} blocks, where {most} are possible")))
            }
            blocks if self.quirks.blocks_max > 1 => Ok(blocks.max(1)),
            _ => Ok(1),
        }
    }

    fn read_answer(&mut self, into: &mut [u8]) -> Result<(), BusError> {
        into.fill(0);
        let blocks = u32::try_from(into.len() / BLOCK).unwrap_or(u32::MAX) & 0xFFFF;
        let flag = if self.quirks.checked { CHECKED } else { 0 };
        let limit = self.read_limit();
        self.step(Command::new(index::READ_SEC_CMD, flag | blocks), Data::Read { block: BLOCK, into }, limit)?;
        self.stop(false, limit);
        Ok(())
    }

    /// Reads an answer that nobody waits for any more; `false` where that did not work.
    pub(super) fn drop_answer(&mut self, status: &Status) -> bool {
        self.trace.note(format_args!("an answer that nobody waits for is dropped"));
        let Ok(blocks) = self.answer_blocks(status) else { return false };
        let mut into = Zeroizing::new(vec![0; blocks * BLOCK]);
        self.read_answer(&mut into).is_ok()
    }

    /// An aborted command, for the caller. With "condition error" the core has given no answer at all: its interfaces are
    /// shut, or its power is gone.
    pub(super) fn aborted(&self, status: &Status, waited: Duration) -> LinkError {
        match self.powered() {
            Err(error) => error,
            Ok(()) if status.error() == error::CONDITION => LinkError::NoAnswer(waited),
            Ok(()) => LinkError::Aborted(format!("{status:?}")),
        }
    }
}

const LOST: &str = "the card has left the secure command set";
