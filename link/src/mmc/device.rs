//! `/dev/mmcblkN`.

use super::port::{COMMANDS_MAX, IocCommand, IocData, MmcPort, Registers};
use super::sysfs::{NoCard, SysfsCard};
use crate::Trace;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// `struct mmc_ioc_cmd` (`include/uapi/linux/mmc/ioctl.h`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawCommand {
    write_flag: i32,
    is_acmd: i32,
    opcode: u32,
    argument: u32,
    response: [u32; 4],
    flags: u32,
    block: u32,
    blocks: u32,
    postsleep_min_us: u32,
    postsleep_max_us: u32,
    data_timeout_ns: u32,
    cmd_timeout_ms: u32,
    pad: u32,
    data: u64,
}

/// `struct mmc_ioc_multi_cmd` with room for as many commands as a list has here.
#[repr(C)]
#[derive(Default)]
struct RawList {
    count: u64,
    commands: [RawCommand; COMMANDS_MAX],
}

const _: () = assert!(size_of::<RawCommand>() == 72 && offset_of!(RawCommand, data) == 64);
const _: () = assert!(offset_of!(RawCommand, response) == 16 && offset_of!(RawCommand, cmd_timeout_ms) == 56);
const _: () = assert!(offset_of!(RawList, commands) == 8);

/// `MMC_IOC_MULTI_CMD`. One command is a list of one.
const MULTI_CMD: u32 = 0xC008_B301;

/// Why a path is not a card in a slot.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// It does not exist, or there is no card in the slot.
    #[error("{}: {error}; is the card in the slot?", path.display())]
    Absent {
        /// The path.
        path: PathBuf,
        /// The system's word.
        #[source]
        error: io::Error,
    },
    /// The system refuses to open it.
    #[error("{}: {error}; the node must be readable (group disk, or a rule for udev)", path.display())]
    Forbidden {
        /// The path.
        path: PathBuf,
        /// The system's word.
        #[source]
        error: io::Error,
    },
    /// Somebody else has it.
    #[error("{} is in use; unmount what is mounted from it, and end other programs that use the card", path.display())]
    Busy {
        /// The path.
        path: PathBuf,
    },
    /// No block device.
    #[error("{} is no block device; a card in a slot is /dev/mmcblk0 or the like", path.display())]
    NotABlockDevice {
        /// The path.
        path: PathBuf,
    },
    /// A partition.
    #[error("{} is a partition; the card is /dev/{whole}", path.display())]
    Partition {
        /// The path.
        path: PathBuf,
        /// The name of the whole disk.
        whole: String,
    },
    /// A disk of another kind; a card in a USB reader for instance, whose commands do not reach it.
    #[error("{} is no card in an SD slot; a USB reader that shows it as a disk passes no SD commands", path.display())]
    NotMmc {
        /// The path.
        path: PathBuf,
    },
    /// An eMMC, an SDIO card, ...
    #[error("{} is no SD memory card, its type is {kind}", path.display())]
    NotSd {
        /// The path.
        path: PathBuf,
        /// What sysfs says.
        kind: String,
    },
    /// The host's own input/output.
    #[error("{}: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's word.
        #[source]
        error: io::Error,
    },
}

/// A card in a slot of this computer. Nobody else can use the disk meanwhile (`O_EXCL`), and its runtime power management
/// is held off: the card would lose the secure mode in its sleep.
pub struct Device {
    file: File,
    path: PathBuf,
    card: SysfsCard,
    /// What stood in `power/control`; `None` where it was left alone.
    power_control: Option<String>,
}

impl Device {
    /// Opens the card behind the node `path`, read-only: commands do not ask for more, and the write protect switch
    /// does not stand in the way.
    ///
    /// # Errors
    /// [`DeviceError`]. A missing CAP_SYS_RAWIO shows with the first command.
    pub fn open(path: &Path, trace: &Trace) -> Result<Self, DeviceError> {
        Self::open_in(Path::new("/sys"), path, trace)
    }

    fn open_in(sys: &Path, path: &Path, trace: &Trace) -> Result<Self, DeviceError> {
        let owned = || path.to_owned();
        let metadata = fs::metadata(path).map_err(|error| refused(path, error))?;
        if !metadata.file_type().is_block_device() {
            return Err(DeviceError::NotABlockDevice { path: owned() });
        }
        let number = metadata.rdev();
        let card = SysfsCard::find(sys, libc::major(number), libc::minor(number)).map_err(|no| match no {
            NoCard::Partition(whole) => DeviceError::Partition { path: owned(), whole },
            NoCard::NotMmc => DeviceError::NotMmc { path: owned() },
            NoCard::Type(kind) => DeviceError::NotSd { path: owned(), kind },
            NoCard::Io(path, error) => DeviceError::Io { path, error },
        })?;
        let file = OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(path);
        let file = file.map_err(|error| refused(path, error))?;
        // Another disk may have taken the name in between.
        let opened = file.metadata().map_err(|error| refused(path, error))?.rdev();
        if opened != number {
            let error = io::Error::from_raw_os_error(libc::ENODEV);
            return Err(DeviceError::Absent { path: owned(), error });
        }
        let power_control = hold_power(&card.power_control(), trace);
        Ok(Device { file, path: owned(), card, power_control })
    }
}

fn refused(path: &Path, error: io::Error) -> DeviceError {
    let path = path.to_owned();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENXIO | libc::ENODEV | libc::ENOMEDIUM) => DeviceError::Absent { path, error },
        Some(libc::EACCES | libc::EPERM) => DeviceError::Forbidden { path, error },
        Some(libc::EBUSY) => DeviceError::Busy { path },
        _ => DeviceError::Io { path, error },
    }
}

