//! Direct write on the wire: CMD57, CMD50 and the state of the protected memory.

use super::apdu::Fate;
use super::enter::Doubts;
use super::wire::{Gaps, Unread, Wire};
use crate::assd::{BLOCK, CHECKSUM, Checksum, DirectRead, DirectWrite, SecureState, WriteState, error, read_token};
use crate::sd::{Command, index};
use crate::{BusError, BusFault, Data, LinkError};
use std::time::Duration;
use zeroize::Zeroizing;

impl Wire {
    pub(super) fn write_memory(&mut self, command: DirectWrite, blocks: &[u8]) -> Result<(), BusError> {
        self.trace.round();
        let limit = self.write_limit();
        self.write(Command::new(index::DIRECT_SECURE_WRITE, command.argument()), blocks, limit)
    }

    fn read_memory(&mut self, command: DirectRead, block: &mut [u8; BLOCK]) -> Result<(), BusError> {
        block.fill(0);
        self.trace.round();
        let command = Command::new(index::DIRECT_SECURE_READ, command.argument());
        self.step(command, Data::Read { block: BLOCK, into: block }, Duration::ZERO)
    }

    /// OPEN or COMMIT: sends it, waits until it is worked on, and reads the result.
    pub(super) fn memory_command(
        &mut self,
        command: DirectWrite,
        block: &[u8; BLOCK],
    ) -> Result<Zeroizing<Vec<u8>>, LinkError> {
        let answer = self.no_result_waits().and_then(|()| {
            self.send_memory(command, block)?;
            self.memory_done()?;
            self.fetch_result()
        });
        match &answer {
            Ok(answer) => self.trace.response_apdu(answer),
            Err(error) => self.trace.error(error),
        }
        answer
    }

    /// The card is at rest, and a result that nobody has read is read: what the status register says from now on is about
    /// the next command.
    fn no_result_waits(&mut self) -> Result<(), LinkError> {
        self.at_rest()?;
        for _ in 0..=self.quirks.retries {
            let (status, _) = self.status().map_err(Unread::into_link)?;
            if status.memory_state() == 0 {
                return Ok(());
            }
            let mut block = Zeroizing::new([0; BLOCK]);
            if self.read_memory(DirectRead::Result, &mut block).is_err() {
                self.powered()?;
            }
        }
        Err(LinkError::Malformed("a result of its protected memory cannot be read away".into()))
    }

    fn send_memory(&mut self, command: DirectWrite, block: &[u8; BLOCK]) -> Result<(), LinkError> {
        let mut retries = self.quirks.retries;
        let mut gaps = Gaps::new();
        loop {
            self.powered()?;
            let error = match self.write_memory(command, block) {
                Ok(()) => return Ok(()),
                Err(_) if self.gone => return Err(LinkError::Gone),
                Err(error) if matches!(error.fault, BusFault::Forbidden(_)) => return Err(LinkError::Bus(error)),
                Err(error) => error,
            };
            match self.memory_fate()? {
                Fate::Taken => return Ok(()),
                Fate::Idle if retries > 0 => retries -= 1,
                Fate::Idle => return Err(LinkError::Untaken(error)),
                Fate::Lost if matches!(error.fault, BusFault::Illegal) => {
                    // With the mode the writes are gone, and so is the session that could open one.
                    self.at_rest()?;
                    return Err(LinkError::Untaken(error));
                }
                _ => return Err(LinkError::Unknown { why: "its reply could not be read", error: Some(error) }),
            }
            self.wait(gaps.next())?;
        }
    }

    /// What became of an OPEN or COMMIT whose transfer went wrong. No result waited before, so none now says that it was
    /// not taken; that must be said twice.
    fn memory_fate(&mut self) -> Result<Fate, LinkError> {
        for attempt in 0..2 {
            if attempt > 0 {
                self.wait(Duration::from_millis(1))?;
            }
            match self.status() {
                Ok((status, _)) if status.memory_state() != 0 => return Ok(Fate::Taken),
                Ok(_) => {}
                Err(Unread::Lost(_)) => return Ok(Fate::Lost),
                Err(Unread::Link(error)) => return Err(error),
                Err(_) => return Ok(Fate::Unread),
            }
        }
        Ok(Fate::Idle)
    }

