//! The life of a package in the hands of `scll-core`: found, refused to a wrong key, torn off, loaded, installed, used,
//! deleted.

use crate::scll::{Backend, Fault, ISD, Link, open};
use scll_core::cap::InflateCtx;
use scll_core::command::install::PrivLen;
use scll_core::error::ScllError;
use scll_core::model::{CardInventory, ScpVariant};
use scll_core::report::DeleteCascade;
use scll_core::scp::ScpSession;
use scll_core::workflow::applet::{DeleteAppletArgs, InstallAppletArgs, delete_applet, install_applet};
use scll_core::workflow::card_status::get_card_inventory;
use scll_core::workflow::discover::discover_card;
use scll_core::workflow::ssd::{LoadPackageArgs, load_package};
use smcard_fixtures::{aid, ndef_cap};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const INSTANCE: [u8; 7] = [0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01];
const SELECT: [u8; 12] = [0x00, 0xA4, 0x04, 0x00, 0x07, 0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01];
/// GET DATA DF73: free bytes.
const MEMORY: [u8; 5] = [0x80, 0xCA, 0xDF, 0x73, 0x00];

/// Lives it in this reader; `mount` is where the daemon shows the same card.
///
/// # Panics
/// Where something is not as it should be.
pub fn life(reader: &str, mount: &Path) {
    let mut link = Link::new(reader);
    let backend = Backend::default();
    let found = discover_card(&mut link, Some(&ISD)).expect("a card to discover");
    assert_eq!(found.isd_aid.as_bytes(), ISD);
    assert!(found.scp_supported.contains(&ScpVariant::Scp03 { i_param: 0x70 }), "SCP03 i=70 is not told");

    let refused = open(&mut link, &backend, false, 0x33).err();
    assert!(matches!(refused, Some(ScllError::CardCryptogramFail)), "{refused:?} for a wrong key");

    for level in [0x01, 0x03, 0x11, 0x13, 0x33] {
        let mut session = open(&mut link, &backend, true, level).expect("a secure channel");
        assert!(inventory(&mut link, &backend, &mut session).elfs.is_empty(), "the card is empty, level {level:02X}");
    }
    let free = link.card().send(&MEMORY);
    torn_load(&mut link, &backend);
    assert_eq!(link.card().send(&MEMORY), free, "a load that was torn off gives its room back");

    let mut session = open(&mut link, &backend, true, 0x33).expect("a secure channel");
    assert!(inventory(&mut link, &backend, &mut session).elfs.is_empty(), "nothing of a torn load is left");
    load(&mut link, &backend, &mut session).expect("a package loaded");
    let again = load(&mut link, &backend, &mut session).expect_err("the package is there");
    assert!(matches!(again, ScllError::PackageAidExists | ScllError::ConditionsNotSatisfied), "{again:?}");
    install(&mut link, &backend, &mut session);
    let there = inventory(&mut link, &backend, &mut session);
    assert_eq!(there.elfs[0].aid.as_bytes(), aid::NDEF_PACKAGE);
    assert_eq!(there.applets[0].aid.as_bytes(), INSTANCE);
    assert_eq!(link.card().sw(&SELECT), 0x9000);
    shows(mount, true);

    let mut session = open(&mut link, &backend, true, 0x33).expect("a secure channel");
    let gone = DeleteAppletArgs {
        instance_aid: &INSTANCE,
        elf_aid: Some(aid::NDEF_PACKAGE),
        cascade_elf: DeleteCascade::IfLastInstance,
    };
    delete_applet(&mut link, &backend, &mut session, &gone).expect("a package deleted");
    let there = inventory(&mut link, &backend, &mut session);
    assert!(there.elfs.is_empty() && there.applets.is_empty());
    assert_eq!(link.card().sw(&SELECT), 0x6A82);
    shows(mount, false);
}

/// The card is reset in the middle of a load, behind the host's back; the host learns it from the next answer.
fn torn_load(link: &mut Link, backend: &Backend) {
    let mut session = open(link, backend, true, 0x33).expect("a secure channel");
    link.set_fault(Fault::ResetBeforeLoad(3));
    let torn = load(link, backend, &mut session).expect_err("a load that was torn off");
    assert!(matches!(torn, ScllError::SecurityStatusNotSatisfied), "{torn:?}");
    link.set_fault(Fault::None);
}

fn load(link: &mut Link, backend: &Backend, session: &mut ScpSession) -> Result<(), ScllError> {
    let cap = ndef_cap();
    let args = LoadPackageArgs { target_sd_aid: &ISD, cap_zip: &cap, lfdb_hash: &[] };
    load_package(link, backend, session, &args, &mut InflateCtx::new()).map(drop)
}

fn install(link: &mut Link, backend: &Backend, session: &mut ScpSession) {
    let args = InstallAppletArgs {
        parent_sd_aid: &ISD,
        package_aid: aid::NDEF_PACKAGE,
        module_aid: &[0xF0, 0x53, 0x4D, 0x43, 0x41, 0x52, 0x44, 0x01, 0x01],
        instance_aid: &INSTANCE,
        privileges: [0; 3],
        system_install_params: &[],
        applet_install_params: &[],
    };
    install_applet(link, backend, session, &args, PrivLen::Canonical).expect("an applet installed");
}

fn inventory(link: &mut Link, backend: &Backend, session: &mut ScpSession) -> CardInventory {
    get_card_inventory(link, backend, session, &ISD).expect("an inventory").inventory
}

/// The daemon, which has an interface of its own, sees what has changed over this one.
fn shows(mount: &Path, wanted: bool) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let names: Vec<_> = fs::read_dir(mount.join("apps")).unwrap().filter_map(Result::ok).collect();
        if names.iter().any(|name| name.file_name().to_string_lossy().to_uppercase().contains("D276000085")) == wanted {
            return;
        }
        assert!(Instant::now() < end, "{names:?} in apps/");
        thread::sleep(Duration::from_millis(50));
    }
}
