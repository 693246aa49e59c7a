//! What the daemon's side takes and what it refuses.

use smcard_ioctl::abi::{self, ABI_VERSION};
use smcard_ioctl::{FailureFormat, Operation, Request, RequestError, Selector, Structure, accepted};

fn start() -> abi::Start {
    abi::Start { version: ABI_VERSION, ..Default::default() }
}

fn named(name: &[u8]) -> abi::Start {
    let mut start = abi::Start { selector: abi::SELECT_NAME, ..start() };
    start.name[..name.len()].copy_from_slice(name);
    start
}

fn parse(number: u32, structure: &impl Structure) -> Result<Request, RequestError> {
    Request::parse(number, &structure.to_bytes())
}

/// Every ioctl with a request of zeros and the right version.
fn all() -> Vec<(u32, Vec<u8>)> {
    let transmit = abi::Transmit { version: ABI_VERSION, length: 4, ..Default::default() };
    let submit = abi::Submit { version: ABI_VERSION, ..Default::default() }.to_bytes();
    vec![
        (abi::VERSION, abi::Version { version: ABI_VERSION, ..Default::default() }.to_bytes()),
        (abi::STATUS, abi::Status { version: ABI_VERSION, ..Default::default() }.to_bytes()),
        (abi::RESULT, abi::OperationResult { version: ABI_VERSION, ..Default::default() }.to_bytes()),
        (abi::AUTHENTICATE, abi::Authenticate { version: ABI_VERSION, ..Default::default() }.to_bytes()),
        (abi::TRANSMIT, transmit.to_bytes()),
        (abi::START, start().to_bytes()),
        (abi::CLEAR, submit.clone()),
        (abi::CONFIRM, submit.clone()),
        (abi::RESET, submit),
    ]
}

#[test]
fn the_plain_request_of_every_ioctl_is_taken() {
    for (number, bytes) in all() {
        assert!(Request::parse(number, &bytes).is_ok(), "{number:#x}");
    }
}

#[test]
fn another_size_or_direction_is_einval_and_another_ioctl_is_enotty() {
    for (number, bytes) in all() {
        for data in [&bytes[1..], &[], &[bytes.as_slice(), &[0]].concat()] {
            assert_eq!(Request::parse(number, data).unwrap_err().errno(), libc::EINVAL);
        }
        // _IOR instead of _IOWR, and a size that is one more.
        for other in [number ^ 0x4000_0000, number + 0x1_0000] {
            let error = Request::parse(other, &bytes).unwrap_err();
            assert!(matches!(error, RequestError::Size { .. }), "{error}");
        }
        // The same number under another type byte, and a free sequence number.
        for other in [number ^ 0x100, number | 0xF0] {
            let error = Request::parse(other, &bytes).unwrap_err();
            assert_eq!((error, error.errno()), (RequestError::UnknownIoctl(other), libc::ENOTTY));
        }
    }
    // TCGETS: what isatty(3) asks of every file.
    assert_eq!(Request::parse(0x5401, &[]).unwrap_err().errno(), libc::ENOTTY);
}

#[test]
fn only_version_takes_any_version() {
    for (number, mut bytes) in all() {
        bytes[4..6].copy_from_slice(&2u16.to_ne_bytes());
        let parsed = Request::parse(number, &bytes);
        if number == abi::VERSION {
            assert_eq!(parsed, Ok(Request::Version));
        } else {
            assert_eq!(parsed, Err(RequestError::Version(2)));
        }
    }
}

#[test]
fn unknown_flag_bits_are_refused() {
    for (number, plain) in all() {
        for bit in 0..16 {
            let mut bytes = plain.clone();
            bytes[6..8].copy_from_slice(&(1u16 << bit).to_ne_bytes());
            let known = number == abi::TRANSMIT && 1 << bit == abi::TRANSMIT_EXTENDED;
            let refused = Request::parse(number, &bytes) == Err(RequestError::Flags(1 << bit));
            assert_eq!(refused, !known, "{number:#x} bit {bit}");
        }
    }
}

#[test]
fn start_names_its_batch() {
    let Ok(Request::Submit(Operation::Start(request))) = parse(abi::START, &named(b"app.batch")) else {
        panic!("START by name was refused");
    };
    assert_eq!(request.selector, Selector::Name(b"app.batch".to_vec()));
    let by_id = abi::Start { selector: abi::SELECT_ID, id: 3, failure_format: abi::FAILURE_COUNTER, ..start() };
    let Ok(Request::Submit(Operation::Start(request))) = parse(abi::START, &by_id) else {
        panic!("START by identifier was refused");
    };
    assert_eq!((request.selector, request.failure_format), (Selector::Id(3), FailureFormat::Counter));
}

