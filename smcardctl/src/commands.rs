//! The commands, one file each.

pub(crate) mod apdu;
pub(crate) mod apps;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod issue;
pub(crate) mod list;
pub(crate) mod pack;
pub(crate) mod pages;
pub(crate) mod plain;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod trace;
pub(crate) mod wait;
