//! A host that fails a call, and a process that is killed: neither loses power, but both may before the next commit.

use super::cuts::{formatted, scenario};
use super::driver::{Broken, Driver};
use super::model::{self, Model};
use crate::io::Barrier;
use crate::sim::{Fault, Simulator, Tear};
use crate::store::Store;
use crate::{Changes, FlashError, Key, Medium};

/// Where a scenario broke off: the medium as it is, and the models before and after the step.
struct Stopped {
    medium: Simulator,
    step: usize,
    before: Model,
    after: Model,
}

/// Runs the scenario until the armed call fails; checks that the store tells and is mute. `None` if none failed. What a
/// failed barrier loses depends on `luck`.
fn run_until(call: u64, fault: Fault, luck: u64) -> Option<Stopped> {
    let mut medium = formatted();
    (0..luck).for_each(|_| medium.barrier().unwrap());
    medium.arm(call, fault);
    let mut driver = Driver { store: Store::open(&mut medium).ok()?, model: Model::new() };
    for (number, step) in scenario().iter().enumerate() {
        let Err(error) = driver.step(number, step) else { continue };
        assert!(matches!(error, FlashError::Medium { .. }), "{error}");
        check_mute(&mut driver);
        let before = driver.model;
        let after = model::after(&before, number, step);
        return Some(Stopped { medium, step: number, before, after });
    }
    assert!(!medium.has_failed(), "call {call} failed with {fault:?} and nobody said so");
    None
}

/// Nothing works any more, and what is shown is what was committed. The simulator asserts that nothing is tried.
fn check_mute(driver: &mut Driver<&mut Simulator>) {
    assert!(driver.store.is_mute());
    assert_eq!(model::observed(&driver.store), driver.model);
    assert!(matches!(driver.store.reserve(1), Err(FlashError::Mute)));
    let mut changes = Changes::new();
    changes.delete(Key(1));
    assert!(matches!(driver.store.commit(changes), Err(FlashError::Mute)));
    let extent = driver.store.range(..).find_map(|(_, record)| record.extent);
    if let Some(extent) = extent {
        assert!(matches!(driver.store.write(extent, 0, &[1]), Err(FlashError::Mute)));
    }
}

/// After a stop: opens without a loss of power and makes two more steps, with the power cut at each call in turn and
/// torn in several ways. Whatever remains opens in a state that is allowed. `lossy`: a flush failed, so what was
/// pending then may be shown and yet be lost, until something is committed on top of it. `forgetful`: it is not even
/// shown for long.
fn go_on_with_cuts(
    stopped: &Stopped,
    (lossy, forgetful): (bool, bool),
    left_out: Option<Barrier>,
) -> Result<u64, Broken> {
    let steps = scenario();
    let mut cuts = 0;
    for call in 0.. {
        let mut medium = stopped.medium.clone();
        medium.restart();
        if forgetful {
            medium.forget();
        }
        medium.arm(call, Fault::Power);
        let Ok(store) = Store::open_without(&mut medium, left_out) else {
            cuts += check_tears(&medium, left_out, &[&stopped.before, &stopped.after])?;
            continue;
        };
        let model = model::observed(&store);
        let done = model == stopped.after && stopped.before != stopped.after;
        let mut driver = Driver { store, model };
        let mut committed = false;
        let mut cut = None;
        for (number, step) in steps.iter().enumerate().skip(stopped.step + usize::from(done)).take(2) {
            if driver.step(number, step).is_err() {
                cut = Some(model::after(&driver.model, number, step));
                break;
            }
            committed = true;
        }
        let before = driver.model;
        let mut allowed = vec![&before];
        if lossy && !committed {
            allowed.push(&stopped.before);
        }
        let Some(after) = cut else {
            cuts += check_tears(&medium, left_out, &allowed)?;
            return Ok(cuts);
        };
        allowed.push(&after);
        cuts += check_tears(&medium, left_out, &allowed)?;
    }
    Ok(cuts)
}

fn check_tears(medium: &Simulator, left_out: Option<Barrier>, allowed: &[&Model]) -> Result<u64, Broken> {
    let seeded = (0..4).flat_map(|seed| [Tear::Random(seed), Tear::Sectors(seed)]);
    let tears = [Tear::Nothing, Tear::Everything, Tear::Only(0), Tear::Without(0)].into_iter().chain(seeded);
    let mut count = 0;
    for tear in tears {
        let mut left = medium.clone();
        left.tear(tear);
        Driver::reopen(left, left_out, allowed)?;
        count += 1;
    }
    Ok(count)
}

/// Every call of the scenario fails with `fault`; what follows is cut everywhere.
fn explore(fault: Fault, left_out: Option<Barrier>, luck: u64) -> Result<u64, (u64, Broken)> {
    let mut cuts = 0;
    for call in 1.. {
        let Some(stopped) = run_until(call, fault, luck) else { break };
        let lossy = fault != Fault::Power;
        for forgetful in [false, true] {
            cuts += go_on_with_cuts(&stopped, (lossy, forgetful), left_out).map_err(|broken| (call, broken))?;
        }
    }
    Ok(cuts)
}

#[test]
fn a_failed_call_is_reported_and_harms_nothing_even_if_the_power_goes_next() {
    for fault in [Fault::Error(libc::EIO), Fault::Error(libc::ENOSPC), Fault::Short(0), Fault::Short(700)] {
        let cuts = explore(fault, None, 0).unwrap();
        assert!(cuts > 2000, "{fault:?}: {cuts}");
    }
}

#[test]
fn a_failed_call_while_opening_is_reported() {
    let mut medium = formatted();
    medium.arm(0, Fault::Error(libc::EIO));
    let error = Store::open(&mut medium).err().unwrap();
    assert!(error.to_string().contains("flush what was found in the image"), "{error}");
    medium.restart();
    assert!(Store::open(&mut medium).is_ok());
}

#[test]
fn a_killed_process_leaves_a_state_that_stays_once_it_was_seen() {
    let cuts = explore(Fault::Power, None, 0).unwrap();
    assert!(cuts > 2000, "{cuts}");
}

#[test]
fn building_on_what_was_not_confirmed_is_noticed() {
    let explored: Vec<_> =
        (0..8).map(|luck| explore(Fault::Error(libc::EIO), Some(Barrier::Confirmed), luck)).collect();
    assert!(explored.iter().any(Result::is_err), "nothing was confirmed");
    explore(Fault::Power, Some(Barrier::Found), 0).expect_err("what was found was not flushed");
}
