//! The tables, in Markdown.

use crate::survey::{LIMIT, RATES, Survey};
use crate::words::{count, mean, share, size, time};
use std::fmt::Write;

/// The rates that have rows; the chart has all.
const ROWS: [u32; 5] = [0, 12, 60, 300, 600];
/// The times within which shares are told, in times of the undisturbed one.
const WITHIN: [u32; 4] = [1, 2, 5, LIMIT];

/// One table for each application, and where the chart is.
pub(crate) fn tables(surveys: &[Survey], runs: u32, seed: u64) -> String {
    let mut text = format!(
        "![Expected time over breaks an hour, for three sizes](outage.svg)\n\n\
         {runs} runs for each row, seed {seed}. *T* is what loading one by one takes undisturbed. ≈: some runs were given \
         up after {LIMIT} *T*, and the mean is what was spent in all runs for each that finished; >: hardly any finished.\n"
    );
    for survey in surveys {
        table(&mut text, survey);
    }
    text
}

fn table(text: &mut String, survey: &Survey) {
    let application = &survey.application;
    let packages = match application.packages.len() {
        1 => "1 package".to_owned(),
        number => format!("{number} packages"),
    };
    let within: String = WITHIN.iter().map(|times| format!(" ≤ {times} *T* |")).collect();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n### {}: {} commands, {packages}, *T* = {}\n\n\
         | breaks an hour | method |{within} median | mean | commands again | unaided |\n\
         |--:|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        size(application.size),
        application.count,
        time(survey.undisturbed.as_secs_f64()),
    );
    for (index, rate) in RATES.iter().enumerate().filter(|(_, rate)| ROWS.contains(rate)) {
        let mut first = rate.to_string();
        for line in &survey.lines {
            let Some(figures) = line.figures.get(index) else { continue };
            let shares: String = WITHIN
                .iter()
                .map(|times| format!(" {} |", share(figures.within(survey.undisturbed * *times))))
                .collect();
            let median = figures.median().map_or_else(|| "-".to_owned(), |median| time(median.as_secs_f64()));
            let _ = writeln!(
                text,
                "| {} | {} |{shares} {median} | {} | {} | {} |",
                std::mem::take(&mut first),
                line.method.name(),
                mean(figures.seconds, time),
                mean(figures.again, count),
                share(figures.unaided),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_cells() {
        let survey = Survey::new(5_000, 3, 1).expect("a survey");
        let text = tables(&[survey], 3, 1);
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 2 + ROWS.len() * 4, "one package: four methods");
        assert!(rows.iter().all(|row| row.matches('|').count() == 11), "{text}");
        assert!(rows[2].starts_with("| 0 | one by one, from zero | 100 % | 100 % | 100 % | 100 % | 2."), "{}", rows[2]);
        assert!(rows[3].starts_with("|  | self-issue, restart | 100 % |"), "{}", rows[3]);
    }
}
