//! From power-on to where a card takes data (PLSS sections 6.4.1 and 7.2.1).

use super::command::Response;
use super::settle::FLUSH;
use super::trouble::{Trouble, fault_of};
use super::wait::BUSY_LIMIT;
use super::{Card, SpiCrc, SpiHost};
use crate::sd::{Capacity, Cid, Command, Csd, Ocr, R1, STOP_MULTI, Scr, crc16, index};
use crate::{BusError, BusFault, Identity};
use std::time::Duration;

/// Clock until the card has been brought up (100 to 400 kHz).
const SLOW: u32 = 400_000;
/// What every card takes in default speed (PLSS section 6.6.6).
const DEFAULT_SPEED: u32 = 25_000_000;
/// After power-on, before the first clock.
const POWER_RAMP: Duration = Duration::from_millis(1);
/// Bytes clocked with chip select high: at least 74 clocks.
const WAKE: usize = 16;
/// CMD0 so many times before the card counts as not there.
const RESETS: u32 = 10;
/// Repeats of what may be repeated.
const TRIES: usize = 4;
/// ACMD41 until it is over (PLSS section 4.2.3).
const READY_LIMIT: Duration = Duration::from_secs(1);
/// CMD8: 2.7 to 3.6 V, and a pattern to be echoed.
const INTERFACE: u32 = 0x1AA;
/// ACMD41: the host knows high capacity. No other bits: some cards mind.
const HIGH_CAPACITY: u32 = 1 << 30;

type Told<T> = Result<T, BusError>;

impl SpiHost {
    /// The whole of it.
    pub(super) fn start(&mut self) -> Told<Card> {
        self.card = None;
        (self.card_checks, self.host_checks, self.unsure) = (false, false, true);
        self.checks_in_doubt = false;
        let fast = self.options.clock_hz.max(1);
        let reset = Command::new(index::GO_IDLE_STATE, 0);
        let io = |error: std::io::Error| Trouble::from(error).into_error(reset);
        self.clock_hz = self.wire.set_clock(SLOW.min(fast)).map_err(io)?;
        self.wire.sleep(POWER_RAMP);

        self.go_idle().map_err(|trouble| trouble.into_error(reset))?;
        self.unsure = false;
        let version2 = self.interface()?;
        self.checksums();
        self.initialise(version2)?;
        let capacity = if version2 { self.capacity()? } else { Capacity::Standard };
        if capacity == Capacity::Standard {
            self.block_length()?;
        }
        let (csd, _) = self.register(index::SEND_CSD, |bytes| Csd(bytes).is_intact())?;
        let (cid, checked) = self.register(index::SEND_CID, |bytes| Cid(bytes).is_intact())?;
        let (csd, cid) = (Csd(csd), Cid(cid));
        // A card that refuses CMD59 and sends right checksums all the same is held to them.
        self.host_checks = self.options.crc == SpiCrc::On && (self.card_checks || checked);
        self.trace.register(&cid);
        self.refuse_locked()?;
        let blocks = csd.blocks().ok_or_else(|| {
            let text = "a CSD structure of neither version 1.0 nor 2.0";
            Trouble::new(BusFault::Card, text).into_error(Command::new(index::SEND_CSD, 0))
        })?;
        self.speed_up(fast.min(csd.clock().unwrap_or(DEFAULT_SPEED)), cid)?;
        let has_switch = self.has_switch(csd);
        self.trace.note(format_args!("{blocks} blocks, {capacity:?} capacity, {} Hz", self.clock_hz));
        Ok(Card { capacity, blocks, identity: Identity { cid, has_switch } })
    }

    /// Wakes the card and resets it. It may be silent at first, send the rest of something, or be in the middle of a
    /// block; it is led out of that before it is given up.
    fn go_idle(&mut self) -> Result<(), Trouble> {
        let (mut ones, mut zeros) = (true, true);
        let mut seen = String::new();
        for reset in 0..RESETS {
            self.wire.select(false)?;
            self.wire.send(&[], WAKE)?;
            zeros &= self.wire.is_all(0x00);
            if reset >= 2 {
                self.wire.select(true)?;
                self.lead_out_unknown(zeros)?;
                self.wire.sleep(Duration::from_millis(1 << reset.min(6)));
            }
            let response = self.send(Command::new(index::GO_IDLE_STATE, 0), false, 2);
            ones &= self.wire.is_all(0xFF);
            if let Ok(Response { r1, .. }) = response {
                // Some emulations answer 00; what follows a response must be silence in any case.
                self.wire.align();
                let silence = self.wire.peek() == 0xFF;
                if silence && (r1 == R1::IDLE || r1 == R1::default()) {
                    return Ok(self.wire.end()?);
                }
                seen = format!("{r1:?}{}", if silence { "" } else { ", and more behind it" });
            }
            self.wire.end()?;
        }
        Err(if ones {
            Trouble::new(BusFault::Removed, "no answer to CMD0: the line stays high")
        } else if zeros {
            Trouble::new(BusFault::Removed, "the line stays low, chip select high or not")
        } else {
            Trouble::unknown(BusFault::NoResponse, format!("no SD card in SPI mode; {seen}"))
        })
    }

