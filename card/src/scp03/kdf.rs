//! Key derivation, MAC and encryption of SCP03 (Amendment D chapters 4 and 6; NIST SP 800-108 in counter mode with
//! AES-CMAC as the pseudo-random function), with keys of 128, 192 and 256 bits.

use super::Mode;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut, BlockEncrypt, BlockEncryptMut, KeyInit, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use cmac::{Cmac, Mac};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of an AES block.
pub(crate) const BLOCK: usize = 16;
pub(crate) type Block = [u8; BLOCK];

/// Derivation constants (Amendment D table 4-1).
pub(crate) mod constant {
    pub(crate) const CARD_CRYPTOGRAM: u8 = 0x00;
    pub(crate) const HOST_CRYPTOGRAM: u8 = 0x01;
    pub(crate) const CARD_CHALLENGE: u8 = 0x02;
    pub(crate) const S_ENC: u8 = 0x04;
    pub(crate) const S_MAC: u8 = 0x06;
    pub(crate) const S_RMAC: u8 = 0x07;
}

/// An AES key. Zeroized when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) enum AesKey {
    Bits128([u8; 16]),
    Bits192([u8; 24]),
    Bits256([u8; 32]),
}

/// Runs an expression with the cipher and the bytes of a key.
macro_rules! with_key {
    ($key:expr, $cipher:ident, $bytes:ident => $body:expr) => {
        match $key {
            AesKey::Bits128($bytes) => {
                type $cipher = Aes128;
                $body
            }
            AesKey::Bits192($bytes) => {
                type $cipher = Aes192;
                $body
            }
            AesKey::Bits256($bytes) => {
                type $cipher = Aes256;
                $body
            }
        }
    };
}

impl AesKey {
    /// A key of 16, 24 or 32 bytes.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        match bytes.len() {
            16 => bytes.try_into().ok().map(AesKey::Bits128),
            24 => bytes.try_into().ok().map(AesKey::Bits192),
            32 => bytes.try_into().ok().map(AesKey::Bits256),
            _ => None,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        with_key!(self, _Cipher, bytes => bytes)
    }

    /// First bytes of the encryption of a block of 01 (GlobalPlatform 2.3.1 section B.6).
    pub(crate) fn check_value(&self) -> [u8; 3] {
        let [a, b, c, ..] = encrypt_block(self, [0x01; BLOCK]);
        [a, b, c]
    }
}

/// AES-CMAC of the concatenation of `parts` (RFC 4493).
pub(crate) fn cmac(key: &AesKey, parts: &[&[u8]]) -> Block {
    with_key!(key, Cipher, bytes => {
        let mut mac = <Cmac<Cipher> as KeyInit>::new(bytes.into());
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    })
}

/// One block of the KDF's output: number `counter`, of `bits` in all.
fn derive_block(key: &AesKey, constant: u8, bits: u16, counter: u8, context: &[&[u8]]) -> Block {
    let [high, low] = bits.to_be_bytes();
    let label = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, constant, 0x00, high, low, counter];
    let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + context.len());
    parts.push(&label);
    parts.extend_from_slice(context);
    cmac(key, &parts)
}

/// A cryptogram or a challenge: 8 or 16 bytes, at the front of the block.
pub(crate) fn derive(key: &AesKey, constant: u8, mode: Mode, context: &[&[u8]]) -> Block {
    derive_block(key, constant, mode.bits(), 1, context)
}

/// A session key as long as the key it comes from.
pub(crate) fn derive_key(key: &AesKey, constant: u8, context: &[&[u8]]) -> AesKey {
    let block = |bits, counter| derive_block(key, constant, bits, counter, context);
    match key {
        AesKey::Bits128(_) => AesKey::Bits128(block(128, 1)),
        AesKey::Bits192(_) => {
            let mut bytes = Zeroizing::new([0; 24]);
            let (first, second) = bytes.split_at_mut(BLOCK);
            first.copy_from_slice(&block(192, 1));
            second.copy_from_slice(half(&block(192, 2)));
            AesKey::Bits192(*bytes)
        }
        AesKey::Bits256(_) => {
            let mut bytes = Zeroizing::new([0; 32]);
            let (first, second) = bytes.split_at_mut(BLOCK);
            first.copy_from_slice(&block(256, 1));
            second.copy_from_slice(&block(256, 2));
            AesKey::Bits256(*bytes)
        }
    }
}

fn half(block: &Block) -> &[u8] {
    Mode::S8.cut(block)
}

fn encrypt_block(key: &AesKey, block: Block) -> Block {
    let mut encrypted = block.into();
    with_key!(key, Cipher, bytes => Cipher::new(bytes.into()).encrypt_block(&mut encrypted));
    encrypted.into()
}

/// The initial chaining value of an encryption: the encryption counter (in its first byte `direction`: 00 for a command,
/// 80 for its response) encrypted under S-ENC (Amendment D section 6.2.6).
fn chaining_value(key: &AesKey, counter: u32, direction: Direction) -> Block {
    let mut block = [0; BLOCK];
    block[0] = direction as u8;
    block[BLOCK - 4..].copy_from_slice(&counter.to_be_bytes());
    encrypt_block(key, block)
}

