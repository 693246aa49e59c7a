//! What bad input gets: a clear refusal, and nothing else changes.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use smcard_tests::mounted::hex;
use smcard_tests::run::{run, until};
use smcard_tests::setup::Keys;
use smcard_tests::{Mounted, Setup, batch, daemon, damage};

/// Reason of the last upload's refusal, as `smcardctl status` has it.
#[track_caller]
fn upload_error(card: &Mounted) -> String {
    card.json(&["status"])["upload_error"].as_str().unwrap_or_default().to_owned()
}

/// GET DATA of the SCP03 sequence counter, which every INITIALIZE UPDATE counts up.
#[track_caller]
fn sequence_counter(card: &Mounted) -> u64 {
    let (sw, response) = card.apdu("80CA00C100");
    assert_eq!(sw, "9000");
    // C1 03 counter
    u64::from_str_radix(response.strip_prefix("C103").unwrap(), 16).unwrap()
}

/// What the card says of its store, issue, memory and state, without keys.
#[track_caller]
fn fingerprint(card: &Mounted) -> Vec<(String, String)> {
    let answers = ["80CADF71000000", "80CADF7200", "80CADF7300", "80CADF7400"].map(|command| card.apdu(command));
    assert!(answers.iter().all(|(sw, data)| sw == "9000" && !data.is_empty()), "{answers:?}");
    answers.into()
}

#[test]
fn every_kind_of_damage_is_refused_by_cp_and_named_with_its_offset() {
    let card = Setup::new().mount();
    card.put(batch::ndef(), "earlier.batch");
    let (batches, free) = (card.batches(), card.value("card/free_bytes"));
    for damaged in damage::all() {
        let fault = damaged.fault;
        card.copy(&damaged.bytes, "damaged.batch").fails("Bad message");
        let reason = format!("damaged.batch: {fault}");
        assert_eq!(upload_error(&card), reason);
        let line = card.value("status");
        assert!(line.ends_with(&format!("; last upload refused: {reason}")), "{line}");
        assert!(card.log().contains(&reason.replacen(':', ": upload refused:", 1)), "{reason}: {}", card.log());
        assert_eq!(card.value("card/last_error"), reason);
        assert_eq!(card.batches(), batches, "{fault:?}");
        assert_eq!(card.value("card/free_bytes"), free, "{fault:?}");
        let text = card.ctl(&["status"]).ok().stdout;
        assert!(text.contains("last upload ") && text.contains(&format!(" refused: {reason}\n")), "{text}");
    }
    card.put(batch::again_small(), "good.batch");
    assert_eq!(upload_error(&card), "", "one that was taken ends the story");
    card.ctl(&["start", "earlier.batch"]).ok();
}

#[test]
fn a_batch_that_is_cut_short_is_refused_by_the_close() {
    let card = Setup::new().mount();
    let batch = batch::ndef();
    let length = batch.len();
    for received in [1, 4, 15, 16, 17, 20, length / 2, length - 1] {
        let error = card.copy(&batch[..received], "cut.batch").fails("Bad message");
        assert!(error.stderr.contains("failed to close"), "{}", error.stderr);
        let total = if received < 16 { 16 } else { length };
        assert_eq!(upload_error(&card), format!("cut.batch: cut short after {received} of {total} bytes"));
        assert_eq!(card.batches(), []);
    }
}

#[test]
fn a_shell_that_ignores_the_close_is_told_by_status_alone() {
    // The builtins of bash and dash do not look at what close(2) says, so they cannot show it.
    let card = Setup::new().mount();
    assert_eq!(card.shell("printf SMC > $CARD/issue/cut.batch").code, 0);
    assert_eq!(upload_error(&card), "cut.batch: cut short after 3 of 16 bytes");
    assert_eq!(card.batches(), []);
}

#[test]
fn a_writer_that_is_killed_leaves_nothing() {
    let card = Setup::new().mount();
    let file = card.file("half", &batch::wallet()[..30_000]);
    let script = format!("exec 3> $CARD/issue/half.batch; cat {} >&3; kill -9 $$", file.display());
    assert_eq!(card.shell(&script).code, 137);
    // The kernel tells the last close when it gets round to it.
    assert!(until(Duration::from_secs(5), || card.batches().is_empty()), "{:?}", card.batches());
    assert_eq!(upload_error(&card), format!("half.batch: cut short after 30000 of {} bytes", batch::wallet().len()));
}

