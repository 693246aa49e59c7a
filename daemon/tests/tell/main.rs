//! Results told onwards: by the library to a real broker, and by the shipped program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;
#[path = "../common/mod.rs"]
mod common;

use broker::{Broker, Consumer, until};
use common::{PATIENCE, Place, batch};
use serde_json::Value;
use smcard_ioctl::{Client, StartRequest};
use smcardd::status::Ended;
use smcardd::tell::mqtt::{MqttSettings, TlsSettings};
use smcardd::tell::{Outbox, Pace, Report, TellSettings, Teller};
use smcardd::terminal::IssueResult;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use zeroize::Zeroizing;

const FAST: Pace =
    Pace { first: Duration::from_millis(20), longest: Duration::from_millis(100), look: Duration::from_millis(200) };

fn report() -> Report {
    let result = IssueResult { success: true, sw: 0x9000, given: 12, total: 12, kept: Some(12) };
    let ended = Ended { name: "a".into(), result, silence: None, exchanges: 2, elapsed: Duration::from_millis(5) };
    Report::new(&[0xC1; 16], ended, false)
}

fn settings(broker: &Broker, outbox: &Path) -> TellSettings {
    let mqtt = MqttSettings {
        host: "127.0.0.1".into(),
        port: broker.port,
        topic: "smcard/{cid}/issue".into(),
        client_id: "terminal".into(),
        login: None,
        tls: None,
        timeout: Duration::from_secs(3),
    };
    TellSettings { outbox: outbox.to_owned(), outbox_max: 1000, command: None, mqtt: Some(mqtt) }
}

fn waiting(outbox: &Path) -> usize {
    Outbox::new(outbox.to_owned(), 1000).folder("mqtt").unwrap().waiting().unwrap().len()
}