/// Which way an encrypted data field travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Command = 0x00,
    Response = 0x80,
}

/// AES-CBC over a whole number of blocks.
fn encrypt_blocks(key: &AesKey, iv: Block, mut data: Vec<u8>) -> Vec<u8> {
    let length = data.len();
    let done = with_key!(key, Cipher, bytes => {
        cbc::Encryptor::<Cipher>::new(bytes.into(), &iv.into()).encrypt_padded_mut::<NoPadding>(&mut data, length).is_ok()
    });
    debug_assert!(done, "the buffer is a whole number of blocks");
    data
}

/// The inverse; `None` for anything but a whole number of blocks.
fn decrypt_blocks<'a>(key: &AesKey, iv: Block, data: &'a mut [u8]) -> Option<&'a [u8]> {
    with_key!(key, Cipher, bytes => {
        cbc::Decryptor::<Cipher>::new(bytes.into(), &iv.into()).decrypt_padded_mut::<NoPadding>(data).ok()
    })
}

/// Pads with 80 00… and encrypts. Empty data stays empty.
pub(crate) fn encrypt(key: &AesKey, counter: u32, direction: Direction, data: &[u8]) -> Vec<u8> {
    if data.is_empty() {
        return Vec::new();
    }
    let mut padded = Vec::with_capacity((data.len() / BLOCK + 1) * BLOCK);
    padded.extend_from_slice(data);
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(BLOCK), 0);
    encrypt_blocks(key, chaining_value(key, counter, direction), padded)
}

/// Decrypts and takes the padding off, in place. `None` where the length or the padding is wrong.
pub(crate) fn decrypt<'a>(key: &AesKey, counter: u32, direction: Direction, data: &'a mut [u8]) -> Option<&'a [u8]> {
    if data.is_empty() {
        return Some(&[]);
    }
    let plain = decrypt_blocks(key, chaining_value(key, counter, direction), data)?;
    let end = plain.iter().rposition(|&byte| byte != 0)?;
    let (body, rest) = plain.split_at_checked(end)?;
    (rest.first() == Some(&0x80)).then_some(body)
}

/// A key on its way, under the data encryption key: AES-CBC from zero, filled with zeros to whole blocks (Amendment D
/// section 6.2.8).
pub(crate) fn encrypt_key(dek: &AesKey, key: &[u8]) -> Vec<u8> {
    let mut padded = key.to_vec();
    padded.resize(key.len().next_multiple_of(BLOCK), 0);
    encrypt_blocks(dek, [0; BLOCK], padded)
}

/// The inverse, fill included; `None` for anything but a whole number of blocks.
pub(crate) fn decrypt_key(dek: &AesKey, encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut data = Zeroizing::new(encrypted.to_vec());
    decrypt_blocks(dek, [0; BLOCK], &mut data)?;
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4493 section 4, examples 1 and 2.
    #[test]
    fn cmac_is_that_of_the_rfc() {
        let key = AesKey::Bits128(0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes());
        assert_eq!(u128::from_be_bytes(cmac(&key, &[])), 0xbb1d_6929_e959_3728_7fa3_7d12_9b75_6746);
        let message = 0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a_u128.to_be_bytes();
        let (first, second) = message.split_at(5);
        assert_eq!(u128::from_be_bytes(cmac(&key, &[first, second])), 0x070a_16b4_6b4d_4144_f79b_dd9d_d04a_287c);
    }

    #[test]
    fn damaged_ciphertext_is_refused_not_trusted() {
        let key = AesKey::Bits256([7; 32]);
        let mut sealed = encrypt(&key, 1, Direction::Command, b"sixteen bytes ok");
        assert_eq!(sealed.len(), 32);
        let mut copy = sealed.clone();
        assert_eq!(decrypt(&key, 1, Direction::Command, &mut copy), Some(&b"sixteen bytes ok"[..]));
        assert_eq!(decrypt(&key, 2, Direction::Command, &mut sealed[..15]), None);
    }

    /// pySim's test keys 00… 10… 20… and the well-known 40…4F.
    #[test]
    fn check_values_are_the_published_ones() {
        for (first, value) in [(0x00, "C35280"), (0x10, "013808"), (0x20, "840DE5"), (0x40, "504A77")] {
            let key: Vec<u8> = (first..first + 16).collect();
            let made = AesKey::new(&key).expect("16 bytes").check_value();
            assert_eq!(made.map(|byte| format!("{byte:02X}")).concat(), value);
        }
    }

    #[test]
    fn keys_of_every_length_come_back_from_under_the_data_encryption_key() {
        let dek = AesKey::Bits192([3; 24]);
        for length in [16_usize, 24, 32] {
            let key = vec![9; length];
            let sealed = encrypt_key(&dek, &key);
            assert_eq!(sealed.len(), length.next_multiple_of(BLOCK));
            assert_eq!(decrypt_key(&dek, &sealed).expect("whole blocks")[..length], key);
        }
        assert!(decrypt_key(&dek, &[0; 17]).is_none());
    }
}
