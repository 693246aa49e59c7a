//! The shape of the mount: which inode number is what, and what `stat(2)` says of it.
//!
//! ```text
//! /            1
//! ├── issue/   2      batches: from 2^48
//! ├── control  3
//! ├── status   4
//! ├── card/    5      values: from 0x100
//! ├── trace    7
//! ├── record, record.log   8, 9: only where the configuration allows recording
//! └── apps/    6      from 2^32, sixteen numbers an application: the folder, then its files
//! ```

use crate::apps::AppField;
use crate::values::CardValue;
use std::time::SystemTime;

/// Inode number of the root, as FUSE has it.
pub const ROOT: u64 = 1;
/// Inode number of the drop box.
pub const ISSUE: u64 = 2;
/// First inode number of a batch.
pub const BATCHES: u64 = 1 << 48;
const CONTROL: u64 = 3;
const STATUS: u64 = 4;
const CARD: u64 = 5;
const APPS: u64 = 6;
const TRACE: u64 = 7;
const RECORD: u64 = 8;
const RECORD_LOG: u64 = 9;
const CARD_VALUES: u64 = 0x100;
const APP_FOLDERS: u64 = 1 << 32;
const APP_STEP: u64 = 16;

/// Preferred size of writes into `issue/`: coreutils take it from `st_blksize`.
pub const BATCH_BLOCK: u32 = 1 << 20;
const BLOCK: u32 = 4096;

/// What an inode number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// `/`
    Root,
    /// `issue/`
    Issue,
    /// `control`
    Control,
    /// `status`
    Status,
    /// `trace`
    Trace,
    /// `record`
    Record,
    /// `record.log`
    RecordLog,
    /// `card/`
    Card,
    /// `apps/`
    Apps,
    /// `card/VALUE`
    Value(CardValue),
    /// `apps/AID/`: the number the daemon gave the application.
    App(u32),
    /// `apps/AID/FIELD`
    AppValue(u32, AppField),
    /// `issue/NAME`: the inode number itself.
    Batch(u64),
}

impl Node {
    /// The fixed entries of the root, by name.
    pub const TOP: [(&'static str, Node); 6] = [
        ("apps", Node::Apps),
        ("card", Node::Card),
        ("control", Node::Control),
        ("issue", Node::Issue),
        ("status", Node::Status),
        ("trace", Node::Trace),
    ];

    /// Entries of the root where the configuration allows recording, by name.
    pub const RECORDING: [(&'static str, Node); 2] = [("record", Node::Record), ("record.log", Node::RecordLog)];

    /// What an inode number stands for; `None` for numbers that are never given.
    #[must_use]
    pub fn from_ino(ino: u64) -> Option<Self> {
        Some(match ino {
            ROOT => Node::Root,
            ISSUE => Node::Issue,
            CONTROL => Node::Control,
            STATUS => Node::Status,
            CARD => Node::Card,
            APPS => Node::Apps,
            TRACE => Node::Trace,
            RECORD => Node::Record,
            RECORD_LOG => Node::RecordLog,
            BATCHES.. => Node::Batch(ino),
            APP_FOLDERS.. => {
                let app = u32::try_from((ino - APP_FOLDERS) / APP_STEP).ok()?;
                match usize::try_from(ino % APP_STEP).ok()? {
                    0 => Node::App(app),
                    field => Node::AppValue(app, *AppField::ALL.get(field - 1)?),
                }
            }
            CARD_VALUES.. => {
                let value = usize::try_from(ino - CARD_VALUES).ok()?;
                Node::Value(*CardValue::ALL.get(value)?)
            }
            _ => return None,
        })
    }

    /// The inode number.
    #[must_use]
    pub fn ino(self) -> u64 {
        let place = |found: Option<usize>| found.and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
        let folder = |app: u32| APP_FOLDERS + u64::from(app) * APP_STEP;
        match self {
            Node::Root => ROOT,
            Node::Issue => ISSUE,
            Node::Control => CONTROL,
            Node::Status => STATUS,
            Node::Card => CARD,
            Node::Apps => APPS,
            Node::Trace => TRACE,
            Node::Record => RECORD,
            Node::RecordLog => RECORD_LOG,
            Node::Value(value) => CARD_VALUES + place(CardValue::ALL.iter().position(|v| *v == value)),
            Node::App(app) => folder(app),
            Node::AppValue(app, field) => folder(app) + 1 + place(AppField::ALL.iter().position(|f| *f == field)),
            Node::Batch(ino) => ino,
        }
    }

    /// True for folders.
    #[must_use]
    pub fn is_directory(self) -> bool {
        matches!(self, Node::Root | Node::Issue | Node::Card | Node::Apps | Node::App(_))
    }

    /// True where name and attributes stay the same as long as the mount lives, so that the kernel may keep them.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        matches!(self, Node::Root | Node::Issue | Node::Control | Node::Card | Node::Apps | Node::Value(_))
    }
}

/// Who may do what: ownership and modes, enforced by the kernel (`default_permissions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Owner of everything but uploaded batches, which belong to who uploaded them.
    pub uid: u32,
    /// Group of what neither group below has.
    pub gid: u32,
    /// Group of `issue/` and its files.
    pub preparer_gid: u32,
    /// Group of `control`.
    pub operator_gid: u32,
    /// Mode of `issue/`.
    pub issue_mode: u16,
    /// Mode of batches.
    pub batch_mode: u16,
    /// Mode of `control`.
    pub control_mode: u16,
}

/// What `stat(2)` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Inode number.
    pub ino: u64,
    /// True for folders.
    pub directory: bool,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u16,
    /// Links: 1 for files.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change.
    pub mtime: SystemTime,
    /// Preferred size of writes.
    pub block: u32,
    /// The kernel may keep name and attributes.
    pub fixed: bool,
}

