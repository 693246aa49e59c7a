//! The card's non-volatile memory: what is kept, under which key, and how changes become one.
//!
//! A command changes records through [`Memory`]; nothing reaches the flash before the command has succeeded. Outside an
//! issue each successful command is one atomic commit. During an issue successful commands are collected in a *group*
//! that is committed at the places the recovery kind demands; the first commit of a group keeps what it replaces as
//! *shadows*, so that CLEAR can bring back exactly what was there before the issue.

mod codec;
mod kind;
mod staged;

pub(crate) use codec::{Reader, Writer};
pub(crate) use kind::Kind;
pub(crate) use staged::{Flash, Memory};
