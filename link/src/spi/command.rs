//! Commands and their responses (PLSS section 7.3).

use super::trouble::{Trouble, fault_of};
use super::wait::BUSY_LIMIT;
use super::{SpiHost, Wire};
use crate::BusFault;
use crate::sd::{Command, R1, R2, ResponseKind, index};
use std::time::Duration;

/// Most bytes between a command and its response: 8 by PLSS section 7.5.1.1, and twice that with cards in the field.
const RESPONSE_WITHIN: usize = 16;
/// Bytes clocked with a command for its response; it mostly comes in the second one.
const WINDOW: usize = 8;

/// How far a step can have come, and so what a card may be in the middle of after an error.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// A command without data.
    Command,
    /// The card sends at most so many bytes; `stop`: until CMD12.
    Reading { bytes: usize, stop: bool },
    /// The card takes blocks; `multi`: until the stop token.
    Writing { multi: bool },
}

/// A response and what follows it in R2, R3 and R7.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response {
    pub(super) r1: R1,
    /// OCR or interface condition; of R2 the second byte. Zero where the card left it out.
    pub(super) rest: u32,
}

impl Response {
    pub(super) fn r2(self) -> R2 {
        R2(u16::from_be_bytes([self.r1.0, self.rest.to_be_bytes()[3]]))
    }
}

impl SpiHost {
    /// Selects the card, sends a command and reads its response. `ahead` more bytes are clocked in the same message: what
    /// the card sends next is then there already.
    pub(super) fn send(&mut self, command: Command, application: bool, ahead: usize) -> Result<Response, Trouble> {
        let frame = command.frame();
        self.wire.meter().command();
        self.wire.select(true)?;
        // The byte in front gives the card eight clocks with chip select low.
        self.wire.send(&[&[0xFF], &frame.0], WINDOW + ahead)?;
        if command.index == index::STOP_TRANSMISSION && !application {
            // The byte behind CMD12 may still be data.
            self.wire.skip(8);
        }
        let r1 = find_response(&mut self.wire)?;
        let more = match command.spi_response(application) {
            ResponseKind::R1 | ResponseKind::R1b => 0,
            ResponseKind::R2 => 1,
            // An illegal or damaged command cuts them short (PLSS section 7.3.2.6).
            ResponseKind::R3 | ResponseKind::R7 if r1.intersects(R1::ILLEGAL.with(R1::CRC)) => 0,
            ResponseKind::R3 | ResponseKind::R7 => 4,
        };
        let mut rest = [0; 4];
        if more > 0 {
            self.wire.ensure(more * 8, 0)?;
            self.wire.take(&mut rest[4 - more..]);
        }
        let response = Response { r1, rest: u32::from_be_bytes(rest) };
        if more == 1 {
            self.trace.response(&response.r2())
        } else {
            self.trace.response(&r1)
        }
        Ok(response)
    }

    /// As [`SpiHost::send`], for a card that has been brought up: a response with an error is one.
    pub(super) fn send_good(&mut self, command: Command, ahead: usize) -> Result<Response, Trouble> {
        let response = self.send(command, false, ahead)?;
        match fault_of(response.r1) {
            Some(fault) => Err(Trouble::new(fault, format!("{:?}", response.r1))),
            None if response.r1.contains(R1::IDLE) => {
                Err(Trouble::new(BusFault::Card, format!("{:?}: the card has been reset", response.r1)))
            }
            None => Ok(response),
        }
    }

    /// A command without data, with busy behind it where it has that.
    pub(super) fn control(&mut self, command: Command, busy: bool, limit: Duration) -> Result<(), Trouble> {
        let response = self.send_good(command, 0).map_err(|trouble| match trouble.fault {
            // The card may have done it, and its response got lost or damaged.
            BusFault::NoResponse | BusFault::Card => Trouble::unknown(trouble.fault, trouble.seen),
            _ => trouble,
        })?;
        match command.spi_response(false) {
            ResponseKind::R1b => self.busy(limit),
            ResponseKind::R2 if response.r2().is_error() => {
                Err(Trouble::new(BusFault::Card, format!("{:?}", response.r2())))
            }
            _ if busy => self.busy(limit),
            _ => Ok(()),
        }
    }

    /// Busy after a response: it may begin one byte later (NBR of PLSS section 7.5).
    pub(super) fn busy(&mut self, limit: Duration) -> Result<(), Trouble> {
        self.wire.align();
        self.wire.ensure(8, 0)?;
        self.wire.skip(8);
        self.wait_ready(limit, BUSY_LIMIT)
    }
}

/// Looks for a response: it begins with the first 0 bit.
fn find_response(wire: &mut Wire) -> Result<R1, Trouble> {
    let begin = wire.available();
    let mut clocked = 0;
    loop {
        let found = wire.seek_zero();
        let passed = begin + clocked - wire.available();
        if found && passed <= RESPONSE_WITHIN * 8 {
            wire.ensure(8, 0)?;
            let r1 = R1(wire.peek());
            wire.skip(8);
            return Ok(r1);
        }
        if found || passed >= RESPONSE_WITHIN * 8 {
            return Err(Trouble::new(BusFault::NoResponse, format!("nothing within {RESPONSE_WITHIN} bytes")));
        }
        wire.clock(WINDOW)?;
        clocked += WINDOW * 8;
    }
}
