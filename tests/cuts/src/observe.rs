//! A card looked at through its own commands.

use crate::apdu;
use crate::image;
use crate::model::{Issue, State};
use crate::terminal::{Silence, Terminal};
use crate::view::{View, crc};
use smcard_flash::sim::Simulator;

/// Why a card cannot be looked at.
pub type Blind = String;

/// The view of the card on a copy of `simulator`.
///
/// # Errors
/// It does not open, or does not answer as a card does.
pub fn observe(simulator: &Simulator) -> Result<String, Blind> {
    let mut terminal = Terminal::open(simulator.clone()).map_err(|refused| refused.error.to_string())?;
    let mut view = View::default();
    look(&mut terminal, &mut view).map_err(|silence| format!("{silence:?}"))?;
    // Power-on may have changed the image: what files and load files hold is read afterwards.
    let after = terminal.close();
    let contents = image::contents(&after).map_err(|error| error.to_string())?;
    let (mut terminal, mut files, mut load_files) = (open(after)?, contents.files, contents.load_files);
    let table = get(&mut terminal, 0xDF71).map_err(|silence| format!("{silence:?}"))?;
    for row in objects(&table) {
        let field =
            |tag| objects(row.1).into_iter().find(|(found, _)| *found == tag).map_or(&[][..], |(_, value)| value);
        let id = u16::try_from(number(field(0x80))).unwrap_or(0);
        let at = files.iter().position(|(found, _)| *found == id).ok_or("a file without content")?;
        let (_, content) = files.swap_remove(at);
        let size = usize::try_from(number(field(0x82))).unwrap_or(0);
        let commands = usize::try_from(number(field(0x84))).unwrap_or(0);
        view.file(id, &String::from_utf8_lossy(field(0x81)), size, commands, crc(&content));
    }
    terminal.authenticate().map_err(|silence| format!("{silence:?}"))?;
    for (aid, _, _) in list(&mut terminal, 0x10).map_err(|silence| format!("{silence:?}"))? {
        let at = load_files.iter().position(|(found, _)| *found == aid).ok_or("a load file without content")?;
        let (_, content) = load_files.swap_remove(at);
        view.load_file(&aid, content.len(), crc(&content));
    }
    if files.is_empty() && load_files.is_empty() { Ok(view.finish()) } else { Err("hidden content".to_owned()) }
}

fn open(simulator: Simulator) -> Result<Terminal, Blind> {
    Terminal::open(simulator).map_err(|refused| refused.error.to_string())
}

fn look(terminal: &mut Terminal, view: &mut View) -> Result<(), Silence> {
    let sequence = number(&get(terminal, 0xC1)?);
    let memory = get(terminal, 0xDF73)?;
    let state = get(terminal, 0xDF74)?;
    let life_cycle = *state.first().ok_or(Silence::Wrong("no life cycle".to_owned()))?;
    view.card(life_cycle, number(memory.get(8..16).unwrap_or_default()), u32::try_from(sequence).unwrap_or(0));
    for tag in [0x42, 0x45] {
        if let Ok(value) = get(terminal, tag) {
            view.object(tag, &value);
        }
    }
    view.issue(issue(&get(terminal, 0xDF72)?));
    terminal.authenticate()?;
    let manager = list(terminal, 0x80)?;
    if manager.first().is_none_or(|(_, state, _)| *state != life_cycle) {
        return Err(Silence::Wrong("GET STATUS and GET DATA disagree on the life cycle".to_owned()));
    }
    for (instance, state, package) in list(terminal, 0x40)? {
        let selected = terminal.send(&apdu::select(&instance))?;
        let message = if selected.sw == 0x9000 { message(terminal)? } else { None };
        view.application(&instance, &package, state, selected.sw == 0x9000, message.as_deref());
        if terminal.send(&apdu::select(apdu::CARD_MANAGER))?.sw & 0xFF00 == 0x6A00 {
            return Err(Silence::Wrong("the card manager cannot be selected".to_owned()));
        }
    }
    Ok(())
}

