//! Load files of a few hundred bytes, so that a cut at every byte of an issue is affordable.

use smcard_fixtures::asm::framework as fw;
use smcard_fixtures::asm::opcode::{BALOAD, DUP, POP, SADD};
use smcard_fixtures::asm::{Access, CapSpec, Code, MethodKind};
use smcard_fixtures::{aid, assemble};

/// The package that the card has code for: an NFC Forum Type 4 tag.
pub const TAG: &[u8] = aid::NDEF_PACKAGE;
/// A package without code on the card.
pub const WALLET: &[u8] = aid::WALLET_PACKAGE;
/// Another one.
pub const CLIENT: &[u8] = aid::CLIENT_PACKAGE;

/// The only module of a package: its AID and 01.
#[must_use]
pub fn module(package: &[u8]) -> Vec<u8> {
    [package, &[1]].concat()
}

/// Load file data of a package with one applet that does nothing, and `bulk` bytes in a custom component.
#[must_use]
pub fn load_file(package: &[u8], bulk: usize) -> Vec<u8> {
    let mut spec = CapSpec::new("smcard/cuts", package);
    let class = spec.class("Nothing", Access::Public, fw::APPLET, fw::APPLET_TOKENS);
    let init = spec.declare(class, "<init>", Access::Protected, MethodKind::Init, fw::install_signature());
    let install = spec.declare(class, "install", Access::Public, MethodKind::Static, fw::install_signature());
    let process =
        spec.declare(class, "process", Access::Public, MethodKind::Virtual(fw::PROCESS), fw::process_signature());

    let mut code = Code::new();
    code.aload(0).invoke_special(&fw::applet_init());
    code.aload(0).aload(1).sload(2).push(1).op(SADD).aload(1).sload(2).op(BALOAD);
    code.invoke_virtual(&fw::applet_register()).return_void();
    spec.define(init, code);

    let mut code = Code::new();
    code.new_object(class.into()).op(DUP).aload(0).sload(1).sload(2);
    code.invoke_special(&spec.callee(init)).op(POP).return_void();
    spec.define(install, code);

    let mut code = Code::new();
    code.return_void();
    spec.define(process, code);
    spec.applet(&module(package), install);
    if bulk > 0 {
        let pattern = (0..=250).cycle().take(bulk).collect();
        spec.custom(0x80, "Bulk", &[package, &[0xCC]].concat(), pattern);
    }
    assemble(&spec).load_file_data(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_batch::load_file::LoadFile;

    #[test]
    fn a_card_would_take_them() {
        for (package, bulk, most) in [(TAG, 0, 400), (WALLET, 100, 500), (CLIENT, 4500, 4900)] {
            let data = load_file(package, bulk);
            assert!(data.len() < most, "{} bytes", data.len());
            let file = LoadFile::parse(&data).expect("a load file");
            assert_eq!(file.package().aid, package);
            assert!(file.applets().map(|applet| applet.aid).eq([module(package)]));
        }
    }
}
