//! What a card holds, without any card: a few plain maps, and how they change.

use crate::batches::Batch;
use crate::effect::{Command, Effect};
use smcard_flash::PAGE;
use smcard_link::RecoveryKind;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// AIDs of load files and instances.
pub type Name = Vec<u8>;

/// An application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Application {
    /// AID of its package.
    pub package: Name,
    /// Its message; only where the card has code for it.
    pub message: Option<Vec<u8>>,
    /// Whether it is locked.
    pub locked: bool,
}

/// What an issue may change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Content {
    /// Life cycle state of the card.
    pub life_cycle: u8,
    /// Load file data by AID.
    pub load_files: BTreeMap<Name, Arc<[u8]>>,
    /// Applications by AID.
    pub applications: BTreeMap<Name, Application>,
    /// Data objects of the issuer security domain, by tag.
    pub objects: BTreeMap<u16, Vec<u8>>,
    /// The load file that is on its way.
    pub loading: Option<Arc<[u8]>>,
}

/// A file of the command store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Arc<[u8]>,
    /// Commands in it.
    pub commands: usize,
}

/// How the last issue stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Failed or interrupted.
    Unfinished,
    /// At its end.
    Done,
    /// At its end, and in want of CONFIRM.
    Awaiting,
}

/// The last issue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Issue {
    /// How it stands.
    pub state: State,
    /// The file it was issued from.
    pub file: u16,
    /// Commands given.
    pub given: usize,
    /// Commands there are.
    pub total: usize,
    /// Commands whose effect is kept.
    pub kept: usize,
    /// Why it ended; 0 where no command failed.
    pub sw: u16,
}

/// A card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    /// What it does with a broken issue.
    pub kind: RecoveryKind,
    /// Bytes of its data area.
    pub capacity: u64,
    /// What it holds, durably.
    pub content: Content,
    /// What it held before the issue that is not over yet.
    pub before: Option<Content>,
    /// Applications that this issue has made or changed, durably.
    pub touched: BTreeSet<Name>,
    /// The command store.
    pub files: BTreeMap<u16, File>,
    /// The last issue.
    pub issue: Option<Issue>,
    /// The sequence counter of the key set.
    pub sequence: u32,
}

/// How a START ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// 9000.
    Done,
    /// This command fails with this status word.
    Failed(usize, u16),
}

impl Content {
    fn apply(&mut self, effect: &Effect) {
        match effect.clone() {
            Effect::Loading(data) => self.loading = Some(data),
            Effect::NotLoading => self.loading = None,
            Effect::Loaded { package, data } => drop(self.load_files.insert(package, data)),
            Effect::Installed { instance, package, message } => {
                self.applications.insert(instance, Application { package, message, locked: false });
            }
            Effect::Message { instance, message } => {
                if let Some(application) = self.applications.get_mut(&instance) {
                    application.message = Some(message);
                }
            }
            Effect::Removed { package } => {
                self.load_files.remove(&package);
                self.applications.retain(|_, application| application.package != package);
            }
            Effect::Uninstalled { instance } => drop(self.applications.remove(&instance)),
            Effect::Object { tag, value } => drop(self.objects.insert(tag, value)),
            Effect::LifeCycle(state) => self.life_cycle = state,
            Effect::Locked { instance, locked } => {
                if let Some(application) = self.applications.get_mut(&instance) {
                    application.locked = locked;
                }
            }
        }
    }

    /// The application that an effect makes or changes.
    fn touches(effect: &Effect) -> Option<&Name> {
        match effect {
            Effect::Installed { instance, .. } | Effect::Message { instance, .. } | Effect::Locked { instance, .. } => {
                Some(instance)
            }
            _ => None,
        }
    }

    fn extents(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.load_files.values().chain(&self.loading)
    }
}

impl Model {
    /// A card fresh from the factory.
    #[must_use]
    pub fn fresh(kind: RecoveryKind, capacity: u64) -> Self {
        Model {
            kind,
            capacity,
            content: Content { life_cycle: 0x01, ..Content::default() },
            before: None,
            touched: BTreeSet::new(),
            files: BTreeMap::new(),
            issue: None,
            sequence: 0,
        }
    }

    /// Bytes free: whatever no file, load file or load on its way needs, now or for taking the issue back.
    #[must_use]
    pub fn free(&self) -> u64 {
        let pages = |bytes: &[u8]| bytes.len().div_ceil(usize::try_from(PAGE).unwrap_or(1)) as u64;
        let files: u64 = self.files.values().map(|file| pages(&file.bytes)).sum();
        let contents = std::iter::once(&self.content).chain(&self.before);
        let extents: BTreeSet<&[u8]> = contents.flat_map(Content::extents).map(AsRef::as_ref).collect();
        self.capacity - PAGE * (files + extents.into_iter().map(pages).sum::<u64>())
    }

