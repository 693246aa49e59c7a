//! The pages in docs/ioctl say the numbers and layouts of the crate.

use std::path::Path;

use smcard_ioctl::{Layout, Structure, abi};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ioctl").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn ioctls() -> [(&'static str, u32, Layout); 9] {
    [
        ("version", abi::VERSION, abi::Version::LAYOUT),
        ("status", abi::STATUS, abi::Status::LAYOUT),
        ("result", abi::RESULT, abi::OperationResult::LAYOUT),
        ("authenticate", abi::AUTHENTICATE, abi::Authenticate::LAYOUT),
        ("transmit", abi::TRANSMIT, abi::Transmit::LAYOUT),
        ("start", abi::START, abi::Start::LAYOUT),
        ("clear", abi::CLEAR, abi::Submit::LAYOUT),
        ("confirm", abi::CONFIRM, abi::Submit::LAYOUT),
        ("reset", abi::RESET, abi::Submit::LAYOUT),
    ]
}

#[test]
fn every_ioctl_has_a_page_with_its_number_and_every_field() {
    let index = page("README.md");
    for (name, number, layout) in ioctls() {
        let text = page(&format!("{name}.md"));
        let number = format!("`{number:#010x}`");
        assert!(text.contains(&number), "{name}.md does not name {number}");
        assert!(index.contains(&format!("]({name}.md) | {number} |")), "README.md does not link {name} with {number}");
        let head = format!("`struct {}`, {} bytes.", layout.c_name, layout.size);
        assert!(text.contains(&head), "{name}.md does not say: {head}");
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && line.contains(" | `")).collect();
        for (position, field) in layout.fields.iter().enumerate() {
            let row = format!("| {} | {} | `{}` |", field.offset, field.size, field.name);
            let stands = rows.get(position).copied().unwrap_or_default();
            assert!(stands.starts_with(&row), "{name}.md: expected a row {row}, found {stands}");
        }
    }
}
