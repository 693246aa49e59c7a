//! A session: what the monitor asks of the device, and the answers.

use super::connection::Message;
use super::dma::{Maps, Piece};
use super::interrupt::{FLAGS, Line};
use super::message::{DATA_MAX, DESCRIPTORS_MAX, Fields, command};
use crate::device::Device;
use crate::memory::GuestMemory;
use crate::pci::{self, Config};
use rustix::io::Errno;
use std::fs::File;

/// Regions and interrupts have fixed places for PCI devices (`linux/vfio.h`).
const REGION_BAR0: u32 = 0;
const REGION_CONFIG: u32 = 7;
const REGIONS: u32 = 9;
const INTERRUPT_INTX: u32 = 0;
const INTERRUPTS: u32 = 5;

const DEVICE_RESETTABLE: u32 = 1 << 0;
const DEVICE_PCI: u32 = 1 << 1;
const REGION_READABLE: u32 = 1 << 0;
const REGION_WRITABLE: u32 = 1 << 1;
const DMA_READABLE: u32 = 1 << 0;
const DMA_WRITABLE: u32 = 1 << 1;

/// The protocol: major version, and the minor one that every monitor knows.
const MAJOR: u16 = 0;
const MINOR: u16 = 0;

/// A monitor's session with a device. It ends with the connection; the next one starts anew.
#[derive(Debug)]
pub struct Session {
    maps: Maps,
    line: Line,
    config: Config,
    greeted: bool,
    /// The user has been told of memory that is not shared.
    warned: bool,
}

impl Session {
    /// The session of a monitor that has just connected.
    #[must_use]
    pub fn new(device: &dyn Device) -> Self {
        let config = Config::new(device.identity(), device.region_size());
        Session { maps: Maps::default(), line: Line::default(), config, greeted: false, warned: false }
    }

    /// The guest's memory.
    #[must_use]
    pub fn memory(&self) -> &Maps {
        &self.maps
    }

    /// True once both sides have told their versions.
    #[must_use]
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Tells the guest of the device's interrupt line.
    pub fn update(&mut self, device: &dyn Device) {
        self.line.update(device.line());
    }

    /// Does what a message asks. The bytes are the answer; `None` where none is wanted.
    pub fn handle(&mut self, message: Message, device: &mut dyn Device) -> Option<Vec<u8>> {
        let header = message.header;
        if !header.is_request() {
            // We ask nothing, so there is nothing to be answered.
            log::debug!("message {} with flags {:#x} is no request", header.id, header.flags);
            return None;
        }
        let number = header.command;
        let result = self.perform(message, device);
        if let Err(error) = &result {
            log::debug!("vfio-user command {number}: {error}");
        }
        if header.wants_no_reply() {
            return None;
        }
        let result = match &result {
            Ok(body) => Ok(body.as_slice()),
            Err(error) => Err(error.raw_os_error().unsigned_abs()),
        };
        Some(header.reply(result))
    }

    fn perform(&mut self, message: Message, device: &mut dyn Device) -> Result<Vec<u8>, Errno> {
        let Message { header, body, descriptors } = message;
        if !self.greeted && header.command != command::VERSION {
            return Err(Errno::PROTO);
        }
        let mut fields = Fields(&body);
        match header.command {
            command::VERSION => self.version(fields),
            command::DMA_MAP => {
                let piece = map(&mut fields).ok_or(Errno::INVAL)?;
                self.maps.map(piece, descriptors.into_iter().next().map(File::from))?;
                Ok(Vec::new())
            }
            command::DMA_UNMAP => {
                let (address, size) = unmap(&mut fields).ok_or(Errno::INVAL)?;
                match (address, size) {
                    // All of it, whatever the flag's bit is: nothing has no range.
                    (0, 0) => self.maps.clear(),
                    _ => self.maps.unmap(address, size)?,
                }
                Ok(body)
            }
            command::DEVICE_INFO => Ok(words(&[16, DEVICE_RESETTABLE | DEVICE_PCI, REGIONS, INTERRUPTS])),
            command::REGION_INFO => {
                let index = info_index(&mut fields).filter(|index| *index < REGIONS).ok_or(Errno::INVAL)?;
                let size = self.region_size(index, device);
                let flags = if size == 0 { 0 } else { REGION_READABLE | REGION_WRITABLE };
                let mut reply = words(&[32, flags, index, 0]);
                reply.extend(size.to_le_bytes());
                reply.extend([0; 8]);
                Ok(reply)
            }
            command::INTERRUPT_INFO => {
                let index = info_index(&mut fields).filter(|index| *index < INTERRUPTS).ok_or(Errno::INVAL)?;
                let here = index == INTERRUPT_INTX;
                Ok(words(&[16, if here { FLAGS } else { 0 }, index, u32::from(here)]))
            }
            command::SET_INTERRUPTS => {
                let (flags, index, count) = interrupts(&mut fields).ok_or(Errno::INVAL)?;
                match index {
                    INTERRUPT_INTX => self.line.set(flags, count, descriptors)?,
                    // What is not there can only be switched off.
                    _ if index < INTERRUPTS && count == 0 => {}
                    _ => return Err(Errno::INVAL),
                }
                Ok(Vec::new())
            }
            command::REGION_READ => {
                let access = self.access(&mut fields, device)?;
                let mut data = vec![0; access.count];
                match access.region {
                    REGION_CONFIG => self.config.read(access.offset, &mut data),
                    _ => {
                        self.look_at_memory();
                        device.read(access.offset, &mut data);
                    }
                }
                Ok(access.reply(&data))
            }
            command::REGION_WRITE => {
                let access = self.access(&mut fields, device)?;
                let data = fields.0.get(..access.count).ok_or(Errno::INVAL)?;
                match access.region {
                    REGION_CONFIG => self.config.write(access.offset, data),
                    _ => device.write(access.offset, data),
                }
                Ok(access.reply(&[]))
            }
            command::RESET => {
                self.config = Config::new(device.identity(), device.region_size());
                device.reset();
                Ok(Vec::new())
            }
            _ => Err(Errno::NOSYS),
        }
    }

