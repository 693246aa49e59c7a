//! What an id names, done again, step by step and aloud.

use crate::course::Course;
use crate::driver::Broken;
use crate::explore::{Allowed, Ended, Explorer};
use crate::id::Cut;

/// A way through a course: cut after cut. Says what it finds to `tell`.
///
/// # Errors
/// The promise that breaks on the way.
pub fn follow(course: &Course, cuts: &[Cut], tell: &mut dyn FnMut(String)) -> Result<(), Broken> {
    let mut explorer = Explorer::new(course);
    let all = course.case.scenario.steps.len();
    let mut at = (course.start.clone(), course.fresh.clone(), 0);
    for cut in cuts {
        let (simulator, model, next) = &at;
        let (torn, stopped) = match explorer.run(simulator, model, *next..all, Some(cut.call))? {
            Ended::Struck(torn, stopped) => (torn, stopped),
            Ended::Through(..) => {
                tell(format!("{cut}: the scenario ends before this call"));
                return Ok(());
            }
        };
        let allowed = Allowed::after(&stopped);
        let action = &course.case.scenario.steps[stopped.step.min(all - 1)];
        tell(format!("{cut}: in step {} of {all}, {}, one of {} states", stopped.step, action.name(), allowed.len()));
        tell(format!("pending: {} bytes, {} bits to change", torn.pending_bytes(), torn.pending_bits()));
        let mut left = torn;
        left.tear(cut.tear);
        let found = explorer.find(&left, &allowed)?;
        tell(format!(
            "found in state {}, going on with step {}:\n{}",
            found.state,
            found.next,
            allowed.view(found.state)
        ));
        at = (left, found.model, found.next);
    }
    let (simulator, model, next) = at;
    let steps = next..(next + 2).min(all);
    tell(format!("no more cuts: steps {steps:?}"));
    explorer.go_on(&simulator, &model, &steps)
}
