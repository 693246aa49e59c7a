use std::ops::Bound;

use super::*;
use crate::record::Changes;
use crate::{MIN_SIZE, RamMedium};

fn store() -> Store<RamMedium> {
    let layout = Layout::small(1, 8);
    Store::format_with(RamMedium::new(layout.size()), layout, [7; 16]).unwrap()
}

fn reopened<M: Medium>(store: Store<M>) -> Store<M> {
    Store::open(store.into_medium()).unwrap()
}

fn put(key: u32, bytes: &[u8], extent: Option<Extent>) -> Changes {
    let mut changes = Changes::new();
    changes.put(Key(key), Record { bytes: bytes.to_vec(), extent });
    changes
}

fn delete(key: u32) -> Changes {
    let mut changes = Changes::new();
    changes.delete(Key(key));
    changes
}

#[test]
fn a_new_image_is_empty_and_has_its_identity() {
    let options = CreateOptions { size: MIN_SIZE + 1, identity: [9; 16] };
    let store = reopened(Store::format(RamMedium::new(options.size), &options).unwrap());
    assert_eq!(store.identity(), [9; 16]);
    assert_eq!(store.range(..).count(), 0);
    assert_eq!(store.capacity(), MIN_SIZE + PAGE - 2 * PAGE - 2 * (64 << 10));
    assert_eq!((store.free(), store.largest_free()), (store.capacity(), store.capacity()));
}

#[test]
fn only_a_blank_medium_of_the_right_size_is_formatted() {
    let options = CreateOptions { size: MIN_SIZE, identity: [9; 16] };
    let longer = Store::format(RamMedium::new(MIN_SIZE + PAGE), &options).err().unwrap();
    assert!(matches!(longer, FlashError::Unequal { wanted: MIN_SIZE, .. }), "{longer}");
    let small = CreateOptions { size: MIN_SIZE - 1, ..options };
    assert!(matches!(Store::format(RamMedium::new(MIN_SIZE), &small), Err(FlashError::Size { .. })));
    let mut used = RamMedium::new(MIN_SIZE);
    used.write(9000, &[1]).unwrap();
    let before = used.bytes().to_vec();
    assert!(matches!(Store::format(&mut used, &options), Err(FlashError::NotBlank { offset: 9000 })));
    assert_eq!(used.bytes(), before);
}

#[test]
fn a_commit_applies_everything_and_survives() {
    let mut store = store();
    store.commit(put(1, b"one", None)).unwrap();
    let mut changes = put(2, b"two", None);
    changes.merge(delete(1));
    changes.merge(delete(99));
    store.commit(changes).unwrap();
    for store in [&store, &reopened(Store::open(RamMedium::from_bytes(store.io.medium.bytes().to_vec())).unwrap())] {
        assert!(store.get(Key(1)).is_none());
        assert_eq!(store.get(Key(2)).unwrap().bytes, b"two");
    }
}

#[test]
fn ranges_are_ascending_and_never_panic() {
    let mut store = store();
    let mut changes = Changes::new();
    for key in [5, 1, u32::MAX, 0] {
        changes.merge(put(key, b"", None));
    }
    store.commit(changes).unwrap();
    let keys = |range: (Bound<Key>, Bound<Key>)| store.range(range).map(|(key, _)| key.0).collect::<Vec<_>>();
    use Bound::{Excluded, Included, Unbounded};
    assert_eq!(keys((Unbounded, Unbounded)), [0, 1, 5, u32::MAX]);
    assert_eq!(keys((Included(Key(1)), Excluded(Key(5)))), [1]);
    assert_eq!(keys((Excluded(Key(1)), Included(Key(5)))), [5]);
    for backwards in [
        (Included(Key(5)), Included(Key(1))),
        (Excluded(Key(1)), Excluded(Key(1))),
        (Excluded(Key(u32::MAX)), Unbounded),
        (Unbounded, Excluded(Key(0))),
    ] {
        assert!(keys(backwards).is_empty(), "{backwards:?}");
    }
}

