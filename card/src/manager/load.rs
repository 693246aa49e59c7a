//! LOAD (GlobalPlatform 2.3.1 section 11.6): a load file comes in blocks, or in one command by direct reference.
//!
//! Blocks are collected in RAM up to [`BUFFER_MAX`] and then go to the room reserved for the load file; a LOAD that
//! carries the whole file (the direct form in a batch) is checked where it stands and written from there.

use super::Manager;
use crate::memory::{Kind, Reader, Writer};
use crate::refusal::{Outcome, Refusal, Response, refuse};
use crate::registry::{self, LoadFile};
use crate::tlv;
use smcard_batch::aid::Aid;
use smcard_batch::load_file::LoadFile as Contents;
use smcard_batch::{CommandApdu, StatusWord};
use smcard_flash::{Extent, FlashError, Record};

/// Bytes collected before they are written.
const BUFFER_MAX: usize = 64 * 1024;
/// Tag of the load file data block; its length announces the whole.
const TAG_LOAD_FILE_DATA: u16 = 0xC4;
const LAST: u8 = 0x80;

/// Packages that every card has (Java Card 3.1 API; GlobalPlatform API), with the newest version served.
pub(super) const BUILT_IN: [(&[u8], (u8, u8)); 11] = [
    (&[0xA0, 0x00, 0x00, 0x00, 0x62, 0x00, 0x01], (1, 8)),
    (&[0xA0, 0x00, 0x00, 0x00, 0x62, 0x00, 0x02], (1, 0)),
    (&[0xA0, 0x00, 0x00, 0x00, 0x62, 0x00, 0x03], (1, 0)),
    (&[0xA0, 0x00, 0x00, 0x00, 0x62, 0x01, 0x01], (1, 8)),
    (&[0xA0, 0x00, 0x00, 0x00, 0x62, 0x01, 0x01, 0x01], (1, 0)),
    (&[0xA0, 0x00, 0x00, 0x00, 0x62, 0x01, 0x02], (1, 8)),
    (&[0xA0, 0x00, 0x00, 0x00, 0x62, 0x02, 0x01], (1, 8)),
    (&[0xA0, 0x00, 0x00, 0x00, 0x62, 0x02, 0x09], (1, 1)),
    (&[0xA0, 0x00, 0x00, 0x00, 0x62, 0x02, 0x08, 0x01], (1, 2)),
    (&[0xA0, 0x00, 0x00, 0x01, 0x51, 0x00], (1, 7)),
    (&[0xA0, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00], (1, 0)),
];

/// A load that has begun with INSTALL [for load].
pub(super) struct LoadSession {
    aid: Aid,
    domain: Aid,
    next_block: u32,
    /// Known once the first block has come.
    file: Option<Incoming>,
}

/// Where the load file data goes.
struct Incoming {
    extent: Extent,
    total: u32,
    written: u32,
    buffer: Vec<u8>,
}

impl LoadSession {
    pub(super) fn new(aid: Aid, domain: Aid) -> Self {
        LoadSession { aid, domain, next_block: 0, file: None }
    }
}

impl Incoming {
    fn received(&self) -> u64 {
        u64::from(self.written) + u64::try_from(self.buffer.len()).unwrap_or(u64::MAX)
    }
}

impl Manager {
    pub(super) fn load(&mut self, command: &CommandApdu<'_>) -> Outcome {
        let Some(mut session) = self.context.load.take() else {
            log::info!("LOAD without INSTALL [for load]");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        };
        let done = self.take_block(&mut session, command);
        match done {
            Ok(false) => {
                self.context.load = Some(session);
                Ok(Response::data(vec![0x00]))
            }
            Ok(true) => {
                self.forget_load_record();
                Ok(Response::data(vec![0x00]))
            }
            Err(refusal) => {
                self.context.load = Some(session);
                self.abort_load();
                Err(refusal)
            }
        }
    }

