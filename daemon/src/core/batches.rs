//! Writing into the drop box: create, write, close, remove, rename.

use super::browse::Opened;
use super::state::{BatchHandle, Handle, State};
use super::{Caller, Core};
use crate::dropbox::directory::{EMPTY_MAX, Stored, printable};
use crate::dropbox::{Opening, Take};
use crate::job::{Job, OpenWrite, Parts, Write};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::terminal::inventory::is_file_name;
use crate::tree::{Attributes, ISSUE};
use smcard_link::NAME_MAX;
use std::sync::Arc;
use std::time::SystemTime;

/// What of the flags of `open(2)` matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OpenFlags {
    /// Opened for writing.
    pub write: bool,
    /// The name must not exist.
    pub exclusive: bool,
}

/// What a write comes to on the FUSE thread.
enum Written {
    /// Answered at once.
    Now(u32),
    /// Goes to the card thread; where the flag is set the writer is answered at once.
    Pass(Box<Write>, bool),
}

impl Core {
    /// Makes an empty file in the drop box and opens it. This is where a preparer learns that there is no channel.
    pub fn create(
        self: &Arc<Self>,
        caller: Caller,
        parent: u64,
        name: &[u8],
        flags: OpenFlags,
        reply: Reply<(Attributes, Opened)>,
    ) {
        if let Err(refusal) = in_issue(parent).and_then(|()| file_name(name)) {
            return reply.refuse(refusal);
        }
        let name = name.to_vec();
        let opener = self.new_batch_handle(caller, 0, true);
        self.with_channel(reply, move |core, reply| {
            reply.answer(core.update(|state| core.created(state, caller, &name, flags, opener)));
        });
    }

    fn created(
        &self,
        state: &mut State,
        caller: Caller,
        name: &[u8],
        flags: OpenFlags,
        mut handle: Handle,
    ) -> Result<(Attributes, Opened), Refusal> {
        if state.directory.by_name(name).is_some() {
            if flags.exclusive {
                return Err(Refusal::Exists);
            }
        } else if state.directory.empty_files() >= EMPTY_MAX {
            return Err(Refusal::TooManyFiles(EMPTY_MAX));
        }
        let ino = state.directory.create(name, caller.uid, SystemTime::now());
        if let Handle::Batch(batch) = &mut handle {
            batch.ino = ino;
        }
        state.directory.opened(ino);
        let fh = state.open(handle);
        Ok((self.batch_attributes(state, ino)?, Opened { fh, stream: false }))
    }

    pub(super) fn open_batch(self: &Arc<Self>, caller: Caller, ino: u64, flags: OpenFlags, reply: Reply<Opened>) {
        let handle = self.new_batch_handle(caller, ino, flags.write);
        let open = move |core: &Arc<Core>, reply: Reply<Opened>| {
            reply.answer(core.update(|state| {
                state.directory.get(ino).filter(|batch| batch.linked).ok_or(Refusal::NotFound)?;
                state.directory.opened(ino);
                Ok(Opened { fh: state.open(handle), stream: false })
            }));
        };
        // Opening for reading is harmless and rsync does it; it is read(2) that is refused.
        if flags.write { self.with_channel(reply, open) } else { open(self, reply) }
    }

    /// Writes into an open file: the next bytes of a batch, or one whole command into the control file.
    pub fn write(self: &Arc<Self>, fh: u64, offset: u64, data: &[u8], reply: Reply<u32>) {
        let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let written = self.update(|state| match state.handles.get_mut(&fh) {
            Some(Handle::Control(control)) if control.writable => control.write(data).map(|()| Written::Now(size)),
            Some(Handle::Record(handle)) if handle.writable => self.order(data).map(|()| Written::Now(size)),
            Some(Handle::Batch(handle)) if handle.writable => {
                let written = self.take(state, fh, offset, data, size);
                if let (Err(_), Ok(handle)) = (&written, state.batch_handle(fh)) {
                    handle.refused = true;
                }
                written
            }
            _ => Err(Refusal::BadHandle),
        });
        match written {
            Err(refusal) => reply.refuse(refusal),
            Ok(Written::Now(size)) => reply.ok(size),
            Ok(Written::Pass(write, false)) => {
                // Bounded: a file has one write under way at a time, as the kernel locks it.
                drop(self.queue.push_always(Job::Write(Write { reply: Some(reply), ..*write })));
            }
            Ok(Written::Pass(write, true)) => match self.queue.push_always(Job::Write(*write)) {
                Ok(()) => reply.ok(size),
                Err(_) => reply.refuse(Refusal::Ending),
            },
        }
    }

