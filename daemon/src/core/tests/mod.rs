//! The mount without FUSE, against an emulated card: what programs see.

mod browsing;
mod issuing;
mod recovering;
mod removal;
mod trouble;
mod uploading;

use crate::core::OpenFlags;
use crate::refusal::Refusal;
use crate::terminal::Table;
use crate::terminal::progress::{Action, Given, Row, Said};
use crate::testing::{ME, Rig};
use smcard_ioctl::{Structure, abi};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

pub(super) const CONTROL: u64 = 3;

pub(super) fn open(rig: &Rig, write: bool) -> u64 {
    let flags = OpenFlags { write, exclusive: false };
    rig.ask(|core, reply| core.open(ME, CONTROL, flags, reply)).unwrap().fh
}

pub(super) fn call<T: Structure>(rig: &Rig, fh: u64, number: u32, request: &T) -> Result<T, Refusal> {
    rig.core.ioctl(ME, CONTROL, fh, number, &request.to_bytes()).map(|bytes| T::from_bytes(&bytes).unwrap())
}

pub(super) fn start(rig: &Rig, fh: u64, name: &str) -> Result<u64, Refusal> {
    let mut request = abi::Start { version: 1, selector: abi::SELECT_NAME, ..Default::default() };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    call(rig, fh, abi::START, &request).map(|answer| answer.ticket)
}

pub(super) fn submit(rig: &Rig, fh: u64, number: u32) -> Result<u64, Refusal> {
    call(rig, fh, number, &abi::Submit { version: 1, ..Default::default() }).map(|answer| answer.ticket)
}

pub(super) fn transmit(rig: &Rig, fh: u64, command: &[u8]) -> Result<u64, Refusal> {
    let mut request = abi::Transmit { version: 1, length: command.len().try_into().unwrap(), ..Default::default() };
    request.command[..command.len()].copy_from_slice(command);
    call(rig, fh, abi::TRANSMIT, &request).map(|answer| answer.ticket)
}

/// Waits as a program does: poll, then RESULT.
pub(super) fn result(rig: &Rig, fh: u64, ticket: u64) -> abi::OperationResult {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (tx, rx) = channel();
        let ready = rig.core.poll(CONTROL, fh, Some(Box::new(move || tx.send(()).unwrap_or_default())));
        match call(rig, fh, abi::RESULT, &abi::OperationResult { version: 1, ticket, ..Default::default() }) {
            Ok(answer) => return answer,
            Err(refusal) => assert_eq!(refusal, Refusal::Pending),
        }
        assert!(Instant::now() < deadline, "no result");
        if !ready.readable {
            // Woken by the result, or by another change.
            let _ = rx.recv_timeout(Duration::from_secs(20));
        }
    }
}

pub(super) fn status(rig: &Rig, fh: u64) -> abi::Status {
    call(rig, fh, abi::STATUS, &abi::Status { version: 1, ..Default::default() }).unwrap()
}

/// Waits for something to become true.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A progress table of one status word a row, with its action and its first pause in milliseconds.
pub(super) fn rows(rows: &[(&str, Action, u64)]) -> Table {
    let row = |(said, action, pause): &(&str, Action, u64)| {
        let backoff = Duration::from_millis(*pause);
        Row { backoff, ..Row::new(Given::Any, vec![Said::parse(said).unwrap()], *action) }
    };
    Table::new(rows.iter().map(row).collect(), true)
}
