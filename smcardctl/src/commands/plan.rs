//! `plan`: what a batch would do to this card, without writing anything.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use smcard_batch::plan::{Inventory, KeyChange, Package, Plan};
use smcard_batch::{Aid, Batch};

use crate::card::{Card, value};
use crate::cli;
use crate::commands::inspect;
use crate::exit::{Exit, Failure, printable};
use crate::output::{Output, Report};

/// A load file that would come.
#[derive(Debug, PartialEq, Serialize)]
struct Loaded {
    aid: String,
    bytes: u64,
}

/// What would go wrong.
#[derive(Debug, PartialEq, Serialize)]
struct Trouble {
    /// The command that would fail, the first being 1; `null` for the batch as a whole.
    command: Option<u32>,
    why: String,
}

/// What the batch would do.
#[derive(Debug, PartialEq, Serialize)]
struct Planned {
    file: String,
    commands: u32,
    bytes: u64,
    loads: Vec<Loaded>,
    installs: Vec<String>,
    deletes: Vec<String>,
    keys: Vec<String>,
    /// Packages with their versions that the card does not list and most cards have.
    assumes: Vec<String>,
    /// Bytes that batch and load files take together; deleted ones become free only when the issue is done.
    needed_bytes: u64,
    free_bytes: u64,
    problems: Vec<Trouble>,
    would_go: bool,
}

pub(crate) fn run(card: &Card, output: Output, options: &cli::Plan) -> Result<Exit, Failure> {
    let path = &options.file;
    let file = inspect::read(path)?;
    let batch = Batch::parse(&file).map_err(|fault| inspect::damaged(path, fault))?;
    let held = held(card)?;
    let planned = Planned::new(path, u64::try_from(file.len()).unwrap_or(u64::MAX), &batch, held);
    output.show(&planned)?;
    Ok(if planned.would_go { Exit::Done } else { Exit::Refused })
}

/// What the card holds, and the life cycle that it is in.
struct Held {
    inventory: Inventory,
    life_cycle: String,
}

fn held(card: &Card) -> Result<Held, Failure> {
    let mut inventory = Inventory::default();
    for entry in card.entries("plan", "apps")? {
        let field = |name: &str| value(&entry.path().join(name)).unwrap_or_default();
        let Ok(aid) = field("aid").parse::<Aid>() else { continue };
        match field("kind").as_str() {
            "package" => inventory.packages.push(Package {
                aid,
                version: version(&field("version")),
                modules: None,
                imports: Vec::new(),
            }),
            "security-domain" if field("package").is_empty() => inventory.reserved.push(aid),
            _ => inventory.applications.push((aid, field("package").parse().ok())),
        }
    }
    // Every card has an issuer security domain: a list without it is no list.
    if inventory.reserved.is_empty() {
        let advice = "give it keys ([keys] in smcardd.toml), or 'smcardctl authenticate'";
        let why = "the card does not list its applications: smcardd has no secure channel";
        return Err(Failure::new(Exit::Refused, "plan", why, advice));
    }
    let bytes = |name: &str| -> Result<u64, Failure> {
        let path = card.folder.join("card").join(name);
        let read = value(&path).and_then(|value| value.parse().ok());
        read.ok_or_else(|| Failure::new(Exit::Gone, "plan", format!("card/{name} does not tell a number"), ""))
    };
    inventory.free = bytes("free_bytes")?;
    inventory.largest = bytes("largest_free_bytes")?;
    let life_cycle = value(&card.folder.join("card/life_cycle")).unwrap_or_default();
    Ok(Held { inventory, life_cycle })
}

/// `1.3`; 0.0 for what is none.
fn version(text: &str) -> (u8, u8) {
    let parts = text.split_once('.').map(|(major, minor)| (major.parse(), minor.parse()));
    if let Some((Ok(major), Ok(minor))) = parts { (major, minor) } else { (0, 0) }
}

impl Planned {
    fn new(path: &Path, bytes: u64, batch: &Batch<'_>, held: Held) -> Self {
        let Held { mut inventory, life_cycle } = held;
        let (free_bytes, largest) = (inventory.free, inventory.largest);
        let mut problems = Vec::new();
        let mut trouble = |command, why| problems.push(Trouble { command, why });
        if matches!(life_cycle.as_str(), "CARD_LOCKED" | "TERMINATED") {
            trouble(None, format!("the card is {life_cycle}: it takes no batch"));
        }
        if bytes > largest {
            trouble(None, format!("a batch of {bytes} bytes finds no place; the longest has {largest}"));
        }
        // The batch stands on the card before anything is loaded.
        inventory.free = free_bytes.saturating_sub(bytes);
        inventory.largest = largest.min(inventory.free);
        let plan = Plan::new(batch, inventory);
        for (command, problem) in &plan.problems {
            trouble(Some(*command), problem.to_string());
        }
        let words = |aids: &[Aid]| aids.iter().map(Aid::to_string).collect();
        let assumed = |(aid, (major, minor)): &(Aid, (u8, u8))| format!("{aid} {major}.{minor}");
        Planned {
            file: path.to_string_lossy().into_owned(),
            commands: batch.count(),
            bytes,
            needed_bytes: bytes.saturating_add(plan.bytes()),
            free_bytes,
            loads: plan.loaded.iter().map(|(aid, bytes)| Loaded { aid: aid.to_string(), bytes: *bytes }).collect(),
            installs: words(&plan.installed),
            deletes: words(&plan.deleted),
            keys: plan.keys.iter().map(|change| key_words(*change)).collect(),
            assumes: plan.assumed.iter().map(assumed).collect(),
            would_go: problems.is_empty(),
            problems,
        }
    }
}

