//! The way over `vsmartcard-vpcd`: the daemon is the client, whenever a card is in the slot.

use super::port::Port;
use super::session::{self, Ended, News};
use super::{Closer, PATIENCE, Shared};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Time for a connection to come about.
const CONNECTING: Duration = Duration::from_secs(5);
/// Before it is tried again, at first; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// And at most.
const LAST_PAUSE: Duration = Duration::from_secs(8);

/// Connects again and again until the daemon ends.
pub(super) fn run(address: SocketAddr, port: &Port, news: &News, shared: &Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    while !shared.is_ending() {
        if port.card().is_none() {
            shared.sleep(PATIENCE);
            continue;
        }
        let mut heard = false;
        let ended =
            connect(address, shared).and_then(|stream| session::serve(stream, port, news, &shared.ending, &mut heard));
        shared.done(|connection| matches!(connection, Closer::Tcp(_)));
        if heard {
            pause = FIRST_PAUSE;
        }
        match ended {
            Ok(Ended::Stopped) => break,
            Ok(Ended::NoCard) => log::info!("vpcd at {address}: the card is out of the reader"),
            Ok(Ended::ByReader) => log::info!("vpcd at {address} has closed the connection"),
            Err(error) if pause == FIRST_PAUSE => log::warn!("vpcd at {address}: {error}; tried again"),
            Err(error) => log::debug!("vpcd at {address}: {error}; tried again in {pause:?}"),
        }
        shared.sleep(pause);
        pause = LAST_PAUSE.min(pause * 2);
    }
}

fn connect(address: SocketAddr, shared: &Arc<Shared>) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECTING)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(CONNECTING))?;
    shared.watch(Closer::Tcp(stream.try_clone()?));
    log::info!("the card is in the reader of vpcd at {address}");
    Ok(stream)
}

/// Starts it aside.
pub(super) fn start(address: SocketAddr, port: Port, news: Arc<News>, shared: Arc<Shared>) -> io::Result<()> {
    if !address.ip().is_loopback() {
        log::warn!(
            "vpcd at {address} is on another machine: what it sends to the card can be read and changed on the way"
        );
    }
    let work = move || run(address, &port, &*news, &shared);
    thread::Builder::new().name("vpcd".into()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcsc::{Ports, Prepared};
    use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Instant;

    #[test]
    fn a_vpcd_that_comes_late_or_goes_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("card.img");
        EmulatedCard::create(&image, &CreateOptions { size: 1 << 20, ..CreateOptions::default() }).unwrap();
        let card = EmulatedCard::open(&image, OpenOptions::default()).unwrap();
        let ports = Ports::default();
        let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = reserved.local_addr().unwrap();
        let config = crate::config::PcscConfig { vpcd: Some(address), ..Default::default() };
        drop(reserved);
        let pcsc = Prepared::new(&config, None).unwrap().start(&ports, || ()).unwrap();
        ports.insert(&card);
        thread::sleep(Duration::from_millis(300));
        let vpcd = TcpListener::bind(address).unwrap();
        for _ in 0..3 {
            let (mut stream, _) = vpcd.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            // Length and message apart, as vpcd 3.3 has it: without quick acknowledgements this takes 40 ms each time.
            let begun = Instant::now();
            for _ in 0..50 {
                stream.write_all(&[0, 1]).unwrap();
                stream.write_all(&[4]).unwrap();
                let mut answer = [0; 2 + session::ATR.len()];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(answer[2..], session::ATR);
            }
            assert!(begun.elapsed() < Duration::from_millis(1000), "{:?}", begun.elapsed());
        }
        drop(pcsc);
    }
}
