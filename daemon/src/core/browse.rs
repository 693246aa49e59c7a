//! Looking around: names, attributes, folders, values.

use super::state::{BatchHandle, Handle, State};
use super::{Caller, Core};
use crate::apps::AppField;
use crate::control::Control;
use crate::dropbox::Upload;
use crate::job::Parts;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::tree::{Attributes, Node};
use crate::values::CardValue;
use smcard_link::{NAME_MAX, Recorder};
use std::sync::Arc;
use std::time::Instant;

/// Block size that `statfs(2)` counts in.
const BLOCK: u32 = 4096;
/// Files the card's table can hold at most: identifiers have two bytes.
const FILES_MAX: u64 = 65_536;

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Inode number.
    pub ino: u64,
    /// True for folders.
    pub directory: bool,
    /// Name.
    pub name: Vec<u8>,
}

/// What `statfs(2)` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatFs {
    /// Blocks of protected memory.
    pub blocks: u64,
    /// Free ones.
    pub free: u64,
    /// Files the table can hold.
    pub files: u64,
    /// Those it can still take.
    pub files_free: u64,
    /// Bytes of a block.
    pub block: u32,
}

/// An open file and how the kernel is to treat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub fh: u64,
    /// It has no position: each read and write is a message of its own.
    pub stream: bool,
}

impl Core {
    /// Finds a name in a folder.
    pub fn lookup(self: &Arc<Self>, parent: u64, name: &[u8], reply: Reply<Attributes>) {
        let name = name.to_vec();
        let wanted = match Node::from_ino(parent) {
            Some(Node::Issue) => Parts::FILES,
            Some(Node::Apps) => Parts::APPS,
            _ => Parts::NONE,
        };
        self.fresh(wanted, move |core| reply.answer(core.find(parent, &name)));
    }

    fn find(&self, parent: u64, name: &[u8]) -> Result<Attributes, Refusal> {
        if name.len() > NAME_MAX {
            return Err(Refusal::NameTooLong);
        }
        let node = match Node::from_ino(parent).ok_or(Refusal::NotFound)? {
            Node::Root => self.top().find(|(top, _)| top.as_bytes() == name).map(|(_, node)| node),
            Node::Card => CardValue::from_name(name).map(Node::Value),
            Node::Issue => {
                self.read(State::present)?;
                self.read(|state| state.directory.by_name(name).map(|batch| Node::Batch(batch.ino)))
            }
            Node::Apps => {
                self.read(State::present)?;
                self.read(|state| state.apps.by_name(name).map(Node::App))
            }
            Node::App(app) if self.read(|state| state.apps.contains(app)) => {
                AppField::from_name(name).map(|field| Node::AppValue(app, field))
            }
            Node::App(_) => None,
            _ => return Err(Refusal::NotDirectory),
        };
        self.getattr(node.ok_or(Refusal::NotFound)?.ino())
    }

    /// The attributes of a file or folder.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for what is no longer there.
    pub fn getattr(&self, ino: u64) -> Result<Attributes, Refusal> {
        match Node::from_ino(ino).ok_or(Refusal::NotFound)? {
            Node::Batch(ino) => self.read(|state| self.batch_attributes(state, ino)),
            node @ (Node::App(app) | Node::AppValue(app, _)) => {
                let there = self.read(|state| state.apps.contains(app));
                if there { Ok(self.rights.of(node, self.mounted)) } else { Err(Refusal::NotFound) }
            }
            Node::Record | Node::RecordLog if self.recording.is_none() => Err(Refusal::NotFound),
            node => Ok(self.rights.of(node, self.mounted)),
        }
    }

    pub(super) fn batch_attributes(&self, state: &State, ino: u64) -> Result<Attributes, Refusal> {
        let batch = state.directory.get(ino).ok_or(Refusal::NotFound)?;
        let on_its_way = batch.upload.and_then(|fh| match state.handles.get(&fh) {
            Some(Handle::Batch(BatchHandle { upload, .. })) => Some(upload.received()),
            _ => None,
        });
        let stored = batch.stored.as_ref().map_or(0, |stored| u64::from(stored.size));
        let links = u32::from(batch.linked);
        Ok(self.rights.of_batch(ino, on_its_way.unwrap_or(stored), batch.uid, links, batch.mtime))
    }

