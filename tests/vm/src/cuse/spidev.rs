//! What `/dev/spidevB.C` does (Linux `Documentation/spi/spidev.rst` and `include/uapi/linux/spi/spidev.h`), over a card's
//! [`SpiBus`]: modes, and messages of several transfers with chip select as the kernel drives it.

use smcard_link::SpiBus;

use super::{Answer, Device, Piece};

/// Length of `struct spi_ioc_transfer`.
const TRANSFER: usize = 32;
/// The modes a controller may offer: clock phase and polarity, CS high, no CS. Clock modes other than 0 do not fit a card.
const MODES: u32 = MODE_CS_HIGH | MODE_NO_CS;
const MODE_CS_HIGH: u32 = 0x04;
const MODE_NO_CS: u32 = 0x40;

const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;
const EMSGSIZE: i32 = 90;
const EIO: i32 = 5;

/// Direction bits of an ioctl's number.
const WRITE: u32 = 1;
const READ: u32 = 2;

/// A card as a device of the kernel's `spidev` driver would show it.
pub struct Spidev<B> {
    bus: B,
    mode: u32,
    max_hz: u32,
    current_hz: u32,
    message_max: usize,
    may_leave_cs: bool,
}

/// One transfer of a message.
struct Part {
    tx: u64,
    rx: u64,
    length: usize,
    hz: u32,
    cs_change: bool,
}

impl<B: SpiBus> Spidev<B> {
    /// A device with the card on `bus`, with messages of at most `message_max` bytes. Without `may_leave_cs` it refuses
    /// the mode that leaves chip select alone, as some controllers do.
    pub fn new(bus: B, message_max: usize, may_leave_cs: bool) -> Self {
        Spidev { bus, mode: 0, max_hz: 25_000_000, current_hz: 0, message_max, may_leave_cs }
    }

    fn value(&mut self, command: u32, input: &[u8]) -> Result<Answer, i32> {
        let (direction, length) = (command >> 30, (command >> 16) & 0x3fff);
        let number = command & 0xff;
        if length != if matches!(number, 4 | 5) { 4 } else { 1 } {
            return Err(ENOTTY);
        }
        if direction == READ {
            let value = match number {
                1 | 5 => self.mode,
                2 => 0,
                3 => 8,
                4 => self.max_hz,
                _ => return Err(ENOTTY),
            };
            let output = value.to_le_bytes().into_iter().take(if length == 4 { 4 } else { 1 }).collect();
            return Ok(Answer::Done { result: 0, output });
        }
        let mut bytes = [0; 4];
        bytes.iter_mut().zip(input).for_each(|(to, from)| *to = *from);
        let value = u32::from_le_bytes(bytes);
        match number {
            1 | 5 => {
                let allowed = if self.may_leave_cs { MODES } else { MODE_CS_HIGH };
                if value & !allowed != 0 {
                    return Err(EINVAL);
                }
                self.mode = value;
                // The kernel drives chip select to its idle level when the mode is set.
                self.drive(false)?;
            }
            2 if value == 0 => {}
            3 if value == 0 || value == 8 => {}
            4 if value != 0 => self.max_hz = value,
            2..=4 => return Err(EINVAL),
            _ => return Err(ENOTTY),
        }
        Ok(Answer::Done { result: 0, output: Vec::new() })
    }

