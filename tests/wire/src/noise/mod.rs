//! Bit errors on the wire: every transfer is right, repaired or told of.
//!
//! * [`ledger`]: an application that keeps count of what it has executed; [`mix`]: the transfers, and the judgement;
//! * [`survey`]: all rates and directions, and the tables.

pub mod ledger;
pub mod mix;
mod random;
pub mod survey;

pub use random::Random;

use smcard_card::sd::faults::Faults;

/// What goes wrong on a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noise {
    /// Bits turned round on their way to the card.
    ToCard,
    /// Bits turned round on their way from the card.
    FromCard,
    /// Bits turned round either way.
    Both,
    /// Bits lost or doubled either way (SPI); once in so many bytes.
    Slips,
}

impl Noise {
    /// All of them.
    pub const ALL: [Noise; 4] = [Noise::ToCard, Noise::FromCard, Noise::Both, Noise::Slips];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Noise::ToCard => "to the card",
            Noise::FromCard => "from the card",
            Noise::Both => "both ways",
            Noise::Slips => "lost and doubled bits",
        }
    }

    /// Once in `one_in` bits, or bytes.
    #[must_use]
    pub fn faults(self, one_in: u32, seed: u64) -> Faults {
        let mut faults = Faults { seed, ..Faults::default() };
        match self {
            Noise::ToCard => faults.to_card = one_in,
            Noise::FromCard => faults.from_card = one_in,
            Noise::Both => (faults.to_card, faults.from_card) = (one_in, one_in),
            Noise::Slips => faults.slips = one_in,
        }
        faults
    }
}