#[test]
fn extents_hold_what_is_written_and_refuse_what_leaves_them() {
    let mut store = store();
    let extent = store.reserve(PAGE + 1).unwrap();
    assert_eq!(extent.capacity(), 2 * PAGE);
    store.write(extent, 2 * PAGE - 3, b"end").unwrap();
    for (offset, data) in [(2 * PAGE - 2, &b"end"[..]), (2 * PAGE + 1, b""), (u64::MAX, b"x")] {
        let error = store.write(extent, offset, data).unwrap_err();
        assert!(matches!(error, FlashError::Bounds { capacity, .. } if capacity == 2 * PAGE), "{offset}: {error}");
    }
    store.commit(put(1, b"", Some(extent))).unwrap();
    let store = reopened(store);
    let found = store.get(Key(1)).unwrap().extent.unwrap();
    assert_eq!(found, extent);
    assert!(store.bytes(found).ends_with(b"end"));
    assert_eq!(store.bytes(found).len() as u64, found.capacity());
}

#[test]
fn an_extent_not_in_use_is_not_read_written_or_committed() {
    let mut store = store();
    let extent = store.reserve(1).unwrap();
    store.write(extent, 0, b"secret").unwrap();
    store.release(extent);
    assert!(store.bytes(extent).is_empty());
    assert!(store.view(extent, 6).is_empty());
    assert!(matches!(store.write(extent, 0, b"x"), Err(FlashError::DeadExtent { .. })));
    assert!(matches!(store.commit(put(1, b"", Some(extent))), Err(FlashError::DeadExtent { .. })));
    assert!(store.get(Key(1)).is_none() && !store.is_mute());
}

#[test]
fn space_returns_with_the_last_record_and_reservations_with_the_store() {
    let mut store = store();
    let extent = store.reserve(3 * PAGE).unwrap();
    store.commit(put(1, b"", Some(extent))).unwrap();
    store.release(extent);
    store.commit(put(2, b"shadow", Some(extent))).unwrap();
    store.commit(delete(1)).unwrap();
    assert_eq!(store.free(), 5 * PAGE);
    store.reserve(PAGE).unwrap();
    assert_eq!(store.free(), 4 * PAGE);
    let mut store = reopened(store);
    assert_eq!(store.free(), 5 * PAGE);
    store.commit(put(2, b"", None)).unwrap();
    assert_eq!((store.free(), store.largest_free()), (8 * PAGE, 8 * PAGE));
}

#[test]
fn a_full_data_area_says_how_much_fits() {
    let mut store = store();
    let first = store.reserve(2 * PAGE).unwrap();
    store.reserve(PAGE).unwrap();
    store.release(first);
    let full = |error| matches!(error, FlashError::Full { largest, .. } if largest == 5 * PAGE);
    assert!(full(store.reserve(5 * PAGE + 1).unwrap_err()));
    assert!(full(store.reserve(u64::MAX).unwrap_err()));
    assert_eq!(store.reserve(0).unwrap().capacity(), PAGE, "the smallest extent is a page");
}

#[test]
fn records_that_cannot_fit_are_refused_and_the_rest_goes_on() {
    let mut store = store();
    store.commit(put(1, &[1; 1000], None)).unwrap();
    let before = store.io.medium.bytes().to_vec();
    // Seven sectors of 472 bytes, of which the first record takes 1009 and this one 9 more than its content.
    let most = 7 * 472 - 1009 - 9;
    let error = store.commit(put(2, &vec![2; most + 1], None)).unwrap_err();
    assert!(matches!(error, FlashError::Full { asked: 3305, largest: 3304 }), "{error}");
    assert_eq!(store.io.medium.bytes(), before);
    assert!(!store.is_mute());
    store.commit(put(2, &vec![2; most], None)).unwrap();
    store.commit(put(1, &[3; 1000], None)).unwrap();
    let store = reopened(store);
    assert_eq!(store.get(Key(1)).unwrap().bytes, [3; 1000]);
    assert_eq!(store.get(Key(2)).unwrap().bytes.len(), most);
}

