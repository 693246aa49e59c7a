//! Load files of a few hundred bytes, so that a cut at every byte of an issue is affordable.

pub use smcard_fixtures::packages::nothing::module;

use smcard_fixtures::packages::nothing;
use smcard_fixtures::{aid, assemble};

/// The package that the card has code for: an NFC Forum Type 4 tag.
pub const TAG: &[u8] = aid::NDEF_PACKAGE;
/// A package without code on the card.
pub const WALLET: &[u8] = aid::WALLET_PACKAGE;
/// Another one.
pub const CLIENT: &[u8] = aid::CLIENT_PACKAGE;

/// Load file data of a package with one applet that does nothing, and `bulk` bytes in a custom component.
#[must_use]
pub fn load_file(package: &[u8], bulk: usize) -> Vec<u8> {
    let spec = nothing::spec("smcard/cuts", package, bulk);
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
