//! What lies in `issue/`: batches in the card's store, and files on their way there.
//!
//! A file that is on its way is seen with the bytes so far. Where it is to replace a batch, that batch stays what it is
//! until the card has taken the new one, and shows again if it does not. An empty file lives in the daemon's memory only.

use crate::terminal::StoredFile;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::SystemTime;

/// Most empty files that are kept.
pub const EMPTY_MAX: usize = 1024;

/// A batch in the card's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// File identifier.
    pub id: u16,
    /// Bytes.
    pub size: u32,
    /// Commands in it; 0 = not known.
    pub commands: u32,
    /// Whether it wants CONFIRM; `None` = not known.
    pub confirm: Option<bool>,
    /// Exchanges its upload took; 0 where it was there before the card was mounted.
    pub exchanges: u64,
}

/// One file of `issue/`.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Inode number; never used again for another file.
    pub ino: u64,
    /// Its name; the last one where it was removed.
    pub name: Vec<u8>,
    /// True while it has that name.
    pub linked: bool,
    /// Who uploaded it.
    pub uid: u32,
    /// When it was uploaded, or found.
    pub mtime: SystemTime,
    /// What the card has of it.
    pub stored: Option<Stored>,
    /// The open file that is writing it.
    pub upload: Option<u64>,
    /// Open files.
    pub handles: u32,
}

impl Batch {
    /// Its name for messages.
    #[must_use]
    pub fn display(&self) -> String {
        printable(&self.name)
    }
}

/// A name for messages: odd bytes and control characters are escaped.
#[must_use]
pub fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// All files of `issue/`.
#[derive(Debug)]
pub struct Directory {
    files: BTreeMap<u64, Batch>,
    names: BTreeMap<Vec<u8>, u64>,
    next: u64,
}