#[test]
fn more_deletions_than_a_half_holds_are_one_commit() {
    let mut store = store();
    store.commit(put(7, b"stays", None)).unwrap();
    let mut changes = put(8, b"comes", None);
    (1000..3000).for_each(|key| changes.merge(delete(key)));
    store.commit(changes).unwrap();
    let store = reopened(store);
    assert_eq!(store.range(..).map(|(key, _)| key.0).collect::<Vec<_>>(), [7, 8]);
}

#[test]
fn barriers_are_asked_for_where_they_are_needed() {
    let mut store = store();
    let barriers = |store: &Store<RamMedium>| store.stats().barriers;
    let start = barriers(&store);
    store.commit(Changes::new()).unwrap();
    assert_eq!(barriers(&store) - start, 0, "nothing to commit");
    store.commit(put(1, b"", None)).unwrap();
    assert_eq!(barriers(&store) - start, 1, "the frame");
    let extent = store.reserve(1).unwrap();
    store.write(extent, 0, b"x").unwrap();
    store.commit(put(2, b"", Some(extent))).unwrap();
    assert_eq!(barriers(&store) - start, 3, "the content, then the frame");
    store.commit(put(1, b"", None)).unwrap();
    assert_eq!(barriers(&store) - start, 4, "no content since");

    let mut store = reopened(store);
    assert_eq!(barriers(&store), 1, "what was found");
    store.commit(put(1, b"", None)).unwrap();
    assert_eq!(barriers(&store), 4, "the last commit of the former run, then a snapshot and its header");
    store.commit(put(1, b"", None)).unwrap();
    assert_eq!(barriers(&store), 5);
    store.set_durability(Durability::None);
    store.commit(put(1, &[0; 3000], None)).unwrap();
    assert_eq!(barriers(&store), 5);
    let stats = store.stats();
    assert_eq!((stats.commits, stats.compactions), (3, 2));
    // Confirmed frame; snapshot and header; the other half retired, frame; a snapshot of seven sectors and a header.
    assert_eq!(stats.bytes_written, 512 * (1 + 2 + 2 + 7 + 1));
    assert_eq!(stats.journal_fill, 8 * 512);
    // The half left behind is retired once, with the first commit that is appended.
    store.commit(put(1, b"", None)).unwrap();
    for sectors in [2, 1, 1] {
        let before = store.stats().bytes_written;
        store.commit(put(1, b"", None)).unwrap();
        assert_eq!(store.stats().bytes_written - before, sectors * 512);
    }
}

#[test]
fn commits_go_round_both_halves() {
    let mut store = store();
    let mut written = std::collections::BTreeMap::new();
    for number in 0..700u32 {
        let before = store.io.medium.bytes().to_vec();
        store.commit(put(1, &number.to_be_bytes(), None)).unwrap();
        for sector in 16..32 {
            let range = sector * 512..(sector + 1) * 512;
            let changed = before[range.clone()] != store.io.medium.bytes()[range];
            *written.entry(sector).or_insert(0) += u32::from(changed);
        }
    }
    // Seven commits fill a half; so each sector takes about one commit in 14, and headers twice that.
    assert!(written.values().all(|&times| (45..=110).contains(&times)), "{written:?}");
}

#[test]
fn opening_changes_no_byte() {
    let mut store = store();
    store.commit(put(1, b"x", None)).unwrap();
    let before = store.io.medium.bytes().to_vec();
    assert_eq!(reopened(store).into_medium().into_bytes(), before);
}

#[test]
fn a_view_outlives_changes_and_keeps_its_pages() {
    let mut store = store();
    let extent = store.reserve(1).unwrap();
    store.write(extent, 0, b"batch").unwrap();
    store.commit(put(1, b"", Some(extent))).unwrap();
    let view = store.view(extent, 5);
    assert!(matches!(store.write(extent, 100, b"x"), Err(FlashError::Viewed { .. })));
    store.commit(delete(1)).unwrap();
    assert_eq!(store.free(), 7 * PAGE, "still being read");
    assert_ne!(store.reserve(1).unwrap(), extent);
    let copy = view.clone();
    drop(view);
    assert_eq!(*copy, *b"batch");
    drop(copy);
    assert_eq!(store.free(), 7 * PAGE, "the new reservation");
    assert_eq!(store.reserve(1).unwrap(), extent);
}
