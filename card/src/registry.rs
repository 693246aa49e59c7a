//! The registry: load files and applications, as records of the card's memory (GlobalPlatform 2.3.1 section 9.6).

use crate::memory::{Kind, Memory, Reader, Writer};
use crate::scp::keyset::KeySet;
use smcard_batch::aid::Aid;
use smcard_flash::{Extent, Key, Record};

/// AID that the issuer security domain of older cards has (Open Platform 2.0); the card manager answers to it as well.
pub(crate) const OLDER_CARD_MANAGER_AID: [u8; 8] = [0xA0, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00];

/// AID of the issuer security domain, that is of the card manager.
pub const CARD_MANAGER_AID: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];

/// The card manager's AID as a value.
pub(crate) fn card_manager() -> Aid {
    match Aid::new(&CARD_MANAGER_AID) {
        Ok(aid) => aid,
        Err(_) => unreachable!("eight bytes are an AID"),
    }
}

/// An executable load file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LoadFile {
    pub(crate) aid: Aid,
    pub(crate) domain: Aid,
    pub(crate) major: u8,
    pub(crate) minor: u8,
    /// Bytes of load file data in the extent.
    pub(crate) length: u32,
    pub(crate) modules: Vec<Aid>,
    /// Packages it stands on; they cannot be deleted before it.
    pub(crate) imports: Vec<Aid>,
}

/// An application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Application {
    pub(crate) aid: Aid,
    pub(crate) load_file: Aid,
    pub(crate) module: Aid,
    pub(crate) domain: Aid,
    pub(crate) privileges: [u8; 3],
    /// Life cycle without the lock (GlobalPlatform 2.3.1 table 11-4).
    pub(crate) state: u8,
    pub(crate) locked: bool,
}

impl Application {
    /// Installed, not selectable.
    pub(crate) const INSTALLED: u8 = 0x03;
    /// Selectable.
    pub(crate) const SELECTABLE: u8 = 0x07;

    /// The privilege "default selected", in the first byte (GlobalPlatform 2.3.1 table 6-1).
    pub(crate) const DEFAULT_SELECTED: u8 = 0x04;

    /// The privilege "card lock", in the first byte.
    pub(crate) const CARD_LOCK: u8 = 0x10;
    /// The privilege "card terminate", in the first byte.
    pub(crate) const CARD_TERMINATE: u8 = 0x08;
    /// The privilege "global lock", in the second byte.
    pub(crate) const GLOBAL_LOCK: u8 = 0x08;

    /// True where this application is current before anything is selected.
    pub(crate) fn is_default_selected(&self) -> bool {
        self.privileges[0] & Self::DEFAULT_SELECTED != 0
    }

    /// The state as GET STATUS shows it: bit 8 set where locked.
    pub(crate) fn shown_state(&self) -> u8 {
        self.state | if self.locked { 0x80 } else { 0 }
    }
}

/// A registry entry with its index.
#[derive(Clone, Debug)]
pub(crate) struct Indexed<T> {
    pub(crate) index: u32,
    pub(crate) entry: T,
    pub(crate) extent: Option<Extent>,
}

trait Entry: Sized {
    const KIND: Kind;
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
    fn write(&self) -> Vec<u8>;
}

impl Entry for LoadFile {
    const KIND: Kind = Kind::LoadFile;

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (aid, domain) = (reader.aid()?, reader.aid()?);
        let (major, minor, length) = (reader.u8()?, reader.u8()?, reader.u32()?);
        let mut aids = || -> Option<Vec<Aid>> {
            let count = reader.u8()?;
            (0..count).map(|_| reader.aid()).collect()
        };
        let (modules, imports) = (aids()?, aids()?);
        Some(LoadFile { aid, domain, major, minor, length, modules, imports })
    }

    fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new().aid(&self.aid).aid(&self.domain).u8(self.major).u8(self.minor).u32(self.length);
        for aids in [&self.modules, &self.imports] {
            let kept = aids.get(..usize::from(u8::MAX)).unwrap_or(aids);
            writer = writer.u8(u8::try_from(kept.len()).unwrap_or(u8::MAX));
            writer = kept.iter().fold(writer, Writer::aid);
        }
        writer.finish()
    }
}

impl Entry for Application {
    const KIND: Kind = Kind::Application;

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Application {
            aid: reader.aid()?,
            load_file: reader.aid()?,
            module: reader.aid()?,
            domain: reader.aid()?,
            privileges: reader.array()?,
            state: reader.u8()?,
            locked: match reader.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }

    fn write(&self) -> Vec<u8> {
        Writer::new()
            .aid(&self.aid)
            .aid(&self.load_file)
            .aid(&self.module)
            .aid(&self.domain)
            .raw(&self.privileges)
            .u8(self.state)
            .u8(u8::from(self.locked))
            .finish()
    }
}

