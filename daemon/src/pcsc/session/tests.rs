use super::*;
use crate::pcsc::Ports;
use smcard_card::scp03::{HostHandshake, SecurityLevel, StaticKeys};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_link::SecureCard;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

const SELECT: &[u8] = &[0x00, 0xA4, 0x04, 0x00, 0x00];

fn card(folder: &Path) -> EmulatedCard {
    let image = folder.join("card.img");
    EmulatedCard::create(&image, &CreateOptions { size: 1 << 20, ..CreateOptions::default() }).unwrap();
    EmulatedCard::open(&image, OpenOptions::default()).unwrap()
}

/// The power goes in the first command of an issue.
fn break_an_issue(card: &mut EmulatedCard) {
    let (handshake, command) = HostHandshake::begin(0, [1; 8]);
    let answer = card.transmit(&command).unwrap();
    let (_, command) = handshake.finish(&StaticKeys::test(), SecurityLevel::ALL, &answer.data).unwrap();
    assert_eq!(card.transmit(&command).unwrap().sw, 0x9000);
    let batch = crate::testing::batch(1);
    let id = card.write_open(b"a", u32::try_from(batch.len()).unwrap()).unwrap().unwrap();
    card.write_chunk(id, &batch).unwrap();
    assert_eq!(card.write_commit(id).unwrap().sw, 0x9000);
    card.power_switch().unwrap().cut();
    assert!(matches!(card.transmit(&[0x80, 0x5A, 0x00, 0x00]), Err(LinkError::PowerCut)));
}

struct Reader {
    stream: UnixStream,
    session: JoinHandle<io::Result<Ended>>,
    news: Arc<AtomicUsize>,
}

impl Reader {
    fn new(port: &Port) -> Self {
        let (stream, other) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        other.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (port, news) = (port.clone(), Arc::<AtomicUsize>::default());
        let told = Arc::clone(&news);
        let session = spawn(move || {
            let news = move || {
                told.fetch_add(1, Ordering::AcqRel);
            };
            serve(other, &port, &news, &AtomicBool::new(false), &mut false)
        });
        Reader { stream, session, news }
    }

    fn send(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        self.stream.write_all(&[&length, message].concat()).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut length = [0; 2];
        self.stream.read_exact(&mut length).unwrap();
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.stream.read_exact(&mut message).unwrap();
        message
    }

    fn ask(&mut self, message: &[u8]) -> Vec<u8> {
        self.send(message);
        self.receive()
    }

    fn silent(&mut self, command: &[u8]) -> bool {
        self.ask(command) == NO_ANSWER
    }

    fn sw(&mut self, command: &[u8]) -> u16 {
        let response = self.ask(command);
        u16::from_be_bytes(*response.last_chunk().unwrap())
    }

    fn end(self) -> Ended {
        let Reader { stream, session, .. } = self;
        drop(stream);
        session.join().unwrap().unwrap()
    }
}

#[test]
fn the_atr_checks() {
    let [_, format, .., _] = ATR;
    assert_eq!(usize::from(format & 0x0F), ATR.len() - 5, "historical bytes");
    assert_eq!(ATR[1..].iter().fold(0, |check, byte| check ^ byte), 0, "check byte");
}

#[test]
fn a_reader_gives_power_asks_and_takes_the_power() {
    let folder = tempfile::tempdir().unwrap();
    let card = card(folder.path());
    let ports = Ports::default();
    ports.insert(&card);
    let mut reader = Reader::new(&ports.socket);
    assert_eq!(reader.ask(&[GET_ATR]), ATR);
    assert!(reader.silent(SELECT), "no power, no answer");
    reader.send(&[POWER_ON]);
    assert_eq!(reader.ask(&[GET_ATR]), ATR);
    assert_eq!(reader.sw(SELECT), 0x9000);
    assert_eq!(reader.sw(&[0x80, 0xF2, 0x80, 0x02, 0x02, 0x4F, 0x00, 0x00]), 0x6982);
    assert_eq!(reader.sw(&[0x80, 0xCA]), 0x6700, "what is no command has an answer");
    // Neither is answered, and what follows is.
    reader.send(&[0x7F]);
    reader.send(&[]);
    reader.send(&[POWER_OFF]);
    assert_eq!(reader.ask(&[GET_ATR]), ATR);
    assert!(reader.silent(SELECT));
    assert_eq!(reader.end(), Ended::ByReader);
}

