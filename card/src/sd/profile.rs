//! How a card behaves on the wire: data, not code paths. Every oddity that a driver of the field has met is a knob here.

use smcard_link::assd::Version;
use smcard_link::sd::Capacity;
use std::time::Duration;

/// Version of the physical layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SdVersion {
    /// 1.10: no CMD8, no CMD23, at most 2 GB.
    V1_10,
    /// 3.0x.
    V3,
}

/// What the card does with CMD16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockLengthCommand {
    /// Takes it.
    Honoured,
    /// Says that it does not know it.
    Refused,
    /// Takes it; nothing changes.
    Ignored,
}

/// Bytes of the block that CMD36 is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PsiLength {
    /// 512 where CMD16 has set 512 or nothing, 32 otherwise.
    BlockLength,
    /// Always 32.
    Short,
    /// Always 512, the register in front.
    Long,
}

/// The start tokens with which CMD35 takes its block in SPI mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteTokens {
    /// Either.
    Any,
    /// Only FE.
    Single,
    /// Only FC.
    Multi,
}

/// When the card forgets function group 2, as after a re-initialisation that nobody asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModeLoss {
    /// Never.
    Never,
    /// Before every n-th command.
    Every(u32),
    /// Before one command in `one_in`, drawn from `seed`.
    Random {
        /// 1 is every command.
        one_in: u32,
        /// Where the drawing starts.
        seed: u64,
    },
}

/// A card's behaviour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Version of the physical layer.
    pub sd_version: SdVersion,
    /// How memory is addressed.
    pub capacity: Capacity,
    /// Locked with a password (CMD42): nothing of its contents can be reached.
    pub locked: bool,
    /// Calls of ACMD41 that find it still busy.
    pub start_polls: u32,
    /// Wants 74 clocks with chip select high before the first CMD0 (SPI).
    pub power_up_clocks: bool,
    /// Takes ACMD41 in SPI mode only where no bit but HCS (30) is set.
    pub plain_op_cond: bool,
    /// Calls of CMD0 that get lost.
    pub lost_resets: u32,
    /// Does not know CMD59.
    pub crc_refused: bool,
    /// CMD16.
    pub block_length: BlockLengthCommand,

    /// Functions of group 2 that CMD6 offers, bit n = function n; bits 1 and 4 are ASSD. Zero: no secure command set.
    pub functions: u16,
    /// Echoes whatever CMD6 asks for, and knows no secure command.
    pub switch_echo: bool,
    /// Settings of group 2 that find it busy.
    pub switch_busy: u32,
    /// Version in the properties register.
    pub version: Version,
    /// CMD36.
    pub psi: PsiLength,
    /// Stays in *rcv* after CMD35 and in *data* after CMD34 until CMD12; a command is not worked on before.
    pub stop_needed: bool,
    /// Calls of CMD35 that get lost.
    pub lost_writes: u32,
    /// Blocks of CMD34 whose checksum is wrong.
    pub damaged_answers: u32,
    /// Blocks that one token may have.
    pub blocks_max: u16,
    /// Knows checked tokens.
    pub checked: bool,
    /// Gives an answer again: CMD34 after CMD34.
    pub rereads: bool,
    /// Protected memory is there: CMD50 and CMD57.
    pub protected_memory: bool,
    /// A memory data command aborts a secure command in progress.
    pub memory_aborts: bool,
    /// Start tokens for CMD35 (SPI).
    pub write_tokens: WriteTokens,
    /// CMD37 shows busy (R1b).
    pub control_busy: bool,
    /// When the mode gets lost.
    pub mode_loss: ModeLoss,

    /// Properties register: security read latency, in 250 ms.
    pub read_latency: u8,
    /// Properties register: security write latency, in 250 ms.
    pub write_latency: u8,
    /// Properties register: longest busy after CMD35, in 250 ms.
    pub write_busy: u8,
    /// Properties register: longest busy after CMD37, in 250 ms.
    pub control_latency: u8,
    /// Properties register: longest work on protected memory, in 250 ms.
    pub memory_latency: u8,

    /// Time until a read command sends its first block.
    pub access_time: Duration,
    /// Time that the card is busy after a block.
    pub program_time: Duration,
    /// Time that the secure core needs at least.
    pub work_time: Duration,
    /// Time that the card is busy after CMD37 at least.
    pub control_time: Duration,

    /// Bytes before a response (N_CR, 1..=8).
    pub response_gap: u8,
    /// Bytes before a data token (at least 1).
    pub token_gap: u16,
    /// Bytes before a data response (at least 0).
    pub data_response_gap: u8,
    /// Bits (0..=7) by which data tokens and data responses lie off the byte grid.
    pub shift: u8,
}

