//! Who may do what on a mounted card: every role tries every operation. The table is that of `docs/ROLES.md`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::fs;

use smcard_tests::people::as_nobody;
use smcard_tests::{Mounted, Output, Setup, batch, binaries};

/// Who tries, and in which groups: the test has Debian's `users` for preparers and `games` for operators.
const ROLES: [(&str, &str); 4] =
    [("nobody", ""), ("preparer", "users"), ("operator", "games"), ("both", "users,games")];

/// The roles that may, in the order of [`ROLES`].
type May = [bool; 4];
const ALL: May = [true; 4];
const NONE: May = [false; 4];
const PREPARERS: May = [false, true, false, true];
const OPERATORS: May = [false, false, true, true];

struct Operation {
    /// For the table.
    name: &'static str,
    /// How the page says it is done; what is run, with `$CARD` for the mount.
    script: &'static str,
    /// Run before by who mounted the card.
    before: &'static str,
    may: May,
}

const fn operation(name: &'static str, script: &'static str, before: &'static str, may: May) -> Operation {
    Operation { name, script, before, may }
}

const PUT: &str = "cp again.batch $CARD/issue/app.batch";

const OPERATIONS: [Operation; 22] = [
    operation("write a batch", "cp app.batch $CARD/issue/", "", PREPARERS),
    operation("list the batches", "ls $CARD/issue", "", PREPARERS),
    operation("read a batch back", "cat $CARD/issue/app.batch", PUT, NONE),
    operation("rename a batch", "mv $CARD/issue/app.batch $CARD/issue/a.batch", PUT, PREPARERS),
    operation("remove a batch", "rm -f $CARD/issue/app.batch && test ! -e $CARD/issue/app.batch", PUT, PREPARERS),
    operation("start", "smcardctl start app.batch", PUT, OPERATORS),
    operation("clear", "smcardctl clear", "", OPERATORS),
    operation(
        "confirm",
        "smcardctl confirm",
        "cp confirmed.batch $CARD/issue/ && smcardctl start confirmed.batch",
        OPERATORS,
    ),
    operation("reset", "smcardctl reset", "", OPERATORS),
    operation("send APDUs", "smcardctl apdu 00A4040000", "", OPERATORS),
    operation("authenticate the daemon", "smcardctl authenticate", "", OPERATORS),
    operation("wait for an issue", "smcardctl wait", "smcardctl clear", OPERATORS),
    operation("see the trace", "smcardctl trace", "", OPERATORS),
    operation("record", "echo stop > $CARD/record", "", OPERATORS),
    operation("read a recording", "cat $CARD/record", "", OPERATORS),
    operation("see what a recording left out", "cat $CARD/record.log", "", OPERATORS),
    operation("see the status line", "cat $CARD/status", "", ALL),
    operation("see the whole status", "smcardctl status", "", OPERATORS),
    operation("see the card's values", "cat $CARD/card/life_cycle", "", ALL),
    operation("see the applications", "smcardctl apps", "", ALL),
    operation("plan a batch", "smcardctl plan wallet.batch", "", ALL),
    operation("make things outside issue/", "touch $CARD/new || mkdir $CARD/apps/new", "", NONE),
];

fn card() -> Mounted {
    let sections = "record = true\n[terminal]\nconfirm = \"manual\"\n";
    let card = Setup::new().groups("users", "games").configured(sections).mount();
    card.file("app.batch", batch::again_small());
    card.file("again.batch", batch::again_small());
    card.file("wallet.batch", batch::wallet());
    card.file("confirmed.batch", batch::confirmed());
    card
}

/// True where it was done, false where rights stood in the way; anything else is neither.
#[track_caller]
fn was_done(tried: &Output, what: &str) -> bool {
    let rights = ["Permission denied", "not permitted"].iter().any(|text| tried.stderr.contains(text));
    match tried.code {
        0 => true,
        _ if rights => false,
        _ => panic!("{what}: neither done nor denied: {tried:?}"),
    }
}

fn every_operation(role: usize) {
    let (name, groups) = ROLES[role];
    let card = card();
    let mut wrong = Vec::new();
    for Operation { name: operation, script, before, may } in OPERATIONS {
        if !before.is_empty() {
            card.shell(before).ok();
        }
        let what = format!("{name}: {operation}");
        let done = was_done(&as_nobody(&card, groups, script), &what);
        if done != may[role] {
            wrong.push(format!("{what}: {}", if done { "done" } else { "denied" }));
        }
        // The table is what the card looks like to the next one.
        card.shell("rm -f $CARD/issue/a.batch $CARD/issue/app.batch").ok();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nobody_may_only_look() {
    every_operation(0);
}

#[test]
fn preparers_may_bring_batches_and_nothing_else() {
    every_operation(1);
}

#[test]
fn operators_may_operate_and_never_see_a_batch() {
    every_operation(2);
}

#[test]
fn who_is_both_may_do_what_each_may() {
    every_operation(3);
}

#[test]
fn a_file_given_to_its_group_gives_no_rights_to_change_it() {
    // chmod and chown of a batch are taken and ignored for its owner; of anything else they are refused.
    let card = card();
    as_nobody(&card, "users", "cp app.batch $CARD/issue/ && chmod 777 $CARD/issue/app.batch").ok();
    let modes = card.shell("stat -c %a $CARD/issue/app.batch").ok().stdout;
    assert_eq!(modes, "220\n");
    for script in ["chmod 777 $CARD/issue", "chmod 666 $CARD/control", "chgrp users $CARD/control"] {
        as_nobody(&card, "users,games", script).fails("not permitted");
    }
}

/// The table as the page has it.
fn table() -> String {
    let mut table =
        String::from("| operation | as | nobody | preparer | operator | both |\n|---|---|---|---|---|---|\n");
    for Operation { name, script, may, .. } in OPERATIONS {
        let script = script.split([';', '|', '&']).next().unwrap_or_default().trim();
        let cells = may.map(|may| if may { "yes" } else { "no" }).join(" | ");
        writeln!(table, "| {name} | `{script}` | {cells} |").unwrap();
    }
    table
}

#[test]
fn the_page_has_this_table() {
    let path = binaries::source("docs/ROLES.md");
    let page = fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once("<!-- table -->\n").unwrap();
    let (_, tail) = rest.split_once("<!-- end of table -->").unwrap();
    let new = format!("{head}<!-- table -->\n{}<!-- end of table -->{tail}", table());
    if std::env::var_os("SMCARD_UPDATE_DOCS").is_some() {
        return fs::write(&path, &new).unwrap();
    }
    assert!(page == new, "docs/ROLES.md is old: SMCARD_UPDATE_DOCS=1 cargo test -p smcard-tests --test roles");
}
