//! No keys, wrong keys, no card, the end.

use crate::core::OpenFlags;
use crate::refusal::Refusal;
use crate::terminal::KeyRing;
use crate::testing::{ME, Rig, Setup, batch, wait};
use crate::tree::{ISSUE, Node};
use rustix::io::Errno;
use smcard_card::scp03::{SecurityLevel, StaticKeys, TEST_KEY_VERSION};
use smcard_ioctl::Structure;
use smcard_ioctl::abi;
use smcard_link::{LinkError, Recorder};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn wrong_keys() -> Setup {
    let keys = StaticKeys::new([1; 16], [2; 16], [3; 16]);
    Setup { ring: Some(KeyRing::new(keys, TEST_KEY_VERSION, SecurityLevel::ALL)), ..Setup::default() }
}

/// Submits AUTHENTICATE and waits for its result.
fn authenticate(rig: &Rig) -> Result<abi::OperationResult, Refusal> {
    let flags = OpenFlags { write: true, exclusive: false };
    let fh = rig.ask(|core, reply| core.open(ME, 3, flags, reply)).unwrap().fh;
    let request = abi::Authenticate { version: 1, ..Default::default() };
    let answer = rig.core.ioctl(ME, 3, fh, abi::AUTHENTICATE, &request.to_bytes())?;
    let ticket = abi::Authenticate::from_bytes(&answer).unwrap().ticket;
    let request = abi::OperationResult { version: 1, ticket, ..Default::default() };
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match rig.core.ioctl(ME, 3, fh, abi::RESULT, &request.to_bytes()) {
            Err(Refusal::Pending) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            answer => return answer.map(|bytes| abi::OperationResult::from_bytes(&bytes).unwrap()),
        }
    }
}

#[test]
fn without_keys_nobody_is_a_preparer_and_operators_go_on() {
    let rig = Rig::new(Setup { ring: None, ..Setup::default() });
    assert_eq!(rig.create("app").unwrap_err().errno(), Errno::ACCESS);
    assert_eq!(rig.line(), "ready; not authenticated: no keys are configured");
    assert_eq!(authenticate(&rig).err(), Some(Refusal::Unsupported));
    assert!(rig.ask(|core, reply| core.opendir(Node::Apps.ino(), reply)).is_ok());
}

#[test]
fn wrong_keys_are_tried_once_until_somebody_asks() {
    let rig = Rig::new(wrong_keys());
    let before = rig.exchanges();
    assert_eq!(rig.create("app").unwrap_err().errno(), Errno::ACCESS);
    assert_eq!(rig.exchanges() - before, 1, "INITIALIZE UPDATE, and the card's proof is wrong");
    for _ in 0..3 {
        assert_eq!(rig.create("app").unwrap_err().errno(), Errno::ACCESS);
        rig.ask(|core, reply| core.opendir(Node::Apps.ino(), reply)).unwrap();
    }
    assert_eq!(rig.exchanges() - before, 1);
    assert!(rig.line().contains("the card has other keys"), "{}", rig.line());
    let asked = authenticate(&rig).unwrap();
    assert_eq!((asked.state, asked.result), (2, Errno::ACCESS.raw_os_error()));
    assert_eq!(rig.exchanges() - before, 2);
}

#[test]
fn a_manual_channel_waits_for_authenticate() {
    let rig = Rig::new(Setup { auto: false, ..Setup::default() });
    assert_eq!(rig.copy("app", &batch(1)).unwrap_err().errno(), Errno::ACCESS);
    assert_eq!(authenticate(&rig).unwrap().state, 1);
    rig.copy("app", &batch(1)).unwrap();
}

#[test]
fn a_failed_link_is_no_wrong_key() {
    let rig = Rig::new(Setup::default());
    rig.failures.lock().unwrap().push_back(Some(LinkError::NoAnswer(Duration::from_secs(1))));
    assert_eq!(rig.create("app").unwrap_err().errno(), Errno::TIMEDOUT);
    rig.copy("app", &batch(1)).unwrap();
}

#[test]
fn a_link_that_fails_in_an_upload_fails_the_upload() {
    let rig = Rig::new(Setup::default());
    rig.copy("first", &batch(1)).unwrap();
    let batch = batch(40);
    let fh = rig.create("app").unwrap();
    rig.write(fh, 0, &batch[..100]).unwrap();
    rig.failures.lock().unwrap().push_back(Some(LinkError::Mute("worn out".into())));
    assert_eq!(rig.write(fh, 100, &batch[100..]).unwrap_err().errno(), Errno::IO);
    assert_eq!(rig.core.flush(ME, fh).unwrap_err().errno(), Errno::IO);
    rig.core.release(fh);
    assert_eq!(rig.list().len(), 1);
    assert!(rig.line().contains("app: the card is mute"), "{}", rig.line());
}

