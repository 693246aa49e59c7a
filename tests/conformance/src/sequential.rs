//! What fsx would do to a drop box if it knew batches: random pieces in order, random calls in between, random damage.
//!
//! The card itself checks the content: it takes a batch only with the right checksum, and START runs every command of it.

use crate::expected::{Case, Outcome};
use anyhow::Result;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rustix::io::Errno;
use smcard_batch::{BatchBuilder, CommandApdu};
use smcard_ioctl::{Client, Selector, StartRequest};
use smcard_tests::Mounted;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

/// Batches for each property.
const ROUNDS: u32 = 150;
const LIMIT: Duration = Duration::from_secs(10);

/// One call of a program that writes a file from beginning to end.
#[derive(Clone, Debug)]
enum Step {
    /// The next bytes, at most so many.
    Write(usize),
    /// No bytes.
    WriteNothing,
    /// Bytes behind a gap.
    Skip(u64),
    /// The first byte once more.
    Again,
    Sync,
    Size,
    /// Another name: an empty file takes it, one on its way is busy.
    Rename,
}

type Property = fn(&DropBox, &[u8], &[Step], Index, u8) -> Result<(), TestCaseError>;

/// A drop box under test.
struct DropBox {
    folder: PathBuf,
    client: Client,
}

/// Runs every property.
pub(crate) fn run(card: &Mounted) -> Result<Vec<Case>> {
    let drop_box = DropBox { folder: card.path("issue"), client: card.client() };
    let properties: [(&str, Property); 3] = [
        ("however_a_batch_is_written_in_order_it_is_stored_and_issued", in_order),
        ("a_batch_cut_short_leaves_what_was_there", cut_short),
        ("a_batch_with_one_wrong_byte_is_never_stored", damaged),
    ];
    let cases = properties.map(|(name, property)| {
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let config = Config { cases: ROUNDS, failure_persistence: None, ..Config::default() };
        let input = (batches(), steps(), any::<Index>(), 1..=u8::MAX);
        let held = TestRunner::new_with_rng(config, rng).run(&input, |(batch, steps, at, change)| {
            let held = property(&drop_box, &batch, &steps, at, change);
            // The next batch finds the drop box as this one did.
            for entry in fs::read_dir(&drop_box.folder)? {
                fs::remove_file(entry?.path())?;
            }
            held
        });
        let outcome = held.map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Passed);
        Case { name: name.to_owned(), outcome }
    });
    Ok(cases.into())
}

/// Batches of commands that any card takes: SELECT of the card manager, and GET DATA with data that it ignores.
fn batches() -> impl Strategy<Value = Vec<u8>> {
    let sizes = prop_oneof![4 => 1..256_usize, 1 => 256..70_000_usize];
    proptest::collection::vec(sizes, 1..12).prop_map(|sizes| {
        let mut builder = BatchBuilder::new();
        builder.push(&CommandApdu::new(0x00, 0xA4, 0x04, 0x00, &[])).unwrap();
        for (size, fill) in sizes.into_iter().zip(0..) {
            builder.push(&CommandApdu::new(0x80, 0xCA, 0x00, 0x66, &vec![fill; size])).unwrap();
        }
        builder.finish().unwrap()
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop_oneof![1..40_usize, 1..5_000_usize, 1..200_000_usize].prop_map(Step::Write),
        1 => Just(Step::WriteNothing),
        1 => (1..10_000_u64).prop_map(Step::Skip),
        1 => Just(Step::Again),
        1 => Just(Step::Sync),
        1 => Just(Step::Size),
        1 => Just(Step::Rename),
    ];
    proptest::collection::vec(step, 0..40)
}

/// A file on its way into the drop box.
struct Writing<'a> {
    drop_box: &'a DropBox,
    file: File,
    name: String,
    batch: &'a [u8],
    written: usize,
}

impl<'a> Writing<'a> {
    fn begin(drop_box: &'a DropBox, name: &str, batch: &'a [u8]) -> io::Result<Self> {
        let file = File::create(drop_box.folder.join(name))?;
        Ok(Writing { drop_box, file, name: name.to_owned(), batch, written: 0 })
    }

    /// Writes at most `size` of the bytes before `end`.
    fn write(&mut self, size: usize, end: usize) -> io::Result<()> {
        let piece = &self.batch[self.written..end.min(self.written + size)];
        self.file.write_all(piece)?;
        self.written += piece.len();
        Ok(())
    }

