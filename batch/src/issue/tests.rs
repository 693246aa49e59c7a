//! The commands that a package becomes, byte by byte.

use super::*;
use crate::hex::Hex;
use crate::load_file::sample;
use crate::parse::Batch;

const INSTANCE: &str = "D2760000850101";

fn aid(bytes: &[u8]) -> Aid {
    Aid::new(bytes).expect("an AID")
}

fn cap() -> CapFile {
    CapFile::read(&crate::cap::zipped(&sample::described(|_| ()))).expect("a CAP file")
}

fn install() -> Install {
    Install::new(aid(&sample::APPLET), INSTANCE.parse().expect("an AID"))
}

fn with_parameters(parameters: Vec<u8>) -> Install {
    let mut install = install();
    install.parameters = parameters;
    install
}

/// The commands in hexadecimal digits, and the numbers of those with a recovery point.
fn commands(plan: &IssuePlan<'_>) -> (Vec<String>, Vec<u32>) {
    let file = plan.build().expect("commands").finish().expect("a batch");
    let batch = Batch::parse(&file).expect("a batch");
    assert_eq!(batch.needs_confirmation(), plan.confirm);
    assert_eq!(batch.has_recovery(), plan.recovery != Recovery::None);
    let points = batch.recovery_points().map(|point| point.command).collect();
    (batch.commands().map(|command| Hex(command.bytes()).to_string()).collect(), points)
}

#[test]
fn a_package_becomes_install_load_install() {
    let cap = cap();
    let mut plan = IssuePlan::new(&cap);
    plan.installs.push(install());
    let (commands, points) = commands(&plan);
    let data = cap.load_file_data(Include::default());
    assert!(data.len() < 0x80 + 0x80 && data.len() > 0x7F);
    let load = format!("80E88000{:02X}C481{:02X}{}00", data.len() + 3, data.len(), Hex(&data));
    assert_eq!(
        commands,
        [
            "80E602000C07F0534D434152010000000000".to_owned(),
            load,
            "80E60C001F07F0534D4341520108F0534D434152010107D2760000850101010002C9000000".to_owned(),
        ]
    );
    assert!(points.is_empty());
}

#[test]
fn security_domain_privileges_and_parameters_have_their_places() {
    let cap = cap();
    let mut plan = IssuePlan::new(&cap);
    plan.security_domain = Some("A000000151000000".parse().expect("an AID"));
    let mut install = with_parameters(vec![0xAA; 128]);
    install.privileges = Privileges::new(&[0x04, 0x00, 0x00]).expect("privileges");
    plan.installs.push(install);
    let (commands, _) = commands(&plan);
    assert_eq!(commands[0], "80E602001407F0534D4341520108A00000015100000000000000");
    let parameters = format!("8183C98180{}", "AA".repeat(128));
    let expected = format!("80E60C00A307F0534D4341520108F0534D434152010107D276000085010103040000{parameters}0000");
    assert_eq!(commands.last(), Some(&expected));
}

#[test]
fn blocks_cut_the_load_file_and_join_to_it_again() {
    let cap = cap();
    let mut plan = IssuePlan::new(&cap);
    plan.blocks = Blocks::Size(16);
    let file = plan.build().expect("commands").finish().expect("a batch");
    let batch = Batch::parse(&file).expect("a batch");
    let loads: Vec<_> = batch.commands().skip(1).map(|command| command.apdu).collect();
    let joined: Vec<u8> = loads.iter().flat_map(|load| load.data).copied().collect();
    assert_eq!(joined[3..], cap.load_file_data(Include::default()));
    assert!(loads.iter().enumerate().all(|(index, load)| usize::from(load.p2) == index));
    assert_eq!(loads.iter().filter(|load| load.p1 == 0x80).count(), 1);
}

#[test]
fn the_direct_form_is_one_load_without_le() {
    let cap = cap();
    let mut plan = IssuePlan::new(&cap);
    plan.blocks = Blocks::Direct;
    let data = cap.load_file_data(Include::default());
    let (commands, _) = commands(&plan);
    assert_eq!(commands.len(), 2);
    let length = u32::try_from(data.len() + 3).expect("short");
    assert_eq!(commands[1], format!("80E88000000000{length:08X}C481{:02X}{}", data.len(), Hex(&data)));
}

#[test]
fn recovery_points_stand_where_asked() {
    let cap = cap();
    let mut plan = IssuePlan::new(&cap);
    plan.blocks = Blocks::Size(100);
    plan.installs.push(install());
    plan.confirm = true;
    plan.recovery = Recovery::Functions;
    assert_eq!(commands(&plan).1, [1, 4]);
    plan.recovery = Recovery::Commands;
    assert_eq!(commands(&plan).1, [1, 2, 3, 4]);
}

#[test]
fn what_a_card_would_refuse_halfway_is_refused_before() {
    let cap = cap();
    let with = |install: Install| {
        let mut plan = IssuePlan::new(&cap);
        plan.installs.push(install);
        plan
    };
    let other = Install::new(aid(&[1, 2, 3, 4, 5]), aid(&[1, 2, 3, 4, 6]));
    let error = with(other).build().expect_err("no such applet");
    assert_eq!(error.to_string(), "the package has no applet 0102030405; it has: F0534D4341520101");
    let own = Install::new(aid(&sample::APPLET), aid(&sample::PACKAGE));
    assert_eq!(with(own).build().err(), Some(IssueError::InstanceTaken(aid(&sample::PACKAGE))));
    let mut twice = with(install());
    twice.installs.push(install());
    assert!(matches!(twice.build(), Err(IssueError::InstanceTaken(_))));
    assert_eq!(Privileges::new(&[1, 2]), Err(IssueError::Privileges(2)));
}

#[test]
fn parameters_fit_one_command_or_are_refused() {
    let cap = cap();
    let fits = |length: usize| {
        let mut plan = IssuePlan::new(&cap);
        plan.installs.push(with_parameters(vec![0x5A; length]));
        plan.build().map(|batch| batch.count())
    };
    // 255 less 8 + 9 + 8 bytes of AIDs, 2 of privileges, 2 and 3 of lengths and tag, 1 of token.
    assert_eq!(fits(222), Ok(3));
    assert!(matches!(fits(223), Err(IssueError::InstallTooLong { found: 256, .. })));
    assert!(matches!(fits(100_000), Err(IssueError::InstallTooLong { .. })));
}

#[test]
fn debug_shows_no_parameters() {
    let install = with_parameters(vec![0xC0, 0xFF, 0xEE]);
    let text = format!("{install:?}");
    assert!(text.ends_with("privileges 00, 3 bytes of parameters"), "{text}");
}

#[test]
fn every_applet_is_installed_under_its_own_aid_on_request() {
    let cap = cap();
    let mut plan = IssuePlan::new(&cap);
    plan.install_all().expect("installs");
    assert_eq!(plan.installs, [Install::new(aid(&sample::APPLET), aid(&sample::APPLET))]);
}
