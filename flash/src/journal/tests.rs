use super::*;
use crate::RamMedium;

/// Frames of a half: labels and payloads.
type Frames<'a> = [(Label, &'a [u8])];

fn layout() -> Layout {
    Layout::small(1, 1)
}

fn label(kind: Kind, generation: u64, sequence: u64) -> Label {
    Label { kind, generation, sequence }
}

/// An image with these frames in a half, one after another, under a header of `generation`.
fn half(image: &mut [u8], half: Half, generation: u64, frames: &Frames) {
    let mut at = index(layout().start_of(half));
    image[at..at + SECTOR].copy_from_slice(&frame::encode_header(generation));
    at += SECTOR;
    for &(label, payload) in frames {
        let frame = frame::encode_frame(label, payload).unwrap();
        image[at..at + frame.len()].copy_from_slice(&frame);
        at += frame.len();
    }
}

fn blank() -> Vec<u8> {
    vec![0; index(layout().size())]
}

fn image(generation: u64, frames: &Frames) -> Vec<u8> {
    let mut image = blank();
    half(&mut image, Half::First, generation, frames);
    image
}

/// Puts the one byte `value` under the key `key`.
fn put(key: u8, value: u8) -> [u8; 10] {
    [1, 0, 0, 0, key, 0, 0, 0, 1, value]
}

fn keys(image: &[u8]) -> Vec<u32> {
    let (_, records) = Journal::load(image, layout()).unwrap();
    records.keys().map(|key| key.0).collect()
}

fn fault(image: &[u8]) -> (u64, &'static str) {
    match Journal::load(image, layout()).err().unwrap() {
        FlashError::Journal { offset, reason } => (offset, reason),
        other => panic!("{other}"),
    }
}

#[test]
fn commits_follow_their_snapshot_in_sequence() {
    let frames: [(Label, &[u8]); 3] = [
        (label(Kind::Snapshot, 4, 10), &put(1, 1)),
        (label(Kind::Commit, 4, 11), &put(2, 2)),
        (label(Kind::Commit, 4, 12), &[3, 0, 0, 0, 1]),
    ];
    assert_eq!(keys(&image(4, &frames)), [2]);
    assert_eq!(keys(&image(4, &frames[..2])), [1, 2]);
    let (journal, _) = Journal::load(&image(4, &frames), layout()).unwrap();
    assert_eq!((journal.start(), journal.fill()), (8192, 4 * 512));
    assert!(!journal.fits(0), "the first commit after opening changes halves");
    let opened = Journal { opened: false, ..journal };
    assert!(opened.fits(4 * 472) && !opened.fits(4 * 472 + 1));
}

#[test]
fn what_no_store_writes_is_refused() {
    let (first, commit, snapshot) = (label(Kind::Snapshot, 4, 10), Kind::Commit, Kind::Snapshot);
    let cases: [(&Frames, u64, &str); 7] = [
        (&[], 8704, "the half has no snapshot"),
        (&[(label(commit, 4, 10), &[])], 8704, "the half does not begin with a snapshot"),
        (&[(first, &[]), (label(snapshot, 4, 11), &[])], 9216, "a snapshot amid commits"),
        (&[(first, &[]), (label(commit, 4, 12), &[])], 9216, "a commit out of sequence"),
        (&[(first, &[]), (label(commit, 4, 10), &[])], 9216, "a commit out of sequence"),
        (&[(first, &[]), (label(commit, 4, 11), &[9, 0, 0, 0, 0])], 9216, "an entry of unknown kind"),
        (
            &[(first, &[]), (label(commit, 3, 11), &[]), (label(commit, 4, 12), &[])],
            9216,
            "a commit is unreadable though later ones follow",
        ),
    ];
    for (frames, offset, reason) in cases {
        assert_eq!(fault(&image(4, frames)), (offset, reason), "{frames:?}");
    }
}

#[test]
fn remains_of_an_earlier_life_are_not_read() {
    let frames: [(Label, &[u8]); 3] = [
        (label(Kind::Snapshot, 4, 10), &put(1, 1)),
        (label(Kind::Commit, 2, 11), &put(2, 2)),
        (label(Kind::Commit, 2, 12), &put(3, 3)),
    ];
    assert_eq!(keys(&image(4, &frames)), [1]);
}

#[test]
fn the_newer_half_wins_and_must_be_whole() {
    let mut both = image(4, &[(label(Kind::Snapshot, 4, 10), &put(1, 1))]);
    half(&mut both, Half::Second, 5, &[(label(Kind::Snapshot, 5, 11), &put(2, 2))]);
    assert_eq!(keys(&both), [2]);
    let snapshot = index(layout().start_of(Half::Second)) + SECTOR;
    both[snapshot + 100] ^= 1;
    assert_eq!(fault(&both), (snapshot as u64, "the half has no snapshot"));

    let mut equal = image(4, &[(label(Kind::Snapshot, 4, 10), &put(1, 1))]);
    half(&mut equal, Half::Second, 4, &[(label(Kind::Snapshot, 4, 11), &put(2, 2))]);
    assert_eq!(fault(&equal), (12288, "both halves have the same generation"));
    assert_eq!(fault(&blank()), (8192, "neither half has a valid header"));
}

#[test]
fn what_was_found_is_written_again_before_anything_else() {
    let frames: [(Label, &[u8]); 2] =
        [(label(Kind::Snapshot, 4, 10), &put(1, 1)), (label(Kind::Commit, 4, 11), &put(2, 2))];
    for (count, offset) in [(1, 8192), (2, 9216)] {
        let sound = image(4, &frames[..count]);
        let (mut journal, _) = Journal::load(&sound, layout()).unwrap();
        // The host no longer shows what a failed flush lost.
        let mut lost = sound.clone();
        lost[offset..offset + SECTOR].fill(0);
        let mut io = Io::new(RamMedium::from_bytes(lost));
        journal.confirm(&mut io).unwrap();
        assert_eq!(io.medium.bytes(), sound);
        assert_eq!((io.stats.barriers, io.stats.bytes_written), (1, 512));
        journal.confirm(&mut io).unwrap();
        assert_eq!(io.stats.barriers, 1, "once is enough");
    }
}

#[test]
fn halves_take_turns() {
    let mut io = Io::new(RamMedium::new(layout().size()));
    let mut journal = Journal::create(layout(), &mut io).unwrap();
    for (generation, half) in [(2, Half::Second), (3, Half::First), (4, Half::Second)] {
        journal.compact(&mut io, &put(1, 1)).unwrap();
        assert_eq!((journal.start(), journal.fill()), (layout().start_of(half), 1024));
        let (found, _) = Journal::load(io.medium.bytes(), layout()).unwrap();
        assert_eq!((found.generation, found.active, found.retire), (generation, half, true));
        journal.append(&mut io, &put(2, 2)).unwrap();
        let (found, records) = Journal::load(io.medium.bytes(), layout()).unwrap();
        assert!(!found.retire, "the other half is blank");
        assert_eq!((found.sequence, found.fill, records.len()), (journal.sequence, journal.fill, 2));
    }
    assert_eq!(journal.sequence, 7);
}
