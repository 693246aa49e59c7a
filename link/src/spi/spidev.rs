//! An SPI bus of Linux: `/dev/spidevB.C`.

use crate::SpiBus;
use rustix::fs::{FlockOperation, flock};
use spidev::{SpiModeFlags, SpidevOptions, SpidevTransfer};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// What the kernel's spidev takes in one message unless it was told otherwise.
const BUFSIZ: usize = 4096;
/// Where it says what it takes.
const BUFSIZ_PARAMETER: &str = "/sys/module/spidev/parameters/bufsiz";
/// Longest message asked for, whatever the module allows: controllers have limits of their own.
const MESSAGE_MAX: usize = 32 * 1024;

/// How clocks are given with chip select high.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Idle {
    /// The controller leaves chip select alone (`SPI_NO_CS`).
    NoCs,
    /// Chip select turned round for the time being (`SPI_CS_HIGH`): "selected" is high then.
    CsHigh,
    /// The controller can do neither.
    Never,
}

/// An SPI device of Linux, with a card alone on it.
///
/// Mode 0, 8 bits. Chip select stays low between messages (`cs_change` of a message's last transfer) and goes up when the mode
/// is set again. Clocks with chip select high, which a card wants before its first command, need a controller that can
/// leave chip select alone or turn it round; where it can do neither (`spi-sifive`, `spi-pxa2xx` refuse the former) they
/// are given with chip select low, and what comes in meanwhile is passed on as FF. Most cards do not mind.
///
/// A message is at most as long as the module parameter `bufsiz` allows (4096 bytes by default; `spidev.bufsiz=32768` on
/// the kernel's command line saves messages). This bus cannot switch a card's supply.
///
/// The device is locked (`flock`) against others that do the same.
#[derive(Debug)]
pub struct Spidev {
    device: spidev::Spidev,
    path: PathBuf,
    message_max: usize,
    hz: u32,
    selected: bool,
    idle: Idle,
}

impl Spidev {
    /// Opens `path` and sets it up; nothing is clocked yet.
    ///
    /// # Errors
    /// There is no such device, it may not be opened, or it is no spidev; the text says which, and what to do.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let refuse = |error: io::Error| told(path, "cannot be opened", open_advice(&error), &error);
        if !fs::metadata(path).map_err(refuse)?.file_type().is_char_device() {
            return Err(told(
                path,
                "is no character device",
                "give /dev/spidevB.C",
                &io::ErrorKind::InvalidInput.into(),
            ));
        }
        let device = spidev::Spidev::open(path).map_err(refuse)?;
        // The kernel lets several programs in; a card in the middle of a transfer does not.
        if flock(device.inner(), FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
            return Err(refuse(io::ErrorKind::ResourceBusy.into()));
        }
        let mut bus = Spidev {
            device,
            path: path.into(),
            message_max: bufsiz(),
            hz: 400_000,
            selected: false,
            idle: Idle::Never,
        };
        let options = SpidevOptions::new().bits_per_word(8).max_speed_hz(bus.hz).mode(SpiModeFlags::SPI_MODE_0).build();
        bus.device.configure(&options).map_err(|error| {
            bus.told("takes no SPI settings: no spidev, or mode 0 with 8 bits is not possible", &error)
        })?;
        bus.idle = bus.probe_idle()?;
        Ok(bus)
    }

    /// The device.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True where a card can be given clocks with chip select high.
    #[must_use]
    pub fn has_idle_clocks(&self) -> bool {
        self.idle != Idle::Never
    }

    /// Tries what the controller can do. It counts only if the mode is kept: with chip select on a GPIO the kernel
    /// swallows `SPI_CS_HIGH`.
    fn probe_idle(&mut self) -> io::Result<Idle> {
        let mut found = Idle::Never;
        for (flag, idle) in [(SpiModeFlags::SPI_NO_CS, Idle::NoCs), (SpiModeFlags::SPI_CS_HIGH, Idle::CsHigh)] {
            let kept = self.set_mode(flag).and_then(|()| self.device.query_configuration());
            if kept.is_ok_and(|options| options.spi_mode.is_some_and(|mode| mode.contains(flag))) {
                found = idle;
                break;
            }
        }
        self.set_mode(SpiModeFlags::SPI_MODE_0).map_err(|error| self.told("does not go back to mode 0", &error))?;
        Ok(found)
    }

    /// Sets the mode, which makes chip select inactive.
    fn set_mode(&mut self, mode: SpiModeFlags) -> io::Result<()> {
        self.device.configure(&SpidevOptions::new().mode(mode).build())
    }

    fn transfer(&mut self, bytes: &mut [u8], keep_selected: bool) -> io::Result<()> {
        let length = bytes.len();
        // Always with bytes to send: without, the kernel clocks out zeros.
        let mut transfer = SpidevTransfer::read_write_in_place(bytes);
        transfer.speed_hz = self.hz;
        transfer.cs_change = u8::from(keep_selected);
        self.device.transfer(&mut transfer).map_err(|error| {
            let advice = match error.raw_os_error() {
                Some(libc::EMSGSIZE) => "longer than the module parameter bufsiz of spidev",
                Some(libc::ETIMEDOUT) => "the controller took too long: try a lower clock_hz",
                Some(libc::ESHUTDOWN | libc::ENODEV) => "the device was taken away from spidev",
                _ => "see the kernel's log",
            };
            told(&self.path, &format!("fails at a message of {length} bytes"), advice, &error)
        })
    }

    fn told(&self, what: &str, error: &io::Error) -> io::Error {
        told(&self.path, what, "see the kernel's log", error)
    }
}

