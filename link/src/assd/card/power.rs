//! The switch that other threads cut the power with.

use crate::PowerSwitch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A switch that every wait of the driver looks at. A card in a slot keeps its supply until the reset; what it does
/// until then is its own affair, and nobody is told of it.
#[derive(Default)]
pub(super) struct Switch {
    cut: AtomicBool,
    /// The card's own, where it is an emulated one.
    other: Option<Arc<dyn PowerSwitch>>,
}

impl Switch {
    pub(super) fn new(other: Option<Arc<dyn PowerSwitch>>) -> Self {
        Switch { cut: AtomicBool::new(false), other }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    pub(super) fn on(&self) {
        self.cut.store(false, Ordering::Release);
    }
}

impl PowerSwitch for Switch {
    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        if let Some(other) = &self.other {
            other.cut();
        }
    }
}
