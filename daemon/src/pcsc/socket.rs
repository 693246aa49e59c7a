//! The way over `smcard-ifd`: a Unix socket whose rights say who may be a reader. One reader at a time.

use super::port::Port;
use super::session::{self, Ended, News};
use super::{Closer, PATIENCE, PcscError, Shared};
use rustix::fs::{Gid, Mode, chmod, chown};
use rustix::net::sockopt::socket_peercred;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a reader may take to take an answer.
const TAKING: Duration = Duration::from_secs(5);

/// A socket nobody is accepted from yet. Its file goes with it.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    file: File,
}

/// The file of a socket; taken away with it.
#[derive(Debug)]
pub(super) struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        // Wakes the thread that accepts, if there is one.
        let _ = UnixStream::connect(&self.0);
        let _ = fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Makes the socket with the rights it is to have, in the place of one that a dead daemon left.
    pub(super) fn bind(path: &Path, group: Option<u32>, mode: u16) -> Result<Self, PcscError> {
        let failed = |source| PcscError::Socket { path: path.to_owned(), source };
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            match UnixStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed)?,
                _ => return Err(failed(io::Error::from(ErrorKind::AddrInUse))),
            }
        }
        // Nobody can connect before the rights are what they are to be.
        let umask = rustix::process::umask(Mode::from_raw_mode(0o777));
        let bound = UnixListener::bind(path);
        rustix::process::umask(umask);
        let socket = Socket { listener: bound.map_err(failed)?, file: File(path.to_owned()) };
        if let Some(group) = group {
            chown(path, None, Some(Gid::from_raw(group))).map_err(|error| failed(error.into()))?;
        }
        chmod(path, Mode::from_raw_mode(u32::from(mode))).map_err(|error| failed(error.into()))?;
        Ok(socket)
    }

    /// Accepts readers aside, until the daemon ends.
    pub(super) fn start(self, port: Port, news: Arc<News>, shared: Arc<Shared>) -> io::Result<File> {
        let Socket { listener, file } = self;
        log::info!("readers find the card at {}", file.0.display());
        let work = move || accept(&listener, &port, &news, &shared);
        thread::Builder::new().name("pcsc".into()).spawn(work)?;
        Ok(file)
    }
}

fn accept(listener: &UnixListener, port: &Port, news: &Arc<News>, shared: &Arc<Shared>) {
    let taken = Arc::new(AtomicBool::new(false));
    loop {
        let accepted = listener.accept();
        if shared.is_ending() {
            return;
        }
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("PC/SC: accepting a reader: {error}");
                shared.sleep(PATIENCE);
                continue;
            }
        };
        // Closing at once says that there is no card in this reader.
        if port.card().is_none() {
            continue;
        }
        if taken.swap(true, Ordering::AcqRel) {
            log::info!("PC/SC: a second reader is turned away");
            continue;
        }
        if let Err(error) = begin(stream, port, news, shared, &taken) {
            taken.store(false, Ordering::Release);
            log::warn!("PC/SC: a reader: {error}");
        }
    }
}

fn begin(
    stream: UnixStream,
    port: &Port,
    news: &Arc<News>,
    shared: &Arc<Shared>,
    taken: &Arc<AtomicBool>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(TAKING))?;
    shared.watch(Closer::Unix(stream.try_clone()?));
    let peer = socket_peercred(&stream)?;
    log::info!("PC/SC: a reader of user {} is there", peer.uid.as_raw());
    let (port, news, shared, taken) = (port.clone(), Arc::clone(news), Arc::clone(shared), Arc::clone(taken));
    let work = move || {
        match session::serve(stream, &port, &*news, &shared.ending, &mut false) {
            Ok(Ended::NoCard) => log::info!("PC/SC: the card is out of the reader"),
            Ok(Ended::ByReader | Ended::Stopped) => log::info!("PC/SC: the reader is gone"),
            Err(error) => log::info!("PC/SC: the reader is gone: {error}"),
        }
        shared.done(|connection| matches!(connection, Closer::Unix(_)));
        taken.store(false, Ordering::Release);
    };
    thread::Builder::new().name("pcsc-reader".into()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcsc::{Pcsc, Ports, Prepared};
    use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;

    fn prepared(path: &Path) -> Result<Prepared, PcscError> {
        let config = crate::config::PcscConfig { socket: Some(path.to_owned()), mode: 0o620, ..Default::default() };
        Prepared::new(&config, None)
    }

    fn started(path: &Path, ports: &Ports) -> Pcsc {
        prepared(path).unwrap().start(ports, || ()).unwrap()
    }

    /// True where there is a card for this reader.
    fn has_card(stream: &mut UnixStream) -> bool {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let asked = stream.write_all(&[0, 1, 4]);
        asked.is_ok() && stream.read_exact(&mut [0; 2 + session::ATR.len()]).is_ok()
    }

    #[test]
    fn a_socket_has_its_rights_and_goes_with_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pcsc.sock");
        let pcsc = started(&path, &Ports::default());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o620);
        let error = prepared(&path).unwrap_err().to_string();
        assert!(error.contains("pcsc.sock") && error.contains("in use"), "{error}");
        drop(pcsc);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_dead_daemon_left_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pcsc.sock");
        drop(UnixListener::bind(&path).unwrap());
        drop(prepared(&path).unwrap());
        fs::write(&path, "a file").unwrap();
        assert!(prepared(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
        let error = prepared(&folder.path().join("no/such/folder")).unwrap_err().to_string();
        assert!(error.contains("no/such/folder"), "{error}");
    }

    #[test]
    fn one_reader_at_a_time_and_none_without_a_card() {
        let folder = tempfile::tempdir().unwrap();
        let (image, path) = (folder.path().join("card.img"), folder.path().join("pcsc.sock"));
        let ports = Ports::default();
        let pcsc = started(&path, &ports);
        let connect = || UnixStream::connect(&path).unwrap();
        assert!(!has_card(&mut connect()));
        EmulatedCard::create(&image, &CreateOptions { size: 1 << 20, ..CreateOptions::default() }).unwrap();
        let card = EmulatedCard::open(&image, OpenOptions::default()).unwrap();
        ports.insert(&card);
        let mut first = connect();
        assert!(has_card(&mut first));
        assert!(!has_card(&mut connect()));
        assert!(has_card(&mut first));
        drop(first);
        let freed = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(20));
            has_card(&mut connect())
        });
        assert!(freed, "the next reader gets its turn");
        drop(pcsc);
        assert!(UnixStream::connect(&path).is_err());
    }
}