#[test]
fn without_authentication_nothing_can_be_written() {
    let card = Setup::new().keys(Keys::Manual).mount();
    let error = card.copy(batch::ndef(), "ndef.batch").fails("Permission denied");
    assert!(error.stderr.contains("cannot create"), "said when the file is opened: {}", error.stderr);
    assert_eq!(card.batches(), []);
    let line = card.value("status");
    assert!(line.contains("not authenticated") && line.contains("authenticate"), "{line}");
    assert_eq!(card.value("card/security_level"), "00");

    card.ctl(&["authenticate"]).ok();
    assert_eq!(card.value("status"), "authenticated");
    assert_eq!(card.value("card/security_level"), "33");
    card.put(batch::ndef(), "ndef.batch");
    card.ctl(&["start"]).ok();
}

#[test]
fn a_full_card_takes_no_more_and_keeps_what_it_has() {
    let card = Setup::new().size("2M").mount();
    card.put(batch::ndef(), "ndef.batch");
    let free: usize = card.value("card/largest_free_bytes").parse().unwrap();
    let large = batch::filler(free + 1);
    let error = card.copy(&large, "large.batch").fails("No space left on device");
    assert!(error.stderr.contains("error writing"), "said by the first write: {}", error.stderr);
    assert!(upload_error(&card).starts_with("large.batch: no room for "), "{}", upload_error(&card));

    let mut files = 0;
    let part = batch::filler(free / 4);
    let full = loop {
        let output = card.copy(&part, &format!("part{files}.batch"));
        if output.code != 0 || files > 8 {
            break output;
        }
        files += 1;
    };
    full.fails("No space left on device");
    assert!((3..=4).contains(&files), "{files} of a quarter each");
    let names: Vec<String> = card.batches().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), files + 1, "{names:?}");
    card.ctl(&["start", "ndef.batch"]).ok();
    card.shell("rm $CARD/issue/part0.batch").ok();
    card.put(&part, "again.batch");
}

#[test]
fn statfs_tells_what_fits() {
    let card = Setup::new().size("4M").mount();
    let blocks = |card: &Mounted| -> Vec<u64> {
        let output = card.shell("stat -f -c '%b %f %S' $CARD").ok().stdout;
        output.split_whitespace().map(|number| number.parse().unwrap()).collect()
    };
    let [total, free, size] = blocks(&card)[..] else { panic!("three numbers") };
    assert_eq!(size, 4096);
    assert_eq!(total * size, card.value("card/capacity_bytes").parse::<u64>().unwrap() / size * size);
    card.put(&batch::filler(1 << 20), "a.batch");
    let after = blocks(&card)[1];
    assert!(free - after >= 256 && free - after <= 300, "{free} -> {after}");
    assert_eq!(after * size, card.value("card/free_bytes").parse::<u64>().unwrap() / size * size);
}

#[test]
fn a_wrong_key_is_tried_once_and_never_again_unasked() {
    let mut card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    card.remount_as(Setup::new().keys(Keys::Wrong));
    let before = sequence_counter(&card);
    let state = fingerprint(&card);
    for name in ["a", "b", "c"] {
        card.copy(batch::ndef(), name).fails("Permission denied");
    }
    card.shell("rm $CARD/issue/ndef.batch").fails("Permission denied");
    card.shell("mv $CARD/issue/ndef.batch $CARD/issue/x").fails("Permission denied");
    assert_eq!(card.names("apps"), Vec::<String>::new());
    let line = card.value("status");
    assert!(line.contains("not authenticated") && line.contains("key"), "{line}");
    assert_eq!(sequence_counter(&card), before + 1, "one try");
    assert_eq!(fingerprint(&card), state, "nothing but the counter has changed");
    let log = card.log();
    assert_eq!(log.matches("not tried again until AUTHENTICATE asks for it").count(), 1, "{log}");
    assert!(!log.contains("FF41424344"), "keys are never told: {log}");

    let text = card.ctl(&["authenticate"]).expect(4).stderr;
    assert!(text.contains("the card has other keys"), "{text}");
    assert_eq!(sequence_counter(&card), before + 2, "asked for, so tried once more");
    card.remount_as(Setup::new().keys(Keys::Right));
    card.shell("rm $CARD/issue/ndef.batch").ok();
    assert_eq!(card.json(&["status"])["test_keys"], true, "well known, wherever they come from");
}

