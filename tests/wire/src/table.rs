//! Tables in Markdown, and numbers in them.

use std::fmt;
use std::time::Duration;

/// A table.
pub struct Table {
    title: String,
    about: String,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
    verdicts: Vec<String>,
}

impl Table {
    /// Without rows yet.
    #[must_use]
    pub fn new(title: &str, about: impl Into<String>, heads: &[&str]) -> Self {
        let heads = heads.iter().map(|head| (*head).to_owned()).collect();
        Table { title: title.to_owned(), about: about.into(), heads, rows: Vec::new(), verdicts: Vec::new() }
    }

    /// A row; as many cells as heads.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// A sentence behind the table.
    pub fn verdict(&mut self, sentence: impl Into<String>) {
        self.verdicts.push(sentence.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n\n{}\n", self.title, self.about)?;
        writeln!(f, "| {} |", self.heads.join(" | "))?;
        let align: Vec<_> = (0..self.heads.len()).map(|n| if n == 0 { "---" } else { "--:" }).collect();
        writeln!(f, "|{}|", align.join("|"))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        for verdict in &self.verdicts {
            writeln!(f, "\n{verdict}")?;
        }
        Ok(())
    }
}

/// Three digits or more, and the unit that suits.
#[must_use]
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    match value {
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

/// A share, to four digits.
#[must_use]
pub fn share(part: u64, whole: u64) -> String {
    format!("{:.4}", ratio(part, whole))
}

/// A quotient; 0 where there is nothing to divide by.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_numbers_read_as_they_should() {
        let mut table = Table::new("T", "about", &["way", "time"]);
        table.row(vec!["a".to_owned(), time(Duration::from_micros(1_234))]);
        table.verdict("Met.");
        assert_eq!(table.to_string(), "### T\n\nabout\n\n| way | time |\n|---|--:|\n| a | 1.23 ms |\n\nMet.\n");
        assert_eq!([12, 99_950, 7_000_000].map(|us| time(Duration::from_micros(us))), ["12.0 µs", "100 ms", "7.00 s"]);
        assert_eq!((share(97, 100), share(1, 0)), ("0.9700".to_owned(), "0.0000".to_owned()));
    }
}
