//! Registers and tokens as a card sends them, and the secure command set against a host that says anything.

use super::mmc_driver::{Calm, direct, drive, seal};
use smcard_link::assd::{
    AssdCard, AssdOptions, BLOCK, Checksum, DirectRead, DirectWrite, Properties, Status, WriteState, blocks_of,
    read_token, write_token,
};
use smcard_link::quirks::{QuirkOverrides, QuirkTable};
use smcard_link::sd::{Cid, Csd, SwitchStatus};
use smcard_link::{BusError, BusFault, CardHost, Data, Identity, Step, Taken};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps that one thing may take.
const STEPS: u64 = 400_000;

/// The views, one after the other, then the driver with the same bytes.
pub fn psi(data: &[u8]) {
    views(data);
    let Some((options, input)) = data.split_first_chunk::<2>() else { return };
    let steps = Arc::new(AtomicU64::new(0));
    let (ours, calm) = (options[0] & 1 == 0, (options[0] & 0x40 == 0).then(Calm::default));
    let host = Anything { calm, input: input.to_vec(), at: 0, ours, time: Duration::ZERO, steps: steps.clone() };
    let mut overrides = QuirkOverrides::NONE;
    let flags = ["checked", "rereads", "idle_means_untaken", "reset_after_abort", "direct_write", "reset_on_enter"];
    for (bit, name) in flags.into_iter().enumerate() {
        if options[1] >> bit & 1 == 1 {
            overrides.set(name, if options[0] >> bit & 1 == 1 { "yes" } else { "no" }).expect("an option");
        }
    }
    let mut quirks = QuirkTable::default();
    quirks.override_all(overrides);
    let bounded = |what: &str| {
        let steps = steps.swap(0, Ordering::Relaxed);
        assert!(steps < STEPS, "{what} took {steps} steps");
    };
    let card = AssdCard::open(Box::new(host), AssdOptions { quirks, ..AssdOptions::default() });
    bounded("opening");
    match card {
        Ok(mut card) => drive(&mut card, bounded),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn views(data: &[u8]) {
    if let Some(register) = data.first_chunk::<32>() {
        let (status, properties) = (Status(*register), Properties(*register));
        assert_eq!(status.state().map_or_else(|byte| byte, |state| state as u8), register[0]);
        assert!(format!("{status:?}{properties:?}").len() < 400);
        assert!(WriteState::from_bytes(register).is_none_or(|state| state.to_bytes()[..] == register[..12]));
    }
    if let Some(status) = data.first_chunk::<64>() {
        for group in 0..=7 {
            let status = SwitchStatus(*status);
            let _ = (status.supported(group), status.result(group), status.is_busy(group, group));
        }
    }
    if let Some(csd) = data.first_chunk::<16>() {
        let csd = Csd(*csd);
        let _ = (csd.blocks(), csd.clock(), csd.classes(), csd.is_intact());
    }
    for checksum in [Checksum::None, Checksum::Crc32] {
        if let Ok(apdu) = read_token(data, checksum) {
            let again = write_token(apdu, checksum).expect("an APDU that came in a token");
            assert_eq!(again.len(), blocks_of(apdu.len(), checksum) * BLOCK);
            assert_eq!(read_token(&again, checksum), Ok(apdu));
        }
    }
    if let Some(argument) = data.first_chunk::<4>() {
        let argument = u32::from_be_bytes(*argument);
        assert!(DirectWrite::from_argument(argument).is_none_or(|write| write.argument() == argument));
        assert!(DirectRead::from_argument(argument).is_none_or(|read| read.argument() == argument));
    }
}

/// A host that says the bytes of the input.
struct Anything {
    calm: Option<Calm>,
    input: Vec<u8>,
    at: usize,
    ours: bool,
    time: Duration,
    steps: Arc<AtomicU64>,
}

impl Anything {
    fn next(&mut self) -> u8 {
        let byte = self.input.get(self.at % self.input.len().max(1)).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    fn fault(&mut self) -> BusFault {
        match self.next() % 16 {
            0 => BusFault::Illegal,
            1 => BusFault::CommandCrc,
            2 => BusFault::Argument,
            3 => BusFault::Card,
            4 => BusFault::Locked,
            5 => BusFault::DataTimeout(Duration::ZERO),
            6 => BusFault::BlockCrc,
            7 => BusFault::BlockRefused,
            8 => BusFault::BlockUnclear,
            9 => BusFault::BusyTimeout(Duration::ZERO),
            10 if self.next() % 4 == 0 => BusFault::Removed,
            11 if self.next() % 4 == 0 => BusFault::Forbidden("a right".to_owned()),
            12 => BusFault::Io(io::Error::other("a fault")),
            13 => BusFault::DataCrc,
            _ => BusFault::NoResponse,
        }
    }
}

impl CardHost for Anything {
    fn bring_up(&mut self) -> Result<Identity, BusError> {
        let mut cid = [0, b'S', b'M', b'S', b'M', b'C', b'R', b'D', 0x10, 1, 2, 3, 4, 0x01, 0xA1, 0];
        cid[0] = u8::from(!self.ours);
        Ok(Identity { cid: Cid(cid), has_switch: true })
    }

    fn run(&mut self, steps: &mut [Step<'_>]) -> Result<(), (BusError, usize)> {
        for (at, step) in steps.iter_mut().enumerate() {
            self.steps.fetch_add(1, Ordering::Relaxed);
            self.time += Duration::from_micros(50);
            let into = match &mut step.data {
                Data::Read { into, .. } => {
                    into.fill(0);
                    Some(&mut **into)
                }
                _ => None,
            };
            if let Some(calm) = &mut self.calm {
                if calm.step(u32::from(step.command.index), step.command.argument, into) {
                    continue;
                }
                self.calm = None;
            }
            if self.next() % 8 == 0 {
                let taken = if self.next() % 2 == 0 { Taken::No } else { Taken::Unknown };
                let (fault, blocks) = (self.fault(), usize::from(self.next()));
                return Err((BusError { command: step.command, fault, taken, seen: String::new(), blocks }, at));
            }
            let Data::Read { into, .. } = &mut step.data else { continue };
            let plausible = self.next() % 8 != 0;
            match step.command.index {
                6 if plausible => (into[11], into[16]) = (0x13, if self.ours { 0x40 } else { 0x10 }),
                36 if plausible && step.command.argument == 4 => (into[2], into[4], into[13]) = (self.next() % 4, 1, 3),
                36 if plausible => (into[0], into[3], into[9]) = (self.next() % 4, self.next() % 3, self.next() % 4),
                50 if plausible && self.next() % 4 != 0 => direct(step.command.argument, self.next(), into),
                34 | 50 if plausible => {
                    let length = u16::from(self.next()) + 4;
                    into[..2].copy_from_slice(&length.to_be_bytes());
                    into[2..12].copy_from_slice(&[self.next(); 10]);
                    seal(into);
                }
                _ => into.iter_mut().for_each(|byte| *byte = self.next()),
            }
        }
        Ok(())
    }

    fn blocks_max(&self) -> usize {
        self.input.len()
    }

    fn transactions(&self) -> u64 {
        0
    }

    fn power_cycle(&mut self) -> io::Result<bool> {
        match self.next() % 3 {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(io::Error::other("no power")),
        }
    }

    fn sleep(&mut self, time: Duration) {
        self.time += time;
    }

    fn now(&self) -> Duration {
        self.time
    }

    fn describe(&self) -> String {
        "anything".to_owned()
    }
}
