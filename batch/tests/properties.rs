//! Properties of batches and parsers, for inputs that nobody thought of.

#[path = "../../fuzz/src/targets.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use it from outside")]
mod targets;

use proptest::collection::vec;
use proptest::prelude::*;
use smcard_batch::issue::{Blocks, IssuePlan};
use smcard_batch::{Batch, BatchBuilder, CapFile, CommandApdu, Form, LoadFile, Reason};

/// A command, owned.
#[derive(Clone, Debug)]
struct Owned {
    header: [u8; 4],
    data: Vec<u8>,
    le: Option<u32>,
    form: Form,
}

impl Owned {
    fn view(&self) -> CommandApdu<'_> {
        let [cla, ins, p1, p2] = self.header;
        CommandApdu { cla, ins, p1, p2, data: &self.data, le: self.le, form: self.form }
    }
}

fn command() -> impl Strategy<Value = Owned> {
    let of = |form, data: usize, le: u32| {
        let le = if le == 0 { Just(None).boxed() } else { proptest::option::of(1..=le).boxed() };
        (any::<[u8; 4]>(), vec(any::<u8>(), 0..=data), le).prop_map(move |(header, data, le)| Owned {
            header,
            data,
            le,
            form,
        })
    };
    // An extended command without data and Le is written as a short one.
    let extended =
        of(Form::Extended, 600, 65_536).prop_filter("nothing extended", |c| !c.data.is_empty() || c.le.is_some());
    prop_oneof![4 => of(Form::Short, 255, 256), 2 => extended, 1 => of(Form::Direct, 3000, 0)]
}

/// Commands, each with a recovery point or not.
fn commands() -> impl Strategy<Value = Vec<(bool, Owned)>> {
    vec((any::<bool>(), command()), 0..12)
}

fn build(commands: &[(bool, Owned)], recovery: bool, confirm: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.confirm(confirm);
    if recovery {
        builder.with_recovery();
    }
    for (point, command) in commands {
        if recovery && *point {
            builder.recovery_point();
        }
        builder.push(&command.view()).expect("fits its form");
    }
    builder.finish().expect("a batch")
}

proptest! {
    #[test]
    fn what_is_built_is_read_back(commands in commands(), recovery: bool, confirm: bool) {
        let file = build(&commands, recovery, confirm);
        let batch = Batch::parse(&file).expect("a batch");
        prop_assert_eq!(batch.needs_confirmation(), confirm);
        prop_assert_eq!(batch.has_recovery(), recovery);
        let read: Vec<_> = batch.commands().map(|command| command.apdu).collect();
        let written: Vec<_> = commands.iter().map(|(_, command)| command.view()).collect();
        prop_assert_eq!(read, written);
        let points: Vec<_> = batch.recovery_points().map(|point| point.command).collect();
        let marked: Vec<_> = (1..).zip(&commands).filter(|(_, c)| recovery && c.0).map(|(number, _)| number).collect();
        prop_assert_eq!(points, marked);
    }

    #[test]
    fn a_damaged_byte_is_refused(commands in commands(), recovery: bool, at: prop::sample::Index, flip in 1..=255_u8) {
        let mut file = build(&commands, recovery, false);
        let at = at.index(file.len());
        file[at] ^= flip;
        match Batch::parse(&file) {
            Err(fault) => prop_assert!(usize::try_from(fault.offset).is_ok_and(|offset| offset <= file.len())),
            // The flags are not under the checksum: what is still a batch must at least hold together.
            Ok(_) => {
                prop_assert_eq!(at, 5);
                targets::batch(&file);
            }
        }
    }

    #[test]
    fn a_batch_cut_short_or_too_long_is_refused(commands in commands(), recovery: bool, at: prop::sample::Index) {
        let mut file = build(&commands, recovery, false);
        let length = at.index(file.len());
        let fault = Batch::parse(&file[..length]).expect_err("cut");
        prop_assert!(usize::try_from(fault.offset).is_ok_and(|offset| offset <= length));
        prop_assert!(matches!(fault.reason, Reason::HeaderCut | Reason::BodyCut));
        file.push(0);
        prop_assert_eq!(Batch::parse(&file).expect_err("too long").reason, Reason::Trailing);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..400)) {
        targets::apdu(&bytes);
        targets::batch(&bytes);
        targets::cap(&bytes);
        targets::load_file(&bytes);
    }

    #[test]
    fn arbitrary_commands_have_words(command in command(), ins in 0x00..=0xFF_u8, gp: bool) {
        let mut command = command;
        command.header[0] = if gp { 0x80 } else { 0x00 };
        command.header[1] = ins;
        let bytes = command.view().to_vec().expect("fits its form");
        targets::apdu(&bytes);
    }
}

/// The load file data of a small real package.
fn package() -> Vec<u8> {
    let cap = CapFile::read(&smcard_fixtures::ndef_cap()).expect("a CAP file");
    cap.load_file_data(smcard_batch::cap::Include { descriptor: true, ..Default::default() })
}

#[test]
fn load_file_data_cut_anywhere_is_refused_inside_it() {
    let data = package();
    let file = LoadFile::parse(&data).expect("load file data");
    let descriptor = file.component(smcard_batch::load_file::tag::DESCRIPTOR).expect("asked for").offset;
    for length in 0..data.len() {
        match LoadFile::parse(&data[..length]) {
            Err(fault) => assert!(usize::try_from(fault.offset).is_ok_and(|offset| offset <= length), "{fault}"),
            Ok(_) => assert_eq!(usize::try_from(descriptor), Ok(length), "only the Descriptor may stay away"),
        }
    }
}

#[test]
fn a_damaged_byte_of_a_package_never_upsets_the_views() {
    let mut data = package();
    for at in 0..data.len() {
        for flip in [0x01, 0x80, 0xFF] {
            data[at] ^= flip;
            targets::load_file(&data);
            data[at] ^= flip;
        }
    }
}

#[test]
fn a_damaged_byte_of_a_cap_file_never_upsets_the_reader() {
    let mut zip = smcard_fixtures::orphan_cap();
    for at in 0..zip.len() {
        for flip in [0x01, 0x80, 0xFF] {
            zip[at] ^= flip;
            targets::cap(&zip);
            zip[at] ^= flip;
        }
    }
}

#[test]
fn every_block_size_brings_the_same_load_file() {
    let cap = CapFile::read(&smcard_fixtures::ndef_cap()).expect("a CAP file");
    let mut plan = IssuePlan::new(&cap);
    let loaded = |plan: &IssuePlan<'_>| -> Vec<u8> {
        let file = plan.build().expect("commands").finish().expect("a batch");
        let batch = Batch::parse(&file).expect("a batch");
        batch.commands().skip(1).flat_map(|command| command.apdu.data).copied().collect()
    };
    plan.blocks = Blocks::Direct;
    let direct = loaded(&plan);
    for size in 16..=255 {
        plan.blocks = Blocks::Size(size);
        assert_eq!(loaded(&plan), direct, "blocks of {size}");
    }
}
