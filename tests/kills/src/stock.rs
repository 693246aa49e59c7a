//! The batches that are copied and started: about 2 KiB in blocks, 60 KiB in blocks, 1 MiB by direct reference; with and
//! without recovery information; some that fail, some that want CONFIRM, some that remove or replace.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use smcard_batch::{Batch as Parsed, BatchBuilder, CommandApdu};
use smcard_fixtures::aid;
use smcard_tests::batch::{library, ndef, wallet};

use crate::content::Effect;

/// Where a batch says that an interrupted issue may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Points {
    /// It says nothing.
    None,
    /// Before each load, each install, each other command.
    Functions,
    /// Before every command.
    Commands,
}

/// A batch and what the ledger has to know of it. No two have the same size, so a size tells which one a file is.
#[derive(Debug)]
pub struct Batch {
    /// A name for people.
    pub title: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// What its commands do.
    pub effects: Vec<Effect>,
    /// The commands before which it has a recovery point, the first being 1; `None` without recovery information.
    pub points: Option<BTreeSet<u32>>,
    /// Whether it wants CONFIRM.
    pub confirm: bool,
}

/// A batch of [`all`], by its place.
pub type BatchId = usize;

impl Batch {
    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap()
    }

    /// Number of commands.
    ///
    /// # Panics
    /// Never with a batch that parses.
    #[must_use]
    pub fn total(&self) -> u32 {
        u32::try_from(self.effects.len()).unwrap()
    }
}

/// All batches.
pub fn all() -> &'static [Batch] {
    static ALL: OnceLock<Vec<Batch>> = OnceLock::new();
    ALL.get_or_init(make)
}

/// All applications that any of them installs.
///
/// # Panics
/// Never.
pub fn applications() -> &'static BTreeSet<Vec<u8>> {
    static ALL: OnceLock<BTreeSet<Vec<u8>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let instance = |effect: &Effect| match effect {
            Effect::Install { instance, .. } => Some(instance.clone()),
            _ => None,
        };
        all().iter().flat_map(|batch| &batch.effects).filter_map(instance).collect()
    })
}

/// The batch that removes a package with its applications and does nothing else.
///
/// # Panics
/// If there is none for it.
#[must_use]
pub fn removal_of(package: &[u8]) -> BatchId {
    let wanted = Effect::Delete(package.to_vec());
    let does_it = |batch: &Batch| batch.effects.iter().filter(|effect| **effect != Effect::Nothing).eq([&wanted]);
    all().iter().position(does_it).unwrap()
}

/// A batch that does nothing to a card's content, so that any file can be recognised by starting it.
const PADDING: [u8; 4] = [0x00, 0xA4, 0x04, 0x00];

fn make() -> Vec<Batch> {
    use Points::{Commands, Functions, None};
    let (small, medium, large) = (commands(ndef()), commands(wallet()), commands(library()));
    let remove = |package: &[u8]| vec![delete(package)];
    let (no_small, no_medium, no_large) =
        (remove(aid::NDEF_PACKAGE), remove(aid::WALLET_PACKAGE), remove(aid::LIBRARY_PACKAGE));
    let missing = remove(aid::NOBODY);
    let mut made: Vec<Batch> = Vec::new();
    let mut add = |title: &str, parts: &[&Vec<Vec<u8>>], points: &[Points], confirm: bool| {
        for points in points {
            let title = format!("{title}-{points:?}").to_lowercase();
            let mut commands: Vec<Vec<u8>> = parts.iter().copied().flatten().cloned().collect();
            loop {
                let batch = build(title.clone(), &commands, *points, confirm);
                if made.iter().all(|other| other.bytes.len() != batch.bytes.len()) {
                    break made.push(batch);
                }
                commands.push(PADDING.to_vec());
            }
        }
    };
    let every = [None, Functions, Commands];
    add("remove-small", &[&no_small], &[None], false);
    add("remove-medium", &[&no_medium], &[None], false);
    add("remove-large", &[&no_large], &[None], false);
    add("small", &[&small], &every, false);
    add("medium", &[&medium], &every, false);
    add("large", &[&large], &every, false);
    add("small-medium", &[&small, &medium], &[None, Functions], false);
    add("large-small", &[&large, &small], &[None], false);
    add("replace-small", &[&no_small, &small], &every, false);
    add("replace-medium", &[&no_medium, &medium], &[None, Functions], false);
    add("replace-large", &[&no_large, &large], &[None], false);
    add("remove-both", &[&no_small, &no_medium], &[None], false);
    add("confirm-small", &[&small], &[None, Commands], true);
    add("confirm-medium", &[&medium], &[Functions], true);
    add("failing-small", &[&small, &missing], &every, false);
    add("failing-medium", &[&medium, &missing], &[Functions], false);
    made
}

fn build(title: String, commands: &[Vec<u8>], points: Points, confirm: bool) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.confirm(confirm);
    for command in commands {
        let continues = matches!(CommandApdu::parse_in_batch(command).unwrap().ins, 0xE8);
        if points == Points::Commands || (points == Points::Functions && !continues) {
            builder.recovery_point();
        }
        builder.push_bytes(command).unwrap();
    }
    let bytes = builder.finish().unwrap();
    let parsed = Parsed::parse(&bytes).unwrap();
    let effects = parsed.commands().map(|command| Effect::of(&command.apdu)).collect();
    let points = parsed.has_recovery().then(|| parsed.recovery_points().map(|point| point.command).collect());
    Batch { title, effects, points, confirm, bytes }
}

fn commands(batch: &[u8]) -> Vec<Vec<u8>> {
    Parsed::parse(batch).unwrap().commands().map(|command| command.bytes().to_vec()).collect()
}

fn delete(package: &[u8]) -> Vec<u8> {
    let length = u8::try_from(package.len()).unwrap();
    [&[0x80, 0xE4, 0x00, 0x80, length + 2, 0x4F, length], package].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Content, Walk};

    #[test]
    fn sizes_tell_batches_apart_and_span_what_a_card_is_given() {
        let sizes: BTreeSet<u64> = all().iter().map(Batch::size).collect();
        assert_eq!(sizes.len(), all().len());
        assert!(sizes.first() < Some(&100) && sizes.last() > Some(&1_040_000), "{sizes:?}");
        assert!(sizes.iter().any(|size| (50_000..80_000).contains(size)), "{sizes:?}");
    }

    #[test]
    fn each_does_what_its_title_says() {
        for batch in all() {
            let empty = Walk::over(&Content::default(), &batch.effects);
            let removes = ["remove", "replace"].iter().any(|word| batch.title.starts_with(word));
            assert_eq!(empty.failed.is_some(), removes || batch.title.starts_with("failing"), "{}", batch.title);
            assert_eq!(batch.confirm, batch.title.starts_with("confirm"));
            assert_eq!(batch.points.is_none(), batch.title.ends_with("-none"));
        }
        assert_eq!(applications().len(), 4, "small: one, medium: two, large: one");
        for package in [aid::NDEF_PACKAGE, aid::WALLET_PACKAGE, aid::LIBRARY_PACKAGE] {
            assert!(all()[removal_of(package)].title.starts_with("remove"));
        }
    }
}
