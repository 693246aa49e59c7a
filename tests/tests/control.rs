//! The control file as programs use it: the C client, waiting, signals, and everything the kernel can be asked to send.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use smcard_ioctl::{CardState, Client, ClientError, OperationState, Selector, StartRequest, Structure, abi};
use smcard_tests::mounted::hex;
use smcard_tests::people::as_nobody;
use smcard_tests::raw::python;
use smcard_tests::run::{self, until};
use smcard_tests::{Mounted, Setup, batch, binaries};

const LIMIT: Duration = Duration::from_secs(10);

fn start(name: &str) -> StartRequest {
    StartRequest { selector: Selector::Name(name.into()), ..StartRequest::default() }
}

/// Compiles the C client against the header that ships.
fn c_client(card: &Mounted) -> PathBuf {
    let program = card.scratch().join("issue");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-I"]);
    cc.arg(binaries::source("smcard-ioctl/include")).arg("-o").arg(&program);
    run::run(cc.arg(binaries::source("smcard-ioctl/examples/issue.c"))).ok();
    program
}

#[test]
fn a_c_program_runs_an_issue() {
    let card = Setup::new().slow(5).mount();
    card.put(batch::ndef(), "ndef.batch");
    card.put(batch::failing(), "failing.batch");
    let client = c_client(&card);
    let issue = |name: &str| run::run(Command::new(&client).arg(card.path("control")).arg(name));
    let done = issue("ndef.batch").ok().json();
    let commands = batch::commands(batch::ndef());
    let expected =
        json!({"state": "done", "sw": "9000", "commands": commands, "given": commands, "exchanges": 2, "error": 0});
    assert_eq!(done, expected);
    let failed = issue("failing.batch").expect(1).json();
    assert_eq!((&failed["state"], &failed["sw"]), (&json!("failed"), &json!("6985")), "loaded already: {failed}");
    assert_eq!(issue("no-such.batch").expect(1).json()["sw"], "6a82");
    assert_eq!(issue("").code, 2);
    let missing = run::run(Command::new(&client).args(["/nonexistent/control", "a"]));
    assert_eq!(missing.code, 3);
}

#[test]
fn a_result_is_pending_then_there_then_there_again() {
    let card = Setup::new().slow(30).mount();
    card.put(&batch::long(10), "long.batch");
    let client = card.client();
    let ticket = client.start(&start("long.batch")).unwrap();
    assert!(matches!(client.result(ticket), Err(ClientError::Pending(_))));
    assert!(matches!(client.wait(ticket, Some(Duration::from_millis(20))), Err(ClientError::Pending(_))));
    assert!(matches!(client.start(&start("long.batch")), Err(ClientError::Busy { .. })));
    let status = client.status().unwrap();
    assert_eq!(status.state, CardState::Issuing);
    assert!(status.elapsed < LIMIT && status.issues == 0, "{status:?}");

    let begun = Instant::now();
    let outcome = client.wait(ticket, Some(LIMIT)).unwrap();
    assert!(begun.elapsed() > Duration::from_millis(100), "poll(2) slept until the end");
    assert_eq!((outcome.state, outcome.sw, outcome.given, outcome.total), (OperationState::Done, 0x9000, 10, 10));
    assert_eq!(client.result(ticket).unwrap(), outcome, "asked again");
    assert_eq!(client.status().unwrap().issues, 1);

    let other = card.client();
    assert!(other.result(ticket).is_err(), "tickets belong to the open file");
}

#[test]
fn the_wake_up_of_poll_is_prompt() {
    let card = Setup::new().slow(10).mount();
    card.put(&batch::long(10), "long.batch");
    let client = card.client();
    for _ in 0..5 {
        let begun = Instant::now();
        let ticket = client.start(&start("long.batch")).unwrap();
        let outcome = client.wait(ticket, Some(LIMIT)).unwrap();
        // The library looks again after a second: a lost wake-up would show as that.
        let lost = begun.elapsed().saturating_sub(outcome.duration);
        assert!(lost < Duration::from_millis(500), "woken {lost:?} after the end");
    }
}

