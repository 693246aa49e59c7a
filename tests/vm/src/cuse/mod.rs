//! A character device served by a program: CUSE (`include/uapi/linux/fuse.h`, version 7.31 and later), for a device that
//! knows open, close and ioctl.
//!
//! With CUSE the kernel does not know what an ioctl reads and writes. It asks first without data; the program names the
//! pieces of the caller's memory it needs ([`Answer::Again`]), and the kernel asks again with them. That goes on until the
//! program answers for good.

mod protocol;
pub mod spidev;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};

use anyhow::{Context, Result};
use protocol::{Reply, Request};

/// A piece of the caller's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its address.
    pub address: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// What a device answers to an ioctl.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Ask again with what stands in `reads`, one after the other, and with room for what goes into `writes`.
    Again {
        /// What the device reads.
        reads: Vec<Piece>,
        /// What the device writes.
        writes: Vec<Piece>,
    },
    /// The ioctl returns `result`, and `output` goes to where [`Answer::Again`] said.
    Done {
        /// What the ioctl returns.
        result: i32,
        /// What is written.
        output: Vec<u8>,
    },
    /// The ioctl fails with that errno.
    Failed(i32),
}

/// A device that knows ioctls.
pub trait Device {
    /// Answers the ioctl `command` with `argument`; `input` is what [`Answer::Again`] asked for, `room` how many bytes the
    /// answer may have.
    fn ioctl(&mut self, command: u32, argument: u64, input: &[u8], room: usize) -> Answer;
}

/// Makes the character device `/dev/name` and serves it until the kernel takes it away. Calls `ready` once it is asked for.
///
/// # Errors
/// If `/dev/cuse` cannot be used, or says what this program does not know.
pub fn serve(name: &str, device: &mut impl Device, ready: impl FnOnce()) -> Result<()> {
    let mut kernel = OpenOptions::new().read(true).write(true).open("/dev/cuse").context("opening /dev/cuse")?;
    let mut buffer = vec![0; protocol::REQUEST_MAX];
    let mut ready = Some(ready);
    loop {
        let length = match kernel.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("reading from /dev/cuse"),
        };
        let request = protocol::parse(buffer.get(..length).unwrap_or_default()).context("a request of the kernel")?;
        let made = matches!(request, Request::Init { .. });
        let (unique, reply) = match request {
            Request::Init { unique, major, minor } => (unique, Reply::init(major, minor, name)),
            Request::Open { unique } => (unique, Reply::opened()),
            Request::Close { unique } => (unique, Reply::nothing()),
            Request::Ioctl { unique, command, argument, input, room } => {
                (unique, Reply::ioctl(&device.ioctl(command, argument, input, room)))
            }
            Request::Unknown { unique, .. } => (unique, Reply::failed(protocol::ENOSYS)),
            Request::Silent => continue,
        };
        send(&mut kernel, &reply.bytes(unique))?;
        if made {
            if let Some(ready) = ready.take() {
                ready();
            }
        }
    }
}

/// A reply goes in one write. A caller that was interrupted is gone, and the kernel says so; that is no fault.
fn send(kernel: &mut File, bytes: &[u8]) -> Result<()> {
    match kernel.write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.context("answering the kernel"),
    }
}
