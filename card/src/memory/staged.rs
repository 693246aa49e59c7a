//! Changes on their way to the flash: of the command in hand, and of the issue in hand.

use super::kind::{self, Kind};
use smcard_flash::{Changes, Extent, FlashError, Key, Medium, Record, Store, View};
use std::collections::{BTreeMap, BTreeSet};

/// The flash of a card, whatever medium it lies on.
pub(crate) type Flash = Store<Box<dyn Medium + Send>>;

type Staged = BTreeMap<Key, Option<Record>>;

/// The card's non-volatile memory with its changes in hand.
pub(crate) struct Memory {
    flash: Flash,
    /// What the command in hand has changed.
    command: Staged,
    /// What accepted commands of the issue in hand have changed and no commit has made durable yet.
    group: Option<Staged>,
}

impl Memory {
    pub(crate) fn new(flash: Flash) -> Self {
        Memory { flash, command: Staged::new(), group: None }
    }

    /// The flash itself: for space, statistics and the command store, whose files are no part of an issue's changes.
    pub(crate) fn flash(&self) -> &Flash {
        &self.flash
    }

    /// As [`Memory::flash`], for changes that do not belong to the command in hand.
    pub(crate) fn flash_mut(&mut self) -> &mut Flash {
        &mut self.flash
    }

    /// The medium, all changes in hand lost: the power is off.
    pub(crate) fn into_flash(self) -> Flash {
        self.flash
    }

    /// The record at `key`, as the command in hand sees it.
    pub(crate) fn get(&self, key: Key) -> Option<&Record> {
        let staged = self.command.get(&key).or_else(|| self.group.as_ref()?.get(&key));
        match staged {
            Some(change) => change.as_ref(),
            None => self.flash.get(key),
        }
    }

    /// The content at `key`: for the issue in hand as it sees it, for others as it was before an unfinished or
    /// unconfirmed issue.
    pub(crate) fn settled(&self, key: Key) -> Option<&[u8]> {
        match self.flash.get(kind::shadow(key)).filter(|_| !self.in_group()) {
            Some(shadow) => shadow.bytes.split_first().filter(|(mark, _)| **mark == 1).map(|(_, bytes)| bytes),
            None => self.get(key).map(|record| record.bytes.as_slice()),
        }
    }

    /// The content at `key` as it was before the issue that is in hand, unfinished or unconfirmed; without one, as it is.
    /// What the command in hand has changed does not count.
    pub(crate) fn before_issue(&self, key: Key) -> Option<&[u8]> {
        match self.flash.get(kind::shadow(key)) {
            Some(shadow) => shadow.bytes.split_first().filter(|(mark, _)| **mark == 1).map(|(_, bytes)| bytes),
            None => self.flash.get(key).map(|record| record.bytes.as_slice()),
        }
    }

    /// Indices and records of one kind, ascending.
    pub(crate) fn records(&self, kind: Kind) -> Vec<(u32, &Record)> {
        let mut keys: BTreeSet<Key> = self.flash.range(kind.keys()).map(|(key, _)| key).collect();
        keys.extend(self.command.range(kind.keys()).map(|(key, _)| *key));
        keys.extend(self.group.iter().flat_map(|group| group.range(kind.keys())).map(|(key, _)| *key));
        keys.into_iter().filter_map(|key| Some((kind::index(key), self.get(key)?))).collect()
    }

    /// Stages a record of the command in hand.
    pub(crate) fn put(&mut self, key: Key, record: Record) {
        self.command.insert(key, Some(record));
    }

    /// Stages the end of a record.
    pub(crate) fn delete(&mut self, key: Key) {
        self.command.insert(key, None);
    }

