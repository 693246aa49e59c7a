//! The words of a line.

use super::super::ScriptReason;

/// Splits a line at white space and commas; a comment ends it, a quoted word may hold both.
pub(super) fn split(line: &str) -> Result<Vec<&str>, ScriptReason> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', ',']);
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or(ScriptReason::Quote)?,
            None if rest.is_empty() || begins_comment(rest, &words) => return Ok(words),
            None => {
                rest.split_at_checked(rest.find([' ', '\t', '\r', ',']).unwrap_or(rest.len())).unwrap_or((rest, ""))
            }
        };
        if word.contains("${") {
            return Err(ScriptReason::Variable);
        }
        words.push(word);
        rest = behind;
    }
}

/// `#` and `//` begin a comment, but may begin a value: a path behind an option does.
fn begins_comment(rest: &str, words: &[&str]) -> bool {
    let mark = rest.starts_with('#') || rest.starts_with("//");
    let alone = rest.split([' ', '\t', '\r', ',']).next().is_some_and(|word| word == "#" || word == "//");
    alone || (mark && !words.last().is_some_and(|last| last.starts_with('-')))
}

/// A word fit for an error: a name as GPShell has them, not the data of a command.
pub(super) fn shown(word: &str) -> String {
    let name = word.len() <= 40 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let data = word.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_hexdigit());
    if name && !data { format!("'{word}'") } else { "what stands there".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_the_tool_does() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("  # comment", &[]),
            ("//options:", &[]),
            ("mode_211 // mode", &["mode_211"]),
            ("a,b\tc\r", &["a", "b", "c"]),
            ("install -file \"my applet.cap\" -priv 2", &["install", "-file", "my applet.cap", "-priv", "2"]),
            ("install -file //server/a.cap # all", &["install", "-file", "//server/a.cap"]),
            ("select -AID A0 #x", &["select", "-AID", "A0"]),
        ];
        for (line, words) in cases {
            assert_eq!(split(line).as_deref(), Ok(words), "{line}");
        }
        assert_eq!(split("install -file \"a"), Err(ScriptReason::Quote));
        assert_eq!(split("install -file ${HOME}/a.cap"), Err(ScriptReason::Variable));
    }

    #[test]
    fn data_is_not_shown() {
        assert_eq!(shown("get_stuff"), "'get_stuff'");
        for secret in ["404142434445", "00a40400", "-CAFE", "pass word", "x\u{1b}"] {
            assert_eq!(shown(secret), "what stands there");
        }
    }
}
