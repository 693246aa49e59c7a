//! The mount without FUSE, against an emulated card: what programs see.

mod browsing;
mod issuing;
mod trouble;
mod uploading;