    fn take(&self, state: &mut State, fh: u64, offset: u64, data: &[u8], size: u32) -> Result<Written, Refusal> {
        state.present()?;
        if state.view.running.is_some() {
            return Err(Refusal::Issuing);
        }
        let dialogue = state.dialogue.is_some();
        let handle = state.batch_handle(fh)?;
        if dialogue && handle.upload.is_empty() {
            return Err(Refusal::Dialogue);
        }
        let ino = handle.ino;
        let failed_before = handle.upload.refusal().is_some();
        let batch = state.directory.get(ino).ok_or(Refusal::Removed)?;
        if !batch.linked && !failed_before {
            return Err(Refusal::Removed);
        }
        if batch.upload.is_some_and(|other| other != fh) {
            return Err(Refusal::Receiving);
        }
        let name = batch.name.clone();
        let upload = &mut state.batch_handle(fh)?.upload;
        let take = upload.take(offset, data);
        let failed = upload.refusal().is_some();
        let (opening, last) = match take {
            Ok(Take::Keep) => {
                if !data.is_empty() {
                    self.claim(state, ino, fh);
                }
                return Ok(Written::Now(size));
            }
            Ok(Take::Pass { opening, last }) => (opening, last),
            Err(refusal) => {
                if failed && !failed_before {
                    self.claim(state, ino, fh);
                    self.give_up(state, fh, &refusal);
                }
                return Err(refusal);
            }
        };
        let length = upload.length();
        self.claim(state, ino, fh);
        let kept = opening.as_ref().map_or(&[][..], |opening: &Opening| &opening.kept);
        let chunk = state.pool.fill(&[kept, data]);
        let ahead = opening.is_none() && !last && state.pool.has_room();
        let open = opening.map(|_| OpenWrite { name });
        Ok(Written::Pass(Box::new(Write { fh, ino, length, open, chunk, last, size, reply: None }), ahead))
    }

    fn claim(&self, state: &mut State, ino: u64, fh: u64) {
        if let Some(batch) = state.directory.get_mut(ino) {
            batch.upload = Some(fh);
        }
    }

    /// A descriptor of the file is closed; the close shows what this answers.
    ///
    /// # Errors
    /// The refusal of a failed upload; [`Refusal::CutShort`] to the process that opened the file.
    pub fn flush(&self, caller: Caller, fh: u64) -> Result<(), Refusal> {
        let asks = self.update(|state| match state.handles.get_mut(&fh) {
            Some(Handle::Batch(handle)) if handle.writable => {
                let unfinished = handle.upload.is_receiving() && !handle.upload.is_whole();
                if unfinished { Ok(true) } else { handle.upload.flush(false).map(|()| false) }
            }
            _ => Ok(false),
        })?;
        if !asks {
            return Ok(());
        }
        let process = (self.process_of)(caller.tid).filter(|process| *process != 0);
        self.update(|state| {
            let handle = state.batch_handle(fh)?;
            let flushed = handle.upload.flush(process == Some(handle.opener));
            if let Err(refusal @ Refusal::CutShort { .. }) = &flushed {
                self.give_up(state, fh, refusal);
            }
            flushed
        })
    }

    /// The last descriptor of an open file is gone. Nobody sees an answer any more, so a batch that is cut short here is
    /// told by log and `status` alone.
    pub fn release(&self, fh: u64) {
        self.update(|state| {
            let mut end_dialogue = false;
            match state.handles.get(&fh) {
                Some(Handle::Batch(handle)) => {
                    let (ino, refused) = (handle.ino, handle.refused);
                    if handle.upload.is_receiving() {
                        let cut_short = handle.upload.cut_short();
                        self.give_up(state, fh, &cut_short);
                    } else if refused && handle.upload.is_empty() {
                        state.directory.upload_ended(ino, fh);
                    }
                    state.directory.closed(ino);
                }
                Some(Handle::Control(_)) if state.dialogue == Some(fh) => end_dialogue = true,
                _ => {}
            }
            state.handles.remove(&fh);
            if end_dialogue {
                state.dialogue = None;
                // Refused only where the daemon is ending.
                let _ = self.queue.push_always(Job::EndDialogue);
            }
        });
    }

    /// Ends an upload without success: the reason is kept for later calls, log and `status`; the card forgets it.
    pub(crate) fn give_up(&self, state: &mut State, fh: u64, refusal: &Refusal) {
        let Ok(handle) = state.batch_handle(fh) else { return };
        handle.upload.fail(refusal.clone());
        let ino = handle.ino;
        let name = state.directory.get(ino).map(|batch| batch.display()).unwrap_or_default();
        log::log!(refusal.level().min(log::Level::Warn), "issue/{name}: upload refused: {refusal}");
        state.view.upload_error = format!("{name}: {refusal}");
        state.directory.upload_ended(ino, fh);
        state.changed();
        if !state.receiving() {
            state.pool.wipe();
        }
        // Refused only where the daemon is ending.
        let _ = self.queue.push_always(Job::Abort { fh });
    }