#[test]
fn a_wrong_key_changes_no_byte_but_the_counter() {
    let mut card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    card.unmount();
    let before = fs::read(card.image()).unwrap();
    card.mount();
    card.remount_as(Setup::new().keys(Keys::Wrong));
    card.copy(batch::ndef(), "other.batch").fails("Permission denied");
    card.unmount();
    let after = fs::read(card.image()).unwrap();
    assert_eq!(before.len(), after.len());
    let pages = before.chunks(4096).zip(after.chunks(4096)).filter(|(before, after)| before != after).count();
    assert!(pages <= 2, "{pages} pages of the image have changed; the counter needs one record of the journal");
}

#[test]
fn a_key_file_that_others_can_read_is_refused_at_start() {
    let mut card = Mounted::unmounted(Setup::new().keys(Keys::Right));
    let keys = card.folder().join("keys");
    for (mode, words) in [(0o644, "chmod 0600"), (0o660, "chmod 0600"), (0o601, "chmod 0600")] {
        fs::set_permissions(&keys, fs::Permissions::from_mode(mode)).unwrap();
        let log = card.try_mount().unwrap_err();
        assert!(log.contains(&keys.display().to_string()) && log.contains(words), "{mode:o}: {log}");
        assert_eq!(card.mounts(), []);
    }
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    for (text, words) in [
        ("enc = \"404142434445464748494A4B4C4D4E4F\"\n", "mac"),
        ("enc = \"40\"\n", "line 1"),
        ("# keys\n\nmac = \"404142434445464748494A4B4C4D4E4X\"\n", "line 3"),
        ("", "enc"),
    ] {
        fs::write(&keys, text).unwrap();
        let log = card.try_mount().unwrap_err();
        let said = log.lines().last().unwrap();
        assert!(said.contains(words), "{text:?}: {said}");
        assert!(!log.contains("404142"), "{log}");
    }
    fs::remove_file(&keys).unwrap();
    assert!(card.try_mount().unwrap_err().contains("No such file"));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_with_its_line() {
    let mut card = Mounted::unmounted(Setup::new());
    for (text, words) in [
        ("[session]\n\nlevel = \"44\"\n", "line 3"),
        ("[session]\nlevels = \"33\"\n", "levels"),
        ("[rights]\npreparer_group = \"no-such-group\"\n", "no-such-group"),
        ("[keys\n", "line 1"),
    ] {
        fs::write(card.config(), text).unwrap();
        let log = card.try_mount().unwrap_err();
        assert!(log.lines().any(|line| line.contains(words)), "{text:?}: {log}");
        assert_eq!(card.mounts(), []);
    }
}

/// Tries to mount what stands where the image was, which must fail with these words and change no byte of it.
#[track_caller]
fn refused(card: &mut Mounted, words: &[&str]) {
    let image = card.image();
    let before = image.is_file().then(|| fs::read(&image).unwrap());
    let log = card.try_mount().unwrap_err();
    let said = log.lines().last().unwrap_or_default();
    for words in words {
        assert!(said.contains(words), "without {words:?}: {log}");
    }
    assert!(said.contains(&image.display().to_string()), "the image is named: {said}");
    assert_eq!(card.mounts(), []);
    assert_eq!(before, image.is_file().then(|| fs::read(&image).unwrap()), "a byte has changed");
}

#[test]
fn what_is_no_card_image_is_refused_and_not_touched() {
    let mut card = Mounted::unmounted(Setup::new().size("1M"));
    let image = card.image();
    let good = fs::read(&image).unwrap();

    fs::write(&image, vec![0x5A; 1 << 20]).unwrap();
    refused(&mut card, &["not a card image"]);
    fs::write(&image, "").unwrap();
    refused(&mut card, &[]);
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    refused(&mut card, &["never completely made"]);
    fs::write(&image, &good[..good.len() / 2]).unwrap();
    refused(&mut card, &["524288 bytes"]);
    fs::write(&image, &good[..100]).unwrap();
    refused(&mut card, &[]);
    fs::write(&image, [&good[..], &[0]].concat()).unwrap();
    refused(&mut card, &["1048577 bytes"]);

    // Both superblocks say version 2, with checksums that are right.
    let mut next = good.clone();
    for start in [0, 4096] {
        let page = &mut next[start..start + 4096];
        page[8..12].copy_from_slice(&2_u32.to_be_bytes());
        let checksum = crc::Crc::<u64>::new(&crc::CRC_64_XZ).checksum(&page[..4088]);
        page[4088..].copy_from_slice(&checksum.to_be_bytes());
    }
    fs::write(&image, &next).unwrap();
    refused(&mut card, &["version 2", "1"]);
    let mut damaged = good.clone();
    damaged[16] ^= 1;
    fs::write(&image, &damaged).unwrap();
    refused(&mut card, &["superblock at offset 0 is damaged"]);

    fs::remove_file(&image).unwrap();
    refused(&mut card, &["No such file"]);
    fs::create_dir(&image).unwrap();
    refused(&mut card, &["directory"]);
    fs::remove_dir(&image).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &image, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    refused(&mut card, &[]);
    fs::remove_file(&image).unwrap();

    fs::write(&image, &good).unwrap();
    card.mount();
    assert_eq!(card.value("status"), "ready");
}

#[test]
fn an_image_in_use_is_refused_and_its_holder_named() {
    let mut card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    let pid = card.daemon().pid();
    let elsewhere = card.scratch().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mut second = daemon::program();
    second.arg(card.source()).arg(&elsewhere).arg("-f");
    let output = run(&mut second);
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains(&pid.to_string()), "the holder, {pid}, is not named: {}", output.stderr);
    assert!(output.stderr.contains("in use"), "{}", output.stderr);
    card.ctl(&["start"]).ok();
    assert_eq!(card.batches().len(), 1);
}