#[test]
fn others_are_woken_by_a_change_of_the_card() {
    let card = Setup::new().slow(20).mount();
    card.put(&batch::long(10), "long.batch");
    let watcher = Client::open_read_only(&card.path("control")).unwrap();
    assert!(!watcher.status().unwrap().line.is_empty());
    card.ctl(&["start", "--no-wait"]).ok();
    let mut states = Vec::new();
    let ended = until(LIMIT, || {
        watcher.wait_for_state_change(Duration::from_secs(1)).unwrap();
        states.push(watcher.status().unwrap().state);
        states.last() == Some(&CardState::Done)
    });
    assert!(ended && states.contains(&CardState::Issuing), "{states:?}");
}

#[test]
fn requests_that_make_no_sense_get_their_errno() {
    let card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    let status = hex(&abi::Status { version: 1, ..Default::default() }.to_bytes());
    let good = || abi::Start { version: 1, ..Default::default() };
    let text = |start: abi::Start| hex(&start.to_bytes());
    let named = |name: &[u8]| {
        let mut field = [0; abi::NAME_SIZE];
        field[..name.len()].copy_from_slice(name);
        text(abi::Start { selector: abi::SELECT_NAME, name: field, ..good() })
    };
    let with_size = |number: u32, size: u32| (number & !(0x3FFF << 16)) | (size << 16);
    let submit = hex(&abi::Submit { version: 1, ..Default::default() }.to_bytes());
    let result = hex(&abi::OperationResult { version: 1, ticket: 77, ..Default::default() }.to_bytes());
    let extended = hex(&abi::Transmit { version: 1, flags: abi::TRANSMIT_EXTENDED, ..Default::default() }.to_bytes());
    let short = |length: u16| hex(&abi::Transmit { version: 1, length, ..Default::default() }.to_bytes());
    let zeros = |size: usize| "00".repeat(size);
    let cases: &[(&str, &str, &str, u32, String, &str)] = &[
        ("a number of nobody", "control", "O_RDWR", 0xC010_C57F, zeros(16), "ENOTTY"),
        ("another type byte", "control", "O_RDWR", 0xC010_7801, zeros(16), "ENOTTY"),
        ("a terminal's", "control", "O_RDWR", 0x5401, zeros(64), "ENOTTY"),
        ("STATUS of the status file", "status", "O_RDONLY", abi::STATUS, status.clone(), "ENOTTY"),
        ("STATUS of a value", "card/cid", "O_RDONLY", abi::STATUS, status.clone(), "ENOTTY"),
        ("STATUS of a batch", "issue/ndef.batch", "O_WRONLY", abi::STATUS, status.clone(), "ENOTTY"),
        ("STATUS of a folder", "issue", "O_RDONLY", abi::STATUS, status.clone(), "ENOTTY"),
        ("START, another size", "control", "O_RDWR", with_size(abi::START, 16), zeros(16), "EINVAL"),
        ("START, a byte more", "control", "O_RDWR", with_size(abi::START, 289), zeros(289), "EINVAL"),
        ("START, only in", "control", "O_RDWR", abi::START & !(1 << 31), text(good()), "EINVAL"),
        ("START, version 2", "control", "O_RDWR", abi::START, text(abi::Start { version: 2, ..good() }), "EINVAL"),
        ("START, version 0", "control", "O_RDWR", abi::START, text(abi::Start { version: 0, ..good() }), "EINVAL"),
        ("START, flags", "control", "O_RDWR", abi::START, text(abi::Start { flags: 1, ..good() }), "EINVAL"),
        ("START, selector", "control", "O_RDWR", abi::START, text(abi::Start { selector: 3, ..good() }), "EINVAL"),
        ("START, format", "control", "O_RDWR", abi::START, text(abi::Start { failure_format: 2, ..good() }), "EINVAL"),
        ("START, id and no selector", "control", "O_RDWR", abi::START, text(abi::Start { id: 1, ..good() }), "EINVAL"),
        ("START, empty name", "control", "O_RDWR", abi::START, named(b""), "EINVAL"),
        ("START, slash", "control", "O_RDWR", abi::START, named(b"a/b"), "EINVAL"),
        ("START, name and more", "control", "O_RDWR", abi::START, named(b"a\0b"), "EINVAL"),
        ("START, name without end", "control", "O_RDWR", abi::START, named(&[b'a'; 256]), "EINVAL"),
        ("START, reading only", "control", "O_RDONLY", abi::START, text(good()), "EACCES"),
        ("RESET, reading only", "control", "O_RDONLY", abi::RESET, submit.clone(), "EACCES"),
        ("TRANSMIT, reading only", "control", "O_RDONLY", abi::TRANSMIT, short(5), "EACCES"),
        ("TRANSMIT, 3 bytes", "control", "O_RDWR", abi::TRANSMIT, short(3), "EINVAL"),
        ("TRANSMIT, 262 bytes", "control", "O_RDWR", abi::TRANSMIT, short(262), "EINVAL"),
        ("TRANSMIT of nothing written", "control", "O_RDWR", abi::TRANSMIT, extended, "ENODATA"),
        ("RESULT of no ticket", "control", "O_RDWR", abi::RESULT, result, "ENOENT"),
        ("STATUS, version 2", "control", "O_RDONLY", abi::STATUS, status.replacen("0100", "0200", 1), "EINVAL"),
        ("STATUS, reading only", "control", "O_RDONLY", abi::STATUS, status, "0"),
        ("VERSION, any version", "control", "O_RDONLY", abi::VERSION, zeros(8) + &zeros(88), "0"),
        ("CLEAR", "control", "O_WRONLY", abi::CLEAR, submit, "0"),
    ];
    let mut program = String::new();
    for (_, path, flags, number, data, _) in cases {
        writeln!(program, "print(call('{path}', os.{flags}, {number}, '{data}'))").unwrap();
    }
    let said = python(&card.mountpoint(), &program);
    let wrong: Vec<String> = cases
        .iter()
        .zip(&said)
        .filter(|(case, said)| case.5 != **said)
        .map(|(case, said)| format!("{}: {said}, not {}", case.0, case.5))
        .collect();
    assert!(said.len() == cases.len() && wrong.is_empty(), "{wrong:#?}");
    assert_eq!(card.json(&["status"])["issues"], 0, "nothing was started");
    card.ctl(&["start"]).ok();
}

