//! Fuzz targets of smcard's parsers and of card images.
//!
//! `cargo +nightly fuzz run <target>` from the root of the repository. What each target demands is in [`targets`], which the
//! stable test `batch/tests/corpora.rs` includes as well: it replays every file under `corpus/` with any compiler, so that
//! a fault once found stays fixed. The target `image` is in the crate `smcard-cuts`, which replays its corpus;
//! [`spi_driver`] is replayed by `smcard-link`, [`ifd`] by `smcard-ifd`.

pub mod ifd;
pub mod spi_driver;
pub mod targets;
