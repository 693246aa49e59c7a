//! `scll-core`, a GlobalPlatform host from the registry: its state machines and its commands, with a transport to pcscd
//! and the cryptography it asks its users for.

mod backend;
mod transport;

pub use backend::Backend;
pub use transport::{Fault, Link};

use scll_core::backend::{KeyBackend, KeyKind};
use scll_core::error::ScllError;
use scll_core::model::ScpVariant;
use scll_core::report::ScpTargetKind;
use scll_core::scp::ScpSession;
use scll_core::workflow::open_scp::{OpenScpArgs, SdKeys, open_scp};

/// The card manager's AID.
pub const ISD: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];

/// Opens a secure channel of this level with the well-known test keys, or with keys that differ in one bit.
///
/// # Errors
/// The host's.
///
/// # Panics
/// If the keys cannot be imported.
pub fn open(link: &mut Link, backend: &Backend, right: bool, level: u8) -> Result<ScpSession, ScllError> {
    let mut bytes: Vec<u8> = (0x40..=0x4F).collect();
    bytes[0] ^= u8::from(!right);
    let key = || backend.import_key(KeyKind::Aes128, &bytes).expect("a key");
    let args = OpenScpArgs {
        target_aid: &ISD,
        target_kind: ScpTargetKind::SecurityDomainAid,
        sd_keys: SdKeys { enc: key(), mac: key(), dek: key() },
        advertised: &[ScpVariant::Scp03 { i_param: 0x70 }],
        force_scp: None,
        kvn: 0,
        requested_level: level,
    };
    open_scp(link, backend, &args).map(|report| report.session)
}
