//! A place inside one component's contents, that knows how to complain.

use super::fault::{CapFault, CapReason};

/// Reads one component from front to back.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    tag: u8,
    /// Where `rest` begins: bytes from the start of the load file data.
    at: u32,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// At the beginning of `info`, which stands at `at`.
    pub(super) fn new(tag: u8, at: u32, info: &'a [u8]) -> Self {
        Cursor { tag, at, rest: info }
    }

    pub(super) fn fault(&self, reason: CapReason) -> CapFault {
        CapFault { component: Some(self.tag), offset: self.at, reason }
    }

    pub(super) fn at(&self) -> u32 {
        self.at
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], CapFault> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.fault(CapReason::InfoCut));
        };
        self.rest = rest;
        self.at = self.at.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CapFault> {
        let cut = self.fault(CapReason::InfoCut);
        self.take(N)?.try_into().map_err(|_| cut)
    }

    pub(super) fn u8(&mut self) -> Result<u8, CapFault> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, CapFault> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, CapFault> {
        self.array().map(u32::from_be_bytes)
    }

    /// A length of one byte, then as many bytes.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], CapFault> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// A length of 5 to 16, then an AID (ISO/IEC 7816-5).
    pub(super) fn aid(&mut self) -> Result<&'a [u8], CapFault> {
        let fault = self.fault(CapReason::AidLength);
        match self.u8()? {
            length @ 5..=16 => self.take(usize::from(length)),
            _ => Err(fault),
        }
    }

    pub(super) fn finish(&self) -> Result<(), CapFault> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault(CapReason::InfoTrailing)) }
    }
}
