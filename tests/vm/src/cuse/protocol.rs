//! Bytes of the FUSE protocol, as far as CUSE devices meet it. Everything is in the machine's byte order.

use anyhow::{Context, Result, bail};

use super::{Answer, Piece};

/// Longest request: the longest data of an ioctl (32 pages) and what stands before them.
pub(super) const REQUEST_MAX: usize = (128 << 10) + 4096;
/// What is unknown is answered with this errno.
pub(super) const ENOSYS: i32 = 38;

/// Length of `fuse_in_header`.
const HEADER: usize = 40;
/// Length of `fuse_ioctl_in`.
const IOCTL: usize = 32;
/// `CUSE_UNRESTRICTED_IOCTL`, in the flags of the answer to INIT.
const UNRESTRICTED: u32 = 1;
/// `FUSE_IOCTL_RETRY`.
const RETRY: u32 = 1 << 2;
/// Device number: 0 lets the kernel choose.
const MAJOR: u32 = 0;
const MINOR: u32 = 0;

const OPEN: u32 = 14;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INTERRUPT: u32 = 36;
const IOCTL_CODE: u32 = 39;
const CUSE_INIT: u32 = 4096;

/// A request of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Request<'a> {
    Init {
        unique: u64,
        major: u32,
        minor: u32,
    },
    Open {
        unique: u64,
    },
    Close {
        unique: u64,
    },
    Ioctl {
        unique: u64,
        command: u32,
        argument: u64,
        input: &'a [u8],
        room: usize,
    },
    Unknown {
        unique: u64,
    },
    /// One that gets no answer.
    Silent,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Request<'_>> {
    let (length, code, unique) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?, u64_at(bytes, 8)?);
    if usize::try_from(length).ok() != Some(bytes.len()) {
        bail!("its length is {length}, but {} bytes came", bytes.len());
    }
    Ok(match code {
        CUSE_INIT => Request::Init { unique, major: u32_at(bytes, HEADER)?, minor: u32_at(bytes, HEADER + 4)? },
        OPEN => Request::Open { unique },
        RELEASE | FLUSH => Request::Close { unique },
        INTERRUPT => Request::Silent,
        IOCTL_CODE => {
            let input = bytes.get(HEADER + IOCTL..).context("an ioctl without its structure")?;
            let given = u32_at(bytes, HEADER + 24)?;
            if usize::try_from(given).ok() != Some(input.len()) {
                bail!("an ioctl with {} bytes of data that speaks of {given}", input.len());
            }
            let room = usize::try_from(u32_at(bytes, HEADER + 28)?).context("room")?;
            Request::Ioctl {
                unique,
                command: u32_at(bytes, HEADER + 12)?,
                argument: u64_at(bytes, HEADER + 16)?,
                input,
                room,
            }
        }
        _ => Request::Unknown { unique },
    })
}

/// An answer without its header.
pub(super) struct Reply {
    error: i32,
    body: Vec<u8>,
}

impl Reply {
    pub(super) fn init(major: u32, minor: u32, name: &str) -> Self {
        let mut body = Vec::new();
        let transfer_max: u32 = 128 << 10;
        for word in [major, minor, 0, UNRESTRICTED, transfer_max, transfer_max, MAJOR, MINOR] {
            body.extend(word.to_ne_bytes());
        }
        body.extend([0; 40]);
        body.extend(b"DEVNAME=");
        body.extend(name.bytes());
        body.push(0);
        Reply { error: 0, body }
    }

    pub(super) fn opened() -> Self {
        // One handle for all: the device has no state of its own for an open file.
        Reply { error: 0, body: vec![0; 16] }
    }

    pub(super) fn nothing() -> Self {
        Reply { error: 0, body: Vec::new() }
    }

    pub(super) fn failed(errno: i32) -> Self {
        Reply { error: -errno, body: Vec::new() }
    }

    pub(super) fn ioctl(answer: &Answer) -> Self {
        let mut body = Vec::new();
        match answer {
            Answer::Failed(errno) => return Reply::failed(*errno),
            Answer::Done { result, output } => {
                body.extend(result.to_ne_bytes());
                body.extend([0; 12]);
                body.extend(output);
            }
            Answer::Again { reads, writes } => {
                // The caller's pieces were counted by the device: an ioctl of 16 383 bytes cannot name 2^32 of them.
                let count = |pieces: &[Piece]| u32::try_from(pieces.len()).unwrap_or(u32::MAX);
                for word in [0, RETRY, count(reads), count(writes)] {
                    body.extend(word.to_ne_bytes());
                }
                for piece in reads.iter().chain(writes) {
                    body.extend(piece.address.to_ne_bytes());
                    body.extend(piece.length.to_ne_bytes());
                }
            }
        }
        Reply { error: 0, body }
    }

    pub(super) fn bytes(&self, unique: u64) -> Vec<u8> {
        let length = u32::try_from(16 + self.body.len()).unwrap_or(u32::MAX);
        [&length.to_ne_bytes()[..], &self.error.to_ne_bytes(), &unique.to_ne_bytes(), &self.body].concat()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map(|field| u32::from_ne_bytes(*field)).with_context(|| format!("it ends before byte {}", at + 4))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map(|field| u64::from_ne_bytes(*field)).with_context(|| format!("it ends before byte {}", at + 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(code: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(7u64.to_ne_bytes());
        bytes.extend([0; 24]);
        bytes.extend(body);
        bytes
    }

    fn ioctl_body(given: u32, data: &[u8]) -> Vec<u8> {
        let mut body = vec![0; 12];
        body.extend(0x8001_6b01_u32.to_ne_bytes());
        body.extend(0x7fff_1234_5678_u64.to_ne_bytes());
        body.extend(given.to_ne_bytes());
        body.extend(9u32.to_ne_bytes());
        body.extend(data);
        body
    }

    #[test]
    fn an_ioctl_is_understood() {
        let bytes = request(IOCTL_CODE, &ioctl_body(2, b"ab"));
        let expected =
            Request::Ioctl { unique: 7, command: 0x8001_6b01, argument: 0x7fff_1234_5678, input: b"ab", room: 9 };
        assert_eq!(parse(&bytes).unwrap(), expected);
    }

    #[test]
    fn lengths_that_do_not_agree_are_refused() {
        assert!(parse(&request(IOCTL_CODE, &ioctl_body(3, b"ab"))).is_err());
        assert!(parse(&request(IOCTL_CODE, b"ab")).is_err());
        assert!(parse(&request(CUSE_INIT, b"ab")).is_err());
        let mut bytes = request(OPEN, b"");
        bytes.push(0);
        assert!(parse(&bytes).is_err());
    }

    #[test]
    fn asking_again_names_reads_before_writes() {
        let piece = |address| Piece { address, length: 1 };
        let reply = Reply::ioctl(&Answer::Again { reads: vec![piece(1)], writes: vec![piece(2), piece(3)] });
        let bytes = reply.bytes(7);
        assert_eq!(u32_at(&bytes, 0).unwrap(), 16 + 16 + 3 * 16);
        assert_eq!(u32_at(&bytes, 16 + 4).unwrap(), RETRY);
        assert_eq!((u32_at(&bytes, 16 + 8).unwrap(), u32_at(&bytes, 16 + 12).unwrap()), (1, 2));
        assert_eq!([32, 48, 64].map(|at| u64_at(&bytes, at).unwrap()), [1, 2, 3]);
    }

    #[test]
    fn a_failure_is_a_header_only() {
        let bytes = Reply::failed(22).bytes(7);
        assert_eq!(bytes.len(), 16);
        assert_eq!(bytes[4..8], (-22i32).to_ne_bytes());
    }
}