    /// Room for `bytes`, contiguous; lost with the power unless a record refers to it.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Result<Extent, FlashError> {
        self.flash.reserve(bytes)
    }

    pub(crate) fn release(&mut self, extent: Extent) {
        self.flash.release(extent);
    }

    pub(crate) fn write(&mut self, extent: Extent, offset: u64, data: &[u8]) -> Result<(), FlashError> {
        self.flash.write(extent, offset, data)
    }

    /// The first `length` bytes of an extent, in place.
    pub(crate) fn view(&self, extent: Extent, length: u32) -> View {
        self.flash.view(extent, u64::from(length))
    }

    /// The command in hand has succeeded: its changes are committed, or join the issue's.
    pub(crate) fn accept(&mut self) -> Result<(), FlashError> {
        let command = std::mem::take(&mut self.command);
        if command.is_empty() {
            return Ok(());
        }
        let Some(group) = &mut self.group else {
            return self.flash.commit(changes(&command));
        };
        let mut given_up = Vec::new();
        for (key, change) in command {
            given_up.extend(group.insert(key, change).flatten().and_then(|record| record.extent));
        }
        given_up.retain(|extent| !group.values().flatten().any(|record| record.extent == Some(*extent)));
        given_up.into_iter().for_each(|extent| self.flash.release(extent));
        Ok(())
    }

    /// The command in hand has failed: nothing of it remains.
    pub(crate) fn reject(&mut self) {
        let command = std::mem::take(&mut self.command);
        self.give_up(&command);
    }

    /// From now on accepted commands belong to an issue.
    pub(crate) fn open_group(&mut self) {
        self.group.get_or_insert_default();
    }

    /// True while accepted commands belong to an issue.
    pub(crate) fn in_group(&self) -> bool {
        self.group.is_some()
    }

    /// Makes the issue's changes so far durable, with `history`, in one commit. What they replace is kept as shadows, so
    /// that [`Memory::undo_group`] can bring it back.
    pub(crate) fn commit_group(&mut self, history: Record) -> Result<(), FlashError> {
        let group = self.group.as_mut().map(std::mem::take).unwrap_or_default();
        let mut all = changes(&group);
        for key in group.keys().filter(|key| self.flash.get(kind::shadow(**key)).is_none()) {
            all.put(kind::shadow(*key), shadow_of(self.flash.get(*key)));
        }
        all.put(Kind::History.key(0), history);
        self.flash.commit(all)
    }

    /// Ends the issue: its changes become the card's, durable, with `history`, and the shadows go.
    pub(crate) fn finish_group(&mut self, history: Record) -> Result<(), FlashError> {
        let group = self.group.take().unwrap_or_default();
        let mut all = changes(&group);
        self.drop_shadows(&mut all);
        all.put(Kind::History.key(0), history);
        self.flash.commit(all)
    }

    /// Takes an unfinished issue back: what was collected is dropped, what was committed is undone from the shadows;
    /// `history` replaces the record of the issue. One commit; nothing is written where nothing is to undo.
    pub(crate) fn undo_group(&mut self, history: Option<Record>) -> Result<(), FlashError> {
        self.close_group();
        let mut all = Changes::new();
        for (key, shadow) in self.flash.range(kind::shadows()) {
            match before_image(shadow) {
                Some(record) => all.put(kind::shadowed(key), record),
                None => all.delete(kind::shadowed(key)),
            }
        }
        self.drop_shadows(&mut all);
        match history {
            Some(record) => all.put(Kind::History.key(0), record),
            None if self.flash.get(Kind::History.key(0)).is_some() => all.delete(Kind::History.key(0)),
            None => {}
        }
        if all.is_empty() { Ok(()) } else { self.flash.commit(all) }
    }

    /// Back to the last commit: changes of the issue that are not durable yet are dropped, the issue goes on.
    pub(crate) fn drop_group(&mut self) {
        self.close_group();
        self.open_group();
    }

    /// The issue stops here: what follows is no part of it. Changes not committed before are dropped.
    pub(crate) fn close_group(&mut self) {
        if let Some(group) = self.group.take() {
            self.give_up(&group);
        }
    }

    /// True where an unfinished or unconfirmed issue has changed this record.
    pub(crate) fn is_shadowed(&self, key: Key) -> bool {
        self.flash.get(kind::shadow(key)).is_some()
    }

    /// What an issue that is not over has changed: the key, and the record before, if there was one. `None` where a
    /// shadow is damaged.
    pub(crate) fn shadows(&self) -> Option<Vec<(Key, Option<Record>)>> {
        let before = |(key, shadow): (Key, &Record)| match shadow.bytes.first()? {
            0 | 1 => Some((kind::shadowed(key), before_image(shadow))),
            _ => None,
        };
        self.flash.range(kind::shadows()).map(before).collect()
    }

    fn drop_shadows(&self, all: &mut Changes) {
        for (key, _) in self.flash.range(kind::shadows()) {
            all.delete(key);
        }
    }

    fn give_up(&mut self, staged: &Staged) {
        for extent in staged.values().flatten().filter_map(|record| record.extent) {
            self.flash.release(extent);
        }
    }
}

fn changes(staged: &Staged) -> Changes {
    let mut all = Changes::new();
    for (key, change) in staged {
        match change {
            Some(record) => all.put(*key, record.clone()),
            None => all.delete(*key),
        }
    }
    all
}

/// A shadow: one byte that says whether there was a record, then its bytes; its extent is kept alive.
fn shadow_of(record: Option<&Record>) -> Record {
    let (mark, bytes, extent) = match record {
        Some(record) => (1, record.bytes.as_slice(), record.extent),
        None => (0, &[][..], None),
    };
    let mut marked = Vec::with_capacity(1 + bytes.len());
    marked.push(mark);
    marked.extend_from_slice(bytes);
    Record { bytes: marked, extent }
}

fn before_image(shadow: &Record) -> Option<Record> {
    let (&mark, bytes) = shadow.bytes.split_first()?;
    (mark == 1).then(|| Record { bytes: bytes.to_vec(), extent: shadow.extent })
}
