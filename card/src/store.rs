//! The command store: the file management table and the protected area behind it (system S1.4, S1.7).
//!
//! A file is written once, by the direct write of an authenticated preparer, and is a whole batch. It lies in one piece,
//! so that a command's buffer can be its place in the flash. No interface ever reads it back.

use crate::memory::{Flash, Kind, Reader, Writer};
use smcard_batch::format::{BODY_OFFSET, Checksum};
use smcard_batch::{Batch, Fault, Reason, StatusWord};
use smcard_flash::{Changes, Extent, FlashError, Record, View};
use smcard_link::{NAME_MAX, WriteId};
use std::collections::BTreeMap;
use std::fmt;

/// Most files in the table.
pub const FILES_MAX: usize = 128;
/// Most direct writes open at a time.
pub const WRITES_MAX: usize = 8;
/// Path of the folder that every file of the protected area stands in.
pub const PATH: &str = "/issue";

/// A row of the file management table.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) id: u16,
    pub(crate) name: Vec<u8>,
    /// Bytes of the file.
    pub(crate) size: u32,
    /// Only the card manager reaches it, by direct access. All files of this card are such.
    pub(crate) direct_access: bool,
    /// Where it lies.
    pub(crate) extent: Extent,
    /// Version of the key set whose holder wrote it: the authority the batch runs with.
    pub(crate) authority: u8,
    /// Number of commands.
    pub(crate) commands: u32,
    /// CRC-32 of the body: with the size, the identity of the batch.
    pub(crate) crc: u32,
}

impl File {
    /// Address of the file in the flash, in bytes.
    pub(crate) fn address(&self) -> u64 {
        self.extent.address()
    }

    fn read(id: u32, record: &Record) -> Option<Self> {
        let mut reader = Reader::new(&record.bytes);
        let file = File {
            id: u16::try_from(id).ok()?,
            name: reader.bytes()?.to_vec(),
            size: reader.u32()?,
            direct_access: reader.u8()? == 1,
            authority: reader.u8()?,
            commands: reader.u32()?,
            crc: reader.u32()?,
            extent: record.extent?,
        };
        reader.end()?;
        Some(file)
    }

    fn record(&self) -> Record {
        let bytes = Writer::new()
            .bytes(&self.name)
            .u32(self.size)
            .u8(u8::from(self.direct_access))
            .u8(self.authority)
            .u32(self.commands)
            .u32(self.crc)
            .finish();
        Record { bytes, extent: Some(self.extent) }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PATH}/{} (id {:04X}, ", String::from_utf8_lossy(&self.name), self.id)?;
        write!(f, "{} bytes at {:#x}, {} commands)", self.size, self.address(), self.commands)
    }
}

/// A direct write in progress; lives in RAM, its reserved room is free again when the power goes.
struct OpenWrite {
    name: Vec<u8>,
    extent: Extent,
    length: u32,
    received: u32,
    checksum: Checksum,
    authority: u8,
}

/// The direct writes in progress. The table itself is in the flash.
#[derive(Default)]
pub(crate) struct CommandStore {
    writes: BTreeMap<u32, OpenWrite>,
    last_id: u32,
}

/// How a direct write ended.
pub(crate) enum Commit {
    /// The file is in the table, durable.
    Stored(u16),
    /// It is no batch, or a damaged one; nothing of it is left.
    Damaged(Fault),
    /// Fewer bytes came than announced; nothing of it is left.
    Short,
    /// The table is full; nothing of it is left.
    TableFull,
}

/// All files, by identifier.
pub(crate) fn files(flash: &Flash) -> Vec<File> {
    flash.range(Kind::File.keys()).filter_map(|(key, record)| File::read(key.0 & 0xFFFF, record)).collect()
}

/// The file with this identifier.
pub(crate) fn by_id(flash: &Flash, id: u16) -> Option<File> {
    let record = flash.get(Kind::File.key(u32::from(id)))?;
    File::read(u32::from(id), record)
}

/// The file with this name.
pub(crate) fn by_name(flash: &Flash, name: &[u8]) -> Option<File> {
    files(flash).into_iter().find(|file| file.name == name)
}

/// The bytes of a file, in place.
pub(crate) fn contents(flash: &Flash, file: &File) -> View {
    flash.view(file.extent, u64::from(file.size))
}

/// A damaged row is a reason not to open the card, never one to lose a file in silence.
pub(crate) fn check(flash: &Flash) -> Result<(), String> {
    let rows = flash.range(Kind::File.keys()).count();
    let whole = files(flash).len();
    if rows == whole { Ok(()) } else { Err(format!("{} of {rows} rows of the file table are damaged", rows - whole)) }
}

/// Names are 1 to 255 bytes, without `/` and zero bytes, and neither `.` nor `..`.
pub(crate) fn is_name(name: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
        && name != b"."
        && name != b".."
}

/// Removes a file; its room is free with the commit.
pub(crate) fn erase(flash: &mut Flash, id: u16) -> Result<(), FlashError> {
    let mut changes = Changes::new();
    changes.delete(Kind::File.key(u32::from(id)));
    flash.commit(changes)
}

