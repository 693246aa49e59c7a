//! How the daemon comes and goes.

mod common;

use common::{Mounted, PATIENCE, Place, batch, mounts_at, run, smcardd};
use smcard_ioctl::{CardState, StartRequest};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SLOW: &str = "[emulated]\ncommand_delay_ms = 50\n";

#[test]
fn a_signal_unmounts_though_a_file_is_open() {
    let place = Place::new();
    for signal in ["TERM", "INT", "HUP"] {
        let mut card = place.mount(&[]);
        let _open = File::open(card.path("status")).unwrap();
        let begun = Instant::now();
        card.signal(signal);
        assert!(card.ended().success(), "{signal}: {}", card.said());
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(!place.is_mounted(), "{signal}");
    }
}

#[test]
fn a_signal_breaks_a_running_issue_off_and_the_next_mount_knows() {
    let place = Place::new();
    let config = place.config(SLOW);
    let mut card = place.mount(&["--config", config.to_str().unwrap()]);
    fs::write(card.path("issue/long"), batch(1000)).unwrap();
    let client = card.client();
    client.start(&StartRequest::default()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    card.signal("TERM");
    drop(client);
    assert!(card.ended().success(), "{}", card.said());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(!place.is_mounted());
    let card = place.mount(&[]);
    assert!(card.read("status").contains("start goes on or over"), "{}", card.read("status"));
    let client = card.client();
    let outcome = client.wait(client.start(&StartRequest::default()).unwrap(), Some(PATIENCE)).unwrap();
    assert_eq!((outcome.sw, outcome.given), (0x9000, 1000), "START goes on to the end");
}

#[test]
fn an_unmount_from_outside_ends_the_daemon() {
    let place = Place::new();
    let mut card = place.mount(&[]);
    assert!(run(Command::new("umount").arg(&card.mountpoint)).status.success());
    assert!(card.ended().success(), "{}", card.said());
    let card = place.mount(&[]);
    assert_eq!(card.read("status"), "ready", "the image was closed well");
}

#[test]
fn an_aborted_connection_ends_the_daemon_without_a_mount_left() {
    let place = Place::new();
    let mut card = place.mount(&[]);
    let open = File::open(card.path("status")).unwrap();
    // Refused because of the open file, but the connection is aborted all the same.
    run(Command::new("umount").arg("-f").arg(&card.mountpoint));
    assert!(card.ended().success(), "{}", card.said());
    drop(open);
    assert_eq!(mounts_at(&place.mountpoint()), 0);
}

#[test]
fn a_mount_that_is_not_ours_survives_the_end() {
    let place = Place::new();
    let mut card = place.mount(&[]);
    let open = File::open(card.path("status")).unwrap();
    assert!(run(Command::new("umount").arg("-l").arg(&card.mountpoint)).status.success());
    let bystander = run(Command::new("mount").args(["-t", "tmpfs", "bystander"]).arg(&card.mountpoint));
    assert!(bystander.status.success(), "{bystander:?}");
    card.signal("TERM");
    assert!(card.ended().success(), "{}", card.said());
    drop(open);
    assert_eq!(mounts_at(&place.mountpoint()), 1, "the bystander is still there");
    assert!(run(Command::new("umount").arg(place.mountpoint())).status.success());
}

#[test]
fn a_mount_left_behind_by_a_crash_is_replaced() {
    let place = Place::new();
    let mut card = place.mount(&[]);
    fs::write(card.path("issue/kept"), batch(3)).unwrap();
    card.signal("KILL");
    assert!(!card.ended().success());
    let dead = fs::read_dir(place.mountpoint()).unwrap_err();
    assert_eq!(dead.raw_os_error(), Some(rustix::io::Errno::NOTCONN.raw_os_error()));
    let card = place.mount(&[]);
    assert_eq!(mounts_at(&place.mountpoint()), 1);
    assert_eq!(fs::read_dir(card.path("issue")).unwrap().count(), 1);
}

#[test]
fn mounting_and_unmounting_leaves_no_trace() {
    let place = Place::new();
    for _ in 0..20 {
        place.mount(&[]).stop();
    }
    assert_eq!(mounts_at(&place.mountpoint()), 0);
}

#[test]
fn in_the_background_it_returns_when_the_mount_answers() {
    let place = Place::new();
    let log = place.dir.path().join("log");
    let started = run(smcardd()
        .arg(place.source())
        .arg(place.mountpoint())
        .args(["-o", &format!("rw,nosuid,log={}", log.display())]));
    assert!(started.status.success(), "{started:?}");
    assert!(started.stdout.is_empty());
    assert_eq!(fs::read_to_string(place.mountpoint().join("status")).unwrap(), "ready\n");
    assert!(fs::write(place.mountpoint().join("issue/x"), "nonsense").is_err());
    assert!(run(Command::new("umount").arg(place.mountpoint())).status.success());
    let begun = Instant::now();
    let log = loop {
        let text = fs::read_to_string(&log).unwrap();
        if text.contains("the card was unmounted") || begun.elapsed() > PATIENCE {
            break text;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(log.contains("issue/x: upload refused: offset 0: not a batch"), "{log}");
    assert!(log.contains("the card was unmounted"), "{log}");
}

#[test]
fn in_the_background_the_caller_hears_why_not() {
    let place = Place::new();
    let output = run(smcardd().arg("emulated:/no/such/card.img").arg(place.mountpoint()));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("card image /no/such/card.img"));
    assert!(!place.is_mounted());
}

#[test]
fn what_cannot_be_mounted_is_said_clearly() {
    let place = Place::new();
    let said = |arguments: &[&str]| {
        let (code, said) = place.refused(arguments);
        assert_eq!(code, 1, "{said}");
        said
    };
    assert!(said(&["-o", "ro"]).contains("option ro"));
    assert!(said(&["-o", "allow_otter"]).contains("option allow_otter: not known"));
    let config = place.config("[keys]\nfile = \"/no/such/keys\"\n");
    assert!(said(&["--config", config.to_str().unwrap()]).contains("key file /no/such/keys"));
    let config = place.config("[session]\n\nlvel = 3\n");
    let unknown = said(&["--config", config.to_str().unwrap()]);
    assert!(unknown.contains("line 3") && unknown.contains("lvel"), "{unknown}");
    fs::write(place.mountpoint().join("in the way"), "").unwrap();
    assert!(said(&[]).contains("not empty"));
    fs::remove_file(place.mountpoint().join("in the way")).unwrap();
    fs::remove_dir(place.mountpoint()).unwrap();
    assert!(run(&mut place.command()).stderr.starts_with(b"smcardd: "));
    fs::create_dir(place.mountpoint()).unwrap();
    fs::write(place.image(), [7; 4096]).unwrap();
    let image = said(&[]);
    assert!(image.contains("card image"), "{image}");
    assert_eq!(fs::read(place.image()).unwrap(), [7; 4096], "no byte changed");
}

#[test]
fn one_card_has_one_daemon_and_one_mount_point_one_card() {
    let (place, other) = (Place::new(), Place::new());
    let card = place.mount(&[]);
    let pid = card.pid().to_string();
    let taken = run(smcardd().arg(place.source()).arg(other.mountpoint()).arg("-f"));
    let said = String::from_utf8(taken.stderr).unwrap();
    assert!(!taken.status.success() && said.contains(&pid), "the holder is named: {said}");
    let twice = run(smcardd().arg(other.source()).arg(place.mountpoint()).arg("-f"));
    let said = String::from_utf8(twice.stderr).unwrap();
    assert!(!twice.status.success() && said.contains("mounted here already"), "{said}");
    assert_eq!(card.read("status"), "ready");
}

#[test]
fn an_image_is_never_overwritten() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    let again = run(smcardd().arg("create").arg(place.image()));
    assert!(!again.status.success());
    assert_eq!(fs::read(place.image()).unwrap(), before);
    assert_eq!(fs::metadata(place.image()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_service_manager_is_told() {
    let place = Place::new();
    let path = place.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", &path);
    let card = Mounted::start(command, &place.mountpoint());
    let told = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(told(), "READY=1");
    card.stop();
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn keys_come_from_a_file_or_a_credential() {
    let place = Place::new();
    let keys = place.dir.path().join("smcard-keys");
    let key = "404142434445464748494a4b4c4d4e4f";
    let text = format!("enc = \"{key}\"\nmac = \"{key}\"\ndek = \"{}\"\n", key.replace("40", "00"));
    fs::write(&keys, text).unwrap();
    fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).unwrap();
    let config = place.config(&format!("[keys]\nfile = {:?}\nversion = 48\n", keys.to_str().unwrap()));
    let card = place.mount(&["--config", config.to_str().unwrap()]);
    fs::write(card.path("issue/app"), batch(1)).unwrap();
    let said = card.stop();
    assert!(!said.contains("test keys"), "{said}");
    let mut command = place.command();
    command.env("CREDENTIALS_DIRECTORY", place.dir.path());
    let card = Mounted::start(command, &place.mountpoint());
    fs::write(card.path("issue/again"), batch(1)).unwrap();
    let said = card.stop();
    assert!(!said.contains("test keys") && !said.contains(key), "{said}");
}

#[test]
fn other_keys_are_refused_once_and_no_byte_of_the_card_changes() {
    let place = Place::new();
    let keys = place.dir.path().join("keys");
    let key = "000102030405060708090a0b0c0d0e0f";
    fs::write(&keys, format!("enc = {key}\nmac = {key}\ndek = {key}\n")).unwrap();
    fs::set_permissions(&keys, PermissionsExt::from_mode(0o400)).unwrap();
    let config = place.config(&format!("[keys]\nfile = {:?}\n", keys.to_str().unwrap()));
    let card = place.mount(&["--config", config.to_str().unwrap()]);
    let before = card.number("card/exchanges");
    for _ in 0..3 {
        let refused = fs::write(card.path("issue/app"), batch(1)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::ACCESS.raw_os_error()));
    }
    assert_eq!(card.number("card/exchanges") - before, 1);
    assert!(card.read("status").contains("the card has other keys"), "{}", card.read("status"));
    assert_eq!(card.client().status().unwrap().state, CardState::Ready);
    let said = card.stop();
    assert!(said.contains("not tried again") && !said.contains(key), "{said}");
}

#[test]
fn a_user_who_is_not_root_mounts_by_the_helper() {
    let place = Place::new();
    for path in [place.dir.path(), &place.mountpoint(), &place.image()] {
        chown(path, Some(65534), Some(65534)).unwrap();
    }
    let binary = place.dir.path().join("smcardd");
    fs::copy(env!("CARGO_BIN_EXE_smcardd"), &binary).unwrap();
    fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
    let log = File::create(place.dir.path().join("log")).unwrap();
    let mut child = Command::new(&binary)
        .arg(place.source())
        .arg(place.mountpoint())
        .arg("-f")
        .uid(65534)
        .gid(65534)
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let user = |script: &str| {
        run(Command::new("sh").arg("-c").arg(script).current_dir(place.dir.path()).uid(65534).gid(65534))
    };
    let begun = Instant::now();
    while !user("cat mnt/status").status.success() {
        let log = fs::read_to_string(place.dir.path().join("log")).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "{log}");
        assert!(begun.elapsed() < PATIENCE, "{log}");
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::write(place.dir.path().join("a"), batch(3)).unwrap();
    fs::set_permissions(place.dir.path().join("a"), PermissionsExt::from_mode(0o644)).unwrap();
    let copied = user("cp a mnt/issue/app && ls -l mnt/issue");
    assert!(copied.status.success(), "{copied:?}");
    assert!(run(Command::new("kill").arg(child.id().to_string())).status.success());
    assert!(child.wait().unwrap().success());
    assert!(!place.is_mounted());
}
