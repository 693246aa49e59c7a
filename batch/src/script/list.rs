//! Plain lists of APDUs: one a line, in hexadecimal digits.
//!
//! `#`, `//` and `;` begin a comment. A line may begin with the mark that a log gives to commands: an arrow (`>`, `>>`, `=>`,
//! `==>`, `->`, `-->`, `A>>`) or a word and a colon (`C-APDU:`, `CAPDU:`, `APDU:`, `Command:`, `Sending:`). Lines marked as
//! responses (the arrows the other way round, `R-APDU:`, `RAPDU:`, `Response:`, `Received:`) are skipped. Behind `==`, in the
//! line of the command or in one of its own, and in a line `SW: 9000`, stands the status word that is expected: a batch goes
//! on after 9000 only, so any other is refused.

use super::{NoteKind, Place, Script, ScriptFault, ScriptReason, hex, interindustry};
use crate::Batch;
use crate::describe::Narrator;
use crate::hex::Hex;
use std::fmt::Write;
use zeroize::Zeroizing;

/// Marks of commands that are arrows, longest first.
const COMMAND_ARROWS: [&str; 7] = ["A>>", "==>", "-->", "=>", "->", ">>", ">"];
/// Marks of responses that are arrows, longest first.
const RESPONSE_ARROWS: [&str; 7] = ["A<<", "<==", "<--", "<=", "<-", "<<", "<"];
/// Marks of commands that are words.
const COMMAND_WORDS: [&str; 5] = ["C-APDU", "CAPDU", "APDU", "Command", "Sending"];
/// Marks of responses that are words.
const RESPONSE_WORDS: [&str; 4] = ["R-APDU", "RAPDU", "Response", "Received"];

/// What a line is.
enum Line<'a> {
    Nothing,
    Command(&'a str, Option<&'a str>),
    Response(&'a str),
    Status(&'a str),
}

/// Reads a list.
///
/// # Errors
/// The first line that is neither a command nor anything to skip.
pub fn parse(text: &str) -> Result<Script, ScriptFault> {
    let mut script = Script::with_capacity(text.len() / 2);
    for (number, line) in (1..).zip(text.lines()) {
        let place = Place::Line(number);
        let fault = |reason| ScriptFault { place, reason };
        match classify(line) {
            Line::Nothing => {}
            Line::Command(command, expected) => {
                let bytes = hex::bytes(command).ok_or(fault(ScriptReason::NotApdu))?;
                script.push(place, &bytes)?;
                if let Some(status) = expected {
                    expect(status).map_err(fault)?;
                }
            }
            Line::Response(response) => {
                let status = hex::bytes(response).and_then(|bytes| bytes.last_chunk::<2>().copied());
                if let Some(failed) = status.filter(|status| *status != [0x90, 0x00]) {
                    script.note(place, NoteKind::Failed(failed));
                }
            }
            Line::Status(status) => expect(status).map_err(fault)?,
        }
    }
    Ok(script)
}

fn classify(line: &str) -> Line<'_> {
    let comment = ["#", "//", ";"].iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
    let line = line.get(..comment).unwrap_or_default().trim();
    if line.is_empty() {
        return Line::Nothing;
    }
    // Before the arrows: `==` is no `==>`.
    if let Some(status) = line.strip_prefix("==").filter(|rest| !rest.starts_with('>')) {
        return Line::Status(status);
    }
    if let Some(status) = status_line(line) {
        return Line::Status(status);
    }
    if let Some(rest) = marked(line, &RESPONSE_ARROWS, &RESPONSE_WORDS) {
        return Line::Response(rest);
    }
    let command = marked(line, &COMMAND_ARROWS, &COMMAND_WORDS).unwrap_or(line);
    match command.split_once("==") {
        Some((command, status)) => Line::Command(command, Some(status)),
        None => Line::Command(command, None),
    }
}

/// What follows `SW:`, `SW=` or `SW `.
fn status_line(line: &str) -> Option<&str> {
    let rest = strip_word(line, "SW1SW2").or_else(|| strip_word(line, "SW"))?;
    rest.strip_prefix([':', '=']).or_else(|| rest.starts_with([' ', '\t']).then_some(rest))
}

/// What follows one of the marks, and behind an arrow what a log says of the transfer: `T=1 (4+0008)`.
fn marked<'a>(line: &'a str, arrows: &[&str], words: &[&str]) -> Option<&'a str> {
    if let Some(rest) = words.iter().find_map(|word| strip_word(line, word)?.trim_start().strip_prefix(':')) {
        return Some(rest);
    }
    let mut rest = arrows.iter().find_map(|arrow| line.strip_prefix(arrow))?.trim_start();
    loop {
        if let Some(behind) = rest.strip_prefix("T=0").or_else(|| rest.strip_prefix("T=1")) {
            rest = behind.trim_start();
        } else if let Some((_, behind)) = rest.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
            rest = behind.trim_start();
        } else {
            return Some(rest);
        }
    }
}

