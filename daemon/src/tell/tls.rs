//! TLS to the broker: certificates and keys from files.

use super::mqtt::{MqttError, TlsSettings};
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where Debian and most others keep the authorities the system trusts.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The transport with these files.
///
/// # Errors
/// A file that cannot be read or holds nothing of use; it is named.
pub(super) fn transport(settings: &TlsSettings) -> Result<Transport, MqttError> {
    let ca = settings.ca.as_deref().unwrap_or(Path::new(SYSTEM));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(ca)?);
    if roots.is_empty() {
        return Err(content(ca, "holds no certificate of an authority"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| content(ca, error))?.with_root_certificates(roots);
    let config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let pem = Zeroizing::new(read(key)?);
            let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| content(key, "holds no private key"))?;
            let chain = certificates(certificate)?;
            builder.with_client_auth_cert(chain, private).map_err(|error| content(certificate, error))?
        }
    };
    Ok(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MqttError> {
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| content(path, error))?;
    if all.is_empty() { Err(content(path, "holds no certificate")) } else { Ok(all) }
}

fn read(path: &Path) -> Result<Vec<u8>, MqttError> {
    std::fs::read(path).map_err(|source| MqttError::File { path: path.to_owned(), source })
}

fn content(path: &Path, reason: impl ToString) -> MqttError {
    MqttError::Content { path: path.to_owned(), reason: reason.to_string() }
}