#[test]
fn a_card_that_is_gone_is_enodev_until_it_is_back() {
    let rig = Rig::new(Setup::default());
    rig.copy("app", &batch(1)).unwrap();
    rig.failures.lock().unwrap().extend([Some(LinkError::Gone), Some(LinkError::Gone)]);
    assert_eq!(rig.unlink("app"), Err(Refusal::Gone));
    assert_eq!(rig.create("new").err(), Some(Refusal::Gone));
    assert_eq!(rig.unlink("app"), Err(Refusal::Gone));
    assert_eq!(rig.ask(|core, reply| core.opendir(ISSUE, reply)).err(), Some(Refusal::Gone));
    assert_eq!(rig.ask(|core, reply| core.lookup(ISSUE, b"app", reply)).err(), Some(Refusal::Gone));
    assert_eq!(rig.line(), "none: the card is gone");
    let deadline = Instant::now() + Duration::from_secs(20);
    while rig.create("new").is_err() {
        assert!(Instant::now() < deadline, "the card does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(rig.list().iter().any(|(name, _)| name == "app"));
}

#[test]
fn whoever_waits_at_the_end_is_answered() {
    let rig = Rig::new(Setup { delay: Duration::from_millis(100), ..Setup::default() });
    rig.copy("app", &batch(100)).unwrap();
    let flags = OpenFlags { write: true, exclusive: false };
    let fh = rig.ask(|core, reply| core.open(ME, 3, flags, reply)).unwrap().fh;
    let start = abi::Start { version: 1, ..Default::default() };
    let begun = Instant::now();
    rig.core.ioctl(ME, 3, fh, abi::START, &start.to_bytes()).unwrap();
    let looking = rig.begin(|core, reply| core.statfs(reply));
    assert!(wait(&looking).is_ok(), "looking around does not wait for the issue");
    rig.core.close();
    let running = || rig.core.read(|state| state.view.running.is_some());
    while running() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "the running issue is broken off");
    assert_eq!(rig.create("late"), Err(Refusal::Ending));
}

#[test]
fn a_panic_of_the_card_thread_leaves_nobody_waiting() {
    use crate::card_thread::{Panicked, Settings, Worker};
    use crate::core::{Core, Surroundings};
    use crate::reply::Reply;
    use crate::status::View;
    use crate::terminal::Manager;
    use crate::testing::Scripted;
    use smcard_link::Answer;

    let card = Scripted::new(|command| match command[..4] {
        [_, 0xCA, _, 0x71] => Ok(Answer { data: vec![0xDF, 0x71, 0], sw: 0x9000 }),
        [_, 0xCA, _, 0x72] => Ok(Answer { data: [&[0xDF, 0x72, 17][..], &[0; 17]].concat(), sw: 0x9000 }),
        [_, 0xCA, _, 0x73] => Ok(Answer { data: [&[0xDF, 0x73, 24][..], &[0; 24]].concat(), sw: 0x9000 }),
        [_, 0xCA, _, 0x74] => Ok(Answer { data: vec![0xDF, 0x74, 4, 1, 0, 0, 0], sw: 0x9000 }),
        _ => panic!("as the test wants it"),
    });
    let manager = Manager::new(Box::new(card), Some(crate::testing::test_ring()), true);
    let rights = crate::testing::RIGHTS;
    let core = Core::new(
        View::default(),
        Surroundings { rights, process_of: Some, power: None, trace: Arc::new(Recorder::new(1)), recording: None },
    );
    let worker = Worker::new(core.clone(), manager, Settings::default()).unwrap();
    let (tx, rx) = std::sync::mpsc::channel();
    for name in [b"first", b"later"] {
        let tx = tx.clone();
        let reply = Reply::new(move |answer: Result<_, Refusal>| tx.send(answer.map(|_| ())).unwrap());
        core.create(ME, ISSUE, name, crate::testing::WRITE, reply);
    }
    assert_eq!(std::thread::spawn(move || worker.run()).join().unwrap(), Err(Panicked));
    drop(tx);
    assert_eq!(rx.iter().collect::<Vec<_>>(), [Err(Refusal::Ending), Err(Refusal::Ending)]);
}