#[test]
fn start_that_contradicts_itself_is_refused() {
    let field = |start: &abi::Start| match parse(abi::START, start) {
        Err(RequestError::Field(field)) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(&named(b"")), "name");
    assert_eq!(field(&named(b"../x")), "name");
    // 256 bytes leave no room for the closing zero.
    assert_eq!(field(&named(&[b'x'; 256])), "name");
    // Bytes after the closing zero.
    assert_eq!(field(&named(b"a\0b")), "name");
    assert_eq!(field(&abi::Start { selector: abi::SELECT_NONE, ..named(b"a") }), "name");
    assert_eq!(field(&abi::Start { selector: abi::SELECT_ID, ..named(b"a") }), "name");
    assert_eq!(field(&abi::Start { id: 1, ..named(b"a") }), "id");
    assert_eq!(field(&abi::Start { selector: 3, ..start() }), "selector");
    assert_eq!(field(&abi::Start { failure_format: 2, ..start() }), "failure_format");
    assert_eq!(field(&abi::Start { reserved: 1, ..start() }), "reserved");
}

#[test]
fn transmit_takes_one_apdu_inside_or_the_one_written_before() {
    let transmit = |length, flags| {
        let mut raw = abi::Transmit { version: ABI_VERSION, flags, length, ..Default::default() };
        raw.command[..5].copy_from_slice(&[0, 0xA4, 4, 0, 0]);
        raw
    };
    let Ok(Request::Submit(Operation::Transmit(Some(apdu)))) = parse(abi::TRANSMIT, &transmit(5, 0)) else {
        panic!("TRANSMIT was refused");
    };
    assert_eq!(apdu.as_bytes(), [0, 0xA4, 4, 0, 0]);
    let empty = abi::Transmit { version: ABI_VERSION, flags: abi::TRANSMIT_EXTENDED, ..Default::default() };
    assert_eq!(parse(abi::TRANSMIT, &empty), Ok(Request::Submit(Operation::Transmit(None))));
    // The length beyond the field; shorter than a header; bytes after the command; both ways at once.
    assert_eq!(parse(abi::TRANSMIT, &transmit(262, 0)), Err(RequestError::Field("length")));
    assert_eq!(parse(abi::TRANSMIT, &transmit(u16::MAX, 0)), Err(RequestError::Field("length")));
    let header = abi::Transmit { length: 3, version: ABI_VERSION, ..Default::default() };
    assert_eq!(parse(abi::TRANSMIT, &header), Err(RequestError::Field("length")));
    assert!(parse(abi::TRANSMIT, &transmit(4, 0)).is_ok());
    assert_eq!(parse(abi::TRANSMIT, &transmit(1, 0)), Err(RequestError::Field("command")));
    assert_eq!(parse(abi::TRANSMIT, &transmit(5, abi::TRANSMIT_EXTENDED)), Err(RequestError::Field("length")));
}

#[test]
fn authenticate_knows_the_security_levels() {
    for level in 0..=u8::MAX {
        let raw = abi::Authenticate { version: ABI_VERSION, level, key_version: 0x30, ..Default::default() };
        match parse(abi::AUTHENTICATE, &raw) {
            Ok(Request::Submit(Operation::Authenticate { level: read, key_version })) => {
                assert!([0, 1, 3, 0x11, 0x13, 0x33].contains(&level), "{level:#x}");
                assert_eq!((read.unwrap_or(0), key_version), (level, Some(0x30)));
            }
            other => assert_eq!(other, Err(RequestError::Field("level")), "{level:#x}"),
        }
    }
}

#[test]
fn reserved_bytes_must_be_zero() {
    let authenticate = abi::Authenticate { version: ABI_VERSION, reserved: [0, 0, 0, 0, 0, 1], ..Default::default() };
    assert_eq!(parse(abi::AUTHENTICATE, &authenticate), Err(RequestError::Field("reserved")));
    let transmit = abi::Transmit { version: ABI_VERSION, length: 4, reserved: 1, ..Default::default() };
    assert_eq!(parse(abi::TRANSMIT, &transmit), Err(RequestError::Field("reserved")));
}

#[test]
fn an_accepted_submission_is_the_request_with_its_ticket() {
    for (number, bytes) in all().into_iter().filter(|(number, _)| number & 0xF0 == 0x10) {
        let answer = accepted(&bytes, 0x0102_0304_0506_0708);
        assert_eq!(answer.len(), bytes.len(), "{number:#x}");
        assert_eq!(answer[8..16], 0x0102_0304_0506_0708_u64.to_ne_bytes());
        assert_eq!(answer[16..], bytes[16..]);
    }
}

#[test]
fn contents_never_show() {
    let mut raw = abi::Transmit { version: ABI_VERSION, length: 5, ..Default::default() };
    raw.command[..5].copy_from_slice(&[0xC0, 0xFF, 0xEE, 0xC0, 0xDE]);
    let shown = format!("{raw:?} {:?}", parse(abi::TRANSMIT, &raw));
    for secret in ["c0", "C0", "192", "255", "238"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
