//! When the link breaks.

use std::time::Duration;

/// A source of the moments at which the link breaks.
#[derive(Clone, Debug)]
pub(crate) enum Breaks {
    /// Never.
    Never,
    /// At random, without memory (a Poisson process).
    Random {
        /// Mean time between two.
        mean: Duration,
        /// What the next one is drawn from.
        random: SplitMix,
    },
    /// At these moments, ascending.
    #[cfg(test)]
    At(Vec<Duration>),
}

impl Breaks {
    /// So many an hour. The same seed gives the same gaps in the same order, whatever else happens.
    pub(crate) fn per_hour(rate: u32, seed: u64) -> Self {
        if rate == 0 {
            return Breaks::Never;
        }
        Breaks::Random { mean: Duration::from_secs(3600) / rate, random: SplitMix(seed) }
    }

    /// The first break of a link that comes up at `now`.
    pub(crate) fn after(&mut self, now: Duration) -> Option<Duration> {
        match self {
            Breaks::Never => None,
            Breaks::Random { mean, random } => {
                let gap = mean.mul_f64(-random.unit().ln());
                // Whole microseconds: a last digit of the logarithm changes nothing.
                Some(now + Duration::from_micros(u64::try_from(gap.as_micros()).unwrap_or(u64::MAX)))
            }
            #[cfg(test)]
            Breaks::At(moments) => moments.iter().copied().find(|moment| *moment >= now),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        let most = (1_u64 << 53) as f64;
        ((self.next() >> 11) + 1) as f64 / most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs for seed 1234567 in the reference implementation.
    #[test]
    fn the_generator_is_splitmix() {
        let mut random = SplitMix(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn so_many_an_hour_come() {
        for rate in [6, 600] {
            let mut breaks = Breaks::per_hour(rate, 7);
            let mut now = Duration::ZERO;
            let (mut short, gaps) = (0, 20_000);
            for _ in 0..gaps {
                let next = breaks.after(now).expect("they never end");
                short += usize::from(next - now < Duration::from_secs(3600) / rate);
                now = next;
            }
            let mean = now.as_secs_f64() / f64::from(gaps);
            assert!((mean * f64::from(rate) / 3600.0 - 1.0).abs() < 0.03, "{rate}: {mean}");
            // Without memory: 1 - 1/e of the gaps are shorter than the mean.
            assert!((12_400..12_900).contains(&short), "{short}");
        }
    }

    #[test]
    fn none_an_hour_is_never() {
        assert_eq!(Breaks::per_hour(0, 1).after(Duration::ZERO), None);
    }
}