/// Gives a file another name; a file that has that name goes in the same commit.
pub(crate) fn rename(flash: &mut Flash, file: &File, name: &[u8]) -> Result<(), FlashError> {
    let mut changes = Changes::new();
    if let Some(replaced) = by_name(flash, name).filter(|replaced| replaced.id != file.id) {
        changes.delete(Kind::File.key(u32::from(replaced.id)));
    }
    changes.put(Kind::File.key(u32::from(file.id)), File { name: name.to_vec(), ..file.clone() }.record());
    flash.commit(changes)
}

impl CommandStore {
    /// Reserves room for a file of `length` bytes.
    pub(crate) fn open(
        &mut self,
        flash: &mut Flash,
        name: &[u8],
        length: u32,
        authority: u8,
    ) -> Result<Result<WriteId, StatusWord>, FlashError> {
        if !is_name(name) {
            return Ok(Err(StatusWord::WRONG_DATA));
        }
        if self.writes.len() >= WRITES_MAX {
            return Ok(Err(StatusWord::CONDITIONS_NOT_SATISFIED));
        }
        let extent = match flash.reserve(u64::from(length.max(1))) {
            Ok(extent) => extent,
            Err(FlashError::Full { .. }) => return Ok(Err(StatusWord::NOT_ENOUGH_MEMORY)),
            Err(error) => return Err(error),
        };
        self.last_id = self.last_id.wrapping_add(1);
        let write =
            OpenWrite { name: name.to_vec(), extent, length, received: 0, checksum: Checksum::new(), authority };
        self.writes.insert(self.last_id, write);
        Ok(Ok(WriteId(self.last_id)))
    }

    /// Takes the next bytes. `Ok(false)`: no such write, or more bytes than announced.
    pub(crate) fn chunk(&mut self, flash: &mut Flash, id: WriteId, chunk: &[u8]) -> Result<bool, FlashError> {
        let Some(write) = self.writes.get_mut(&id.0) else { return Ok(false) };
        let end = u32::try_from(chunk.len()).ok().and_then(|length| write.received.checked_add(length));
        let Some(end) = end.filter(|end| *end <= write.length) else { return Ok(false) };
        flash.write(write.extent, u64::from(write.received), chunk)?;
        let header_left = BODY_OFFSET.saturating_sub(usize::try_from(write.received).unwrap_or(usize::MAX));
        write.checksum.update(chunk.get(header_left..).unwrap_or_default());
        write.received = end;
        Ok(true)
    }

    /// Checks the file and enters it into the table, in the place of one of the same name; durable on return.
    pub(crate) fn commit(&mut self, flash: &mut Flash, id: WriteId) -> Result<Option<Commit>, FlashError> {
        let Some(write) = self.writes.remove(&id.0) else { return Ok(None) };
        let commit = Self::enter(flash, write);
        commit.map(Some)
    }

    fn enter(flash: &mut Flash, write: OpenWrite) -> Result<Commit, FlashError> {
        let extent = write.extent;
        let end = |flash: &mut Flash, commit| {
            flash.release(extent);
            Ok(commit)
        };
        if write.received < write.length {
            return end(flash, Commit::Short);
        }
        let crc = write.checksum.finish();
        let contents = flash.view(extent, u64::from(write.length));
        let commands = match Batch::parse_with_checksum(&contents, crc) {
            Ok(batch) => batch.count(),
            Err(fault) => return end(flash, Commit::Damaged(fault)),
        };
        let replaced = by_name(flash, &write.name);
        let table = files(flash);
        let id = (1..=u16::MAX).find(|id| !table.iter().any(|file| file.id == *id));
        let room = replaced.is_some() || table.len() < FILES_MAX;
        let Some(id) = id.filter(|_| room) else { return end(flash, Commit::TableFull) };
        let file = File {
            id,
            name: write.name,
            size: write.length,
            direct_access: true,
            extent,
            authority: write.authority,
            commands,
            crc,
        };
        let mut changes = Changes::new();
        if let Some(replaced) = replaced {
            changes.delete(Kind::File.key(u32::from(replaced.id)));
        }
        changes.put(Kind::File.key(u32::from(id)), file.record());
        flash.commit(changes)?;
        Ok(Commit::Stored(id))
    }

    /// Gives a write up.
    pub(crate) fn abort(&mut self, flash: &mut Flash, id: WriteId) {
        if let Some(write) = self.writes.remove(&id.0) {
            flash.release(write.extent);
        }
    }
}

/// The batch that a START names, checked again: what the flash holds may have aged.
pub(crate) fn batch_in<'a>(
    contents: &'a [u8],
    offset: u32,
    length: u32,
) -> Result<Batch<'a>, Result<Fault, StatusWord>> {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = contents.get(from..).ok_or(Err(StatusWord::WRONG_OFFSET))?;
    let region = match usize::try_from(length) {
        Ok(0) => rest,
        Ok(length) => rest.get(..length).ok_or(Err(StatusWord::WRONG_OFFSET))?,
        Err(_) => return Err(Err(StatusWord::WRONG_OFFSET)),
    };
    if region.is_empty() {
        return Err(Ok(Fault { offset: 0, reason: Reason::HeaderCut }));
    }
    Batch::parse(region).map_err(Ok)
}