    /// True where the load file is complete and entered.
    fn take_block(&mut self, session: &mut LoadSession, command: &CommandApdu<'_>) -> Result<bool, Refusal> {
        let last = command.p1 & LAST != 0;
        if command.p1 & !LAST != 0 || u32::from(command.p2) != session.next_block {
            return refuse(StatusWord::WRONG_P1_P2);
        }
        let mut data = command.data;
        if session.file.is_none() {
            let (tag, total, rest) = tlv::header(data).ok_or(StatusWord::WRONG_DATA)?;
            if tag != TAG_LOAD_FILE_DATA || total == 0 {
                log::info!("LOAD: the first block begins with tag {tag:02X}, not with load file data");
                return refuse(StatusWord::WRONG_DATA);
            }
            let extent = self.memory.reserve(u64::from(total))?;
            session.file = Some(Incoming { extent, total, written: 0, buffer: Vec::new() });
            data = rest;
        }
        let Some(incoming) = &mut session.file else { return refuse(StatusWord::NO_DIAGNOSIS) };
        let received = incoming.received() + u64::try_from(data.len()).unwrap_or(u64::MAX);
        if received > u64::from(incoming.total) || (last && received != u64::from(incoming.total)) {
            log::info!("LOAD: {received} bytes of load file data where {} were announced", incoming.total);
            return refuse(StatusWord::WRONG_DATA);
        }
        if last {
            let aids = (session.aid, session.domain);
            self.complete(aids, incoming, data)?;
            return Ok(true);
        }
        if incoming.buffer.len() + data.len() > BUFFER_MAX {
            self.write_out(incoming)?;
        }
        if data.len() > BUFFER_MAX {
            self.memory.write(incoming.extent, u64::from(incoming.written), data)?;
            incoming.written = u32::try_from(received).unwrap_or(u32::MAX);
        } else {
            incoming.buffer.extend_from_slice(data);
        }
        session.next_block =
            session.next_block.checked_add(1).filter(|next| *next < 256).ok_or(StatusWord::WRONG_P1_P2)?;
        Ok(false)
    }

