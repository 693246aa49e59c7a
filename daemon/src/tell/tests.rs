//! Results on their way: couriers that fail, a command, a broker that loses an acknowledgment.

use super::command::{CommandSettings, Runner};
use super::courier::{Courier, Delivery, Pace, Stop};
use super::outbox::{Entry, Outbox};
use super::report::tests::report;
use super::{TellSettings, Teller};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const FAST: Pace =
    Pace { first: Duration::from_millis(5), longest: Duration::from_millis(20), look: Duration::from_millis(50) };

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn entry(text: &str) -> Entry {
    Entry { cid: "00FF".into(), number: 1, text: text.into() }
}

/// Takes every result at the second try.
#[derive(Clone, Default)]
struct Reluctant(Arc<Mutex<Vec<(u64, bool)>>>);

impl Courier for Reluctant {
    fn name(&self) -> String {
        "reluctant".into()
    }
    fn deliver(&mut self, entry: &Entry, _: &Stop) -> Result<(), String> {
        let mut seen = self.0.lock().unwrap();
        let taken = seen.contains(&(entry.number, false));
        seen.push((entry.number, taken));
        if taken { Ok(()) } else { Err("not now".into()) }
    }
}

#[test]
fn a_result_is_tried_until_it_is_taken_and_the_next_one_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Outbox::new(dir.path().into(), 9).folder("reluctant").unwrap();
    folder.put("00FF", 1, b"{}").unwrap();
    let courier = Reluctant::default();
    let delivery = Delivery::begin(folder.clone(), Box::new(courier.clone()), FAST).unwrap();
    folder.put("00FF", 2, b"{}").unwrap();
    delivery.wake();
    until("both are taken", || folder.waiting().unwrap().is_empty());
    assert_eq!(*courier.0.lock().unwrap(), [(1, false), (1, true), (2, false), (2, true)]);
    // What another daemon puts there is found as well.
    folder.put("00FF", 3, b"{}").unwrap();
    until("found", || folder.waiting().unwrap().is_empty());
}

#[test]
fn two_daemons_with_one_outbox_tell_each_result_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Outbox::new(dir.path().into(), 100).folder("reluctant").unwrap();
    let courier = Reluctant::default();
    for number in 1..=20 {
        folder.put("00FF", number, b"{}").unwrap();
    }
    let begin = || Delivery::begin(folder.clone(), Box::new(courier.clone()), FAST).unwrap();
    let _both = [begin(), begin()];
    until("all are taken", || folder.waiting().unwrap().is_empty());
    let mut taken: Vec<_> = courier.0.lock().unwrap().iter().filter(|(_, taken)| *taken).map(|(n, _)| *n).collect();
    taken.sort_unstable();
    assert_eq!(taken, (1..=20).collect::<Vec<_>>());
}

fn shell(script: &str, timeout: Duration) -> Runner {
    Runner::new(CommandSettings { program: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), timeout })
}

#[test]
fn a_command_gets_the_result_on_its_input_and_as_variables() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let script =
        format!("cat > {out}; echo $SMCARD_ID $SMCARD_STATE $SMCARD_SW $SMCARD_KEPT ${{SMCARD_ERROR-none}} >> {out}");
    let text = report(0xAB).json(3);
    shell(&script, Duration::from_secs(20)).deliver(&entry(&text), &Stop::default()).unwrap();
    let cid = "AB".repeat(16);
    assert_eq!(fs::read_to_string(out).unwrap(), format!("{text}\n{cid}-3 failed 6a84 4 none\n"));
}

#[test]
fn a_command_that_fails_is_told_by_its_exit_code() {
    let long = Duration::from_secs(20);
    let error = shell("exit 3", long).deliver(&entry("{}"), &Stop::default()).unwrap_err();
    assert!(error.contains("exit status: 3"), "{error}");
    let missing = CommandSettings { program: vec!["/no/such/program".into()], timeout: long };
    assert!(Runner::new(missing).deliver(&entry("{}"), &Stop::default()).is_err());
}

/// True while a process that is no zombie has this identifier in this file.
fn runs(pid: &Path) -> bool {
    let Ok(pid) = fs::read_to_string(pid) else { return false };
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[test]
fn a_command_that_hangs_is_killed_with_what_it_has_started() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!("sleep 300 & echo $! > {}; wait", pid.display());
    let begun = Instant::now();
    let error = shell(&script, Duration::from_millis(300)).deliver(&entry("{}"), &Stop::default()).unwrap_err();
    assert!(error.contains("killed after 0.3 s") && begun.elapsed() < Duration::from_secs(10), "{error}");
    until("the sleep has ended", || pid.exists() && !runs(&pid));
}

