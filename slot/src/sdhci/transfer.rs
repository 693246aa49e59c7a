//! The data lines: blocks of a transfer between the card and the host, or a card that is busy.
//!
//! A transfer goes on in steps. A step does a bounded amount of work and never waits: where the card is not ready it says
//! when to ask again, where the host has to read or write the buffer port it says nothing until that has happened.

use super::adma::{AdmaFault, Copy, Walk};
use super::registers::interrupt;
use crate::memory::GuestMemory;
use smcard_link::{SdBus, SdResponse, Transfer as Block};
use std::time::Duration;

/// Blocks that one step moves; in between the host's register accesses are served.
const STEP_BLOCKS: u32 = 256;
/// First and longest pause between two questions to a card that is not ready.
const PAUSE_MIN: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(2);
const CMD12: u8 = 12;

/// Which way the data goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// From the card.
    Read,
    /// To the card.
    Write,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The host's next block, for the card.
    Fetch,
    /// The buffer port is open: the host moves the block word by word.
    Port,
    /// The block goes to the card.
    Send,
    /// The card's next block.
    Receive,
    /// The card's block goes to the host.
    Deliver,
    /// CMD12 is to be sent by the controller itself.
    Stop,
    /// The card may be busy.
    Busy,
    /// Nothing.
    Finished,
}

/// What the command register and its neighbours say about a transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) direction: Direction,
    /// Bytes of a block, not 0.
    pub(crate) block: usize,
    /// Blocks, `None`: until the host stops it or the descriptor table ends.
    pub(crate) count: Option<u32>,
    /// Descriptor table, `None`: through the buffer port.
    pub(crate) table: Option<u64>,
    /// The controller sends CMD12 at the end.
    pub(crate) auto_stop: bool,
    /// How long the card may be not ready at a stretch.
    pub(crate) limit: Duration,
}

/// What a step has come to.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// There is more to do at once.
    More,
    /// Ask again after this time.
    After(Duration),
    /// The host's turn.
    Host,
    /// Over, with these events.
    Over(u32),
    /// Ended by a descriptor table that cannot be followed.
    Adma(AdmaFault),
}

/// What a step tells beside its outcome.
#[derive(Default, Debug)]
pub(crate) struct Notes {
    /// Events that happened on the way.
    pub(crate) events: u32,
    /// The card's answer to the controller's own CMD12; the inner `None` is silence.
    pub(crate) auto_stop: Option<Option<SdResponse>>,
}

/// A transfer under way.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// `None`: no data, only waiting for a busy card.
    direction: Option<Direction>,
    stage: Stage,
    block: Vec<u8>,
    /// How far the host has come in the block.
    at: usize,
    left: Option<u32>,
    walk: Option<Walk>,
    auto_stop: bool,
    limit: Duration,
    deadline: Option<Duration>,
    pause: Duration,
}

impl Transfer {
    /// A transfer of data, right after its command.
    pub(crate) fn new(plan: &Plan) -> Self {
        let stage = match plan.direction {
            Direction::Read => Stage::Receive,
            Direction::Write => Stage::Fetch,
        };
        Transfer {
            direction: Some(plan.direction),
            stage,
            block: vec![0; plan.block],
            at: 0,
            left: plan.count,
            walk: plan.table.map(Walk::new),
            auto_stop: plan.auto_stop,
            limit: plan.limit,
            deadline: None,
            pause: PAUSE_MIN,
        }
    }

    /// A card that answered a command and may be busy with it.
    pub(crate) fn busy(limit: Duration) -> Self {
        Transfer {
            direction: None,
            stage: Stage::Busy,
            block: Vec::new(),
            at: 0,
            left: None,
            walk: None,
            auto_stop: false,
            limit,
            deadline: None,
            pause: PAUSE_MIN,
        }
    }

    pub(crate) fn direction(&self) -> Option<Direction> {
        self.direction
    }

    /// Blocks that have not passed yet.
    pub(crate) fn left(&self) -> Option<u32> {
        self.left
    }

    /// The next descriptor, where there is a table.
    pub(crate) fn position(&self) -> Option<u64> {
        self.walk.as_ref().map(Walk::position)
    }

    /// Which way the host has to move data through the buffer port now.
    pub(crate) fn port(&self) -> Option<Direction> {
        self.direction.filter(|_| self.stage == Stage::Port)
    }

    /// The host reads a byte of the buffer port; without a block there it is 0.
    pub(crate) fn take(&mut self) -> u8 {
        if self.port() != Some(Direction::Read) {
            return 0;
        }
        let byte = self.block.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        if self.at >= self.block.len() {
            self.passed();
        }
        byte
    }