#[test]
fn an_atr_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let card = card(folder.path());
    let ports = Ports::default();
    ports.insert(&card);
    let mut reader = Reader::new(&ports.vpcd);
    reader.send(&[POWER_ON]);
    let mut update = vec![0x80, 0x50, 0x00, 0x00, 0x08];
    update.extend_from_slice(&[7; 8]);
    update.push(0x00);
    assert_eq!(reader.sw(&update), 0x9000);
    for _ in 0..100 {
        assert_eq!(reader.ask(&[GET_ATR]), ATR);
    }
    // A handshake is still in hand: what is wrong is the proof.
    let proof = [&[0x84, 0x82, 0x01, 0x00, 0x10][..], &[0; 16]].concat();
    assert_eq!(reader.sw(&proof), 0x6300);
    assert_eq!(reader.sw(&proof), 0x6985);
}

#[test]
fn readers_of_two_ports_do_not_share_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let mut card = card(folder.path());
    let ports = Ports::default();
    ports.insert(&card);
    let (mut one, mut two) = (Reader::new(&ports.vpcd), Reader::new(&ports.socket));
    one.send(&[POWER_ON]);
    two.send(&[RESET]);
    assert_eq!((one.sw(SELECT), two.sw(SELECT)), (0x9000, 0x9000));
    assert_eq!(one.end(), Ended::ByReader);
    assert_eq!(two.sw(SELECT), 0x9000);
    card.reset().unwrap();
    assert!(two.silent(SELECT), "the card has lost its power: its reader must notice");
    two.send(&[RESET]);
    assert_eq!(two.sw(SELECT), 0x9000);
}

#[test]
fn a_card_without_power_is_out_of_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let mut card = card(folder.path());
    let ports = Ports::default();
    ports.insert(&card);
    let mut reader = Reader::new(&ports.vpcd);
    assert_eq!(reader.ask(&[GET_ATR]), ATR);
    break_an_issue(&mut card);
    reader.send(&[RESET]);
    assert_eq!(reader.session.join().unwrap().unwrap(), Ended::NoCard);
    assert_eq!(Reader::new(&ports.vpcd).session.join().unwrap().unwrap(), Ended::NoCard);
    card.reset().unwrap();
    assert_eq!(Reader::new(&ports.vpcd).ask(&[GET_ATR]), ATR);
}

#[test]
fn a_card_that_is_taken_out_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let card = card(folder.path());
    let ports = Ports::default();
    assert_eq!(Reader::new(&ports.socket).session.join().unwrap().unwrap(), Ended::NoCard);
    ports.insert(&card);
    let mut reader = Reader::new(&ports.socket);
    assert_eq!(reader.ask(&[GET_ATR]), ATR);
    drop(card);
    let mut rest = Vec::new();
    assert_eq!(reader.stream.read_to_end(&mut rest).unwrap(), 0);
    assert_eq!(reader.end(), Ended::NoCard);
}

#[test]
fn what_may_have_changed_the_content_is_news() {
    for (command, news) in [
        (&[0x84, 0xE8, 0x00, 0x00, 0x00][..], false),
        (&[0x84, 0xE8, 0x80, 0x00, 0x00], true),
        (&[0x80, 0xE4, 0x00, 0x00], true),
        (&[0x00, 0xA4, 0x04, 0x00], false),
        (&[0x00, 0xD8, 0x00, 0x00], false),
        (&[0x80, 0xF2, 0x80, 0x00], false),
        (&[0x80], false),
    ] {
        assert_eq!(may_change_content(command), news, "{command:02X?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let card = card(folder.path());
    let ports = Ports::default();
    ports.insert(&card);
    let mut reader = Reader::new(&ports.socket);
    reader.send(&[POWER_ON]);
    assert_eq!(reader.sw(&[0x80, 0x5E, 0x00, 0x00]), 0x6985, "CONFIRM of nothing");
    assert_eq!(reader.news.load(Ordering::Acquire), 0);
    assert_eq!(reader.sw(&[0x80, 0x5C, 0x00, 0x00]), 0x9000, "CLEAR");
    assert_eq!(reader.news.load(Ordering::Acquire), 1);
}