impl Directory {
    /// An empty directory whose inode numbers begin at `first`.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Directory { files: BTreeMap::new(), names: BTreeMap::new(), next: first }
    }

    /// The file of this name.
    #[must_use]
    pub fn by_name(&self, name: &[u8]) -> Option<&Batch> {
        self.names.get(name).and_then(|ino| self.files.get(ino))
    }

    /// The file with this inode number, also where it was removed while it was open.
    #[must_use]
    pub fn get(&self, ino: u64) -> Option<&Batch> {
        self.files.get(&ino)
    }

    /// The same, to be changed; name and links change through the methods here.
    pub fn get_mut(&mut self, ino: u64) -> Option<&mut Batch> {
        self.files.get_mut(&ino)
    }

    /// The files, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Batch> {
        self.names.values().filter_map(|ino| self.files.get(ino))
    }

    /// The stored batch with this identifier.
    #[must_use]
    pub fn by_id(&self, id: u16) -> Option<&Batch> {
        self.iter().find(|batch| batch.stored.as_ref().is_some_and(|stored| stored.id == id))
    }

    /// The stored batch, where there is exactly one.
    #[must_use]
    pub fn only(&self) -> Option<&Batch> {
        let mut stored = self.iter().filter(|batch| batch.stored.is_some());
        stored.next().filter(|_| stored.next().is_none())
    }

    /// Files that are not in the card's store.
    #[must_use]
    pub fn empty_files(&self) -> usize {
        self.iter().filter(|batch| batch.stored.is_none()).count()
    }

    /// Makes an empty file, or gives the one that has the name.
    pub fn create(&mut self, name: &[u8], uid: u32, now: SystemTime) -> u64 {
        match self.names.entry(name.to_vec()) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let ino = self.next;
                self.next += 1;
                entry.insert(ino);
                let name = name.to_vec();
                let batch = Batch { ino, name, linked: true, uid, mtime: now, stored: None, upload: None, handles: 0 };
                self.files.insert(ino, batch);
                ino
            }
        }
    }

    /// Takes the name away; the file itself goes with its last open descriptor.
    pub fn unlink(&mut self, ino: u64) {
        if let Some(batch) = self.files.get_mut(&ino) {
            if batch.linked {
                self.names.remove(&batch.name);
            }
            batch.linked = false;
            batch.stored = None;
            if batch.handles == 0 {
                self.files.remove(&ino);
            }
        }
    }

    /// Gives the file another name; a file that has it loses it.
    pub fn rename(&mut self, ino: u64, name: &[u8]) {
        if let Some(&other) = self.names.get(name) {
            if other == ino {
                return;
            }
            self.unlink(other);
        }
        if let Some(batch) = self.files.get_mut(&ino).filter(|batch| batch.linked) {
            self.names.remove(&batch.name);
            batch.name = name.to_vec();
            self.names.insert(batch.name.clone(), ino);
        }
    }

    /// Notes another open file.
    pub fn opened(&mut self, ino: u64) {
        if let Some(batch) = self.files.get_mut(&ino) {
            batch.handles += 1;
        }
    }

    /// Notes that an open file is gone.
    pub fn closed(&mut self, ino: u64) {
        if let Some(batch) = self.files.get_mut(&ino) {
            batch.handles = batch.handles.saturating_sub(1);
            if batch.handles == 0 && !batch.linked {
                self.files.remove(&ino);
            }
        }
    }

    /// Ends the upload of `fh` without success: what was stored shows again, a file that never was is gone.
    pub fn upload_ended(&mut self, ino: u64, fh: u64) {
        if let Some(batch) = self.files.get_mut(&ino) {
            if batch.upload == Some(fh) {
                batch.upload = None;
            }
            if batch.upload.is_none() && batch.stored.is_none() {
                self.unlink(ino);
            }
        }
    }

    /// Brings the directory in line with the card's file table. Files that are on their way stay.
    pub fn reconcile(&mut self, table: Vec<StoredFile>, owner: u32, now: SystemTime) {
        let mut gone: BTreeMap<u64, ()> =
            self.iter().filter(|batch| batch.stored.is_some()).map(|batch| (batch.ino, ())).collect();
        for file in table {
            let ino = self.create(&file.name, owner, now);
            gone.remove(&ino);
            if let Some(batch) = self.files.get_mut(&ino) {
                let known = batch.stored.take().filter(|known| known.id == file.id && known.size == file.size);
                batch.stored = Some(known.unwrap_or(Stored {
                    id: file.id,
                    size: file.size,
                    commands: file.commands,
                    confirm: None,
                    exchanges: 0,
                }));
            }
        }
        for ino in gone.into_keys() {
            match self.files.get_mut(&ino) {
                Some(batch) if batch.upload.is_some() => batch.stored = None,
                _ => self.unlink(ino),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn stored(id: u16) -> Stored {
        Stored { id, size: 10, commands: 1, confirm: Some(false), exchanges: 1 }
    }

    fn names(directory: &Directory) -> Vec<String> {
        directory.iter().map(Batch::display).collect()
    }

    #[test]
    fn a_failed_overwrite_leaves_the_batch_and_a_failed_upload_leaves_nothing() {
        let mut directory = Directory::new(100);
        let kept = directory.create(b"kept", 0, NOW);
        let fresh = directory.create(b"fresh", 0, NOW);
        directory.get_mut(kept).unwrap().stored = Some(stored(1));
        for ino in [kept, fresh] {
            directory.opened(ino);
            directory.get_mut(ino).unwrap().upload = Some(7);
            directory.upload_ended(ino, 7);
        }
        assert_eq!(names(&directory), ["kept"]);
        assert!(directory.get(fresh).is_some(), "it is still open");
        directory.closed(fresh);
        assert!(directory.get(fresh).is_none());
    }

    #[test]
    fn a_rename_takes_the_name_from_whoever_has_it() {
        let mut directory = Directory::new(100);
        let old = directory.create(b"app", 0, NOW);
        let new = directory.create(b".app.XYZ", 0, NOW);
        directory.opened(old);
        directory.rename(new, b"app");
        assert_eq!((names(&directory), directory.by_name(b"app").unwrap().ino), (vec!["app".into()], new));
        assert!(!directory.get(old).unwrap().linked);
        directory.rename(new, b"app");
        assert_eq!(names(&directory), ["app"], "to its own name");
    }

    #[test]
    fn the_cards_table_rules_over_what_was_stored_and_not_over_what_is_on_its_way() {
        let mut directory = Directory::new(100);
        for (name, id) in [(b"same", 1), (b"gone", 2)] {
            let ino = directory.create(name, 0, NOW);
            directory.get_mut(ino).unwrap().stored = Some(stored(id));
        }
        directory.create(b"empty", 0, NOW);
        let file = |id, name: &[u8]| StoredFile { id, name: name.to_vec(), size: 10, commands: 3 };
        directory.reconcile(vec![file(1, b"same"), file(3, b"other")], 0, NOW);
        assert_eq!(names(&directory), ["empty", "other", "same"]);
        assert_eq!(directory.by_name(b"same").unwrap().stored, Some(stored(1)), "what was known of it stays");
        assert_eq!(directory.by_id(3).unwrap().stored.as_ref().unwrap().commands, 3);
        assert!(directory.only().is_none());
        assert_eq!(directory.empty_files(), 1);
    }

    #[test]
    fn names_are_made_fit_for_a_log() {
        assert_eq!(printable(b"a\nb\xFF"), "a\\nb\u{fffd}");
    }
}
