//! The whole way on a real mount: look, copy, start, fetch.

mod common;

use common::{PATIENCE, Place, batch, run};
use smcard_ioctl::{CardState, OperationState, Selector, StartRequest, abi};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

fn by_name(name: &str) -> StartRequest {
    StartRequest { selector: Selector::Name(name.into()), ..StartRequest::default() }
}

#[test]
fn the_tree_has_its_names_and_modes() {
    let place = Place::new();
    let card = place.mount(&[]);
    let mode = |path: &str| fs::metadata(card.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("issue"), 0o770);
    assert_eq!(mode("control"), 0o660);
    assert_eq!((mode("status"), mode("card"), mode("card/cid"), mode("apps")), (0o444, 0o555, 0o444, 0o555));
    assert_eq!(card.read("status"), "ready");
    assert_eq!(card.read("card/recovery"), "function");
    assert_eq!(card.read("card/cid").len(), 32);
    assert!(card.number("card/free_bytes") > 7 << 20);
    let apps = fs::read_dir(card.path("apps")).unwrap().count();
    assert_eq!(apps, 1);
    let df = run(Command::new("df").args(["--output=fstype,size", "-B1"]).arg(&card.mountpoint));
    let df = String::from_utf8(df.stdout).unwrap();
    assert!(df.contains("fuse.smcardd"), "{df}");
    assert!(place.is_mounted());
    let said = card.stop();
    assert!(said.contains("well-known test keys"), "{said}");
    assert!(!place.is_mounted());
}

#[test]
fn copy_and_start_are_two_exchanges() {
    let place = Place::new();
    let card = place.mount(&[]);
    let source = place.dir.path().join("source.batch");
    fs::write(&source, batch(2000)).unwrap();
    fs::copy(&source, card.path("issue/first.batch")).unwrap();
    let before = card.number("card/exchanges");
    fs::copy(&source, card.path("issue/app.batch")).unwrap();
    let stat = fs::metadata(card.path("issue/app.batch")).unwrap();
    assert_eq!((stat.len(), stat.mode() & 0o777, stat.blksize()), (batch(2000).len() as u64, 0o220, 1 << 20));
    let client = card.client();
    let ticket = client.start(&by_name("app.batch")).unwrap();
    let outcome = client.wait(ticket, Some(PATIENCE)).unwrap();
    assert_eq!((outcome.state, outcome.sw, outcome.given, outcome.total), (OperationState::Done, 0x9000, 2000, 2000));
    assert_eq!(outcome.exchanges, 2);
    assert_eq!(card.number("card/exchanges") - before, 2);
    let status = client.status().unwrap();
    assert_eq!((status.state, status.issue_exchanges), (CardState::Done, 2));
    assert!(card.read("status").starts_with("done app.batch: 2000 commands, 2 exchanges"));
    assert!(fs::read(card.path("issue/app.batch")).is_err(), "a batch is never read back");
}

#[test]
fn what_was_stored_is_there_after_the_next_mount() {
    let place = Place::new();
    let card = place.mount(&[]);
    fs::write(card.path("issue/kept.batch"), batch(7)).unwrap();
    let cid = card.read("card/cid");
    card.stop();
    let card = place.mount(&[]);
    assert_eq!(card.read("card/cid"), cid);
    assert_eq!(fs::metadata(card.path("issue/kept.batch")).unwrap().len(), batch(7).len() as u64);
    let client = card.client();
    let outcome = client.wait(client.start(&StartRequest::default()).unwrap(), Some(PATIENCE)).unwrap();
    assert_eq!((outcome.sw, outcome.given, outcome.exchanges), (0x9000, 7, 1), "the upload was another mount's");
    fs::remove_file(card.path("issue/kept.batch")).unwrap();
    assert_eq!(fs::read_dir(card.path("issue")).unwrap().count(), 0);
}

#[test]
fn a_damaged_batch_is_refused_by_write_and_named_by_status() {
    let place = Place::new();
    let card = place.mount(&[]);
    let mut damaged = batch(400);
    damaged[3000] ^= 0x40;
    let source = place.dir.path().join("damaged");
    fs::write(&source, &damaged).unwrap();
    let copied = run(Command::new("cp").arg(&source).arg(card.path("issue/app.batch")));
    assert!(!copied.status.success());
    assert!(String::from_utf8(copied.stderr).unwrap().contains("Bad message"));
    assert_eq!(fs::read_dir(card.path("issue")).unwrap().count(), 0);
    let expected = "app.batch: offset 12: the checksum does not match: the file is damaged";
    assert_eq!(card.client().status().unwrap().upload_error, expected);
    assert_eq!(card.read("card/last_error"), expected);
    let shell = run(Command::new("sh").arg("-c").arg("echo hello > issue/x").current_dir(&card.mountpoint));
    assert!(!shell.status.success(), "the shell sees it as well");
    let said = card.stop();
    assert!(said.contains(&format!("issue/{}", expected.replace(": offset", ": upload refused: offset"))), "{said}");
}

