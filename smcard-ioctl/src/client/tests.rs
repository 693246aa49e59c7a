//! The client against a daemon of thirty lines that answers with the daemon's side of this crate.

use std::cell::{Cell, RefCell};
use std::io;

use super::*;
use crate::abi::{CAP_EXTENDED, SHORT_RESPONSE_MAX};
use crate::request::{Operation, Request, accepted};
use crate::value::{FailureFormat, OperationKind};

/// One open file of a daemon whose card answers after `delay` polls.
#[derive(Default)]
struct Daemon {
    delay: Cell<u32>,
    polls: Cell<u32>,
    submitted: RefCell<Vec<Operation>>,
    written: RefCell<Vec<u8>>,
    response: RefCell<Vec<u8>>,
    read: Cell<usize>,
    hung_up: Cell<bool>,
    abi: Cell<u32>,
    errno: Cell<i32>,
}

impl Daemon {
    fn outcome(&self) -> Outcome {
        Outcome {
            state: OperationState::Done,
            kind: self.submitted.borrow().last().map_or(OperationKind::Reset, Operation::kind),
            error: 0,
            sw: 0x9000,
            given: 0,
            total: 0,
            kept: Some(0),
            exchanges: 1,
            duration: Duration::from_millis(3),
            response: Apdu::new(&self.response.borrow()),
        }
    }

    fn answer(&self, number: u32, data: &[u8]) -> Result<Vec<u8>, i32> {
        match Request::parse(number, data).map_err(|error| error.errno())? {
            Request::Version => {
                let info = VersionInfo { abi: 1 + self.abi.get(), ..VersionInfo::new("fake 1", CAP_EXTENDED) };
                Ok(abi::Version::from(&info).to_bytes())
            }
            Request::Submit(_) if self.errno.get() != 0 => Err(self.errno.get()),
            Request::Submit(operation) => {
                self.submitted.borrow_mut().push(operation);
                Ok(accepted(data, self.submitted.borrow().len().try_into().unwrap()))
            }
            Request::Result { ticket } if ticket > self.submitted.borrow().len().try_into().unwrap() => {
                Err(libc::ENOENT)
            }
            Request::Result { .. } if self.polls.get() < self.delay.get() => Err(libc::EAGAIN),
            Request::Result { ticket } => Ok(self.outcome().to_raw(ticket).to_bytes()),
            Request::Status => Err(libc::ENODEV),
        }
    }
}

impl Descriptor for Daemon {
    fn ioctl(&self, number: u32, structure: &mut [u8]) -> io::Result<()> {
        let answer = self.answer(number, structure).map_err(io::Error::from_raw_os_error)?;
        structure.copy_from_slice(&answer);
        Ok(())
    }

    fn wait(&self, _: Event, _: Duration) -> io::Result<Readiness> {
        self.polls.set(self.polls.get() + 1);
        Ok(if self.hung_up.get() { Readiness::HungUp } else { Readiness::Nothing })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        *self.written.borrow_mut() = bytes.to_vec();
        Ok(())
    }

    fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        // Short reads on purpose.
        let response = self.response.borrow();
        let rest = &response[self.read.get()..];
        let n = rest.len().min(bytes.len()).min(100);
        bytes[..n].copy_from_slice(&rest[..n]);
        self.read.set(self.read.get() + n);
        Ok(n)
    }
}

fn client(daemon: Daemon) -> Client<Daemon> {
    Client::with_descriptor(daemon, Path::new("control")).unwrap()
}

#[test]
fn waits_until_the_card_has_answered() {
    let client = client(Daemon { delay: Cell::new(3), ..Daemon::default() });
    let ticket = client.reset().unwrap();
    assert!(matches!(client.result(ticket), Err(ClientError::Pending(1))));
    let outcome = client.wait(ticket, None).unwrap();
    assert!(outcome.is_done());
    assert_eq!((outcome.kind, outcome.sw), (OperationKind::Reset, 0x9000));
    assert_eq!(client.descriptor.polls.get(), 3);
}

#[test]
fn gives_up_at_its_time_limit_and_leaves_the_operation_alone() {
    let client = client(Daemon { delay: Cell::new(u32::MAX), ..Daemon::default() });
    let ticket = client.clear().unwrap();
    let error = client.wait(ticket, Some(Duration::from_millis(5))).unwrap_err();
    assert!(matches!(error, ClientError::Pending(1)), "{error}");
    assert!(matches!(client.result(ticket), Err(ClientError::Pending(1))));
}

