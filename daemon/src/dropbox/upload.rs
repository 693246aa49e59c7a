//! One open file of the drop box: `Empty → Receiving → Complete | Failed`.
//!
//! A batch says its own length, so completeness comes from the format and not from `close(2)`: shells flush an empty
//! file first, and `(cat a; cat b) > f` flushes in the middle. The first sixteen bytes are kept until they are there;
//! from then on bytes pass through.

use crate::refusal::Refusal;
use smcard_batch::format::FLAG_CONFIRM;
use smcard_batch::{BODY_OFFSET, Header, Reason};

/// Header and number of commands: what is looked at on the way.
const SNIFFED: usize = BODY_OFFSET + 4;

/// Where an open file stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come.
    Empty,
    /// Bytes have come; the length of the whole is known once the header is.
    Receiving(Option<Header>),
    /// The card has taken the batch.
    Complete,
    /// It went wrong; every later write and flush says so again.
    Failed(Refusal),
}

/// The bytes of one open file, in order.
#[derive(Debug)]
pub struct Upload {
    state: State,
    received: u64,
    head: Vec<u8>,
}

/// What is to be done with the bytes of a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Take {
    /// Nothing yet: they are kept until the header is whole.
    Keep,
    /// They go to the card.
    Pass {
        /// The header is whole with this write: the card is told this length first, and the kept bytes go before.
        opening: Option<Opening>,
        /// The batch is whole with this write.
        last: bool,
    },
}

/// How a direct write begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Opening {
    /// Bytes of the whole file.
    pub length: u32,
    /// The bytes that came before this write.
    pub kept: Vec<u8>,
}

impl Default for Upload {
    fn default() -> Self {
        Upload { state: State::Empty, received: 0, head: Vec::new() }
    }
}

impl Upload {
    /// Takes the bytes of a write.
    ///
    /// # Errors
    /// [`Refusal::Fault`] as soon as the bytes cannot be a batch and [`Refusal::Trailing`] beyond its end: the upload
    /// has failed. [`Refusal::OutOfOrder`]: nothing was taken, the upload stands where it stood. The refusal of a failed
    /// upload again.
    pub fn take(&mut self, offset: u64, data: &[u8]) -> Result<Take, Refusal> {
        let header = match &self.state {
            State::Failed(refusal) => return Err(refusal.clone()),
            _ if data.is_empty() => return Ok(Take::Keep),
            State::Complete => return Err(Refusal::Trailing(self.received)),
            State::Empty => None,
            State::Receiving(header) => *header,
        };
        if offset != self.received {
            return Err(Refusal::OutOfOrder { expected: self.received, offset });
        }
        let before = self.head.len();
        self.head.extend(data.iter().take(SNIFFED.saturating_sub(before)));
        let (header, opening) = match header {
            Some(header) => (header, None),
            None => match Header::parse(&self.head) {
                Ok(header) => {
                    let kept = self.head.get(..before).unwrap_or_default().to_vec();
                    (header, Some(Opening { length: header.file_len(), kept }))
                }
                Err(fault) if fault.reason == Reason::HeaderCut && self.head.len() < BODY_OFFSET => {
                    self.received += length(data);
                    self.state = State::Receiving(None);
                    return Ok(Take::Keep);
                }
                Err(fault) => return self.failed(Refusal::Fault(fault)),
            },
        };
        let total = u64::from(header.file_len());
        if length(data) > total.saturating_sub(self.received) {
            return self.failed(Refusal::Trailing(total));
        }
        self.received += length(data);
        self.state = State::Receiving(Some(header));
        Ok(Take::Pass { opening, last: self.received == total })
    }

    /// What the close of a descriptor says. Only the process that opened the file can be closing it for good, so only
    /// its close (`by_opener`) finds the batch cut short; the upload has failed then.
    ///
    /// # Errors
    /// [`Refusal::CutShort`], or the refusal of a failed upload again.
    pub fn flush(&mut self, by_opener: bool) -> Result<(), Refusal> {
        match &self.state {
            State::Failed(refusal) => Err(refusal.clone()),
            State::Receiving(_) if by_opener && !self.is_whole() => self.failed(self.cut_short()),
            _ => Ok(()),
        }
    }

    fn failed<T>(&mut self, refusal: Refusal) -> Result<T, Refusal> {
        self.state = State::Failed(refusal.clone());
        Err(refusal)
    }

    /// The card has taken the batch.
    pub fn complete(&mut self) {
        self.state = State::Complete;
    }

    /// It went wrong for the reason given. A reason that stands already stays.
    pub fn fail(&mut self, refusal: Refusal) {
        if !matches!(self.state, State::Failed(_)) {
            self.state = State::Failed(refusal);
        }
    }

