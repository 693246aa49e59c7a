//! The power goes in one command of an issue, as a simulation decides: what each recovery kind keeps, and that START
//! goes on there.

mod common;

use common::{Bench, batch, start_command};
use smcard_card::{CreateOptions, OpenOptions};
use smcard_link::{LinkError, RecoveryKind, SecureCard};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn the_power_goes_in_the_very_command_and_start_goes_on_there() {
    for (kind, kept) in [(RecoveryKind::Restart, 0), (RecoveryKind::Command, 3), (RecoveryKind::Function, 3)] {
        let mut bench = Bench::new(&CreateOptions { size: 4 << 20, recovery: kind, ..CreateOptions::default() });
        let given = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&given);
        let fate = move |command: &smcard_batch::CommandApdu<'_>| {
            assert_eq!(command.ins, 0xE2);
            seen.fetch_add(1, Ordering::Relaxed) == 3
        };
        bench.open(OpenOptions { power_fate: Some(Box::new(fate)), ..OpenOptions::default() });
        let id = bench.upload("a", &batch(&["80E2900005 4203123456"; 6]));
        let broken = bench.card().transmit(&start_command(id, 0));
        assert!(matches!(broken, Err(LinkError::PowerCut)), "{kind:?}: {broken:?}");
        assert_eq!(given.load(Ordering::Relaxed), 4);
        assert!(matches!(bench.card().transmit(&[0x80, 0xCA, 0xDF, 0x72, 0]), Err(LinkError::PowerCut)), "still off");

        bench.card().reset().expect("the power comes back");
        assert_eq!(bench.issue_state().4, kept, "{kind:?}: commands kept");
        assert_eq!(bench.start(id).sw, 0x9000);
        let again = usize::try_from(6 - kept).expect("few");
        assert_eq!(given.load(Ordering::Relaxed), 4 + again, "{kind:?}: the rest, and no more");
    }
}