    /// Changes attributes: times, mode and owner of a batch are taken and ignored, its size can be set to nothing (the
    /// next write begins anew) or to what it is.
    ///
    /// # Errors
    /// [`Refusal::NotPermitted`], [`Refusal::Invalid`] for other sizes.
    pub fn setattr(&self, ino: u64, size: Option<u64>) -> Result<Attributes, Refusal> {
        if Node::from_ino(ino) == Some(Node::Record) && matches!(size, None | Some(0)) {
            // A shell's `>` cuts before it writes.
            return self.getattr(ino);
        }
        let Some(Node::Batch(ino)) = Node::from_ino(ino) else {
            return Err(Refusal::NotPermitted("only batches have attributes that programs may set"));
        };
        self.read(|state| {
            let attributes = self.batch_attributes(state, ino)?;
            let receiving = state.directory.get(ino).is_some_and(|batch| batch.upload.is_some());
            match size {
                None => Ok(attributes),
                Some(0) if !receiving => Ok(Attributes { size: 0, ..attributes }),
                Some(size) if size == attributes.size => Ok(attributes),
                Some(_) => Err(Refusal::Invalid("a batch can be neither cut nor grown")),
            }
        })
    }

    /// Opens a file that exists.
    pub fn open(self: &Arc<Self>, caller: Caller, ino: u64, flags: super::OpenFlags, reply: Reply<Opened>) {
        let refuse_writing = Refusal::NotPermitted("this file is only read");
        match Node::from_ino(ino) {
            Some(Node::Batch(ino)) => self.open_batch(caller, ino, flags, reply),
            Some(Node::Control) => {
                let fh = self.update(|state| {
                    let control = Control::new(caller.uid, flags.write, state.view.generation);
                    state.open(Handle::Control(Box::new(control)))
                });
                reply.ok(Opened { fh, stream: true });
            }
            Some(Node::Record) => reply.answer(self.open_record(flags)),
            Some(Node::RecordLog) if !flags.write => reply.answer(self.open_record_log()),
            Some(node @ (Node::Status | Node::Trace | Node::Value(_) | Node::AppValue(..))) if !flags.write => {
                let wanted = match node {
                    Node::AppValue(..) => Parts::APPS,
                    Node::Value(CardValue::FreeBytes | CardValue::CapacityBytes | CardValue::LargestFreeBytes) => {
                        Parts::MEMORY
                    }
                    Node::Value(CardValue::LifeCycle | CardValue::Recovery | CardValue::Privilege) => Parts::CARD,
                    _ => Parts::NONE,
                };
                self.fresh(wanted, move |core| {
                    let opened = core.update(|state| {
                        if !matches!(node, Node::Status | Node::Trace) {
                            state.present()?;
                        }
                        let content = content(state, node).ok_or(Refusal::NotFound)?;
                        Ok(Opened { fh: state.open(Handle::Value(content)), stream: false })
                    });
                    reply.answer(opened);
                });
            }
            Some(node) if node.is_directory() => reply.refuse(Refusal::IsDirectory),
            Some(_) => reply.refuse(refuse_writing),
            None => reply.refuse(Refusal::NotFound),
        }
    }

