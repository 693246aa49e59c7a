//! Tables in Markdown.

use std::fmt;

/// A table that is printed once all of it is measured.
pub(crate) struct Table {
    title: &'static str,
    /// What is timed and what is not.
    about: String,
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    verdicts: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: &'static str, about: impl Into<String>, heads: &[&'static str]) -> Self {
        Table { title, about: about.into(), heads: heads.to_vec(), rows: Vec::new(), verdicts: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// A figure that a target was set for: `value` must be at least `target`.
    pub(crate) fn at_least(&mut self, what: &str, value: f64, target: f64, unit: &str) {
        self.verdict(what, value, "≥", target, unit, value >= target);
    }

    /// A figure that a target was set for: `value` must be at most `target`.
    pub(crate) fn at_most(&mut self, what: &str, value: f64, target: f64, unit: &str) {
        self.verdict(what, value, "≤", target, unit, value <= target);
    }

    fn verdict(&mut self, what: &str, value: f64, sign: &str, target: f64, unit: &str, met: bool) {
        let met = if met { "met" } else { "**missed**" };
        self.verdicts.push(format!("{what}: {value:.2}{unit}, target {sign} {target}{unit}: {met}"));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n\n{}\n", self.title, self.about)?;
        writeln!(f, "| {} |", self.heads.join(" | "))?;
        let align = self.heads.iter().enumerate().map(|(n, _)| if n == 0 { "---" } else { "--:" });
        writeln!(f, "|{}|", align.collect::<Vec<_>>().join("|"))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        for verdict in &self.verdicts {
            writeln!(f, "\n{verdict}.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_said() {
        let mut table = Table::new("T", "about", &["way", "time"]);
        table.row(["a".to_owned(), "1 ms".to_owned()]);
        table.at_least("speed", 2.5, 2.0, " times");
        table.at_most("call", 13.0, 12.0, " µs");
        assert_eq!(
            table.to_string(),
            "### T\n\nabout\n\n| way | time |\n|---|--:|\n| a | 1 ms |\n\
             \nspeed: 2.50 times, target ≥ 2 times: met.\n\ncall: 13.00 µs, target ≤ 12 µs: **missed**.\n"
        );
    }
}