    /// The host writes a byte to the buffer port; without room it is lost.
    pub(crate) fn give(&mut self, byte: u8) {
        if self.port() != Some(Direction::Write) {
            return;
        }
        if let Some(place) = self.block.get_mut(self.at) {
            *place = byte;
        }
        self.at += 1;
        if self.at >= self.block.len() {
            self.stage = Stage::Send;
        }
    }

    /// Goes on, with a card or without one (who waits for a card that is not there waits until its time limit).
    pub(crate) fn step(
        &mut self,
        now: Duration,
        mut card: Option<&mut (dyn SdBus + 'static)>,
        memory: &dyn GuestMemory,
        notes: &mut Notes,
    ) -> Outcome {
        for _ in 0..STEP_BLOCKS {
            match self.stage {
                Stage::Fetch | Stage::Deliver => match self.exchange(memory) {
                    Ok(true) => notes.events |= interrupt::DMA,
                    Ok(false) => {}
                    Err(fault) => return Outcome::Adma(fault),
                },
                Stage::Port => return Outcome::Host,
                Stage::Send => {
                    let answer = card.as_deref_mut().map(|card| card.write_block(&self.block));
                    match answer.unwrap_or(Block::Nothing) {
                        Block::Done => self.passed(),
                        Block::Crc => return Outcome::Over(interrupt::DATA_CRC),
                        Block::Wait | Block::Nothing => return self.wait(now),
                    }
                }
                Stage::Receive => {
                    let answer = card.as_deref_mut().map(|card| card.read_block(&mut self.block));
                    match answer.unwrap_or(Block::Nothing) {
                        Block::Done => self.enter(Stage::Deliver),
                        Block::Crc => return Outcome::Over(interrupt::DATA_CRC),
                        Block::Wait | Block::Nothing => return self.wait(now),
                    }
                }
                Stage::Stop => {
                    let response = card.as_deref_mut().and_then(|card| card.command(CMD12, 0));
                    notes.auto_stop = Some(response);
                    if response.is_none() {
                        return Outcome::Over(interrupt::AUTO_CMD12);
                    }
                    self.enter(Stage::Busy);
                }
                Stage::Busy => {
                    if card.as_deref_mut().is_some_and(SdBus::is_busy) {
                        return self.wait(now);
                    }
                    self.enter(Stage::Finished);
                }
                Stage::Finished => return Outcome::Over(interrupt::TRANSFER_COMPLETE),
            }
            if self.stage == Stage::Port {
                notes.events |= match self.direction {
                    Some(Direction::Write) => interrupt::BUFFER_WRITE,
                    _ => interrupt::BUFFER_READ,
                };
            }
        }
        Outcome::More
    }

    /// The block goes from or to the host's memory; without a descriptor table the port is opened. True: a descriptor
    /// asked for an interrupt.
    fn exchange(&mut self, memory: &dyn GuestMemory) -> Result<bool, AdmaFault> {
        let Some(walk) = &mut self.walk else {
            self.at = 0;
            self.enter(Stage::Port);
            return Ok(false);
        };
        if self.direction == Some(Direction::Write) {
            let announced = walk.copy(memory, Copy::From(&mut self.block))?;
            self.enter(Stage::Send);
            return Ok(announced);
        }
        let announced = walk.copy(memory, Copy::To(&self.block))?;
        self.passed();
        Ok(announced)
    }

    /// A block has come to its end.
    fn passed(&mut self) {
        self.left = self.left.map(|left| left.saturating_sub(1));
        let table_ended = self.walk.as_ref().is_some_and(Walk::is_finished);
        let over = self.left.map_or(table_ended, |left| left == 0);
        self.enter(match self.direction {
            _ if over && self.auto_stop => Stage::Stop,
            Some(Direction::Write) if over => Stage::Busy,
            _ if over => Stage::Finished,
            Some(Direction::Write) => Stage::Fetch,
            _ => Stage::Receive,
        });
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.deadline = None;
        self.pause = PAUSE_MIN;
    }

    /// The card is not ready. It has been asked after the limit passed at least once before it is given up: a machine
    /// that was stopped for a while is no slow card.
    fn wait(&mut self, now: Duration) -> Outcome {
        let deadline = *self.deadline.get_or_insert(now.saturating_add(self.limit));
        if now >= deadline {
            return Outcome::Over(interrupt::DATA_TIMEOUT);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        Outcome::After(pause.min(deadline - now))
    }
}
