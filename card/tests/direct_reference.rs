//! Direct reference (system S6): for the moment a command is processed, its buffer is its place in the command store.

mod common;

use common::{Bench, batch_of};
use smcard_batch::aid::Aid;
use smcard_batch::issue::{Blocks, Recovery};
use smcard_batch::{BatchBuilder, CommandApdu, Form, StatusWord};
use smcard_card::OpenOptions;
use smcard_card::applet::{Applet, AppletMemory, AppletResult, Runtime};
use smcard_fixtures as fixtures;
use std::alloc::System;
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// Both tests look at the whole process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Tells where the data of a command stands.
struct Witness;

static SEEN: Mutex<Option<(usize, usize)>> = Mutex::new(None);

impl Applet for Witness {
    fn install(&mut self, _: &mut dyn AppletMemory, _: &[u8]) -> Result<(), StatusWord> {
        Ok(())
    }

    fn select(&mut self, _: &mut dyn AppletMemory) -> Result<(), StatusWord> {
        Ok(())
    }

    fn process(&mut self, _: &mut dyn AppletMemory, command: &CommandApdu<'_>) -> AppletResult {
        *SEEN.lock().expect("one thread") = Some((command.data.as_ptr().addr(), command.data.len()));
        Ok(Vec::new())
    }
}

struct Witnesses;

impl Runtime for Witnesses {
    fn applet(&self, _: &Aid, _: &[u8], _: &Aid) -> Option<Box<dyn Applet>> {
        Some(Box::new(Witness))
    }
}

/// The file that is mapped at an address, as the kernel tells it.
fn mapped_file_at(address: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the maps of this process");
    let line = maps.lines().find(|line| {
        let (range, _) = line.split_once(' ').expect("a range");
        let (from, to) = range.split_once('-').expect("two ends");
        let parse = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
        (parse(from)..parse(to)).contains(&address)
    });
    line.and_then(|line| line.split_whitespace().nth(5)).unwrap_or("nothing").to_owned()
}

#[test]
fn the_card_manager_reads_a_command_where_it_stands_in_the_image() {
    let _alone = ALONE.lock().expect("one at a time");
    let mut bench = Bench::standard();
    let runtime = Box::new(|| Box::new(Witnesses) as Box<dyn Runtime>);
    bench.open(OpenOptions { runtime, ..OpenOptions::default() });
    let id = bench.upload("tag", &batch_of(&fixtures::ndef_cap(), Blocks::default(), Recovery::None));
    assert_eq!(bench.start(id).sw, 0x9000);

    for (form, size) in [(Form::Short, 200), (Form::Extended, 40_000), (Form::Direct, 1_000_000)] {
        let data = vec![0xA5; size];
        let mut builder = BatchBuilder::new();
        let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x00, fixtures::aid::NDEF_APPLET);
        builder.push(&select).expect("fits");
        builder.push(&CommandApdu { form, ..CommandApdu::new(0x00, 0xD6, 0x00, 0x00, &data) }).expect("fits");
        let id = bench.upload("witness", &builder.finish().expect("a batch"));
        assert_eq!(bench.start(id).sw, 0x9000);
        let (address, length) = SEEN.lock().expect("one thread").take().expect("the witness was asked");
        assert_eq!(length, size);
        assert_eq!(mapped_file_at(address), bench.path.to_str().expect("text"), "{form:?}");
        assert_eq!(mapped_file_at(address + length - 1), bench.path.to_str().expect("text"), "{form:?}");
    }
}

#[test]
fn a_load_of_a_megabyte_is_not_copied_into_memory() {
    let _alone = ALONE.lock().expect("one at a time");
    let mut bench = Bench::standard();
    let file = batch_of(&fixtures::library_cap(), Blocks::Direct, Recovery::None);
    assert!(file.len() > 1_000_000);
    let id = bench.upload("library", &file);
    let region = stats_alloc::Region::new(ALLOCATOR);
    assert_eq!(bench.start(id).sw, 0x9000);
    let allocated = region.change().bytes_allocated;
    assert!(allocated < 64 * 1024, "{allocated} bytes were allocated during the issue");
}
