//! A real broker on loopback, and a consumer that removes duplicates.

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The program; where it is missing the test says so by failing.
fn mosquitto() -> PathBuf {
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let program = folders.split(':').map(|folder| Path::new(folder).join("mosquitto")).find(|path| path.exists());
    program.expect("mosquitto is missing: run scripts/setup.sh")
}

/// A broker that remembers what it has acknowledged.
pub(crate) struct Broker {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Broker {
    /// On a free port of loopback, with further lines in its configuration. It does not run yet.
    pub(crate) fn new(lines: impl FnOnce(&Path) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = dir.path().display();
        let mut text = format!("listener {port} 127.0.0.1\npersistence true\npersistence_location {path}/\n");
        writeln!(text, "autosave_interval 1\nautosave_on_changes true\nuser root\nset_tcp_nodelay true").unwrap();
        text += &lines(dir.path());
        fs::write(dir.path().join("broker.conf"), text).unwrap();
        Broker { dir, port, child: None }
    }

    /// Anybody may come in.
    pub(crate) fn open() -> Self {
        Self::new(|_| "allow_anonymous true\n".to_owned())
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(mosquitto());
        command.arg("-c").arg(self.dir.path().join("broker.conf"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let child = self.child.insert(child);
        let address = ("127.0.0.1", self.port);
        until("the broker listens", || {
            assert_eq!(child.try_wait().unwrap(), None, "the broker has ended");
            TcpStream::connect(address).is_ok()
        });
    }

    /// Stops it as a service manager does: it keeps what it has acknowledged.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let begun = Instant::now();
            while child.try_wait().is_ok_and(|status| status.is_none()) && begun.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Everything a consumer has got.
#[derive(Default)]
pub(crate) struct Got {
    /// By identifier, each once.
    pub(crate) once: Vec<(String, Value)>,
    /// With the duplicates.
    pub(crate) all: usize,
}

/// A consumer with a session that outlives its connections.
pub(crate) struct Consumer {
    got: Arc<Mutex<Got>>,
    ready: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    /// Waits until the broker has its subscription.
    pub(crate) fn of(broker: &Broker) -> Self {
        let mut options = MqttOptions::new("consumer", "127.0.0.1", broker.port);
        options.set_clean_session(false).set_keep_alive(Duration::from_secs(5));
        let (got, ready, stop) = (Arc::<Mutex<Got>>::default(), Arc::<AtomicBool>::default(), Arc::default());
        let mut consumer = Consumer { got, ready, stop, thread: None };
        let (got, ready, stop) = (consumer.got.clone(), consumer.ready.clone(), consumer.stop.clone());
        consumer.thread = Some(std::thread::spawn(move || consume(options, &got, &ready, &stop)));
        until("the consumer has subscribed", || consumer.ready.load(Ordering::Acquire));
        consumer
    }

    pub(crate) fn got<R>(&self, look: impl FnOnce(&Got) -> R) -> R {
        look(&self.got.lock().unwrap())
    }

    pub(crate) fn wait_for(&self, results: usize) {
        until("the results arrive", || self.got(|got| got.once.len() >= results));
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the consumer panicked");
        }
    }
}

fn consume(options: MqttOptions, got: &Mutex<Got>, ready: &AtomicBool, stop: &AtomicBool) {
    let (client, mut connection) = Client::new(options, 16);
    while !stop.load(Ordering::Acquire) {
        match connection.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(Event::Incoming(Packet::ConnAck(ack)))) if !ack.session_present => {
                client.try_subscribe("smcard/+/issue", QoS::AtLeastOnce).unwrap();
            }
            Ok(Ok(Event::Incoming(Packet::SubAck(_)))) => ready.store(true, Ordering::Release),
            Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => {
                let told: Value = serde_json::from_slice(&publish.payload).unwrap();
                let id = told["id"].as_str().unwrap().to_owned();
                assert_eq!(publish.topic, format!("smcard/{}/issue", told["cid"].as_str().unwrap()));
                let mut got = got.lock().unwrap();
                got.all += 1;
                if !got.once.iter().any(|(known, _)| *known == id) {
                    got.once.push((id, told));
                }
            }
            Ok(Err(_)) => std::thread::sleep(Duration::from_millis(20)),
            _ => {}
        }
    }
}
