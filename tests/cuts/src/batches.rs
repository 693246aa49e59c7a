//! The batches of the scenario, with what each of their commands does.

use crate::apdu;
use crate::effect::{Command, Effect};
use crate::packages::{CLIENT, TAG, WALLET, load_file, module};
use smcard_batch::BatchBuilder;
use std::sync::Arc;

/// A series of commands, to be written into the card as one file.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What it is about.
    pub name: &'static str,
    /// Its commands.
    pub commands: Vec<Command>,
    /// Whether it wants CONFIRM.
    pub confirm: bool,
}

impl Batch {
    /// The file; with recovery information if `points`.
    ///
    /// # Panics
    /// If the scenario has a command that is none.
    #[must_use]
    pub fn file(&self, points: bool) -> Arc<[u8]> {
        let mut builder = BatchBuilder::new();
        builder.confirm(self.confirm);
        if points {
            builder.with_recovery();
        }
        for command in &self.commands {
            if points && command.point {
                builder.recovery_point();
            }
            builder.push_bytes(&command.bytes).expect("a command");
        }
        builder.finish().expect("a batch").into()
    }
}

/// Instances of the tag.
pub const FIRST_TAG: &[u8] = &[0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01];
/// Another one.
pub const SECOND_TAG: &[u8] = &[0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x02];

const IDENTIFICATION: u16 = 0x42;
const CARD_IMAGE: u16 = 0x45;

fn object(tag: u16, value: &[u8]) -> Command {
    let effect = Effect::Object { tag, value: value.to_vec() };
    Command::new(apdu::store_object(u8::try_from(tag).expect("a short tag"), value), vec![effect])
}

fn for_load(package: &[u8]) -> Command {
    Command::new(apdu::for_load(package), Vec::new()).at_point()
}

fn loaded(package: &[u8], data: &Arc<[u8]>) -> Vec<Effect> {
    vec![Effect::NotLoading, Effect::Loaded { package: package.to_vec(), data: Arc::clone(data) }]
}

/// LOAD in blocks of `size` bytes: the first takes room, the last makes a load file of it.
fn load_in_blocks(package: &[u8], data: &Arc<[u8]>, size: usize) -> Vec<Command> {
    let blocks = apdu::load(data, size);
    let last = blocks.len() - 1;
    let commands = blocks.into_iter().enumerate().map(|(number, bytes)| {
        let effects = match number {
            _ if number == last => loaded(package, data),
            0 => vec![Effect::Loading(Arc::clone(data))],
            _ => Vec::new(),
        };
        Command::new(bytes, effects)
    });
    commands.collect()
}

fn load_direct(package: &[u8], data: &Arc<[u8]>) -> Command {
    Command::new(apdu::load_direct(data), loaded(package, data))
}

fn install(package: &[u8], instance: &[u8], message: &[u8]) -> Command {
    let effect = Effect::Installed {
        instance: instance.to_vec(),
        package: package.to_vec(),
        message: (package == TAG).then(|| message.to_vec()),
    };
    Command::new(apdu::for_install(package, instance, message), vec![effect]).at_point()
}

fn message(instance: &[u8], bytes: Vec<u8>, message: &[u8]) -> Command {
    Command::new(bytes, vec![Effect::Message { instance: instance.to_vec(), message: message.to_vec() }])
}

/// Two applications: one loaded in blocks and personalized, one by direct reference; and a data object.
#[must_use]
pub fn two_applications() -> Batch {
    let (tag, wallet) = (load_file(TAG, 0).into(), load_file(WALLET, 60).into());
    let mut commands = vec![for_load(TAG)];
    commands.extend(load_in_blocks(TAG, &tag, 120));
    commands.extend([
        install(TAG, FIRST_TAG, b"as installed"),
        for_load(WALLET),
        load_direct(WALLET, &wallet),
        install(WALLET, &module(WALLET), b""),
        Command::new(apdu::for_personalization(FIRST_TAG), Vec::new()).at_point().leaving_volatile(),
        message(FIRST_TAG, apdu::store_data(b"personal"), b"personal"),
        object(IDENTIFICATION, &[1, 2, 3]).at_point(),
    ]);
    Batch { name: "two-applications", commands, confirm: false }
}