    fn message(&mut self, command: u32, argument: u64, input: &[u8], room: usize) -> Result<Answer, i32> {
        let length = usize::try_from((command >> 16) & 0x3fff).map_err(|_| EINVAL)?;
        if length == 0 || length % TRANSFER != 0 {
            return Err(EINVAL);
        }
        let mut reads = vec![Piece { address: argument, length: u64::try_from(length).map_err(|_| EINVAL)? }];
        let Some((array, mut data)) = input.split_at_checked(length) else {
            return Ok(Answer::Again { reads, writes: Vec::new() });
        };
        let parts: Vec<Part> = array.chunks_exact(TRANSFER).map(Part::parse).collect::<Result<_, _>>()?;
        let total: usize = parts.iter().map(|part| part.length).sum();
        if total > self.message_max {
            return Err(EMSGSIZE);
        }
        let mut writes = Vec::new();
        for part in &parts {
            let length = u64::try_from(part.length).map_err(|_| EINVAL)?;
            reads.extend((part.tx != 0).then_some(Piece { address: part.tx, length }));
            writes.extend((part.rx != 0).then_some(Piece { address: part.rx, length }));
        }
        let sum = |pieces: &[Piece]| pieces.iter().map(|piece| piece.length).sum::<u64>();
        if sum(&reads) != u64::try_from(input.len()).unwrap_or(0) || sum(&writes) != u64::try_from(room).unwrap_or(0) {
            return Ok(Answer::Again { reads, writes });
        }
        let mut output = Vec::with_capacity(room);
        self.drive(true)?;
        for (number, part) in parts.iter().enumerate() {
            // Without bytes to send the kernel's drivers send zeros.
            let mut bytes = vec![0; part.length];
            if part.tx != 0 {
                let (ours, rest) = data.split_at_checked(part.length).ok_or(EINVAL)?;
                bytes.copy_from_slice(ours);
                data = rest;
            }
            let hz = if part.hz == 0 { self.max_hz } else { part.hz.min(self.max_hz) };
            if hz != self.current_hz {
                self.bus.set_clock(hz).map_err(|_| EIO)?;
                self.current_hz = hz;
            }
            self.bus.exchange(&mut bytes).map_err(|_| EIO)?;
            if part.rx != 0 {
                output.extend(&bytes);
            }
            let last = number + 1 == parts.len();
            if part.cs_change != last {
                // In the middle: up and down again. At the end: up, unless the mark says to leave it.
                self.drive(false)?;
                if !last {
                    self.drive(true)?;
                }
            }
        }
        let result = i32::try_from(total).map_err(|_| EMSGSIZE)?;
        Ok(Answer::Done { result, output })
    }

    /// Chip select active or idle; which level that is depends on the mode.
    fn drive(&mut self, active: bool) -> Result<(), i32> {
        if self.mode & MODE_NO_CS != 0 {
            return Ok(());
        }
        let low = active != (self.mode & MODE_CS_HIGH != 0);
        self.bus.select(low).map_err(|_| EIO)
    }
}

impl Part {
    fn parse(bytes: &[u8]) -> Result<Self, i32> {
        let word =
            |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|field| u32::from_ne_bytes(*field));
        let long =
            |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|field| u64::from_ne_bytes(*field));
        let byte = |at: usize| bytes.get(at).copied();
        let bits = byte(26).ok_or(EINVAL)?;
        if bits != 0 && bits != 8 {
            return Err(EINVAL);
        }
        Ok(Part {
            tx: long(0).ok_or(EINVAL)?,
            rx: long(8).ok_or(EINVAL)?,
            length: usize::try_from(word(16).ok_or(EINVAL)?).map_err(|_| EMSGSIZE)?,
            hz: word(20).ok_or(EINVAL)?,
            cs_change: byte(27).ok_or(EINVAL)? != 0,
        })
    }
}

impl<B: SpiBus> Device for Spidev<B> {
    fn ioctl(&mut self, command: u32, argument: u64, input: &[u8], room: usize) -> Answer {
        if (command >> 8) & 0xff != u32::from(b'k') {
            return Answer::Failed(ENOTTY);
        }
        let direction = command >> 30;
        if command & 0xff == 0 {
            if direction != WRITE {
                return Answer::Failed(ENOTTY);
            }
            return self.message(command, argument, input, room).unwrap_or_else(Answer::Failed);
        }
        let length = (command >> 16) & 0x3fff;
        let whole = Piece { address: argument, length: u64::from(length) };
        let length = usize::try_from(length).unwrap_or(0);
        match direction {
            READ if room != length => Answer::Again { reads: Vec::new(), writes: vec![whole] },
            WRITE if input.len() != length => Answer::Again { reads: vec![whole], writes: Vec::new() },
            READ | WRITE => self.value(command, input).unwrap_or_else(Answer::Failed),
            _ => Answer::Failed(ENOTTY),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Writes down what happens on the bus, and answers with each byte inverted.
    #[derive(Default)]
    struct Tape(Arc<Mutex<Vec<String>>>);

    impl SpiBus for Tape {
        fn select(&mut self, selected: bool) -> io::Result<()> {
            self.0.lock().unwrap().push(if selected { "low" } else { "high" }.into());
            Ok(())
        }

        fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
            self.0.lock().unwrap().push(format!("{bytes:02x?}"));
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            Ok(())
        }

        fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
            self.0.lock().unwrap().push(format!("{hz} Hz"));
            Ok(hz)
        }

        fn message_max(&self) -> usize {
            4096
        }
    }

