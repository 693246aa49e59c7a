//! The same card on three cables: a function call, SPI, an SD slot.

use crate::line::Line;
use crate::medium::Image;
use crate::traffic::Traffic;
use anyhow::{Context, Result};
use smcard_batch::CommandApdu;
use smcard_card::applet::Runtime;
use smcard_card::sd::faults::{FaultHandle, Faults, FaultySd, FaultySpi};
use smcard_card::sd::{BusTime, Executor, Profile, RamArea, SdCard, SdOptions, SlotHandle, SpiCard, Worked};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_flash::{Medium, RamMedium};
use smcard_link::assd::{AssdCard, AssdOptions};
use smcard_link::mmc::{MmcHost, SoftKernel};
use smcard_link::quirks::{CardMatch, QuirkOverrides, QuirkRow, QuirkTable};
use smcard_link::spi::{SpiHost, SpiOptions};
use smcard_link::{BusError, CardHost, Identity, SecureCard, Step, Trace};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a card hangs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cable {
    /// A function call.
    Call,
    /// SPI, byte by byte.
    Spi,
    /// A slot: the native bus with the kernel's part above it.
    Mmc,
}

impl Cable {
    /// All of them; the one that the others are compared with first.
    pub const ALL: [Cable; 3] = [Cable::Call, Cable::Spi, Cable::Mmc];
    /// Those with a wire.
    pub const WIRES: [Cable; 2] = [Cable::Spi, Cable::Mmc];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cable::Call => "function call",
            Cable::Spi => "SPI",
            Cable::Mmc => "SD, 4 bits",
        }
    }
}

