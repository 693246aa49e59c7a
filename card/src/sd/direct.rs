//! Direct write into protected memory: CMD57 and CMD50, this project's own layout (`docs/ASSD.md` section 5).

use super::engine::Refusal;
use super::executor::Job;
use super::profile::Profile;
use super::secure::{Secure, Work, seal};
use smcard_link::assd::{
    BLOCK, CHECKSUM, Checksum, DirectRead, DirectWrite, OPEN_HEAD, WriteState, error, write_token,
};
use smcard_link::{Answer, WriteId};
use zeroize::Zeroizing;

/// Open writes that have a number.
const NUMBERS: usize = DirectWrite::WRITE_MAX as usize + 1;
/// "Wrong data": the file's checksum is another.
const WRONG_DATA: u16 = 0x6A80;

/// An open direct write, as the SD front keeps it.
#[derive(Clone, Debug)]
struct Open {
    id: WriteId,
    length: u32,
    /// Blocks received.
    received: u32,
    /// CRC-32 of what has been received.
    crc: crc32fast::Hasher,
}

impl Open {
    fn blocks(&self) -> u32 {
        self.length.div_ceil(512)
    }

    /// Bytes of block `number` that belong to the file.
    fn part(&self, number: u32) -> usize {
        let start = u64::from(number) * 512;
        usize::try_from(u64::from(self.length).saturating_sub(start).min(512)).unwrap_or(BLOCK)
    }
}

/// The direct writes in progress, and the result of the last step.
#[derive(Default)]
pub(super) struct Writes {
    open: [Option<Open>; NUMBERS],
    result: Option<Zeroizing<Vec<u8>>>,
    unread: bool,
}

impl Writes {
    /// SR byte 3: 0 nothing outstanding, 1 working, 2 a result waits.
    pub(super) fn state(&self, work: Work) -> u8 {
        match work {
            Work::Open(_) | Work::Commit => 1,
            _ if self.unread => 2,
            _ => 0,
        }
    }

    /// Gives an opened write a number; `Err`: there is none left.
    pub(super) fn opened(&mut self, opened: Result<WriteId, Answer>, length: u32) -> Result<Answer, WriteId> {
        let id = match opened {
            Ok(id) => id,
            Err(refusal) => return Ok(refusal),
        };
        let free = self.open.iter_mut().zip(0_u8..).find(|(open, _)| open.is_none());
        let Some((slot, number)) = free else { return Err(id) };
        *slot = Some(Open { id, length, received: 0, crc: crc32fast::Hasher::new() });
        Ok(Answer { data: vec![number], sw: 0x9000 })
    }

    pub(super) fn set_result(&mut self, answer: &Answer) {
        self.result = Some(Zeroizing::new(answer.to_bytes()));
        self.unread = true;
    }

    pub(super) fn drop_result(&mut self) {
        self.result = None;
        self.unread = false;
    }

    fn get(&mut self, number: u8) -> Option<&mut Open> {
        self.open.get_mut(usize::from(number))?.as_mut()
    }

    fn take(&mut self, number: u8) -> Option<Open> {
        self.open.get_mut(usize::from(number))?.take()
    }

    /// Numbers, lengths and blocks received of all open writes.
    pub(crate) fn progress(&self) -> Vec<(u8, u32, u32)> {
        let numbered = (0_u8..).zip(&self.open);
        numbered.filter_map(|(number, open)| open.as_ref().map(|open| (number, open.length, open.received))).collect()
    }
}

/// A transfer of CMD57.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DirectTransfer {
    write: DirectWrite,
    /// Number of the next block, whole.
    next: u32,
    /// Blocks that are still to come.
    pub(super) left: u32,
    /// Blocks in all.
    pub(super) total: u32,
}

/// What became of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Taken.
    Accepted,
    /// It arrived damaged: not taken.
    Damaged,
    /// It cannot be used: not taken.
    Failed,
}

impl Secure {
    /// CMD57: the transfer, or its refusal.
    pub(super) fn begin_write(&mut self, argument: u32, now: u64) -> Result<DirectTransfer, Refusal> {
        self.refresh(now, false);
        if self.is_occupied() || self.core.is_resetting() {
            return Err(Refusal::Illegal);
        }
        let write = DirectWrite::from_argument(argument).ok_or(Refusal::Parameter)?;
        let left = u32::from(write.blocks());
        let refuse = |secure: &mut Self, reason| {
            secure.error = reason;
            Err(Refusal::Range)
        };
        let next = match write {
            DirectWrite::Open | DirectWrite::Abort { .. } => 0,
            DirectWrite::Commit { write } => match self.writes.get(write) {
                Some(_) => 0,
                None => return refuse(self, error::AREA_NOT_FOUND),
            },
            DirectWrite::Data { write, first, .. } => {
                let Some(open) = self.writes.get(write) else { return refuse(self, error::AREA_NOT_FOUND) };
                let position = DirectWrite::position(first, open.received);
                let position = position.filter(|start| start.saturating_add(left) <= open.blocks());
                match position {
                    Some(position) => position,
                    None => return refuse(self, error::RANGE_OVER),
                }
            }
        };
        self.clear_refusal();
        Ok(DirectTransfer { write, next, left, total: left })
    }

