//! The lock between processes. Alone in its file: a process that starts another may share its descriptors with it for a
//! moment, and with them the locks of other tests.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use smcard_flash::{FlashError, Holder, MIN_SIZE, MappedFile};

/// Plays both parts: started again with an image in its environment, it holds the image until its input ends.
#[test]
fn a_refusal_names_the_process_that_holds_the_image() {
    const IMAGE: &str = "SMCARD_TEST_HOLD";
    if let Some(path) = std::env::var_os(IMAGE) {
        let _held = MappedFile::open(path).unwrap();
        println!("held");
        let _ = std::io::stdin().lines().count();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    drop(MappedFile::create(&path, MIN_SIZE).unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_refusal_names_the_process_that_holds_the_image", "--nocapture"])
        .env(IMAGE, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(output.any(|line| line.unwrap().contains("held")));

    let _reader = File::open(&path).unwrap();
    let name = fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap().trim_end().to_owned();
    let expected = Holder { pid: child.id(), name };
    let error = MappedFile::open(&path).err().unwrap();
    let message = error.to_string();
    assert!(message.contains(&format!("in use by process {} ({})", expected.pid, expected.name)), "{message}");
    match error {
        FlashError::Locked { holders, .. } => assert_eq!(holders, [expected], "and not those that only read"),
        other => panic!("not locked: {other}"),
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    MappedFile::open(&path).unwrap();
}
