//! Suite `create`: the power goes while a card is made. What is left is a whole new card, or is refused.

use crate::course::{KINDS, options};
use crate::id::{Cut, Id};
use crate::medium::Lender;
use crate::observe::observe;
use crate::report::{Failure, Report};
use crate::tears::{Thoroughness, tears};
use crate::terminal::Terminal;
use smcard_card::{EmulatedCard, ImageError};
use smcard_flash::sim::{Fault, Simulator};
use smcard_flash::{MIN_SIZE, Medium};
use smcard_link::RecoveryKind;
use std::time::Instant;

/// Name in ids.
pub const NAME: &str = "create";

/// Bytes that are compared to see whether a refused image was changed.
const HEAD: usize = 128 << 10;

/// Cuts after which there was a card, and after which there was none.
#[derive(Default)]
struct Count {
    made: u64,
    refused: u64,
}

/// Makes a card on a blank medium with the power cut at a call; the medium, and whether it was made.
fn make(kind: RecoveryKind, call: Option<u64>) -> (Simulator, Result<(), ImageError>) {
    let mut blank = Simulator::new(MIN_SIZE);
    if let Some(call) = call {
        blank.arm(call, Fault::Power);
    }
    let (lender, lent) = Lender::lend(blank);
    let made = EmulatedCard::format(Box::new(lent), &options(kind)).map(drop);
    (lender.take_back().unwrap_or_else(|| Simulator::new(0)), made)
}

/// Cuts the making of a card of each recovery kind at every call.
#[must_use]
pub fn run(thoroughness: Thoroughness) -> Report {
    let start = Instant::now();
    let mut report = Report { suite: NAME, ..Report::default() };
    let mut count = Count::default();
    for kind in KINDS {
        // The kind makes a difference of one byte.
        let thoroughness = if kind == RecoveryKind::Restart { thoroughness } else { Thoroughness::Some };
        match explore(kind, thoroughness, &mut count) {
            Ok(()) => report.passed += 1,
            Err((cut, what)) => {
                let id = Id { suite: NAME.to_owned(), case: kind.word().to_owned(), cuts: cut.into_iter().collect() };
                report.failures.push(Failure { id: id.to_string(), what });
            }
        }
    }
    report.tried = count.made + count.refused;
    report.details = format!("; found a card {}, none {}", count.made, count.refused);
    report.time = start.elapsed();
    report
}

fn explore(kind: RecoveryKind, thoroughness: Thoroughness, count: &mut Count) -> Result<(), (Option<Cut>, String)> {
    let (whole, made) = make(kind, None);
    made.map_err(|error| (None, error.to_string()))?;
    let expected = observe(&whole).map_err(|what| (None, what))?;
    for call in 0.. {
        let (torn, made) = make(kind, Some(call));
        if !torn.has_failed() {
            return made.map_err(|error| (None, error.to_string()));
        }
        for tear in tears(&torn, thoroughness) {
            check(&torn, Cut { call, tear }, &expected, count).map_err(|what| (Some(Cut { call, tear }), what))?;
        }
    }
    Ok(())
}

fn check(torn: &Simulator, cut: Cut, expected: &str, count: &mut Count) -> Result<(), String> {
    let mut left = torn.clone();
    left.tear(cut.tear);
    // Making a card writes to the superblocks and the first half of the journal only.
    let head = left.bytes().get(..HEAD).unwrap_or_default().to_vec();
    match Terminal::open(left) {
        Ok(terminal) => {
            count.made += 1;
            let found = observe(&terminal.close())?;
            if found == expected { Ok(()) } else { Err(format!("a new card that is another:\n{found}")) }
        }
        Err(refused) => {
            count.refused += 1;
            let untouched = refused.simulator.bytes().starts_with(&head);
            if refused.is_failure() || !untouched { Err(format!("not refused: {}", refused.error)) } else { Ok(()) }
        }
    }
}

/// Does again what an id names.
///
/// # Errors
/// What breaks.
pub fn replay(id: &Id, tell: &mut dyn FnMut(String)) -> Result<(), String> {
    let kind = RecoveryKind::from_word(&id.case).ok_or("no such case")?;
    let cut = *id.cuts.first().ok_or("no cut")?;
    let expected = observe(&make(kind, None).0)?;
    let (torn, made) = make(kind, Some(cut.call));
    tell(format!("{cut}: {made:?}; pending {} bytes", torn.pending_bytes()));
    let mut count = Count::default();
    check(&torn, cut, &expected, &mut count)?;
    tell(if count.made > 0 { "a whole card".to_owned() } else { "refused, untouched".to_owned() });
    Ok(())
}
