//! Files on their way to the card: what the caller has opened, and the pieces in which it goes (`docs/ASSD.md` section 5).

use super::AssdCard;
use super::enter::Doubts;
use super::file;
use super::memory::checked_block;
use crate::assd::{BLOCK, DirectWrite, OPEN_HEAD};
use crate::{Answer, LinkError, NAME_MAX, WriteId};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Most blocks that are gathered before they go: 512 KiB.
const GATHER_MAX: usize = 1024;
/// The refusal of a name that no card takes.
const WRONG_DATA: u16 = 0x6A80;

/// The direct writes that are open, by the numbers the caller knows.
#[derive(Default)]
pub(super) struct Writes {
    last: u32,
    open: BTreeMap<u32, OpenWrite>,
}

/// A write that is open.
pub(super) struct OpenWrite {
    /// The card's number for it.
    pub(super) number: u8,
    way: Way,
    length: u32,
    given: u32,
    crc: crc32fast::Hasher,
    /// Bytes that have not gone yet: less than `unit`.
    rest: Zeroizing<Vec<u8>>,
    unit: usize,
    failed: bool,
}

/// How the bytes go.
enum Way {
    /// CMD57. Blocks that the card has; blocks in a transfer.
    Blocks { received: u32, pace: u32 },
    /// WRITE FILE. Bytes that the card has.
    Commands { sent: u32 },
}

impl Writes {
    /// Forgets all of them: the card has done so too.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    pub(super) fn add(&mut self, number: u8, length: u32, unit: usize, blocks: bool) -> WriteId {
        let way = if blocks {
            Way::Blocks { received: 0, pace: u32::from(DirectWrite::BLOCKS_MAX) }
        } else {
            Way::Commands { sent: 0 }
        };
        self.last = self.last.wrapping_add(1);
        let (crc, rest) = (crc32fast::Hasher::new(), Zeroizing::default());
        self.open.insert(self.last, OpenWrite { number, way, length, given: 0, crc, rest, unit, failed: false });
        WriteId(self.last)
    }
}

impl AssdCard {
    pub(super) fn direct_open(&mut self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        let Some(name_length) = u8::try_from(name.len()).ok().filter(|_| name.len() <= NAME_MAX) else {
            return Ok(Err(Answer::status(WRONG_DATA)));
        };
        let mut head = Vec::with_capacity(OPEN_HEAD + name.len());
        head.extend_from_slice(&length.to_be_bytes());
        head.push(name_length);
        head.extend_from_slice(name);
        let bytes = self.wire.memory_command(DirectWrite::Open, &checked_block(&head))?;
        let answer = result(&bytes)?;
        if !answer.is_success() {
            return Ok(Err(Answer::status(answer.sw)));
        }
        match answer.data[..] {
            [number] if number <= DirectWrite::WRITE_MAX => {
                let unit = self.wire.host.blocks_max().clamp(1, GATHER_MAX) * BLOCK;
                Ok(Ok(self.writes.add(number, length, unit, true)))
            }
            _ => Err(LinkError::Malformed("OPEN was answered without the number of the write".into())),
        }
    }

    pub(super) fn chunk(&mut self, id: WriteId, chunk: &[u8]) -> Result<(), LinkError> {
        self.wire.powered()?;
        let mut write = self.writes.open.remove(&id.0).ok_or(LinkError::Write("not open"))?;
        let taken = self.take(&mut write, chunk);
        // Bytes beyond the length have done no harm.
        write.failed |= !matches!(taken, Ok(()) | Err(LinkError::Write(_)));
        self.writes.open.insert(id.0, write);
        taken
    }

