//! The place of the tables in a page that people write the rest of.

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- tables, made by make outage -->\n";
const END: &str = "<!-- end of the tables of make outage -->\n";

/// The page with other tables between its marks.
///
/// # Errors
/// The page has no marks.
pub(crate) fn with_tables(page: &str, tables: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("the page has no line that begins the tables")?;
    let (_, after) = rest.split_once(END).context("the page has no line that ends the tables")?;
    Ok(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = format!("# A\n\n{BEGIN}old\n{END}\nb\n");
        let new = with_tables(&page, "new\n").expect("marks");
        assert_eq!(new, format!("# A\n\n{BEGIN}\nnew\n\n{END}\nb\n"));
        assert_eq!(with_tables(&new, "new\n").expect("marks"), new, "again is the same");
        assert!(with_tables("# A\n", "new").is_err());
        assert!(with_tables(&format!("{END}{BEGIN}"), "new").is_err());
    }
}