#[test]
fn long_writes_are_passed_on_whole_and_in_order() {
    let place = Place::of_size("32M");
    let card = place.mount(&[]);
    let big = batch(900_000);
    assert!(big.len() > 8 << 20);
    for step in [1 << 20, 131_072, 65_537] {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(card.path("issue/big")).unwrap();
        for piece in big.chunks(step) {
            file.write_all(piece).unwrap();
        }
        file.sync_all().unwrap();
        drop(file);
        assert_eq!(fs::metadata(card.path("issue/big")).unwrap().len(), big.len() as u64, "step {step}");
    }
    assert_eq!(card.client().status().unwrap().upload_error, "");
}

#[test]
fn programs_wait_in_poll_and_see_the_state_change() {
    let place = Place::new();
    let config = place.config("[emulated]\ncommand_delay_ms = 20\n");
    let card = place.mount(&["--config", config.to_str().unwrap()]);
    fs::write(card.path("issue/slow"), batch(25)).unwrap();
    let (client, watcher) = (card.client(), card.client());
    watcher.status().unwrap();
    let ticket = client.start(&by_name("slow")).unwrap();
    watcher.wait_for_state_change(PATIENCE).unwrap();
    assert_eq!(watcher.status().unwrap().state, CardState::Issuing);
    assert!(card.read("status").starts_with("issuing slow for "));
    assert!(client.result(ticket).is_err(), "it has not ended");
    let refused = fs::write(card.path("issue/other"), batch(1)).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::BUSY.raw_os_error()));
    let outcome = client.wait(ticket, Some(PATIENCE)).unwrap();
    assert_eq!((outcome.state, outcome.given), (OperationState::Done, 25));
    assert!(outcome.duration >= Duration::from_millis(400), "{:?}", outcome.duration);
}

#[test]
fn a_long_response_travels_by_read() {
    let place = Place::new();
    let card = place.mount(&[]);
    for n in 0..20 {
        fs::write(card.path(&format!("issue/a-rather-long-name-of-batch-number-{n}")), batch(1)).unwrap();
    }
    let client = card.client();
    let ticket = client.transmit(&[0x80, 0xCA, 0xDF, 0x71, 0, 0, 0]).unwrap();
    let outcome = client.wait(ticket, Some(PATIENCE)).unwrap();
    assert_eq!(outcome.sw, 0x9000);
    let response = outcome.response.as_bytes();
    assert!(response.len() > abi::SHORT_RESPONSE_MAX);
    assert!(response.ends_with(&[0x90, 0x00]));
}

#[test]
fn strangers_are_kept_out_by_their_rights() {
    let place = Place::new();
    fs::set_permissions(place.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let card = place.mount(&["-o", "allow_other"]);
    fs::write(card.path("issue/app"), batch(1)).unwrap();
    let nobody = |script: &str| {
        run(Command::new("sh").arg("-c").arg(script).current_dir(&card.mountpoint).uid(65534).gid(65534))
    };
    let looked = nobody("cat status card/life_cycle && ls apps");
    assert!(looked.status.success(), "{looked:?}");
    for forbidden in ["ls issue", "echo > issue/x", "rm -f issue/app", "exec 3<>control", "cat control"] {
        let tried = nobody(forbidden);
        let said = String::from_utf8(tried.stderr).unwrap();
        assert!(!tried.status.success() && said.contains("ermission denied"), "{forbidden}: {said}");
    }
}

#[test]
fn preparers_and_operators_have_their_own_doors() {
    let place = Place::new();
    fs::set_permissions(place.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let config = place.config("[rights]\npreparer_group = \"4001\"\noperator_group = \"4002\"\n");
    let card = place.mount(&["--config", config.to_str().unwrap()]);
    let source = place.dir.path().join("app.batch");
    fs::write(&source, batch(1)).unwrap();
    fs::set_permissions(&source, PermissionsExt::from_mode(0o644)).unwrap();
    let member = |gid: u32, script: &str| {
        run(Command::new("sh").arg("-c").arg(script).current_dir(&card.mountpoint).uid(4000).gid(gid)).status.success()
    };
    assert!(member(4001, "cp -p ../app.batch issue/ && rsync -a ../app.batch issue/second"));
    assert_eq!(fs::metadata(card.path("issue/app.batch")).unwrap().uid(), 4000);
    assert!(!member(4001, "exec 3<>control"));
    assert!(member(4002, "exec 3<>control"));
    assert!(!member(4002, "cp ../app.batch issue/third"));
}
