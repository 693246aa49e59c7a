use super::*;

const CID: &str = "00FF";

fn outbox(max: usize) -> (tempfile::TempDir, Outbox) {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(dir.path().join("outbox"), max);
    (dir, outbox)
}

#[test]
fn numbers_only_grow_and_are_each_cards_own() {
    let (_dir, outbox) = outbox(9);
    assert_eq!((1..4).map(|_| outbox.number(CID).unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(outbox.number("01").unwrap(), 1);
    let again = Outbox::new(outbox.root.clone(), 9);
    assert_eq!(again.number(CID).unwrap(), 4);
    fs::write(outbox.root.join("numbers").join(CID), "four").unwrap();
    assert!(outbox.number(CID).unwrap_err().to_string().ends_with("holds no number"));
}

#[test]
fn numbers_that_are_drawn_at_once_differ() {
    let (_dir, outbox) = outbox(9);
    let draw = || (0..50).map(|_| outbox.number(CID).unwrap()).collect::<Vec<_>>();
    let mut drawn: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    drawn.sort_unstable();
    assert_eq!(drawn, (1..=200).collect::<Vec<_>>());
}

#[test]
fn what_was_put_waits_in_order_until_it_is_removed() {
    let (_dir, outbox) = outbox(9);
    let folder = outbox.folder("mqtt").unwrap();
    for number in [10, 2, 9] {
        folder.put(CID, number, format!("result {number}").as_bytes()).unwrap();
    }
    let folder = outbox.folder("mqtt").unwrap();
    let read = |folder: &Folder| {
        let names = folder.waiting().unwrap();
        names.iter().map(|name| folder.read(name).unwrap().unwrap()).collect::<Vec<_>>()
    };
    let numbers: Vec<_> = read(&folder).iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [2, 9, 10]);
    assert_eq!(read(&folder)[0], Entry { cid: CID.into(), number: 2, text: "result 2".into() });
    let first = folder.waiting().unwrap().remove(0);
    folder.remove(&first).unwrap();
    folder.remove(&first).unwrap();
    assert_eq!(folder.read(&first).unwrap(), None);
    assert_eq!(folder.waiting().unwrap().len(), 2);
}

#[test]
fn a_full_outbox_loses_the_oldest() {
    let (_dir, outbox) = outbox(2);
    let folder = outbox.folder("command").unwrap();
    for number in 1..=4 {
        folder.put(CID, number, b"{}").unwrap();
    }
    let names = folder.waiting().unwrap();
    assert_eq!(names, [format!("{:020}-{CID}.json", 3), format!("{:020}-{CID}.json", 4)]);
}

#[test]
fn what_a_crash_or_a_stranger_left_is_removed() {
    let (_dir, outbox) = outbox(9);
    let folder = outbox.folder("mqtt").unwrap();
    let left = folder.path.join(format!("{UNFINISHED}5-{CID}.json"));
    fs::write(&left, "hal").unwrap();
    let long_ago = std::time::SystemTime::now() - 2 * LEFT_BEHIND;
    File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
    let young = folder.path.join(format!("{UNFINISHED}6-{CID}.json"));
    fs::write(&young, "hal").unwrap();
    fs::write(folder.path.join("stranger.json"), "{}").unwrap();
    fs::write(folder.path.join(format!("1-{CID}.json")), [0xFF, 0xFE]).unwrap();
    fs::write(folder.path.join(format!("2-{CID}.json")), vec![b' '; 70_000]).unwrap();
    let folder = outbox.folder("mqtt").unwrap();
    assert!(!left.exists() && young.exists());
    for name in folder.waiting().unwrap() {
        assert_eq!(folder.read(&name).unwrap(), None, "{name}");
    }
    assert_eq!(folder.waiting().unwrap(), [""; 0]);
}

#[test]
fn an_outbox_that_cannot_be_made_is_named() {
    let error = Outbox::new("/dev/null/outbox".into(), 9).folder("mqtt").unwrap_err().to_string();
    assert!(error.starts_with("outbox /dev/null/outbox/mqtt: "), "{error}");
}
