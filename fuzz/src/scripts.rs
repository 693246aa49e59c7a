//! Lists of commands for arbitrary bytes: a reader must not panic, must name a place inside its input, and what is read must
//! survive being made a batch, written, and read again.

use smcard_batch::issue::Recovery;
use smcard_batch::script::{Place, Script, ScriptFault, detect, etsi, gpshell, list, text};
use smcard_batch::{Batch, CommandApdu};

/// The same bytes for every reader.
pub fn script(data: &[u8]) {
    if let Err(fault) = detect(data) {
        inside(&fault, data);
    }
    // A template in digits is shorter in bytes than in digits, so its offsets are inside as well.
    judge(etsi::parse(data), data);
    match text(data) {
        Ok(text) => {
            judge(list::parse(text), data);
            judge(gpshell::parse(text, &mut |_| Err("no files here".to_owned())), data);
        }
        Err(fault) => inside(&fault, data),
    }
}

fn inside(fault: &ScriptFault, data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    match fault.place {
        Place::Line(line) => assert!((1..=lines).contains(&line), "{fault}"),
        Place::Offset(offset) => assert!(offset <= data.len(), "{fault}"),
        Place::Command(_) => panic!("a reader knows no batch: {fault}"),
    }
    assert!(!fault.to_string().is_empty() && !fault.reason.advice().is_empty());
}

fn judge(read: Result<Script, ScriptFault>, data: &[u8]) {
    match read {
        Ok(script) => again(&script),
        Err(fault) => inside(&fault, data),
    }
}

fn again(script: &Script) {
    let commands: Vec<CommandApdu<'_>> = script.commands().collect();
    assert_eq!(commands.len(), script.count());
    assert!(script.notes().iter().all(|note| !note.kind.to_string().is_empty()));
    for recovery in [Recovery::Functions, Recovery::Commands] {
        // Only the number of recovery points can stand in the way.
        let Ok(file) = script.build(recovery, true).expect("commands that were read").finish() else {
            assert!(commands.len() > 8191);
            continue;
        };
        let batch = Batch::parse(&file).expect("a batch");
        assert!(batch.commands().map(|command| command.apdu).eq(commands.iter().copied()));
        let text = list::write(&batch).expect("no direct reference");
        assert!(list::parse(&text).expect("a list").commands().eq(commands.iter().copied()));
        let template = etsi::write(&batch).expect("no direct reference");
        assert!(etsi::parse(&template).expect("a template").commands().eq(commands.iter().copied()));
    }
}