/// The message of the application just selected, as a reader of tags finds it; `None` where nobody answers.
fn message(terminal: &mut Terminal) -> Result<Option<Vec<u8>>, Silence> {
    if terminal.send(apdu::SELECT_MESSAGE)?.sw != 0x9000 {
        return Ok(None);
    }
    let length = terminal.send(&[0x00, 0xB0, 0x00, 0x00, 0x02])?;
    let length = u8::try_from(number(&length.data)).unwrap_or(u8::MAX);
    if length == 0 {
        return Ok(Some(Vec::new()));
    }
    Ok(Some(terminal.send(&[0x00, 0xB0, 0x00, 0x02, length])?.data))
}

/// The value of a data object.
fn get(terminal: &mut Terminal, tag: u16) -> Result<Vec<u8>, Silence> {
    let [p1, p2] = tag.to_be_bytes();
    let answer = terminal.send(&[0x80, 0xCA, p1, p2, 0x00, 0xFF, 0xFF])?;
    let value =
        objects(&answer.data).first().filter(|(found, _)| answer.sw == 0x9000 && *found == tag).map(|o| o.1.to_vec());
    value.ok_or_else(|| Silence::Wrong(format!("GET DATA {tag:04X}: {:04X}", answer.sw)))
}

/// An entry of the registry: AID, state, AID of the load file.
type Entry = (Vec<u8>, u8, Vec<u8>);

/// GET STATUS.
fn list(terminal: &mut Terminal, subset: u8) -> Result<Vec<Entry>, Silence> {
    let mut found = Vec::new();
    for p2 in [0x02, 0x03].into_iter().chain(std::iter::repeat_n(0x03, 100)) {
        let answer = terminal.send_secured(&[0x80, 0xF2, subset, p2, 0x02, 0x4F, 0x00])?;
        for (_, entry) in objects(&answer.data) {
            let fields = objects(entry);
            let field = |tag| fields.iter().find(|(found, _)| *found == tag).map_or(&[][..], |(_, value)| *value);
            found.push((field(0x4F).to_vec(), field(0x9F70).first().copied().unwrap_or(0), field(0xC4).to_vec()));
        }
        match answer.sw {
            0x6310 => {}
            0x9000 | 0x6A88 => return Ok(found),
            sw => return Err(Silence::Wrong(format!("GET STATUS {subset:02X}: {sw:04X}"))),
        }
    }
    Err(Silence::Wrong("GET STATUS never ends".to_owned()))
}

/// The data object DF72.
fn issue(value: &[u8]) -> Option<Issue> {
    let state = match value.first()? {
        1 => State::Unfinished,
        2 => State::Done,
        3 => State::Awaiting,
        _ => return None,
    };
    let field = |from: usize, to: usize| number(value.get(from..to).unwrap_or_default());
    let count = |from: usize, to: usize| usize::try_from(field(from, to)).unwrap_or(usize::MAX);
    let word = |from: usize, to: usize| u16::try_from(field(from, to)).unwrap_or(u16::MAX);
    let (given, total, kept) = (count(3, 7), count(7, 11), count(13, 17));
    Some(Issue { state, file: word(1, 3), given, total, sw: word(11, 13), kept })
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Objects in BER-TLV, as far as they can be read: tags of one or two bytes, lengths of up to two.
fn objects(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some((tag, value, rest)) = split(bytes) {
        found.push((tag, value));
        bytes = rest;
    }
    found
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (tag, rest) = match bytes {
        [first, second, rest @ ..] if first & 0x1F == 0x1F => (u16::from_be_bytes([*first, *second]), rest),
        [first, rest @ ..] => (u16::from(*first), rest),
        [] => return None,
    };
    let (length, rest) = match rest {
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [length, rest @ ..] => (usize::from(*length), rest),
        [] => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}
