//! The daemon's side: from an ioctl number and bytes to a checked request.

use crate::abi::{self, ABI_VERSION};
use crate::apdu::Apdu;
use crate::layout::{Structure, WrongSize};
use crate::number::{self, nr_of, type_of};
use crate::text;
use crate::value::{FailureFormat, OperationKind};

/// A request that has passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Answer with [`abi::Version`].
    Version,
    /// Answer with [`abi::Status`].
    Status,
    /// Answer with [`abi::OperationResult`], `EAGAIN` or `ENOENT`.
    Result {
        /// The ticket the client asks for.
        ticket: u64,
    },
    /// Queue it, then answer with [`accepted`].
    Submit(Operation),
}

/// What a client wants of the card.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Open a secure channel.
    Authenticate {
        /// Security level; `None` = as configured.
        level: Option<u8>,
        /// Key version number; `None` = as configured.
        key_version: Option<u8>,
    },
    /// Send one command; `None` = the bytes last written to the descriptor.
    Transmit(Option<Apdu>),
    /// Let the card issue itself.
    Start(StartRequest),
    /// Remove what an unfinished issue has written.
    Clear,
    /// Make a card that asked for it usable.
    Confirm,
    /// Reset the card: power off and on.
    Reset,
}

impl Operation {
    /// The kind, as RESULT tells it.
    pub const fn kind(&self) -> OperationKind {
        match self {
            Self::Authenticate { .. } => OperationKind::Authenticate,
            Self::Transmit(_) => OperationKind::Transmit,
            Self::Start(_) => OperationKind::Start,
            Self::Clear => OperationKind::Clear,
            Self::Confirm => OperationKind::Confirm,
            Self::Reset => OperationKind::Reset,
        }
    }
}

/// Which batch START means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selector {
    /// The only one in the store.
    #[default]
    Only,
    /// By file name, 1 to 255 bytes without a zero or a slash.
    Name(Vec<u8>),
    /// By file identifier.
    Id(u16),
}

/// START.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRequest {
    /// Which batch.
    pub selector: Selector,
    /// First byte of the batch within the file.
    pub offset: u32,
    /// Bytes the issuer may read from there; 0 = to the end of the file.
    pub length: u32,
    /// How a failure is told.
    pub failure_format: FailureFormat,
}

impl Default for StartRequest {
    /// The only batch, whole; failures with the count as data.
    fn default() -> Self {
        Self { selector: Selector::Only, offset: 0, length: 0, failure_format: FailureFormat::Data }
    }
}

/// Why a request is refused before anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not an ioctl of the control file (`ENOTTY`).
    #[error("ioctl {0:#010x} is none of the control file's")]
    UnknownIoctl(u32),
    /// The number's size or direction, or the number of bytes, is not the structure's (`EINVAL`).
    #[error("ioctl {number:#010x}: {size}")]
    Size {
        /// The number.
        number: u32,
        /// The sizes.
        size: WrongSize,
    },
    /// A version this daemon does not speak (`EINVAL`).
    #[error("interface version {0}, this daemon speaks {ABI_VERSION}")]
    Version(u16),
    /// Flag bits this daemon does not know (`EINVAL`).
    #[error("unknown flag bits {0:#06x}")]
    Flags(u16),
    /// A field holds what it must not (`EINVAL`).
    #[error("field {0}: value not allowed")]
    Field(&'static str),
}

impl RequestError {
    /// The errno for the caller.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::UnknownIoctl(_) => libc::ENOTTY,
            Self::Size { .. } | Self::Version(_) | Self::Flags(_) | Self::Field(_) => libc::EINVAL,
        }
    }
}

impl Request {
    /// Reads the request of ioctl `number` with its `data`.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; its [`errno`](RequestError::errno) goes to the caller. Nothing outside the structure's own
    /// bytes is looked at, so a request that passes may still be refused for the card's state.
    pub fn parse(number: u32, data: &[u8]) -> Result<Self, RequestError> {
        if type_of(number) != number::TYPE {
            return Err(RequestError::UnknownIoctl(number));
        }
        match nr_of(number) {
            number::NR_VERSION => {
                let raw: abi::Version = read(number, abi::VERSION, data)?;
                no_flags(raw.flags).map(|()| Self::Version)
            }
            number::NR_STATUS => {
                let raw: abi::Status = read(number, abi::STATUS, data)?;
                version_and_flags(raw.version, raw.flags).map(|()| Self::Status)
            }
            number::NR_RESULT => {
                let raw: abi::OperationResult = read(number, abi::RESULT, data)?;
                version_and_flags(raw.version, raw.flags)?;
                zero("reserved", &raw.reserved)?;
                Ok(Self::Result { ticket: raw.ticket })
            }
            number::NR_AUTHENTICATE => authenticate(&read(number, abi::AUTHENTICATE, data)?),
            number::NR_TRANSMIT => transmit(&read(number, abi::TRANSMIT, data)?),
            number::NR_START => start(&read(number, abi::START, data)?),
            number::NR_CLEAR => plain(number, abi::CLEAR, data, Operation::Clear),
            number::NR_CONFIRM => plain(number, abi::CONFIRM, data, Operation::Confirm),
            number::NR_RESET => plain(number, abi::RESET, data, Operation::Reset),
            _ => Err(RequestError::UnknownIoctl(number)),
        }
    }
}

