//! The walk through the commands.

use super::{Inventory, KeyChange, Package, Plan, Problem};
use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::load_file::LoadFile;
use std::borrow::Cow;

/// Applications before they are asked whether they are part of a card: Java Card and GlobalPlatform API packages.
const API_PROVIDERS: [&[u8]; 3] =
    [&[0xA0, 0x00, 0x00, 0x00, 0x62], &[0xA0, 0x00, 0x00, 0x01, 0x51], &[0xA0, 0x00, 0x00, 0x00, 0x03]];

/// A load in progress.
struct Load<'a> {
    aid: Aid,
    next_block: u32,
    total: u64,
    data: Cow<'a, [u8]>,
}

/// The card as it would be by now, and what was seen on the way.
pub(super) struct Walk<'a> {
    card: Inventory,
    plan: Plan,
    load: Option<Load<'a>>,
    /// Another application has been selected: what follows is its own business.
    elsewhere: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(card: Inventory) -> Self {
        Walk { card, plan: Plan::default(), load: None, elsewhere: false }
    }

    pub(super) fn finish(self) -> Plan {
        self.plan
    }

    pub(super) fn step(&mut self, number: u32, command: &CommandApdu<'a>) {
        let CommandApdu { cla, ins, p1, p2, data, .. } = *command;
        if (cla, ins, p1) == (0x00, 0xA4, 0x04) {
            let own = data.is_empty() || self.card.reserved.iter().any(|aid| aid.as_bytes().starts_with(data));
            self.elsewhere = !own;
            self.load = None;
            return;
        }
        if cla != 0x80 || self.elsewhere {
            return;
        }
        let done = match (ins, p1) {
            (0xE6, 0x02) => self.install_for_load(data),
            (0xE6, 0x04 | 0x0C) => self.install(data),
            (0xE8, _) => self.load_block(p1, p2, data),
            (0xE4, _) => self.delete(p2, data),
            (0xD8, _) => {
                let new = data.first().copied().unwrap_or(0);
                let change =
                    if p1 & 0x7F == 0 { KeyChange::Added(new) } else { KeyChange::Replaced { old: p1 & 0x7F, new } };
                self.plan.keys.push(change);
                Ok(())
            }
            _ => Ok(()),
        };
        if !matches!(ins, 0xE6 | 0xE8 | 0xCA) {
            self.load = None;
        }
        if let Err(problem) = done {
            self.plan.problems.push((number, problem));
        }
    }

    fn problem_if(found: Option<Problem>) -> Result<(), Problem> {
        found.map_or(Ok(()), Err)
    }

    fn install_for_load(&mut self, mut data: &[u8]) -> Result<(), Problem> {
        let aid = aid(&mut data)?;
        // Goes on behind a clash as if it were not there: the load file may have more to tell.
        self.load = Some(Load { aid, next_block: 0, total: 0, data: Cow::Borrowed(&[]) });
        Self::problem_if(self.is_taken(&aid).then_some(Problem::Taken(aid)))
    }

    fn is_taken(&self, aid: &Aid) -> bool {
        self.card.reserved.contains(aid) || self.package(aid).is_some() || self.has_application(aid)
    }

    fn has_application(&self, aid: &Aid) -> bool {
        self.card.applications.iter().any(|(other, _)| other == aid)
    }

    fn package(&self, aid: &Aid) -> Option<&Package> {
        self.card.packages.iter().find(|package| package.aid == *aid)
    }

    fn load_block(&mut self, p1: u8, p2: u8, data: &'a [u8]) -> Result<(), Problem> {
        let mut load = self.load.take().ok_or(Problem::NoLoad)?;
        if u32::from(p2) != load.next_block {
            return Err(Problem::NoLoad);
        }
        let mut data = data;
        if load.next_block == 0 {
            (load.total, data) = load_file_data(data).ok_or(Problem::Malformed)?;
        }
        load.next_block += 1;
        // One command that carries it all is looked at where it stands.
        if load.data.is_empty() {
            load.data = Cow::Borrowed(data);
        } else {
            load.data.to_mut().extend_from_slice(data);
        }
        let received = u64::try_from(load.data.len()).unwrap_or(u64::MAX);
        if received > load.total || (p1 & 0x80 != 0 && received != load.total) {
            return Err(Problem::Malformed);
        }
        if p1 & 0x80 == 0 {
            self.load = Some(load);
            return Ok(());
        }
        self.loaded(load.aid, &load.data)
    }

    /// A load file is complete.
    fn loaded(&mut self, announced: Aid, data: &[u8]) -> Result<(), Problem> {
        let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.plan.loaded.push((announced, size));
        let file = LoadFile::parse(data).map_err(Problem::Damaged)?;
        let package = file.package();
        let found = Aid::new(package.aid).map_err(|_| Problem::Malformed)?;
        let mut imports = Vec::new();
        let mut missing = None;
        for import in file.imports() {
            let Ok(aid) = Aid::new(import.aid) else { continue };
            let version = (import.major, import.minor);
            if !self.has_import(&aid, version) {
                missing = missing.or(Some(Problem::MissingImport { package: announced, import: aid, version }));
            }
            imports.push(aid);
        }
        let modules = file.applets().filter_map(|applet| Aid::new(applet.aid).ok()).collect();
        let entry =
            Package { aid: announced, version: (package.major, package.minor), modules: Some(modules), imports };
        self.card.packages.push(entry);
        let (needed, free, largest) = (self.plan.bytes(), self.card.free, self.card.largest);
        Self::problem_if((found != announced).then_some(Problem::OtherPackage { announced, found }))?;
        Self::problem_if(missing)?;
        Self::problem_if((needed > free).then_some(Problem::Memory { needed, free }))?;
        Self::problem_if((size > largest).then_some(Problem::Place { needed: size, largest }))
    }

    /// Java Card's rule: same major version, at least the minor version (JCVM specification section 4.5.2).
    fn has_import(&mut self, aid: &Aid, wanted: (u8, u8)) -> bool {
        let serves = |has: (u8, u8)| has.0 == wanted.0 && has.1 >= wanted.1;
        if self.package(aid).is_some_and(|package| serves(package.version)) {
            return true;
        }
        match &self.card.built_in {
            Some(built_in) => built_in.iter().any(|(name, has)| name == aid && serves(*has)),
            None if API_PROVIDERS.contains(&aid.rid()) => {
                if !self.plan.assumed.contains(&(*aid, wanted)) {
                    self.plan.assumed.push((*aid, wanted));
                }
                true
            }
            None => false,
        }
    }

    fn install(&mut self, mut data: &[u8]) -> Result<(), Problem> {
        let (package, module, instance) = (aid(&mut data)?, aid(&mut data)?, aid(&mut data)?);
        self.plan.installed.push(instance);
        let found = match self.package(&package) {
            None => Some(Problem::NoPackage(package)),
            Some(Package { modules: Some(modules), .. }) if !modules.contains(&module) => {
                Some(Problem::NoModule { package, module })
            }
            Some(_) => None,
        };
        let clash =
            self.has_application(&instance) || (self.is_taken(&instance) && instance != package && instance != module);
        self.card.applications.push((instance, Some(package)));
        Self::problem_if(found.or(clash.then_some(Problem::Taken(instance))))
    }

    fn delete(&mut self, p2: u8, mut data: &[u8]) -> Result<(), Problem> {
        let (&tag, rest) = data.split_first().ok_or(Problem::Malformed)?;
        data = rest;
        if matches!(tag, 0xD0 | 0xD2) {
            return self.delete_keys(tag, data);
        }
        let name = aid(&mut data)?;
        self.plan.deleted.push(name);
        if self.has_application(&name) {
            self.card.applications.retain(|(other, _)| *other != name);
            return Ok(());
        }
        if self.package(&name).is_none() {
            return Err(Problem::NotThere(name));
        }
        let by = self.card.packages.iter().find(|other| other.imports.contains(&name)).map(|other| other.aid);
        let of_it = |entry: &&(Aid, Option<Aid>)| entry.1 == Some(name);
        let application = self.card.applications.iter().find(of_it).map(|(application, _)| *application);
        self.card.packages.retain(|package| package.aid != name);
        self.card.applications.retain(|entry| entry.1 != Some(name));
        Self::problem_if(by.map(|by| Problem::Needed { aid: name, by }))?;
        let application = application.filter(|_| p2 & 0x80 == 0);
        Self::problem_if(application.map(|application| Problem::HasApplication { aid: name, application }))
    }

    /// Key identifier (D0) and version (D2), either order; `tag` is the first's, which has been read.
    fn delete_keys(&mut self, mut tag: u8, mut data: &[u8]) -> Result<(), Problem> {
        loop {
            let value = field(&mut data)?;
            if let (0xD2, Some(version)) = (tag, value.first()) {
                self.plan.keys.push(KeyChange::Deleted(*version));
            }
            let Some((&next, rest)) = data.split_first() else { return Ok(()) };
            (tag, data) = (next, rest);
        }
    }
}