/// Key versions in decimal, as the other commands take them.
fn key_words(change: KeyChange) -> String {
    match change {
        KeyChange::Added(version) => format!("adds key version {version}"),
        KeyChange::Replaced { old, new } if old == new || new == 0 => format!("replaces key version {old}"),
        KeyChange::Replaced { old, new } => format!("replaces key version {old} by {new}"),
        KeyChange::Deleted(version) => format!("deletes key version {version}"),
    }
}

impl Report for Planned {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { file, commands, bytes, needed_bytes, free_bytes, .. } = self;
        writeln!(out, "{}: {commands} commands, {bytes} bytes", printable(file))?;
        for Loaded { aid, bytes } in &self.loads {
            writeln!(out, "  loads     {aid}, {bytes} bytes")?;
        }
        let lists = [("installs", &self.installs), ("deletes", &self.deletes), ("keys", &self.keys)];
        for (what, list) in lists.into_iter().chain([("assumes", &self.assumes)]) {
            for line in list {
                writeln!(out, "  {what:<8}  {line}")?;
            }
        }
        writeln!(out, "  memory    {needed_bytes} bytes of {free_bytes} free")?;
        for Trouble { command, why } in &self.problems {
            match command {
                Some(number) => writeln!(out, "command {number} would fail: {why}")?,
                None => writeln!(out, "{why}")?,
            }
        }
        writeln!(out, "{}", if self.would_go { "nothing is in its way" } else { "it would not go" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn mounted(domain: bool) -> (tempfile::TempDir, Card) {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, value: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        };
        file("card/free_bytes", "1000");
        file("card/largest_free_bytes", "900");
        file("card/life_cycle", "SECURED");
        let app = |aid: &str, kind: &str, package: &str, version: &str| {
            for (name, value) in [("aid", aid), ("kind", kind), ("package", package), ("version", version)] {
                file(&format!("apps/{aid}/{name}"), value);
            }
        };
        app("D2760000850101", "application", "F0534D4341524401", "1.0");
        app("F0534D4341524401", "package", "F0534D4341524401", "1.0");
        if domain {
            app("A000000151000000", "security-domain", "", "");
        }
        let card = Card { folder: root.path().to_owned() };
        (root, card)
    }

    #[test]
    fn the_card_is_what_its_folders_say() {
        let (_root, card) = mounted(true);
        let held = held(&card).unwrap();
        let inventory = held.inventory;
        assert_eq!((inventory.free, inventory.largest, inventory.reserved.len()), (1000, 900, 1));
        assert_eq!(inventory.packages[0].version, (1, 0));
        assert_eq!(inventory.applications[0].1, Some(inventory.packages[0].aid));
        let (_root, card) = mounted(false);
        let failure = super::held(&card).err().unwrap();
        assert!(failure.exit == Exit::Refused && failure.line().contains("no secure channel"), "{}", failure.line());
    }

    #[test]
    fn what_would_fail_ends_with_1_and_is_told_with_its_command() {
        let (root, card) = mounted(true);
        let path = root.path().join("a.batch");
        let mut builder = smcard_batch::BatchBuilder::new();
        let delete = [0x4F, 0x08, 0xF0, 0x53, 0x4D, 0x43, 0x41, 0x52, 0x44, 0x01];
        builder.push(&smcard_batch::CommandApdu::new(0x80, 0xE4, 0, 0, &delete)).unwrap();
        fs::write(&path, builder.finish().unwrap()).unwrap();
        let options = cli::Plan { file: path.clone() };
        assert_eq!(run(&card, Output { json: true }, &options).unwrap(), Exit::Refused);
        let file = fs::read(&path).unwrap();
        let planned = Planned::new(&path, 40, &Batch::parse(&file).unwrap(), held(&card).unwrap());
        let mut text = Vec::new();
        planned.text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("command 1 would fail: load file F0534D4341524401 has the application D2760000850101"));
        assert!(text.contains("deletes   F0534D4341524401\n") && text.ends_with("it would not go\n"), "{text}");
        let locked = Held { life_cycle: "CARD_LOCKED".into(), ..held(&card).unwrap() };
        let planned = Planned::new(&path, 5000, &Batch::parse(&file).unwrap(), locked);
        assert_eq!(planned.problems.iter().filter(|trouble| trouble.command.is_none()).count(), 2, "{planned:?}");
    }

    #[test]
    fn keys_are_told_in_words() {
        assert_eq!(key_words(KeyChange::Added(49)), "adds key version 49");
        assert_eq!(key_words(KeyChange::Replaced { old: 48, new: 49 }), "replaces key version 48 by 49");
        assert_eq!(key_words(KeyChange::Replaced { old: 48, new: 48 }), "replaces key version 48");
        assert_eq!(key_words(KeyChange::Deleted(1)), "deletes key version 1");
        assert_eq!((version("2.11"), version("x")), ((2, 11), (0, 0)));
    }
}