/// The answer to a submission: the request's own bytes with `result` 0 and the ticket.
///
/// `data` is the request as it came; every structure that submits has its ticket at the same place.
pub fn accepted(data: &[u8], ticket: u64) -> Vec<u8> {
    const TICKET: usize = core::mem::offset_of!(abi::Submit, ticket);
    let mut answer = data.to_vec();
    for (to, from) in answer.iter_mut().zip([0; size_of::<i32>()]) {
        *to = from;
    }
    for (to, from) in answer.iter_mut().skip(TICKET).zip(ticket.to_ne_bytes()) {
        *to = from;
    }
    answer
}

const _: () = assert!(core::mem::offset_of!(abi::Submit, ticket) == core::mem::offset_of!(abi::Start, ticket));
const _: () = assert!(core::mem::offset_of!(abi::Submit, ticket) == core::mem::offset_of!(abi::Transmit, ticket));
const _: () = assert!(core::mem::offset_of!(abi::Submit, ticket) == core::mem::offset_of!(abi::Authenticate, ticket));

fn read<T: Structure>(number: u32, expected: u32, data: &[u8]) -> Result<T, RequestError> {
    let size = WrongSize { expected: T::LAYOUT.size, given: data.len() };
    if number != expected {
        return Err(RequestError::Size { number, size });
    }
    T::from_bytes(data).map_err(|size| RequestError::Size { number, size })
}

fn version_and_flags(version: u16, flags: u16) -> Result<(), RequestError> {
    if version != ABI_VERSION {
        return Err(RequestError::Version(version));
    }
    no_flags(flags)
}

fn no_flags(flags: u16) -> Result<(), RequestError> {
    if flags == 0 { Ok(()) } else { Err(RequestError::Flags(flags)) }
}

fn zero(field: &'static str, bytes: &[u8]) -> Result<(), RequestError> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(RequestError::Field(field)) }
}

fn plain(number: u32, expected: u32, data: &[u8], operation: Operation) -> Result<Request, RequestError> {
    let raw: abi::Submit = read(number, expected, data)?;
    version_and_flags(raw.version, raw.flags)?;
    Ok(Request::Submit(operation))
}

fn authenticate(raw: &abi::Authenticate) -> Result<Request, RequestError> {
    version_and_flags(raw.version, raw.flags)?;
    zero("reserved", &raw.reserved)?;
    let level = match raw.level {
        0 => None,
        // C-MAC, C-MAC and C-DEC, and each with R-MAC or with R-MAC and R-ENC (Amendment D, 7.1.2.1).
        level @ (0x01 | 0x03 | 0x11 | 0x13 | 0x33) => Some(level),
        _ => return Err(RequestError::Field("level")),
    };
    let key_version = (raw.key_version != 0).then_some(raw.key_version);
    Ok(Request::Submit(Operation::Authenticate { level, key_version }))
}

fn transmit(raw: &abi::Transmit) -> Result<Request, RequestError> {
    let written = raw.flags & abi::TRANSMIT_EXTENDED != 0;
    version_and_flags(raw.version, raw.flags & !abi::TRANSMIT_EXTENDED)?;
    zero("reserved", &[raw.reserved])?;
    let (command, rest) = raw.command.split_at_checked(usize::from(raw.length)).ok_or(RequestError::Field("length"))?;
    zero("command", rest)?;
    // A command has at least its header of four bytes.
    match (written, command.len()) {
        (true, 0) => Ok(Request::Submit(Operation::Transmit(None))),
        (false, 4..) => Ok(Request::Submit(Operation::Transmit(Some(Apdu::new(command))))),
        _ => Err(RequestError::Field("length")),
    }
}

fn start(raw: &abi::Start) -> Result<Request, RequestError> {
    version_and_flags(raw.version, raw.flags)?;
    zero("reserved", &raw.reserved.to_ne_bytes())?;
    let name = text::bytes_of(&raw.name);
    zero("name", raw.name.get(name.len()..).unwrap_or_default())?;
    let selector = match raw.selector {
        abi::SELECT_NONE => Selector::Only,
        abi::SELECT_NAME if (1..abi::NAME_SIZE).contains(&name.len()) && !name.contains(&b'/') => {
            Selector::Name(name.to_vec())
        }
        abi::SELECT_NAME => return Err(RequestError::Field("name")),
        abi::SELECT_ID => Selector::Id(raw.id),
        _ => return Err(RequestError::Field("selector")),
    };
    if raw.id != 0 && !matches!(selector, Selector::Id(_)) {
        return Err(RequestError::Field("id"));
    }
    if !name.is_empty() && !matches!(selector, Selector::Name(_)) {
        return Err(RequestError::Field("name"));
    }
    let failure_format = FailureFormat::from_wire(raw.failure_format).ok_or(RequestError::Field("failure_format"))?;
    Ok(Request::Submit(Operation::Start(StartRequest {
        selector,
        offset: raw.offset,
        length: raw.length,
        failure_format,
    })))
}
