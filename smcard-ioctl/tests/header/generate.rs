//! Makes the C header from the definitions of the crate.

use std::fmt::Write as _;

use smcard_ioctl::abi;
use smcard_ioctl::number;
use smcard_ioctl::{CardState, FieldLayout, Layout, OperationKind, OperationState, Structure};

/// Every structure, in the order of the header.
pub(crate) fn layouts() -> Vec<Layout> {
    vec![
        abi::Version::LAYOUT,
        abi::Status::LAYOUT,
        abi::OperationResult::LAYOUT,
        abi::Authenticate::LAYOUT,
        abi::Transmit::LAYOUT,
        abi::Start::LAYOUT,
        abi::Submit::LAYOUT,
    ]
}

/// Every ioctl: name, sequence number, structure, number.
pub(crate) fn ioctls() -> Vec<(&'static str, u8, &'static str, u32)> {
    let (version, status) = (abi::Version::LAYOUT.c_name, abi::Status::LAYOUT.c_name);
    let submit = abi::Submit::LAYOUT.c_name;
    vec![
        ("VERSION", number::NR_VERSION, version, abi::VERSION),
        ("STATUS", number::NR_STATUS, status, abi::STATUS),
        ("RESULT", number::NR_RESULT, abi::OperationResult::LAYOUT.c_name, abi::RESULT),
        ("AUTHENTICATE", number::NR_AUTHENTICATE, abi::Authenticate::LAYOUT.c_name, abi::AUTHENTICATE),
        ("TRANSMIT", number::NR_TRANSMIT, abi::Transmit::LAYOUT.c_name, abi::TRANSMIT),
        ("START", number::NR_START, abi::Start::LAYOUT.c_name, abi::START),
        ("CLEAR", number::NR_CLEAR, submit, abi::CLEAR),
        ("CONFIRM", number::NR_CONFIRM, submit, abi::CONFIRM),
        ("RESET", number::NR_RESET, submit, abi::RESET),
    ]
}

/// A constant: name, value as C writes it, what it means.
pub(crate) struct Constant {
    pub(crate) name: String,
    pub(crate) value: String,
    doc: &'static str,
}

fn constant(name: &str, value: impl std::fmt::Display, doc: &'static str) -> Constant {
    Constant { name: format!("SMCARD_{name}"), value: value.to_string(), doc }
}

/// Every constant, group by group; a group has a heading.
pub(crate) fn constants() -> Vec<(&'static str, Vec<Constant>)> {
    let hex64 = |value: u64| format!("UINT64_C({value:#x})");
    let hex = |value: u32| format!("UINT32_C({value:#x})");
    let states = CardState::ALL.iter().map(|state| {
        constant(&format!("CARD_{}", state.as_str().to_uppercase()), state.to_wire(), state.doc()[0].trim())
    });
    let ends = OperationState::ALL.iter().map(|state| {
        constant(&format!("STATE_{}", state.as_str().to_uppercase()), state.to_wire(), state.doc()[0].trim())
    });
    let kinds = OperationKind::ALL
        .iter()
        .map(|kind| constant(&format!("OP_{}", kind.as_str().to_uppercase()), kind.to_wire(), ""));
    vec![
        (
            "Sizes, in bytes unless said otherwise.",
            vec![
                constant("ABI_VERSION", abi::ABI_VERSION, "goes into \"version\" of every request"),
                constant("NAME_SIZE", abi::NAME_SIZE, "a file name with its closing zero"),
                constant("TEXT_SIZE", abi::TEXT_SIZE, "a line of text with its closing zero"),
                constant("SHORT_COMMAND_MAX", abi::SHORT_COMMAND_MAX, "longest short APDU"),
                constant("SHORT_RESPONSE_MAX", abi::SHORT_RESPONSE_MAX, "longest short response, status word included"),
                constant("EXTENDED_COMMAND_MAX", abi::EXTENDED_COMMAND_MAX, "longest extended APDU"),
                constant("EXTENDED_RESPONSE_MAX", abi::EXTENDED_RESPONSE_MAX, "longest extended response"),
                constant("TICKETS_MAX", abi::TICKETS_MAX, "operations kept for one open file"),
            ],
        ),
        (
            "\"capabilities\" of smcard_version.",
            vec![
                constant("CAP_EXTENDED", hex64(abi::CAP_EXTENDED), "extended APDUs by write(2) and read(2)"),
                constant("CAP_AUTHENTICATE", hex64(abi::CAP_AUTHENTICATE), "the daemon has keys"),
                constant("CAP_POLL_STATE", hex64(abi::CAP_POLL_STATE), "POLLPRI = state changed since the last STATUS"),
                constant("CAP_RECOVERY", hex64(abi::CAP_RECOVERY), "START goes on where the power went"),
            ],
        ),
        (
            "\"flags\".",
            vec![
                constant(
                    "TRANSMIT_EXTENDED",
                    hex(abi::TRANSMIT_EXTENDED.into()),
                    "the command was written to this descriptor",
                ),
                constant("RESULT_MORE", hex(abi::RESULT_MORE.into()), "read(2) gives the whole response"),
            ],
        ),
        (
            "\"facts\" of smcard_status.",
            vec![
                constant("FACT_CONFIRM_NEEDED", hex(abi::FACT_CONFIRM_NEEDED), "CONFIRM before first use"),
                constant("FACT_INTERRUPTED", hex(abi::FACT_INTERRUPTED), "an issue was interrupted"),
                constant(
                    "FACT_CLEAR_POSSIBLE",
                    hex(abi::FACT_CLEAR_POSSIBLE),
                    "an issue is unfinished; CLEAR takes it back",
                ),
                constant("FACT_OPERATOR", hex(abi::FACT_OPERATOR), "this open file may submit"),
                constant("FACT_TEST_KEYS", hex(abi::FACT_TEST_KEYS), "the keys are the well-known test keys"),
            ],
        ),
        (
            "\"kept\" of smcard_status and smcard_result.",
            vec![constant("KEPT_UNKNOWN", hex(abi::KEPT_UNKNOWN), "the card did not say")],
        ),
        ("\"card_state\" of smcard_status.", states.collect()),
        (
            "\"selector\" of smcard_start.",
            vec![
                constant("SELECT_NONE", abi::SELECT_NONE, "the store holds one batch"),
                constant("SELECT_NAME", abi::SELECT_NAME, "by name"),
                constant("SELECT_ID", abi::SELECT_ID, "by identifier"),
            ],
        ),
        (
            "\"failure_format\" of smcard_start.",
            vec![
                constant("FAILURE_DATA", abi::FAILURE_DATA, "count as four bytes of data, before the status word"),
                constant("FAILURE_COUNTER", abi::FAILURE_COUNTER, "status word 63CX, X = count, where it fits"),
            ],
        ),
        ("\"state\" of smcard_result.", ends.collect()),
        ("\"kind\" of smcard_result.", kinds.collect()),
    ]
}

