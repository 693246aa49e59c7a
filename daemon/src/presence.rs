//! A card that can be taken away while it is in use.
//!
//! An emulated card is in its slot while its image has its name: renaming or removing the image takes the card out, as
//! pulling it would; giving an image that name puts a card in. What the card was doing is broken off as by a power
//! failure, and everything asked of it afterwards is answered with [`LinkError::Gone`], also when the image is back: the
//! card that comes is opened anew.

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use smcard_link::{Answer, CardProperties, Counters, LinkError, LinkStatus, PowerSwitch, SecureCard, WriteId};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Told once, from another thread, when a card is taken out.
pub type Alarm = Arc<dyn Fn() + Send + Sync>;

/// A card in a slot.
pub struct Removable {
    card: Box<dyn SecureCard>,
    slot: Arc<Slot>,
    _watch: Option<Watch>,
}

/// What is known of the slot.
struct Slot {
    gone: AtomicBool,
    power: Option<Arc<dyn PowerSwitch>>,
    alarm: Alarm,
}

impl Slot {
    fn take_out(&self) {
        if !self.gone.swap(true, Ordering::AcqRel) {
            if let Some(power) = &self.power {
                power.cut();
            }
            (self.alarm)();
        }
    }

    fn is_empty(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

impl Removable {
    /// The card whose image lies at `path`. Where the system cannot watch the image the card stays in its slot until it
    /// says itself that it is gone; the log says so.
    #[must_use]
    pub fn new(card: Box<dyn SecureCard>, path: &Path, alarm: Alarm) -> Self {
        let slot = Arc::new(Slot { gone: AtomicBool::new(false), power: card.power_switch(), alarm });
        let watch = Watch::new(path, Arc::clone(&slot));
        if let Err(error) = &watch {
            log::warn!("{}: its removal will not be noticed: {error}", path.display());
        }
        Removable { card, slot, _watch: watch.ok() }
    }

    fn with<T>(&mut self, ask: impl FnOnce(&mut dyn SecureCard) -> Result<T, LinkError>) -> Result<T, LinkError> {
        if self.slot.is_empty() {
            return Err(LinkError::Gone);
        }
        let answer = ask(self.card.as_mut());
        // What came while it was pulled may have come or not; the answer did not get out.
        if self.slot.is_empty() { Err(LinkError::Gone) } else { answer }
    }
}

impl SecureCard for Removable {
    fn properties(&self) -> &CardProperties {
        self.card.properties()
    }

    fn status(&self) -> LinkStatus {
        if self.slot.is_empty() { LinkStatus::Gone } else { self.card.status() }
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Answer, LinkError> {
        self.with(|card| card.transmit(command))
    }

    fn write_open(&mut self, name: &[u8], length: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        self.with(|card| card.write_open(name, length))
    }

    fn write_chunk(&mut self, id: WriteId, chunk: &[u8]) -> Result<(), LinkError> {
        self.with(|card| card.write_chunk(id, chunk))
    }

    fn write_commit(&mut self, id: WriteId) -> Result<Answer, LinkError> {
        self.with(|card| card.write_commit(id))
    }

    fn write_abort(&mut self, id: WriteId) {
        self.card.write_abort(id);
    }

    fn reset(&mut self) -> Result<(), LinkError> {
        self.with(|card| card.reset())
    }

    fn counters(&self) -> Counters {
        self.card.counters()
    }

    fn power_switch(&self) -> Option<Arc<dyn PowerSwitch>> {
        self.card.power_switch()
    }
}

/// An empty slot: what stands in for a card that is gone.
#[derive(Debug)]
pub struct Absent(pub CardProperties);

impl SecureCard for Absent {
    fn properties(&self) -> &CardProperties {
        &self.0
    }

    fn status(&self) -> LinkStatus {
        LinkStatus::Gone
    }

    fn transmit(&mut self, _: &[u8]) -> Result<Answer, LinkError> {
        Err(LinkError::Gone)
    }

    fn write_open(&mut self, _: &[u8], _: u32) -> Result<Result<WriteId, Answer>, LinkError> {
        Err(LinkError::Gone)
    }

    fn write_chunk(&mut self, _: WriteId, _: &[u8]) -> Result<(), LinkError> {
        Err(LinkError::Gone)
    }

    fn write_commit(&mut self, _: WriteId) -> Result<Answer, LinkError> {
        Err(LinkError::Gone)
    }

    fn write_abort(&mut self, _: WriteId) {}

    fn reset(&mut self) -> Result<(), LinkError> {
        Err(LinkError::Gone)
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn power_switch(&self) -> Option<Arc<dyn PowerSwitch>> {
        None
    }
}

/// Watches the folder of an image from a thread of its own.
struct Watch {
    inotify: Arc<OwnedFd>,
    descriptor: i32,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn new(path: &Path, slot: Arc<Slot>) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let wanted = WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let descriptor = inotify::add_watch(&*inotify, folder, wanted)?;
        let image = Image { path: path.to_owned(), identity: identity(path).ok_or(io::ErrorKind::NotFound)? };
        let stop = Arc::new(AtomicBool::new(false));
        let (watched, stopping) = (Arc::clone(&inotify), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("presence".into());
        let thread = thread.spawn(move || watch(&watched, &image, &slot, &stopping))?;
        Ok(Watch { inotify, descriptor, stop, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // The end of the watch is an event as well: it wakes the thread. A watch that has ended by itself has woken it.
        let _ = inotify::remove_watch(&*self.inotify, self.descriptor);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

struct Image {
    path: PathBuf,
    identity: (u64, u64),
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn watch(inotify: &OwnedFd, image: &Image, slot: &Slot, stop: &AtomicBool) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(inotify, &mut buffer);
    while !stop.load(Ordering::Acquire) {
        if identity(&image.path) != Some(image.identity) {
            slot.take_out();
            return;
        }
        match events.next() {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                log::warn!("{}: its removal will not be noticed any more: {error}", image.path.display());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;
    use std::fs;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn card(path: &Path) -> (Removable, Receiver<()>) {
        let (tx, rx) = channel();
        let tx = std::sync::Mutex::new(tx);
        let alarm: Alarm = Arc::new(move || tx.lock().unwrap().send(()).unwrap());
        (Removable::new(Box::new(Scripted::new(|_| Ok(Answer::status(0x9000)))), path, alarm), rx)
    }

    #[test]
    fn a_card_is_gone_when_its_image_is_and_stays_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("card.img");
        let away = dir.path().join("away.img");
        type Removal = fn(&Path, &Path);
        let removals: [Removal; 3] = [
            |path, away| fs::rename(path, away).unwrap(),
            |path, _| fs::remove_file(path).unwrap(),
            |path, away| {
                fs::write(away, "another").unwrap();
                fs::rename(away, path).unwrap();
            },
        ];
        for removal in removals {
            fs::write(&path, "image").unwrap();
            let (mut card, alarm) = card(&path);
            assert!(card.transmit(&[0, 0, 0, 0]).is_ok());
            fs::write(dir.path().join("bystander"), "").unwrap();
            assert!(alarm.recv_timeout(Duration::from_millis(30)).is_err());
            removal(&path, &away);
            alarm.recv_timeout(PATIENCE).unwrap();
            fs::write(&path, "image").unwrap();
            assert!(matches!(card.transmit(&[0, 0, 0, 0]), Err(LinkError::Gone)));
            assert!(matches!(card.reset(), Err(LinkError::Gone)));
            assert_eq!(card.status(), LinkStatus::Gone);
        }
    }

    #[test]
    fn a_card_that_is_not_pulled_goes_without_an_alarm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("card.img");
        fs::write(&path, "image").unwrap();
        let (card, alarm) = card(&path);
        drop(card);
        fs::remove_file(&path).unwrap();
        assert!(alarm.recv_timeout(Duration::from_millis(30)).is_err());
    }

    #[test]
    fn an_image_that_is_gone_before_it_is_watched_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (mut card, _alarm) = card(&dir.path().join("no/card.img"));
        assert!(card.transmit(&[0, 0, 0, 0]).is_ok(), "the card itself is there");
    }
}
