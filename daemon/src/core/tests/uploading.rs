//! Files going into the drop box.

use crate::core::{Caller, OpenFlags};
use crate::refusal::Refusal;
use crate::testing::{ME, Rig, Setup, WRITE, batch};
use crate::tree::ISSUE;
use rustix::io::Errno;

const OTHER_PROCESS: Caller = Caller { uid: 0, tid: 43 };

#[test]
fn a_batch_is_copied_in_one_exchange_after_authentication() {
    let rig = Rig::new(Setup::default());
    rig.copy("first", &batch(3)).unwrap();
    assert!(rig.line().starts_with("authenticated"));
    let before = rig.exchanges();
    rig.copy("second", &batch(500)).unwrap();
    assert_eq!(rig.exchanges() - before, 1);
    let sizes = [("first".to_owned(), batch(3).len() as u64), ("second".to_owned(), batch(500).len() as u64)];
    assert_eq!(rig.list(), sizes);
}

#[test]
fn a_file_on_its_way_shows_the_bytes_so_far() {
    let rig = Rig::new(Setup::default());
    let batch = batch(100);
    let fh = rig.create("slow").unwrap();
    assert_eq!(rig.list(), [("slow".to_owned(), 0)]);
    rig.write(fh, 0, &batch[..700]).unwrap();
    assert_eq!(rig.list(), [("slow".to_owned(), 700)]);
    rig.write(fh, 700, &batch[700..]).unwrap();
    rig.core.flush(ME, fh).unwrap();
    rig.core.release(fh);
    assert_eq!(rig.list(), [("slow".to_owned(), batch.len() as u64)]);
}

#[test]
fn damage_is_told_by_the_completing_write_and_leaves_nothing() {
    let rig = Rig::new(Setup::default());
    let mut damaged = batch(10);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let refusal = rig.copy("app.batch", &damaged).unwrap_err();
    assert_eq!(refusal.errno(), Errno::BADMSG);
    assert_eq!(rig.list(), []);
    assert_eq!(
        rig.line(),
        "authenticated; last upload refused: app.batch: offset 12: the checksum does not match: the file is damaged"
    );
    rig.copy("app.batch", &batch(10)).unwrap();
    assert_eq!(rig.line(), "authenticated");
}

#[test]
fn a_failed_overwrite_leaves_the_earlier_batch() {
    let rig = Rig::new(Setup::default());
    rig.copy("app", &batch(2)).unwrap();
    let before = rig.list();
    let longer = batch(50);
    assert_eq!(rig.copy("app", &longer[..200]), Err(Refusal::CutShort { received: 200, total: longer.len() as u64 }));
    assert_eq!(rig.list(), before);
    assert!(matches!(rig.copy("app", b"no batch at all"), Err(Refusal::Fault(_))));
    assert_eq!(rig.list(), before);
    rig.copy("app", &longer).unwrap();
    assert_eq!(rig.list(), [("app".to_owned(), longer.len() as u64)]);
}

#[test]
fn a_full_card_refuses_the_header_and_keeps_what_it_has() {
    let rig = Rig::new(Setup::default());
    rig.copy("kept", &batch(2)).unwrap();
    let mut huge = batch(2);
    huge[8..12].copy_from_slice(&(64_u32 << 20).to_be_bytes());
    let fh = rig.create("huge").unwrap();
    assert_eq!(rig.write(fh, 0, &huge[..16]), Err(Refusal::Full((64 << 20) + 16)));
    assert_eq!(rig.write(fh, 16, &huge[16..]), Err(Refusal::Full((64 << 20) + 16)), "it stays refused");
    rig.core.release(fh);
    assert_eq!(rig.list(), [("kept".to_owned(), batch(2).len() as u64)]);
}

#[test]
fn another_process_may_close_halfway_and_nobody_hears_of_a_cut_at_release() {
    let rig = Rig::new(Setup::default());
    let batch = batch(100);
    let fh = rig.create("f").unwrap();
    rig.core.flush(ME, fh).unwrap();
    rig.write(fh, 0, &batch[..500]).unwrap();
    rig.core.flush(OTHER_PROCESS, fh).unwrap();
    rig.write(fh, 500, &batch[500..800]).unwrap();
    rig.core.release(fh);
    assert_eq!(rig.list(), []);
    let cut = format!("f: cut short after 800 of {} bytes", batch.len());
    assert_eq!(rig.core.read(|state| state.view.upload_error.clone()), cut);
}

#[test]
fn writes_that_do_not_continue_are_refused_and_the_upload_goes_on() {
    let rig = Rig::new(Setup::default());
    let batch = batch(40);
    let fh = rig.create("f").unwrap();
    rig.write(fh, 0, &batch[..100]).unwrap();
    assert_eq!(rig.write(fh, 50, &batch[50..]).unwrap_err().errno(), Errno::SPIPE);
    rig.write(fh, 100, &batch[100..]).unwrap();
    rig.core.release(fh);
    assert_eq!(rig.list().len(), 1);
}

