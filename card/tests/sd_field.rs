//! The command sequences of the drivers of the field, each as a small host: every one completes an APDU in every profile that
//! it is said to cope with. What each sends, in what order, for how long it waits and what it takes for an error are facts
//! learned from those drivers.

mod wire;

use smcard_card::sd::Profile;
use smcard_link::{Clock, SpiBus};
use std::time::Duration;
use wire::native::NativeHost;
use wire::spi::SpiHost;
use wire::{inline, new_card, options, profile};

/// GET DATA of the CPLC-like data object that every card answers, and what is expected in the answer's first bytes.
const APDU: [u8; 5] = [0x80, 0xCA, 0xDF, 0x74, 0x00];

const FUNCTION_1: u32 = 0x80FF_FF1F;
const FUNCTION_4: u32 = 0x80FF_FF4F;

type Answered = Result<Vec<u8>, String>;

fn block(apdu: &[u8], padding: u8) -> [u8; 512] {
    let mut block = [padding; 512];
    let stl = u16::try_from(apdu.len() + 2).expect("short");
    block[..2].copy_from_slice(&stl.to_be_bytes());
    block[2..2 + apdu.len()].copy_from_slice(apdu);
    block
}

fn answer(block: &[u8]) -> Answered {
    let stl = usize::from(u16::from_be_bytes([block[0], block[1]]));
    if stl > 512 { Err(format!("STL {stl}")) } else { Ok(block[2..stl.max(2)].to_vec()) }
}

/// What all Linux drivers share: the memory card core's helpers.
struct Core {
    host: NativeHost,
    /// CMD12 is attached to CMD34 and CMD35 until it gets no response.
    stop: bool,
    sleep: Duration,
}

impl Core {
    fn new(profile: Profile) -> Self {
        let card = new_card().into_sd(options(profile, inline(2))).expect("a card");
        Core { host: NativeHost::new(card), stop: true, sleep: Duration::from_millis(16) }
    }

    fn sleep(&mut self) {
        self.host.time.sleep(self.sleep);
    }

    fn read(&mut self, index: u8, argument: u32, length: usize) -> Answered {
        self.host.read(index, argument, length, 1).map_err(|trouble| format!("CMD{index}: {trouble:?}"))
    }

    fn write(&mut self, index: u8, argument: u32, block: &[u8]) -> Result<(), String> {
        self.host.write(index, argument, block).map_err(|trouble| format!("CMD{index}: {trouble:?}"))
    }

    fn command(&mut self, index: u8, argument: u32) -> Result<u32, String> {
        let status = self.host.command(index, argument).map_err(|trouble| format!("CMD{index}: {trouble:?}"))?;
        self.host.not_busy().map_err(|trouble| format!("CMD{index}: {trouble:?}"))?;
        Ok(status.0)
    }

    /// CMD16(32), a register, CMD16(512); whether CMD16 is taken does not matter.
    fn register(&mut self, number: u32) -> Answered {
        let _ = self.command(16, 32);
        let register = self.read(36, number, 32);
        let _ = self.command(16, 512);
        register
    }

    fn stop_if_needed(&mut self) {
        if self.stop && self.command(12, 0).is_err() {
            self.stop = false;
        }
    }

    /// CMD13 until the card is ready and in *tran*.
    fn until_ready(&mut self) -> Result<(), String> {
        for _ in 0..5000 {
            let status = self.command(13, self.host.rca)?;
            if status & 0x1F00 == 0x0900 {
                return Ok(());
            }
            self.host.time.sleep(Duration::from_millis(1));
        }
        Err("not ready".to_owned())
    }

    /// Sets a function, as often as it takes.
    fn set(&mut self, argument: u32, tries: u32) -> Result<(), String> {
        let function = (argument >> 4 & 0xF) as u8;
        for _ in 0..tries {
            let status = self.read(6, argument, 64)?;
            if status[16] >> 4 == function {
                return Ok(());
            }
            if status[17] == 1 && status[27] >> function & 1 == 0 {
                return Err("CMD6 refused".to_owned());
            }
            self.sleep();
        }
        Err("CMD6 busy".to_owned())
    }
}

/// ASSD 1.1 only; tries the first command again and again; learns whether CMD12 is needed.
fn gd1(profile: Profile) -> Answered {
    let mut core = Core::new(profile);
    let status = core.read(6, 0x00FF_FF1F, 64)?;
    if status[11] & 2 == 0 || status[16] >> 4 != 1 && status[27] & 2 == 0 {
        return Err("function 1 is not there".to_owned());
    }
    core.set(FUNCTION_1, 1000)?;
    let mut written = Err(String::new());
    for _ in 0..20 {
        written = core.write(35, 1, &block(&APDU, 0xA7));
        if written.is_ok() {
            core.stop_if_needed();
            break;
        }
        core.sleep();
    }
    written?;
    for _ in 0..1000 / 16 {
        // A failed read of the register means: ask again.
        match core.register(0) {
            Ok(status) if status[0] != 1 => break,
            _ => core.sleep(),
        }
    }
    let token = core.read(34, 1, 512)?;
    core.stop_if_needed();
    answer(&token)
}