#[test]
fn a_descriptor_may_hold_sixteen_results_and_a_command_of_any_length() {
    let card = Setup::new().mount();
    let submit = hex(&abi::Submit { version: 1, ..Default::default() }.to_bytes());
    let program = format!(
        "fd = os.open('control', os.O_RDWR)
print([raw(fd, {0}, '{submit}')[0] for n in range(18)])
poll = select.poll(); poll.register(fd, select.POLLIN)
print(poll.poll(5000) != [])
for length in 65544, 65545:
    try: print(os.write(fd, bytes(length)))
    except OSError as error: print(errno.errorcode[error.errno])",
        abi::CLEAR
    );
    let said = python(&card.mountpoint(), &program);
    let all = format!("[{}'ENOBUFS', 'ENOBUFS']", "0, ".repeat(16));
    assert_eq!(said, [&all, "True", "65544", "EMSGSIZE"]);
}

#[test]
fn a_descriptor_given_away_gives_no_rights() {
    // Opened by root, used by nobody: the kernel looks at rights once, when a file is opened.
    let card = Setup::new().groups("users", "games").mount();
    card.put(batch::ndef(), "ndef.batch");
    let request = hex(&abi::Start { version: 1, ..Default::default() }.to_bytes());
    let program = format!(
        "fd = os.open('control', os.O_RDWR); os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(raw(fd, {}, '{request}')[0])",
        abi::START
    );
    assert_eq!(python(&card.mountpoint(), &program), ["EACCES"]);
    assert_eq!(card.json(&["status"])["issues"], 0);
}