fn field(out: &mut String, field: &FieldLayout) {
    let array = field.array.map(|n| format!("[{n}]")).unwrap_or_default();
    let declaration = format!("{} {}{array};", field.c_type, field.name);
    let doc: Vec<&str> = field.doc.iter().map(|line| line.trim()).collect();
    writeln!(out, "\t{declaration:<32}/* {:>3}: {} */", field.offset, doc.join(" ")).unwrap();
}

/// The whole header.
pub(crate) fn header() -> String {
    let mut out = String::from(
        "/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n\
         /*\n \
         * The ioctls of a mounted secure memory card's control file.\n \
         *\n \
         * Made from the definitions of the crate smcard-ioctl; its tests compare the two.\n \
         *\n \
         * Every structure goes in and comes back in place. Fill \"version\" and the request\n \
         * fields, leave the rest zero. Integers are in host byte order. No ioctl waits for\n \
         * the card: AUTHENTICATE, TRANSMIT, START, CLEAR, CONFIRM and RESET return a ticket,\n \
         * poll(2) reports POLLIN when a result is ready, RESULT fetches it.\n \
         */\n\
         #ifndef SMCARD_H\n#define SMCARD_H\n\n#include <stdint.h>\n#include <sys/ioctl.h>\n",
    );
    for (heading, constants) in constants() {
        writeln!(out, "\n/* {heading} */").unwrap();
        for Constant { name, value, doc } in constants {
            let line = format!("#define {name:<30} {value:<14}");
            let doc = if doc.is_empty() { String::new() } else { format!(" /* {doc} */") };
            writeln!(out, "{}", format!("{line}{doc}").trim_end()).unwrap();
        }
    }
    out.push_str("\n/* The number before each field is its offset. */\n");
    for layout in layouts() {
        let doc: Vec<&str> = layout.doc.iter().map(|line| line.trim()).collect();
        writeln!(out, "\n/* {} {} bytes. */", doc.join(" "), layout.size).unwrap();
        writeln!(out, "struct {} {{", layout.c_name).unwrap();
        layout.fields.iter().for_each(|f| field(&mut out, f));
        out.push_str("};\n");
    }
    writeln!(out, "\n#define {:<30} {:#x}", "SMCARD_IOC_TYPE", number::TYPE).unwrap();
    for (name, nr, structure, _) in ioctls() {
        writeln!(out, "#define {:<30} _IOWR(SMCARD_IOC_TYPE, {nr:#04x}, struct {structure})", format!("SMCARD_{name}"))
            .unwrap();
    }
    out.push_str("\n#endif /* SMCARD_H */\n");
    out
}
