//! Which ways of tearing are tried, and how an id names one.

use smcard_flash::sim::{Simulator, Tear};

/// What is no longer than this, in bytes or bits, is torn at every one of them: a frame of two sectors is.
const SHORT: usize = 1024;

/// How thoroughly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Thoroughness {
    /// Every shape at every byte and bit of what is short, and at many of what is long; every reordering class.
    Every,
    /// One of each shape and class, and a few at random.
    Some,
    /// Nothing, everything, and one at random.
    Few,
}

/// The tears of what is pending. One that changes nothing is left out, unless nothing else is there.
#[must_use]
pub fn tears(simulator: &Simulator, thoroughness: Thoroughness) -> Vec<Tear> {
    let (bytes, bits) = (simulator.pending_bytes(), simulator.pending_bits());
    if bits == 0 {
        return vec![Tear::Nothing];
    }
    let mut tears = vec![Tear::Nothing, Tear::Everything];
    match thoroughness {
        Thoroughness::Few => tears.push(Tear::Random(0)),
        Thoroughness::Some => {
            tears.extend([Tear::Only(0), Tear::Without(0)]);
            tears.extend([Tear::Prefix(bytes / 3), Tear::Suffix(bytes / 3), Tear::Bit(0), Tear::AllButBit(1)]);
            tears.extend([Tear::Random(0), Tear::Random(1), Tear::Sectors(0), Tear::Sectors(1), Tear::Garbage(0)]);
        }
        Thoroughness::Every => {
            tears.extend((0..4).flat_map(|write| [Tear::Only(write), Tear::Without(write)]));
            // Odd, to meet every residue of sector and page.
            let stride = |all: usize| if all <= SHORT { 1 } else { (all / 512) | 1 };
            tears.extend((1..bytes).step_by(stride(bytes)).flat_map(|n| [Tear::Prefix(n), Tear::Suffix(n)]));
            tears.extend((0..bits).step_by(stride(bits)).flat_map(|n| [Tear::Bit(n), Tear::AllButBit(n)]));
            tears.extend((0..40).flat_map(|seed| [Tear::Random(seed), Tear::Sectors(seed), Tear::Garbage(seed)]));
        }
    }
    tears
}

/// A letter, and a number where the tear has one.
#[must_use]
pub fn code(tear: Tear) -> String {
    match tear {
        Tear::Nothing => "n".to_owned(),
        Tear::Everything => "e".to_owned(),
        Tear::Prefix(number) => format!("p{number}"),
        Tear::Suffix(number) => format!("s{number}"),
        Tear::Only(number) => format!("o{number}"),
        Tear::Without(number) => format!("x{number}"),
        Tear::Bit(number) => format!("b{number}"),
        Tear::AllButBit(number) => format!("i{number}"),
        Tear::Sectors(seed) => format!("k{seed}"),
        Tear::Random(seed) => format!("r{seed}"),
        Tear::Garbage(seed) => format!("g{seed}"),
    }
}

/// The inverse of [`code`].
#[must_use]
pub fn decode(code: &str) -> Option<Tear> {
    let letter = code.chars().next()?;
    let rest = code.get(1..)?;
    let number = || rest.parse::<u64>().ok();
    let place = || rest.parse::<usize>().ok();
    Some(match letter {
        'n' if rest.is_empty() => Tear::Nothing,
        'e' if rest.is_empty() => Tear::Everything,
        'p' => Tear::Prefix(place()?),
        's' => Tear::Suffix(place()?),
        'o' => Tear::Only(place()?),
        'x' => Tear::Without(place()?),
        'b' => Tear::Bit(place()?),
        'i' => Tear::AllButBit(place()?),
        'k' => Tear::Sectors(number()?),
        'r' => Tear::Random(number()?),
        'g' => Tear::Garbage(number()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_flash::Medium;

    #[test]
    fn codes_are_read_back() {
        let mut medium = Simulator::new(4096);
        medium.write(100, &[0x5A; 700]).expect("in range");
        let all = tears(&medium, Thoroughness::Every);
        assert!(all.len() > 2000, "{}", all.len());
        assert!(all.iter().all(|&tear| decode(&code(tear)) == Some(tear)));
        for wrong in ["", "n1", "q", "p", "b-1", "r99999999999999999999", "\u{e9}"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_changes_nothing_tears_in_one_way() {
        let mut medium = Simulator::new(4096);
        medium.write(0, &[0; 100]).expect("in range");
        assert_eq!(tears(&medium, Thoroughness::Every), [Tear::Nothing]);
    }
}
