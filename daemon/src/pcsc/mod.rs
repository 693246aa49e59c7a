//! The emulated card for programs that speak PC/SC: its second interface, brought to pcscd.
//!
//! ```text
//!  opensc-tool, pyscard, ... ──► pcscd ──┬─ vpcd ─────── TCP ──────► vpcd ───┐
//!                                        └─ smcard-ifd ─ Unix socket ─► socket ┴─► session ──► port ──► card
//! ```
//!
//! Both ways carry the same messages ([`session`]) and are off unless the configuration names them. Each has an
//! interface of its own. They run beside the card thread: the card itself serves one command at a time and lets its
//! first interface go first, and while it issues itself it gives a reader no processing; the reader is told at once that
//! there is no answer.
//!
//! A card that is taken out is out of the reader as well: connections end, and come back with a card.

mod frame;
mod port;
pub mod session;
mod socket;
mod vpcd;

pub use port::{Port, Ports};

use crate::config::PcscConfig;
use session::News;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;

/// How long a silent reader is waited for before it is looked whether the card is still there.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why the card cannot be had over PC/SC.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PcscError {
    /// The socket cannot be made.
    #[error("[pcsc] socket {}: {source}", path.display())]
    Socket {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system refuses a thread.
    #[error("[pcsc] starting a thread: {0}")]
    Thread(io::Error),
}

/// What is configured, ready to begin: the socket exists already, so that what is wrong with it is said early.
#[derive(Debug)]
pub struct Prepared {
    vpcd: Option<SocketAddr>,
    socket: Option<socket::Socket>,
}

/// Readers are served as long as it lives.
pub struct Pcsc {
    shared: Arc<Shared>,
    _socket: Option<socket::File>,
}

impl Prepared {
    /// Makes the socket, where one is configured.
    ///
    /// # Errors
    /// [`PcscError::Socket`].
    pub fn new(config: &PcscConfig, group: Option<u32>) -> Result<Self, PcscError> {
        let socket = config.socket.as_deref().map(|path| socket::Socket::bind(path, group, config.mode));
        Ok(Prepared { vpcd: config.vpcd, socket: socket.transpose()? })
    }

    /// Serves readers of the card in these ports; `news` is told when one may have changed the card's content.
    ///
    /// # Errors
    /// [`PcscError::Thread`].
    pub fn start(self, ports: &Ports, news: impl Fn() + Send + Sync + 'static) -> Result<Pcsc, PcscError> {
        let shared = Arc::<Shared>::default();
        let news: Arc<News> = Arc::new(news);
        let mut pcsc = Pcsc { shared: Arc::clone(&shared), _socket: None };
        if let Some(address) = self.vpcd {
            let started = vpcd::start(address, ports.vpcd.clone(), Arc::clone(&news), Arc::clone(&shared));
            started.map_err(PcscError::Thread)?;
        }
        if let Some(socket) = self.socket {
            pcsc._socket = Some(socket.start(ports.socket.clone(), news, shared).map_err(PcscError::Thread)?);
        }
        Ok(pcsc)
    }
}

impl Drop for Pcsc {
    /// Closes all connections. A command that the card has in hand ends with the card.
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// A connection, to be closed from another thread.
enum Closer {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Closer {
    fn close(&self) {
        // One that is closed already is what is wanted.
        let _ = match self {
            Closer::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Closer::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    ending: AtomicBool,
    connections: Mutex<Vec<Closer>>,
    woken: Condvar,
}

impl Shared {
    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// The connection is closed when the daemon ends.
    fn watch(&self, connection: Closer) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_ending() {
            connection.close();
        }
        connections.push(connection);
    }

    /// A connection has ended: its other end sees it closed.
    fn done(&self, which: fn(&Closer) -> bool) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().filter(|connection| which(connection)).for_each(Closer::close);
        connections.retain(|connection| !which(connection));
    }

    fn end(&self) {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        self.ending.store(true, Ordering::Release);
        connections.iter().for_each(Closer::close);
        self.woken.notify_all();
    }

    /// Sleeps, but not beyond the end of the daemon.
    fn sleep(&self, duration: Duration) {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.woken.wait_timeout_while(connections, duration, |_| !self.is_ending());
    }
}
