//! A terminal for the tests of the card: makes cards, opens sessions, writes batches, sends commands.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod recording;

use smcard_batch::cap::CapFile;
use smcard_batch::issue::{Blocks, IssuePlan, Recovery};
use smcard_batch::{BatchBuilder, CommandApdu};
use smcard_card::scp03::{HostHandshake, HostSession, SecurityLevel, StaticKeys};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_link::{Answer, SecureCard};
use std::path::PathBuf;

pub struct Bench {
    pub folder: tempfile::TempDir,
    pub path: PathBuf,
    pub card: Option<EmulatedCard>,
}

impl Bench {
    pub fn new(options: &CreateOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("card.img");
        EmulatedCard::create(&path, options).expect("a new card");
        let mut bench = Bench { folder, path, card: None };
        bench.open(OpenOptions::default());
        bench
    }

    pub fn standard() -> Self {
        Self::new(&CreateOptions { size: 8 << 20, ..CreateOptions::default() })
    }

    pub fn open(&mut self, options: OpenOptions) {
        self.card = None;
        self.card = Some(EmulatedCard::open(&self.path, options).expect("the card opens"));
    }

    pub fn reopen(&mut self) {
        self.open(OpenOptions::default());
    }

    pub fn card(&mut self) -> &mut EmulatedCard {
        self.card.as_mut().expect("the card is open")
    }

    pub fn send(&mut self, hex: &str) -> Answer {
        self.card().transmit(&bytes(hex)).expect("an answer")
    }

    pub fn sw(&mut self, hex: &str) -> u16 {
        self.send(hex).sw
    }

    pub fn authenticate(&mut self) -> HostSession {
        self.authenticate_at(0x03)
    }

    pub fn authenticate_at(&mut self, level: u8) -> HostSession {
        let (handshake, command) = HostHandshake::begin(0, [0x5A; 8]);
        let answer = self.card().transmit(&command).expect("an answer");
        assert_eq!(answer.sw, 0x9000, "INITIALIZE UPDATE");
        let level = SecurityLevel::from_p1(level).expect("a level");
        let (session, command) = handshake.finish(&StaticKeys::test(), level, &answer.data).expect("the test keys");
        assert_eq!(self.card().transmit(&command).expect("an answer").sw, 0x9000, "EXTERNAL AUTHENTICATE");
        session
    }

    pub fn secured(&mut self, session: &mut HostSession, command: &CommandApdu<'_>) -> Answer {
        let wrapped = session.wrap(command).expect("fits");
        let answer = self.card().transmit(&wrapped).expect("an answer");
        session.unwrap(answer).expect("the response's MAC")
    }

    /// Direct write of a whole file; the session must be open.
    pub fn write(&mut self, name: &str, file: &[u8]) -> Answer {
        let length = u32::try_from(file.len()).expect("small");
        let id = match self.card().write_open(name.as_bytes(), length).expect("an answer") {
            Ok(id) => id,
            Err(answer) => return answer,
        };
        for chunk in file.chunks(65_536) {
            self.card().write_chunk(id, chunk).expect("taken");
        }
        self.card().write_commit(id).expect("an answer")
    }

    /// Authenticates and writes; gives the file's identifier.
    pub fn upload(&mut self, name: &str, file: &[u8]) -> u16 {
        self.authenticate();
        let answer = self.write(name, file);
        assert_eq!(answer.sw, 0x9000, "direct write of {name}");
        u16::from_be_bytes(answer.data.try_into().expect("an identifier"))
    }

    /// START by identifier, whole file, failure as data and status word.
    pub fn start(&mut self, id: u16) -> Answer {
        let command = start_command(id, 0);
        self.card().transmit(&command).expect("an answer")
    }

    /// What the data object DF72 says: state, given, total, status word, kept.
    pub fn issue_state(&mut self) -> (u8, u32, u32, u16, u32) {
        let answer = self.send("80CADF7200");
        assert_eq!((answer.sw, answer.data.len()), (0x9000, 3 + 17));
        let field = |at: usize| u32::from_be_bytes(answer.data[at..at + 4].try_into().expect("four bytes"));
        let sw = u16::from_be_bytes(answer.data[14..16].try_into().expect("two bytes"));
        (answer.data[3], field(6), field(10), sw, field(16))
    }

    /// Free bytes of the card.
    pub fn free(&mut self) -> u64 {
        let answer = self.send("80CADF7300");
        assert_eq!(answer.sw, 0x9000);
        u64::from_be_bytes(answer.data[11..19].try_into().expect("eight bytes"))
    }
}

pub fn start_command(id: u16, p2: u8) -> Vec<u8> {
    let mut command = vec![0x80, 0x5A, 0x00, p2, 0x0A];
    command.extend_from_slice(&id.to_be_bytes());
    command.extend_from_slice(&[0; 8]);
    command
}

pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The batch that installs every applet of a CAP file under its module's AID.
pub fn batch_of(cap: &[u8], blocks: Blocks, recovery: Recovery) -> Vec<u8> {
    builder_of(cap, blocks, recovery).finish().expect("a batch")
}

pub fn builder_of(cap: &[u8], blocks: Blocks, recovery: Recovery) -> BatchBuilder {
    let cap = CapFile::read(cap).expect("a CAP file");
    let mut plan = IssuePlan::new(&cap);
    plan.blocks = blocks;
    plan.recovery = recovery;
    plan.install_all().expect("applets").build().expect("a plan")
}

/// A batch of the given commands.
pub fn batch(commands: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for command in commands {
        builder.push_bytes(&bytes(command)).expect("a command");
    }
    builder.finish().expect("a batch")
}