#[test]
fn files_that_are_no_control_file_are_always_ready() {
    let card = Setup::new().mount();
    let program = "
for path, flags in ('issue/new', os.O_WRONLY | os.O_CREAT), ('status', os.O_RDONLY), ('card/cid', os.O_RDONLY):
    poll = select.poll(); poll.register(os.open(path, flags), select.POLLIN | select.POLLOUT)
    print(path, poll.poll(5000) != [])
poll = select.poll(); poll.register(os.open('control', os.O_RDWR), select.POLLIN)
print('control', poll.poll(50) != [])";
    let said = python(&card.mountpoint(), program);
    assert_eq!(said, ["issue/new True", "status True", "card/cid True", "control False"]);
}

#[test]
fn long_commands_and_long_responses_pass() {
    let card = Setup::new().mount();
    for n in 0..12 {
        card.put(batch::again_small(), &format!("a-name-that-makes-the-table-of-files-long-{n}.batch"));
    }
    // GET DATA of the file table, extended: more than a short response can hold.
    let (sw, response) = card.apdu("80CADF71000000");
    assert_eq!(sw, "9000");
    assert!(response.len() / 2 > 500 && response.contains(&hex(b"long-11.batch")), "{response}");
    // 300 bytes of data for a command that the card refuses, and answers.
    let (sw, _) = card.apdu(&format!("80E2000000012C{}", "00".repeat(300)));
    assert!(sw.starts_with('6'), "{sw}");
    let text = card.ctl(&["apdu", "00A4040000", "0084"]).fails("").stderr;
    assert!(text.contains("4 to 65544 bytes"), "{text}");
}

#[test]
fn a_dialogue_keeps_others_out_until_its_file_is_closed() {
    let card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    let client = card.client();
    let ticket = client.transmit(&[0x00, 0xA4, 0x04, 0x00, 0x00]).unwrap();
    assert_eq!(client.wait(ticket, Some(LIMIT)).unwrap().sw, 0x9000);

    assert!(matches!(card.client().start(&start("ndef.batch")), Err(ClientError::Busy { .. })));
    assert!(matches!(card.client().transmit(&[0x00, 0xA4, 0x04, 0x00, 0x00]), Err(ClientError::Busy { .. })));
    card.copy(batch::wallet(), "wallet.batch").fails("Device or resource busy");
    card.shell("rm $CARD/issue/ndef.batch").fails("Device or resource busy");
    assert_eq!(card.batches().len(), 1, "looking is possible");
    let ticket = client.transmit(&[0x00, 0xA4, 0x04, 0x00, 0x00]).unwrap();
    assert_eq!(client.wait(ticket, Some(LIMIT)).unwrap().sw, 0x9000, "the dialogue goes on");

    let text = card.ctl(&["start", "ndef.batch"]).expect(1).stderr;
    assert!(text.contains("another program is in a dialogue with the card"), "{text}");
    drop(client);
    let free = until(LIMIT, || card.copy(batch::wallet(), "wallet.batch").code == 0);
    assert!(free, "the file was closed");
    card.ctl(&["start", "ndef.batch"]).ok();
}