/// Prefers function 4; always resets; wants system 1 from 2.0 on; idle is an error after CMD35.
fn gd2(profile: Profile) -> Answered {
    let mut core = Core::new(profile);
    let status = core.read(6, 0x00FF_FFFF, 64)?;
    let argument = if status[11] & 0x10 != 0 { FUNCTION_4 } else { FUNCTION_1 };
    core.set(argument, 100)?;
    let properties = core.register(4)?;
    if properties[2] >= 2 {
        if u16::from_be_bytes([properties[12], properties[13]]) & 2 == 0 {
            return Err("system 1 is not there".to_owned());
        }
        core.register(0)?;
        core.command(37, 0x101)?;
        if core.register(0)?[6] != 1 {
            return Err("system 1 is not active".to_owned());
        }
    } else {
        core.command(37, 1)?;
    }
    core.sleep = Duration::from_millis(4);
    let mut idle = false;
    for _ in 0..8 {
        idle = core.register(0)?[0] == 0;
        if idle {
            break;
        }
        core.command(37, 1)?;
    }
    if !idle {
        return Err("never idle".to_owned());
    }
    core.write(35, 1, &block(&APDU, 0x3C))?;
    core.stop_if_needed();
    let end = core.host.time.now() + Duration::from_millis(250) * u32::from(properties[1]);
    while core.host.time.now() < end {
        match core.register(0)?[0] {
            1 => core.sleep(),
            2 => {
                let token = core.read(34, 1, 512)?;
                core.stop_if_needed();
                return answer(&token);
            }
            other => return Err(format!("state {other}")),
        }
    }
    Err("in progress for too long".to_owned())
}

/// Takes the lowest function; CMD37 only from 2.0 on; waits until the card is not programming; idle is good too.
fn bb(profile: Profile) -> Answered {
    let mut core = Core::new(profile);
    core.sleep = Duration::from_millis(10);
    let status = core.read(6, 0x00FF_FFFF, 64)?;
    let argument = if status[11] & 2 != 0 { FUNCTION_1 } else { FUNCTION_4 };
    core.set(argument, 200)?;
    let properties = core.register(4)?;
    if properties[2] > 1 {
        core.command(37, 1)?;
    }
    for _ in 0..200 {
        if matches!(core.register(0), Ok(status) if status[0] == 0) {
            break;
        }
        core.sleep();
    }
    core.write(35, 1, &block(&APDU, 0))?;
    while core.command(13, core.host.rca)? >> 9 & 0xF == 7 {
        core.sleep();
    }
    for _ in 0..200 {
        match core.register(0) {
            Ok(status) if status[0] == 3 || status[2] & 0x80 != 0 => {
                return Err(format!("state {:02X?}", &status[..3]));
            }
            Ok(status) if matches!(status[0], 0 | 2) => return answer(&core.read(34, 1, 512)?),
            _ => core.sleep(),
        }
    }
    Err("in progress for too long".to_owned())
}

/// Takes the lowest function; CMD16 must be taken before CMD34, 35 and 37; CMD13 until ready; polls every millisecond.
fn qnx(profile: Profile) -> Answered {
    let mut core = Core::new(profile);
    core.sleep = Duration::from_millis(1);
    let status = core.read(6, 0x00FF_FFFF, 64)?;
    let argument = if status[11] & 2 != 0 { FUNCTION_1 } else { FUNCTION_4 };
    core.set(argument, 1)?;
    let properties = core.register(4)?;
    core.command(16, 512)?;
    if properties[2] >= 2 {
        core.command(37, 1)?;
        if core.register(0)?[6] != 0 {
            return Err("system 0 is not active".to_owned());
        }
    }
    core.command(16, 512)?;
    core.write(35, 1, &block(&APDU, 0))?;
    core.until_ready()?;
    for _ in 0..5000 {
        let status = core.register(0)?;
        match status[0] {
            1 => core.sleep(),
            2 if status[2] & 0x80 == 0 => {
                core.command(16, 512)?;
                return answer(&core.read(34, 1, 512)?);
            }
            _ => return Err(format!("state {:02X?}", &status[..3])),
        }
    }
    Err("in progress for too long".to_owned())
}