impl SpiBus for Spidev {
    fn select(&mut self, selected: bool) -> io::Result<()> {
        if self.selected && !selected {
            self.set_mode(SpiModeFlags::SPI_MODE_0)
                .map_err(|error| self.told("does not release chip select", &error))?;
        }
        self.selected = selected;
        Ok(())
    }

    fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        if self.selected {
            return self.transfer(bytes, true);
        }
        let mode = match self.idle {
            Idle::NoCs => SpiModeFlags::SPI_NO_CS,
            Idle::CsHigh => SpiModeFlags::SPI_CS_HIGH,
            Idle::Never => {
                let done = self.transfer(bytes, false);
                bytes.fill(0xFF);
                return done;
            }
        };
        self.set_mode(mode).map_err(|error| self.told("no longer clocks with chip select high", &error))?;
        let done = self.transfer(bytes, false);
        self.set_mode(SpiModeFlags::SPI_MODE_0).map_err(|error| self.told("does not go back to mode 0", &error))?;
        done
    }

    fn set_clock(&mut self, hz: u32) -> io::Result<u32> {
        let options = SpidevOptions::new().max_speed_hz(hz).build();
        self.device.configure(&options).map_err(|error| self.told(&format!("refuses a clock of {hz} Hz"), &error))?;
        // What the controller makes of it is not told; it never makes it faster.
        self.hz = hz;
        Ok(hz)
    }

    fn message_max(&self) -> usize {
        self.message_max
    }
}

/// What spidev takes in one message.
fn bufsiz() -> usize {
    let text = fs::read_to_string(BUFSIZ_PARAMETER).unwrap_or_default();
    text.trim().parse().ok().filter(|size| *size > 0).map_or(BUFSIZ, |size: usize| size.min(MESSAGE_MAX))
}

fn open_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "is the bus enabled, and the device bound to spidev (its driver_override in /sys/bus/spi/devices)?"
        }
        io::ErrorKind::PermissionDenied => "access needs the device's group, or a udev rule",
        io::ErrorKind::ResourceBusy => "another program drives the card",
        _ => "is it bound to spidev, and to no other driver?",
    }
}

fn told(path: &Path, what: &str, advice: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error} ({advice})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_spidev_is_refused_with_advice() {
        let missing = Spidev::open("/dev/spidev-of-nobody").expect_err("no such device");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().contains("/dev/spidev-of-nobody cannot be opened"), "{missing}");
        assert!(missing.to_string().contains("bound to spidev"), "{missing}");
        let null = Spidev::open("/dev/null").expect_err("no spidev");
        assert!(null.to_string().contains("/dev/null takes no SPI settings"), "{null}");
        let folder = Spidev::open("/").expect_err("no device");
        assert!(folder.to_string().contains("give /dev/spidevB.C"), "{folder}");
    }

    #[test]
    fn messages_are_never_longer_than_the_default_unless_the_module_says_so() {
        let size = bufsiz();
        assert!(if Path::new(BUFSIZ_PARAMETER).exists() { size <= MESSAGE_MAX } else { size == BUFSIZ });
    }
}
