//! Random sequences against the model, with reopening and random cuts in between.

use proptest::prelude::*;

use super::driver::Driver;
use super::model::{self, Model, Step};
use crate::layout::Layout;
use crate::sim::{Fault, Simulator};
use crate::store::Store;
use crate::{FlashError, RamMedium};

fn layout() -> Layout {
    Layout::small(2, 8)
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..8u32;
    let change = (key.clone(), proptest::option::weighted(0.7, prop_oneof![0..40usize, 0..1200usize]));
    prop_oneof![
        4 => proptest::collection::vec(change, 1..5).prop_map(Step::Change),
        3 => (key.clone(), 1..9000usize, 1..5000usize).prop_map(|(key, length, piece)| Step::Upload { key, length, piece }),
        1 => (key.clone(), key).prop_map(|(from, to)| Step::Shadow { from, to }),
    ]
}

/// Whether the step was refused for a reason that the model does not know: no room. Nothing has changed then.
fn refused(error: &FlashError) -> bool {
    matches!(error, FlashError::Full { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_store_is_a_map(steps in proptest::collection::vec((step(), any::<bool>()), 1..60)) {
        let store = Store::format_with(RamMedium::new(layout().size()), layout(), [7; 16]).unwrap();
        let mut driver = Driver { store, model: Model::new() };
        for (number, (step, reopen)) in steps.iter().enumerate() {
            if let Err(error) = driver.step(number, step) {
                prop_assert!(refused(&error), "{error}");
            }
            if *reopen {
                let Driver { store, model } = driver;
                driver = Driver { store: Store::open(store.into_medium()).unwrap(), model };
                let checked = driver.check();
                prop_assert!(checked.is_ok(), "{checked:?}");
            }
            prop_assert_eq!(&model::observed(&driver.store), &driver.model);
        }
    }

    #[test]
    fn random_cuts_leave_the_state_before_or_after(
        steps in proptest::collection::vec(step(), 1..40),
        cuts in proptest::collection::vec((0..30u64, any::<u64>()), 1..12),
    ) {
        let mut medium = Simulator::for_layout(layout());
        Store::format_with(&mut medium, layout(), [7; 16]).unwrap();
        let mut model = Model::new();
        let mut number = 0;
        for (call, seed) in cuts {
            medium.arm(call, Fault::Power);
            let mut after = model.clone();
            if let Ok(store) = Store::open(&mut medium) {
                let mut driver = Driver { store, model };
                while let Some(step) = steps.get(number) {
                    match driver.step(number, step) {
                        Ok(()) => {}
                        Err(error) if refused(&error) => {}
                        Err(_) => {
                            after = model::after(&driver.model, number, step);
                            break;
                        }
                    }
                    number += 1;
                }
                model = driver.model;
                if steps.get(number).is_none() {
                    after = model.clone();
                }
            }
            medium.cut(seed);
            let reopened = Driver::reopen(&mut medium, None, &[&model, &after]);
            prop_assert!(reopened.is_ok(), "{:?}", reopened.err());
            model = reopened.map(|driver| driver.model).unwrap_or_default();
        }
    }
}