    /// One step, none of which brings the file to `end`; the calls in between see what they should.
    fn step(&mut self, step: &Step, end: usize) -> Result<(), TestCaseError> {
        let written = self.written as u64;
        match step {
            Step::Write(size) => self.write(*size, end - 1)?,
            Step::WriteNothing => prop_assert_eq!(self.file.write(&[])?, 0),
            Step::Skip(gap) => self.refused(written + gap)?,
            Step::Again if written > 0 => self.refused(0)?,
            Step::Again => {}
            Step::Sync => self.file.sync_all()?,
            Step::Size => prop_assert_eq!(self.file.metadata()?.len(), written),
            Step::Rename => {
                let name = format!("{}r", self.name);
                let folder = &self.drop_box.folder;
                let renamed = fs::rename(folder.join(&self.name), folder.join(&name));
                if written == 0 {
                    renamed?;
                    self.name = name;
                } else {
                    let busy = Errno::BUSY.raw_os_error();
                    prop_assert_eq!(renamed.map_err(|error| error.raw_os_error()), Err(Some(busy)));
                }
            }
        }
        Ok(())
    }

    fn refused(&self, offset: u64) -> Result<(), TestCaseError> {
        let refused = self.file.write_at(b"S", offset).map_err(|error| error.raw_os_error());
        prop_assert_eq!(refused, Err(Some(Errno::SPIPE.raw_os_error())), "write at {}", offset);
        Ok(())
    }
}

fn in_order(drop_box: &DropBox, batch: &[u8], steps: &[Step], _: Index, _: u8) -> Result<(), TestCaseError> {
    let mut writing = Writing::begin(drop_box, "a", batch)?;
    for step in steps {
        writing.step(step, batch.len())?;
    }
    writing.write(batch.len(), batch.len())?;
    let name = writing.name.clone();
    drop(writing);
    prop_assert_eq!(fs::metadata(drop_box.folder.join(&name))?.len(), batch.len() as u64);

    let start = StartRequest { selector: Selector::Name(name.into_bytes()), ..StartRequest::default() };
    let ticket = drop_box.client.start(&start).map_err(failed)?;
    let outcome = drop_box.client.wait(ticket, Some(LIMIT)).map_err(failed)?;
    prop_assert!(outcome.is_done(), "{:?}", outcome);
    Ok(())
}

fn cut_short(drop_box: &DropBox, batch: &[u8], steps: &[Step], at: Index, _: u8) -> Result<(), TestCaseError> {
    let earlier = &smallest()[..];
    fs::write(drop_box.folder.join("a"), earlier)?;
    let steps: Vec<_> = steps.iter().filter(|step| !matches!(step, Step::Rename | Step::Size)).collect();
    let end = 1 + at.index(batch.len() - 1);
    let mut writing = Writing::begin(drop_box, "a", batch)?;
    for step in steps {
        writing.step(step, end)?;
    }
    writing.write(end, end)?;
    drop(writing);
    prop_assert_eq!(fs::metadata(drop_box.folder.join("a"))?.len(), earlier.len() as u64);
    Ok(())
}

fn damaged(drop_box: &DropBox, batch: &[u8], steps: &[Step], at: Index, change: u8) -> Result<(), TestCaseError> {
    let mut wrong = batch.to_vec();
    let at = at.index(wrong.len());
    wrong[at] ^= change;
    let mut writing = Writing::begin(drop_box, "a", &wrong)?;
    let pieces = steps.iter().filter_map(|step| if let Step::Write(size) = step { Some(*size) } else { None });
    let refused = pieces.chain([wrong.len()]).find_map(|size| writing.write(size, wrong.len()).err());
    drop(writing);
    prop_assert!(!fs::exists(drop_box.folder.join("a"))?, "stored with byte {} changed by {:02X}", at, change);
    let errno = refused.and_then(|error| error.raw_os_error());
    let (bad, full) = (Some(Errno::BADMSG.raw_os_error()), Some(Errno::NOSPC.raw_os_error()));
    // A length that says more than will come is found when the file is closed, or finds no room.
    let allowed = if (8..12).contains(&at) { &[bad, full, None][..] } else { &[bad] };
    prop_assert!(allowed.contains(&errno), "{:?} with byte {} changed by {:02X}", errno, at, change);
    Ok(())
}

fn smallest() -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.push(&CommandApdu::new(0x00, 0xA4, 0x04, 0x00, &[])).unwrap();
    builder.finish().unwrap()
}

fn failed(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}