    fn take(&mut self, write: &mut OpenWrite, chunk: &[u8]) -> Result<(), LinkError> {
        if write.failed {
            return Err(LinkError::Write("it has failed already"));
        }
        let given = u32::try_from(chunk.len()).ok().and_then(|length| write.given.checked_add(length));
        let Some(given) = given.filter(|given| *given <= write.length) else {
            return Err(LinkError::Write("more bytes than announced"));
        };
        write.given = given;
        write.crc.update(chunk);
        if matches!(write.way, Way::Blocks { .. }) {
            // Bytes that go as commands are counted with the commands.
            self.counters.bytes_sent += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        }
        let mut left = chunk;
        while !left.is_empty() {
            if write.rest.is_empty() && left.len() >= write.unit {
                let (now, later) = left.split_at(write.unit);
                self.put(write, now)?;
                left = later;
                continue;
            }
            let (now, later) = left.split_at(left.len().min(write.unit - write.rest.len()));
            write.rest.extend_from_slice(now);
            left = later;
            if write.rest.len() == write.unit {
                self.put_rest(write)?;
            }
        }
        Ok(())
    }

    fn put_rest(&mut self, write: &mut OpenWrite) -> Result<(), LinkError> {
        let rest = std::mem::take(&mut write.rest);
        self.put(write, &rest)
    }

    /// Brings the next bytes to the card: whole blocks where blocks go.
    fn put(&mut self, write: &mut OpenWrite, bytes: &[u8]) -> Result<(), LinkError> {
        match &mut write.way {
            Way::Blocks { received, pace } => self.wire.put_blocks(write.number, write.length, received, pace, bytes),
            Way::Commands { sent } => {
                self.put_command(write.number, *sent, bytes)?;
                *sent += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                Ok(())
            }
        }
    }

    pub(super) fn commit(&mut self, id: WriteId) -> Result<Answer, LinkError> {
        self.wire.powered()?;
        let mut write = self.writes.open.remove(&id.0).ok_or(LinkError::Write("not open"))?;
        if write.failed {
            self.end(&write);
            return Err(LinkError::Write("it has failed already"));
        }
        let whole = write.given == write.length;
        // A last block that is filled up would pass for one that is all there.
        if whole && !write.rest.is_empty() {
            if matches!(write.way, Way::Blocks { .. }) {
                let blocks = write.rest.len().div_ceil(BLOCK);
                write.rest.resize(blocks * BLOCK, 0);
            }
            self.put_rest(&mut write).inspect_err(|_| self.end(&write))?;
        }
        let crc = write.crc.clone().finalize();
        let answer = match write.way {
            Way::Blocks { .. } => {
                let command = DirectWrite::Commit { write: write.number };
                let bytes = self.wire.memory_command(command, &checked_block(&crc.to_be_bytes()));
                let answer = bytes.and_then(|bytes| result(&bytes));
                self.count(0, answer.as_ref().map_or(0, |answer| answer.data.len() + 2));
                answer
            }
            Way::Commands { .. } => self.counted(&file::commit(write.number, crc)),
        }?;
        if answer.sw == WRONG_DATA && answer.data.is_empty() {
            return Err(LinkError::FileDamaged);
        }
        Ok(answer)
    }

    pub(super) fn abort(&mut self, id: WriteId) {
        if let Some(write) = self.writes.open.remove(&id.0) {
            self.end(&write);
        }
    }

    /// Lets the card forget a write. Where that does not work the card does so at its next reset.
    fn end(&mut self, write: &OpenWrite) {
        if self.wire.powered().is_err() {
            return;
        }
        match write.way {
            Way::Blocks { .. } => {
                let command = DirectWrite::Abort { write: write.number };
                let mut doubts = Doubts::default();
                while let Err(error) = self.wire.write_memory(command, &[0; BLOCK]) {
                    if doubts.is_final(&error.fault) {
                        break;
                    }
                }
            }
            // Whatever becomes of it is in the trace.
            Way::Commands { .. } => drop(self.counted(&file::abort(write.number))),
        }
    }
}

fn result(bytes: &[u8]) -> Result<Answer, LinkError> {
    Answer::from_bytes(bytes).ok_or_else(|| LinkError::Malformed(format!("a result of {} bytes", bytes.len())))
}