    /// A card that an earlier host has left in the middle of something: it is clocked until a block must be over, told
    /// that a multi-block write and that a read is over, and waited for; not for a line that is `low` with chip select high.
    fn lead_out_unknown(&mut self, low: bool) -> Result<(), Trouble> {
        self.wire.send(&[], FLUSH)?;
        self.wire.send(&[&[STOP_MULTI]], FLUSH)?;
        // Nothing to complain about if it does not know what is meant.
        let _ = self.send(Command::new(index::STOP_TRANSMISSION, 0), false, 0);
        if !low {
            let _ = self.busy(BUSY_LIMIT);
        }
        self.unsure = false;
        Ok(())
    }

    /// CMD8. `false`: a card of version 1.
    fn interface(&mut self) -> Told<bool> {
        let command = Command::new(index::SEND_IF_COND, INTERFACE);
        self.repeat(command, |host| {
            let response = host.ask_raw(command, false)?;
            if response.r1.contains(R1::ILLEGAL) && !response.r1.contains(R1::CRC) {
                return Ok(false);
            }
            good(response)?;
            if response.rest & 0xFFF != INTERFACE {
                let text =
                    format!("echo {:03X} for {INTERFACE:03X}: not this voltage, or no SD card", response.rest & 0xFFF);
                return Err(Trouble::new(BusFault::Card, text));
            }
            Ok(true)
        })
    }

    /// CMD59. A card may refuse it; it is used without then.
    fn checksums(&mut self) {
        let on = self.options.crc == SpiCrc::On;
        let command = Command::new(index::CRC_ON_OFF, u32::from(on));
        match self.repeat(command, |host| good(host.ask_raw(command, false)?)) {
            Ok(_) => self.card_checks = on,
            Err(error) => self.trace.note(format_args!("the card refuses checksums: {error}")),
        }
    }

    /// ACMD41 until the card is ready. Nothing else comes in between.
    fn initialise(&mut self, version2: bool) -> Told<()> {
        let prefix = Command::new(index::APP_CMD, 0);
        let command = Command::new(index::ACMD_SD_SEND_OP_COND, if version2 { HIGH_CAPACITY } else { 0 });
        let since = self.wire.now();
        let mut gap = Duration::from_millis(1);
        let mut illegal = 0;
        loop {
            let late = self.wire.now().saturating_sub(since) >= READY_LIMIT;
            let response = self.ask_raw(prefix, false).and_then(|_| self.ask_raw(command, true));
            let trouble = match response.and_then(|response| good(response).map(|()| response)) {
                Ok(Response { r1, .. }) if !r1.contains(R1::IDLE) => return Ok(()),
                Ok(_) => Trouble::new(BusFault::BusyTimeout(READY_LIMIT), "still being initialised"),
                Err(trouble) => trouble,
            };
            illegal += usize::from(matches!(trouble.fault, BusFault::Illegal));
            if illegal == TRIES {
                let text = format!("ACMD41: {}; an MMC, or no SD card", trouble.seen);
                return Err(Trouble::new(BusFault::Illegal, text).into_error(command));
            }
            if late || matches!(trouble.fault, BusFault::Io(_)) {
                return Err(trouble.into_error(command));
            }
            self.wire.sleep(gap);
            gap = (gap * 2).min(Duration::from_millis(16));
        }
    }

    /// CMD58: how the card is addressed.
    fn capacity(&mut self) -> Told<Capacity> {
        let command = Command::new(index::READ_OCR, 0);
        self.repeat(command, |host| {
            let response = host.ask_raw(command, false)?;
            good(response)?;
            let ocr = Ocr(response.rest);
            if !ocr.is_ready() {
                return Err(Trouble::new(BusFault::Card, format!("OCR {:08X}: initialisation is not over", ocr.0)));
            }
            if ocr.0 & Ocr::VOLTAGES == 0 {
                host.trace.note(format_args!("OCR {:08X} names no voltage", ocr.0));
            }
            Ok(ocr.capacity())
        })
    }

    /// CMD16: blocks of 512 bytes. A card whose blocks are so anyway may refuse it.
    fn block_length(&mut self) -> Told<()> {
        let command = Command::new(index::SET_BLOCKLEN, 512);
        match self.repeat(command, |host| good(host.ask_raw(command, false)?)) {
            Err(BusError { fault: BusFault::Illegal, .. }) => {
                self.trace.note(format_args!("the card refuses CMD16; its blocks are taken to be of 512 bytes"));
                Ok(())
            }
            done => done,
        }
    }