#[test]
fn what_is_told_while_the_broker_comes_and_goes_arrives_once() {
    let outbox = tempfile::tempdir().unwrap();
    let mut broker = Broker::open();
    broker.start();
    let consumer = Consumer::of(&broker);
    let mut teller = Teller::new(settings(&broker, outbox.path()), FAST).unwrap();
    let mut told = BTreeSet::new();
    for round in 0..60 {
        told.insert(teller.tell(&report()).unwrap());
        match round {
            // Restarted in the middle, at once and after a while out of coverage; the daemon too.
            9 | 29 => {
                broker.stop();
                broker.start();
            }
            39 => broker.stop(),
            44 => {
                drop(teller);
                teller = Teller::new(settings(&broker, outbox.path()), FAST).unwrap();
            }
            49 => broker.start(),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    consumer.wait_for(told.len());
    until("the outbox is empty", || waiting(outbox.path()) == 0);
    consumer.got(|got| {
        let ids: BTreeSet<_> = got.once.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(ids, told);
        assert_eq!(got.once.len(), told.len());
        assert!(got.all >= told.len());
        let numbers: Vec<_> = got.once.iter().map(|(_, told)| told["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=60).collect::<Vec<_>>(), "in the order of their ends");
    });
}

/// Runs openssl in a folder.
fn openssl(dir: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let ended = command.args(arguments.split(' ')).current_dir(dir).stderr(Stdio::null()).stdin(Stdio::null()).status();
    assert!(ended.expect("openssl is missing: run scripts/setup.sh").success(), "openssl {arguments}");
}

/// An authority, and certificates of it for the broker and the daemon.
fn certificates(dir: &Path) {
    openssl(dir, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 2");
    for (name, subject) in [("broker", "/CN=localhost"), ("terminal", "/CN=terminal")] {
        openssl(dir, &format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj {subject}"));
        fs::write(dir.join("extensions"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        openssl(
            dir,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 \
                 -extfile extensions"
            ),
        );
    }
}

#[test]
fn a_broker_is_told_over_tls_only_if_it_proves_who_it_is() {
    let mut broker = Broker::new(|dir| {
        certificates(dir);
        let path = dir.display();
        format!(
            "cafile {path}/ca.pem\ncertfile {path}/broker.pem\nkeyfile {path}/broker.key\n\
             require_certificate true\nuse_identity_as_username true\nallow_anonymous false\n"
        )
    });
    broker.start();
    let file = |name: &str| broker.dir.path().join(name);
    let outbox = tempfile::tempdir().unwrap();
    let with = |ca: &str, identity: bool| {
        let mut settings = settings(&broker, outbox.path());
        let mqtt = settings.mqtt.as_mut().unwrap();
        mqtt.host = "localhost".into();
        let identity = identity.then(|| (file("terminal.pem"), file("terminal.key")));
        mqtt.tls = Some(TlsSettings { ca: Some(file(ca)), identity });
        Teller::new(settings, FAST).unwrap()
    };
    // Another authority, and no certificate of the daemon's own: nothing is told.
    openssl(
        broker.dir.path(),
        "req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -subj /CN=o -days 2",
    );
    for (ca, identity) in [("other.pem", true), ("ca.pem", false)] {
        let teller = with(ca, identity);
        teller.tell(&report()).unwrap();
        std::thread::sleep(Duration::from_millis(400));
        assert!(waiting(outbox.path()) > 0, "{ca}");
    }
    let _teller = with("ca.pem", true);
    until("all is told", || waiting(outbox.path()) == 0);
}

#[test]
fn a_broker_that_wants_a_password_gets_it() {
    let mut broker = Broker::new(|dir| {
        fs::write(dir.join("passwords"), "terminal:open sesame\n").unwrap();
        let hashed = Command::new("mosquitto_passwd").arg("-U").arg(dir.join("passwords")).status();
        assert!(hashed.expect("mosquitto_passwd is missing: run scripts/setup.sh").success());
        format!("allow_anonymous false\npassword_file {}/passwords\n", dir.display())
    });
    broker.start();
    let outbox = tempfile::tempdir().unwrap();
    let with = |password: &str| {
        let mut settings = settings(&broker, outbox.path());
        settings.mqtt.as_mut().unwrap().login = Some(("terminal".into(), Zeroizing::new(password.into())));
        Teller::new(settings, FAST).unwrap()
    };
    let teller = with("wrong");
    teller.tell(&report()).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(waiting(outbox.path()), 1);
    drop(teller);
    let _teller = with("open sesame");
    until("it is told", || waiting(outbox.path()) == 0);
}

fn issue(client: &Client) {
    let outcome = client.wait(client.start(&StartRequest::default()).unwrap(), Some(PATIENCE)).unwrap();
    assert_eq!(outcome.sw, 0x9000);
}

#[test]
fn a_result_made_out_of_coverage_is_told_by_the_next_daemon() {
    let mut broker = Broker::open();
    broker.start();
    let consumer = Consumer::of(&broker);
    broker.stop();
    let place = Place::new();
    let outbox = place.dir.path().join("outbox");
    let config = place.config(&format!(
        "[notify]\noutbox = \"{}\"\n[notify.mqtt]\nhost = \"127.0.0.1\"\nport = {}\n",
        outbox.display(),
        broker.port
    ));
    let arguments = ["--config", config.to_str().unwrap()];
    let card = place.mount(&arguments);
    fs::write(card.path("issue/app.batch"), batch(7)).unwrap();
    let cid = card.read("card/cid");
    issue(&card.client());
    assert_eq!(waiting(&outbox), 1, "kept before anybody is answered");
    let said = card.stop();
    assert!(said.contains("again in 1.0 s"), "{said}");
    broker.start();
    let card = place.mount(&arguments);
    issue(&card.client());
    consumer.wait_for(2);
    consumer.got(|got| {
        let ids: Vec<_> = got.once.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, [format!("{cid}-1"), format!("{cid}-2")]);
        let told = &got.once[0].1;
        assert_eq!((&told["state"], &told["sw"], &told["commands"]), (&"done".into(), &"9000".into(), &7.into()));
    });
}

#[test]
fn the_shipped_program_runs_the_command_that_is_configured() {
    let place = Place::new();
    let out = place.dir.path().join("told");
    let script = format!("cat >> {}", out.display());
    let outbox = place.dir.path().join("outbox");
    let config = place.config(&format!(
        "[notify]\noutbox = \"{}\"\ncommand = [\"/bin/sh\", \"-c\", \"{script}\"]\n",
        outbox.display()
    ));
    let card = place.mount(&["--config", config.to_str().unwrap()]);
    fs::write(card.path("issue/app.batch"), batch(3)).unwrap();
    for _ in 0..3 {
        issue(&card.client());
    }
    until("all is told", || fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 3));
    let text = fs::read_to_string(&out).unwrap();
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.iter().map(|told| told["number"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(told[0]["issue"], "app.batch");
}

#[test]
fn settings_that_cannot_work_keep_the_daemon_from_starting() {
    let place = Place::new();
    for (text, words) in [
        ("[notify]\ncommand = [\"/bin/true\"]\n", "[notify] outbox: a folder is wanted"),
        ("[notify]\noutbox = \"/dev/null\"\ncommand = [\"/bin/true\"]\n", "[notify] outbox /dev/null/command: "),
    ] {
        let config = place.config(text);
        let (code, said) = place.refused(&["--config", config.to_str().unwrap()]);
        assert!(code == 1 && said.contains(words), "{said}");
    }
}