    /// Polls until the result is there.
    fn memory_done(&mut self) -> Result<(), LinkError> {
        let (start, limit) = (self.host.now(), self.memory_limit());
        let mut nothing = false;
        let mut gaps = Gaps::new();
        loop {
            let waited = self.host.now().saturating_sub(start);
            match self.status() {
                Ok((status, _)) if status.system_error() => {
                    return Err(LinkError::Mute("it reports an error of its security system".into()));
                }
                Ok((status, state)) => match status.memory_state() {
                    2 => return Ok(()),
                    1 => {}
                    _ if state == SecureState::Aborted && status.error() == error::CONDITION => {
                        return Err(self.aborted(&status, waited));
                    }
                    _ if nothing => {
                        return Err(LinkError::Unknown { why: "it had taken it, and has no result", error: None });
                    }
                    _ => nothing = true,
                },
                Err(Unread::Link(error)) => return Err(error),
                Err(Unread::Lost(error)) => {
                    let _ = self.at_rest();
                    self.powered()?;
                    return Err(LinkError::Unknown {
                        why: "the card has left the secure command set",
                        error: Some(error),
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

    /// The result can be read again until the next command.
    fn fetch_result(&mut self) -> Result<Zeroizing<Vec<u8>>, LinkError> {
        let mut block = Zeroizing::new([0; BLOCK]);
        let mut doubts = Doubts::default();
        loop {
            self.powered()?;
            match self.read_memory(DirectRead::Result, &mut block) {
                Ok(()) => match read_token(&block[..], Checksum::Crc32) {
                    Ok(answer) => return Ok(Zeroizing::new(answer.to_vec())),
                    Err(error) if doubts.is_final(&BusFault::DataCrc) => {
                        return Err(LinkError::Malformed(error.to_string()));
                    }
                    Err(error) => self.trace.error(&error),
                },
                Err(_) if self.gone => return Err(LinkError::Gone),
                Err(error) if doubts.is_final(&error.fault) => {
                    return Err(LinkError::Unknown { why: "its result was lost on the wire", error: Some(error) });
                }
                Err(_) => {}
            }
        }
    }

    /// Brings whole blocks to the card, the first of them number `received`. After every failure the card says how far
    /// it has come, and the transfer goes on there.
    pub(super) fn put_blocks(
        &mut self,
        write: u8,
        length: u32,
        received: &mut u32,
        pace: &mut u32,
        bytes: &[u8],
    ) -> Result<(), LinkError> {
        let (base, mut done, mut best, mut failures) = (*received, 0_usize, 0_usize, 0);
        let total = bytes.len() / BLOCK;
        let most = u32::try_from(self.host.blocks_max()).unwrap_or(u32::MAX);
        let most = most.clamp(1, u32::from(DirectWrite::BLOCKS_MAX));
        while done < total {
            self.powered()?;
            let left = u32::try_from(total - done).unwrap_or(u32::MAX);
            let blocks = u16::try_from(left.min(most).min((*pace).max(1))).unwrap_or(DirectWrite::BLOCKS_MAX);
            let number = base.wrapping_add(u32::try_from(done).unwrap_or(u32::MAX));
            let first = u16::try_from(number & 0xFFFF).unwrap_or_default();
            let end = done + usize::from(blocks);
            let Some(now) = bytes.get(done * BLOCK..end * BLOCK) else { break };
            match self.write_memory(DirectWrite::Data { write, first, blocks }, now) {
                Ok(()) => {
                    done = end;
                    *pace = (*pace).saturating_mul(2).min(most);
                }
                Err(_) if self.gone => return Err(LinkError::Gone),
                Err(error) => {
                    let state = self.write_state(write)?;
                    if !state.open || state.length != length {
                        return Err(LinkError::Write("the card has forgotten it: it was reset"));
                    }
                    let now = state.received.checked_sub(base).and_then(|now| usize::try_from(now).ok());
                    done = now.filter(|now| *now <= end).ok_or_else(|| {
                        let text =
                            format!("{} blocks received, where {base} to {end} more are possible", state.received);
                        LinkError::Malformed(text)
                    })?;
                    if done <= best {
                        failures += 1;
                        if failures > self.quirks.retries {
                            return Err(LinkError::Bus(error));
                        }
                    } else {
                        failures = 0;
                    }
                    *pace = (u32::from(blocks) / 2).max(1);
                    self.trace.note(format_args!("the card has {} blocks: it goes on there", state.received));
                }
            }
            best = best.max(done);
        }
        *received = base.wrapping_add(u32::try_from(total).unwrap_or(u32::MAX));
        Ok(())
    }

    /// How far a write is.
    fn write_state(&mut self, write: u8) -> Result<WriteState, LinkError> {
        let mut doubts = Doubts::default();
        let mut entered = false;
        let mut block = [0; BLOCK];
        loop {
            self.powered()?;
            let fault = match self.read_memory(DirectRead::State { write }, &mut block) {
                Ok(()) => match unchecked_block(&block).and_then(WriteState::from_bytes) {
                    Some(state) => return Ok(state),
                    None if doubts.is_final(&BusFault::DataCrc) => {
                        return Err(LinkError::Malformed("the state of a direct write".into()));
                    }
                    None => continue,
                },
                Err(_) if self.gone => return Err(LinkError::Gone),
                Err(error) => error,
            };
            if doubts.is_final(&fault.fault) {
                if entered {
                    return Err(LinkError::Bus(fault));
                }
                // The mode may be off; what the card has kept of the write it says afterwards.
                self.at_rest()?;
                (entered, doubts) = (true, Doubts::default());
            }
        }
    }
}

/// A block with its checksum in the last four bytes.
pub(super) fn checked_block(content: &[u8]) -> Zeroizing<[u8; BLOCK]> {
    let mut block = Zeroizing::new([0; BLOCK]);
    for (byte, content) in block.iter_mut().zip(content) {
        *byte = *content;
    }
    if let Some((body, tail)) = block.split_last_chunk_mut::<CHECKSUM>() {
        *tail = crc32fast::hash(body).to_be_bytes();
    }
    block
}

/// The content of such a block.
fn unchecked_block(block: &[u8]) -> Option<&[u8]> {
    let (body, tail) = block.split_last_chunk::<CHECKSUM>()?;
    (crc32fast::hash(body).to_be_bytes() == *tail).then_some(body)
}
