//! Making a batch.

use crate::apdu::{ApduError, CommandApdu};
use crate::format::{
    BODY_OFFSET, FLAG_CONFIRM, FLAG_RECOVERY, Header, RECOVERY_PAIR_LEN, RECOVERY_PAIRS_MAX, checksum,
};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroize;

/// Collects commands and recovery points, and makes the file.
///
/// ```
/// use smcard_batch::{Batch, BatchBuilder, CommandApdu};
/// let mut builder = BatchBuilder::new();
/// builder.push(&CommandApdu::new(0x80, 0xE4, 0x00, 0x80, &[0x4F, 0x02, 0xA0, 0x00]))?;
/// let file = builder.finish()?;
/// assert_eq!(Batch::parse(&file)?.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default, Clone)]
pub struct BatchBuilder {
    commands: Vec<u8>,
    count: u32,
    points: Vec<(u32, usize)>,
    recovery: bool,
    confirm: bool,
}

/// Why a batch cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A command that cannot be written.
    #[error("command {number} cannot be written: {error}")]
    Command {
        /// Its number, the first being 1.
        number: u32,
        /// Why.
        error: ApduError,
    },
    /// More bytes than a length of four bytes can express.
    #[error("the batch would be longer than 4 GiB")]
    TooLong,
    /// More recovery points than the format can hold.
    #[error("{0} recovery points are more than the format's 8191; ask for a point before each function instead")]
    TooManyPoints(usize),
    /// A recovery point behind the last command.
    #[error("a recovery point stands behind the last command")]
    PointAtEnd,
}

impl BatchBuilder {
    /// An empty batch without recovery information.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether what the batch installs wants CONFIRM before its first use.
    pub fn confirm(&mut self, needed: bool) -> &mut Self {
        self.confirm = needed;
        self
    }

    /// Marks the next command as a place where an interrupted issue can go on. Marking it twice is marking it once.
    pub fn recovery_point(&mut self) -> &mut Self {
        self.recovery = true;
        let number = self.count.saturating_add(1);
        if self.points.last().is_none_or(|last| last.0 != number) {
            self.points.push((number, self.commands.len()));
        }
        self
    }

    /// Asks for recovery information even if it names no point.
    pub fn with_recovery(&mut self) -> &mut Self {
        self.recovery = true;
        self
    }

    /// Appends a command.
    ///
    /// # Errors
    /// A command that its form cannot carry, or a batch above 4 GiB; the builder is unchanged then.
    pub fn push(&mut self, command: &CommandApdu<'_>) -> Result<&mut Self, BuildError> {
        let number = self.count.checked_add(1).ok_or(BuildError::TooLong)?;
        let length = u32::try_from(command.encoded_len()).map_err(|_| BuildError::TooLong)?;
        let before = self.commands.len();
        self.commands.extend_from_slice(&length.to_be_bytes());
        if let Err(error) = command.encode(&mut self.commands) {
            self.commands.truncate(before);
            return Err(BuildError::Command { number, error });
        }
        self.count = number;
        Ok(self)
    }

    /// Appends a command given as bytes.
    ///
    /// # Errors
    /// Bytes that are no command; otherwise as [`BatchBuilder::push`].
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<&mut Self, BuildError> {
        let number = self.count.saturating_add(1);
        let command = CommandApdu::parse_in_batch(bytes).map_err(|error| BuildError::Command { number, error })?;
        self.push(&command)
    }

    /// The number of commands so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The file.
    ///
    /// # Errors
    /// Too long, too many recovery points, or a recovery point without a command.
    pub fn finish(&self) -> Result<Vec<u8>, BuildError> {
        if self.points.len() > RECOVERY_PAIRS_MAX {
            return Err(BuildError::TooManyPoints(self.points.len()));
        }
        if self.points.last().is_some_and(|last| last.0 > self.count) {
            return Err(BuildError::PointAtEnd);
        }
        let pairs = self.points.len() * RECOVERY_PAIR_LEN;
        let first = if self.recovery { 4 + 2 + pairs } else { 4 };
        let body_len = u32::try_from(first + self.commands.len()).map_err(|_| BuildError::TooLong)?;
        if body_len > u32::MAX - 16 {
            return Err(BuildError::TooLong);
        }

        let mut file = Vec::with_capacity(BODY_OFFSET + first + self.commands.len());
        file.extend_from_slice(&[0; BODY_OFFSET]);
        file.extend_from_slice(&self.count.to_be_bytes());
        if self.recovery {
            let length = u16::try_from(pairs).map_err(|_| BuildError::TooManyPoints(self.points.len()))?;
            file.extend_from_slice(&length.to_be_bytes());
            for (number, at) in &self.points {
                let offset = u32::try_from(first + at).map_err(|_| BuildError::TooLong)?;
                file.extend_from_slice(&number.to_be_bytes());
                file.extend_from_slice(&offset.to_be_bytes());
            }
        }
        file.extend_from_slice(&self.commands);

        let mut flags = 0;
        if self.recovery {
            flags |= FLAG_RECOVERY;
        }
        if self.confirm {
            flags |= FLAG_CONFIRM;
        }
        if let Some((header, body)) = file.split_first_chunk_mut::<BODY_OFFSET>() {
            *header = Header { flags, body_len, body_crc: checksum(body) }.encode();
        }
        Ok(file)
    }
}

impl Drop for BatchBuilder {
    /// Commands may hold keys and personal data.
    fn drop(&mut self) {
        self.commands.zeroize();
    }
}

impl fmt::Debug for BatchBuilder {
    /// Counts only: the contents are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchBuilder of {} commands, {} bytes", self.count, self.commands.len())
    }
}
