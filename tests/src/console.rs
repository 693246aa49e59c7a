//! Examples in documents: fenced blocks of the language `console`, run and compared.
//!
//! A line that begins with `$ ` is a command, given to `bash`; the lines up to the next one are what it must print on
//! standard output and standard error together. `…` stands for any text within a line, a line of `…` alone for any
//! number of lines. The other blocks of a document are left alone.

use std::fmt::Write as _;

/// The character that stands for anything.
const ANYTHING: char = '…';

/// One command of a document and what it prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Line of the command in the document, the first being 1.
    pub line: usize,
    /// The command.
    pub command: String,
    /// What it prints.
    pub output: Vec<String>,
}

/// The examples of a document, in order.
///
/// # Panics
/// If output stands before the first command of a block, or a block does not end.
#[must_use]
pub fn examples(document: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut fence: Option<bool> = None;
    for (number, line) in document.lines().enumerate() {
        let number = number + 1;
        match (fence, line.strip_prefix("```")) {
            (None, Some(language)) => {
                fence = Some(language.trim() == "console");
                // A new block has no command yet: an empty example takes what does not belong.
                examples.push(Example { line: 0, command: String::new(), output: Vec::new() });
            }
            (Some(_), Some(_)) => fence = None,
            (Some(true), None) => match line.strip_prefix("$ ") {
                Some(command) => {
                    examples.push(Example { line: number, command: command.to_owned(), output: Vec::new() });
                }
                None => {
                    let example = examples.last_mut().filter(|example| example.line != 0);
                    let example = example.unwrap_or_else(|| panic!("line {number}: output without a command"));
                    example.output.push(line.to_owned());
                }
            },
            _ => {}
        }
    }
    assert_eq!(fence, None, "the last block does not end");
    examples.retain(|example| example.line != 0);
    examples
}

impl Example {
    /// Compares what the command printed with what the document says.
    ///
    /// # Errors
    /// Both, for people.
    pub fn check(&self, printed: &str) -> Result<(), String> {
        let printed: Vec<&str> = printed.lines().collect();
        let expected: Vec<&str> = self.output.iter().map(String::as_str).collect();
        if lines_match(&expected, &printed) {
            return Ok(());
        }
        let mut text = format!("line {}: $ {}\n", self.line, self.command);
        for (name, lines) in [("says", &expected), ("prints", &printed)] {
            let _ = writeln!(text, "{name}:\n  {}", lines.join("\n  "));
        }
        Err(text)
    }
}

fn lines_match(expected: &[&str], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first.trim().chars().eq([ANYTHING]) => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(line, others)| line_matches(first, line) && lines_match(rest, others))
        }
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let Some((head, tail)) = expected.split_once(ANYTHING) else { return expected == line };
    let Some(line) = line.strip_prefix(head) else { return false };
    line.char_indices().map(|(at, _)| at).chain([line.len()]).any(|at| line_matches(tail, &line[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "text\n```console\n$ ls\na\n…\nz\n$ true\n```\n```sh\n$ not this\n```\n";

    #[test]
    fn commands_and_their_output_are_found() {
        let examples = examples(DOCUMENT);
        let expected = [(3, "ls", vec!["a", "…", "z"]), (7, "true", vec![])];
        let found: Vec<_> = examples.iter().map(|e| (e.line, e.command.as_str(), e.output.clone())).collect();
        assert_eq!(
            found,
            expected.map(|(line, command, output)| (line, command, output.iter().map(|s| (*s).to_owned()).collect()))
        );
    }

    #[test]
    fn anything_matches_within_a_line_and_across_lines() {
        let example = &examples(DOCUMENT)[0];
        for good in ["a\nz\n", "a\nb\nc\nz\n"] {
            example.check(good).unwrap();
        }
        for bad in ["", "a\n", "a\nz\nb\n", "b\nz\n"] {
            assert!(example.check(bad).is_err(), "{bad:?}");
        }
        assert!(line_matches("done … in … s", "done app in 0.1 s"));
        assert!(line_matches("…", ""));
        assert!(!line_matches("done … s", "done s"));
        assert!(!line_matches("a…", "ba"));
    }
}
