//! The kernel and QEMU's own SD card, without a program of ours: what the other scenarios build on.

use anyhow::{Result, ensure};

use crate::lab::Lab;
use crate::machine::SOON;
use crate::scenario::Scenario;

pub(super) const ALL: &[Scenario] =
    &[Scenario { name: "reader-hot-plug", shows: "a card in QEMU's own reader comes and goes", run: hot_plug }];

fn hot_plug(lab: &Lab) -> Result<()> {
    let mut guest = lab.machine()?;
    guest.find_reader()?;
    let image = lab.image("sd.img", 64 << 20)?;
    for _ in 0..2 {
        guest.insert(&image)?;
        guest.wait_for("/dev/mmcblk0", SOON, "[ -b /dev/mmcblk0 ]")?;
        let sectors = guest.sh("cat /sys/block/mmcblk0/size")?;
        ensure!(sectors == "131072", "the card has {sectors} sectors");
        guest.pull()?;
        guest.wait_for("the card's end", SOON, "[ ! -e /dev/mmcblk0 ]")?;
    }
    Ok(())
}
