use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::layout::index;
use crate::{Changes, CreateOptions, Holder, Key, MIN_SIZE, PAGE, Record, Store};

/// A folder and a path in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.img");
    (folder, path)
}

fn holders_of(error: FlashError) -> Vec<Holder> {
    match error {
        FlashError::Locked { holders, .. } => holders,
        other => panic!("not locked: {other}"),
    }
}

#[test]
fn a_new_image_is_private_whole_pages_and_allocated() {
    let (_folder, path) = place();
    let file = MappedFile::create(&path, MIN_SIZE + 1).unwrap();
    assert_eq!(file.len(), MIN_SIZE + PAGE);
    assert!(file.bytes().iter().all(|&byte| byte == 0));
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(metadata.len(), file.len());
    assert!(metadata.blocks() * 512 >= file.len(), "only {} blocks", metadata.blocks());
}

#[test]
fn nothing_that_exists_is_written_over() {
    let (folder, path) = place();
    fs::write(&path, b"precious").unwrap();
    let error = MappedFile::create(&path, MIN_SIZE).err().unwrap();
    assert!(error.to_string().contains("cannot create"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let link = folder.path().join("link.img");
    symlink(folder.path().join("elsewhere"), &link).unwrap();
    assert!(MappedFile::create(&link, MIN_SIZE).is_err());
    assert!(!folder.path().join("elsewhere").exists(), "a link is not followed");
}

#[test]
fn what_cannot_be_made_leaves_nothing_behind() {
    let (_folder, path) = place();
    assert!(matches!(MappedFile::create(&path, MIN_SIZE - 1), Err(FlashError::Size { .. })));
    assert!(!path.exists());
    // No file system allocates nothing.
    let error = MappedFile::create_exact(&path, 0).err().unwrap();
    assert!(error.to_string().contains("cannot allocate"), "{error}");
    assert!(!path.exists());
}

#[test]
fn only_regular_files_are_opened() {
    let (folder, path) = place();
    for (path, reason) in
        [(path.as_path(), "No such file"), (folder.path(), "directory"), (Path::new("/dev/null"), "regular")]
    {
        let error = MappedFile::open(path).err().unwrap();
        assert!(matches!(error, FlashError::File { .. }) && error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn what_is_written_is_shown_at_once_and_found_again() {
    let (_folder, path) = place();
    let mut file = MappedFile::create(&path, MIN_SIZE).unwrap();
    file.write(5000, b"hello").unwrap();
    assert_eq!(file.bytes()[5000..5005], *b"hello");
    file.barrier().unwrap();
    drop(file);
    assert_eq!(MappedFile::open(&path).unwrap().bytes()[5000..5005], *b"hello");
}

#[test]
fn no_write_makes_the_file_longer() {
    let (_folder, path) = place();
    let mut file = MappedFile::create(&path, MIN_SIZE).unwrap();
    for offset in [MIN_SIZE - 1, MIN_SIZE, u64::MAX] {
        let error = file.write(offset, b"xy").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{offset}");
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), MIN_SIZE);
    assert_eq!(file.bytes()[index(MIN_SIZE - 1)], 0);
}

#[test]
fn a_second_opening_in_this_process_is_refused() {
    let (_folder, path) = place();
    let first = MappedFile::create(&path, MIN_SIZE).unwrap();
    let holders = holders_of(MappedFile::open(&path).err().unwrap());
    assert_eq!(holders.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [std::process::id()]);
    drop(first);
    MappedFile::open(&path).unwrap();
}

#[test]
fn a_view_is_the_map_itself_and_cannot_be_written_under() {
    let (_folder, path) = place();
    let mut file = MappedFile::create(&path, MIN_SIZE).unwrap();
    file.write(8192, b"batch").unwrap();
    let view = file.view(8192, 5);
    assert_eq!(view.as_ptr(), file.bytes()[8192..].as_ptr(), "nothing was copied");
    for (offset, refused) in [(8188, true), (8192, true), (8196, true), (8187, false), (8197, false)] {
        let written = file.write(offset, b"BATCH");
        assert_eq!(written.err().map(|error| error.kind()), refused.then_some(io::ErrorKind::ResourceBusy), "{offset}");
    }
    assert_eq!(*view, *b"batch");
    drop(file);
    assert!(matches!(MappedFile::open(&path), Err(FlashError::Locked { .. })), "the view keeps the lock");
    assert_eq!(*view, *b"batch");
    drop(view);
    let mut file = MappedFile::open(&path).unwrap();
    file.write(8192, b"other").unwrap();
    assert!(file.view(MIN_SIZE - 1, u64::MAX).len() == 1 && file.view(u64::MAX, 1).is_empty());
}

#[test]
fn a_store_keeps_its_records_over_restarts() {
    let (_folder, path) = place();
    let options = CreateOptions { size: MIN_SIZE, identity: [3; 16] };
    let mut store = Store::format(MappedFile::create(&path, options.size).unwrap(), &options).unwrap();
    for number in 0..200u32 {
        if number % 50 == 49 {
            drop(store);
            store = Store::open(MappedFile::open(&path).unwrap()).unwrap();
        }
        let extent = (number % 10 == 0).then(|| store.reserve(100).unwrap());
        if let Some(extent) = extent {
            store.write(extent, 0, &[number.to_be_bytes()[3]; 100]).unwrap();
        }
        let mut changes = Changes::new();
        changes.put(Key(number), Record { bytes: vec![1; 250], extent });
        store.commit(changes).unwrap();
    }
    drop(store);
    let store = Store::open(MappedFile::open(&path).unwrap()).unwrap();
    assert_eq!(store.identity(), [3; 16]);
    assert_eq!(store.range(..).count(), 200);
    for (Key(number), record) in store.range(..).filter(|(_, record)| record.extent.is_some()) {
        assert_eq!(store.bytes(record.extent.unwrap())[..100], [number.to_be_bytes()[3]; 100]);
    }
    assert_eq!(store.free(), store.capacity() - 20 * PAGE);
}