fn strip_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = line.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn expect(status: &str) -> Result<(), ScriptReason> {
    let bytes = hex::bytes(status).ok_or(ScriptReason::StatusWord)?;
    match **bytes {
        [0x90, 0x00] => Ok(()),
        [a, b] => Err(ScriptReason::Expected([a, b])),
        _ => Err(ScriptReason::StatusWord),
    }
}

/// Writes the commands of a batch as a list, each behind a comment that says what it does.
///
/// # Errors
/// A command in the direct-reference form.
pub fn write(batch: &Batch<'_>) -> Result<Zeroizing<String>, ScriptFault> {
    let commands = interindustry(batch)?;
    let words: usize = commands.iter().map(|command| command.bytes().len() * 2 + LINES_MAX).sum();
    let mut text = Zeroizing::new(String::with_capacity(words));
    let mut narrator = Narrator::default();
    for command in &commands {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# {}: {}\n{}", command.number, narrator.next(command), Hex(command.bytes()));
    }
    Ok(text)
}

/// Room for the comment of a command: a string that grows would leave copies behind.
const LINES_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let script = parse(text).expect("a list");
        script.commands().map(|command| Hex(&command.to_vec().expect("encoded")).to_string()).collect()
    }

    fn fault(text: &str) -> ScriptFault {
        parse(text).expect_err("refused")
    }

    #[test]
    fn every_way_to_write_a_command_is_read() {
        for line in [
            "00a4040000",
            "  00 A4 04 00 00\r",
            "00:A4:04:00:00 # the card manager",
            "00A4040000 // select",
            "00A4040000; select",
            "> 00A4040000",
            ">>00A4040000",
            "=> 00 A4 04 00 00",
            "==> 00A4040000",
            "--> 00A4040000",
            "A>> T=1 (4+0000) 00A40400 00",
            "C-APDU: 00A4040000",
            "capdu : 00A4040000",
            "APDU: 00 A4 04 00 00",
            "Sending: 00 A4 04 00 00",
            "00A4040000 == 9000",
            "=> 00A4040000 ==90 00",
        ] {
            assert_eq!(read(line), ["00A4040000"], "{line}");
        }
    }

    #[test]
    fn responses_and_comments_are_skipped() {
        let text = "# a log\n\n00A4040000\n< 6F00 9000\n<= 9000\nA<< (0000+2) (7ms) 9000\nR-APDU: 9000\n\
                    Received: nothing\nSW: 9000\nsw=9000\nSW1SW2 90 00\n== 9000\n80F28000024F00";
        let script = parse(text).expect("a list");
        assert_eq!((script.count(), script.notes().len()), (2, 0));
    }

    #[test]
    fn a_status_that_no_batch_survives_is_refused_with_its_line() {
        for text in ["\n00A4040000 == 6A82", "00A4040000\nSW: 6A82", "00A4040000\n== 6A 82", "#\nSW=6A82"] {
            let fault = fault(text);
            assert_eq!(fault.place, Place::Line(2), "{text}");
            assert_eq!(fault.reason, ScriptReason::Expected([0x6A, 0x82]), "{text}");
        }
        assert_eq!(fault("00A4040000 == 90").reason, ScriptReason::StatusWord);
        assert_eq!(fault("SW: yes").reason, ScriptReason::StatusWord);
    }

    #[test]
    fn a_failure_in_a_log_is_noted() {
        let script = parse("> 80E40080034F01A0\n< 6A88").expect("a list");
        let note = script.notes().first().copied().expect("a note");
        assert_eq!((note.place, note.kind), (Place::Line(2), NoteKind::Failed([0x6A, 0x88])));
        assert!(note.kind.to_string().contains("6A88"), "{}", note.kind);
    }

    #[test]
    fn what_is_no_command_is_refused_and_not_shown() {
        for (text, line) in [("secret", 1), ("00A4040000\n00A40", 2), ("\n\n> key", 3), ("CAFE", 1), ("APDU:", 1)] {
            let fault = fault(text);
            assert_eq!(fault.place, Place::Line(line), "{text}");
            let said = fault.to_string();
            assert!(!said.contains("secret") && !said.contains("CAFE") && !said.contains("key"), "{said}");
        }
        assert_eq!(fault("80E88000 000000 00000001 07").reason, ScriptReason::Direct);
    }

    #[test]
    fn commands_of_a_session_are_noted() {
        let script =
            parse("8050000008010203040506070800\n84F28002024F00\n04A40400\n60A40400\nFFCA000000").expect("a list");
        let kinds: Vec<_> = script.notes().iter().map(|note| note.kind).collect();
        let secure = NoteKind::SecureMessaging;
        assert_eq!(kinds, [NoteKind::Handshake, secure, secure, secure]);
    }
}
