//! The structures, exactly as they cross the border.
//!
//! A client fills the request fields and leaves the others zero; the daemon answers with the same structure, its
//! answer fields filled. Every structure begins with the same eight bytes: `result` (answer), `version` and `flags`.

use crate::layout::structure;
use crate::number::{
    NR_AUTHENTICATE, NR_CLEAR, NR_CONFIRM, NR_RESET, NR_RESULT, NR_START, NR_STATUS, NR_TRANSMIT, NR_VERSION, iowr,
};

/// The version of the interface these structures describe; goes into `version` of every request.
pub const ABI_VERSION: u16 = 1;

/// Bytes of a file name with its closing zero: names have at most 255.
pub const NAME_SIZE: usize = 256;
/// Bytes of a line of text with its closing zero.
pub const TEXT_SIZE: usize = 256;
/// The longest short APDU: header, Lc, 255 bytes of data, Le (ISO/IEC 7816-4, 5.1).
pub const SHORT_COMMAND_MAX: usize = 261;
/// The longest short response: 256 bytes of data and the status word.
pub const SHORT_RESPONSE_MAX: usize = 258;
/// The longest extended APDU: header, Lc of three bytes, 65 535 bytes of data, Le of two.
pub const EXTENDED_COMMAND_MAX: usize = 65_544;
/// The longest extended response: 65 536 bytes of data and the status word.
pub const EXTENDED_RESPONSE_MAX: usize = 65_538;
/// Operations whose results the daemon keeps for one open file.
pub const TICKETS_MAX: usize = 16;

/// Capability: TRANSMIT takes extended APDUs by write(2) and gives long responses by read(2).
pub const CAP_EXTENDED: u64 = 1 << 0;
/// Capability: AUTHENTICATE can open a secure channel (the daemon has keys).
pub const CAP_AUTHENTICATE: u64 = 1 << 1;
/// Capability: poll(2) reports `POLLPRI` when the card's state has changed since the last STATUS of this open file.
pub const CAP_POLL_STATE: u64 = 1 << 2;
/// Capability: the card goes on after a power cut where it stood; a new START continues.
pub const CAP_RECOVERY: u64 = 1 << 3;

/// Request flag of TRANSMIT: the command is what was written to this descriptor; `length` is zero.
pub const TRANSMIT_EXTENDED: u16 = 1 << 0;
/// Answer flag of RESULT: the response is longer than `response`; read(2) gives the whole.
pub const RESULT_MORE: u16 = 1 << 0;

/// Fact of STATUS: the card wants CONFIRM before its new application can be used.
pub const FACT_CONFIRM_NEEDED: u32 = 1 << 0;
/// Fact of STATUS: an issue was interrupted; START goes on or over, as the card's recovery says.
pub const FACT_INTERRUPTED: u32 = 1 << 1;
/// Fact of STATUS: an issue is unfinished; CLEAR takes back what of it stands, and lets another batch be started.
pub const FACT_CLEAR_POSSIBLE: u32 = 1 << 2;
/// Fact of STATUS: this open file may send operations to the card (opened for writing by an operator).
pub const FACT_OPERATOR: u32 = 1 << 3;
/// Fact of STATUS: the card uses well-known test keys.
pub const FACT_TEST_KEYS: u32 = 1 << 4;

/// Value of `kept` where the card did not say.
pub const KEPT_UNKNOWN: u32 = u32::MAX;

/// Selector of START: none; the store holds one batch.
pub const SELECT_NONE: u8 = 0;
/// Selector of START: by `name`.
pub const SELECT_NAME: u8 = 1;
/// Selector of START: by `id`.
pub const SELECT_ID: u8 = 2;

/// Failure format of START: count of commands given as response data, before the status word.
pub const FAILURE_DATA: u8 = 0;
/// Failure format of START: status word 63CX, X = count, where it fits.
pub const FAILURE_COUNTER: u8 = 1;

structure! {
    /// VERSION: what the daemon speaks. Answers at once.
    Version = "smcard_version" {
        /// answer: 0
        result: i32,
        /// request: SMCARD_ABI_VERSION; the only ioctl that takes any version
        version: u16,
        /// request: 0
        flags: u16,
        /// answer: version of this interface the daemon speaks
        abi: u32,
        /// answer: longest command TRANSMIT takes inside the structure, bytes
        max_short_command: u32,
        /// answer: longest command TRANSMIT takes by write(2), bytes; 0 = none
        max_command: u32,
        /// answer: longest response read(2) gives, bytes; 0 = none
        max_response: u32,
        /// answer: SMCARD_CAP_ bits
        capabilities: u64,
        /// answer: name and version of the daemon, closed and filled with zeros
        server: [u8; 64],
    }
}

