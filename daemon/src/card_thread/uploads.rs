//! Files into the card, out of it, and their names.

use super::{Answering, OpenedWrite, Worker};
use crate::dropbox::Directory;
use crate::job::{Parts, Write};
use crate::refusal::Refusal;
use smcard_link::LinkError;

impl Worker {
    pub(super) fn write(&mut self, write: Write) -> Answering {
        let Write { fh, ino, length, open, chunk, last, size, reply } = write;
        let written = self.pass(fh, length, open.map(|open| open.name), chunk.as_bytes(), last);
        self.core.update(|state| {
            state.pool.take_back(chunk);
            match &written {
                Ok(Some((id, exchanges))) => self.core.uploaded(state, (fh, ino), *id, *exchanges),
                Ok(None) => {}
                // One that was given up meanwhile keeps its reason.
                Err(refusal) if state.upload_refusal(fh).is_none() => self.core.give_up(state, fh, refusal),
                Err(_) => {}
            }
        });
        Box::new(move |_| {
            if let Some(reply) = reply {
                reply.answer(written.map(|_| size));
            }
        })
    }

    /// Passes bytes of a file on; with the last ones its identifier and the exchanges it took.
    fn pass(
        &mut self,
        fh: u64,
        length: u32,
        open: Option<Vec<u8>>,
        bytes: &[u8],
        last: bool,
    ) -> Result<Option<(u16, u64)>, Refusal> {
        if let Some(name) = open {
            // Opening a channel is no part of the upload.
            self.manager.ensure_channel()?;
            let before = self.manager.exchanges();
            let id = self.manager.write_open(&name, length)?;
            self.writes.insert(fh, OpenedWrite { id, exchanges: self.manager.exchanges() - before });
        }
        let failed = || self.core.read(|state| state.upload_refusal(fh));
        let Some(write) = self.writes.get(&fh) else {
            return Err(failed().unwrap_or(LinkError::Write("the card has forgotten the file").into()));
        };
        let (id, mut exchanges) = (write.id, write.exchanges);
        self.manager.write_chunk(id, bytes)?;
        if !last {
            return Ok(None);
        }
        self.writes.remove(&fh);
        let before = self.manager.exchanges();
        let file = self.manager.write_commit(id, length)?;
        exchanges += self.manager.exchanges() - before;
        Ok(Some((file, exchanges)))
    }

    pub(super) fn erase(&mut self, ino: u64) -> Result<(), Refusal> {
        let id = self.core.read(|state| stored_id(&state.directory, ino)).ok_or(Refusal::NotFound)?;
        match self.manager.erase(id) {
            // It is gone already: that is what was wanted.
            Err(Refusal::Card { sw, .. }) if matches!(sw.0, 0x6A82 | 0x6A88) => {}
            result => result?,
        }
        self.core.update(|state| self.core.erased(state, ino));
        self.refresh(Parts::MEMORY)
    }

    pub(super) fn rename(&mut self, ino: u64, name: &[u8]) -> Result<(), Refusal> {
        let (id, replace) = self.core.read(|state| {
            let target = state.directory.by_name(name).is_some_and(|target| target.stored.is_some());
            (stored_id(&state.directory, ino), target)
        });
        self.manager.rename(id.ok_or(Refusal::NotFound)?, name, replace)?;
        self.core.update(|state| self.core.renamed(state, ino, name));
        if replace { self.refresh(Parts::MEMORY) } else { Ok(()) }
    }
}

fn stored_id(directory: &Directory, ino: u64) -> Option<u16> {
    directory.get(ino)?.stored.as_ref().map(|stored| stored.id)
}
