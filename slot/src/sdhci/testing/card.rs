//! A memory card of few words, with knobs.

use smcard_link::{SdBus, SdResponse, Transfer};
use std::sync::{Arc, Mutex, MutexGuard};

/// How the double behaves, and what it has seen.
#[derive(Default)]
pub(crate) struct CardState {
    pub(crate) blocks: Vec<[u8; 512]>,
    pub(crate) commands: Vec<(u8, u32)>,
    pub(crate) powered: bool,
    pub(crate) absent: bool,
    /// So many questions are answered with "wait" before each block; `u32::MAX` for ever.
    pub(crate) waits: u32,
    /// So many questions find the card busy after a write or an R1b command.
    pub(crate) busy: u32,
    /// The block with this number is damaged on the way.
    pub(crate) damaged: Option<usize>,
    waited: u32,
    busy_left: u32,
    /// Address and direction of a transfer under way, and whether it goes on after a block.
    transfer: Option<(usize, bool, bool)>,
}

/// A memory card of few words: CMD0, CMD9, CMD12, CMD13, CMD17, CMD18, CMD24, CMD25.
#[derive(Clone, Default)]
pub(crate) struct Card(Arc<Mutex<CardState>>);

pub(crate) const CSD: [u8; 16] = *b"\x40\x0E\x00\x32\x5B\x59\x00\x00\x00\x7F\x7F\x80\x0A\x40\x00\xC7";

impl Card {
    pub(crate) fn new(blocks: usize) -> Self {
        let card = Card::default();
        card.state().blocks = (0..blocks).map(|n| [u8::try_from(n % 251).unwrap(); 512]).collect();
        card
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, CardState> {
        self.0.lock().unwrap()
    }

    fn block(&self, write: bool, move_block: impl FnOnce(&mut [u8; 512])) -> Transfer {
        let mut state = self.state();
        let Some((at, direction, multi)) = state.transfer else { return Transfer::Nothing };
        if direction != write || at >= state.blocks.len() {
            return Transfer::Nothing;
        }
        if state.waited < state.waits {
            state.waited += 1;
            return Transfer::Wait;
        }
        state.waited = if state.waits == u32::MAX { u32::MAX } else { 0 };
        if state.damaged == Some(at) {
            return Transfer::Crc;
        }
        move_block(&mut state.blocks[at]);
        state.transfer = multi.then_some((at + 1, write, multi));
        state.busy_left = if write { state.busy } else { 0 };
        Transfer::Done
    }
}

impl SdBus for Card {
    fn command(&mut self, index: u8, argument: u32) -> Option<SdResponse> {
        let mut state = self.state();
        if !state.powered {
            return None;
        }
        state.commands.push((index, argument));
        let at = usize::try_from(argument).ok()?;
        match index {
            9 => return Some(SdResponse::Long(CSD)),
            12 => {
                state.transfer = None;
                state.busy_left = state.busy;
            }
            13 => {}
            17 | 18 => state.transfer = Some((at, false, index == 18)),
            24 | 25 => state.transfer = Some((at, true, index == 25)),
            _ => return None,
        }
        Some(SdResponse::Short(0x900))
    }

    fn read_block(&mut self, block: &mut [u8]) -> Transfer {
        self.block(false, |stored| block.iter_mut().zip(stored).for_each(|(to, from)| *to = *from))
    }

    fn write_block(&mut self, block: &[u8]) -> Transfer {
        self.block(true, |stored| stored.iter_mut().zip(block).for_each(|(to, from)| *to = *from))
    }

    fn is_busy(&mut self) -> bool {
        let mut state = self.state();
        let busy = state.busy_left > 0;
        state.busy_left = state.busy_left.saturating_sub(u32::from(state.busy_left != u32::MAX));
        busy
    }

    fn set_power(&mut self, on: bool) {
        let mut state = self.state();
        state.powered = on;
        state.transfer = None;
    }

    fn is_present(&mut self) -> bool {
        !self.state().absent
    }
}
