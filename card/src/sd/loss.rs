//! When the mode gets lost, and the small generator that tests draw from.

use super::profile::ModeLoss;

/// SplitMix64: small, seeded, the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Draw(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound` (at least 1).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// Decides, command by command.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    kind: ModeLoss,
    seen: u32,
    draw: Draw,
}

impl Loss {
    pub(super) fn new(kind: ModeLoss) -> Self {
        let seed = if let ModeLoss::Random { seed, .. } = kind { seed } else { 0 };
        Loss { kind, seen: 0, draw: Draw::new(seed) }
    }

    /// True where the mode is lost before this command.
    pub(super) fn strikes(&mut self) -> bool {
        match self.kind {
            ModeLoss::Never => false,
            ModeLoss::Every(every) => {
                self.seen = self.seen.wrapping_add(1);
                self.seen % every.max(1) == 0
            }
            ModeLoss::Random { one_in, .. } => self.draw.below(u64::from(one_in)) == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_come_when_they_are_said_to() {
        let mut every = Loss::new(ModeLoss::Every(3));
        assert_eq!([(); 7].map(|()| every.strikes()), [false, false, true, false, false, true, false]);
        let mut random = Loss::new(ModeLoss::Random { one_in: 10, seed: 7 });
        let strikes = (0..10_000).filter(|_| random.strikes()).count();
        assert!((800..1200).contains(&strikes), "{strikes}");
        assert!(!Loss::new(ModeLoss::Never).strikes());
    }
}
