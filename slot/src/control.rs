//! The control socket: cards are put in and pulled out while the machine runs.
//!
//! A client connects, sends one line (`insert PATH`, `eject` or `status`), and reads the answer until the end: its first
//! word is `ok` or `error`. A path reaches to the end of the line.

use crate::socket::Listener;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Longest line: a word and a path.
const LINE_MAX: usize = 8 + 4096;
/// Clients at a time; further ones are sent away.
const CLIENTS_MAX: usize = 16;
/// How long a client waits for its answer: opening a large image may take a while.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Put the card of this image in.
    Insert(PathBuf),
    /// Pull the card out.
    Eject,
    /// Say how things stand.
    Status,
}

impl Request {
    fn parse(line: &[u8]) -> Option<Self> {
        match line {
            b"eject" => Some(Request::Eject),
            b"status" => Some(Request::Status),
            _ => {
                let path = line.strip_prefix(b"insert ").filter(|path| !path.is_empty())?;
                Some(Request::Insert(PathBuf::from(OsString::from_vec(path.to_vec()))))
            }
        }
    }

    fn line(&self) -> Vec<u8> {
        match self {
            Request::Insert(path) => [b"insert ", path.as_os_str().as_bytes(), b"\n"].concat(),
            Request::Eject => b"eject\n".to_vec(),
            Request::Status => b"status\n".to_vec(),
        }
    }
}

/// Why a request was not done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No program serves the socket.
    #[error("{}: {source}; is smcard-slot running?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path cannot be sent.
    #[error("{}: a path with a line break cannot be sent", .0.display())]
    Path(PathBuf),
    /// The connection broke, or the answer did not come in time.
    #[error("no answer: {0}")]
    Answer(#[source] io::Error),
    /// The program refuses it.
    #[error("{0}")]
    Refused(String),
}

/// Sends a request to a running program. The text is what it says, perhaps nothing.
///
/// # Errors
/// It is not running, or refuses.
pub fn request(path: &Path, request: &Request) -> Result<String, RequestError> {
    if let Request::Insert(image) = request {
        if image.as_os_str().as_bytes().contains(&b'\n') {
            return Err(RequestError::Path(image.clone()));
        }
    }
    let connect = |source| RequestError::Connect { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).map_err(connect)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(RequestError::Answer)?;
    stream.write_all(&request.line()).map_err(RequestError::Answer)?;
    let mut answer = String::new();
    stream.take(1 << 16).read_to_string(&mut answer).map_err(RequestError::Answer)?;
    match answer.split_once(['\n', ' ']) {
        Some(("ok", text)) => Ok(text.trim_end().to_owned()),
        Some(("error", text)) => Err(RequestError::Refused(text.trim_end().to_owned())),
        _ => Err(RequestError::Answer(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// The serving side.
#[derive(Debug)]
pub struct Control {
    listener: Listener,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    line: Vec<u8>,
}

impl Control {
    /// Serves a socket.
    #[must_use]
    pub fn new(listener: Listener) -> Self {
        Control { listener, clients: Vec::new() }
    }

    /// What to poll for input.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listener = std::iter::once(self.listener.socket().as_fd());
        listener.chain(self.clients.iter().map(|client| client.stream.as_fd()))
    }

    /// Takes what has come, and answers whole requests with what `perform` says. Never waits.
    pub fn serve(&mut self, mut perform: impl FnMut(Request) -> Result<String, String>) {
        while let Ok((stream, _)) = self.listener.socket().accept() {
            if self.clients.len() < CLIENTS_MAX && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client { stream, line: Vec::new() });
            }
        }
        self.clients.retain_mut(|client| {
            let Some(line) = client.read() else { return true };
            let result = match line.as_deref().map(Request::parse) {
                None => return false,
                Some(None) => Err("insert PATH, eject or status".to_owned()),
                Some(Some(request)) => perform(request),
            };
            let answer = match result {
                Ok(text) if text.is_empty() => "ok\n".to_owned(),
                Ok(text) => format!("ok {text}\n"),
                Err(text) => format!("error {text}\n"),
            };
            // A client that is gone has no use for it.
            let _ = client.stream.write_all(answer.as_bytes());
            false
        });
    }
}

impl Client {
    /// `None`: not yet; `Some(None)`: there will be no line.
    fn read(&mut self) -> Option<Option<Vec<u8>>> {
        let mut bytes = [0; 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Some(None),
                Ok(count) => self.line.extend(bytes.iter().take(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Some(None),
            }
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                self.line.truncate(end);
                return Some(Some(std::mem::take(&mut self.line)));
            }
            if self.line.len() > LINE_MAX {
                return Some(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(ask: &Request) -> Result<String, RequestError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let mut control = Control::new(Listener::bind(&path).unwrap());
        std::thread::scope(|scope| {
            let client = scope.spawn(|| request(&path, ask));
            while !client.is_finished() {
                control.serve(|request| match request {
                    Request::Insert(path) if path.ends_with("bad.img") => Err("no card".to_owned()),
                    Request::Insert(path) => Ok(path.display().to_string()),
                    Request::Eject => Ok(String::new()),
                    Request::Status => Ok("a\nb".to_owned()),
                });
                std::thread::sleep(Duration::from_millis(1));
            }
            client.join().unwrap()
        })
    }

    #[test]
    fn requests_are_answered() {
        assert_eq!(asked(&Request::Insert("/a card.img".into())).unwrap(), "/a card.img");
        assert_eq!(asked(&Request::Eject).unwrap(), "");
        assert_eq!(asked(&Request::Status).unwrap(), "a\nb");
        assert!(
            matches!(asked(&Request::Insert("bad.img".into())), Err(RequestError::Refused(why)) if why == "no card")
        );
        assert!(matches!(asked(&Request::Insert("a\nb".into())), Err(RequestError::Path(_))));
    }

    #[test]
    fn nonsense_is_refused_and_endless_lines_are_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let mut control = Control::new(Listener::bind(&path).unwrap());
        let refuse = |_| Err("not asked".to_owned());
        for (line, expected) in [("insert \n", "error insert"), ("dance\n", "error insert"), ("eject\nx", "error not")]
        {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(line.as_bytes()).unwrap();
            control.serve(refuse);
            let mut answer = String::new();
            // A client that said more than a line may find its connection reset behind the answer.
            let _ = client.read_to_string(&mut answer);
            assert!(answer.starts_with(expected), "{line:?}: {answer}");
        }
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(&[b'x'; LINE_MAX + 2000]).unwrap();
        control.serve(refuse);
        assert_eq!(control.clients.len(), 0);
        assert!(matches!(request(&folder.path().join("none"), &Request::Eject), Err(RequestError::Connect { .. })));
    }
}