/// The tag again, in another and longer version, in the place of the first; one of its two instances is written to by
/// the batch itself. Ends with the life cycle of the card.
#[must_use]
pub fn another_version() -> Batch {
    let data = load_file(TAG, 4200).into();
    let commands = vec![
        Command::new(apdu::delete(TAG), vec![Effect::Removed { package: TAG.to_vec() }]).at_point(),
        for_load(TAG),
        load_direct(TAG, &data),
        install(TAG, FIRST_TAG, b"new"),
        install(TAG, SECOND_TAG, b"second"),
        Command::new(apdu::select(SECOND_TAG), Vec::new()).at_point().leaving_volatile(),
        Command::new(apdu::SELECT_MESSAGE.to_vec(), Vec::new()).leaving_volatile(),
        message(SECOND_TAG, apdu::write_message(b"written by the batch"), b"written by the batch").leaving_volatile(),
        Command::new(apdu::select(apdu::CARD_MANAGER), Vec::new()),
        Command::new(apdu::set_life_cycle(0x07), vec![Effect::LifeCycle(0x07)]).at_point(),
        object(CARD_IMAGE, &[4, 5]),
    ];
    Batch { name: "another-version", commands, confirm: false }
}

/// Changes this and that, deletes an application, is in the middle of a load, goes on to the next life cycle state, and
/// then fails.
#[must_use]
pub fn failing() -> Batch {
    let data: Arc<[u8]> = load_file(CLIENT, 0).into();
    let block = load_in_blocks(CLIENT, &data, 100).swap_remove(0);
    let gone = Effect::Uninstalled { instance: SECOND_TAG.to_vec() };
    let commands = vec![
        object(IDENTIFICATION, &[9, 9, 9]).at_point(),
        Command::new(apdu::delete(SECOND_TAG), vec![gone]).at_point(),
        Command::new(apdu::set_life_cycle(0x0F), vec![Effect::LifeCycle(0x0F)]),
        for_load(CLIENT),
        block,
        // Anything but LOAD gives the load up.
        Command { effects: vec![Effect::NotLoading], ..object(CARD_IMAGE, &[7]) }.also(object(CARD_IMAGE, &[7])),
        Command::refused(apdu::load(&data, 100).swap_remove(1), 0x6985),
    ];
    Batch { name: "failing", commands, confirm: false }
}

/// Changes a data object and an application, and fails.
#[must_use]
pub fn small_failure() -> Batch {
    let gone = Effect::Uninstalled { instance: module(WALLET) };
    let commands = vec![
        object(IDENTIFICATION, &[9, 9, 9]).at_point(),
        Command::new(apdu::delete(&module(WALLET)), vec![gone]).at_point(),
        object(CARD_IMAGE, &[7]).at_point(),
        Command::refused(apdu::delete(CLIENT), 0x6A88),
    ];
    Batch { name: "small-failure", commands, confirm: false }
}

/// An application that must be confirmed before its first use.
#[must_use]
pub fn to_be_confirmed() -> Batch {
    let data = load_file(CLIENT, 0).into();
    let mut commands = vec![for_load(CLIENT)];
    commands.extend(load_in_blocks(CLIENT, &data, 200));
    commands.push(install(CLIENT, &module(CLIENT), b""));
    commands.push(Command::new(
        apdu::set_locked(FIRST_TAG, true),
        vec![Effect::Locked { instance: FIRST_TAG.to_vec(), locked: true }],
    ));
    Batch { name: "to-be-confirmed", commands, confirm: true }
}

/// Ends in the middle of a load.
#[must_use]
pub fn unfinished_load() -> Batch {
    let data: Arc<[u8]> = load_file(WALLET, 700).into();
    let block = load_in_blocks(WALLET, &data, 100).swap_remove(0);
    let commands = vec![object(CARD_IMAGE, &[8, 8]).at_point(), for_load(WALLET), block];
    Batch { name: "unfinished-load", commands, confirm: false }
}

/// Begins in the middle of a load, which must not succeed even if an earlier batch ended there.
#[must_use]
pub fn headless_load() -> Batch {
    let data = load_file(WALLET, 700);
    Batch {
        name: "headless-load",
        commands: vec![Command::refused(apdu::load(&data, 100).swap_remove(1), 0x6985)],
        confirm: false,
    }
}

impl Command {
    /// Has the effects of another command as well.
    fn also(mut self, other: Command) -> Self {
        self.effects.extend(other.effects);
        self
    }
}