    /// Checks the whole load file and enters it. Where one command carries it all, it is checked in place, before the
    /// first byte of it is copied.
    fn complete(&mut self, aids: (Aid, Aid), incoming: &mut Incoming, data: &[u8]) -> Result<(), Refusal> {
        let extent = incoming.extent;
        let file = if incoming.received() == 0 {
            let file = self.check(aids, data)?;
            self.memory.write(extent, 0, data)?;
            file
        } else {
            self.write_out(incoming)?;
            self.memory.write(extent, u64::from(incoming.written), data)?;
            let contents = self.memory.view(extent, incoming.total);
            self.check(aids, &contents)?
        };
        if registry::is_taken(&self.memory, &file.aid) {
            log::info!("LOAD: AID {} has come onto the card through another channel", file.aid);
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        registry::add_load_file(&mut self.memory, &file, extent);
        Ok(())
    }

    fn write_out(&mut self, incoming: &mut Incoming) -> Result<(), FlashError> {
        if incoming.buffer.is_empty() {
            return Ok(());
        }
        self.memory.write(incoming.extent, u64::from(incoming.written), &incoming.buffer)?;
        incoming.written = u32::try_from(incoming.received()).unwrap_or(u32::MAX);
        incoming.buffer.clear();
        Ok(())
    }

    /// The structural check: components, imports, AIDs.
    fn check(&self, (aid, domain): (Aid, Aid), data: &[u8]) -> Result<LoadFile, Refusal> {
        // It was free when the load began; an issue, or another interface, may have been faster.
        if registry::is_taken(&self.memory, &aid) {
            log::info!("LOAD: AID {aid} has come onto the card meanwhile");
            return refuse(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let contents = Contents::parse(data).map_err(|fault| {
            log::info!("LOAD: load file {aid}: {fault}");
            StatusWord::WRONG_DATA
        })?;
        let package = contents.package();
        if package.aid != aid.as_bytes() {
            log::info!("LOAD: INSTALL [for load] named {aid}, the load file is another package");
            return refuse(StatusWord::WRONG_DATA);
        }
        let mut imports = Vec::new();
        for import in contents.imports() {
            let name = Aid::new(import.aid).or(Err(StatusWord::WRONG_DATA))?;
            if let Some((_, newest)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == import.aid) {
                if !serves(*newest, (import.major, import.minor)) {
                    log::info!("LOAD: {aid} needs version {}.{} of {name}", import.major, import.minor);
                    return refuse(StatusWord::REFERENCE_NOT_FOUND);
                }
                continue;
            }
            let loaded = registry::load_file(&self.memory, &name).map(|found| found.entry);
            if !loaded.is_some_and(|file| serves((file.major, file.minor), (import.major, import.minor))) {
                log::info!("LOAD: {aid} needs {name} version {}.{}, which the card lacks", import.major, import.minor);
                return refuse(StatusWord::REFERENCE_NOT_FOUND);
            }
            imports.push(name);
        }
        let modules = contents.applets().map(|applet| Aid::new(applet.aid)).collect::<Result<Vec<_>, _>>();
        Ok(LoadFile {
            aid,
            domain,
            major: package.major,
            minor: package.minor,
            length: u32::try_from(data.len()).or(refuse(StatusWord::WRONG_DATA))?,
            modules: modules.or(refuse(StatusWord::WRONG_DATA))?,
            imports,
        })
    }

    /// Gives a load up and its room back (section 9.3.5: on failure memory is reclaimed).
    pub(crate) fn abort_load(&mut self) {
        self.drop_load();
        self.forget_load_record();
    }

    /// The session of a load ends; what an unfinished issue has saved of it stays.
    pub(crate) fn drop_load(&mut self) {
        if let Some(LoadSession { file: Some(incoming), .. }) = self.context.load.take() {
            self.memory.release(incoming.extent);
        }
    }

    /// Stages the load in hand as a record, so that an issue interrupted behind this point can go on with it.
    pub(crate) fn save_load(&mut self) -> Result<(), FlashError> {
        let Some(mut session) = self.context.load.take() else { return Ok(()) };
        if let Some(incoming) = &mut session.file {
            self.write_out(incoming)?;
        }
        let writer = Writer::new().aid(&session.aid).aid(&session.domain).u32(session.next_block);
        let file = session.file.as_ref();
        let writer = writer.u32(file.map_or(0, |file| file.total)).u32(file.map_or(0, |file| file.written));
        let record = Record { bytes: writer.finish(), extent: file.map(|file| file.extent) };
        self.memory.put(Kind::LoadSession.key(0), record);
        self.context.load = Some(session);
        Ok(())
    }

    /// Takes the load that an interrupted issue has saved back in hand.
    pub(crate) fn restore_load(&mut self) {
        self.context.load = self.memory.get(Kind::LoadSession.key(0)).and_then(|record| {
            let mut reader = Reader::new(&record.bytes);
            let (aid, domain, next_block) = (reader.aid()?, reader.aid()?, reader.u32()?);
            let (total, written) = (reader.u32()?, reader.u32()?);
            let file = record.extent.map(|extent| Incoming { extent, total, written, buffer: Vec::new() });
            Some(LoadSession { aid, domain, next_block, file })
        });
    }

    fn forget_load_record(&mut self) {
        if self.memory.in_group() && self.memory.get(Kind::LoadSession.key(0)).is_some() {
            self.memory.delete(Kind::LoadSession.key(0));
        }
    }
}

/// Java Card's rule: same major version, at least the minor version (JCVM specification section 4.5.2).
fn serves((major, minor): (u8, u8), (wanted_major, wanted_minor): (u8, u8)) -> bool {
    major == wanted_major && minor >= wanted_minor
}
