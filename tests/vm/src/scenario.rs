//! Running scenarios and telling how they went.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::lab::Lab;
use crate::rig::Rig;
use crate::snapshot::Snapshot;

/// Something that must hold on a real kernel.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name, by which it is chosen.
    pub name: &'static str,
    /// What it shows, in a line.
    pub shows: &'static str,
    /// Does it; an error or a panic is a failure.
    pub run: fn(&Lab) -> Result<()>,
}

/// How one scenario went.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario.
    pub scenario: Scenario,
    /// How long it took, restoring the machine included.
    pub took: Duration,
    /// What went wrong, with the ends of all logs.
    pub failure: Option<String>,
}

/// Runs one scenario in a place of its own; with `keep` its logs are kept whatever becomes of it.
#[must_use]
pub fn run(scenario: &Scenario, rig: &Rig, snapshot: &Snapshot, keep: bool) -> Outcome {
    let started = Instant::now();
    let failure = match Lab::new(rig, snapshot) {
        Err(error) => Some(format!("{error:#}")),
        Ok(lab) => {
            let result =
                catch_unwind(AssertUnwindSafe(|| (scenario.run)(&lab))).unwrap_or_else(|panic| Err(told(&*panic)));
            let account = (keep || result.is_err()).then(|| lab.account(scenario.name));
            result.err().map(|error| format!("{error:#}\n{}", account.unwrap_or_default()))
        }
    };
    Outcome { scenario: *scenario, took: started.elapsed(), failure }
}

/// What a panic said.
fn told(panic: &(dyn std::any::Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    anyhow!("panicked: {}", text.unwrap_or("without a word"))
}

/// The table at the end.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let width = outcomes.iter().map(|outcome| outcome.scenario.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for outcome in outcomes {
        let verdict = if outcome.failure.is_some() { "FAILED" } else { "ok" };
        let (name, seconds) = (outcome.scenario.name, outcome.took.as_secs_f64());
        text.push_str(&format!("{name:width$}  {verdict:6}  {seconds:5.1} s  {}\n", outcome.scenario.shows));
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    let total: f64 = outcomes.iter().map(|outcome| outcome.took.as_secs_f64()).sum();
    text.push_str(&format!("{} passed, {failed} failed, {total:.1} s\n", outcomes.len() - failed));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_what_failed() {
        let scenario = |name| Scenario { name, shows: "nothing", run: |_| Ok(()) };
        let outcomes = [
            Outcome { scenario: scenario("short"), took: Duration::from_millis(1500), failure: None },
            Outcome { scenario: scenario("a-longer-name"), took: Duration::from_secs(2), failure: Some("why".into()) },
        ];
        assert_eq!(
            table(&outcomes),
            "short          ok        1.5 s  nothing\n\
             a-longer-name  FAILED    2.0 s  nothing\n\
             1 passed, 1 failed, 3.5 s\n"
        );
    }
}
