//! How a card behaves on the wire: data, not code paths. Every oddity that a driver of the field has met is a knob here.

mod named;

use smcard_link::assd::Version;
use smcard_link::sd::Capacity;
use std::time::Duration;

/// Version of the physical layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SdVersion {
    /// 1.10: no CMD8, no CMD23, at most 2 GB.
    V1_10,
    /// 3.0x.
    V3,
}

/// What the card does with CMD16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockLengthCommand {
    /// Takes it.
    Honoured,
    /// Says that it does not know it.
    Refused,
    /// Takes it; nothing changes.
    Ignored,
}

/// Bytes of the block that CMD36 is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PsiLength {
    /// 512 where CMD16 has set 512 or nothing, 32 otherwise.
    BlockLength,
    /// Always 32.
    Short,
    /// Always 512, the register in front.
    Long,
}

/// The start tokens with which CMD35 takes its block in SPI mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteTokens {
    /// Either.
    Any,
    /// Only FE.
    Single,
    /// Only FC.
    Multi,
}

/// When the card forgets function group 2, as after a re-initialisation that nobody asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModeLoss {
    /// Never.
    Never,
    /// Before every n-th command.
    Every(u32),
    /// Before one command in `one_in`, drawn from `seed`.
    Random {
        /// 1 is every command.
        one_in: u32,
        /// Where the drawing starts.
        seed: u64,
    },
}

/// A card's behaviour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Version of the physical layer.
    pub sd_version: SdVersion,
    /// How memory is addressed.
    pub capacity: Capacity,
    /// Locked with a password (CMD42): nothing of its contents can be reached.
    pub locked: bool,
    /// Calls of ACMD41 that find it still busy.
    pub start_polls: u32,
    /// Wants 74 clocks with chip select high before the first CMD0 (SPI).
    pub power_up_clocks: bool,
    /// Takes ACMD41 in SPI mode only where no bit but HCS (30) is set.
    pub plain_op_cond: bool,
    /// Calls of CMD0 that get lost.
    pub lost_resets: u32,
    /// Does not know CMD59.
    pub crc_refused: bool,
    /// CMD16.
    pub block_length: BlockLengthCommand,

    /// Functions of group 2 that CMD6 offers, bit n = function n; bits 1 and 4 are ASSD. Zero: no secure command set.
    pub functions: u16,
    /// Echoes whatever CMD6 asks for, and knows no secure command.
    pub switch_echo: bool,
    /// Settings of group 2 that find it busy.
    pub switch_busy: u32,
    /// Version in the properties register.
    pub version: Version,
    /// CMD36.
    pub psi: PsiLength,
    /// Stays in *rcv* after CMD35 and in *data* after CMD34 until CMD12; a command is not worked on before.
    pub stop_needed: bool,
    /// Calls of CMD35 that get lost.
    pub lost_writes: u32,
    /// Blocks of CMD34 whose checksum is wrong.
    pub damaged_answers: u32,
    /// Blocks that one token may have.
    pub blocks_max: u16,
    /// Knows checked tokens.
    pub checked: bool,
    /// Gives an answer again: CMD34 after CMD34.
    pub rereads: bool,
    /// Protected memory is there: CMD50 and CMD57.
    pub protected_memory: bool,
    /// A memory data command aborts a secure command in progress.
    pub memory_aborts: bool,
    /// Start tokens for CMD35 (SPI).
    pub write_tokens: WriteTokens,
    /// CMD37 shows busy (R1b).
    pub control_busy: bool,
    /// When the mode gets lost.
    pub mode_loss: ModeLoss,

    /// Properties register: security read latency, in 250 ms.
    pub read_latency: u8,
    /// Properties register: security write latency, in 250 ms.
    pub write_latency: u8,
    /// Properties register: longest busy after CMD35, in 250 ms.
    pub write_busy: u8,
    /// Properties register: longest busy after CMD37, in 250 ms.
    pub control_latency: u8,
    /// Properties register: longest work on protected memory, in 250 ms.
    pub memory_latency: u8,

    /// Time until a read command sends its first block.
    pub access_time: Duration,
    /// Time that the card is busy after a block.
    pub program_time: Duration,
    /// Time that the secure core needs at least.
    pub work_time: Duration,
    /// Time that the card is busy after CMD37 at least.
    pub control_time: Duration,

    /// Bytes before a response (N_CR, 1..=8).
    pub response_gap: u8,
    /// Bytes before a data token (at least 1).
    pub token_gap: u16,
    /// Bytes before a data response (at least 0).
    pub data_response_gap: u8,
    /// Bits (0..=7) by which data tokens and data responses lie off the byte grid.
    pub shift: u8,
}

impl Default for Profile {
    /// An SDHC card of version 3.0x with ASSD 2.0, everything this project adds to it, and no oddity.
    fn default() -> Self {
        Profile {
            sd_version: SdVersion::V3,
            capacity: Capacity::High,
            locked: false,
            start_polls: 1,
            power_up_clocks: false,
            plain_op_cond: false,
            lost_resets: 0,
            crc_refused: false,
            block_length: BlockLengthCommand::Honoured,
            functions: FUNCTION_1 | FUNCTION_4,
            switch_echo: false,
            switch_busy: 0,
            version: Version::V2_0,
            psi: PsiLength::BlockLength,
            stop_needed: false,
            lost_writes: 0,
            damaged_answers: 0,
            blocks_max: 128,
            checked: true,
            rereads: true,
            protected_memory: true,
            memory_aborts: false,
            write_tokens: WriteTokens::Any,
            control_busy: true,
            mode_loss: ModeLoss::Never,
            read_latency: 1,
            write_latency: 1,
            write_busy: 1,
            control_latency: 1,
            memory_latency: 4,
            access_time: Duration::ZERO,
            program_time: Duration::ZERO,
            work_time: Duration::ZERO,
            control_time: Duration::ZERO,
            response_gap: 1,
            token_gap: 1,
            data_response_gap: 0,
            shift: 0,
        }
    }
}

/// Function 1 of group 2 in [`Profile::functions`].
pub const FUNCTION_1: u16 = 1 << 1;
/// Function 4 of group 2 in [`Profile::functions`].
pub const FUNCTION_4: u16 = 1 << 4;
