//! A monitor of few words against the whole loop, over real sockets.

use super::*;
use crate::control::{Request, request};
use crate::sdhci::Controller;
use crate::sdhci::testing::{Card, DATA, TABLE};
use crate::vfio::message::{Fields, HEADER, Header, command};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use smcard_link::SdBus;
use std::fs::File;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::thread::JoinHandleExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// The program in a thread, over cards of the testing kind. It ends with its first machine.
struct Running {
    folder: tempfile::TempDir,
    thread: JoinHandle<End>,
}

impl Running {
    fn start(card: Option<&Card>, once: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (socket, control) = (folder.path().join("s"), folder.path().join("c"));
        let (listener, control) = (Listener::bind(&socket).unwrap(), Listener::bind(&control).unwrap());
        let (first, later) = (card.cloned(), card.cloned().unwrap_or_else(|| Card::new(16)));
        let thread = thread::spawn(move || {
            let open = move |path: &Path| match path.to_str() {
                Some("/card") => Ok(Box::new(later.clone()) as Box<dyn SdBus>),
                _ => Err("no card there".to_owned()),
            };
            let mut bay = Bay::new(Controller::new(), Box::new(open));
            if first.is_some() {
                bay.insert(Path::new("/card")).unwrap();
            }
            Server::new(bay, listener, control).run(&Signals::new().unwrap(), once).unwrap()
        });
        Running { folder, thread }
    }

    fn raise(&self, signal: Signal) {
        nix::sys::pthread::pthread_kill(self.thread.as_pthread_t(), signal).unwrap();
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("c")
    }
}

struct Monitor {
    stream: UnixStream,
    memory: File,
    counter: OwnedFd,
}

impl Monitor {
    fn connect(running: &Running) -> Self {
        let stream = UnixStream::connect(running.folder.path().join("s")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let memory = File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap());
        memory.set_len(0x8_0000).unwrap();
        Monitor { stream, memory, counter: eventfd(0, EventfdFlags::NONBLOCK).unwrap() }
    }

    /// As QEMU does it: versions, memory, interrupt.
    fn set_up(running: &Running) -> Self {
        let mut monitor = Monitor::connect(running);
        let version = monitor.ask(command::VERSION, b"\0\0\0\0{\"capabilities\":{}}\0", &[]).unwrap();
        assert_eq!(&version[..4], [0; 4]);
        assert_eq!(version.last(), Some(&0));
        let mut map = [32_u32, 3].map(u32::to_le_bytes).concat();
        map.extend([0_u64, 0, 0x8_0000].map(u64::to_le_bytes).concat());
        let memory = monitor.memory.try_clone().unwrap();
        monitor.ask(command::DMA_MAP, &map, &[memory.as_fd()]).unwrap();
        let counter = monitor.counter.try_clone().unwrap();
        monitor.interrupts(0x24, &[counter.as_fd()]);
        monitor
    }

