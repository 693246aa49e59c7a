//! An MQTT broker that is told: version 3.1.1, quality of service 1.
//!
//! A connection lasts as long as there is something to tell. One result is on its way at a time; it is taken when its
//! PUBACK has come on the connection it went out on, so whatever breaks in between, it goes out again.

use super::courier::{Courier, Stop};
use super::outbox::Entry;
use rumqttc::{Client, Connection, Event, MqttOptions, Outgoing, Packet, QoS, RecvTimeoutError, Transport};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest packet, bytes: a result and its topic.
const PACKET_MAX: usize = 256 * 1024;
/// How long the broker has to say that it got the farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// The broker.
#[derive(Clone)]
pub struct MqttSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The topic; `{cid}` in it stands for the card's identification.
    pub topic: String,
    /// What the daemon is called; the broker takes one client of that name.
    pub client_id: String,
    /// User and password.
    pub login: Option<(String, Zeroizing<String>)>,
    /// TLS, where wanted.
    pub tls: Option<TlsSettings>,
    /// How long a result may take to get there.
    pub timeout: Duration,
}

/// Files for TLS, all in PEM.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Certificates of the authorities that are trusted; the system's where none is named.
    pub ca: Option<PathBuf>,
    /// The daemon's own certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for MqttSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MqttSettings of {} at {}:{}", self.client_id, self.host, self.port)
    }
}

/// Why nobody can be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MqttError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it makes no sense.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// TLS is wanted and not built in.
    #[error("this smcardd was built without TLS (feature mqtt-tls)")]
    NoTls,
}

/// Publishes results.
pub struct Publisher {
    settings: MqttSettings,
    transport: Transport,
    link: Option<(Client, Connection)>,
}

impl Publisher {
    /// For this broker. Nothing is sent yet.
    ///
    /// # Errors
    /// Files for TLS that cannot be used.
    pub fn new(settings: MqttSettings) -> Result<Self, MqttError> {
        let transport = match &settings.tls {
            None => Transport::tcp(),
            #[cfg(feature = "mqtt-tls")]
            Some(tls) => super::tls::transport(tls)?,
            #[cfg(not(feature = "mqtt-tls"))]
            Some(_) => return Err(MqttError::NoTls),
        };
        Ok(Publisher { settings, transport, link: None })
    }

    fn connect(&self) -> (Client, Connection) {
        let MqttSettings { host, port, client_id, login, timeout, .. } = &self.settings;
        let mut options = MqttOptions::new(client_id, host, *port);
        options.set_transport(self.transport.clone());
        options.set_max_packet_size(PACKET_MAX, PACKET_MAX);
        options.set_keep_alive(Duration::from_secs(30));
        if let Some((user, password)) = login {
            options.set_credentials(user, password.as_str());
        }
        let (client, mut connection) = Client::new(options, 4);
        let mut network = connection.eventloop.network_options();
        network.set_connection_timeout(timeout.as_secs().max(1));
        connection.eventloop.set_network_options(network);
        (client, connection)
    }

    /// Publishes and waits for the PUBACK.
    fn publish(&mut self, entry: &Entry, stop: &Stop) -> Result<(), String> {
        let deadline = Instant::now() + self.settings.timeout;
        let topic = self.settings.topic.replace("{cid}", &entry.cid);
        let (client, mut connection) = self.link.take().unwrap_or_else(|| self.connect());
        let published = client.try_publish(topic, QoS::AtLeastOnce, false, entry.text.as_bytes());
        published.map_err(|error| error.to_string())?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || stop.is_set() {
                return Err(format!("not acknowledged within {} s", self.settings.timeout.as_secs_f64()));
            }
            match connection.recv_timeout(left) {
                // Nothing else is on its way on this connection.
                Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => break,
                Ok(Ok(_)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(RecvTimeoutError::Disconnected) => return Err("the connection has ended".into()),
            }
        }
        self.link = Some((client, connection));
        Ok(())
    }
}

impl Courier for Publisher {
    fn name(&self) -> String {
        format!("mqtt {}:{}", self.settings.host, self.settings.port)
    }

    fn deliver(&mut self, entry: &Entry, stop: &Stop) -> Result<(), String> {
        self.publish(entry, stop)
    }

    /// Says farewell: a broker takes a connection that just ends for a failure.
    fn rest(&mut self) {
        let Some((client, mut connection)) = self.link.take() else { return };
        let deadline = Instant::now() + FAREWELL;
        if client.try_disconnect().is_err() {
            return;
        }
        while let Ok(Ok(event)) = connection.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if event == Event::Outgoing(Outgoing::Disconnect) {
                break;
            }
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher to {:?}", self.settings)
    }
}
