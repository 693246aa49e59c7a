//! What the two threads share.

use crate::apps::Apps;
use crate::control::{Control, Waker};
use crate::dropbox::pool::Pool;
use crate::dropbox::{Directory, Upload};
use crate::job::Parts;
use crate::refusal::Refusal;
use crate::status::View;
use crate::tree::BATCHES;
use smcard_ioctl::OperationKind;
use smcard_link::Recorder;
use std::collections::HashMap;
use std::sync::Arc;

/// An open batch.
#[derive(Debug)]
pub struct BatchHandle {
    /// Its inode number.
    pub ino: u64,
    /// The process that opened it; 0 = not known.
    pub opener: u32,
    /// Who opened it.
    pub uid: u32,
    /// Opened for writing.
    pub writable: bool,
    /// A write was refused though nothing is wrong with the bytes: an empty file is not worth keeping.
    pub refused: bool,
    /// What came through it.
    pub upload: Upload,
}

/// An open file or folder.
#[derive(Debug)]
pub enum Handle {
    /// A batch.
    Batch(BatchHandle),
    /// The control file.
    Control(Box<Control>),
    /// A value, as it was when it was opened.
    Value(Vec<u8>),
    /// The recording; where it was opened for reading the batch as it was then.
    Record(super::record::RecordHandle),
    /// A folder, as it was when it was opened.
    Folder(Vec<super::DirEntry>),
}

/// Everything the two threads share.
#[derive(Debug)]
pub struct State {
    /// What is known of the card.
    pub view: View,
    /// `issue/`.
    pub directory: Directory,
    /// `apps/`.
    pub apps: Apps,
    /// What of it is stale.
    pub stale: Parts,
    /// Buffers on their way.
    pub pool: Pool,
    /// Open files.
    pub handles: HashMap<u64, Handle>,
    /// The open control file that is in a dialogue with the card.
    pub dialogue: Option<u64>,
    /// What crossed the wire.
    pub trace: Arc<Recorder>,
    /// The card thread has something to do.
    pub busy: bool,
    /// The daemon is about to end: the card is not to be had any more.
    pub ending: bool,
    next_handle: u64,
    next_ticket: u64,
    news: bool,
}

impl State {
    pub(super) fn new(view: View, trace: Arc<Recorder>) -> Self {
        State {
            view,
            directory: Directory::new(BATCHES),
            apps: Apps::default(),
            stale: Parts::APPS,
            pool: Pool::default(),
            handles: HashMap::new(),
            dialogue: None,
            trace,
            busy: false,
            ending: false,
            next_handle: 1,
            next_ticket: 1,
            news: false,
        }
    }

    /// Notes a change that waiting programs want to know.
    pub fn changed(&mut self) {
        self.view.generation += 1;
        self.news = true;
    }

    /// Notes that a program may find a result.
    pub fn has_news(&mut self) {
        self.news = true;
    }

    /// Keeps an open file and gives its number.
    pub fn open(&mut self, handle: Handle) -> u64 {
        let fh = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(fh, handle);
        fh
    }

    /// The open batch with this number.
    ///
    /// # Errors
    /// [`Refusal::BadHandle`].
    pub fn batch_handle(&mut self, fh: u64) -> Result<&mut BatchHandle, Refusal> {
        match self.handles.get_mut(&fh) {
            Some(Handle::Batch(handle)) => Ok(handle),
            _ => Err(Refusal::BadHandle),
        }
    }

    /// Why the upload of an open batch has failed, where it has.
    #[must_use]
    pub fn upload_refusal(&self, fh: u64) -> Option<Refusal> {
        match self.handles.get(&fh) {
            Some(Handle::Batch(handle)) => handle.upload.refusal(),
            _ => None,
        }
    }

    /// The open control file with this number.
    ///
    /// # Errors
    /// [`Refusal::NotAnIoctl`]: its callers come from ioctl and poll.
    pub fn control(&mut self, fh: u64) -> Result<&mut Control, Refusal> {
        match self.handles.get_mut(&fh) {
            Some(Handle::Control(control)) => Ok(control),
            _ => Err(Refusal::NotAnIoctl),
        }
    }

    pub(super) fn ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }

    /// Refuses what needs the card while there is none.
    pub(super) fn present(&self) -> Result<(), Refusal> {
        match self {
            State { ending: true, .. } => Err(Refusal::Ending),
            State { view: View { gone: true, .. }, .. } => Err(Refusal::Gone),
            _ => Ok(()),
        }
    }

    /// Refuses what needs the card now: it is gone, issues itself, or speaks with somebody else than `fh`.
    pub(super) fn idle(&self, fh: Option<u64>) -> Result<(), Refusal> {
        self.present()?;
        if self.view.running.is_some() {
            return Err(Refusal::Issuing);
        }
        match self.dialogue {
            Some(other) if Some(other) != fh => Err(Refusal::Dialogue),
            _ => Ok(()),
        }
    }

    /// Whether a writer may begin: `true` where the secure channel is open, `false` where it must be tried.
    ///
    /// # Errors
    /// The card is not free, or there can be no channel.
    pub(super) fn admit(&self) -> Result<bool, Refusal> {
        self.idle(None)?;
        match &self.view.no_channel {
            _ if self.view.auth_level != 0 => Ok(true),
            Some(reason) => Err(Refusal::NotAuthenticated(reason.clone())),
            None => Ok(false),
        }
    }

    /// True while bytes of a batch are on their way.
    pub(super) fn receiving(&self) -> bool {
        self.handles.values().any(|handle| matches!(handle, Handle::Batch(batch) if batch.upload.is_receiving()))
    }

    /// The stale ones of the wanted parts, or none where the card is not to be asked now.
    pub(super) fn refreshable(&self, wanted: Parts) -> Parts {
        if wanted == Parts::NONE {
            return Parts::NONE;
        }
        let mut stale = self.stale.within(wanted.and(Parts::ISSUE));
        if self.view.auth_level == 0 && self.view.no_channel.is_some() {
            stale = stale.without(Parts::APPS);
        }
        if stale == Parts::NONE || self.idle(None).is_err() || self.receiving() {
            return Parts::NONE;
        }
        let awaited =
            |handle: &Handle| matches!(handle, Handle::Control(control) if control.awaits(OperationKind::Start));
        if self.handles.values().any(awaited) { Parts::NONE } else { stale }
    }

    /// Those to be woken after a change.
    pub(super) fn wakers(&mut self) -> Vec<Waker> {
        let generation = self.view.generation;
        let mut wakers = Vec::new();
        if !std::mem::take(&mut self.news) {
            return wakers;
        }
        for handle in self.handles.values_mut() {
            if let Handle::Control(control) = handle {
                wakers.extend(control.wake(generation));
            }
        }
        wakers
    }
}
