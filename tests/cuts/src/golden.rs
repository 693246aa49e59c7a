//! Golden images: cards of this version, kept so that every later version opens them.

use crate::batches;
use crate::course::{options, small_capacity, small_card};
use crate::driver::{Case, Halt};
use crate::medium::Lender;
use crate::model::Model;
use crate::observe::observe;
use crate::scenario::{Action, Scenario};
use crate::terminal::Terminal;
use smcard_card::EmulatedCard;
use smcard_flash::sim::{Fault, Simulator, Tear};
use smcard_flash::{MIN_SIZE, Medium, PAGE};
use smcard_link::RecoveryKind;

/// An image, and what can be seen of it.
pub struct Golden {
    /// Its name.
    pub name: &'static str,
    /// The image.
    pub bytes: Vec<u8>,
    /// The view after power-on.
    pub view: String,
}

/// Bytes of a journal half of the smallest image.
const HALF: u64 = 64 << 10;

/// How far a card is brought.
enum End {
    /// All steps.
    Through,
    /// The power goes in the last step, when so many of its commands are kept.
    Kept(usize),
}

const UPLOAD: Action = Action::Upload { name: "app", batch: 0 };
const START: Action = Action::Start { name: "app", batch: 0 };
const UPLOAD_BAD: Action = Action::Upload { name: "bad", batch: 1 };
const START_BAD: Action = Action::Start { name: "bad", batch: 1 };
const UPLOAD_NEW: Action = Action::Upload { name: "new", batch: 2 };
const START_NEW: Action = Action::Start { name: "new", batch: 2 };

/// Where the data area of a small image begins.
pub const SMALL_DATA_START: usize = 6 * 4096;

/// Images as those of [`all`], but small.
///
/// # Errors
/// Which step does not work.
pub fn small() -> Result<Vec<Vec<u8>>, String> {
    let made = images()
        .into_iter()
        .map(|(_, kind, points, steps, end)| make((small_card(kind), small_capacity()), kind, points, steps, &end));
    made.collect()
}

/// Name, recovery kind, whether with recovery information, steps, end.
type Image = (&'static str, RecoveryKind, bool, Vec<Action>, End);

/// One image of each state that a card is found in: fresh, in use, with an unfinished issue of each recovery kind, and
/// awaiting confirmation.
///
/// # Errors
/// Which step does not work.
pub fn all() -> Result<Vec<Golden>, String> {
    let made = images().into_iter().map(|(name, kind, points, steps, end)| {
        let start = (fresh(kind)?, MIN_SIZE - 2 * PAGE - 2 * HALF);
        let bytes = make(start, kind, points, steps, &end).map_err(|what| format!("{name}: {what}"))?;
        let view = observe(&Simulator::from_bytes(bytes.clone()))?;
        Ok(Golden { name, bytes, view })
    });
    made.collect()
}

fn images() -> [Image; 7] {
    use RecoveryKind::{Command, Function, Restart};
    [
        ("fresh", Function, false, vec![], End::Through),
        ("applications", Function, true, vec![UPLOAD, START], End::Through),
        ("failed-restart", Restart, false, vec![UPLOAD, START, UPLOAD_BAD, START_BAD], End::Through),
        ("interrupted-command", Command, false, vec![UPLOAD, START], End::Kept(2)),
        ("interrupted-function", Function, true, vec![UPLOAD, START], End::Kept(6)),
        ("failed-function", Function, true, vec![UPLOAD, START, UPLOAD_BAD, START_BAD], End::Through),
        ("awaiting-confirmation", Command, true, vec![UPLOAD, START, UPLOAD_NEW, START_NEW], End::Through),
    ]
}

/// A whole new card on the smallest medium that a real one may have.
fn fresh(kind: RecoveryKind) -> Result<Simulator, String> {
    let (lender, lent) = Lender::lend(Simulator::new(MIN_SIZE));
    EmulatedCard::format(Box::new(lent), &options(kind)).map(drop).map_err(|error| error.to_string())?;
    lender.take_back().ok_or_else(|| "the medium is lost".to_owned())
}

fn make(
    (start, capacity): (Simulator, u64),
    kind: RecoveryKind,
    points: bool,
    steps: Vec<Action>,
    end: &End,
) -> Result<Vec<u8>, String> {
    let batches = vec![batches::two_applications(), batches::small_failure(), batches::to_be_confirmed()];
    let case = Case { scenario: Scenario { batches, steps }, points };
    for call in 0.. {
        let mut armed = start.clone();
        if let End::Kept(_) = end {
            armed.arm(call, Fault::Power);
        }
        let mut model = Model::fresh(kind, capacity);
        let mut terminal = match Terminal::open(armed) {
            Ok(terminal) => terminal,
            Err(refused) if refused.is_failure() => continue,
            Err(refused) => return Err(refused.error.to_string()),
        };
        let steps = 0..case.scenario.steps.len();
        let ended = steps.into_iter().try_for_each(|step| case.step(&mut terminal, &mut model, step));
        let mut simulator = terminal.close();
        simulator.tear(Tear::Nothing);
        match (ended, end) {
            (Ok(()), End::Through) => return Ok(simulator.bytes().to_vec()),
            (Err(Halt::Stopped(_)), End::Kept(kept)) => {
                if observe(&simulator)?.contains(&format!(" {kept} kept, status 0000")) {
                    return Ok(simulator.bytes().to_vec());
                }
            }
            (Ok(()), End::Kept(kept)) => return Err(format!("no cut leaves {kept} commands")),
            (Err(Halt::Stopped(stopped)), End::Through) => return Err(format!("{stopped:?}")),
            (Err(Halt::Broken(broken)), _) => return Err(broken.to_string()),
        }
    }
    Err("no end".to_owned())
}
