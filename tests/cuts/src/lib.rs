//! Proof by exhaustion that a card survives the loss of its power at any moment, and the failure of its host at any call.
//!
//! A small card lies on a simulated medium. A *scenario* takes it through its life: upload, issue of two applications, use,
//! deletion, replacement, a second issue, an issue that fails, one that wants confirmation. Every write and every barrier of
//! it is a *call*. The power is cut at each of them, what was pending *tears* in one of many ways, and what is left must
//! be one of two states; then the card goes on, and must end as if nothing had happened. While it goes on, the power is cut
//! again, and again after that.
//!
//! | module | what it is |
//! |---|---|
//! | [`scenario`], [`batches`], [`effect`], [`apdu`], [`packages`] | what happens to a card, and what each command does to it |
//! | [`model`] | a card without a card: plain maps that the effects change |
//! | [`view`], [`observe`], [`image`] | the canonical dump: from the model, through the card's own commands, from the image |
//! | [`medium`], [`terminal`] | a card on the simulator, and what talks to it |
//! | [`driver`] | card and model in step; the promises by name |
//! | [`course`], [`explore`], [`tears`] | the cases, and all cuts of them |
//! | [`id`], [`replay`], [`report`], [`pool`] | names of cuts, and doing them again; figures; work for all processors |
//! | [`suite`] | `create`, `cuts`, `errors`, `sabotage`, `random` |
//! | [`golden`], [`fuzz`] | images kept for later versions; images that nobody should make |
//!
//! # What is compared
//!
//! A *view* holds everything a card shows: registry, life cycle, which applications can be selected and what they
//! answer, data objects, files, the content of files and load files, the sequence counter, the last issue, the room left. Cards whose
//! images hold the same records and content are looked at once: they are the same card.
//!
//! # Invariants
//!
//! * Everything is deterministic: an id does the same in every run, on every machine.
//! * The model knows nothing of how the card does it: neither commits nor shadows, only what each kind of recovery keeps.
//! * What may happen to the medium, and what must hold then, stands in `docs/FAILURE-MODEL.md`.
//!
//! Functions here panic on mistakes in the scenario itself, never on what a card does.

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
