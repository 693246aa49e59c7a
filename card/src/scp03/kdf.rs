//! Key derivation, MAC and encryption of SCP03 (Amendment D chapters 4 and 6; NIST SP 800-108 in counter mode with
//! AES-CMAC as the pseudo-random function).

use aes::Aes128;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut, BlockEncrypt, BlockEncryptMut, KeyInit, KeyIvInit};
use cmac::{Cmac, Mac};

/// Bytes of an AES block and of an AES-128 key.
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

/// AES-CMAC of the concatenation of `parts` (RFC 4493).
pub(crate) fn cmac(key: &Block, parts: &[&[u8]]) -> Block {
    let mut mac = <Cmac<Aes128> as KeyInit>::new(key.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The first 128 bits that the KDF yields; a length of 64 bits takes the first half.
pub(crate) fn derive(key: &Block, constant: u8, bits: u16, context: &[&[u8]]) -> Block {
    let [high, low] = bits.to_be_bytes();
    let label = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, constant, 0x00, high, low, 0x01];
    let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + context.len());
    parts.push(&label);
    parts.extend_from_slice(context);
    cmac(key, &parts)
}

/// The first half of a block: a cryptogram, a challenge or a MAC as it travels in S8 mode.
pub(crate) fn half(block: &Block) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *block;
    [a, b, c, d, e, f, g, h]
}

/// The initial chaining value of an encryption: the encryption counter (in its first byte `direction`: 00 for a command,
/// 80 for its response) encrypted under S-ENC (Amendment D section 6.2.6).
fn chaining_value(key: &Block, counter: u32, direction: u8) -> Block {
    let mut block = [0; BLOCK];
    block[0] = direction;
    block[BLOCK - 4..].copy_from_slice(&counter.to_be_bytes());
    let mut encrypted = block.into();
    Aes128::new(key.into()).encrypt_block(&mut encrypted);
    encrypted.into()
}

/// Which way an encrypted data field travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Command = 0x00,
    Response = 0x80,
}

/// Pads with 80 00… and encrypts. Empty data stays empty.
pub(crate) fn encrypt(key: &Block, counter: u32, direction: Direction, data: &[u8]) -> Vec<u8> {
    if data.is_empty() {
        return Vec::new();
    }
    let mut padded = Vec::with_capacity((data.len() / BLOCK + 1) * BLOCK);
    padded.extend_from_slice(data);
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(BLOCK), 0);
    let iv = chaining_value(key, counter, direction as u8);
    let length = padded.len();
    match cbc::Encryptor::<Aes128>::new(key.into(), &iv.into()).encrypt_padded_mut::<NoPadding>(&mut padded, length) {
        Ok(_) => padded,
        Err(_) => unreachable!("the buffer is a whole number of blocks"),
    }
}

/// Decrypts and takes the padding off, in place. `None` where the length or the padding is wrong.
pub(crate) fn decrypt<'a>(key: &Block, counter: u32, direction: Direction, data: &'a mut [u8]) -> Option<&'a [u8]> {
    if data.is_empty() {
        return Some(&[]);
    }
    let iv = chaining_value(key, counter, direction as u8);
    let plain = cbc::Decryptor::<Aes128>::new(key.into(), &iv.into()).decrypt_padded_mut::<NoPadding>(data).ok()?;
    let end = plain.iter().rposition(|&byte| byte != 0)?;
    let (body, rest) = plain.split_at_checked(end)?;
    (rest.first() == Some(&0x80)).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4493 section 4, examples 1 and 2.
    #[test]
    fn cmac_is_that_of_the_rfc() {
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes();
        assert_eq!(u128::from_be_bytes(cmac(&key, &[])), 0xbb1d_6929_e959_3728_7fa3_7d12_9b75_6746);
        let message = 0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a_u128.to_be_bytes();
        let (first, second) = message.split_at(5);
        assert_eq!(u128::from_be_bytes(cmac(&key, &[first, second])), 0x070a_16b4_6b4d_4144_f79b_dd9d_d04a_287c);
    }

    #[test]
    fn damaged_ciphertext_is_refused_not_trusted() {
        let key = [7; BLOCK];
        let mut sealed = encrypt(&key, 1, Direction::Command, b"sixteen bytes ok");
        assert_eq!(sealed.len(), 32);
        let mut copy = sealed.clone();
        assert_eq!(decrypt(&key, 1, Direction::Command, &mut copy), Some(&b"sixteen bytes ok"[..]));
        assert_eq!(decrypt(&key, 2, Direction::Command, &mut sealed[..15]), None);
    }
}
