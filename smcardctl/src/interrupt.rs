//! Ctrl-C while waiting: the program goes, the card goes on.

use std::io::{self, Write};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::exit::INTERRUPTED;

/// From now on Ctrl-C ends the program with `notice` on stderr instead of silently.
///
/// To be called once, before any other thread is started, so that none of them takes the signal.
pub(crate) fn detach_with(notice: String) {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    // Where this fails Ctrl-C ends the program without the notice; the card goes on all the same.
    if signals.thread_block().is_err() {
        return;
    }
    thread::spawn(move || {
        if signals.wait().is_ok() {
            let _ = writeln!(io::stderr(), "\nsmcardctl: {notice}");
            std::process::exit(INTERRUPTED);
        }
    });
}
