//! What of a card can be seen, as text: the canonical dump. From the model, or from a card.

use crate::model::{Issue, Model, State};
use std::fmt::Write;

/// Upper-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// CRC-32 as in the batch format.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    smcard_batch::format::checksum(bytes)
}

/// A view in the making: lines, which [`View::finish`] sorts.
#[derive(Default)]
pub struct View(Vec<String>);

impl View {
    /// The card's state, the room left, the sequence counter.
    pub fn card(&mut self, life_cycle: u8, free: u64, sequence: u32) {
        self.0.push(format!("card: life cycle {life_cycle:02X}, {free} bytes free, sequence counter {sequence}"));
    }

    /// A file of the command store.
    pub fn file(&mut self, id: u16, name: &str, size: usize, commands: usize, crc: u32) {
        self.0.push(format!("file {id:04X}: {name}, {size} bytes, {commands} commands, CRC {crc:08X}"));
    }

    /// A load file.
    pub fn load_file(&mut self, package: &[u8], length: usize, crc: u32) {
        self.0.push(format!("load file {}: {length} bytes, CRC {crc:08X}", hex(package)));
    }

    /// An application. `message`: what a reader of the tag finds, where it can be selected and has code.
    pub fn application(
        &mut self,
        instance: &[u8],
        package: &[u8],
        state: u8,
        selectable: bool,
        message: Option<&[u8]>,
    ) {
        let selectable = if selectable { "selectable" } else { "held back" };
        let message = message.map_or_else(|| "no answer".to_owned(), hex);
        let (instance, package) = (hex(instance), hex(package));
        self.0.push(format!("application {instance}: of {package}, state {state:02X}, {selectable}, {message}"));
    }

    /// A data object.
    pub fn object(&mut self, tag: u16, value: &[u8]) {
        self.0.push(format!("object {tag:02X}: {}", hex(value)));
    }

    /// The last issue.
    pub fn issue(&mut self, issue: Option<Issue>) {
        let Some(Issue { state, file, given, total, kept, sw }) = issue else { return };
        let state = match state {
            State::Unfinished => "unfinished",
            State::Done => "done",
            State::Awaiting => "awaiting confirmation",
        };
        self.0.push(format!("issue of {file:04X}: {state}, {given} of {total} given, {kept} kept, status {sw:04X}"));
    }

    /// The text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.0.sort();
        self.0.push(String::new());
        self.0.join("\n")
    }
}

/// What of a model can be seen.
#[must_use]
pub fn of_model(model: &Model) -> String {
    let mut view = View::default();
    let life_cycle = model.life_cycle();
    view.card(life_cycle, model.free(), model.sequence);
    for (id, file) in &model.files {
        view.file(*id, &file.name, file.bytes.len(), file.commands, crc(&file.bytes));
    }
    for (package, data) in &model.content.load_files {
        view.load_file(package, data.len(), crc(data));
    }
    for (instance, application) in &model.content.applications {
        let state = if application.locked { 0x87 } else { 0x07 };
        let asleep = matches!(life_cycle, 0x7F | 0xFF);
        let selectable = !application.locked && !asleep && !model.touched.contains(instance);
        let message = application.message.as_deref().filter(|_| selectable);
        view.application(instance, &application.package, state, selectable, message);
    }
    for (tag, value) in &model.content.objects {
        view.object(*tag, value);
    }
    view.issue(model.issue);
    view.finish()
}

/// A view without what repeating a step may change: the sequence counter.
#[must_use]
pub fn without_sequence(view: &str) -> String {
    let lines = view.lines().map(|line| line.split(", sequence counter").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}
