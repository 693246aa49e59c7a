//! The block path: whole payloads inside a message are moved at once. It may only do what the byte machine would do, byte
//! for byte; a differential test holds it to that.

use super::machine::{Input, Machine};
use super::output::Output;

/// Shorter stretches go through the byte machine.
const WORTH: usize = 8;

impl Machine {
    /// Clocks a message.
    pub(super) fn exchange(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let moved = self.stretch(bytes);
            let (done, rest) = bytes.split_at_mut(moved.max(1));
            if moved == 0 {
                for byte in done {
                    *byte = self.clock(*byte);
                }
            }
            bytes = rest;
        }
    }

    /// Moves as much as goes at once; 0: the byte machine's turn.
    fn stretch(&mut self, bytes: &mut [u8]) -> usize {
        if bytes.len() < WORTH || !self.shifter.is_idle() {
            return 0;
        }
        if !self.selected {
            self.interrupt();
            bytes.fill(0xFF);
            let moved = bytes.len();
            self.high_clocks = self.high_clocks.saturating_add(8 * u64::try_from(moved).unwrap_or(u64::MAX));
            self.pass(moved);
            return moved;
        }
        match (self.input, self.output) {
            (Input::Block { at, total }, Output::Quiet) => self.receive(bytes, at, total),
            (Input::Commands, Output::Block { at, total }) if self.frame_length == 0 => self.send(bytes, at, total),
            (Input::Commands, Output::Quiet) if self.frame_length == 0 => self.idle(bytes),
            _ => 0,
        }
    }

    /// All of a block but its last byte, with which something happens.
    fn receive(&mut self, bytes: &mut [u8], at: usize, total: usize) -> usize {
        let size = bytes.len().min((total - 1).saturating_sub(at));
        if size < WORTH || self.is_showing_busy() {
            return 0;
        }
        let (Some(bytes), Some(place)) = (bytes.get_mut(..size), self.incoming.get_mut(at..at + size)) else {
            return 0;
        };
        place.copy_from_slice(bytes);
        bytes.fill(0xFF);
        self.input = Input::Block { at: at + size, total };
        self.pass(size);
        size
    }

    /// All of a block but its last byte, as long as the host sends nothing else.
    fn send(&mut self, bytes: &mut [u8], at: usize, total: usize) -> usize {
        let size = bytes.len().min((total - 1).saturating_sub(at));
        let size = bytes.get(..size).map_or(0, ones);
        if size < WORTH {
            return 0;
        }
        let (Some(bytes), Some(block)) = (bytes.get_mut(..size), self.outgoing.0.get(at..at + size)) else { return 0 };
        bytes.copy_from_slice(block);
        self.output = Output::Block { at: at + size, total };
        self.pass(size);
        size
    }

    /// Nothing in, nothing out.
    fn idle(&mut self, bytes: &[u8]) -> usize {
        let size = ones(bytes);
        if size < WORTH || self.is_showing_busy() {
            return 0;
        }
        self.pass(size);
        size
    }

    /// True where the next byte would be busy.
    fn is_showing_busy(&mut self) -> bool {
        self.busy_bytes > 0 || self.engine.is_erasing() || self.engine.is_busy()
    }

    fn pass(&mut self, bytes: usize) {
        let time = self.byte_time.saturating_mul(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.now = self.now.saturating_add(time);
        self.engine.set_now(self.now);
    }
}

/// How many bytes at the start are FF.
fn ones(bytes: &[u8]) -> usize {
    const LANE: usize = 32;
    let whole = bytes.chunks_exact(LANE).take_while(|lane| **lane == [0xFF; LANE]).count() * LANE;
    whole + bytes.get(whole..).unwrap_or_default().iter().take_while(|byte| **byte == 0xFF).count()
}
