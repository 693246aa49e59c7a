//! What a card holds of packages and applications, as a plain map, and what each command of a batch does to it.

use std::collections::{BTreeMap, BTreeSet};

use smcard_batch::CommandApdu;

/// AID of a package or of an application.
pub type Aid = Vec<u8>;

/// AID on the card already.
pub const CONDITIONS_NOT_SATISFIED: u16 = 0x6985;
/// No package or application of that AID.
pub const REFERENCE_NOT_FOUND: u16 = 0x6A88;

/// What one command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that stays.
    Nothing,
    /// INSTALL \[for load\]: a package is announced.
    ForLoad(Aid),
    /// A LOAD that is not the last.
    Block,
    /// The last LOAD: the package is there.
    Loaded,
    /// INSTALL \[for install and make selectable\].
    Install {
        /// The package that has the code.
        package: Aid,
        /// The new application.
        instance: Aid,
    },
    /// DELETE of a package with its applications.
    Delete(Aid),
}

impl Effect {
    /// Reads a command (GlobalPlatform 2.3.1, 11.2, 11.5, 11.6).
    ///
    /// # Panics
    /// If it is none that the batches here are made of.
    #[must_use]
    pub fn of(command: &CommandApdu<'_>) -> Self {
        let fields = |count| fields(command.data, count);
        match (command.ins, command.p1, command.p2) {
            (0xA4, ..) => Self::Nothing,
            (0xE6, 0x02, _) => Self::ForLoad(fields(1).remove(0)),
            (0xE6, 0x0C, _) => {
                let mut fields = fields(3);
                Self::Install { instance: fields.remove(2), package: fields.remove(0) }
            }
            (0xE8, last, _) => {
                if last & 0x80 == 0 {
                    Self::Block
                } else {
                    Self::Loaded
                }
            }
            (0xE4, _, 0x80) if command.data[0] == 0x4F => Self::Delete(fields_behind_tag(command.data)),
            _ => panic!("not made for {command:?}"),
        }
    }
}

fn fields(mut data: &[u8], count: usize) -> Vec<Aid> {
    let mut found = Vec::new();
    for _ in 0..count {
        let (field, rest) = data[1..].split_at(usize::from(data[0]));
        found.push(field.to_vec());
        data = rest;
    }
    found
}

fn fields_behind_tag(data: &[u8]) -> Aid {
    fields(&data[1..], 1).remove(0)
}

/// Packages and applications.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    packages: BTreeSet<Aid>,
    applications: BTreeMap<Aid, Aid>,
}

impl Content {
    /// AIDs of the applications.
    #[must_use]
    pub fn applications(&self) -> BTreeSet<Aid> {
        self.applications.keys().cloned().collect()
    }

    /// AIDs of the packages.
    #[must_use]
    pub fn packages(&self) -> &BTreeSet<Aid> {
        &self.packages
    }
}

/// The way of a batch over a card's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// What there is at its end.
    pub content: Content,
    /// The applications it has made or removed.
    pub touched: BTreeSet<Aid>,
    /// The command that failed, the first being 1, and its status word.
    pub failed: Option<(u32, u16)>,
}

impl Walk {
    /// Gives commands to a card until they are at their end or one fails.
    #[must_use]
    pub fn over<'a>(content: &Content, effects: impl IntoIterator<Item = &'a Effect>) -> Self {
        let mut walk = Self { content: content.clone(), touched: BTreeSet::new(), failed: None };
        let mut loading = None;
        for (number, effect) in (1..).zip(effects) {
            if let Err(sw) = walk.give(effect, &mut loading) {
                walk.failed = Some((number, sw));
                break;
            }
        }
        walk
    }

    fn give(&mut self, effect: &Effect, loading: &mut Option<Aid>) -> Result<(), u16> {
        let Content { packages, applications } = &mut self.content;
        match effect {
            Effect::Nothing | Effect::Block => {}
            Effect::ForLoad(aid) if packages.contains(aid) => return Err(CONDITIONS_NOT_SATISFIED),
            Effect::ForLoad(aid) => *loading = Some(aid.clone()),
            Effect::Loaded => {
                packages.extend(loading.take());
            }
            Effect::Install { package, .. } if !packages.contains(package) => return Err(REFERENCE_NOT_FOUND),
            Effect::Install { instance, .. } if applications.contains_key(instance) => {
                return Err(CONDITIONS_NOT_SATISFIED);
            }
            Effect::Install { package, instance } => {
                applications.insert(instance.clone(), package.clone());
                self.touched.insert(instance.clone());
            }
            Effect::Delete(package) => {
                if !packages.remove(package) {
                    return Err(REFERENCE_NOT_FOUND);
                }
                applications.retain(|instance, of| {
                    let stays = of != package;
                    if !stays {
                        self.touched.insert(instance.clone());
                    }
                    stays
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install() -> Vec<Effect> {
        let (package, instance) = (vec![1], vec![1, 1]);
        vec![Effect::ForLoad(vec![1]), Effect::Block, Effect::Loaded, Effect::Install { package, instance }]
    }

    #[test]
    fn a_package_is_there_with_its_last_block_and_its_application_with_the_install() {
        let (before, all) = (Content::default(), install());
        let at = |count: usize| Walk::over(&before, &all[..count]);
        assert_eq!(at(2).content, before);
        assert_eq!((at(3).content.packages.len(), at(3).touched.len()), (1, 0));
        assert_eq!((at(4).content.applications.len(), at(4).touched.len()), (1, 1));
    }

    #[test]
    fn what_is_there_is_refused_and_what_is_not_there_cannot_be_removed() {
        let there = Walk::over(&Content::default(), &install()).content;
        assert_eq!(Walk::over(&there, &install()).failed, Some((1, CONDITIONS_NOT_SATISFIED)));
        let delete = [Effect::Nothing, Effect::Delete(vec![1])];
        let gone = Walk::over(&there, &delete);
        assert_eq!((gone.content, gone.touched), (Content::default(), [vec![1, 1]].into()));
        assert_eq!(Walk::over(&Content::default(), &delete).failed, Some((2, REFERENCE_NOT_FOUND)));
    }
}
