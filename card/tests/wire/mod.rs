//! Cards and small hosts for the tests of the SD front.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod native;
pub mod spi;

use smcard_batch::cap::CapFile;
use smcard_batch::issue::{IssuePlan, Recovery};
use smcard_card::scp03::{HostHandshake, SecurityLevel, StaticKeys};
use smcard_card::sd::{Area, BusTime, Executor, Profile, RamArea, SdOptions, Worked};
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_flash::RamMedium;
use smcard_link::{Answer, PrivilegeKind, RecoveryKind};

/// Bytes of the open memory of test cards.
pub const MEMORY: usize = 1 << 20;

pub fn new_card() -> EmulatedCard {
    new_card_with(OpenOptions::default())
}

pub fn new_card_with(options: OpenOptions) -> EmulatedCard {
    let create = CreateOptions { individual: Some([7; 14]), ..CreateOptions::default() };
    new_card_made(
        &CreateOptions { recovery: RecoveryKind::Function, privilege: PrivilegeKind::Auto, ..create },
        options,
    )
}

pub fn new_card_made(create: &CreateOptions, options: OpenOptions) -> EmulatedCard {
    let medium = Box::new(RamMedium::new(4 << 20));
    let medium = EmulatedCard::format(medium, create).expect("a new card");
    EmulatedCard::on_medium(medium, "test".to_owned(), options).expect("the card opens")
}

pub fn inline(polls: u32) -> Executor {
    Executor::Inline { polls, worked: Worked::First }
}

pub fn options(profile: Profile, executor: Executor) -> SdOptions {
    let area: Box<dyn Area> = Box::new(RamArea::new(MEMORY));
    let time = if executor == Executor::Thread { BusTime::system() } else { BusTime::counted() };
    SdOptions { profile, area, executor, time }
}

pub fn profile(word: &str) -> Profile {
    Profile::from_word(word).expect("a profile")
}

/// What a host needs of a card for a whole issue, whatever the wire.
pub trait Apdus {
    fn apdu(&mut self, apdu: &[u8]) -> Answer;
}

/// Opens a secure channel with the test keys, level 03.
pub fn authenticate(card: &mut impl Apdus) {
    let (handshake, command) = HostHandshake::begin(0, [0x5A; 8]);
    let answer = card.apdu(&command);
    assert_eq!(answer.sw, 0x9000, "INITIALIZE UPDATE");
    let level = SecurityLevel::from_p1(3).expect("a level");
    let (_, command) = handshake.finish(&StaticKeys::test(), level, &answer.data).expect("the test keys");
    assert_eq!(card.apdu(&command).sw, 0x9000, "EXTERNAL AUTHENTICATE");
}

pub const SELECT: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];
/// GET DATA DF72: state of the last issue.
pub const ISSUE_STATE: [u8; 5] = [0x80, 0xCA, 0xDF, 0x72, 0x00];
/// START of the only batch.
pub const START: [u8; 4] = [0x80, 0x5A, 0x00, 0x00];

/// Bytes that differ from block to block.
pub fn pattern(length: usize, seed: u32) -> Vec<u8> {
    (0_u32..)
        .map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13).to_le_bytes()[0])
        .take(length)
        .collect()
}

/// The batch that installs the wallet.
pub fn wallet_batch() -> Vec<u8> {
    let cap = CapFile::read(&smcard_fixtures::wallet_cap()).expect("a CAP file");
    let mut plan = IssuePlan::new(&cap);
    plan.recovery = Recovery::Functions;
    plan.install_all().expect("applets").build().expect("a plan").finish().expect("a batch")
}
