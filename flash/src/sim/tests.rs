use super::*;

/// A small medium of which everything is data area, with `writes` pending.
fn pending(writes: &[(u64, &[u8])]) -> Simulator {
    let mut medium = Simulator::new(PAGE);
    for &(offset, data) in writes {
        medium.write(offset, data).unwrap();
    }
    medium
}

fn after(mut medium: Simulator, tear: Tear) -> [u8; 4] {
    medium.tear(tear);
    assert_eq!(medium.bytes(), medium.durable());
    *medium.bytes().first_chunk().unwrap()
}

#[test]
fn without_a_barrier_nothing_is_certain_and_with_one_everything() {
    let mut medium = pending(&[(0, &[1, 2, 3, 4])]);
    assert_eq!(medium.bytes()[..4], [1, 2, 3, 4]);
    assert_eq!(medium.durable()[..4], [0; 4]);
    assert_eq!(after(medium.clone(), Tear::Nothing), [0; 4]);
    medium.barrier().unwrap();
    assert_eq!(after(medium, Tear::Nothing), [1, 2, 3, 4]);
}

#[test]
fn each_tear_does_what_it_says() {
    let medium = pending(&[(0, &[0x03, 0xFF]), (2, &[0xFF, 0x10])]);
    assert_eq!(medium.pending_bytes(), 4);
    assert_eq!(medium.pending_bits(), 2 + 8 + 8 + 1);
    for (tear, expected) in [
        (Tear::Everything, [0x03, 0xFF, 0xFF, 0x10]),
        (Tear::Prefix(3), [0x03, 0xFF, 0xFF, 0]),
        (Tear::Prefix(99), [0x03, 0xFF, 0xFF, 0x10]),
        (Tear::Suffix(1), [0, 0, 0, 0x10]),
        (Tear::Only(1), [0, 0, 0xFF, 0x10]),
        (Tear::Without(1), [0x03, 0xFF, 0, 0]),
        (Tear::Bit(1), [0x02, 0, 0, 0]),
        (Tear::Bit(18), [0, 0, 0, 0x10]),
        (Tear::Bit(19), [0, 0, 0, 0]),
        (Tear::AllButBit(0), [0x02, 0xFF, 0xFF, 0x10]),
    ] {
        assert_eq!(after(medium.clone(), tear), expected, "{tear:?}");
    }
}

#[test]
fn random_cuts_reorder_lose_and_split_bytes() {
    let medium = pending(&[(0, &[0xFF; 4]), (1, &[0x0F])]);
    let found: std::collections::BTreeSet<_> =
        (0..1000).map(|seed| after(medium.clone(), Tear::Random(seed))).collect();
    for expected in [
        [0, 0, 0, 0],
        [0xFF, 0x0F, 0xFF, 0xFF],
        [0xFF, 0xFF, 0xFF, 0xFF],
        [0, 0x0F, 0, 0],
        [0xFF, 0xFF, 0, 0],
        [0, 0, 0xFF, 0xFF],
    ] {
        assert!(found.contains(&expected), "{expected:02X?} never happened");
    }
    assert!(found.iter().any(|bytes| ![0, 0xFF].contains(&bytes[2])), "no byte was torn");
    assert_eq!(after(medium.clone(), Tear::Random(7)), after(medium, Tear::Random(7)), "a seed repeats");
}

#[test]
fn a_failed_barrier_loses_what_later_barriers_do_not_bring_back() {
    let mut lost = 0;
    for calls in 0..20 {
        let mut medium = pending(&[(0, &[9, 9, 9, 9])]);
        medium.calls = calls;
        medium.arm(0, Fault::Error(libc::EIO));
        assert_eq!(medium.barrier().unwrap_err().raw_os_error(), Some(libc::EIO));
        medium.restart();
        medium.barrier().unwrap();
        assert_eq!(medium.bytes()[..4], [9; 4], "still shown");
        let mut forgetful = medium.clone();
        forgetful.forget();
        forgetful.barrier().unwrap();
        assert_eq!(forgetful.bytes(), medium.durable(), "shown no longer");
        lost += u32::from(medium.durable()[..4] == [0; 4]);
        medium.write(0, &[9; 4]).unwrap();
        medium.barrier().unwrap();
        assert_eq!(medium.durable()[..4], [9; 4], "written again it is durable");
    }
    assert!(lost > 0, "no failed barrier lost anything");
}

#[test]
fn armed_faults_strike_at_their_call_only() {
    let mut medium = pending(&[]);
    medium.arm(1, Fault::Short(3));
    medium.write(0, &[1; 4]).unwrap();
    let error = medium.write(0, &[2; 4]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(medium.bytes()[..4], [2, 2, 2, 1]);
    assert!(medium.has_failed());
    medium.restart();
    medium.write(0, &[3; 4]).unwrap();
    medium.arm(0, Fault::Power);
    medium.barrier().unwrap_err();
    assert_eq!(after(medium, Tear::Nothing), [0; 4]);
}

#[test]
fn garbage_comes_only_where_the_store_promises_whole_sectors() {
    let layout = Layout::small(1, 1);
    let mut medium = Simulator::for_layout(layout);
    let (journal, data) = (8192, layout.data_start());
    medium.write(journal, &[0xFF; SECTOR]).unwrap();
    medium.write(data, &[0xFF; SECTOR]).unwrap();
    let mut garbage = 0;
    for seed in 0..50 {
        let mut torn = medium.clone();
        torn.tear(Tear::Garbage(seed));
        let whole =
            |offset: u64| torn.bytes()[index(offset)..][..SECTOR].iter().all(|b| *b == torn.bytes()[index(offset)]);
        garbage += u32::from(!whole(journal));
        assert!(whole(data));
    }
    assert!(garbage > 0);
}

mod illegal {
    use super::*;

    fn formatted() -> Simulator {
        Simulator::for_layout(Layout::small(1, 1))
    }

    #[test]
    #[should_panic(expected = "beyond the end")]
    fn beyond_the_end() {
        let _ = pending(&[(PAGE - 1, &[0; 2])]);
    }

    #[test]
    #[should_panic(expected = "not whole sectors")]
    fn part_of_a_journal_sector() {
        let _ = formatted().write(8192, &[0; 100]);
    }

    #[test]
    #[should_panic(expected = "still pending")]
    fn over_a_pending_journal_write() {
        let mut medium = formatted();
        medium.write(8192, &[1; 1024]).unwrap();
        medium.write(8704, &[1; 512]).expect("the same bytes are no harm");
        let _ = medium.write(8704, &[2; 512]);
    }

    #[test]
    #[should_panic(expected = "written again")]
    fn a_superblock_again() {
        let mut medium = formatted();
        medium.write(0, &[1; 4096]).unwrap();
        medium.barrier().unwrap();
        let _ = medium.write(0, &[1; 4096]);
    }

    #[test]
    #[should_panic(expected = "into the data area")]
    fn from_the_journal_into_the_data_area() {
        let _ = formatted().write(8192 + 8192 - 512, &[1; 1024]);
    }

    #[test]
    #[should_panic(expected = "not mute")]
    fn on_after_a_failure() {
        let mut medium = formatted();
        medium.arm(0, Fault::Error(libc::EIO));
        medium.barrier().unwrap_err();
        let _ = medium.barrier();
    }
}
