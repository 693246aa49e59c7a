//! `smcard-round-trips`: one APDU and its answer, through pcscd over vpcd, over our handler, and over the bare sockets
//! without pcscd; all in one run on one card. The table goes to standard output.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]

use smcard_clients::card::Card;
use smcard_clients::rig::{Rig, Way, mounted, socket_of};
use smcard_tests::{Setup, run};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Round trips measured each way.
const TRIPS: usize = 5000;
/// And before that, so that nothing is done for the first time.
const WARM_UP: usize = 200;
/// SELECT of the card manager: 5 bytes there, 69 back.
const SELECT: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", _, reader, _mount] => {
            let card = Card::connect(reader);
            println!("{}", row(|| assert!(card.transmit(&SELECT).expect("an answer").ends_with(&[0x90, 0x00]))));
        }
        [] => {
            println!("{TRIPS} round trips each, microseconds\n");
            println!("| way | median | mean | p99 | longest |\n|---|---|---|---|---|");
            println!("| bare Unix socket | {} |", bare_unix());
            println!("| bare TCP, as vpcd sends | {} |", bare_tcp());
            let rig = Rig::new(Setup::new());
            for (name, way) in [("pcscd, vpcd", Way::Vpcd), ("pcscd, smcard-ifd", Way::Handler)] {
                let said = run(&mut rig.ourselves("round-trips", way)).ok().stdout;
                println!("| {name} | {} |", said.trim());
            }
        }
        _ => {
            eprintln!("usage: smcard-round-trips");
            std::process::exit(2);
        }
    }
}

/// Median, mean, p99 and longest, in microseconds.
fn row(mut trip: impl FnMut()) -> String {
    (0..WARM_UP).for_each(|_| trip());
    let mut times: Vec<Duration> = (0..TRIPS)
        .map(|_| {
            let begun = Instant::now();
            trip();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / u32::try_from(TRIPS).unwrap();
    let figures = [times[TRIPS / 2], mean, times[TRIPS * 99 / 100], times[TRIPS - 1]];
    figures.map(|time| format!("{:.0}", time.as_secs_f64() * 1e6)).join(" | ")
}

fn bare_unix() -> String {
    let (card, _) = mounted(Setup::new());
    let mut stream = UnixStream::connect(socket_of(&card)).unwrap();
    power_up(&mut stream);
    row(|| exchange(&mut stream, true))
}

/// vpcd 3.3 sends length and command apart.
fn bare_tcp() -> String {
    let (card, port) = mounted(Setup::new());
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    power_up(&mut stream);
    let row = row(|| exchange(&mut stream, false));
    drop(card);
    row
}

fn power_up(stream: &mut (impl Read + Write)) {
    stream.write_all(&[0, 1, 1]).unwrap();
}

fn exchange(stream: &mut (impl Read + Write), together: bool) {
    let sent = |stream: &mut dyn Write| -> io::Result<()> {
        if together {
            return stream.write_all(&[&[0, 5][..], &SELECT].concat());
        }
        stream.write_all(&[0, 5])?;
        stream.write_all(&SELECT)
    };
    sent(stream).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.ends_with(&[0x90, 0x00]), "{answer:02X?}");
}
