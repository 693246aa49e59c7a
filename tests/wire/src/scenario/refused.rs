//! The card refuses.

use super::Scenario;
use crate::batches;
use crate::cable::Setup;
use crate::terminal::{ISSUE_STATE, LISTING, SPACE, authenticate, send, start, upload, write};
use anyhow::Result;
use smcard_card::scp03::{HostError, HostHandshake, SecurityLevel, StaticKeys};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for protected in [true, false] {
        let how = if protected { "by direct write" } else { "by commands" };
        let prepare = move || {
            let mut setup = Setup::default();
            setup.profile.protected_memory = protected;
            Ok(setup)
        };
        all.push(Scenario::new(format!("damaged batches, {how}"), prepare, |rig, journal| {
            let file = batches::small()?;
            for at in [0, 4, 9, 13, 40, file.len() / 2, file.len() - 1] {
                let mut damaged = file.clone();
                if let Some(byte) = damaged.get_mut(at) {
                    *byte ^= 0x10;
                }
                authenticate(rig.card(), SecurityLevel::C_MAC)?;
                let written = write(rig.card(), "app.batch", &damaged);
                journal.result(&format!("damaged at {at}"), &written);
                journal.send(rig, "files", &LISTING)?;
            }
            Ok(())
        }));
        all.push(Scenario::new(format!("full store, {how}"), prepare, |rig, journal| {
            let file = batches::medium()?;
            for number in 0..16 {
                authenticate(rig.card(), SecurityLevel::C_MAC)?;
                let written = write(rig.card(), &format!("{number}.batch"), &file);
                journal.result(&format!("file {number}"), &written);
                journal.send(rig, "space", &SPACE)?;
            }
            Ok(())
        }));
        all.push(Scenario::new(format!("no session, {how}"), prepare, |rig, journal| {
            let file = batches::small()?;
            let written = write(rig.card(), "app.batch", &file);
            journal.result("nobody has authenticated", &written);
            journal.send(rig, "START of nothing", &start(1, 0))?;
            wrong_key(rig, journal)?;
            let written = write(rig.card(), "app.batch", &file);
            journal.result("after a wrong key", &written);
            upload(rig.card(), "app.batch", &file)?;
            journal.send(rig, "START with an offset beyond", &beyond())?;
            Ok(())
        }));
        all.push(Scenario::new(format!("writes given up, replaced, left open, {how}"), prepare, |rig, journal| {
            let file = batches::small()?;
            upload(rig.card(), "app.batch", &file)?;
            for name in ["given up.batch", "app.batch", "left open.batch"] {
                authenticate(rig.card(), SecurityLevel::C_MAC)?;
                let id = rig.card().write_open(name.as_bytes(), u32::try_from(file.len())?)?;
                let Ok(id) = id else { anyhow::bail!("{name} is refused") };
                rig.card().write_chunk(id, &file[..700])?;
                match name {
                    "given up.batch" => rig.card().write_abort(id),
                    "app.batch" => {
                        rig.card().write_chunk(id, &file[700..])?;
                        let written = rig.card().write_commit(id);
                        journal.result("replaced", &written);
                    }
                    _ => {}
                }
            }
            rig.card().reset()?;
            journal.send(rig, "files", &LISTING)?;
            journal.send(rig, "issue", &ISSUE_STATE)?;
            Ok(())
        }));
    }
    all
}

/// The terminal has other keys: it notices by itself, and the card notices where the terminal does not.
fn wrong_key(rig: &mut crate::cable::Rig, journal: &mut super::Journal) -> Result<()> {
    let (handshake, command) = HostHandshake::begin(0, [0x5A; 8]);
    let answer = send(rig.card(), &command)?;
    let keys = StaticKeys::new([1; 16], [2; 16], [3; 16]);
    let found = handshake.finish(&keys, SecurityLevel::C_MAC, &answer.data).map(drop);
    journal.note(format!("the terminal notices: {}", found == Err(HostError::Cryptogram)));
    let external = [&[0x84, 0x82, 0x01, 0x00, 0x10][..], &[0xEE; 16]].concat();
    journal.send(rig, "EXTERNAL AUTHENTICATE", &external)?;
    Ok(())
}

/// START of file 1 from an offset that it does not have.
fn beyond() -> Vec<u8> {
    let mut command = start(1, 0);
    if let Some(offset) = command.get_mut(7..11) {
        offset.copy_from_slice(&[0xFF; 4]);
    }
    command
}
