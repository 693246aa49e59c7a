//! The preparer's keys: read once, never shown.
//!
//! A key file has three lines, in any order; `#` begins a comment:
//!
//! ```text
//! enc = "404142434445464748494A4B4C4D4E4F"
//! mac = "404142434445464748494A4B4C4D4E4F"
//! dek = "404142434445464748494A4B4C4D4E4F"
//! ```
//!
//! It must be readable by its owner alone, and the owner must be root or whoever runs the daemon. Messages name file
//! and line, never what stands there.

use crate::config::Config;
use crate::secret::{self, SecretError};
use crate::terminal::KeyRing;
use smcard_card::scp03::{StaticKeys, TEST_KEY_VERSION};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Name of the credential a service may be given.
const CREDENTIAL: &str = "smcard-keys";
/// Why there are no keys.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read, or others could.
    #[error("key file {0}")]
    File(#[from] SecretError),
    /// A line makes no sense.
    #[error("key file {}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A key is missing.
    #[error("key file {}: no line {name} = \"...\"", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key.
        name: &'static str,
    },
}

/// The keys to use: those of the configuration, or of the service's credential, or the test keys where `test_keys`
/// allows them (an emulated card for which nothing is configured). `None` where there are none.
///
/// # Errors
/// A key file that cannot be used is an error; there is no falling back to others.
pub fn ring(config: &Config, credentials: Option<&Path>, test_keys: bool) -> Result<Option<KeyRing>, KeyError> {
    let credential = credentials.map(|directory| directory.join(CREDENTIAL)).filter(|path| path.exists());
    let level = config.session.level;
    if let Some(path) = config.keys.file.clone().or(credential) {
        return Ok(Some(KeyRing::new(read(&path)?, config.keys.version, level)));
    }
    Ok(test_keys.then(|| KeyRing::new(StaticKeys::test(), TEST_KEY_VERSION, level)))
}

fn read(path: &Path) -> Result<StaticKeys, KeyError> {
    let text = secret::read(path)?;
    parse(path, &text)
}

fn parse(path: &Path, text: &[u8]) -> Result<StaticKeys, KeyError> {
    let mut keys: [(&'static str, Option<Zeroizing<[u8; 16]>>); 3] = [("enc", None), ("mac", None), ("dek", None)];
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let bad = |problem| KeyError::Line { path: path.to_owned(), line: number, problem };
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
        if line.is_empty() {
            continue;
        }
        let equals = line.iter().position(|byte| *byte == b'=').ok_or(bad("neither key = \"...\" nor a comment"))?;
        let (name, value) = line.split_at(equals);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        let slot = keys.iter_mut().find(|(known, _)| known.as_bytes() == name.trim_ascii());
        let (_, slot) = slot.ok_or(bad("the keys are called enc, mac and dek"))?;
        if slot.is_some() {
            return Err(bad("this key stands there already"));
        }
        *slot = Some(hex(value).ok_or(bad("a key has 32 hexadecimal digits"))?);
    }
    let missing = |name| KeyError::Missing { path: path.to_owned(), name };
    let [(_, enc), (_, mac), (_, dek)] = keys;
    let (enc, mac) = (enc.ok_or(missing("enc"))?, mac.ok_or(missing("mac"))?);
    let dek = dek.ok_or(missing("dek"))?;
    Ok(StaticKeys::new(*enc, *mac, *dek))
}

fn hex(digits: &[u8]) -> Option<Zeroizing<[u8; 16]>> {
    let mut key = Zeroizing::new([0; 16]);
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            let digit = char::from(*digit).to_digit(16)?;
            value = value * 16 + u8::try_from(digit).ok()?;
        }
        *byte = value;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const GOOD: &str = "# preparer\nenc = \"404142434445464748494A4B4C4D4E4F\"\n\
        dek=404142434445464748494a4b4c4d4e4f # third\n mac = \"404142434445464748494A4B4C4D4E4F\"\n";

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_key_file_is_read_in_any_order() {
        for mode in [0o600, 0o400] {
            let keys = read(file(GOOD, mode).path()).unwrap();
            assert_eq!(keys.kind(), smcard_card::scp03::KeySetKind::Test);
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_never_shown() {
        let path = Path::new("keys");
        let error = |text: &str| parse(path, text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("enc = \"12\"\n"), "key file keys, line 1: a key has 32 hexadecimal digits");
        assert_eq!(error("\nkek = \"00\"\n"), "key file keys, line 2: the keys are called enc, mac and dek");
        assert_eq!(error("secret\n"), "key file keys, line 1: neither key = \"...\" nor a comment");
        let twice = format!("{GOOD}enc = \"404142434445464748494A4B4C4D4E4F\"\n");
        assert_eq!(error(&twice), "key file keys, line 5: this key stands there already");
        assert_eq!(error("enc=404142434445464748494A4B4C4D4E4F\n"), "key file keys: no line mac = \"...\"");
        assert_eq!(
            error("enc=404142434445464748494A4B4C4D4E4G"),
            "key file keys, line 1: a key has 32 hexadecimal digits"
        );
    }

    #[test]
    fn the_configuration_comes_first_then_the_credential_then_the_test_keys() {
        let config = Config::default();
        assert!(ring(&config, None, false).unwrap().is_none());
        assert!(ring(&config, None, true).unwrap().unwrap().is_test());
        let directory = tempfile::tempdir().unwrap();
        let credential = directory.path().join(CREDENTIAL);
        std::fs::write(&credential, GOOD.replace("404142", "004142")).unwrap();
        std::fs::set_permissions(&credential, PermissionsExt::from_mode(0o400)).unwrap();
        assert!(!ring(&config, Some(directory.path()), true).unwrap().unwrap().is_test());
        let mut config = config;
        config.keys.file = Some("/no/such/file".into());
        assert!(ring(&config, Some(directory.path()), true).is_err(), "there is no falling back");
    }
}