#[test]
fn create_never_overwrites() {
    let card = Mounted::unmounted(Setup::new().size("1M"));
    let image = card.image();
    let before = fs::read(&image).unwrap();
    let create = |arguments: &[&str]| run(daemon::program().arg("create").args(arguments).current_dir(card.scratch()));
    create(&[image.to_str().unwrap()]).fails("exists");
    assert_eq!(fs::read(&image).unwrap(), before);
    for size in ["0", "1", "1K", "99999999999999999999", "12X"] {
        assert_ne!(create(&["new.img", "--size", size]).code, 0, "{size}");
        assert!(!card.scratch().join("new.img").exists(), "{size}");
    }
    create(&["no/folder/new.img"]).fails("No such file");
    create(&["new.img", "--recovery", "sometimes"]).fails("restart, command or function");
    create(&["new.img", "--size", "1M"]).ok();
    assert_eq!(fs::metadata(card.scratch().join("new.img")).unwrap().len(), 1 << 20);
    let mode = fs::metadata(card.scratch().join("new.img")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the image holds keys and batches; mode {mode:o}");
}

#[test]
fn a_batch_is_never_read_back() {
    let card = Setup::new().mount();
    card.put(batch::ndef(), "ndef.batch");
    let path = card.path("issue/ndef.batch");
    let error = fs::read(&path).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    card.shell("head -c 1 $CARD/issue/ndef.batch").fails("Permission denied");
    card.shell("dd if=$CARD/issue/ndef.batch bs=1 skip=100 count=1 status=none").fails("Permission denied");
    // Nor through the card's own interface: neither SELECT of a file nor READ BINARY or READ RECORD knows it.
    for command in ["00A4000C020001", "00B0000000", "00B0810000", "00B2010400"] {
        let (sw, response) = card.apdu(command);
        assert!(sw.starts_with('6'), "{command}: {sw}");
        assert_eq!(response, "");
    }
    // The table of files tells name, size, state and number of commands, and no byte of what they hold.
    let (_, table) = card.apdu("80CADF71000000");
    assert!(table.contains(&hex(b"ndef.batch")), "{table}");
    assert!(!table.contains(&hex(b"SMCB")), "{table}");
}