impl Rights {
    /// The attributes of a node that is no batch. Files tell no size: they are made when they are read.
    #[must_use]
    pub fn of(&self, node: Node, mtime: SystemTime) -> Attributes {
        let (mode, gid) = match node {
            Node::Issue => (self.issue_mode, self.preparer_gid),
            Node::Control => (self.control_mode, self.operator_gid),
            // What crossed the wire is for who may operate the card.
            Node::Trace | Node::RecordLog => (self.control_mode & 0o444, self.operator_gid),
            Node::Record => (self.control_mode, self.operator_gid),
            _ if node.is_directory() => (0o555, self.gid),
            _ => (0o444, self.gid),
        };
        let links = match node {
            Node::Root => 5,
            _ if node.is_directory() => 2,
            _ => 1,
        };
        let directory = node.is_directory();
        let fixed = node.is_fixed();
        Attributes { ino: node.ino(), directory, size: 0, mode, links, uid: self.uid, gid, mtime, block: BLOCK, fixed }
    }

    /// The attributes of a batch of `size` bytes uploaded by `uid`.
    #[must_use]
    pub fn of_batch(&self, ino: u64, size: u64, uid: u32, links: u32, mtime: SystemTime) -> Attributes {
        Attributes {
            ino,
            directory: false,
            size,
            mode: self.batch_mode,
            links,
            uid,
            gid: self.preparer_gid,
            mtime,
            block: BATCH_BLOCK,
            fixed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_for_one_thing() {
        let mut nodes: Vec<Node> = vec![Node::Root, Node::Batch(BATCHES + 3), Node::App(0), Node::App(u32::MAX)];
        nodes.extend(Node::TOP.map(|(_, node)| node));
        nodes.extend(Node::RECORDING.map(|(_, node)| node));
        nodes.extend(CardValue::ALL.iter().map(|value| Node::Value(*value)));
        nodes.extend(AppField::ALL.iter().map(|field| Node::AppValue(9, *field)));
        for node in nodes {
            assert_eq!(Node::from_ino(node.ino()), Some(node));
        }
        for ino in [0, 10, 0xFF, CARD_VALUES + 200, APP_FOLDERS + 15] {
            assert_eq!(Node::from_ino(ino), None, "{ino:#x}");
        }
    }

    #[test]
    fn preparers_and_operators_get_their_own_doors() {
        let rights = Rights {
            uid: 0,
            gid: 0,
            preparer_gid: 100,
            operator_gid: 200,
            issue_mode: 0o770,
            batch_mode: 0o220,
            control_mode: 0o660,
        };
        let of = |node| rights.of(node, SystemTime::UNIX_EPOCH);
        assert_eq!((of(Node::Issue).mode, of(Node::Issue).gid), (0o770, 100));
        assert_eq!((of(Node::Control).mode, of(Node::Control).gid), (0o660, 200));
        assert_eq!((of(Node::Trace).mode, of(Node::Trace).gid), (0o440, 200));
        assert_eq!((of(Node::Record).mode, of(Node::Record).gid), (0o660, 200));
        assert_eq!((of(Node::RecordLog).mode, of(Node::RecordLog).gid), (0o440, 200));
        assert_eq!((of(Node::Status).mode, of(Node::Apps).mode), (0o444, 0o555));
        let batch = rights.of_batch(BATCHES, 5, 1000, 1, SystemTime::UNIX_EPOCH);
        assert_eq!((batch.mode, batch.uid, batch.gid, batch.block), (0o220, 1000, 100, 1 << 20));
    }
}
