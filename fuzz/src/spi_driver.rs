//! Whatever a card says, the SPI driver ends in bounded time with an error or with what it was asked for.

use smcard_link::sd::{Command, index};
use smcard_link::spi::{SpiHost, SpiOptions};
use smcard_link::{BusError, CardHost, Clock, Data, SpiBus, Step, Trace, WriteToken};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Nanoseconds that have passed, for a bus and its clock.
type Time = Arc<AtomicU64>;

/// Longest that an operation may take, repeats included.
const LIMIT: Duration = Duration::from_secs(60);

/// A card that says the bytes of the input whatever it is told.
struct Bytes {
    input: Vec<u8>,
    at: usize,
    /// What it says behind them: FF, 00, or all of them again.
    after: u8,
    hz: u32,
    time: Time,
}

impl SpiBus for Bytes {
    fn select(&mut self, _selected: bool) -> io::Result<()> {
        Ok(())
    }

    fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            if self.at >= self.input.len() && self.after > 1 {
                self.at = 0;
            }
            *byte = self.input.get(self.at).copied().unwrap_or(if self.after == 0 { 0xFF } else { 0x00 });
            self.at += 1;
            self.time.fetch_add(8_000_000_000 / u64::from(self.hz), Ordering::Relaxed);
        }
        Ok(())
    }

    fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
        self.hz = hz.max(1);
        Ok(hz)
    }

    fn message_max(&self) -> usize {
        4096
    }
}

struct Virtual(Time);

impl Clock for Virtual {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&mut self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).expect("a short time"), Ordering::Relaxed);
    }
}

/// The first byte says what comes after the others, the others are what the card says.
pub fn spi_driver(data: &[u8]) {
    let Some((after, input)) = data.split_first() else { return };
    let time = Time::default();
    let bus = Bytes { input: input.to_vec(), at: 0, after: after % 3, hz: 400_000, time: time.clone() };
    drive(Box::new(bus), Box::new(Virtual(time)));
}

/// Everything a driver can do, one after the other, each with the errors of the one before it in its bones.
pub fn drive(bus: Box<dyn SpiBus>, clock: Box<dyn Clock>) {
    let mut host = SpiHost::new(bus, clock, SpiOptions::default(), Trace::off());
    bounded(&mut host, |host| host.bring_up().map(drop));
    let mut register = [0; 32];
    step(&mut host, Command::new(index::SEND_PSI, 4), Data::Read { block: 32, into: &mut register });
    let token = [0x5A; 3 * 512];
    step(
        &mut host,
        Command::new(index::WRITE_SEC_CMD, 1),
        Data::Write { from: &token[..512], token: WriteToken::Single },
    );
    let mut answer = [0; 1024];
    step(&mut host, Command::new(index::READ_SEC_CMD, 2), Data::Read { block: 512, into: &mut answer });
    let write = Data::Write { from: &token, token: WriteToken::Multi };
    step(&mut host, Command::new(index::DIRECT_SECURE_WRITE, 1 << 30 | 2 << 16), write);
    step(&mut host, Command::new(index::CONTROL_ASSD_SYSTEM, 1), Data::Busy);
    step(&mut host, Command::new(index::SEND_STATUS, 0), Data::None);
    bounded(&mut host, |host| host.read_blocks(3, &mut [0; 3 * 512]));
    bounded(&mut host, |host| host.write_blocks(3, &[0x77; 2 * 512]));
    bounded(&mut host, |host| host.erase(3, 4));
    assert!(host.describe().len() < 200);
}

fn step(host: &mut SpiHost, command: Command, data: Data<'_>) {
    bounded(host, |host| host.run(&mut [Step { command, data, limit: Duration::ZERO }]).map_err(|(error, _)| error));
}

fn bounded(host: &mut SpiHost, does: impl FnOnce(&mut SpiHost) -> Result<(), BusError>) {
    let (begin, bytes) = (host.now(), host.meter().bytes());
    if let Err(error) = does(host) {
        let text = error.to_string();
        assert!(!text.is_empty() && text.len() < 400, "{text}");
    }
    let (time, bytes) = (host.now() - begin, host.meter().bytes() - bytes);
    assert!(time < LIMIT && bytes < 4 << 20, "{time:?}, {bytes} bytes");
}
