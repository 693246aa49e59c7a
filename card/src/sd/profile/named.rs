//! The named profiles.

use super::{BlockLengthCommand, FUNCTION_1, FUNCTION_4, ModeLoss, Profile, PsiLength, SdVersion, WriteTokens};
use smcard_link::assd::Version;
use smcard_link::sd::{Capacity, crc7};
use std::time::Duration;

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

    /// The CID that a card of this profile shows. One without what this project adds, or one that wants something else than
    /// its own row in the table of quirks says, has another product name: drivers shall take it for a card they know
    /// nothing of.
    pub(crate) fn cid(&self, mut cid: [u8; 16]) -> [u8; 16] {
        let known = self.checked && self.rereads && !self.stop_needed && self.write_tokens != WriteTokens::Multi;
        if !known {
            let [_, _, _, product @ .., _, _, _, _, _, _, _, _] = &mut cid;
            *product = *b"FIELD";
            cid[15] = crc7(&cid[..15]) << 1 | 1;
        }
        cid
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
    fn a_card_without_our_additions_is_not_taken_for_ours() {
        let ours = [0, b'S', b'M', b'S', b'M', b'C', b'R', b'D', 0x10, 1, 2, 3, 4, 0x01, 0xA1, 0x77];
        let shown = |word| smcard_link::sd::Cid(Profile::from_word(word).unwrap().cid(ours));
        assert_eq!(shown("standard").0, ours);
        assert_eq!(shown("no-protected-memory").0, ours);
        for word in ["plain", "legacy", "needs-stop", "token-fc"] {
            assert_eq!((&shown(word).product(), shown(word).serial()), (b"FIELD", 0x0102_0304));
            assert!(shown(word).is_intact());
        }
    }

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
