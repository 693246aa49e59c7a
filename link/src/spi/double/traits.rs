//! What a card can be like.

use std::time::Duration;

/// What the card is like. Times are bytes unless said otherwise.
#[derive(Clone, Debug)]
pub(in crate::spi) struct Traits {
    pub(in crate::spi) present: bool,
    /// Level of the line without a card.
    pub(in crate::spi) low: bool,
    pub(in crate::spi) version1: bool,
    pub(in crate::spi) mmc: bool,
    pub(in crate::spi) high_capacity: bool,
    pub(in crate::spi) locked: bool,
    pub(in crate::spi) knows_crc: bool,
    pub(in crate::spi) knows_block_length: bool,
    /// First CMD0s that are lost.
    pub(in crate::spi) deaf: u32,
    /// Whether chip select going up ends a wait for a block.
    pub(in crate::spi) select_resets: bool,
    /// Bits by which all that it sends is late.
    pub(in crate::spi) shift: u32,
    pub(in crate::spi) response_after: usize,
    pub(in crate::spi) token_after: usize,
    /// A byte 00 before the ones before the token.
    pub(in crate::spi) zero_byte: bool,
    pub(in crate::spi) data_response_after: usize,
    pub(in crate::spi) busy: usize,
    pub(in crate::spi) busy_time: Duration,
    /// Data blocks, counted from 1, that arrive damaged at the card, come damaged from it, fail to be written, or whose
    /// data response is damaged in one bit (of `flip_bit`).
    pub(in crate::spi) damaged_in: Vec<u32>,
    pub(in crate::spi) damaged_out: Vec<u32>,
    pub(in crate::spi) fails: Vec<u32>,
    pub(in crate::spi) flipped: Vec<u32>,
    pub(in crate::spi) flip_bit: u8,
    pub(in crate::spi) stop_tokens_lost: u32,
    pub(in crate::spi) start_token: u8,
    /// Reads answered with this error token.
    pub(in crate::spi) error_token: Option<u8>,
    /// CMD36 is answered with R1 00 and no data, and CMD13 tells.
    pub(in crate::spi) quiet_refusal: bool,
    /// The card goes away after so many bytes more.
    pub(in crate::spi) removed_after: Option<u64>,
    /// Fastest clock at which its answers are right, in Hz.
    pub(in crate::spi) limit_hz: u32,
}

impl Default for Traits {
    fn default() -> Self {
        Traits {
            present: true,
            low: false,
            version1: false,
            mmc: false,
            high_capacity: true,
            locked: false,
            knows_crc: true,
            knows_block_length: true,
            deaf: 0,
            select_resets: true,
            shift: 0,
            response_after: 1,
            token_after: 1,
            zero_byte: false,
            data_response_after: 0,
            busy: 1,
            busy_time: Duration::ZERO,
            damaged_in: Vec::new(),
            damaged_out: Vec::new(),
            fails: Vec::new(),
            flipped: Vec::new(),
            flip_bit: 0x08,
            stop_tokens_lost: 0,
            start_token: 0xFE,
            error_token: None,
            quiet_refusal: false,
            removed_after: None,
            limit_hz: u32::MAX,
        }
    }
}