/// Sees each command of an issue as the card manager is about to get it; `true` and the power goes.
pub type Fate = Arc<dyn Fn(&CommandApdu<'_>) -> bool + Send + Sync>;
/// What runs applications.
pub type Applications = Arc<dyn Fn() -> Box<dyn Runtime> + Send + Sync>;

/// How a card is made and plugged in.
#[derive(Clone)]
pub struct Setup {
    /// What is fixed when it is made.
    pub create: CreateOptions,
    /// How it behaves on a wire.
    pub profile: Profile,
    /// What the driver knows of cards.
    pub quirks: QuirkTable,
    /// When its core does its work.
    pub executor: Executor,
    /// What goes wrong on the wire.
    pub faults: Faults,
    /// Bytes of its open memory.
    pub area: usize,
    /// When the power goes.
    pub fate: Option<Fate>,
    /// What runs its applications; `None`: what every emulated card has.
    pub applications: Option<Applications>,
}

impl Default for Setup {
    /// Always the same individual; 1 MiB, answers at once.
    fn default() -> Self {
        Setup {
            create: CreateOptions { size: 1 << 20, individual: Some([0x57; 14]), ..CreateOptions::default() },
            profile: Profile::default(),
            quirks: QuirkTable::default(),
            executor: Executor::Inline { polls: 0, worked: Worked::First },
            faults: Faults::default(),
            area: 1 << 20,
            fate: None,
            applications: None,
        }
    }
}

impl Setup {
    /// The driver knows nothing of this card.
    #[must_use]
    pub fn unknown(mut self) -> Self {
        self.quirks.add(QuirkRow { cards: CardMatch::default(), quirks: QuirkOverrides::NONE });
        self
    }

    /// A new card, as bytes.
    ///
    /// # Errors
    /// The size.
    pub fn new_card(&self) -> Result<Vec<u8>> {
        let medium = EmulatedCard::format(Box::new(RamMedium::new(self.create.size)), &self.create)?;
        Ok(medium.bytes().to_vec())
    }

    fn switch_on(&self, image: &Image) -> Result<EmulatedCard> {
        let mut options = OpenOptions::default();
        if let Some(fate) = self.fate.clone() {
            options.power_fate = Some(Box::new(move |command| fate(command)));
        }
        if let Some(applications) = self.applications.clone() {
            options.runtime = Box::new(move || applications());
        }
        Ok(EmulatedCard::on_medium(Box::new(image.medium()), "emulated".to_owned(), options)?)
    }
}

/// The end of a cable that the host holds.
enum Plug {
    Call(Option<EmulatedCard>),
    Spi(Line<FaultySpi<SpiCard>>, Option<AssdCard>),
    Mmc(Line<FaultySd<SdCard>>, Option<AssdCard>),
}

/// A card on a cable.
pub struct Rig {
    setup: Setup,
    image: Image,
    plug: Plug,
    slot: Option<SlotHandle>,
    faults: FaultHandle,
    /// Steps of the driver that went wrong.
    troubles: Arc<AtomicU64>,
    time: BusTime,
}

impl Rig {
    /// A new card.
    ///
    /// # Errors
    /// It does not come up.
    pub fn new(cable: Cable, setup: Setup) -> Result<Self> {
        let image = setup.new_card()?;
        Self::with_image(cable, setup, image)
    }

    /// The card that lies in these bytes.
    ///
    /// # Errors
    /// It does not come up.
    pub fn with_image(cable: Cable, setup: Setup, image: Vec<u8>) -> Result<Self> {
        let mut rig = Self::unopened(cable, setup, image)?;
        rig.open()?;
        Ok(rig)
    }

    /// The same, but nobody speaks with it yet.
    ///
    /// # Errors
    /// It cannot be plugged in.
    pub fn unopened(cable: Cable, setup: Setup, image: Vec<u8>) -> Result<Self> {
        let image = Image::new(image);
        // A thread works in real time.
        let time = if setup.executor == Executor::Thread { BusTime::system() } else { BusTime::counted() };
        let options = |setup: &Setup| SdOptions {
            profile: setup.profile.clone(),
            area: Box::new(RamArea::new(setup.area)),
            executor: setup.executor,
            time: time.clone(),
        };
        let card = setup.switch_on(&image)?;
        let mut faults = FaultHandle::default();
        let (plug, slot) = match cable {
            Cable::Call => (Plug::Call(Some(card)), None),
            Cable::Spi => {
                // Every byte through the byte machine, which is the truth.
                let card = card.into_spi(options(&setup))?.bytewise();
                let slot = card.slot();
                let bus = FaultySpi::new(card, setup.faults.clone());
                faults = bus.handle();
                (Plug::Spi(Line::new(bus), None), Some(slot))
            }
            Cable::Mmc => {
                let card = card.into_sd(options(&setup))?;
                let slot = card.slot();
                let bus = FaultySd::new(card, setup.faults.clone());
                faults = bus.handle();
                (Plug::Mmc(Line::new(bus), None), Some(slot))
            }
        };
        faults.pause(true);
        Ok(Rig { setup, image, plug, slot, faults, troubles: Arc::default(), time })
    }

    /// A host for the card on a wire.
    fn host(&self) -> Option<Box<dyn CardHost>> {
        let time = || Box::new(self.time.clone());
        let host: Box<dyn CardHost> = match &self.plug {
            Plug::Call(_) => return None,
            Plug::Spi(line, _) => {
                let options = SpiOptions::default();
                Box::new(SpiHost::new(Box::new(line.clone()), time(), options, Trace::off()))
            }
            Plug::Mmc(line, _) => {
                let kernel = SoftKernel::new(line.clone(), time(), "slot".to_owned(), Trace::off());
                Box::new(MmcHost::new(Box::new(kernel), time(), Trace::off()))
            }
        };
        Some(Box::new(Watched { host, troubles: Arc::clone(&self.troubles) }))
    }

    /// Opens the card, as a terminal that has just been started does.
    ///
    /// # Errors
    /// It does not come up.
    pub fn open(&mut self) -> Result<()> {
        let host = self.host();
        let quirks = self.setup.quirks.clone();
        let power = self.slot.as_ref().map(SlotHandle::power_switch);
        match (&mut self.plug, host) {
            // One that is there holds its medium.
            (Plug::Call(card @ None), _) => *card = Some(self.setup.switch_on(&self.image)?),
            (Plug::Spi(_, card) | Plug::Mmc(_, card), Some(host)) => {
                *card = None;
                *card = Some(AssdCard::open(host, AssdOptions { power, quirks, ..AssdOptions::default() })?);
            }
            _ => {}
        }
        Ok(())
    }

    /// The card, as a terminal sees it.
    ///
    /// # Panics
    /// It was pulled and not put in again.
    pub fn card(&mut self) -> &mut dyn SecureCard {
        match &mut self.plug {
            Plug::Call(Some(card)) => card,
            Plug::Spi(_, Some(card)) | Plug::Mmc(_, Some(card)) => card,
            _ => panic!("nobody has opened the card"),
        }
    }

    /// The driver of a card on a wire.
    pub fn driver(&mut self) -> Option<&mut AssdCard> {
        match &mut self.plug {
            Plug::Call(_) => None,
            Plug::Spi(_, card) | Plug::Mmc(_, card) => card.as_mut(),
        }
    }

    /// Pulls the card out. With a function call for a cable that is a loss of power; with a wire the driver notices.
    pub fn pull(&mut self) {
        match (&mut self.plug, &self.slot) {
            (Plug::Call(card), _) => *card = None,
            (_, Some(slot)) => slot.remove(),
            _ => {}
        }
    }

    /// Puts it in again and opens it.
    ///
    /// # Errors
    /// It does not come up.
    pub fn put_in(&mut self) -> Result<()> {
        if let Some(slot) = &self.slot {
            slot.insert();
        }
        self.open().context("after it was put in again")
    }

    /// The slot of a card on a wire.
    #[must_use]
    pub fn slot(&self) -> Option<SlotHandle> {
        self.slot.clone()
    }

    /// The card is pulled after so many steps of its wire ([`Line::pull_after`]).
    pub fn pull_after(&self, steps: u64) {
        match (&self.plug, self.slot()) {
            (Plug::Spi(line, _), Some(slot)) => line.pull_after(steps, slot),
            (Plug::Mmc(line, _), Some(slot)) => line.pull_after(steps, slot),
            _ => {}
        }
    }

    /// It is not pulled any more; `false`: it has been.
    #[must_use]
    pub fn spare(&self) -> bool {
        match &self.plug {
            Plug::Call(_) => true,
            Plug::Spi(line, _) => line.spare(),
            Plug::Mmc(line, _) => line.spare(),
        }
    }

    /// What is written in the card's flash.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The faults on the wire, which are paused at first.
    #[must_use]
    pub fn faults(&self) -> FaultHandle {
        self.faults.clone()
    }

    /// How many steps of the driver went wrong so far, be it that they were repeated.
    #[must_use]
    pub fn troubles(&self) -> u64 {
        self.troubles.load(Ordering::Relaxed)
    }

    /// What has crossed the wire.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        match &self.plug {
            Plug::Call(_) => Traffic::default(),
            Plug::Spi(line, _) => line.traffic(),
            Plug::Mmc(line, _) => line.traffic(),
        }
    }

    /// The time of the bus.
    #[must_use]
    pub fn time(&self) -> BusTime {
        self.time.clone()
    }
}

/// A host whose troubles are counted.
struct Watched {
    host: Box<dyn CardHost>,
    troubles: Arc<AtomicU64>,
}

impl CardHost for Watched {
    fn bring_up(&mut self) -> Result<Identity, BusError> {
        self.host.bring_up()
    }

    fn run(&mut self, steps: &mut [Step<'_>]) -> Result<(), (BusError, usize)> {
        self.host.run(steps).inspect_err(|_| {
            self.troubles.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn blocks_max(&self) -> usize {
        self.host.blocks_max()
    }

    fn transactions(&self) -> u64 {
        self.host.transactions()
    }

    fn power_cycle(&mut self) -> io::Result<bool> {
        self.host.power_cycle()
    }

    fn sleep(&mut self, time: Duration) {
        self.host.sleep(time);
    }

    fn now(&self) -> Duration {
        self.host.now()
    }

    fn describe(&self) -> String {
        self.host.describe()
    }
}