    /// Why it failed, where it did.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match &self.state {
            State::Failed(refusal) => Some(refusal.clone()),
            _ => None,
        }
    }

    /// Why it is not whole: for the message when the last descriptor is gone.
    #[must_use]
    pub fn cut_short(&self) -> Refusal {
        Refusal::CutShort { received: self.received, total: self.total().unwrap_or(BODY_OFFSET as u64) }
    }

    /// True before the first byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// True between the first byte and the card's answer.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        matches!(self.state, State::Receiving(_))
    }

    /// True once every byte has come, though the card may not have answered yet.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.total() == Some(self.received)
    }

    /// Bytes that have come.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of the whole file; 0 before the header has come.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.total().and_then(|total| u32::try_from(total).ok()).unwrap_or(0)
    }

    /// The number of commands the batch says it holds; 0 before that has come.
    #[must_use]
    pub fn commands(&self) -> u32 {
        self.head.last_chunk().filter(|_| self.head.len() == SNIFFED).map_or(0, |count| u32::from_be_bytes(*count))
    }

    /// True where the batch wants CONFIRM.
    #[must_use]
    pub fn wants_confirm(&self) -> bool {
        self.head.get(5).is_some_and(|flags| flags & FLAG_CONFIRM != 0)
    }

    fn total(&self) -> Option<u64> {
        match &self.state {
            State::Receiving(Some(header)) => Some(u64::from(header.file_len())),
            State::Complete => Some(self.received),
            _ => None,
        }
    }
}

fn length(data: &[u8]) -> u64 {
    // A slice is never longer than isize::MAX.
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_batch::{BatchBuilder, CommandApdu, Fault};

    fn batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.confirm(true).push(&CommandApdu::new(0x80, 0xE2, 0, 0, &[1, 2, 3])).unwrap();
        builder.finish().unwrap()
    }

    /// Feeds `data` in pieces of `step` bytes; what went to the card, and the last answer.
    fn feed(data: &[u8], step: usize) -> (Vec<u8>, Result<Take, Refusal>) {
        let (mut upload, mut passed, mut last) = (Upload::default(), Vec::new(), Ok(Take::Keep));
        for piece in data.chunks(step) {
            let offset = upload.received();
            last = upload.take(offset, piece);
            if let Ok(Take::Pass { opening, .. }) = &last {
                if let Some(opening) = opening {
                    assert_eq!(opening.length as usize, data.len());
                    passed.extend_from_slice(&opening.kept);
                }
                passed.extend_from_slice(piece);
            }
        }
        (passed, last)
    }

    #[test]
    fn however_a_batch_is_cut_into_writes_it_arrives_whole_and_in_order() {
        let batch = batch();
        for step in 1..=batch.len() {
            let (passed, last) = feed(&batch, step);
            assert_eq!(passed, batch, "step {step}");
            assert!(matches!(last, Ok(Take::Pass { last: true, .. })), "step {step}: {last:?}");
        }
    }

    #[test]
    fn the_header_tells_commands_and_confirmation() {
        let batch = batch();
        let mut upload = Upload::default();
        upload.take(0, &batch[..18]).unwrap();
        assert_eq!((upload.commands(), upload.wants_confirm()), (0, true));
        upload.take(18, &batch[18..]).unwrap();
        assert_eq!((upload.commands(), upload.is_whole()), (1, true));
    }

    #[test]
    fn what_cannot_be_a_batch_fails_at_its_first_wrong_byte_and_stays_failed() {
        let mut upload = Upload::default();
        assert_eq!(upload.take(0, b"SM"), Ok(Take::Keep));
        let refusal = Refusal::Fault(Fault { offset: 0, reason: Reason::Magic });
        assert_eq!(upload.take(2, b"X"), Err(refusal.clone()));
        assert_eq!(upload.take(2, b"CB"), Err(refusal.clone()));
        assert_eq!(upload.flush(true), Err(refusal));
    }

    #[test]
    fn a_gap_is_refused_and_nothing_is_lost_by_it() {
        let batch = batch();
        let mut upload = Upload::default();
        upload.take(0, &batch[..20]).unwrap();
        assert_eq!(upload.take(24, &batch[24..]), Err(Refusal::OutOfOrder { expected: 20, offset: 24 }));
        assert!(matches!(upload.take(20, &batch[20..]), Ok(Take::Pass { last: true, .. })));
    }

    #[test]
    fn bytes_beyond_the_end_are_refused() {
        let mut long = batch();
        let total = long.len() as u64;
        long.push(0);
        assert_eq!(Upload::default().take(0, &long), Err(Refusal::Trailing(total)));
        let mut upload = Upload::default();
        upload.take(0, &long[..long.len() - 1]).unwrap();
        upload.complete();
        assert_eq!(upload.take(total, &[0]), Err(Refusal::Trailing(total)));
        assert_eq!(upload.flush(true), Ok(()));
    }

    #[test]
    fn only_the_opener_closes_a_file_too_early() {
        let batch = batch();
        let mut upload = Upload::default();
        assert_eq!(upload.flush(true), Ok(()), "shells flush the empty file first");
        upload.take(0, &batch[..17]).unwrap();
        assert_eq!(upload.flush(false), Ok(()), "(cat a; cat b) > f flushes halfway");
        let cut = Refusal::CutShort { received: 17, total: batch.len() as u64 };
        assert_eq!(upload.flush(true), Err(cut));
        let mut upload = Upload::default();
        upload.take(0, &batch).unwrap();
        assert_eq!(upload.flush(true), Ok(()), "whole, the card's answer is on its way");
    }

    #[test]
    fn a_header_with_an_impossible_length_is_a_fault() {
        let mut header = batch()[..16].to_vec();
        header[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(Upload::default().take(0, &header), Err(Refusal::Fault(fault)) if fault.offset == 8));
        header[8..12].copy_from_slice(&2_u32.to_be_bytes());
        assert!(matches!(Upload::default().take(0, &header), Err(Refusal::Fault(fault)) if fault.offset == 8));
    }
}
