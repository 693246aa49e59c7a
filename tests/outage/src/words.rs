//! Figures as people read them.

use crate::figures::Mean;

/// Three digits and the unit that suits.
pub(crate) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 120.0 => (s, "s"),
        s if s < 7_200.0 => (s / 60.0, "min"),
        s => (s / 3_600.0, "h"),
    };
    format!("{} {unit}", digits(value))
}

/// A number with three digits or more.
fn digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// A mean in the words that `show` finds for a number.
pub(crate) fn mean(mean: Mean, show: fn(f64) -> String) -> String {
    match mean {
        Mean::Exact(value) => show(value),
        Mean::Estimate(value) => format!("≈ {}", show(value)),
        Mean::Above(value) => format!("> {}", show(value)),
    }
}

/// Commands given again.
pub(crate) fn count(value: f64) -> String {
    if value < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// A share. 100 % and 0 % are said only where they are exact.
pub(crate) fn share(share: f64) -> String {
    match share * 100.0 {
        p if p == 0.0 || p == 100.0 => format!("{p:.0} %"),
        p if p > 99.0 => "> 99 %".to_owned(),
        p if p < 1.0 => "< 1 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

/// Bytes in decimal thousands.
pub(crate) fn size(bytes: usize) -> String {
    if bytes < 1_000_000 { format!("{} kB", bytes / 1_000) } else { format!("{} MB", bytes / 1_000_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        assert_eq!(
            [5.4321, 21.36, 119.9, 120.0, 7_199.0, 90_000.0].map(time),
            ["5.43 s", "21.4 s", "120 s", "2.00 min", "120 min", "25.0 h"]
        );
        assert_eq!([0.0, 0.004, 0.5, 0.995, 1.0].map(share), ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]);
        assert_eq!(mean(Mean::Above(150.0), count), "> 150");
        assert_eq!([30_000, 1_000_000].map(size), ["30 kB", "1 MB"]);
    }
}