/// A `smcardctl start` that waits for a long issue, and the card that issues.
fn waiting(milliseconds: u32, commands: usize) -> (Mounted, Child) {
    let card = Setup::new().slow(milliseconds).mount();
    card.put(&batch::long(commands), "long.batch");
    let mut command = card.ctl_command(&["start", "long.batch"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let issuing = until(LIMIT, || card.value("status").starts_with("issuing"));
    assert!(issuing, "{}", card.value("status"));
    // It submits first and waits then.
    std::thread::sleep(Duration::from_millis(50));
    (card, child)
}

fn end(mut child: Child, signal: Signal) -> (i32, Duration, String) {
    let begun = Instant::now();
    kill_process(Pid::from_child(&child), signal).unwrap();
    let status = run::wait(&mut child, Duration::from_secs(5)).expect("it cannot be ended");
    let took = begun.elapsed();
    let mut said = String::new();
    std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
    (run::code(status), took, said)
}

#[track_caller]
fn goes_on(card: &Mounted, commands: usize) {
    assert!(card.value("status").starts_with("issuing"), "the issue goes on: {}", card.value("status"));
    let report: Value = card.json(&["wait"]);
    assert_eq!((&report["state"], &report["given"]), (&json!("done"), &json!(commands)), "{report}");
}

#[test]
fn ctrl_c_detaches_and_the_card_goes_on() {
    let (card, child) = waiting(40, 20);
    let (code, took, said) = end(child, Signal::INT);
    assert_eq!(code, 130);
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(said.contains("detached: the card goes on; 'smcardctl wait'"), "{said}");
    goes_on(&card, 20);
}

#[test]
fn kill_ends_a_waiting_client_at_once_and_the_card_goes_on() {
    let (card, child) = waiting(40, 20);
    let (code, took, _) = end(child, Signal::KILL);
    assert_eq!(code, 137);
    assert!(took < Duration::from_millis(500), "{took:?}");
    goes_on(&card, 20);
}

#[test]
fn kill_ends_a_waiting_wait() {
    let (card, starter) = waiting(40, 20);
    let mut command = card.ctl_command(&["wait"]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(end(child, Signal::INT).0, 130);
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(end(child, Signal::KILL).0, 137);
    goes_on(&card, 20);
    assert_eq!(run::code(starter.wait_with_output().unwrap().status), 0, "the one that was left alone sees the end");
}

#[test]
fn reset_breaks_an_issue_off_and_start_goes_on() {
    let card = Setup::new().recovery("command").slow(50).mount();
    card.put(&batch::long(40), "long.batch");
    let client = card.client();
    let ticket = client.start(&start("long.batch")).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    card.ctl(&["reset"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let outcome = client.wait(ticket, Some(LIMIT)).unwrap();
    assert_eq!(outcome.state, OperationState::Failed);
    assert_ne!(outcome.error, 0, "the card did not answer: {outcome:?}");
    let status = card.json(&["status"]);
    assert_eq!(status["interrupted"], true, "{status}");
    let report = card.json(&["start", "long.batch"]);
    assert_eq!((&report["state"], &report["given"]), (&json!("done"), &json!(40)), "{report}");
    assert_eq!(card.json(&["status"])["interrupted"], false);
}

#[test]
fn preparers_write_operators_start_and_neither_can_do_the_other() {
    let card = Setup::new().groups("users", "games").mount();
    card.file("ndef.batch", batch::ndef());
    let denied = "Permission denied";

    as_nobody(&card, "", "cp ndef.batch $CARD/issue/").fails(denied);
    as_nobody(&card, "", "ls $CARD/issue").fails(denied);
    as_nobody(&card, "", "smcardctl start").expect(4).fails("not permitted");
    let looked = as_nobody(&card, "", "cat $CARD/status $CARD/card/life_cycle; ls $CARD/apps").ok();
    assert!(looked.stdout.starts_with("ready\n"), "everybody may look: {looked:?}");

    as_nobody(&card, "users", "cp ndef.batch $CARD/issue/").ok();
    as_nobody(&card, "users", "smcardctl start").expect(4).fails("not permitted");
    as_nobody(&card, "users", "cat $CARD/issue/ndef.batch").fails(denied);
    as_nobody(
        &card,
        "users",
        "mv $CARD/issue/ndef.batch $CARD/issue/n && rm $CARD/issue/n && cp ndef.batch $CARD/issue",
    )
    .ok();

    as_nobody(&card, "games", "ls $CARD/issue").fails(denied);
    as_nobody(&card, "games", "cp ndef.batch $CARD/issue/").fails(denied);
    let report = as_nobody(&card, "games", "smcardctl start --json").ok().json();
    assert_eq!((&report["state"], &report["exchanges"]), (&json!("done"), &json!(2)), "{report}");
    as_nobody(&card, "games", "smcardctl status").ok();

    let owners = card.shell("stat -c '%a %U:%G' $CARD/issue $CARD/control $CARD/issue/ndef.batch $CARD/status").ok();
    assert_eq!(owners.stdout, "770 root:users\n660 root:games\n220 nobody:users\n444 root:root\n");
}

#[test]
fn without_groups_a_card_is_for_who_mounted_it() {
    let card = Setup::new().mount();
    as_nobody(&card, "", "cat $CARD/status").fails("Permission denied");
    as_nobody(&card, "", "smcardctl status").expect(4);
}