    fn device() -> (Spidev<Tape>, Arc<Mutex<Vec<String>>>) {
        let tape = Tape::default();
        let notes = tape.0.clone();
        (Spidev::new(tape, 4096, true), notes)
    }

    fn transfer(tx: u64, rx: u64, length: u32, hz: u32, cs_change: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(tx.to_ne_bytes());
        bytes.extend(rx.to_ne_bytes());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(hz.to_ne_bytes());
        bytes.extend([0, 0, 8, cs_change, 0, 0, 0, 0]);
        bytes
    }

    /// SPI_IOC_MESSAGE(n), as the header computes it.
    fn message(count: u32) -> u32 {
        0x4000_6b00 | (count * 32) << 16
    }

    #[test]
    fn a_message_is_fetched_in_three_steps_and_runs_once() {
        let (mut device, notes) = device();
        let first = device.ioctl(message(2), 0x1000, &[], 0);
        let array = Piece { address: 0x1000, length: 64 };
        assert_eq!(first, Answer::Again { reads: vec![array], writes: vec![] });

        let mut input = [transfer(0x2000, 0, 2, 400_000, 0), transfer(0, 0x3000, 3, 400_000, 0)].concat();
        let second = device.ioctl(message(2), 0x1000, &input, 0);
        let (tx, rx) = (Piece { address: 0x2000, length: 2 }, Piece { address: 0x3000, length: 3 });
        assert_eq!(second, Answer::Again { reads: vec![array, tx], writes: vec![rx] });
        assert!(notes.lock().unwrap().is_empty());

        input.extend([0x40, 0x95]);
        let third = device.ioctl(message(2), 0x1000, &input, 3);
        assert_eq!(third, Answer::Done { result: 5, output: vec![0xff; 3] });
        assert_eq!(*notes.lock().unwrap(), ["low", "400000 Hz", "[40, 95]", "[00, 00, 00]", "high"]);
    }

    #[test]
    fn cs_change_toggles_in_the_middle_and_keeps_at_the_end() {
        let (mut device, notes) = device();
        let input = [transfer(0, 0, 1, 0, 1), transfer(0, 0, 1, 0, 1)].concat();
        device.ioctl(message(2), 0x1000, &input, 0);
        assert_eq!(*notes.lock().unwrap(), ["low", "25000000 Hz", "[00]", "high", "low", "[00]"]);
    }

    #[test]
    fn modes_change_what_chip_select_does() {
        let (mut device, notes) = device();
        let set_mode = 0x4001_6b01;
        assert_eq!(device.ioctl(set_mode, 1, &[0x04], 0), Answer::Done { result: 0, output: vec![] });
        device.ioctl(message(1), 0x1000, &transfer(0, 0, 1, 0, 0), 0);
        assert_eq!(device.ioctl(set_mode, 1, &[0x40], 0), Answer::Done { result: 0, output: vec![] });
        device.ioctl(message(1), 0x1000, &transfer(0, 0, 1, 0, 0), 0);
        assert_eq!(*notes.lock().unwrap(), ["low", "high", "25000000 Hz", "[00]", "low", "[00]"]);
        assert_eq!(device.ioctl(set_mode, 1, &[0x03], 0), Answer::Failed(EINVAL));
        assert_eq!(device.ioctl(0x8001_6b01, 1, &[], 1), Answer::Done { result: 0, output: vec![0x40] });
    }

    #[test]
    fn a_controller_may_insist_on_chip_select() {
        let mut device = Spidev::new(Tape::default(), 4096, false);
        assert_eq!(device.ioctl(0x4001_6b01, 1, &[0x40], 0), Answer::Failed(EINVAL));
    }

    #[test]
    fn what_is_too_long_or_unknown_is_refused() {
        let (mut device, notes) = device();
        assert_eq!(device.ioctl(message(1), 0, &transfer(0, 0, 4097, 0, 0), 0), Answer::Failed(EMSGSIZE));
        assert_eq!(device.ioctl(0x4001_6b00, 0, &[], 0), Answer::Failed(EINVAL));
        assert_eq!(device.ioctl(0x8001_7001, 0, &[], 1), Answer::Failed(ENOTTY));
        assert_eq!(device.ioctl(0x8001_6b09, 0, &[], 1), Answer::Failed(ENOTTY));
        assert!(notes.lock().unwrap().is_empty());
    }
}
