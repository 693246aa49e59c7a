//! What sysfs says of a card.

use super::Registers;
use crate::sd::{Cid, Csd, Scr};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A card in a slot, as sysfs shows it.
#[derive(Debug)]
pub(super) struct SysfsCard {
    /// The folder of the card, `.../mmc_host/mmcN/mmcN:RRRR`.
    folder: PathBuf,
    /// Folder of the disk.
    disk: PathBuf,
}

/// Why a block device is no card.
#[derive(Debug)]
pub(super) enum NoCard {
    /// A partition; the name of the whole disk.
    Partition(String),
    /// No MMC or SD card at all.
    NotMmc,
    /// An eMMC, an SDIO card, ...
    Type(String),
    /// sysfs itself.
    Io(PathBuf, io::Error),
}

impl SysfsCard {
    /// The card behind the block device `major`:`minor`; `root` is where sysfs is mounted.
    pub(super) fn find(root: &Path, major: u32, minor: u32) -> Result<Self, NoCard> {
        let link = root.join(format!("dev/block/{major}:{minor}"));
        let disk = fs::canonicalize(&link).map_err(|error| NoCard::Io(link, error))?;
        if disk.join("partition").exists() {
            let whole = disk.parent().and_then(Path::file_name).unwrap_or_default();
            return Err(NoCard::Partition(whole.to_string_lossy().into_owned()));
        }
        let Ok(folder) = fs::canonicalize(disk.join("device")) else { return Err(NoCard::NotMmc) };
        let card = SysfsCard { folder, disk };
        let name = card.folder.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("mmc") || !name.contains(':') {
            return Err(NoCard::NotMmc);
        }
        match card.text("type").map_err(|error| NoCard::Io(card.folder.join("type"), error))?.as_str() {
            "SD" | "SDcombo" => Ok(card),
            other => Err(NoCard::Type(other.to_owned())),
        }
    }

    fn text(&self, name: &str) -> io::Result<String> {
        Ok(fs::read_to_string(self.folder.join(name))?.trim().to_owned())
    }

    /// What the kernel has read of the card.
    pub(super) fn registers(&self) -> io::Result<Registers> {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rca = name.rsplit_once(':').and_then(|(_, rca)| u16::from_str_radix(rca, 16).ok());
        let rca = rca.ok_or_else(|| invalid(&format!("no card address in the name {name}")))?;
        let scr = self.hex::<8>("scr").ok().map(Scr);
        Ok(Registers { rca, cid: Cid(self.hex("cid")?), csd: Csd(self.hex("csd")?), scr })
    }

    fn hex<const N: usize>(&self, name: &str) -> io::Result<[u8; N]> {
        let text = self.text(name)?;
        let mut bytes = [0; N];
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let digits = digits.filter(|digits| digits.len() == 2 * N);
        let digits = digits.ok_or_else(|| invalid(&format!("{name} is not {N} bytes in hexadecimal digits")))?;
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
        }
        Ok(bytes)
    }

    /// Largest transfer of the host in blocks of 512 bytes, as the block layer knows it.
    pub(super) fn blocks_max(&self) -> Option<usize> {
        let text = fs::read_to_string(self.disk.join("queue/max_hw_sectors_kb")).ok()?;
        text.trim().parse::<usize>().ok()?.checked_mul(2).filter(|blocks| *blocks > 0)
    }

    /// True where the controller hangs on SPI (`mmc_spi`).
    pub(super) fn is_spi(&self) -> bool {
        // mmcN:RRRR lies in mmcN, that in mmc_host, that in the controller.
        let controller = self.folder.ancestors().nth(3);
        let bus = controller.and_then(|controller| fs::canonicalize(controller.join("subsystem")).ok());
        bus.is_some_and(|bus| bus.file_name().is_some_and(|name| name == "spi"))
    }

    /// Where runtime power management of the card is switched.
    pub(super) fn power_control(&self) -> PathBuf {
        self.folder.join("power/control")
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A sysfs as a slot with an SD card has it.
    fn sysfs(kind: &str, controller: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let card = at("devices/pci0/host/mmc_host/mmc0/mmc0:4567");
        fs::create_dir_all(card.join("block/mmcblk0/queue")).unwrap();
        fs::create_dir_all(card.join("block/mmcblk0/mmcblk0p1")).unwrap();
        fs::create_dir_all(card.join("power")).unwrap();
        fs::create_dir_all(at("dev/block")).unwrap();
        fs::create_dir_all(at(&format!("bus/{controller}"))).unwrap();
        symlink(at(&format!("bus/{controller}")), at("devices/pci0/host/subsystem")).unwrap();
        symlink(card.join("block/mmcblk0"), at("dev/block/179:0")).unwrap();
        symlink(card.join("block/mmcblk0/mmcblk0p1"), at("dev/block/179:1")).unwrap();
        symlink(&card, card.join("block/mmcblk0/device")).unwrap();
        fs::write(card.join("block/mmcblk0/mmcblk0p1/partition"), "1\n").unwrap();
        fs::write(card.join("block/mmcblk0/queue/max_hw_sectors_kb"), "512\n").unwrap();
        fs::write(card.join("type"), format!("{kind}\n")).unwrap();
        fs::write(card.join("cid"), "00534d534d435244101234567801a100\n").unwrap();
        fs::write(card.join("csd"), "400e00325b5900001d8a7f800a400000\n").unwrap();
        fs::write(card.join("scr"), "0235800000000000\n").unwrap();
        root
    }

    #[test]
    fn a_card_tells_its_address_and_its_registers() {
        let root = sysfs("SD", "pci");
        let card = SysfsCard::find(root.path(), 179, 0).unwrap();
        let registers = card.registers().unwrap();
        assert_eq!((registers.rca, &registers.cid.product()), (0x4567, b"SMCRD"));
        assert_eq!(registers.csd.blocks(), Some(0x1D8B * 1024));
        assert!(registers.scr.unwrap().has_switch() && !card.is_spi());
        assert_eq!(card.blocks_max(), Some(1024));
        fs::write(card.folder.join("cid"), "00zz").unwrap();
        assert_eq!(card.registers().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_no_card_is_named() {
        let root = sysfs("MMC", "spi");
        assert!(matches!(SysfsCard::find(root.path(), 179, 0), Err(NoCard::Type(kind)) if kind == "MMC"));
        assert!(matches!(SysfsCard::find(root.path(), 179, 1), Err(NoCard::Partition(whole)) if whole == "mmcblk0"));
        assert!(matches!(SysfsCard::find(root.path(), 8, 0), Err(NoCard::Io(..))));
        fs::write(root.path().join("devices/pci0/host/mmc_host/mmc0/mmc0:4567/type"), "SD").unwrap();
        assert!(SysfsCard::find(root.path(), 179, 0).unwrap().is_spi());
    }
}
