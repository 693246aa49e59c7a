//! Applications get onto the card.

use super::Scenario;
use crate::batches;
use crate::cable::Setup;
use crate::terminal::{
    CLEAR, CONFIRM, ISSUE_STATE, SELECT_MANAGER, authenticate, identifier, select, start, upload, write,
};
use anyhow::Result;
use smcard_card::CreateOptions;
use smcard_card::scp03::SecurityLevel;
use smcard_card::sd::{Executor, Profile, Worked};
use smcard_fixtures::aid;
use smcard_link::{PrivilegeKind, RecoveryKind};

type Batch = fn() -> Result<Vec<u8>>;
type Change = fn(&mut Setup);

/// Profiles of cards that are refused, and of one that takes a token which the driver must be told of.
const REFUSED: [&str; 4] = ["locked", "no-secure", "echo", "token-fc"];
/// Profiles of cards that lose the secure mode and the session with it, or an answer: that is told, and no story.
const LOSING: [&str; 3] = ["mode-lost", "mode-lost-random", "damaged-answer"];

/// The sizes: name, batch, bytes of the card, what answers afterwards.
pub(super) const SIZES: [(&str, Batch, u64, &[u8]); 3] = [
    ("2 KiB", batches::small, 1 << 20, aid::NDEF_APPLET),
    ("60 KiB", batches::medium, 1 << 20, aid::WALLET_PURSE),
    ("1 MiB", batches::large, 3 << 20, aid::LIBRARY_APPLET),
];

fn sized(size: u64) -> Setup {
    let setup = Setup::default();
    Setup { create: CreateOptions { size, ..setup.create }, ..setup }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    let behaviours: [(&str, Change); 4] = [
        ("answered at once", |_| {}),
        ("answered after polls", |setup| setup.executor = Executor::Inline { polls: 5, worked: Worked::Last }),
        ("answered by a thread", |setup| setup.executor = Executor::Thread),
        ("without protected memory", |setup| setup.profile.protected_memory = false),
    ];
    for (name, batch, size, instance) in SIZES {
        for (how, change) in behaviours {
            let prepare = move || {
                let mut setup = sized(size);
                change(&mut setup);
                Ok(setup)
            };
            all.push(Scenario::new(format!("issue of {name}, {how}"), prepare, move |rig, journal| {
                let file = batch()?;
                authenticate(rig.card(), SecurityLevel::C_MAC)?;
                journal.cost(rig, &format!("issue of {name}, {how}"), |journal, rig| {
                    let written = write(rig.card(), "app.batch", &file);
                    journal.result("direct write", &written);
                    journal.send(rig, "START", &start(identifier(&written?)?, 0))?;
                    Ok(())
                })?;
                journal.send(rig, "SELECT", &select(instance))?;
                Ok(())
            }));
        }
    }
    let words = Profile::words().map(|(word, _)| word).filter(|word| !REFUSED.contains(word) && !LOSING.contains(word));
    all.extend(words.map(profile));
    all.extend([RecoveryKind::Restart, RecoveryKind::Command, RecoveryKind::Function].map(failing));
    all.push(Scenario::new(
        "CONFIRM",
        || Ok(Setup::default()),
        |rig, journal| {
            let id = upload(rig.card(), "app.batch", &batches::to_be_confirmed()?)?;
            journal.send(rig, "START", &start(id, 0))?;
            journal.send(rig, "issue", &ISSUE_STATE)?;
            journal.send(rig, "SELECT", &select(aid::NDEF_APPLET))?;
            journal.send(rig, "CONFIRM", &CONFIRM)?;
            journal.send(rig, "SELECT", &select(aid::NDEF_APPLET))?;
            Ok(())
        },
    ));
    all.push(hold());
    all
}

/// A card of the field, of which the driver knows nothing, with an issue of 2 KiB.
fn profile(word: &'static str) -> Scenario {
    let prepare = move || {
        let profile = Profile::from_word(word).ok_or_else(|| anyhow::anyhow!("no profile is called {word}"))?;
        Ok(Setup { profile, ..Setup::default() }.unknown())
    };
    Scenario::new(format!("issue of 2 KiB, profile {word}"), prepare, |rig, journal| {
        let id = upload(rig.card(), "app.batch", &batches::small()?)?;
        journal.send(rig, "START", &start(id, 0))?;
        journal.send(rig, "SELECT", &select(aid::NDEF_APPLET))?;
        Ok(())
    })
}

/// A command fails: both formats, what is kept, CLEAR.
fn failing(recovery: RecoveryKind) -> Scenario {
    let prepare = move || {
        let setup = Setup::default();
        Ok(Setup { create: CreateOptions { recovery, ..setup.create }, ..setup })
    };
    Scenario::new(format!("failure with progress, {}", recovery.word()), prepare, |rig, journal| {
        let id = upload(rig.card(), "app.batch", &batches::failing()?)?;
        for format in [0, 1] {
            journal.send(rig, "START", &start(id, format))?;
            journal.send(rig, "issue", &ISSUE_STATE)?;
            journal.send(rig, "SELECT", &select(aid::NDEF_APPLET))?;
        }
        journal.send(rig, "CLEAR", &CLEAR)?;
        journal.send(rig, "issue", &ISSUE_STATE)?;
        Ok(())
    })
}

/// Privileged mode that only SELECT or power-off leaves.
fn hold() -> Scenario {
    let prepare = || {
        let setup = Setup::default();
        Ok(Setup { create: CreateOptions { privilege: PrivilegeKind::Hold, ..setup.create }, ..setup })
    };
    Scenario::new("privileged mode held", prepare, |rig, journal| {
        let id = upload(rig.card(), "app.batch", &batches::small()?)?;
        journal.send(rig, "START", &start(id, 0))?;
        journal.note(format!("{:?}", rig.card().status()));
        for command in [&ISSUE_STATE[..], &CLEAR, &start(id, 0)] {
            // Nobody answers; that is noted.
            let _ = journal.send(rig, "held", command);
        }
        let opened = rig.card().write_open(b"b", 100);
        journal.note(format!("OPEN is answered: {}", opened.is_ok()));
        journal.send(rig, "SELECT of nothing", &select(&[0xA0, 0, 0, 0, 0x62, 0x01, 0x99]))?;
        let _ = journal.send(rig, "held", &ISSUE_STATE);
        journal.send(rig, "SELECT", &SELECT_MANAGER)?;
        journal.note(format!("{:?}", rig.card().status()));
        journal.send(rig, "issue", &ISSUE_STATE)?;
        Ok(())
    })
}