    /// The card has taken a batch.
    pub(crate) fn uploaded(&self, state: &mut State, write: (u64, u64), id: u16, exchanges: u64) {
        let (fh, ino) = write;
        let Ok(BatchHandle { upload, uid, .. }) = state.batch_handle(fh) else { return };
        upload.complete();
        let size = u32::try_from(upload.received()).unwrap_or(u32::MAX);
        let stored = Stored { id, size, commands: upload.commands(), confirm: Some(upload.wants_confirm()), exchanges };
        let uid = *uid;
        if let Some(batch) = state.directory.get_mut(ino) {
            log::info!("issue/{}: {size} bytes, {} commands, file {id:04X}", batch.display(), stored.commands);
            let before = batch.stored.replace(stored).map_or(0, |before| before.size);
            batch.upload = None;
            batch.uid = uid;
            batch.mtime = SystemTime::now();
            let memory = &mut state.view.memory;
            memory.free = memory.free.saturating_add(u64::from(before)).saturating_sub(u64::from(size));
            memory.largest = memory.largest.min(memory.free);
        }
        state.view.upload_error.clear();
        state.view.ended_is_news = false;
        state.changed();
        if !state.receiving() {
            state.pool.wipe();
        }
    }

    /// Removes a file from the drop box.
    pub fn unlink(self: &Arc<Self>, parent: u64, name: &[u8], reply: Reply<()>) {
        let erase = self.update(|state| {
            in_issue(parent)?;
            state.idle(None)?;
            let batch = state.directory.by_name(name).ok_or(Refusal::NotFound)?;
            let (ino, stored) = (batch.ino, batch.stored.is_some());
            if let Some(fh) = batch.upload {
                if state.batch_handle(fh).is_ok_and(|handle| handle.upload.is_whole()) {
                    return Err(Refusal::Receiving);
                }
                self.give_up(state, fh, &Refusal::Removed);
            }
            if !stored {
                state.directory.unlink(ino);
            }
            Ok(stored.then_some(ino))
        });
        match erase {
            Err(refusal) => reply.refuse(refusal),
            Ok(None) => reply.ok(()),
            Ok(Some(ino)) => self.push_or_refuse(reply, |reply| Job::Erase { ino, reply }),
        }
    }

    /// Renames a file within the drop box; with `keep` an existing name is left alone.
    pub fn rename(self: &Arc<Self>, from: (u64, &[u8]), to: (u64, &[u8]), keep: bool, reply: Reply<()>) {
        let rename = self.update(|state| {
            in_issue(from.0)?;
            in_issue(to.0)?;
            file_name(to.1)?;
            state.idle(None)?;
            let batch = state.directory.by_name(from.1).ok_or(Refusal::NotFound)?;
            let target = state.directory.by_name(to.1);
            if keep && target.is_some() {
                return Err(Refusal::Exists);
            }
            if batch.upload.is_some() || target.is_some_and(|target| target.upload.is_some()) {
                return Err(Refusal::Receiving);
            }
            if target.is_some_and(|target| target.ino == batch.ino) {
                return Ok(None);
            }
            let (ino, stored) = (batch.ino, batch.stored.is_some());
            if !stored {
                if target.is_some_and(|target| target.stored.is_some()) {
                    return Err(Refusal::NotPermitted("an empty file cannot take the place of a batch"));
                }
                state.directory.rename(ino, to.1);
            }
            Ok(stored.then_some(ino))
        });
        let name = to.1.to_vec();
        match rename {
            Err(refusal) => reply.refuse(refusal),
            Ok(None) => reply.ok(()),
            Ok(Some(ino)) => self.push_or_refuse(reply, |reply| Job::Rename { ino, name, reply }),
        }
    }

    fn push_or_refuse(&self, reply: Reply<()>, job: impl FnOnce(Reply<()>) -> Job) {
        match self.queue.push(job(reply)) {
            Ok(()) => {}
            Err(Job::Erase { reply, .. } | Job::Rename { reply, .. }) => reply.refuse(self.not_taken()),
            Err(other) => drop(other),
        }
    }

    /// The card has removed a batch.
    pub(crate) fn erased(&self, state: &mut State, ino: u64) {
        if let Some(batch) = state.directory.get(ino) {
            log::info!("issue/{}: removed", batch.display());
        }
        state.directory.unlink(ino);
        state.stale = state.stale.and(Parts::MEMORY);
        state.changed();
    }

    /// The card has renamed a batch.
    pub(crate) fn renamed(&self, state: &mut State, ino: u64, name: &[u8]) {
        log::info!("issue/{}: has a new name", printable(name));
        state.directory.rename(ino, name);
        state.stale = state.stale.and(Parts::MEMORY);
        state.changed();
    }
}

fn in_issue(parent: u64) -> Result<(), Refusal> {
    if parent == ISSUE { Ok(()) } else { Err(Refusal::NotPermitted("files are made in issue/ only")) }
}

fn file_name(name: &[u8]) -> Result<(), Refusal> {
    match name.len() {
        _ if is_file_name(name) => Ok(()),
        length if length > NAME_MAX => Err(Refusal::NameTooLong),
        _ => Err(Refusal::Invalid("not a file name")),
    }
}