impl Default for Profile {
    /// An SDHC card of version 3.0x with ASSD 2.0, everything this project adds to it, and no oddity.
    fn default() -> Self {
        Profile {
            sd_version: SdVersion::V3,
            capacity: Capacity::High,
            locked: false,
            start_polls: 1,
            power_up_clocks: false,
            plain_op_cond: false,
            lost_resets: 0,
            crc_refused: false,
            block_length: BlockLengthCommand::Honoured,
            functions: FUNCTION_1 | FUNCTION_4,
            switch_echo: false,
            switch_busy: 0,
            version: Version::V2_0,
            psi: PsiLength::BlockLength,
            stop_needed: false,
            lost_writes: 0,
            damaged_answers: 0,
            blocks_max: 128,
            checked: true,
            rereads: true,
            protected_memory: true,
            memory_aborts: false,
            write_tokens: WriteTokens::Any,
            control_busy: true,
            mode_loss: ModeLoss::Never,
            read_latency: 1,
            write_latency: 1,
            write_busy: 1,
            control_latency: 1,
            memory_latency: 4,
            access_time: Duration::ZERO,
            program_time: Duration::ZERO,
            work_time: Duration::ZERO,
            control_time: Duration::ZERO,
            response_gap: 1,
            token_gap: 1,
            data_response_gap: 0,
            shift: 0,
        }
    }
}

/// Function 1 of group 2 in [`Profile::functions`].
pub const FUNCTION_1: u16 = 1 << 1;
/// Function 4 of group 2 in [`Profile::functions`].
pub const FUNCTION_4: u16 = 1 << 4;

type Change = fn(&mut Profile);

/// The named profiles: word, what it says, what it changes.
const NAMED: &[(&str, &str, Change)] = &[
    ("standard", "SDHC, ASSD 2.0 with protected memory, no oddity", |_| {}),
    ("plain", "only what drivers of the field have seen: none of this project's additions", plain),
    ("assd-1.1", "function 1 only, version 1.1", |p| {
        p.functions = FUNCTION_1;
        p.version = Version::V1_1;
    }),
    ("function-4", "function 4 only", |p| p.functions = FUNCTION_4),
    ("sdsc", "addressed by bytes", |p| p.capacity = Capacity::Standard),
    ("sd-1.10", "addressed by bytes, no CMD8, no CMD23", |p| {
        p.capacity = Capacity::Standard;
        p.sd_version = SdVersion::V1_10;
    }),
    ("cmd16-refused", "CMD16 is illegal, registers come in blocks of 512", |p| {
        p.block_length = BlockLengthCommand::Refused;
        p.psi = PsiLength::Long;
    }),
    ("cmd16-refused-32", "CMD16 is illegal, registers come in blocks of 32", |p| {
        p.block_length = BlockLengthCommand::Refused;
        p.psi = PsiLength::Short;
    }),
    ("cmd16-ignored", "CMD16 changes nothing, registers come in blocks of 32", |p| {
        p.block_length = BlockLengthCommand::Ignored;
        p.psi = PsiLength::Short;
    }),
    ("psi-512", "registers come in blocks of 512 whatever CMD16 says", |p| p.psi = PsiLength::Long),
    ("needs-stop", "CMD34 and CMD35 must be followed by CMD12", |p| p.stop_needed = true),
    ("first-lost", "the first three CMD35 get lost", |p| p.lost_writes = 3),
    ("reset-lost", "the first two CMD0 get lost", |p| p.lost_resets = 2),
    ("crc-refused", "CMD59 is illegal", |p| p.crc_refused = true),
    ("switch-busy", "the command system is busy three times", |p| p.switch_busy = 3),
    ("slow", "every latency near its limit", slow),
    ("late-tokens", "responses, data tokens and data responses come as late as allowed", late),
    ("shifted-tokens", "data tokens and data responses lie three bits off the byte grid", |p| p.shift = 3),
    ("mode-lost", "the mode is lost before every 50th command", |p| p.mode_loss = ModeLoss::Every(50)),
    ("mode-lost-random", "the mode is lost before one command in 40", |p| {
        p.mode_loss = ModeLoss::Random { one_in: 40, seed: 1 };
    }),
    ("no-protected-memory", "CMD50 and CMD57 are illegal", |p| p.protected_memory = false),
    ("memory-aborts", "reading or writing memory aborts a secure command", |p| p.memory_aborts = true),
    ("token-fe", "CMD35 takes only FE", |p| p.write_tokens = WriteTokens::Single),
    ("token-fc", "CMD35 takes only FC", |p| p.write_tokens = WriteTokens::Multi),
    ("control-r1", "CMD37 shows no busy", |p| p.control_busy = false),
    ("strict", "wants 74 clocks before CMD0, and nothing but HCS in ACMD41", |p| {
        p.power_up_clocks = true;
        p.plain_op_cond = true;
    }),
    ("damaged-answer", "the first block of CMD34 has a wrong checksum", |p| p.damaged_answers = 1),
    ("legacy", "ASSD 1.1 of 2008: SD 1.10, function 1, CMD16 ignored, needs CMD12, the first CMD35 lost", legacy),
    ("locked", "locked with a password", |p| p.locked = true),
    ("no-secure", "no secure command set", |p| p.functions = 0),
    ("echo", "no secure command set, but CMD6 says yes to everything", |p| {
        p.functions = 0;
        p.switch_echo = true;
    }),
];