#[test]
fn a_daemon_that_ends_is_told_from_one_that_is_slow() {
    let client = client(Daemon { delay: Cell::new(u32::MAX), hung_up: Cell::new(true), ..Daemon::default() });
    let ticket = client.confirm().unwrap();
    assert!(matches!(client.wait(ticket, None), Err(ClientError::Gone { .. })));
    assert!(matches!(client.status(), Err(ClientError::Gone { .. })));
}

#[test]
fn start_says_what_was_asked() {
    let client = client(Daemon::default());
    let wanted = StartRequest {
        selector: Selector::Name(b"wallet.batch".to_vec()),
        offset: 7,
        length: 9,
        failure_format: FailureFormat::Counter,
    };
    client.start(&wanted).unwrap();
    let by_id = StartRequest { selector: Selector::Id(0), ..StartRequest::default() };
    client.start(&by_id).unwrap();
    client.start(&StartRequest::default()).unwrap();
    let submitted = client.descriptor.submitted.borrow();
    let expected = [wanted, by_id, StartRequest::default()].map(Operation::Start);
    assert_eq!(*submitted, expected);
}

#[test]
fn a_name_that_cannot_be_one_is_not_sent() {
    let client = client(Daemon::default());
    for name in [&b""[..], b"a/b", b"a\0b", &[b'x'; 256]] {
        let start = StartRequest { selector: Selector::Name(name.to_vec()), ..StartRequest::default() };
        assert!(matches!(client.start(&start), Err(ClientError::Value { field: "name", .. })));
    }
    let longest = StartRequest { selector: Selector::Name(vec![b'x'; 255]), ..StartRequest::default() };
    client.start(&longest).unwrap();
    assert_eq!(client.descriptor.submitted.borrow().len(), 1);
}

#[test]
fn short_commands_travel_inside_and_long_ones_by_write() {
    let client = client(Daemon::default());
    let long = vec![0x80; abi::SHORT_COMMAND_MAX + 1];
    client.transmit(&long[..abi::SHORT_COMMAND_MAX]).unwrap();
    assert!(client.descriptor.written.borrow().is_empty());
    client.transmit(&long).unwrap();
    assert_eq!(*client.descriptor.written.borrow(), long);
    let submitted = client.descriptor.submitted.borrow();
    let inside = Apdu::new(&long[..abi::SHORT_COMMAND_MAX]);
    assert_eq!(*submitted, [Operation::Transmit(Some(inside)), Operation::Transmit(None)]);
    for length in [0, 3, abi::EXTENDED_COMMAND_MAX + 1] {
        let error = client.transmit(&vec![0; length]).unwrap_err();
        assert!(matches!(error, ClientError::Value { field: "command", .. }), "{error}");
    }
}

#[test]
fn a_long_response_is_read_whole() {
    let response: Vec<u8> = (0..=u8::MAX).cycle().take(SHORT_RESPONSE_MAX + 1).collect();
    let client = client(Daemon { response: RefCell::new(response.clone()), ..Daemon::default() });
    let ticket = client.transmit(&[0, 0xCA, 0, 0]).unwrap();
    assert_eq!(client.wait(ticket, None).unwrap().response.as_bytes(), response);
}

#[test]
fn refusals_keep_their_meaning() {
    let client = client(Daemon::default());
    let refused = |errno| {
        client.descriptor.errno.set(errno);
        client.reset().unwrap_err()
    };
    assert!(matches!(refused(libc::EACCES), ClientError::NotPermitted { operation: "RESET" }));
    assert!(matches!(refused(libc::EBUSY), ClientError::Busy { operation: "RESET" }));
    assert!(matches!(refused(libc::ENODEV), ClientError::Gone { operation: "RESET", .. }));
    assert!(matches!(refused(libc::ENOBUFS), ClientError::Usage { operation: "RESET", .. }));
    assert!(matches!(refused(libc::EIO), ClientError::Io { operation: "RESET", .. }));
    assert!(matches!(client.result(Ticket(77)), Err(ClientError::UnknownTicket(77))));
}

#[test]
fn another_version_is_refused_at_the_door() {
    let daemon = Daemon { abi: Cell::new(1), ..Daemon::default() };
    let error = Client::with_descriptor(daemon, Path::new("control")).err().unwrap();
    assert!(matches!(error, ClientError::Version { daemon: 2, program: 1 }), "{error}");
}

#[test]
fn files_that_are_no_control_file_are_told_apart() {
    let not_a_card = |path: &Path| matches!(Client::open(path), Err(ClientError::NotACard { .. }));
    assert!(not_a_card(Path::new("/dev/null")));
    assert!(not_a_card(Path::new("/nonexistent/control")));
    // A directory cannot be opened for writing; opened for reading it knows no such ioctl.
    assert!(not_a_card(Path::new("/")));
    assert!(matches!(Client::open_read_only(Path::new("/")), Err(ClientError::NotACard { .. })));
}
