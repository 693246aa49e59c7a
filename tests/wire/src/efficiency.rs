//! What the wire costs, in clocks: exact, not timed.

use crate::cable::{Cable, Rig, Setup};
use crate::table::{Table, ratio, share, time};
use crate::terminal::{SELECT_MANAGER, authenticate, identifier, one_by_one, send, start, write};
use crate::traffic::Traffic;
use crate::{batches, delay};
use anyhow::{Context, Result, ensure};
use smcard_batch::Batch;
use smcard_card::CreateOptions;
use smcard_card::scp03::SecurityLevel;
use smcard_card::sd::Profile;
use smcard_link::Clock;
use std::time::Duration;

/// Frequencies for which times are computed.
const SPI_HZ: u64 = 25_000_000;
const SD_HZ: u64 = 50_000_000;
/// What the payload must be of all bits of a direct write of 1 MiB over SPI.
pub const TARGET: f64 = 0.97;

impl Cable {
    /// The frequency for which times are computed.
    fn hz(self) -> u64 {
        if self == Cable::Spi { SPI_HZ } else { SD_HZ }
    }

    /// Bits of payload in a clock.
    fn lines(self) -> u64 {
        if self == Cable::Mmc { 4 } else { 1 }
    }
}

/// All tables.
///
/// # Errors
/// A card does not do what it must.
pub fn tables() -> Result<Vec<Table>> {
    Ok(vec![direct_write()?, exchange()?, issue()?])
}

fn roomy() -> Setup {
    let setup = Setup::default();
    Setup { create: CreateOptions { size: 4 << 20, ..setup.create }, ..setup }
}

/// Payload and all clocks of a direct write.
///
/// # Errors
/// A card does not do what it must.
pub fn payload(cable: Cable, file: &[u8]) -> Result<(u64, Traffic)> {
    let mut rig = Rig::new(cable, roomy())?;
    authenticate(rig.card(), SecurityLevel::C_MAC)?;
    let before = rig.traffic();
    ensure!(write(rig.card(), "app.batch", file)?.is_success(), "the direct write is refused");
    let clocks = u64::try_from(file.len())? * 8 / cable.lines();
    Ok((clocks, rig.traffic() - before))
}

fn direct_write() -> Result<Table> {
    let about = "From OPEN to the answer to COMMIT, everything counted: commands, responses, tokens, checksums, gaps, looks at \
                 registers, the driver's CMD13 behind each transfer. On SPI a clock is a bit; on the SD bus the payload takes a clock \
                 for four bits.";
    let heads = ["direct write", "bytes", "clocks", "of these payload", "share", "commands", "blocks to the card"];
    let mut table = Table::new("Direct write, payload of all clocks", about, &heads);
    for (name, file) in [("2 KiB", batches::small()?), ("60 KiB", batches::medium()?), ("1 MiB", batches::large()?)] {
        for cable in Cable::WIRES {
            let (payload, traffic) = payload(cable, &file)?;
            table.row(vec![
                format!("{name}, {}", cable.name()),
                file.len().to_string(),
                traffic.clocks.to_string(),
                payload.to_string(),
                share(payload, traffic.clocks),
                traffic.commands.to_string(),
                traffic.blocks.to_string(),
            ]);
            if (name, cable) == ("1 MiB", Cable::Spi) {
                let share = ratio(payload, traffic.clocks);
                let met = if share >= TARGET { "met" } else { "**missed**" };
                table.verdict(format!("Payload of all bits, 1 MiB over SPI: {share:.4}, target ≥ {TARGET}: {met}."));
            }
        }
    }
    Ok(table)
}

/// What one exchange takes: everything, and one look at the status register.
struct Exchange {
    traffic: Traffic,
    look: Traffic,
    /// Bytes of command and answer.
    payload: u64,
}

fn one_exchange(cable: Cable, setup: Setup) -> Result<Exchange> {
    let mut rig = Rig::new(cable, setup.clone())?;
    let before = rig.traffic();
    let answer = send(rig.card(), &SELECT_MANAGER)?;
    let payload = u64::try_from(SELECT_MANAGER.len() + answer.data.len() + 2)?;
    let traffic = rig.traffic() - before;
    // The same with one more poll: the difference is the poll.
    let mut slower = Rig::new(cable, Setup { executor: polled_once(), ..setup })?;
    let before = slower.traffic();
    send(slower.card(), &SELECT_MANAGER)?;
    Ok(Exchange { traffic, look: slower.traffic() - before - traffic, payload })
}

fn polled_once() -> smcard_card::sd::Executor {
    smcard_card::sd::Executor::Inline { polls: 1, worked: smcard_card::sd::Worked::First }
}

fn field() -> Result<Setup> {
    let profile = Profile::from_word("plain").context("profile plain")?;
    Ok(Setup { profile, ..roomy() }.unknown())
}

fn exchange() -> Result<Table> {
    let about = "SELECT of the card manager (5 bytes), answered at the first look. A look is CMD36, where the card wants it with \
                 CMD16 around it. Every token is a block of 512 bytes, whatever its content; an answer that takes the card \
                 longer costs the last column again for each further look, with 1 to 16 ms without clocks in between.";
    let heads = [
        "one APDU",
        "clocks",
        "bytes that could pass in them, less command and answer",
        "time",
        "commands",
        "of these looks",
        "a further look, clocks",
    ];
    let mut table = Table::new("One exchange", about, &heads);
    for cable in Cable::WIRES {
        let Exchange { traffic, look, payload } = one_exchange(cable, roomy())?;
        table.row(vec![
            cable.name().to_owned(),
            traffic.clocks.to_string(),
            (traffic.clocks * cable.lines() / 8 - payload).to_string(),
            time(traffic.time(cable.hz())),
            traffic.commands.to_string(),
            traffic.looks.to_string(),
            look.clocks.to_string(),
        ]);
    }
    Ok(table)
}

