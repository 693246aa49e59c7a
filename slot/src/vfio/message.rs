//! Messages: a header of 16 bytes, then a body (vfio-user specification, "Header" and the commands' sections).

/// Bytes of a header.
pub const HEADER: usize = 16;
/// Longest body that is taken: a version message with its text, or a region access.
pub const BODY_MAX: usize = 64 << 10;
/// Most data a region access may carry; told to the peer.
pub const DATA_MAX: u32 = 32 << 10;
/// Most file descriptors with one message; told to the peer.
pub const DESCRIPTORS_MAX: usize = 8;

const TYPE: u32 = 0xF;
const REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

/// Commands, by their numbers.
pub mod command {
    /// Versions and limits of both sides.
    pub const VERSION: u16 = 1;
    /// Some of the guest's memory can be reached.
    pub const DMA_MAP: u16 = 2;
    /// It cannot any more.
    pub const DMA_UNMAP: u16 = 3;
    /// How many regions and interrupts there are.
    pub const DEVICE_INFO: u16 = 4;
    /// One region.
    pub const REGION_INFO: u16 = 5;
    /// One kind of interrupt.
    pub const INTERRUPT_INFO: u16 = 7;
    /// Set-up of interrupts.
    pub const SET_INTERRUPTS: u16 = 8;
    /// Reads a region.
    pub const REGION_READ: u16 = 9;
    /// Writes a region.
    pub const REGION_WRITE: u16 = 10;
    /// Resets the device.
    pub const RESET: u16 = 13;
}

/// The header of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Chosen by who asks, repeated by who answers.
    pub id: u16,
    /// See [`command`].
    pub command: u16,
    /// Bytes of the message, header included.
    pub size: u32,
    /// Type and flags.
    pub flags: u32,
    /// Error number of an answer.
    pub error: u32,
}

impl Header {
    /// Reads a header.
    #[must_use]
    pub fn parse(bytes: &[u8; HEADER]) -> Self {
        let mut fields = Fields(bytes);
        let (id, command) = (fields.u16(), fields.u16());
        let (size, flags, error) = (fields.u32(), fields.u32(), fields.u32());
        // Sixteen bytes hold all five.
        Header {
            id: id.unwrap_or(0),
            command: command.unwrap_or(0),
            size: size.unwrap_or(0),
            flags: flags.unwrap_or(0),
            error: error.unwrap_or(0),
        }
    }

    /// True for a request; false for an answer or what is neither.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.flags & TYPE == 0
    }

    /// True where the peer does not want an answer.
    #[must_use]
    pub fn wants_no_reply(&self) -> bool {
        self.flags & NO_REPLY != 0
    }

    /// The answer to this request: a body, or an error number.
    #[must_use]
    pub fn reply(&self, result: Result<&[u8], u32>) -> Vec<u8> {
        let (body, flags, error) = match result {
            Ok(body) => (body, REPLY, 0),
            Err(number) => (&[][..], REPLY | ERROR, number),
        };
        // Bodies of ours are far below 4 GiB.
        let size = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(self.command.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(error.to_le_bytes());
        bytes.extend(body);
        bytes
    }
}

/// Little-endian fields, one after the other. `None`: the bytes end before.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_repeats_who_asked_for_what() {
        let request = Header::parse(b"\x34\x12\x09\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
        assert_eq!(request, Header { id: 0x1234, command: command::REGION_READ, size: 32, flags: 0, error: 0 });
        assert!(request.is_request() && !request.wants_no_reply());
        let reply = request.reply(Ok(b"abc"));
        assert_eq!(reply, b"\x34\x12\x09\x00\x13\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00abc");
        let refusal = request.reply(Err(22));
        assert_eq!(refusal, b"\x34\x12\x09\x00\x10\x00\x00\x00\x21\x00\x00\x00\x16\x00\x00\x00");
    }

    #[test]
    fn fields_end_with_their_bytes() {
        let mut fields = Fields(&[1, 0, 2, 0, 0, 0, 3]);
        assert_eq!((fields.u16(), fields.u32(), fields.u16(), fields.u64()), (Some(1), Some(2), None, None));
    }
}
