//! Faults on the native bus: frames and blocks are made, damaged, and judged by their checksums.

use super::{FaultHandle, Faults, Rare, bits, flip};
use crate::sd::native::SdCard;
use smcard_link::sd::{Command, Frame, crc7, crc16, index};
use smcard_link::{SdBus, SdResponse, Transfer};
use std::sync::atomic::Ordering;

/// A bus whose card can be told that something has arrived damaged.
pub trait DamagedBus: SdBus {
    /// A command has arrived damaged: it has no effect, and the next response says so.
    fn command_damaged(&mut self);

    /// A block has arrived damaged: it is not taken.
    fn block_damaged(&mut self) -> Transfer;
}

impl DamagedBus for SdCard {
    fn command_damaged(&mut self) {
        SdCard::command_damaged(self);
    }

    fn block_damaged(&mut self) -> Transfer {
        SdCard::block_damaged(self)
    }
}

/// A native bus with faults.
pub struct FaultySd<B> {
    bus: B,
    handle: FaultHandle,
    faults: Faults,
    to_card: Rare,
    from_card: Rare,
    /// A block with its checksum.
    block: Vec<u8>,
    /// Commands and blocks so far.
    events: u64,
    questions: u64,
    supply: bool,
    out: bool,
}

impl<B: DamagedBus> FaultySd<B> {
    /// Puts faults on a bus whose supply is on.
    pub fn new(bus: B, faults: Faults) -> Self {
        FaultySd {
            bus,
            handle: FaultHandle::default(),
            to_card: Rare::new(faults.to_card, faults.seed ^ 1),
            from_card: Rare::new(faults.from_card, faults.seed ^ 2),
            faults,
            block: Vec::new(),
            events: 0,
            questions: 0,
            supply: true,
            out: false,
        }
    }

    /// Looks at the faults, and pauses them.
    #[must_use]
    pub fn handle(&self) -> FaultHandle {
        self.handle.clone()
    }

    /// The bus behind the faults.
    pub fn bus(&mut self) -> &mut B {
        &mut self.bus
    }

    /// A command or a block is about to pass; `false`: there is no card.
    fn event(&mut self) -> bool {
        let out = self.faults.removed.contains(&self.events);
        self.events += 1;
        if out != self.out {
            self.out = out;
            self.bus.set_power(!out && self.supply);
        }
        if out {
            // Nobody is there, but the clock goes on.
            self.bus.is_busy();
        }
        !out
    }

    fn inward(&mut self, frame: &mut [u8]) -> bool {
        if self.handle.is_paused() {
            return false;
        }
        let flipped = self.to_card.strike(bits(frame.len()), |bit| flip(frame, bit));
        self.handle.0.to_card.fetch_add(flipped, Ordering::Relaxed);
        flipped > 0
    }

    fn outward(&mut self, frame: &mut [u8]) -> bool {
        if self.handle.is_paused() {
            return false;
        }
        let flipped = self.from_card.strike(bits(frame.len()), |bit| flip(frame, bit));
        self.handle.0.from_card.fetch_add(flipped, Ordering::Relaxed);
        flipped > 0
    }

    fn response(&mut self, index: u8, response: SdResponse) -> Option<SdResponse> {
        match response {
            SdResponse::Short(value) => {
                let [a, b, c, d] = value.to_be_bytes();
                // R3 has no checksum, and no index.
                let unchecked = index == index::ACMD_SD_SEND_OP_COND;
                let head = if unchecked { [0x3F, a, b, c, d] } else { [index & 0x3F, a, b, c, d] };
                let tail = if unchecked { 0xFF } else { crc7(&head) << 1 | 1 };
                let mut frame = [head[0], a, b, c, d, tail];
                self.outward(&mut frame);
                let [first, a, b, c, d, last] = frame;
                let intact = first == head[0] && last & 1 == 1;
                let checked = unchecked || crc7(&[first, a, b, c, d]) == last >> 1;
                (intact && checked).then_some(SdResponse::Short(u32::from_be_bytes([a, b, c, d])))
            }
            SdResponse::Long(register) => {
                let mut frame = register;
                if !self.outward(&mut frame) {
                    return Some(response);
                }
                let [body @ .., last] = frame;
                (crc7(&body) << 1 | 1 == last).then_some(SdResponse::Long(frame))
            }
        }
    }
}

impl<B: DamagedBus> SdBus for FaultySd<B> {
    fn command(&mut self, index: u8, argument: u32) -> Option<SdResponse> {
        if !self.event() {
            return None;
        }
        let Frame(mut frame) = Command::new(index, argument).frame();
        self.inward(&mut frame);
        let Ok(command) = Frame(frame).command() else {
            self.bus.command_damaged();
            return None;
        };
        let response = self.bus.command(command.index, command.argument)?;
        self.response(index, response)
    }

    fn read_block(&mut self, block: &mut [u8]) -> Transfer {
        if !self.event() {
            return Transfer::Nothing;
        }
        let transfer = self.bus.read_block(block);
        if transfer != Transfer::Done {
            return transfer;
        }
        let mut crc = crc16(block).to_be_bytes();
        let damaged = self.outward(block) | self.outward(&mut crc);
        if damaged && crc16(block).to_be_bytes() != crc { Transfer::Crc } else { Transfer::Done }
    }

    fn write_block(&mut self, block: &[u8]) -> Transfer {
        if !self.event() {
            return Transfer::Nothing;
        }
        if self.bus.is_busy() {
            return Transfer::Wait;
        }
        let mut frame = std::mem::take(&mut self.block);
        frame.clear();
        frame.extend_from_slice(block);
        frame.extend_from_slice(&crc16(block).to_be_bytes());
        self.inward(&mut frame);
        let (body, crc) = frame.split_at(block.len());
        let transfer =
            if crc16(body).to_be_bytes() == crc { self.bus.write_block(body) } else { self.bus.block_damaged() };
        self.block = frame;
        // The CRC status: start bit, three bits, end bit. Where it cannot be read a controller reports a wrong checksum.
        let unread = transfer == Transfer::Done && self.outward(&mut [0]);
        if unread { Transfer::Crc } else { transfer }
    }

    fn is_busy(&mut self) -> bool {
        self.questions += 1;
        let busy = self.bus.is_busy();
        busy || self.faults.stuck.contains(&(self.questions - 1))
    }

    fn set_power(&mut self, on: bool) {
        self.supply = on;
        if !self.out {
            self.bus.set_power(on);
        }
    }

    fn is_present(&mut self) -> bool {
        !self.out && self.bus.is_present()
    }
}