/// The bytes behind a length of one byte or in BER form; `rest` is what follows them.
fn field<'d>(rest: &mut &'d [u8]) -> Result<&'d [u8], Problem> {
    let (length, behind) = length(rest).ok_or(Problem::Malformed)?;
    let length = usize::try_from(length).map_err(|_| Problem::Malformed)?;
    let (field, behind) = behind.split_at_checked(length).ok_or(Problem::Malformed)?;
    *rest = behind;
    Ok(field)
}

fn aid(rest: &mut &[u8]) -> Result<Aid, Problem> {
    Aid::new(field(rest)?).map_err(|_| Problem::Malformed)
}

/// A BER length of up to four bytes, and what follows it.
fn length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first <= 0x80 {
        return Some((u64::from(first), rest));
    }
    let count = usize::from(first & 0x7F);
    let (digits, rest) = rest.split_at_checked(count).filter(|_| count <= 4)?;
    Some((digits.iter().fold(0, |value, digit| value << 8 | u64::from(*digit)), rest))
}

/// The length announced by the tag C4 at the beginning of the first block, and the data behind it.
fn load_file_data(block: &[u8]) -> Option<(u64, &[u8])> {
    let (tag, rest) = block.split_first()?;
    length(rest).filter(|_| *tag == 0xC4)
}
