//! Every row of docs/FAILURE-MODEL.md names a test that exists.

use std::fs;
use std::path::Path;

#[test]
fn every_row_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("docs/FAILURE-MODEL.md")).expect("docs/FAILURE-MODEL.md");
    let numbered = |line: &&str| {
        let number = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        number.starts_with(['M', 'F', 'C', 'T', 'X']) && number[1..].parse::<u8>().is_ok()
    };
    let rows: Vec<_> = text.lines().filter(numbered).collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    for row in rows {
        let last = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default().trim();
        for reference in last.split(", ") {
            let named = reference.trim_matches('`').split_once("::");
            let (file, name) = named.unwrap_or_else(|| panic!("no test in: {row}"));
            let source = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(source.contains(&format!("fn {name}(")), "{file} has no test {name}");
        }
    }
}
