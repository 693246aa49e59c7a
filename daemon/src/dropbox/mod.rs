//! The drop box `issue/`: which batches there are, and what becomes of bytes written into it.
//!
//! * [`directory`]: names and files, stored and on their way; * [`upload`]: the state of one open file, from its first
//!   byte to the card's answer; * [`pool`]: the buffers between the two threads.
//!
//! Nothing here talks to the card or to FUSE.

pub mod directory;
pub mod pool;
pub mod upload;

pub use directory::{Batch, Directory, Stored};
pub use upload::{Opening, Take, Upload};
