//! Every promise in docs/SPECIFICATION.md names a test that exists, or says that it is pending.

use std::path::Path;

#[test]
fn every_promise_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("docs/SPECIFICATION.md")).expect("docs/SPECIFICATION.md");
    // The figures at the end are measured, not asserted.
    let (text, _) = text.split_once("\n## Figures").expect("the figures at the end");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| no.")).collect();
    assert!(rows.len() > 20, "{} promises", rows.len());
    let mut tested = 0;
    for row in rows {
        let last = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default().trim();
        if last == "[pending]" {
            continue;
        }
        for reference in last.split(", ") {
            let (file, name) =
                reference.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("no test in: {row}"));
            let source = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(source.contains(&format!("fn {name}(")), "{file} has no test {name}");
            tested += 1;
        }
    }
    assert!(tested > 20, "{tested} tests");
}