/// How the application gets onto the card.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    SelfIssue,
    /// The store is filled by commands.
    ByCommands,
    OneByOne(SecurityLevel),
}

impl Way {
    fn name(self) -> String {
        match self {
            Way::SelfIssue => "self-issue: direct write and START".to_owned(),
            Way::ByCommands => "self-issue by a card without protected memory, APDUs of 510 bytes".to_owned(),
            Way::OneByOne(SecurityLevel::AUTHENTICATED) => "one by one, unprotected".to_owned(),
            Way::OneByOne(level) => format!("one by one, SCP03 level {:02X}", level.p1()),
        }
    }
}

const WAYS: [Way; 6] = [
    Way::SelfIssue,
    Way::ByCommands,
    Way::OneByOne(SecurityLevel::AUTHENTICATED),
    Way::OneByOne(SecurityLevel::C_MAC),
    Way::OneByOne(SecurityLevel::C_MAC_C_ENC),
    Way::OneByOne(SecurityLevel::ALL),
];

/// What a way takes on a cable.
struct Price {
    exchanges: u64,
    traffic: Traffic,
    /// With the card's own work.
    with_work: Duration,
}

fn price(cable: Cable, way: Way, file: &[u8]) -> Result<Price> {
    let setup = if way == Way::ByCommands { field()? } else { roomy() };
    let look = one_exchange(cable, setup.clone())?.look.time(cable.hz());
    let mut rig = Rig::new(cable, setup)?;
    let level = if let Way::OneByOne(level) = way { level } else { SecurityLevel::C_MAC };
    let mut session = authenticate(rig.card(), level)?;
    let batch = Batch::parse(file)?;
    let (before, counters) = (rig.traffic(), rig.card().counters());
    let mut work = Duration::ZERO;
    if let Way::OneByOne(level) = way {
        one_by_one(rig.card(), &mut session, file)?;
        for numbered in batch.commands() {
            let apdu = &numbered.apdu;
            work += delay::noticed(delay::command(apdu) + delay::channel(level, apdu.data.len()), look);
        }
    } else {
        let id = identifier(&write(rig.card(), "app.batch", file)?)?;
        send(rig.card(), &start(id, 0))?;
        work += delay::stored(file.len()) + delay::noticed(delay::issue(&batch), look);
    }
    let traffic = rig.traffic() - before;
    let exchanges = rig.card().counters().exchanges - counters.exchanges;
    Ok(Price { exchanges, traffic, with_work: traffic.time(cable.hz()) + work })
}

fn issue() -> Result<Table> {
    let file = batches::medium()?;
    let about = format!(
        "The application of 60 KiB, {} commands, a batch of {} bytes; authentication, the same for all, is left out. *Wire*: \
         computed from the clocks, 25 MHz on SPI, 50 MHz and four lines on the SD bus, with a card that works in no time. *With \
         work*: 50 ms a LOAD block, 700 ms for linking, 2.5 ms for each other command and each recovery point, 0.9 ms for each 256 \
         bytes stored, AES 4.7 ms for 256 bytes (see the sources in section *When the link breaks*), and the time until a host that polls notices.",
        batches::commands(&file)?,
        file.len()
    );
    let heads =
        ["60 KiB", "exchanges", "SPI: commands", "wire", "×", "with work", "SD: commands", "wire", "×", "with work"];
    let mut table = Table::new("Issue of 60 KiB over a wire", about, &heads);
    let mut best = [1, 1];
    for way in WAYS {
        let mut cells = vec![way.name()];
        for (cable, best) in Cable::WIRES.into_iter().zip(&mut best) {
            let Price { exchanges, traffic, with_work } = price(cable, way, &file)?;
            if way == Way::SelfIssue {
                *best = traffic.clocks;
            }
            if cells.len() == 1 {
                cells.push(exchanges.to_string());
            }
            cells.extend([
                traffic.commands.to_string(),
                time(traffic.time(cable.hz())),
                format!("{:.2}", ratio(traffic.clocks, *best)),
                time(with_work),
            ]);
        }
        table.row(cells);
    }
    Ok(table)
}

/// Sends something that takes the card `work`, and says how long that was on the bus's own clock, beside what is computed.
///
/// # Errors
/// A card does not do what it must.
pub fn timed(cable: Cable, work: Duration) -> Result<(Duration, Duration)> {
    let look = one_exchange(cable, roomy())?.look;
    let mut setup = roomy();
    setup.profile.work_time = work;
    let mut rig = Rig::new(cable, setup)?;
    send(rig.card(), &SELECT_MANAGER)?;
    let hz = if cable == Cable::Spi { SPI_HZ } else { 25_000_000 };
    let (before, began) = (rig.traffic(), rig.time().now());
    send(rig.card(), &SELECT_MANAGER)?;
    let traffic = rig.traffic() - before;
    let further = u32::try_from(traffic.looks).context("few looks")? - 2;
    let one = Traffic { clocks: traffic.clocks - u64::from(further) * look.clocks, ..traffic };
    let computed = one.time(hz) + delay::noticed(work, look.time(hz));
    Ok((rig.time().now() - began, computed))
}