    /// The life cycle state as others than the issue in hand see it.
    #[must_use]
    pub fn life_cycle(&self) -> u8 {
        self.before.as_ref().unwrap_or(&self.content).life_cycle
    }

    /// A command from outside an issue has succeeded. It is no part of what is taken back with an issue.
    #[must_use]
    pub fn with(&self, effects: &[Effect]) -> Self {
        let mut after = self.clone();
        let contents = std::iter::once(&mut after.content).chain(&mut after.before);
        contents.for_each(|content| effects.iter().for_each(|effect| content.apply(effect)));
        after
    }

    /// A file is there, in the place of one of its name.
    #[must_use]
    pub fn with_file(&self, name: &str, bytes: &Arc<[u8]>, commands: usize) -> Self {
        let mut after = self.clone();
        let id = (1..).find(|id| !self.files.contains_key(id)).unwrap_or_default();
        after.files.retain(|_, file| file.name != name);
        after.files.insert(id, File { name: name.to_owned(), bytes: Arc::clone(bytes), commands });
        after
    }

    /// The identifier of a file.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<u16> {
        self.files.iter().find(|(_, file)| file.name == name).map(|(id, _)| *id)
    }

    /// One more session was opened.
    #[must_use]
    pub fn with_session(&self) -> Self {
        Model { sequence: self.sequence + 1, ..self.clone() }
    }

    /// The power went and came back.
    #[must_use]
    pub fn after_power_on(&self) -> Self {
        let unfinished = self.issue.is_some_and(|issue| issue.state == State::Unfinished);
        if unfinished && self.kind == RecoveryKind::Restart { self.undone() } else { self.clone() }
    }

    /// The issue that is not over was taken back.
    #[must_use]
    pub fn cleared(&self) -> Self {
        let open = self.issue.is_some_and(|issue| issue.state != State::Done);
        if open { self.undone() } else { self.clone() }
    }

    /// What waited is confirmed.
    #[must_use]
    pub fn confirmed(&self) -> Self {
        let mut after = self.finished();
        after.issue = self.issue.map(|issue| Issue { state: State::Done, ..issue });
        after
    }

    fn undone(&self) -> Self {
        let mut after = self.clone();
        if let Some(before) = after.before.take() {
            after.content = before;
        }
        after.touched.clear();
        after.issue = None;
        after
    }

    fn finished(&self) -> Self {
        Model { before: None, touched: BTreeSet::new(), ..self.clone() }
    }

    /// START: each state that becomes durable, one after the other, and how it ends.
    #[must_use]
    pub fn issued(&self, file: u16, batch: &Batch, points: bool) -> (Vec<Self>, Outcome) {
        let mut states = Vec::new();
        let mut kept = 0;
        let mut base = self.clone();
        if let Some(issue) = self.issue.filter(|issue| issue.state == State::Unfinished) {
            if self.kind == RecoveryKind::Restart {
                base = self.undone();
                states.push(base.clone());
            } else {
                kept = issue.kept;
            }
        }
        let total = batch.commands.len();
        let issue = |state, given, kept, sw| Some(Issue { state, file, given, total, kept, sw });
        let mut now = base.content.clone();
        let mut touched = base.touched.clone();
        let mut volatile = false;
        let mut given = kept;
        for (number, command) in (1..).zip(&batch.commands).skip(kept) {
            if given > kept && !volatile && self.commits_before(command, points) {
                kept = given;
                base = base.committed(&now, &touched, issue(State::Unfinished, given, kept, 0));
                states.push(base.clone());
            }
            given = number;
            if let Some(sw) = command.refused {
                let content = base.content.clone();
                let touched = base.touched.clone();
                states.push(base.committed(&content, &touched, issue(State::Unfinished, given, kept, sw)));
                return (states, Outcome::Failed(given, sw));
            }
            for effect in &command.effects {
                now.apply(effect);
                touched.extend(Content::touches(effect).cloned());
            }
            volatile = command.volatile;
        }
        now.loading = None;
        let last = base.committed(&now, &touched, None);
        let (last, state) = if batch.confirm { (last, State::Awaiting) } else { (last.finished(), State::Done) };
        states.push(Model { issue: issue(state, given, given, 0), ..last });
        (states, Outcome::Done)
    }

    fn commits_before(&self, command: &Command, points: bool) -> bool {
        match self.kind {
            RecoveryKind::Restart => false,
            RecoveryKind::Command => true,
            RecoveryKind::Function => command.point || !points,
        }
    }

    fn committed(&self, content: &Content, touched: &BTreeSet<Name>, issue: Option<Issue>) -> Self {
        Model {
            content: content.clone(),
            before: Some(self.before.clone().unwrap_or_else(|| self.content.clone())),
            touched: touched.clone(),
            issue,
            ..self.clone()
        }
    }
}
