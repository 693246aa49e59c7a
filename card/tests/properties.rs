//! Whatever arrives, over an interface or in a batch: the card answers, keeps its state readable, and gives memory back.

mod common;

use common::Bench;
use proptest::collection::vec;
use proptest::prelude::*;
use smcard_batch::{BatchBuilder, CommandApdu};
use smcard_card::CreateOptions;
use smcard_link::{RecoveryKind, SecureCard};

/// Data as commands like it: random, or fields behind lengths that are nearly right.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let aid = prop_oneof![
        Just(vec![0xF0, 0x53, 0x4D, 0x43, 0x41, 0x52, 0x44, 0x01]),
        Just(vec![0xF0, 0x53, 0x4D, 0x43, 0x41, 0x52, 0x44, 0x01, 0x01]),
        Just(vec![0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00]),
        vec(any::<u8>(), 0..18),
    ];
    let field = aid.prop_map(|aid| [&[u8::try_from(aid.len()).expect("short")][..], &aid].concat());
    let fields = vec(field, 0..7).prop_map(|fields| fields.concat());
    let tagged = (prop_oneof![Just(0x4F_u8), Just(0xC4), Just(0xC9), Just(0x42), any::<u8>()], vec(any::<u8>(), 0..40))
        .prop_map(|(tag, value)| [&[tag, u8::try_from(value.len()).expect("short")][..], &value].concat());
    prop_oneof![fields, tagged, vec(any::<u8>(), 0..60)]
}

fn command() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        0x50, 0x56, 0x58, 0x5A, 0x5C, 0x5E, 0x70, 0x82, 0xA4, 0xCA, 0xD8, 0xE2, 0xE4, 0xE6, 0xE8, 0xF0, 0xF2, 0xB0,
        0xD6,
    ];
    let ins = prop_oneof![4 => prop::sample::select(known.to_vec()), 1 => any::<u8>()];
    let cla = prop_oneof![6 => Just(0x80_u8), 2 => Just(0x00), 1 => Just(0x84), 1 => Just(0x01), 1 => Just(0x81), 1 => any::<u8>()];
    let p = || {
        prop_oneof![Just(0x00_u8), Just(0x80), Just(0x02), Just(0x04), Just(0x0C), Just(0x20), Just(0x40), any::<u8>()]
    };
    (cla, ins, p(), p(), data(), any::<bool>()).prop_map(|(cla, ins, p1, p2, data, le)| {
        let command = CommandApdu::new(cla, ins, p1, p2, &data);
        if le { command.with_le(256) } else { command }.to_vec().expect("short")
    })
}

fn card(kind: RecoveryKind) -> Bench {
    Bench::new(&CreateOptions { size: 1 << 20, recovery: kind, ..CreateOptions::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn an_interface_may_say_anything(commands in vec(command(), 1..30), raw in vec(vec(any::<u8>(), 0..40), 0..10)) {
        let mut bench = card(RecoveryKind::Function);
        let mut session = bench.authenticate_at(0x00);
        for command in &commands {
            let parsed = CommandApdu::parse(command).expect("built above");
            let wrapped = session.wrap(&parsed).expect("fits");
            bench.card().transmit(&wrapped).expect("an answer");
        }
        for bytes in &raw {
            bench.card().transmit(bytes).expect("an answer");
        }
        bench.reopen();
        prop_assert_eq!(bench.sw("80CADF7400"), 0x9000);
    }

    #[test]
    fn a_batch_may_hold_anything(commands in vec(command(), 1..30), kind in 0..3) {
        let kind = [RecoveryKind::Restart, RecoveryKind::Command, RecoveryKind::Function][usize::try_from(kind).expect("small")];
        let mut bench = card(kind);
        let mut builder = BatchBuilder::new();
        for command in &commands {
            builder.push_bytes(command).expect("a command");
        }
        let id = bench.upload("any", &builder.finish().expect("a batch"));
        let free = bench.free();
        let answer = bench.start(id);
        let (state, given, total, ..) = bench.issue_state();
        if answer.sw != 0x9000 {
            prop_assert_eq!((state, total), (1, u32::try_from(commands.len()).expect("few")));
            prop_assert!(given >= 1 && given <= total);
            prop_assert_eq!(bench.sw("805C0000"), 0x9000);
            prop_assert_eq!(bench.free(), free, "CLEAR gives everything back");
            prop_assert_eq!(bench.issue_state().0, 0);
        }
        bench.reopen();
        prop_assert_eq!(bench.sw("80CADF7400"), 0x9000);
    }
}