structure! {
    /// STATUS: where the card stands, from the daemon's memory. Answers at once, never asks the card.
    Status = "smcard_status" {
        /// answer: 0
        result: i32,
        /// request: SMCARD_ABI_VERSION
        version: u16,
        /// request: 0
        flags: u16,
        /// answer: SMCARD_CARD_ value
        card_state: u8,
        /// answer: security level of the daemon's secure channel (GlobalPlatform: 01, 03, 33 ...); 0 = none
        auth_level: u8,
        /// answer: life cycle of the card (GlobalPlatform 2.3.1, table 11-6); 0 = not known
        life_cycle: u8,
        /// 0
        reserved0: u8,
        /// answer: status word of the last issue's answer; 0 = none yet
        last_sw: u16,
        /// 0
        reserved1: u16,
        /// answer: SMCARD_FACT_ bits
        facts: u32,
        /// answer: commands of the last issue that the card was given, the failing one included
        given: u32,
        /// answer: commands the last issue's batch holds; 0 = not known
        total: u32,
        /// answer: commands of the last issue whose effect stands on the card, from the first; SMCARD_KEPT_UNKNOWN
        kept: u32,
        /// answer: transport error (errno) that ended the last issue; 0 = none
        last_error: i32,
        /// 0
        reserved2: u32,
        /// answer: time the running issue has taken so far or the last one took, milliseconds
        elapsed_ms: u64,
        /// answer: free bytes of protected memory
        free_bytes: u64,
        /// answer: exchanges with the card since it was mounted
        exchanges: u64,
        /// answer: exchanges of the last issue, its upload included
        issue_exchanges: u64,
        /// answer: issues that have ended since the card was mounted, well or badly
        issues: u64,
        /// answer: the line of the file "status", without line feed, closed and filled with zeros
        line: [u8; 256],
        /// answer: why the last upload was refused; empty after one that was taken
        upload_error: [u8; 256],
    }
}

structure! {
    /// AUTHENTICATE: opens a secure channel with the card manager. Submits.
    Authenticate = "smcard_authenticate" {
        /// answer: 0
        result: i32,
        /// request: SMCARD_ABI_VERSION
        version: u16,
        /// request: 0
        flags: u16,
        /// answer: ticket of the operation
        ticket: u64,
        /// request: security level (GlobalPlatform Amendment D: 01, 03, 11, 13, 33); 0 = as configured
        level: u8,
        /// request: key version number; 0 = as configured
        key_version: u8,
        /// 0
        reserved: [u8; 6],
    }
}

structure! {
    /// TRANSMIT: one command APDU to the card. Submits.
    Transmit = "smcard_transmit" {
        /// answer: 0
        result: i32,
        /// request: SMCARD_ABI_VERSION
        version: u16,
        /// request: 0 or SMCARD_TRANSMIT_EXTENDED
        flags: u16,
        /// answer: ticket of the operation
        ticket: u64,
        /// request: bytes of the command; 0 with SMCARD_TRANSMIT_EXTENDED
        length: u16,
        /// request: the command, filled with zeros
        command: [u8; 261],
        /// 0
        reserved: u8,
    }
}

structure! {
    /// START: the card issues itself from a batch in its protected memory. Submits.
    Start = "smcard_start" {
        /// answer: 0
        result: i32,
        /// request: SMCARD_ABI_VERSION
        version: u16,
        /// request: 0
        flags: u16,
        /// answer: ticket of the operation
        ticket: u64,
        /// request: first byte of the batch within the file
        offset: u32,
        /// request: bytes the issuer may read from there; 0 = to the end of the file
        length: u32,
        /// request: file identifier; 0 without SMCARD_SELECT_ID
        id: u16,
        /// request: SMCARD_SELECT_ value
        selector: u8,
        /// request: SMCARD_FAILURE_ value
        failure_format: u8,
        /// 0
        reserved: u32,
        /// request: file name, closed and filled with zeros; empty without SMCARD_SELECT_NAME
        name: [u8; 256],
    }
}

structure! {
    /// CLEAR, CONFIRM, RESET: no more than the command itself. Submits.
    Submit = "smcard_submit" {
        /// answer: 0
        result: i32,
        /// request: SMCARD_ABI_VERSION
        version: u16,
        /// request: 0
        flags: u16,
        /// answer: ticket of the operation
        ticket: u64,
    }
}

structure! {
    /// RESULT: what became of an operation. EAGAIN while it runs, ENOENT where the ticket is not known.
    OperationResult = "smcard_result" {
        /// answer: transport error of the operation (errno); 0 = the card answered
        result: i32,
        /// request: SMCARD_ABI_VERSION
        version: u16,
        /// request: 0; answer: SMCARD_RESULT_MORE
        flags: u16,
        /// request: ticket
        ticket: u64,
        /// answer: SMCARD_STATE_ value
        state: u8,
        /// answer: SMCARD_OP_ value, the kind of operation
        kind: u8,
        /// answer: status word; 0 where the card did not answer
        sw: u16,
        /// answer: START: commands the card was given, the failing one included
        given: u32,
        /// answer: START: commands the batch holds; 0 = not known
        total: u32,
        /// answer: START: commands whose effect stands on the card, from the first; SMCARD_KEPT_UNKNOWN
        kept: u32,
        /// answer: exchanges with the card, for START those of the upload included
        exchanges: u64,
        /// answer: time from submission to the answer
        nanoseconds: u64,
        /// answer: bytes of the whole response, data and status word
        response_length: u32,
        /// answer: the response, data and status word, as far as it fits; filled with zeros
        response: [u8; 258],
        /// 0
        reserved: [u8; 2],
    }
}

/// VERSION.
pub const VERSION: u32 = iowr::<Version>(NR_VERSION);
/// STATUS.
pub const STATUS: u32 = iowr::<Status>(NR_STATUS);
/// RESULT.
pub const RESULT: u32 = iowr::<OperationResult>(NR_RESULT);
/// AUTHENTICATE.
pub const AUTHENTICATE: u32 = iowr::<Authenticate>(NR_AUTHENTICATE);
/// TRANSMIT.
pub const TRANSMIT: u32 = iowr::<Transmit>(NR_TRANSMIT);
/// START.
pub const START: u32 = iowr::<Start>(NR_START);
/// CLEAR.
pub const CLEAR: u32 = iowr::<Submit>(NR_CLEAR);
/// CONFIRM.
pub const CONFIRM: u32 = iowr::<Submit>(NR_CONFIRM);
/// RESET.
pub const RESET: u32 = iowr::<Submit>(NR_RESET);