fn plain(profile: &mut Profile) {
    profile.blocks_max = 1;
    profile.checked = false;
    profile.rereads = false;
    profile.protected_memory = false;
}

fn slow(profile: &mut Profile) {
    profile.switch_busy = 1;
    profile.access_time = Duration::from_millis(80);
    profile.program_time = Duration::from_millis(200);
    profile.work_time = Duration::from_millis(900);
    profile.control_time = Duration::from_millis(200);
    profile.write_latency = 4;
}

fn late(profile: &mut Profile) {
    profile.response_gap = 8;
    profile.token_gap = 300;
    profile.data_response_gap = 2;
}

fn legacy(profile: &mut Profile) {
    plain(profile);
    profile.sd_version = SdVersion::V1_10;
    profile.capacity = Capacity::Standard;
    profile.functions = FUNCTION_1;
    profile.version = Version::V1_1;
    profile.block_length = BlockLengthCommand::Ignored;
    profile.psi = PsiLength::Short;
    profile.stop_needed = true;
    profile.lost_writes = 1;
    profile.control_busy = false;
}

impl Profile {
    /// The profile with this name; `None` for a word that is not among [`Profile::words`].
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let (_, _, change) = NAMED.iter().find(|(name, _, _)| *name == word)?;
        let mut profile = Profile::default();
        change(&mut profile);
        Some(profile)
    }

    /// The names of all profiles, each with what it says; for error messages and documentation.
    pub fn words() -> impl Iterator<Item = (&'static str, &'static str)> {
        NAMED.iter().map(|(word, meaning, _)| (*word, *meaning))
    }

    /// True where the card offers a secure command set.
    #[must_use]
    pub fn has_secure_commands(&self) -> bool {
        self.functions & (FUNCTION_1 | FUNCTION_4) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_one_profile() {
        let words: Vec<_> = Profile::words().map(|(word, _)| word).collect();
        let mut profiles = Vec::new();
        for word in &words {
            let profile = Profile::from_word(word).unwrap();
            assert!(!profiles.contains(&profile), "{word}");
            profiles.push(profile);
        }
        assert_eq!(Profile::from_word("standard"), Some(Profile::default()));
        assert_eq!(Profile::from_word("Standard"), None);
    }

    /// Reference: GD2 gives up where PR[1] is 0; more than 17 units of 250 ms do not fit the kernel's time limits.
    #[test]
    fn latencies_stay_where_every_driver_can_use_them() {
        for (word, _) in Profile::words() {
            let profile = Profile::from_word(word).unwrap();
            for units in [profile.read_latency, profile.write_latency, profile.write_busy, profile.control_latency] {
                assert!((1..=17).contains(&units), "{word}");
            }
            assert!((1..=8).contains(&profile.response_gap) && profile.shift < 8 && profile.token_gap > 0, "{word}");
        }
    }
}
