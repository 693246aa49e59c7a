//! `smcard-clients`: all real clients, both reader ways. `--issues N` (1000) is how long the hammers go on.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use smcard_clients::hammer::{Counts, hammer};
use smcard_clients::rig::{Rig, Way};
use smcard_clients::{package, tools};
use smcard_ioctl::StartRequest;
use smcard_tests::{Setup, batch, run};
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Longest time an issue, or the end of a client, may take.
const LIMIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["client", "package", reader, mount] => package::life(reader, Path::new(mount)),
        ["client", "hammer", reader, _mount] => {
            let Counts { answers, silences } = hammer(reader);
            println!("{answers} {silences}");
        }
        [] => all(1000),
        ["--issues", number] => all(number.parse().unwrap()),
        _ => {
            eprintln!("usage: smcard-clients [--issues N]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn all(issues: u32) {
    let mut rig = Rig::new(Setup::new());
    step("pcsc_scan", || tools::pcsc_scan(&rig));
    for way in Way::ALL {
        step(&format!("opensc-tool, {way:?}"), || tools::opensc(&rig, way));
        step(&format!("pyscard, {way:?}"), || tools::pyscard(&rig, way));
        step(&format!("scll-core, {way:?}"), || drop(run(&mut rig.ourselves("package", way)).ok()));
    }
    step("the daemon goes and comes back", || {
        rig.card.remount();
        rig.wait_for_card();
        Way::ALL.iter().for_each(|way| tools::opensc(&rig, *way));
    });
    step(&format!("{issues} issues under two hammers"), || hammered(&rig, issues));
}

fn step(name: &str, test: impl FnOnce()) {
    let begun = Instant::now();
    test();
    println!("{name}: ok, {:.1} s", begun.elapsed().as_secs_f64());
}

/// Both readers are hammered while the card issues itself again and again.
fn hammered(rig: &Rig, issues: u32) {
    rig.card.put(batch::again_small(), "again.batch");
    let mut hammers = Way::ALL.map(|way| {
        let mut command = rig.ourselves("hammer", way);
        (way, command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    });
    let client = rig.card.client();
    for number in 0..issues {
        let ticket = client.start(&StartRequest::default()).unwrap();
        let outcome = client.wait(ticket, Some(LIMIT)).unwrap();
        assert_eq!((outcome.error, outcome.sw), (0, 0x9000), "issue {number}: {outcome:?}");
    }
    for (way, child) in &mut hammers {
        let Counts { answers, silences } = counts(child);
        println!(
            "  {way:?}: {answers} answers, each to its own question; {silences} commands met a card that was shut"
        );
        assert!(answers > 0 && silences > 0, "{way:?} has not hammered");
    }
}

/// Ends a hammer and takes what it has counted.
fn counts(child: &mut Child) -> Counts {
    drop(child.stdin.take());
    let status = run::wait(child, LIMIT).expect("a hammer that ends");
    assert!(status.success(), "{status}");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
    let (answers, silences) = text.trim().split_once(' ').unwrap();
    Counts { answers: answers.parse().unwrap(), silences: silences.parse().unwrap() }
}
