//! Runs a store and its model in step.

use super::model::{self, Model, Step, Value};
use crate::io::Barrier;
use crate::store::Store;
use crate::{Changes, FlashError, Key, Medium, PAGE, Record};

/// A promise that was broken.
#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug when a check fails")]
pub(super) enum Broken {
    /// An image that a loss of power left does not open.
    Opens(FlashError),
    /// The state is neither the one before the step nor the one after it.
    Atomic { found: Model, allowed: Vec<Model> },
    /// A commit that returned `Ok` is not there.
    Durable { found: Model, committed: Model },
    /// Space is in use that no record refers to, or counted twice.
    Reclaims { free: u64, expected: u64 },
    /// A sound store on a sound medium refused a step.
    Works(FlashError),
}

/// A store and what it must hold.
pub(super) struct Driver<M: Medium> {
    pub(super) store: Store<M>,
    pub(super) model: Model,
}

impl<M: Medium> Driver<M> {
    /// Makes a step. After an error the model is unchanged; what the medium holds is the model before or after.
    pub(super) fn step(&mut self, number: usize, step: &Step) -> Result<(), FlashError> {
        let after = model::after(&self.model, number, step);
        let changes = self.write(number, step, &after)?;
        self.store.commit(changes)?;
        self.model = after;
        Ok(())
    }

    /// Writes what a step writes before its commit.
    fn write(&mut self, number: usize, step: &Step, after: &Model) -> Result<Changes, FlashError> {
        let mut changes = Changes::new();
        let bytes = |key: u32| after.get(&key).map(|value: &Value| value.bytes.clone()).unwrap_or_default();
        let extent_of = |store: &Store<M>, key| store.get(Key(key)).and_then(|record| record.extent);
        match step {
            Step::Change(all) => {
                for &(key, length) in all {
                    match length {
                        Some(_) => changes.put(Key(key), Record { bytes: bytes(key), extent: None }),
                        None => changes.delete(Key(key)),
                    }
                }
            }
            Step::Upload { key, length, piece } => {
                let extent = self.store.reserve(*length as u64)?;
                let content = model::pattern(number, *key, *length);
                for (at, data) in content.chunks(*piece).enumerate() {
                    self.store.write(extent, (at * piece) as u64, data)?;
                }
                changes.put(Key(*key), Record { bytes: bytes(*key), extent: Some(extent) });
            }
            Step::Shadow { from, to } => {
                if let Some(extent) = extent_of(&self.store, *from) {
                    changes.put(Key(*to), Record { bytes: bytes(*to), extent: Some(extent) });
                }
            }
            Step::Extend { key, length } => {
                if let Some(extent) = extent_of(&self.store, *key) {
                    let before = self.model[key].content.as_ref().map_or(0, Vec::len);
                    self.store.write(extent, before as u64, &model::pattern(number, *key, *length))?;
                    changes.put(Key(*key), Record { bytes: bytes(*key), extent: Some(extent) });
                }
            }
        }
        Ok(changes)
    }

    /// Checks that the store holds what the model says, and that everything else is free.
    pub(super) fn check(&self) -> Result<(), Broken> {
        let found = model::observed(&self.store);
        if found != self.model {
            return Err(Broken::Durable { found, committed: self.model.clone() });
        }
        self.check_space()
    }

    fn check_space(&self) -> Result<(), Broken> {
        let mut extents: Vec<_> = self.store.range(..).filter_map(|(_, record)| record.extent).collect();
        extents.sort_by_key(crate::Extent::address);
        extents.dedup();
        let used: u64 = extents.iter().map(crate::Extent::capacity).sum();
        let (free, expected) = (self.store.free(), self.store.capacity() - used);
        let apart = extents.windows(2).all(|pair| pair[0].address() + pair[0].capacity() <= pair[1].address());
        let on_pages = extents.iter().all(|extent| extent.address() % PAGE == 0);
        if free == expected && apart && on_pages { Ok(()) } else { Err(Broken::Reclaims { free, expected }) }
    }

    /// Opens what a broken step left, and finds out in which of the allowed states it is.
    pub(super) fn reopen(medium: M, left_out: Option<Barrier>, allowed: &[&Model]) -> Result<Self, Broken> {
        let store = Store::open_without(medium, left_out).map_err(Broken::Opens)?;
        let found = model::observed(&store);
        if !allowed.contains(&&found) {
            return Err(Broken::Atomic { found, allowed: allowed.iter().map(|&model| model.clone()).collect() });
        }
        let driver = Self { store, model: found };
        driver.check_space()?;
        Ok(driver)
    }
}
