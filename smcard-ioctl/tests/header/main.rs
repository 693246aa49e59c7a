//! The C header says what the crate says, and a C compiler agrees.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod generate;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use generate::{constants, header, ioctls, layouts};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The C compiler: `CC`, else `cc`. Where there is none the test says so and checks nothing.
fn compiler() -> Option<String> {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    if Command::new(&cc).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(cc);
    }
    eprintln!("NO C COMPILER ({cc}): the C header is NOT checked. Install one or set CC.");
    None
}

/// Compiles `source` with every warning an error; the program stands in `directory`.
fn compile(cc: &str, source: &Path, directory: &Path) -> PathBuf {
    let program = directory.join("program");
    let output = Command::new(cc)
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-D_DEFAULT_SOURCE"])
        .arg("-I")
        .arg(Path::new(ROOT).join("include"))
        .arg("-o")
        .arg(&program)
        .arg(source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

#[test]
fn the_header_is_made_from_the_definitions() {
    let path = Path::new(ROOT).join("include/smcard.h");
    let made = header();
    if std::env::var_os("SMCARD_WRITE_HEADER").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap();
    assert!(
        stands == made,
        "include/smcard.h is not what the definitions make: run SMCARD_WRITE_HEADER=1 cargo test -p smcard-ioctl --test header"
    );
}

#[test]
fn c_sees_the_same_numbers_sizes_offsets_and_values() {
    let Some(cc) = compiler() else { return };
    let mut source = String::from("#include <stddef.h>\n#include <stdio.h>\n#include \"smcard.h\"\nint main(void) {\n");
    let mut expected = String::new();
    let mut show = |name: &str, expression: &str, value: u64| {
        writeln!(source, "\tprintf(\"{name} %llu\\n\", (unsigned long long)({expression}));").unwrap();
        writeln!(expected, "{name} {value}").unwrap();
    };
    for (name, _, _, number) in ioctls() {
        show(name, &format!("SMCARD_{name}"), number.into());
    }
    for layout in layouts() {
        let c = layout.c_name;
        show(c, &format!("sizeof(struct {c})"), layout.size.try_into().unwrap());
        for field in layout.fields {
            let name = format!("{c}.{}", field.name);
            show(&name, &format!("offsetof(struct {c}, {})", field.name), field.offset.try_into().unwrap());
            let size = format!("sizeof(((struct {c} *)0)->{})", field.name);
            show(&name, &size, field.size.try_into().unwrap());
        }
    }
    for constant in constants().into_iter().flat_map(|(_, constants)| constants) {
        let value = constant.value.trim_start_matches("UINT32_C(").trim_start_matches("UINT64_C(");
        let value = value.trim_end_matches(')');
        let value = match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
            None => value.parse().unwrap(),
        };
        show(&constant.name, &constant.name, value);
    }
    source.push_str("\treturn 0;\n}\n");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("layout.c");
    std::fs::write(&file, source).unwrap();
    let output = Command::new(compile(&cc, &file, directory.path())).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn the_header_can_be_included_twice() {
    let Some(cc) = compiler() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("twice.c");
    std::fs::write(&file, "#include \"smcard.h\"\n#include \"smcard.h\"\nint main(void) { return 0; }\n").unwrap();
    compile(&cc, &file, directory.path());
}

#[test]
fn the_example_refuses_what_is_not_a_card() {
    let Some(cc) = compiler() else { return };
    let directory = tempfile::tempdir().unwrap();
    let program = compile(&cc, &Path::new(ROOT).join("examples/issue.c"), directory.path());
    let usage = Command::new(&program).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    let other = Command::new(&program).args(["/dev/null", "app.batch"]).output().unwrap();
    assert_eq!(other.status.code(), Some(3));
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(said.contains("/dev/null") && said.contains("VERSION"), "{said}");
    assert!(other.stdout.is_empty());
}

#[test]
fn the_numbers_are_those_of_the_c_library() {
    use smcard_ioctl::{abi, number};
    let ours = [abi::VERSION, abi::STATUS, abi::RESULT, abi::AUTHENTICATE, abi::TRANSMIT, abi::START, abi::CLEAR];
    let ty = u32::from(number::TYPE);
    let theirs = [
        libc::_IOWR::<abi::Version>(ty, number::NR_VERSION.into()),
        libc::_IOWR::<abi::Status>(ty, number::NR_STATUS.into()),
        libc::_IOWR::<abi::OperationResult>(ty, number::NR_RESULT.into()),
        libc::_IOWR::<abi::Authenticate>(ty, number::NR_AUTHENTICATE.into()),
        libc::_IOWR::<abi::Transmit>(ty, number::NR_TRANSMIT.into()),
        libc::_IOWR::<abi::Start>(ty, number::NR_START.into()),
        libc::_IOWR::<abi::Submit>(ty, number::NR_CLEAR.into()),
    ];
    assert_eq!(ours.map(|number| format!("{number:#x}")), theirs.map(|number| format!("{number:#x}")));
}
