//! The algorithm with a barrier missing, to show that checks notice.

use std::cell::Cell;

use crate::io::Barrier;

/// A barrier to be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// Before a frame: a committed record would refer to content that may not be there.
    Extents,
    /// After a frame: a commit would be acknowledged before it is durable.
    Frame,
    /// Between a snapshot and the header that makes it valid.
    Snapshot,
    /// After a header: the other half would be given up before this one is durable.
    Header,
    /// After opening: what was shown could go away.
    Found,
    /// Before building on what was found, which is not even written again then.
    Confirmed,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Extents, Self::Frame, Self::Snapshot, Self::Header, Self::Found, Self::Confirmed];

    fn barrier(self) -> Barrier {
        match self {
            Self::Extents => Barrier::Extents,
            Self::Frame => Barrier::Frame,
            Self::Snapshot => Barrier::Snapshot,
            Self::Header => Barrier::Header,
            Self::Found => Barrier::Found,
            Self::Confirmed => Barrier::Confirmed,
        }
    }
}

thread_local! {
    static LEFT_OUT: Cell<Option<Barrier>> = const { Cell::new(None) };
}

/// Every store that this thread makes or opens from now on leaves out this barrier; `None` makes them whole again.
pub fn sabotage(which: Option<Sabotage>) {
    LEFT_OUT.set(which.map(Sabotage::barrier));
}

/// The barrier that stores of this thread leave out.
pub(crate) fn left_out() -> Option<Barrier> {
    LEFT_OUT.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Simulator, Tear};
    use crate::{Changes, Key, Record, Store};

    /// Whether a commit is still there after the power went.
    fn survives() -> bool {
        let mut store = Store::format_small(Simulator::small(1, 4), 1, 4, [7; 16]).unwrap();
        let mut changes = Changes::new();
        changes.put(Key(1), Record { bytes: vec![1], extent: None });
        store.commit(changes).unwrap();
        let mut medium = store.into_medium();
        medium.tear(Tear::Nothing);
        Store::open(medium).unwrap().get(Key(1)).is_some()
    }

    #[test]
    fn a_sabotaged_store_does_not_keep_its_promise() {
        assert!(survives());
        sabotage(Some(Sabotage::Frame));
        let sabotaged = survives();
        sabotage(None);
        assert!(!sabotaged);
        assert!(survives());
    }
}