fn decode<T: Entry>(record: &Record) -> Option<T> {
    let mut reader = Reader::new(&record.bytes);
    let entry = T::read(&mut reader)?;
    reader.end()?;
    Some(entry)
}

fn entries<T: Entry>(memory: &Memory) -> Vec<Indexed<T>> {
    let indexed =
        |(index, record): (u32, &Record)| Some(Indexed { index, entry: decode(record)?, extent: record.extent });
    memory.records(T::KIND).into_iter().filter_map(indexed).collect()
}

fn put<T: Entry>(memory: &mut Memory, index: u32, entry: &T, extent: Option<Extent>) {
    memory.put(T::KIND.key(index), Record { bytes: entry.write(), extent });
}

/// A damaged entry is a reason not to open the card, never one to lose it in silence.
pub(crate) fn check(memory: &Memory) -> Result<(), String> {
    let whole = |kind, decoded: usize| {
        let stored = memory.records(kind).len();
        if stored == decoded {
            Ok(())
        } else {
            Err(format!("{} of {stored} {kind:?} records are damaged", stored - decoded))
        }
    };
    whole(Kind::LoadFile, load_files(memory).len())?;
    whole(Kind::Application, applications(memory).len())?;
    let keys = memory.records(Kind::Keys);
    whole(Kind::Keys, keys.iter().filter(|(_, record)| KeySet::read(&record.bytes).is_some()).count())
}

/// False for a damaged entry of the registry.
pub(crate) fn is_whole(key: Key, record: &Record) -> bool {
    if Kind::LoadFile.has(key) {
        decode::<LoadFile>(record).is_some()
    } else if Kind::Application.has(key) {
        decode::<Application>(record).is_some()
    } else if Kind::Keys.has(key) {
        KeySet::read(&record.bytes).is_some()
    } else {
        true
    }
}

/// All load files, oldest first.
pub(crate) fn load_files(memory: &Memory) -> Vec<Indexed<LoadFile>> {
    entries(memory)
}

/// All applications, oldest first.
pub(crate) fn applications(memory: &Memory) -> Vec<Indexed<Application>> {
    entries(memory)
}

/// The load file with this AID.
pub(crate) fn load_file(memory: &Memory, aid: &Aid) -> Option<Indexed<LoadFile>> {
    load_files(memory).into_iter().find(|file| file.entry.aid == *aid)
}

/// The application with this AID.
pub(crate) fn application(memory: &Memory, aid: &Aid) -> Option<Indexed<Application>> {
    applications(memory).into_iter().find(|application| application.entry.aid == *aid)
}

/// True for the names of the card manager.
pub(crate) fn is_card_manager(aid: &[u8]) -> bool {
    aid == CARD_MANAGER_AID || aid == OLDER_CARD_MANAGER_AID
}

/// True where the AID names anything: a load file, an application or the card manager. It cannot be given twice.
pub(crate) fn is_taken(memory: &Memory, aid: &Aid) -> bool {
    is_card_manager(aid.as_bytes()) || load_file(memory, aid).is_some() || application(memory, aid).is_some()
}

/// The application with this index.
pub(crate) fn application_at(memory: &Memory, index: u32) -> Option<Application> {
    decode(memory.get(Kind::Application.key(index))?)
}

/// Enters a load file under a new index.
pub(crate) fn add_load_file(memory: &mut Memory, file: &LoadFile, extent: Extent) {
    let index = next_index(memory, Kind::LoadFile);
    put(memory, index, file, Some(extent));
}

/// Enters an application under a new index, which is returned.
pub(crate) fn add_application(memory: &mut Memory, application: &Application) -> u32 {
    let index = next_index(memory, Kind::Application);
    put(memory, index, application, None);
    index
}

/// Replaces an application's entry.
pub(crate) fn update_application(memory: &mut Memory, index: u32, application: &Application) {
    put(memory, index, application, None);
}

/// Removes an application and its data.
pub(crate) fn remove_application(memory: &mut Memory, index: u32) {
    memory.delete(Kind::Application.key(index));
    if memory.get(Kind::ApplicationData.key(index)).is_some() {
        memory.delete(Kind::ApplicationData.key(index));
    }
}

/// Removes a load file; its extent becomes free with the commit.
pub(crate) fn remove_load_file(memory: &mut Memory, index: u32) {
    memory.delete(Kind::LoadFile.key(index));
}

fn next_index(memory: &Memory, kind: Kind) -> u32 {
    memory.records(kind).last().map_or(0, |(index, _)| index.saturating_add(1))
}
