//! Proof by exhaustion that a card survives the loss of its power at any moment.
#![forbid(unsafe_code)]

pub mod apdu;
pub mod batches;
pub mod course;
pub mod driver;
pub mod effect;
pub mod explore;
pub mod fuzz;
pub mod golden;
pub mod id;
pub mod image;
pub mod medium;
pub mod model;
pub mod observe;
pub mod packages;
pub mod pool;
pub mod replay;
pub mod report;
pub mod scenario;
pub mod suite;
pub mod tears;
pub mod terminal;
pub mod view;