    /// By the guest's first look at the device the monitor has told of all memory there is.
    fn look_at_memory(&mut self) {
        if !std::mem::replace(&mut self.warned, true) && !self.maps.is_reachable() {
            log::warn!(
                "the machine does not share its memory: there is no DMA, and data is some hundred times slower; give QEMU \
                 -object memory-backend-memfd,id=ram,size=SIZE,share=on and -machine memory-backend=ram"
            );
        }
    }

    fn version(&mut self, mut fields: Fields<'_>) -> Result<Vec<u8>, Errno> {
        let (major, minor) = (fields.u16().ok_or(Errno::INVAL)?, fields.u16().ok_or(Errno::INVAL)?);
        if major != MAJOR {
            log::error!("the virtual machine speaks vfio-user {major}.{minor}, this program {MAJOR}.{MINOR}");
            return Err(Errno::PROTONOSUPPORT);
        }
        self.greeted = true;
        let mut reply = MAJOR.to_le_bytes().to_vec();
        reply.extend(MINOR.to_le_bytes());
        let limits =
            format!(r#"{{"capabilities":{{"max_msg_fds":{DESCRIPTORS_MAX},"max_data_xfer_size":{DATA_MAX}}}}}"#);
        reply.extend(limits.as_bytes());
        reply.push(0);
        Ok(reply)
    }

    fn region_size(&self, index: u32, device: &dyn Device) -> u64 {
        match index {
            REGION_BAR0 => device.region_size(),
            REGION_CONFIG => pci::SIZE,
            _ => 0,
        }
    }

    /// Checks where a region access goes.
    fn access(&self, fields: &mut Fields<'_>, device: &dyn Device) -> Result<Access, Errno> {
        let parsed = (|| Some((fields.u64()?, fields.u32()?, fields.u32()?)))();
        let (offset, region, count) = parsed.ok_or(Errno::INVAL)?;
        let end = offset.checked_add(u64::from(count)).ok_or(Errno::INVAL)?;
        if region >= REGIONS || count > DATA_MAX || end > self.region_size(region, device) {
            return Err(Errno::INVAL);
        }
        Ok(Access { offset, region, count: usize::try_from(count).map_err(|_| Errno::INVAL)? })
    }
}

/// A region access within its region.
struct Access {
    offset: u64,
    region: u32,
    count: usize,
}

impl Access {
    fn reply(&self, data: &[u8]) -> Vec<u8> {
        let mut reply = self.offset.to_le_bytes().to_vec();
        reply.extend(self.region.to_le_bytes());
        // It came as 32 bits.
        reply.extend(u32::try_from(self.count).unwrap_or(u32::MAX).to_le_bytes());
        reply.extend(data);
        reply
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Size of the structure, flags, file offset, address, size.
fn map(fields: &mut Fields<'_>) -> Option<Piece> {
    let (_, flags, offset) = (fields.u32()?, fields.u32()?, fields.u64()?);
    let (address, size) = (fields.u64()?, fields.u64()?);
    let (readable, writable) = (flags & DMA_READABLE != 0, flags & DMA_WRITABLE != 0);
    Some(Piece { address, size, offset, readable, writable })
}

/// Size of the structure, flags, address, size.
fn unmap(fields: &mut Fields<'_>) -> Option<(u64, u64)> {
    let (_, _) = (fields.u32()?, fields.u32()?);
    Some((fields.u64()?, fields.u64()?))
}

/// Size of the structure, flags, index.
fn info_index(fields: &mut Fields<'_>) -> Option<u32> {
    let (_, _) = (fields.u32()?, fields.u32()?);
    fields.u32()
}

/// Size of the structure, flags, index, start, count. Each kind has one interrupt at most, so the start says nothing.
fn interrupts(fields: &mut Fields<'_>) -> Option<(u32, u32, u32)> {
    let (_, flags, index) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (_, count) = (fields.u32()?, fields.u32()?);
    Some((flags, index, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdhci::Controller;
    use crate::vfio::message::Header;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_message_can_break_a_session(
            messages in prop::collection::vec((0_u16..16, any::<u32>(), prop::collection::vec(any::<u8>(), 0..64)), 1..64),
            small in any::<bool>(),
        ) {
            let mut device = Controller::new();
            let mut session = Session::new(&device);
            session.greeted = true;
            for (command, flags, mut body) in messages {
                if small {
                    // Fields that are nearly right: small numbers in little-endian words.
                    body.iter_mut().enumerate().filter(|(n, _)| n % 4 != 0).for_each(|(_, byte)| *byte = 0);
                }
                let header = Header { id: 1, command, size: 0, flags, error: 0 };
                let asked = header.is_request() && !header.wants_no_reply();
                let answer = session.handle(Message { header, body, descriptors: Vec::new() }, &mut device);
                prop_assert_eq!(answer.is_some(), asked);
                device.step(std::time::Duration::ZERO, session.memory());
                session.update(&device);
            }
        }
    }
}
