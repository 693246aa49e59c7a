//! Names, values, folders.

use crate::core::OpenFlags;
use crate::refusal::Refusal;
use crate::testing::{ME, Rig, Setup, WRITE, batch};
use crate::tree::{ISSUE, Node, ROOT};
use rustix::io::Errno;

const READ: OpenFlags = OpenFlags { write: false, exclusive: false };

fn lookup(rig: &Rig, parent: u64, name: &str) -> Result<u64, Refusal> {
    rig.ask(|core, reply| core.lookup(parent, name.as_bytes(), reply)).map(|attributes| attributes.ino)
}

fn read(rig: &Rig, path: &[&str]) -> Result<String, Refusal> {
    let mut ino = ROOT;
    for name in path {
        ino = lookup(rig, ino, name)?;
    }
    let opened = rig.ask(|core, reply| core.open(ME, ino, READ, reply))?;
    let data = rig.core.read_file(ino, opened.fh, 0, 4096);
    rig.core.release(opened.fh);
    data.map(|data| String::from_utf8(data).unwrap())
}

fn names(rig: &Rig, ino: u64) -> Vec<String> {
    let fh = rig.ask(|core, reply| core.opendir(ino, reply)).unwrap();
    let mut names = Vec::new();
    rig.core
        .readdir(fh, 0, |entry, next| {
            assert_eq!(usize::try_from(next).unwrap(), names.len() + 1);
            names.push(String::from_utf8(entry.name.clone()).unwrap());
            true
        })
        .unwrap();
    rig.core.releasedir(fh);
    names
}

#[test]
fn the_tree_is_that_of_the_design() {
    let rig = Rig::new(Setup::default());
    assert_eq!(names(&rig, ROOT), [".", "..", "apps", "card", "control", "issue", "status", "trace"]);
    assert_eq!(names(&rig, ISSUE), [".", ".."]);
    assert_eq!(read(&rig, &["status"]).unwrap(), "ready\n");
    assert_eq!(read(&rig, &["card", "life_cycle"]).unwrap(), "OP_READY\n");
    assert_eq!(read(&rig, &["card", "recovery"]).unwrap(), "function\n");
    assert_eq!(read(&rig, &["card", "source"]).unwrap(), "emulated ram\n");
    assert_eq!(read(&rig, &["card", "nothing"]), Err(Refusal::NotFound));
    assert_eq!(lookup(&rig, Node::Status.ino(), "x"), Err(Refusal::NotDirectory));
}

#[test]
fn applications_are_asked_for_when_somebody_looks() {
    let rig = Rig::new(Setup::default());
    let before = rig.exchanges();
    let apps = names(&rig, Node::Apps.ino());
    assert_eq!(apps.len(), 3, "the card manager's own domain: {apps:?}");
    assert_eq!(read(&rig, &["apps", &apps[2], "kind"]).unwrap(), "security-domain\n");
    let asked = rig.exchanges();
    assert!(asked > before);
    names(&rig, Node::Apps.ino());
    assert_eq!(rig.exchanges(), asked, "nothing has changed, nothing is asked");
}

#[test]
fn values_follow_what_happens_without_asking_the_card() {
    let rig = Rig::new(Setup::default());
    let free = |rig: &Rig| read(rig, &["card", "free_bytes"]).unwrap().trim().parse::<u64>().unwrap();
    let before = free(&rig);
    rig.copy("app", &batch(200)).unwrap();
    let exchanges = rig.exchanges();
    assert_eq!(before - free(&rig), batch(200).len() as u64);
    assert_eq!(read(&rig, &["card", "exchanges"]).unwrap(), format!("{exchanges}\n"));
    assert_eq!(rig.exchanges(), exchanges);
}

#[test]
fn a_value_is_read_in_pieces_and_anew_from_its_beginning() {
    let rig = Rig::new(Setup::default());
    let ino = Node::Status.ino();
    let fh = rig.ask(|core, reply| core.open(ME, ino, READ, reply)).unwrap().fh;
    let piece = |offset, size| rig.core.read_file(ino, fh, offset, size).unwrap();
    assert_eq!((piece(0, 3), piece(3, 10), piece(6, 10)), (b"rea".to_vec(), b"dy\n".to_vec(), vec![]));
    rig.copy("app", &batch(1)).unwrap();
    assert_eq!(piece(0, 100), b"authenticated\n");
}

#[test]
fn a_batch_is_never_read_back() {
    let rig = Rig::new(Setup::default());
    rig.copy("app", &batch(1)).unwrap();
    assert_eq!(read(&rig, &["issue", "app"]), Err(Refusal::WriteOnly));
}

#[test]
fn what_is_only_read_is_not_opened_for_writing() {
    let rig = Rig::new(Setup::default());
    for (ino, errno) in
        [(Node::Status.ino(), Errno::PERM), (ROOT, Errno::ISDIR), (0x100, Errno::PERM), (0x9999, Errno::NOENT)]
    {
        let opened = rig.ask(|core, reply| core.open(ME, ino, WRITE, reply));
        assert_eq!(opened.unwrap_err().errno(), errno, "{ino:#x}");
    }
}

#[test]
fn names_no_file_can_have_are_too_long_in_every_folder() {
    let rig = Rig::new(Setup::default());
    for parent in [ROOT, ISSUE] {
        assert_eq!(lookup(&rig, parent, &"x".repeat(255)), Err(Refusal::NotFound));
        assert_eq!(lookup(&rig, parent, &"x".repeat(256)), Err(Refusal::NameTooLong));
    }
}