    /// CMD9 or CMD10: a register, and whether the checksum of the block was right as well as its own.
    fn register(&mut self, index: u8, is_intact: fn([u8; 16]) -> bool) -> Told<([u8; 16], bool)> {
        let command = Command::new(index, 0);
        self.repeat(command, |host| {
            let mut bytes = [0; 18];
            good(host.send(command, false, bytes.len() + 4)?)?;
            let host_checks = std::mem::replace(&mut host.host_checks, false);
            // With its checksum as part of the data: two bytes more are clocked than the card sends.
            let received = host.receive(bytes.len(), &mut bytes, Duration::ZERO);
            host.host_checks = host_checks;
            received?;
            host.wire.end()?;
            let [register @ .., high, low] = bytes;
            let checked = crc16(&register) == u16::from_be_bytes([high, low]);
            if !is_intact(register) || (host.card_checks && !checked) {
                return Err(Trouble::new(BusFault::DataCrc, "the register's checksum is wrong"));
            }
            Ok((register, checked))
        })
    }

    /// CMD13: a card with a password takes no data.
    fn refuse_locked(&mut self) -> Told<()> {
        let command = Command::new(index::SEND_STATUS, 0);
        self.repeat(command, |host| {
            let response = host.ask_raw(command, false)?;
            good(response)?;
            if response.r2().contains(crate::sd::R2::LOCKED) {
                return Err(Trouble::new(BusFault::Locked, format!("{:?}", response.r2())));
            }
            Ok(())
        })
    }

    /// Raises the clock, and lowers it again while the card cannot be read with it.
    fn speed_up(&mut self, hz: u32, cid: Cid) -> Told<()> {
        let mut wanted = hz;
        loop {
            let command = Command::new(index::SEND_CID, 0);
            self.clock_hz = self.wire.set_clock(wanted).map_err(|error| Trouble::from(error).into_error(command))?;
            match self.register(index::SEND_CID, |bytes| Cid(bytes).is_intact()) {
                Ok((again, _)) if Cid(again) == cid => return Ok(()),
                Err(error) if matches!(error.fault, BusFault::Io(_)) || wanted <= SLOW => return Err(error),
                _ if wanted <= SLOW => {
                    return Err(Trouble::new(BusFault::DataCrc, "another CID than before").into_error(command));
                }
                _ => self.trace.note(format_args!("{} Hz is too fast here", self.clock_hz)),
            }
            wanted = (wanted / 2).max(SLOW);
        }
    }

    /// ACMD51 tells the version; where it cannot be read, the command classes do.
    fn has_switch(&mut self, csd: Csd) -> bool {
        let command = Command::new(index::ACMD_SEND_SCR, 0);
        let scr = self.repeat(command, |host| {
            host.ask_raw(Command::new(index::APP_CMD, 0), false)?;
            let mut scr = [0; 8];
            good(host.send(command, true, scr.len() + 7)?)?;
            host.receive(scr.len(), &mut scr, Duration::ZERO)?;
            host.wire.end()?;
            Ok(Scr(scr))
        });
        match scr {
            Ok(scr) => scr.has_switch(),
            Err(error) => {
                self.trace.note(format_args!("the SCR cannot be read: {error}"));
                csd.classes() >> 10 & 1 == 1
            }
        }
    }

    /// A command and its response in a transaction of its own.
    fn ask_raw(&mut self, command: Command, application: bool) -> Result<Response, Trouble> {
        if application {
            self.trace.application_command(command)
        } else {
            self.trace.command(command)
        }
        let response = self.send(command, application, 0);
        self.wire.end()?;
        response
    }

    /// Again, unless the card has refused for good.
    fn repeat<T>(&mut self, command: Command, mut does: impl FnMut(&mut Self) -> Result<T, Trouble>) -> Told<T> {
        let mut tries = 1;
        loop {
            let trouble = match does(self) {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            };
            let silent = matches!(trouble.fault, BusFault::NoResponse) && self.wire.is_all(0xFF);
            // Whatever it was, the rest of it goes by, and chip select goes up.
            let settled = self.wire.clock(64).and_then(|()| self.wire.end());
            if tries == TRIES || matches!(trouble.fault, BusFault::Locked | BusFault::Io(_)) || settled.is_err() {
                let fault = if silent { BusFault::Removed } else { trouble.fault };
                return Err(Trouble { fault, ..trouble }.into_error(command));
            }
            tries += 1;
        }
    }
}

/// A response without an error; "idle" is none here.
fn good(response: Response) -> Result<(), Trouble> {
    match fault_of(response.r1) {
        Some(fault) => Err(Trouble::new(fault, format!("{:?}", response.r1))),
        None => Ok(()),
    }
}