#[test]
fn two_open_files_do_not_write_one_batch() {
    let rig = Rig::new(Setup::default());
    let batch = batch(40);
    let (first, second) = (rig.create("f").unwrap(), rig.create("f").unwrap());
    rig.write(first, 0, &batch[..100]).unwrap();
    assert_eq!(rig.write(second, 0, &batch[..100]), Err(Refusal::Receiving));
    rig.core.release(second);
    rig.write(first, 100, &batch[100..]).unwrap();
    rig.core.release(first);
    assert_eq!(rig.list().len(), 1);
}

#[test]
fn eight_files_are_received_at_once_and_a_ninth_waits_for_its_turn() {
    let rig = Rig::new(Setup::default());
    let batch = batch(40);
    let open: Vec<u64> = (0..9).map(|n| rig.create(&format!("f{n}")).unwrap()).collect();
    for fh in &open[..8] {
        rig.write(*fh, 0, &batch[..100]).unwrap();
    }
    assert_eq!(rig.write(open[8], 0, &batch[..100]), Err(Refusal::TooManyUploads));
    for fh in &open[..8] {
        rig.write(*fh, 100, &batch[100..]).unwrap();
    }
    for fh in open {
        rig.core.release(fh);
    }
    assert_eq!(rig.list().len(), 8);
}

#[test]
fn empty_files_wait_for_contents_and_are_removed_without_the_card() {
    let rig = Rig::new(Setup::default());
    let fh = rig.create("empty").unwrap();
    rig.core.release(fh);
    assert_eq!(rig.list(), [("empty".to_owned(), 0)]);
    rig.rename("empty", "renamed").unwrap();
    let before = rig.exchanges();
    rig.unlink("renamed").unwrap();
    assert_eq!((rig.exchanges() - before, rig.list()), (0, vec![]));
    let exclusive = OpenFlags { exclusive: true, ..WRITE };
    rig.copy("there", &batch(1)).unwrap();
    let again = rig.ask(|core, reply| core.create(ME, ISSUE, b"there", exclusive, reply));
    assert_eq!(again.err(), Some(Refusal::Exists));
}

#[test]
fn batches_are_renamed_replaced_and_removed_on_the_card() {
    let rig = Rig::new(Setup::default());
    rig.copy(".app.Xy12", &batch(3)).unwrap();
    rig.copy("app", &batch(1)).unwrap();
    rig.rename(".app.Xy12", "app").unwrap();
    assert_eq!(rig.list(), [("app".to_owned(), batch(3).len() as u64)]);
    rig.rename("app", "app").unwrap();
    rig.unlink("app").unwrap();
    assert_eq!(rig.list(), []);
    assert_eq!(rig.unlink("app"), Err(Refusal::NotFound));
    assert_eq!(rig.rename("app", "other"), Err(Refusal::NotFound));
    let free = rig.ask(|core, reply| core.statfs(reply)).unwrap();
    assert_eq!(free.free, free.blocks, "nothing is left behind");
}

#[test]
fn a_file_just_written_can_be_renamed_while_it_is_open() {
    let rig = Rig::new(Setup::default());
    let fh = rig.create("tmp").unwrap();
    rig.write(fh, 0, &batch(2)).unwrap();
    rig.rename("tmp", "final").unwrap();
    rig.core.flush(ME, fh).unwrap();
    rig.core.release(fh);
    assert_eq!(rig.list(), [("final".to_owned(), batch(2).len() as u64)]);
}

#[test]
fn a_file_removed_while_it_is_written_is_gone() {
    let rig = Rig::new(Setup::default());
    let batch = batch(40);
    let fh = rig.create("f").unwrap();
    rig.write(fh, 0, &batch[..100]).unwrap();
    rig.unlink("f").unwrap();
    assert_eq!(rig.write(fh, 100, &batch[100..]).unwrap_err().errno(), Errno::STALE);
    rig.core.release(fh);
    assert_eq!(rig.list(), []);
}

#[test]
fn names_are_checked_before_anything_happens() {
    let rig = Rig::new(Setup::default());
    let refusal =
        |name: &[u8], parent| rig.ask(|core, reply| core.create(ME, parent, name, WRITE, reply)).unwrap_err().errno();
    assert_eq!(refusal(&[b'n'; 256], ISSUE), Errno::NAMETOOLONG);
    assert_eq!(refusal(b"..", ISSUE), Errno::INVAL);
    assert_eq!(refusal(b"f", 1), Errno::PERM);
    rig.copy(&"n".repeat(255), &batch(1)).unwrap();
}

#[test]
fn attributes_are_taken_and_sizes_are_not() {
    let rig = Rig::new(Setup::default());
    rig.copy("f", &batch(2)).unwrap();
    let (ino, size) = rig.core.read(|state| {
        let batch = state.directory.by_name(b"f").unwrap();
        (batch.ino, u64::from(batch.stored.as_ref().unwrap().size))
    });
    assert_eq!(rig.core.setattr(ino, None).unwrap().size, size);
    assert_eq!(rig.core.setattr(ino, Some(0)).unwrap().size, 0);
    assert_eq!(rig.core.setattr(ino, Some(size)).unwrap().size, size);
    assert_eq!(rig.core.setattr(ino, Some(size + 1)).unwrap_err().errno(), Errno::INVAL);
    assert_eq!(rig.core.setattr(4, None).unwrap_err().errno(), Errno::PERM);
}