    /// Reads from an open file. Values are made anew when they are read from the beginning; a batch is never read.
    ///
    /// # Errors
    /// [`Refusal::WriteOnly`] for batches, [`Refusal::BadHandle`].
    pub fn read_file(&self, ino: u64, fh: u64, offset: u64, size: u32) -> Result<Vec<u8>, Refusal> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let node = Node::from_ino(ino).ok_or(Refusal::NotFound)?;
        self.update(|state| {
            let again = if offset == 0 { content(state, node) } else { None };
            match state.handles.get_mut(&fh) {
                Some(Handle::Batch(_)) => Err(Refusal::WriteOnly),
                Some(Handle::Control(control)) => Ok(control.read(size).to_vec()),
                Some(Handle::Value(content)) => {
                    if let Some(again) = again {
                        *content = again;
                    }
                    Ok(part(content, offset, size).to_vec())
                }
                Some(Handle::Record(handle)) => Ok(part(&handle.batch, offset, size).to_vec()),
                Some(Handle::Folder(_)) => Err(Refusal::IsDirectory),
                None => Err(Refusal::BadHandle),
            }
        })
    }

    /// Opens a folder; what is in it now is what reading it will show.
    pub fn opendir(self: &Arc<Self>, ino: u64, reply: Reply<u64>) {
        let Some(node) = Node::from_ino(ino) else { return reply.refuse(Refusal::NotFound) };
        let wanted = match node {
            Node::Issue => Parts::FILES,
            Node::Apps | Node::App(_) => Parts::APPS,
            _ => Parts::NONE,
        };
        self.fresh(wanted, move |core| {
            reply.answer(core.update(|state| {
                let mut entries = entries(state, node)?;
                if node == Node::Root && core.recording.is_some() {
                    entries.extend(Node::RECORDING.map(|(name, node)| entry(node, name.as_bytes())));
                }
                Ok(state.open(Handle::Folder(entries)))
            }));
        });
    }

    /// Shows the entries of an open folder from `offset` on, as long as `show` takes them. The offset of the entry
    /// after is handed to it.
    ///
    /// # Errors
    /// [`Refusal::BadHandle`].
    pub fn readdir(&self, fh: u64, offset: u64, mut show: impl FnMut(&DirEntry, u64) -> bool) -> Result<(), Refusal> {
        self.read(|state| {
            let Some(Handle::Folder(entries)) = state.handles.get(&fh) else { return Err(Refusal::BadHandle) };
            let skip = usize::try_from(offset).unwrap_or(usize::MAX);
            for (entry, next) in entries.iter().zip(1_u64..).skip(skip) {
                if !show(entry, next) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Closes a folder.
    pub fn releasedir(&self, fh: u64) {
        self.update(|state| state.handles.remove(&fh));
    }

    /// The figures of protected memory. The card is asked only if it has nothing else to do.
    pub fn statfs(self: &Arc<Self>, reply: Reply<StatFs>) {
        let busy = self.read(|state| state.busy);
        let wanted = if busy { Parts::NONE } else { Parts::MEMORY };
        self.fresh(wanted, move |core| {
            reply.ok(core.read(|state| {
                let files = state.directory.iter().count();
                let files = u64::try_from(files).unwrap_or(u64::MAX);
                StatFs {
                    blocks: state.view.memory.capacity / u64::from(BLOCK),
                    free: state.view.memory.free / u64::from(BLOCK),
                    files: FILES_MAX,
                    files_free: FILES_MAX.saturating_sub(files),
                    block: BLOCK,
                }
            }));
        });
    }

    pub(super) fn new_batch_handle(&self, caller: Caller, ino: u64, writable: bool) -> Handle {
        let opener = if writable { (self.process_of)(caller.tid).unwrap_or(0) } else { 0 };
        let upload = Upload::default();
        Handle::Batch(BatchHandle { ino, opener, uid: caller.uid, writable, refused: false, upload })
    }
}

/// The lines kept of what crossed the wire, each behind its number.
fn numbered(trace: &Recorder) -> String {
    let (next, lines) = trace.since(0);
    let first = next.saturating_sub(u64::try_from(lines.len()).unwrap_or(u64::MAX));
    lines.iter().zip(first + 1..).map(|(line, number)| format!("{number:6} {line}\n")).collect()
}

fn content(state: &State, node: Node) -> Option<Vec<u8>> {
    let text = match node {
        Node::Status => state.view.line(Instant::now()) + "\n",
        Node::Trace => numbered(&state.trace),
        Node::Value(value) => value.text(&state.view),
        Node::AppValue(app, field) => state.apps.value(app, field)?,
        _ => return None,
    };
    Some(text.into_bytes())
}

/// At most `size` bytes from `offset` on.
fn part(content: &[u8], offset: u64, size: usize) -> &[u8] {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = content.get(from..).unwrap_or_default();
    rest.get(..size).unwrap_or(rest)
}

fn entry(node: Node, name: &[u8]) -> DirEntry {
    DirEntry { ino: node.ino(), directory: node.is_directory(), name: name.to_vec() }
}

fn entries(state: &State, node: Node) -> Result<Vec<DirEntry>, Refusal> {
    let parent = match node {
        Node::App(_) => Node::Apps,
        _ => Node::Root,
    };
    let mut entries = vec![entry(node, b"."), entry(parent, b"..")];
    match node {
        Node::Root => entries.extend(Node::TOP.map(|(name, node)| entry(node, name.as_bytes()))),
        Node::Card => {
            entries.extend(CardValue::ALL.iter().map(|value| entry(Node::Value(*value), value.name().as_bytes())));
        }
        Node::Issue => {
            state.present()?;
            entries.extend(state.directory.iter().map(|batch| entry(Node::Batch(batch.ino), &batch.name)));
        }
        Node::Apps => {
            state.present()?;
            entries.extend(state.apps.iter().map(|(name, app)| entry(Node::App(app), name.as_bytes())));
        }
        Node::App(app) if state.apps.contains(app) => {
            entries
                .extend(AppField::ALL.iter().map(|field| entry(Node::AppValue(app, *field), field.name().as_bytes())));
        }
        Node::App(_) => return Err(Refusal::NotFound),
        _ => return Err(Refusal::NotDirectory),
    }
    Ok(entries)
}