#[test]
fn the_end_of_the_daemon_does_not_wait_for_a_command_and_keeps_its_result() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 300", pid.display());
    let program = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    let command = CommandSettings { program, timeout: Duration::from_secs(300) };
    let outbox = dir.path().to_owned();
    let settings = TellSettings { outbox, outbox_max: 9, command: Some(command), ..TellSettings::default() };
    let teller = Teller::new(settings, FAST).unwrap();
    assert_eq!(teller.tell(&report(1)).unwrap(), format!("{}-1", "01".repeat(16)));
    until("it runs", || runs(&pid));
    let begun = Instant::now();
    drop(teller);
    assert!(begun.elapsed() < Duration::from_secs(5));
    until("it is killed", || !runs(&pid));
    let folder = Outbox::new(dir.path().into(), 9).folder("command").unwrap();
    assert_eq!(folder.waiting().unwrap().len(), 1);
}

#[cfg(feature = "mqtt")]
mod mqtt {
    use super::*;
    use crate::tell::mqtt::{MqttError, MqttSettings, Publisher, TlsSettings};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn settings(port: u16) -> MqttSettings {
        let (topic, client_id) = ("card/{cid}/issue".into(), "terminal".into());
        let timeout = Duration::from_secs(20);
        MqttSettings { host: "127.0.0.1".into(), port, topic, client_id, login: None, tls: None, timeout }
    }

    /// One packet of MQTT 3.1.1: its first byte and what follows its length (section 2.2).
    fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
        let (mut first, mut length, mut shift) = ([0], 0, 0);
        stream.read_exact(&mut first).ok()?;
        loop {
            let mut digit = [0];
            stream.read_exact(&mut digit).ok()?;
            length |= usize::from(digit[0] & 0x7F) << shift;
            shift += 7;
            if digit[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        Some((first[0], body))
    }

    #[test]
    fn a_result_whose_acknowledgment_is_lost_is_told_again_and_then_removed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let outbox = dir.path().to_owned();
        let settings = TellSettings { outbox, outbox_max: 9, command: None, mqtt: Some(settings(port)) };
        let teller = Teller::new(settings, FAST).unwrap();
        teller.tell(&report(0xAB)).unwrap();
        let folder = Outbox::new(dir.path().into(), 9).folder("mqtt").unwrap();
        let mut told = Vec::new();
        for acknowledge in [false, true] {
            let (mut stream, _) = listener.accept().unwrap();
            assert_eq!(packet(&mut stream).unwrap().0, 0x10, "CONNECT");
            stream.write_all(&[0x20, 2, 0, 0]).unwrap();
            let (first, body) = packet(&mut stream).unwrap();
            assert_eq!(first, 0x32, "PUBLISH, quality of service 1");
            assert_eq!(folder.waiting().unwrap().len(), 1);
            let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
            let identifier = &body[2 + topic..4 + topic];
            assert_eq!(&body[2..2 + topic], format!("card/{}/issue", "AB".repeat(16)).as_bytes());
            told.push(body[4 + topic..].to_vec());
            if acknowledge {
                stream.write_all(&[0x40, 2, identifier[0], identifier[1]]).unwrap();
                assert_eq!(packet(&mut stream).map(|(first, _)| first), Some(0xE0), "DISCONNECT");
            }
        }
        assert_eq!(told[0], told[1]);
        until("removed", || folder.waiting().unwrap().is_empty());
    }

    #[test]
    fn a_broker_that_says_nothing_or_no_is_a_failure_in_bounded_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let begun = Instant::now();
        let timeout = Duration::from_millis(500);
        let mut publisher = Publisher::new(MqttSettings { timeout, ..settings(port) }).unwrap();
        assert!(publisher.deliver(&entry("{}"), &Stop::default()).is_err());
        assert!(begun.elapsed() < Duration::from_secs(10));
        let mut publisher = Publisher::new(settings(port)).unwrap();
        let refusing = std::thread::spawn(move || {
            // The connection of the first try, then that of the second.
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = packet(&mut stream).and_then(|_| stream.write_all(&[0x20, 2, 0, 5]).ok());
            }
        });
        let error = publisher.deliver(&entry("{}"), &Stop::default()).unwrap_err();
        assert!(error.contains("NotAuthorized"), "{error}");
        refusing.join().unwrap();
    }

    #[test]
    fn files_for_tls_that_cannot_be_used_are_named_at_once() {
        let tls = |ca: &Path| {
            let tls = Some(TlsSettings { ca: Some(ca.to_owned()), identity: None });
            Publisher::new(MqttSettings { tls, ..settings(1) }).map(drop).unwrap_err()
        };
        if cfg!(feature = "mqtt-tls") {
            assert!(matches!(tls(Path::new("/no/such/file")), MqttError::File { .. }));
            assert!(matches!(tls(Path::new("/dev/null")), MqttError::Content { .. }));
        } else {
            assert!(matches!(tls(Path::new("/dev/null")), MqttError::NoTls));
        }
    }
}
