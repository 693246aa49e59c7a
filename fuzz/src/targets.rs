//! What must hold for arbitrary bytes. A function here panics where it does not.
//!
//! The parsers must not panic by themselves; beyond that, what is accepted must survive being written again, and what is
//! refused must name an offset inside the input.

use smcard_batch::cap::{CapError, Include};
use smcard_batch::describe::{Narrator, describe};
use smcard_batch::format::{BODY_OFFSET, Header, checksum};
use smcard_batch::issue::{Blocks, IssuePlan, Recovery};
use smcard_batch::load_file::{LoadFile, tag};
use smcard_batch::{Aid, ApduError, Batch, BatchBuilder, CapFile, CommandApdu, Form};
use std::io::{Cursor, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A command: read as an interface and as a batch does, written again, put into words.
pub fn apdu(data: &[u8]) {
    let outside = CommandApdu::parse(data);
    let Ok(command) = CommandApdu::parse_in_batch(data) else {
        assert!(outside.is_err(), "an interface takes what a batch refuses");
        return;
    };
    match outside {
        Ok(same) => assert_eq!(same, command),
        Err(error) => assert_eq!((error, command.form), (ApduError::DirectOutsideBatch, Form::Direct)),
    }
    assert_eq!(command.to_vec().as_deref(), Ok(data), "written otherwise than read");
    assert_eq!(command.encoded_len(), data.len());
    let words = describe(&command);
    assert!(!words.is_empty() && words.len() < 300, "{} bytes of words", words.len());
}

/// A batch file, as it comes and once more with length and checksum put right: a fuzzer does not guess a CRC.
pub fn batch(data: &[u8]) {
    whole_batch(data);
    let mut sealed = data.to_vec();
    if let Some((head, body)) = sealed.split_first_chunk_mut::<BODY_OFFSET>() {
        let flags = head[5] & 3;
        let body_len = u32::try_from(body.len()).expect("fuzz input is short");
        *head = Header { flags, body_len, body_crc: checksum(body) }.encode();
        whole_batch(&sealed);
    }
}

fn whole_batch(file: &[u8]) {
    let batch = match Batch::parse(file) {
        Ok(batch) => batch,
        Err(fault) => {
            assert!(usize::try_from(fault.offset).is_ok_and(|offset| offset <= file.len()), "{fault}");
            return;
        }
    };
    let mut again = BatchBuilder::new();
    again.confirm(batch.needs_confirmation());
    if batch.has_recovery() {
        again.with_recovery();
    }
    let mut points = batch.recovery_points().peekable();
    let mut narrator = Narrator::default();
    for command in batch.commands() {
        if points.next_if(|point| point.command == command.number).is_some() {
            again.recovery_point();
        }
        again.push(&command.apdu).expect("a command that was read");
        assert!(!narrator.next(&command).is_empty());
    }
    assert_eq!(again.count(), batch.count());
    assert!(again.finish().as_deref() == Ok(file), "the batch is written otherwise than read");
    // A few points are enough, and a walk from each of thousands would be quadratic.
    for point in batch.recovery_points().take(8) {
        let mut rest = batch.commands_from(point);
        let first = rest.next().expect("a point stands before a command");
        assert_eq!((first.number, first.offset), (point.command, point.offset));
        assert_eq!(rest.count(), usize::try_from(batch.count() - point.command).expect("in memory"));
    }
}

/// Load file data: what the views tell is what the bytes say, and a CAP file made of it is accepted too.
pub fn load_file(data: &[u8]) {
    let file = match LoadFile::parse(data) {
        Ok(file) => file,
        Err(fault) => {
            assert!(usize::try_from(fault.offset).is_ok_and(|offset| offset <= data.len()), "{fault}");
            return;
        }
    };
    let mut end = 0;
    for component in file.components() {
        assert_eq!(component.offset, end);
        end = component.info_offset() + component.size();
        assert_eq!(file.component(component.tag), Some(component));
        assert_eq!(file.declared_size(component.tag), Some(component.size()));
    }
    assert_eq!(usize::try_from(end), Ok(data.len()));
    for tag in tag::REQUIRED {
        assert!(file.component(tag).is_some());
    }
    let package = Aid::new(file.package().aid).expect("checked");
    let mut applets = file.applets().map(|applet| Aid::new(applet.aid).expect("checked")).collect::<Vec<_>>();
    assert!(applets.iter().all(|applet| applet.rid() == package.rid()));
    assert_eq!(!applets.is_empty(), file.flags().has_applets());
    let count = applets.len();
    applets.sort();
    applets.dedup();
    assert_eq!(applets.len(), count, "two applets have the same AID");
    assert!(file.imports().all(|import| Aid::new(import.aid).is_ok_and(|aid| aid != package)));

    match CapFile::read(&zipped(&file)) {
        Ok(cap) => issue(&cap),
        // A card may do without these, a CAP file may not.
        Err(CapError::Missing { tag, .. }) => {
            assert!(matches!(tag, tag::DESCRIPTOR | tag::DEBUG | tag::CUSTOM..));
        }
        Err(error) => panic!("a card would take it, the packer says: {error}"),
    }
}

/// A CAP file with the components of `file`.
fn zipped(file: &LoadFile<'_>) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for component in file.components() {
        let name = tag::name(component.tag).map_or_else(|| format!("Custom{}", component.tag), str::to_owned);
        writer.start_file(format!("fuzz/javacard/{name}.cap"), options).expect("an entry");
        let start = usize::try_from(component.offset).expect("in memory");
        let end = usize::try_from(component.info_offset() + component.size()).expect("in memory");
        writer.write_all(&file.data()[start..end]).expect("written");
    }
    writer.finish().expect("a zip").into_inner()
}

/// A CAP file: what is accepted can be issued.
pub fn cap(data: &[u8]) {
    match CapFile::read(data) {
        Ok(cap) => issue(&cap),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Both ways of loading carry the same load file, and the batch is one.
fn issue(cap: &CapFile) {
    let file = cap.load_file().expect("checked");
    let data = cap.load_file_data(Include::default());
    assert!(LoadFile::parse(&data).is_ok_and(|loaded| loaded.package() == file.package()));

    let mut plan = IssuePlan::new(cap);
    plan.recovery = Recovery::Functions;
    for blocks in [Blocks::Direct, Blocks::Size(247)] {
        plan.blocks = blocks;
        let Ok(builder) = plan.build() else {
            assert!(data.len() > 63_000, "only the number of blocks can stand in the way");
            continue;
        };
        let bytes = builder.finish().expect("few recovery points");
        let batch = Batch::parse(&bytes).expect("a batch");
        let loaded: Vec<u8> = batch.commands().skip(1).flat_map(|command| command.apdu.data).copied().collect();
        assert!(loaded.ends_with(&data));
    }
}