/// Never sends CMD16 and reads registers as blocks of 512; no time between polls; any error state is a failure; the answer
/// has gone once the card is idle. `bit`: what it sets in bit 31 of CMD35 on a bus of one bit.
fn anyka(profile: Profile, bit: u32) -> Answered {
    let mut core = Core::new(profile);
    if core.read(6, 0x00FF_FF1F, 64)?[11] & 2 == 0 {
        return Err("function 1 is not there".to_owned());
    }
    core.set(FUNCTION_1, 1)?;
    core.read(36, 4, 512)?;
    core.write(35, bit | 1, &block(&APDU, 0))?;
    let until = |core: &mut Core, state| -> Result<(), String> {
        for _ in 0..1000 {
            let status = core.read(36, 0, 512)?;
            if status[1] != 0 {
                return Err(format!("error {}", status[1]));
            }
            if status[0] == state {
                return Ok(());
            }
        }
        Err(format!("never in state {state}"))
    };
    until(&mut core, 2)?;
    let token = core.read(34, 1, 512)?;
    until(&mut core, 0)?;
    answer(&token)
}

/// On SPI: sleeps half a second after entering and after a reset, starts its block with FC and ends it with nothing.
fn sprd(profile: Profile) -> Answered {
    let card = new_card().into_spi(options(profile, inline(2))).expect("a card");
    let mut host = SpiHost::new(card);
    let said = |index: u8, trouble| format!("CMD{index}: {trouble:?}");
    let half = Duration::from_millis(500);
    let status = host.read(6, FUNCTION_1, 64, 1).map_err(|trouble| said(6, trouble))?;
    if status[16] >> 4 != 1 {
        return Err("CMD6 refused".to_owned());
    }
    host.clock.sleep(half);
    host.bus.select(true).expect("the controller");
    host.command(37, 1, true).map_err(|trouble| said(37, trouble))?;
    host.deselect();
    host.clock.sleep(half);
    host.token = (0xFC, false);
    let _ = host.command(16, 32, false);
    host.read(36, 4, 32, 1).map_err(|trouble| said(36, trouble))?;
    let _ = host.command(16, 512, false);
    host.write(35, 1, &block(&APDU, 0)).map_err(|trouble| said(35, trouble))?;
    for _ in 0..5000 {
        let _ = host.command(16, 32, false);
        let status = host.read(36, 0, 32, 1).map_err(|trouble| said(36, trouble))?;
        let _ = host.command(16, 512, false);
        if status[0] == 2 {
            return answer(&host.read(34, 1, 512, 1).map_err(|trouble| said(34, trouble))?);
        }
        host.clock.sleep(Duration::from_millis(1));
    }
    Err("in progress for too long".to_owned())
}

/// Runs a driver in every profile but those in `beyond`, which it does not claim to know.
fn completes(name: &str, driver: impl Fn(Profile) -> Answered, beyond: &[&str]) {
    let no_secure = ["locked", "no-secure", "echo"];
    // Lost modes are nothing that any of them notices inside an APDU; what is on SPI only does not matter in a slot.
    let never = ["mode-lost-random", "damaged-answer"];
    let mut runs = 0;
    for (word, _) in Profile::words() {
        if no_secure.contains(&word) {
            assert!(driver(profile(word)).is_err(), "{name} in {word}: there is nothing to answer");
            continue;
        }
        if beyond.contains(&word) || never.contains(&word) {
            continue;
        }
        match driver(profile(word)) {
            Ok(answer) => assert!(answer.ends_with(&[0x90, 0x00]), "{name} in {word}: {answer:02X?}"),
            Err(why) => panic!("{name} in {word}: {why}"),
        }
        runs += 1;
    }
    println!("{name}: {runs} profiles");
    assert!(runs >= 15, "{name}: {runs}");
}

#[test]
fn gd1_completes_an_apdu() {
    completes("GD1", gd1, &["function-4", "cmd16-refused", "psi-512"]);
}

#[test]
fn gd2_completes_an_apdu() {
    completes("GD2", gd2, &["cmd16-refused", "psi-512", "first-lost", "legacy"]);
}

#[test]
fn bb_completes_an_apdu() {
    completes("BB", bb, &["cmd16-refused", "psi-512", "first-lost", "needs-stop", "legacy"]);
}

#[test]
fn qnx_completes_an_apdu() {
    let beyond =
        ["cmd16-refused", "cmd16-refused-32", "psi-512", "first-lost", "needs-stop", "legacy", "switch-busy", "slow"];
    completes("QNX", qnx, &beyond);
}

#[test]
fn anyka_completes_an_apdu() {
    let beyond = [
        "function-4",
        "cmd16-refused-32",
        "cmd16-ignored",
        "first-lost",
        "needs-stop",
        "legacy",
        "switch-busy",
        "slow",
    ];
    completes("ANYKA", |profile| anyka(profile, 0), &beyond);
    completes("ANYKA, one bit", |profile| anyka(profile, 1 << 31), &beyond);
}

#[test]
fn sprd_completes_an_apdu_over_spi() {
    let beyond = [
        "function-4",
        "cmd16-refused",
        "psi-512",
        "first-lost",
        "needs-stop",
        "legacy",
        "switch-busy",
        "token-fe",
        "shifted-tokens",
        "slow",
    ];
    completes("SPRD", sprd, &beyond);
}
