//! The places of the tables in a page that people write the rest of.

use anyhow::{Context, Result};

/// The page with other tables between the marks of `make target`.
///
/// # Errors
/// The page has no such marks.
pub fn with_tables(page: &str, target: &str, tables: &str) -> Result<String> {
    let begin = format!("<!-- tables, made by make {target} -->\n");
    let end = format!("<!-- end of the tables of make {target} -->\n");
    let (before, rest) = page.split_once(&begin).context("the page has no line that begins the tables")?;
    let (_, after) = rest.split_once(&end).context("the page has no line that ends the tables")?;
    Ok(format!("{before}{begin}\n{tables}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = "# A\n\n<!-- tables, made by make wire -->\nold\n<!-- end of the tables of make wire -->\nb\n";
        let new = with_tables(page, "wire", "new\n").expect("marks");
        assert_eq!(new, page.replace("old\n", "\nnew\n\n"));
        assert_eq!(with_tables(&new, "wire", "new\n").expect("marks"), new, "again is the same");
        assert!(with_tables(page, "noise", "new").is_err());
    }
}