    fn ask(&mut self, command: u16, body: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<Vec<u8>, u32> {
        let mut bytes = [7_u16, command].map(u16::to_le_bytes).concat();
        bytes.extend([u32::try_from(HEADER + body.len()).unwrap(), 0, 0].map(u32::to_le_bytes).concat());
        bytes.extend(body);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        sendmsg(&self.stream, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty()).unwrap();
        let mut first = [0; HEADER];
        self.stream.read_exact(&mut first).unwrap();
        let header = Header::parse(&first);
        assert_eq!((header.id, header.command, header.flags & 1), (7, command, 1));
        let mut body = vec![0; usize::try_from(header.size).unwrap() - HEADER];
        self.stream.read_exact(&mut body).unwrap();
        if header.flags & 0x20 == 0 { Ok(body) } else { Err(header.error) }
    }

    fn interrupts(&mut self, flags: u32, descriptors: &[BorrowedFd<'_>]) {
        let body = [20, flags, 0, 0, 1].map(u32::to_le_bytes).concat();
        self.ask(command::SET_INTERRUPTS, &body, descriptors).unwrap();
    }

    fn read(&mut self, region: u32, offset: u64, count: u32) -> Vec<u8> {
        let mut body = offset.to_le_bytes().to_vec();
        body.extend([region, count].map(u32::to_le_bytes).concat());
        self.ask(command::REGION_READ, &body, &[]).unwrap().split_off(16)
    }

    fn get(&mut self, offset: u64) -> u32 {
        u32::from_le_bytes(self.read(0, offset, 4).try_into().unwrap())
    }

    fn set(&mut self, offset: u64, bytes: &[u8]) {
        let mut body = offset.to_le_bytes().to_vec();
        body.extend([0, u32::try_from(bytes.len()).unwrap()].map(u32::to_le_bytes).concat());
        body.extend(bytes);
        self.ask(command::REGION_WRITE, &body, &[]).unwrap();
    }

    fn begin(&mut self) {
        self.set(0x34, &[0xFF; 8]);
        self.set(0x29, &[0x0F]);
        self.set(0x2C, &[5, 0, 0x0E]);
        self.set(0x28, &[0x12]);
    }

    /// Waits for interrupts until `wanted` are there, and acknowledges all.
    fn wait(&mut self, wanted: u32) {
        let mut seen = 0;
        while seen & wanted != wanted {
            let mut polled = [PollFd::new(&self.counter, PollFlags::IN)];
            let timeout = Timespec::try_from(PATIENCE).unwrap();
            assert_eq!(poll(&mut polled, Some(&timeout)), Ok(1), "seen {seen:#x} of {wanted:#x}");
            rustix::io::read(&self.counter, &mut [0; 8]).unwrap();
            let status = self.get(0x30);
            seen |= status;
            self.set(0x30, &status.to_le_bytes());
            self.interrupts(0x11, &[]);
        }
        assert_eq!(seen & 0x8000, 0, "{seen:#x}");
    }
}

#[test]
fn a_machine_finds_the_controller_and_reads_a_card_by_dma_and_interrupts() {
    let card = Card::new(64);
    card.state().waits = 2;
    let running = Running::start(Some(&card), true);
    let mut monitor = Monitor::set_up(&running);
    let info = monitor.ask(command::DEVICE_INFO, &[16_u32, 0, 0, 0].map(u32::to_le_bytes).concat(), &[]).unwrap();
    assert_eq!(info, [16_u32, 3, 9, 5].map(u32::to_le_bytes).concat());
    let region = monitor.ask(command::REGION_INFO, &[32_u32, 0, 7, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat(), &[]);
    let region = region.unwrap();
    assert_eq!(Fields(&region[16..]).u64(), Some(256));
    assert_eq!(monitor.read(7, 8, 4), [0, 0x01, 0x05, 0x08], "an SD host controller with DMA");

    monitor.begin();
    let data: Vec<u8> = (0..4096_u32).map(|n| (n % 253).to_le_bytes()[0]).collect();
    for index in [25_u8, 18] {
        let from = if index == 25 { data.as_slice() } else { &[0; 4096] };
        monitor.memory.write_all_at(from, DATA.into()).unwrap();
        let descriptor = [&[0x23, 0, 0, 0x10][..], &DATA.to_le_bytes()].concat();
        monitor.memory.write_all_at(&descriptor, TABLE.into()).unwrap();
        monitor.set(0x58, &TABLE.to_le_bytes());
        monitor.set(0x04, &[0, 2, 8, 0]);
        monitor.set(0x08, &[5, 0, 0, 0]);
        monitor.set(0x0C, &[if index == 25 { 0x27 } else { 0x37 }, 0, 0x3A, index]);
        monitor.wait(3);
    }
    let mut back = vec![0; 4096];
    monitor.memory.read_exact_at(&mut back, DATA.into()).unwrap();
    assert!(back == data);
    assert!(card.state().blocks[5][..] == data[..512]);
    drop(monitor);
    assert_eq!(running.thread.join().unwrap(), End::Machine);
    assert!(!card.state().powered, "the machine's end takes the card's power");
}

#[test]
fn a_card_is_put_in_and_pulled_out_under_a_running_machine() {
    let running = Running::start(None, true);
    let control = running.control();
    assert_eq!(request(&control, &Request::Status).unwrap(), "card=none\nmachine=none");
    let mut monitor = Monitor::set_up(&running);
    monitor.begin();
    assert_eq!(monitor.get(0x24) & 1 << 16, 0);
    assert!(request(&control, &Request::Eject).unwrap_err().to_string().contains("empty"));
    assert!(request(&control, &Request::Insert("/none".into())).unwrap_err().to_string().contains("no card there"));
    request(&control, &Request::Insert("/card".into())).unwrap();
    monitor.wait(1 << 6);
    assert_eq!(monitor.get(0x24) & 1 << 16, 1 << 16);
    assert_eq!(request(&control, &Request::Status).unwrap(), "card=/card\nmachine=connected");
    assert!(request(&control, &Request::Insert("/card".into())).unwrap_err().to_string().contains("eject it first"));
    request(&control, &Request::Eject).unwrap();
    monitor.wait(1 << 7);
    drop(monitor);
    running.thread.join().unwrap();
}

#[test]
fn one_machine_comes_after_the_other_and_a_second_is_sent_away() {
    let running = Running::start(Some(&Card::new(4)), false);
    let mut first = Monitor::set_up(&running);
    first.begin();
    let mut second = Monitor::connect(&running);
    assert_eq!(second.stream.read(&mut [0]).unwrap(), 0);
    drop(first);
    let mut third = Monitor::set_up(&running);
    assert_eq!(third.get(0x34), 0, "the next machine finds a controller as after power-on");
    // What breaks the framing ends the connection, and the program goes on.
    std::io::Write::write_all(&mut third.stream, &[0xFF; 64]).unwrap();
    assert!(matches!(third.stream.read(&mut [0]), Ok(0) | Err(_)));
    Monitor::set_up(&running).begin();
}

#[test]
fn a_signal_ends_the_program_and_frees_the_card() {
    let running = Running::start(Some(&Card::new(4)), false);
    let mut monitor = Monitor::set_up(&running);
    monitor.begin();
    let sockets = [running.folder.path().join("s"), running.control()];
    assert!(sockets.iter().all(|path| path.exists()));
    // To the thread that has blocked it, not to the whole test.
    running.raise(Signal::SIGTERM);
    assert_eq!(running.thread.join().unwrap(), End::Signal);
    assert!(sockets.iter().all(|path| !path.exists()));
    assert_eq!(monitor.stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn requests_that_make_no_sense_get_an_error_number() {
    let running = Running::start(Some(&Card::new(4)), true);
    let mut monitor = Monitor::connect(&running);
    let inval = rustix::io::Errno::INVAL.raw_os_error().unsigned_abs();
    assert!(monitor.ask(command::DEVICE_INFO, &[0; 16], &[]).is_err(), "no version yet");
    assert!(monitor.ask(command::VERSION, b"\x01\0\0\0{}\0", &[]).is_err(), "another major version");
    monitor.ask(command::VERSION, b"\0\0\x01\0{}\0", &[]).unwrap();
    let access = |offset: u64, region: u32, count: u32| {
        [&offset.to_le_bytes()[..], &region.to_le_bytes(), &count.to_le_bytes()].concat()
    };
    for body in [access(0, 0, 257), access(u64::MAX, 0, 1), access(0, 1, 1), access(0, 99, 1), access(0, 0, u32::MAX)] {
        assert_eq!(monitor.ask(command::REGION_READ, &body, &[]), Err(inval));
        assert_eq!(monitor.ask(command::REGION_WRITE, &body, &[]), Err(inval));
    }
    for (command, body) in [
        (command::REGION_WRITE, &access(0, 0, 4)[..]),
        (command::DMA_MAP, &[0; 8]),
        (command::DMA_MAP, &[0; 32]),
        (command::REGION_INFO, &[0xFF; 32]),
        (command::INTERRUPT_INFO, &[0xFF; 16]),
        (command::SET_INTERRUPTS, &[0xFF; 20]),
    ] {
        assert_eq!(monitor.ask(command, body, &[]), Err(inval), "{command}");
    }
    assert!(monitor.ask(99, &[], &[]).is_err());
    assert!(monitor.ask(command::RESET, &[], &[]).is_ok());
    assert!(monitor.ask(command::DMA_UNMAP, &[0; 24], &[]).is_ok(), "all, which is nothing");
    drop(monitor);
    running.thread.join().unwrap();
}