    /// The next block of a transfer.
    pub(super) fn write_block(
        &mut self,
        transfer: &mut DirectTransfer,
        block: &[u8],
        profile: &Profile,
        now: u64,
    ) -> Verdict {
        let verdict = match transfer.write {
            DirectWrite::Data { write, .. } => self.write_data(write, transfer.next, block),
            DirectWrite::Abort { write } => {
                self.writes.drop_result();
                if let Some(open) = self.writes.take(write) {
                    self.core.device().write_abort(open.id);
                }
                Verdict::Accepted
            }
            DirectWrite::Open | DirectWrite::Commit { .. } if !is_sealed(block) => Verdict::Damaged,
            DirectWrite::Open => self.write_open(block, profile, now),
            DirectWrite::Commit { write } => self.write_commit(write, block, profile, now),
        };
        if verdict == Verdict::Accepted {
            transfer.next = transfer.next.saturating_add(1);
            transfer.left = transfer.left.saturating_sub(1);
        }
        verdict
    }

    fn write_data(&mut self, number: u8, at: u32, block: &[u8]) -> Verdict {
        let Some(open) = self.writes.get(number) else { return Verdict::Failed };
        if at < open.received {
            return Verdict::Accepted;
        }
        let Some(part) = block.get(..open.part(at)) else { return Verdict::Failed };
        if self.core.device().write_chunk(open.id, part).is_err() {
            return Verdict::Failed;
        }
        open.crc.update(part);
        open.received = at.saturating_add(1);
        Verdict::Accepted
    }

    fn write_open(&mut self, block: &[u8], profile: &Profile, now: u64) -> Verdict {
        let Some((&[a, b, c, d, name_length], rest)) = block.split_first_chunk::<OPEN_HEAD>() else {
            return Verdict::Failed;
        };
        let Some(name) = rest.get(..usize::from(name_length)) else { return Verdict::Failed };
        let length = u32::from_be_bytes([a, b, c, d]);
        self.writes.drop_result();
        self.work_on(Work::Open(length), Job::Open { name: name.to_vec(), length }, profile, now);
        Verdict::Accepted
    }

    fn write_commit(&mut self, number: u8, block: &[u8], profile: &Profile, now: u64) -> Verdict {
        let Some((crc, _)) = block.split_first_chunk::<4>() else { return Verdict::Failed };
        let Some(open) = self.writes.take(number) else { return Verdict::Failed };
        self.writes.drop_result();
        let whole = open.received == open.blocks();
        if whole && open.crc.finalize() != u32::from_be_bytes(*crc) {
            self.core.device().write_abort(open.id);
            self.writes.set_result(&Answer::status(WRONG_DATA));
        } else {
            self.work_on(Work::Commit, Job::Commit(open.id), profile, now);
        }
        Verdict::Accepted
    }

    /// CMD50: the block; `true` where it is a result.
    pub(super) fn read_direct(&mut self, argument: u32, now: u64, into: &mut [u8; BLOCK]) -> Result<bool, Refusal> {
        self.refresh(now, false);
        if self.is_occupied() {
            return Err(Refusal::Illegal);
        }
        match DirectRead::from_argument(argument).ok_or(Refusal::Parameter)? {
            DirectRead::Result => {
                let result = self.writes.result.as_ref().ok_or(Refusal::Illegal)?;
                let token = Zeroizing::new(write_token(result, Checksum::Crc32).map_err(|_| Refusal::Parameter)?);
                *into = *token.first_chunk().ok_or(Refusal::Parameter)?;
                Ok(true)
            }
            DirectRead::State { write } => {
                let state = self.writes.get(write).map_or(WriteState { open: false, length: 0, received: 0 }, |open| {
                    WriteState { open: true, length: open.length, received: open.received }
                });
                *into = [0; BLOCK];
                into[..12].copy_from_slice(&state.to_bytes());
                seal(into);
                Ok(false)
            }
        }
    }

    /// A result has been read.
    pub(super) fn result_read(&mut self) {
        self.writes.unread = false;
    }
}

fn is_sealed(block: &[u8]) -> bool {
    let parts = block.split_last_chunk::<CHECKSUM>();
    parts.is_some_and(|(body, tail)| crc32fast::hash(body) == u32::from_be_bytes(*tail))
}
