//! What happens to a card in its life, step by step.

use crate::apdu;
use crate::batches::{self, Batch, FIRST_TAG};
use crate::effect::Effect;
use crate::packages::{WALLET, module};

/// One step. Repeated after it was cut, it ends as if it had not been cut.
#[derive(Clone, Debug)]
pub enum Action {
    /// The preparer writes the batch of this number into the command store.
    Upload {
        /// Name of the file; one of that name is replaced.
        name: &'static str,
        /// Number of the batch.
        batch: usize,
    },
    /// The operator starts the issue from a file.
    Start {
        /// Name of the file.
        name: &'static str,
        /// Number of the batch in it.
        batch: usize,
    },
    /// The preparer sends commands through a session; the last of them has these effects.
    Secured(Vec<Vec<u8>>, Vec<Effect>),
    /// The user sends commands; one of them has these effects.
    Plain(Vec<Vec<u8>>, Vec<Effect>),
    /// The preparer renames a file.
    Rename(&'static str, &'static str),
    /// The preparer erases a file.
    Erase(&'static str),
    /// The operator takes an issue back.
    Clear,
    /// The operator confirms one.
    Confirm,
}

impl Action {
    /// What it is, in a word or two.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Action::Upload { name, .. } => format!("upload of {name}"),
            Action::Start { name, .. } => format!("START of {name}"),
            Action::Secured(commands, _) => format!("{} secured commands", commands.len()),
            Action::Plain(commands, _) => format!("{} commands", commands.len()),
            Action::Rename(from, to) => format!("rename of {from} to {to}"),
            Action::Erase(name) => format!("erasure of {name}"),
            Action::Clear => "CLEAR".to_owned(),
            Action::Confirm => "CONFIRM".to_owned(),
        }
    }
}

/// Batches and steps.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The batches that the steps name by number.
    pub batches: Vec<Batch>,
    /// The steps.
    pub steps: Vec<Action>,
}

/// A user writes another message into the first tag.
fn write_message(message: &[u8]) -> Action {
    let commands = vec![
        apdu::select(FIRST_TAG),
        apdu::SELECT_MESSAGE.to_vec(),
        apdu::write_message(message),
        apdu::select(apdu::CARD_MANAGER),
    ];
    Action::Plain(commands, vec![Effect::Message { instance: FIRST_TAG.to_vec(), message: message.to_vec() }])
}

impl Scenario {
    /// The whole life: upload, issue of two applications, use, deletion, replacement of a file and of an application by
    /// a second issue, an issue that fails and is taken back while others work on, one that wants confirmation (taken
    /// back, given again, confirmed), loads that batches leave and find unfinished, and the preparer's own commands.
    #[must_use]
    pub fn life() -> Self {
        let batches = vec![
            batches::two_applications(),
            batches::another_version(),
            batches::failing(),
            batches::to_be_confirmed(),
            batches::unfinished_load(),
            batches::headless_load(),
        ];
        let delete = |aid: &[u8], effect| Action::Secured(vec![apdu::delete(aid)], vec![effect]);
        let object = Effect::Object { tag: 0x42, value: vec![0xAA] };
        let steps = vec![
            Action::Upload { name: "app", batch: 0 },
            Action::Start { name: "app", batch: 0 },
            write_message(b"written by the user"),
            delete(&module(WALLET), Effect::Uninstalled { instance: module(WALLET) }),
            delete(WALLET, Effect::Removed { package: WALLET.to_vec() }),
            Action::Upload { name: "app", batch: 1 },
            Action::Start { name: "app", batch: 1 },
            Action::Upload { name: "bad", batch: 2 },
            Action::Start { name: "bad", batch: 2 },
            write_message(b"while an issue is open"),
            Action::Clear,
            Action::Rename("bad", "worse"),
            Action::Erase("worse"),
            Action::Upload { name: "new", batch: 3 },
            Action::Start { name: "new", batch: 3 },
            Action::Clear,
            Action::Start { name: "new", batch: 3 },
            Action::Confirm,
            Action::Upload { name: "half", batch: 4 },
            Action::Start { name: "half", batch: 4 },
            Action::Upload { name: "half", batch: 5 },
            Action::Start { name: "half", batch: 5 },
            Action::Clear,
            Action::Secured(vec![apdu::store_object(0x42, &[0xAA])], vec![object]),
            Action::Secured(vec![apdu::set_life_cycle(0x0F)], vec![Effect::LifeCycle(0x0F)]),
        ];
        Scenario { batches, steps }
    }
}
