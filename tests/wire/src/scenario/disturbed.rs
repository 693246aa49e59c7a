//! The power goes, the card is pulled.

use super::issue::SIZES;
use super::{Journal, Scenario};
use crate::batches;
use crate::cable::{Rig, Setup};
use crate::terminal::{ISSUE_STATE, LISTING, authenticate, select, start, upload};
use anyhow::{Result, bail};
use smcard_card::CreateOptions;
use smcard_card::scp03::SecurityLevel;
use smcard_card::sd::SlotHandle;
use smcard_fixtures::aid;
use smcard_link::RecoveryKind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const KINDS: [RecoveryKind; 3] = [RecoveryKind::Restart, RecoveryKind::Command, RecoveryKind::Function];

pub(super) fn scenarios(thorough: bool) -> Vec<Scenario> {
    let mut all = Vec::new();
    for kind in KINDS {
        for (name, batch, size, instance) in SIZES {
            let commands = batch().and_then(|file| batches::commands(&file)).unwrap_or(0);
            let step = if commands > 50 && !thorough { 40 } else { 1 };
            for cut in (0..commands).step_by(step) {
                let told = format!("{name}, {}, the power goes at command {}", kind.word(), cut + 1);
                all.push(Scenario::new(
                    told,
                    move || Ok(cut_at(kind, size, cut)),
                    move |rig, journal| {
                        let id = upload(rig.card(), "app.batch", &batch()?)?;
                        again(rig, journal, id, |rig| Ok(rig.card().reset()?))?;
                        journal.send(rig, "SELECT", &select(instance))?;
                        Ok(())
                    },
                ));
            }
        }
        let pulled = Pulled::default();
        let fate = pulled.clone();
        all.push(Scenario::new(
            format!("pulled in the middle of an issue, {}", kind.word()),
            move || {
                let fate = fate.clone();
                fate.given.store(0, Ordering::Relaxed);
                let setup = Setup::default();
                Ok(Setup {
                    create: CreateOptions { recovery: kind, ..setup.create },
                    fate: Some(Arc::new(move |_| fate.strikes())),
                    ..setup
                })
            },
            move |rig, journal| {
                pulled.set(rig.slot());
                let id = upload(rig.card(), "app.batch", &batches::small()?)?;
                again(rig, journal, id, |rig| {
                    rig.pull();
                    rig.put_in()
                })?;
                journal.send(rig, "SELECT", &select(aid::NDEF_APPLET))?;
                Ok(())
            },
        ));
    }
    for protected in [true, false] {
        let how = if protected { "direct write" } else { "write by commands" };
        let prepare = move || {
            let mut setup = Setup::default();
            setup.profile.protected_memory = protected;
            Ok(setup)
        };
        all.push(Scenario::new(format!("pulled in the middle of a {how}"), prepare, pulled_while_written));
    }
    all
}

/// The power goes once, at a command.
fn cut_at(recovery: RecoveryKind, size: u64, cut: u32) -> Setup {
    let given = AtomicU32::new(0);
    let setup = Setup::default();
    Setup {
        create: CreateOptions { recovery, size, ..setup.create },
        fate: Some(Arc::new(move |_| given.fetch_add(1, Ordering::Relaxed) == cut)),
        ..setup
    }
}

/// START, which is interrupted; the card comes back; START.
fn again(rig: &mut Rig, journal: &mut Journal, id: u16, back: impl FnOnce(&mut Rig) -> Result<()>) -> Result<()> {
    if journal.send(rig, "START", &start(id, 0)).is_ok() {
        bail!("START was answered");
    }
    back(rig)?;
    journal.send(rig, "issue", &ISSUE_STATE)?;
    journal.send(rig, "START", &start(id, 0))?;
    journal.send(rig, "issue", &ISSUE_STATE)?;
    Ok(())
}

/// The slot of the card that is to be pulled in its sixth command.
#[derive(Clone, Default)]
struct Pulled {
    slot: Arc<Mutex<Option<SlotHandle>>>,
    given: Arc<AtomicU32>,
}

impl Pulled {
    fn set(&self, slot: Option<SlotHandle>) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = slot;
    }

    fn strikes(&self) -> bool {
        let strikes = self.given.fetch_add(1, Ordering::Relaxed) == 5;
        if strikes {
            if let Some(slot) = &*self.slot.lock().unwrap_or_else(PoisonError::into_inner) {
                slot.remove();
            }
        }
        strikes
    }
}

fn pulled_while_written(rig: &mut Rig, journal: &mut Journal) -> Result<()> {
    let file = batches::medium()?;
    upload(rig.card(), "before.batch", &batches::small()?)?;
    authenticate(rig.card(), SecurityLevel::C_MAC)?;
    let Ok(id) = rig.card().write_open(b"app.batch", u32::try_from(file.len())?)? else { bail!("refused") };
    let (first, second) = file.split_at(file.len() / 2);
    rig.card().write_chunk(id, first)?;
    rig.pull();
    if rig.slot().is_some() {
        let failed = rig.card().write_chunk(id, second).and_then(|()| rig.card().write_commit(id));
        journal.note(format!("{}", failed.is_err()));
    } else {
        journal.note("true");
    }
    rig.put_in()?;
    journal.send(rig, "files", &LISTING)?;
    let id = upload(rig.card(), "app.batch", &file)?;
    journal.send(rig, "START", &start(id, 0))?;
    Ok(())
}
