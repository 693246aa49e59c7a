//! What a store is, without any medium: a plain map.

use std::collections::BTreeMap;

use crate::store::Store;
use crate::{Key, Medium};

/// What stands under a key: the bytes of the record, and of its extent the part that was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    pub(super) content: Option<Vec<u8>>,
}

/// All that a store holds.
pub(super) type Model = BTreeMap<u32, Value>;

/// One step of a scenario: one commit.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Several puts and deletions: key, and the length of the new bytes.
    Change(Vec<(u32, Option<usize>)>),
    /// Content of so many bytes, written in pieces of so many, under a key.
    Upload { key: u32, length: usize, piece: usize },
    /// A second record for the extent of another.
    Shadow { from: u32, to: u32 },
    /// More content in a committed extent, after what it holds.
    Extend { key: u32, length: usize },
}

/// Bytes that differ from step to step; the first four are the length of the content, so that a reader knows it.
pub(super) fn bytes_of(step: usize, key: u32, length: usize, content: usize) -> Vec<u8> {
    let mut bytes = u32::try_from(content).unwrap().to_be_bytes().to_vec();
    bytes.extend(pattern(step, key, length));
    bytes
}

/// Content that differs from step to step and from place to place.
pub(super) fn pattern(step: usize, key: u32, length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((step * 37 + key as usize * 11 + at * 7 + at / 251) % 256).unwrap()).collect()
}

/// The model after a step. A step that does not apply changes nothing.
pub(super) fn after(model: &Model, number: usize, step: &Step) -> Model {
    let mut model = model.clone();
    match step {
        Step::Change(changes) => {
            for &(key, length) in changes {
                match length {
                    Some(length) => {
                        model.insert(key, Value { bytes: bytes_of(number, key, length, 0), content: None });
                    }
                    None => drop(model.remove(&key)),
                }
            }
        }
        Step::Upload { key, length, .. } => {
            let content = Some(pattern(number, *key, *length));
            model.insert(*key, Value { bytes: bytes_of(number, *key, 3, *length), content });
        }
        Step::Shadow { from, to } => {
            if let Some(content) = model.get(from).and_then(|value| value.content.clone()) {
                model.insert(*to, Value { bytes: bytes_of(number, *to, 5, content.len()), content: Some(content) });
            }
        }
        Step::Extend { key, length } => {
            if let Some(mut content) = model.get(key).and_then(|value| value.content.clone()) {
                content.extend(pattern(number, *key, *length));
                model.insert(*key, Value { bytes: bytes_of(number, *key, 4, content.len()), content: Some(content) });
            }
        }
    }
    model
}

/// What a store holds, as a model.
pub(super) fn observed<M: Medium>(store: &Store<M>) -> Model {
    let value = |record: &crate::Record| {
        let content = record.extent.map(|extent| {
            let length = u32::from_be_bytes(*record.bytes.first_chunk().unwrap());
            store.bytes(extent)[..length as usize].to_vec()
        });
        Value { bytes: record.bytes.clone(), content }
    };
    store.range(..).map(|(Key(key), record)| (key, value(record))).collect()
}