/// Switches runtime power management off; what stood there before, where it was changed.
fn hold_power(path: &Path, trace: &Trace) -> Option<String> {
    let before = fs::read_to_string(path).ok()?.trim().to_owned();
    if before == "on" {
        return None;
    }
    match fs::write(path, "on") {
        Ok(()) => Some(before),
        Err(error) => {
            trace.note(format_args!(
                "{}: {error}; the kernel may let the card sleep, which ends its secure mode",
                path.display()
            ));
            None
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(before) = &self.power_control {
            // The card may be gone, and its folder with it.
            let _ = fs::write(self.card.power_control(), before);
        }
    }
}

impl MmcPort for Device {
    fn identify(&mut self) -> io::Result<Registers> {
        self.card.registers().map_err(|error| match error.kind() {
            // Its folder goes with the card.
            io::ErrorKind::NotFound => io::Error::from_raw_os_error(libc::ENODEV),
            _ => error,
        })
    }

    fn multi(&mut self, commands: &mut [IocCommand<'_>]) -> io::Result<()> {
        let mut list = RawList { count: u64::try_from(commands.len()).unwrap_or(u64::MAX), ..RawList::default() };
        if commands.len() > COMMANDS_MAX {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        for (raw, command) in list.commands.iter_mut().zip(commands.iter_mut()) {
            *raw = raw_command(command)?;
        }
        let result = multi_cmd(&self.file, &mut list);
        for (raw, command) in list.commands.iter().zip(commands.iter_mut()) {
            command.response = raw.response;
        }
        result
    }

    fn blocks_max(&self) -> usize {
        self.card.blocks_max().unwrap_or(128)
    }

    fn is_spi(&self) -> bool {
        self.card.is_spi()
    }

    fn describe(&self) -> String {
        format!("mmc {}", self.path.display())
    }
}

/// The command as the kernel takes it. Its data pointer is good for `block` * `blocks` bytes, which is checked here, for
/// as long as `command` is borrowed.
fn raw_command(command: &mut IocCommand<'_>) -> io::Result<RawCommand> {
    let (data, length, write) = match &mut command.data {
        IocData::None => (0, 0, false),
        IocData::Read(into) => (into.as_mut_ptr().expose_provenance(), into.len(), false),
        IocData::Write(from) => (from.as_ptr().expose_provenance(), from.len(), true),
    };
    let wanted = u64::from(command.block) * u64::from(command.blocks);
    if u64::try_from(length).ok() != Some(wanted) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(RawCommand {
        write_flag: i32::from(write),
        is_acmd: i32::from(command.application),
        opcode: command.opcode,
        argument: command.argument,
        response: command.response,
        flags: command.flags,
        block: command.block,
        blocks: command.blocks,
        data_timeout_ns: command.data_timeout_ns,
        cmd_timeout_ms: command.cmd_timeout_ms,
        data: u64::try_from(data).unwrap_or_default(),
        ..RawCommand::default()
    })
}

#[allow(unsafe_code)]
fn multi_cmd(file: &File, list: &mut RawList) -> io::Result<()> {
    // The type of the parameter differs between C libraries; the 32 bits are the same.
    #[allow(clippy::cast_possible_wrap, clippy::cast_lossless, reason = "the C library's own type")]
    let request = MULTI_CMD as libc::Ioctl;
    // SAFETY: the descriptor is open for the whole call. The number carries the type and the size of the head; behind it
    // the kernel reads and writes `count` commands, of which the list has at least as many (`multi` checks that). Each
    // data pointer is null with no blocks, or comes from a slice of exactly block * blocks bytes that the caller of
    // `multi` borrows until after this call, exclusively where the kernel writes (`write_flag` is 0). The descriptor is
    // a disk of the MMC driver (its sysfs folder was checked), which gives the number this meaning.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, std::ptr::from_mut(list)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_card_is_refused_with_a_reason() {
        let open = |path: &str| Device::open(Path::new(path), &Trace::off()).map(drop).unwrap_err();
        assert!(matches!(open("/dev/null"), DeviceError::NotABlockDevice { .. }));
        assert!(matches!(open("/dev/mmcblk99"), DeviceError::Absent { .. }));
        assert!(matches!(refused(Path::new("x"), io::Error::from_raw_os_error(libc::EBUSY)), DeviceError::Busy { .. }));
        assert!(refused(Path::new("x"), io::Error::from_raw_os_error(libc::EACCES)).to_string().contains("group disk"));
    }

    #[test]
    fn data_that_are_not_as_long_as_the_blocks_never_reach_the_kernel() {
        let mut into = [0; 31];
        let mut command = IocCommand::plain(36, 0, super::super::flags::R1_DATA);
        (command.block, command.blocks, command.data) = (32, 1, IocData::Read(&mut into));
        assert_eq!(raw_command(&mut command).err().and_then(|error| error.raw_os_error()), Some(libc::EINVAL));
        let mut into = [0; 32];
        command.data = IocData::Read(&mut into);
        let raw = raw_command(&mut command).unwrap();
        assert_eq!((raw.write_flag, raw.opcode, raw.block, raw.blocks, raw.flags), (0, 36, 32, 1, 0xB5));
        assert!(raw.data != 0);
    }

    #[test]
    fn power_management_is_held_off_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("control");
        assert_eq!(hold_power(&control, &Trace::off()), None);
        fs::write(&control, "auto\n").unwrap();
        assert_eq!(hold_power(&control, &Trace::off()).as_deref(), Some("auto"));
        assert_eq!(fs::read_to_string(&control).unwrap(), "on");
        assert_eq!(hold_power(&control, &Trace::off()), None);
    }
}
