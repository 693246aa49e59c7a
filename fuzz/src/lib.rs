//! Fuzz targets of smcard's parsers and of card images.
//!
//! `cargo +nightly fuzz run <target>` from the root of the repository. What each target demands is in [`targets`], which the
//! stable test `batch/tests/corpora.rs` includes as well: it replays every file under `corpus/` with any compiler, so that
//! a fault once found stays fixed; `batch/tests/scripts.rs` does so for [`scripts`]. The target `image` is in the crate `smcard-cuts`, which replays its corpus;
//! [`spi_driver`], [`mmc_driver`] and [`psi`] are replayed by `smcard-link`, [`spi_card`] by `smcard-card`, [`ifd`] by
//! `smcard-ifd`.

pub mod ifd;
pub mod mmc_driver;
pub mod psi;
pub mod scripts;
pub mod spi_card;
pub mod spi_driver;
pub mod targets;
