//! Two-key triple DES, its MACs and paddings (GlobalPlatform 2.3.1 appendix B.1).

use ::des::cipher::block_padding::NoPadding;
use ::des::cipher::{BlockDecrypt, BlockDecryptMut, BlockEncrypt, BlockEncryptMut, KeyInit, KeyIvInit};
use ::des::{Des, TdesEde2};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a DES block.
pub(crate) const BLOCK: usize = 8;
pub(crate) type Block = [u8; BLOCK];

/// A two-key triple DES key. Zeroized when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct TdesKey([u8; 16]);

/// Appends 80 00… to a whole number of blocks; always at least one byte.
pub(crate) fn pad(data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut padded = Vec::with_capacity(data.len() + BLOCK);
    padded.extend_from_slice(data);
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(BLOCK), 0);
    padded.into()
}

fn last_block(data: &[u8]) -> Block {
    data.last_chunk().copied().unwrap_or_default()
}

impl TdesKey {
    pub(crate) fn new(bytes: [u8; 16]) -> Self {
        TdesKey(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn single(&self) -> Block {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }

    /// CBC over a whole number of blocks; other data comes back empty.
    pub(crate) fn encrypt_cbc(&self, iv: Block, mut data: Vec<u8>) -> Vec<u8> {
        let length = data.len();
        let cipher = cbc::Encryptor::<TdesEde2>::new((&self.0).into(), &iv.into());
        let whole = cipher.encrypt_padded_mut::<NoPadding>(&mut data, length).is_ok();
        debug_assert!(whole, "the buffer is a whole number of blocks");
        data
    }

    /// The inverse, in place; `None` for anything but a whole number of blocks.
    pub(crate) fn decrypt_cbc<'a>(&self, iv: Block, data: &'a mut [u8]) -> Option<&'a [u8]> {
        cbc::Decryptor::<TdesEde2>::new((&self.0).into(), &iv.into()).decrypt_padded_mut::<NoPadding>(data).ok()
    }

    /// ECB over whole blocks; what does not fill a block at the end stays as it is.
    pub(crate) fn encrypt_ecb(&self, data: &mut [u8]) {
        let cipher = TdesEde2::new((&self.0).into());
        for block in data.chunks_exact_mut(BLOCK) {
            cipher.encrypt_block(block.into());
        }
    }

    /// The inverse of [`TdesKey::encrypt_ecb`].
    pub(crate) fn decrypt_ecb(&self, data: &mut [u8]) {
        let cipher = TdesEde2::new((&self.0).into());
        for block in data.chunks_exact_mut(BLOCK) {
            cipher.decrypt_block(block.into());
        }
    }

    /// Full triple DES MAC (B.1.2.1) of `data`, padded here, from an ICV of zero.
    pub(crate) fn full_mac(&self, data: &[u8]) -> Block {
        last_block(&self.encrypt_cbc([0; BLOCK], pad(data).to_vec()))
    }

    /// Single DES plus final triple DES MAC (B.1.2.2) of `data`, padded here.
    pub(crate) fn retail_mac(&self, icv: Block, data: &[u8]) -> Block {
        let mut padded = pad(data);
        let front = padded.len().saturating_sub(BLOCK);
        let (front, end) = padded.split_at_mut(front);
        let length = front.len();
        let cipher = cbc::Encryptor::<Des>::new((&self.single()).into(), &icv.into());
        let whole = cipher.encrypt_padded_mut::<NoPadding>(front, length).is_ok();
        debug_assert!(whole, "padding makes whole blocks");
        let chained = if front.is_empty() { icv } else { last_block(front) };
        last_block(&self.encrypt_cbc(chained, end.to_vec()))
    }

    /// A MAC as the ICV of the next: encrypted with single DES under the first half of the key (E.3.4).
    pub(crate) fn encrypt_icv(&self, mac: Block) -> Block {
        let mut block = mac.into();
        Des::new((&self.single()).into()).encrypt_block(&mut block);
        block.into()
    }

    /// First bytes of the encryption of a block of zeros (B.5).
    pub(crate) fn check_value(&self) -> [u8; 3] {
        let mut block = [0; BLOCK];
        self.encrypt_ecb(&mut block);
        let [a, b, c, ..] = block;
        [a, b, c]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8) -> TdesKey {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(first..).for_each(|(byte, value)| *byte = value);
        TdesKey::new(bytes)
    }

    /// The check value of 40…4F that every GlobalPlatform client prints.
    #[test]
    fn the_check_value_is_the_published_one() {
        assert_eq!(key(0x40).check_value(), [0x8B, 0xAF, 0x47]);
    }

    #[test]
    fn what_is_encrypted_comes_back() {
        let key = key(0x10);
        let mut data = *b"sixteen bytes ok";
        key.encrypt_ecb(&mut data);
        key.decrypt_ecb(&mut data);
        assert_eq!(&data, b"sixteen bytes ok");
        let mut sealed = key.encrypt_cbc([1; 8], data.to_vec());
        assert_eq!(key.decrypt_cbc([1; 8], &mut sealed), Some(&data[..]));
        assert_eq!(key.decrypt_cbc([1; 8], &mut sealed[..7]), None);
    }

    /// With equal halves triple DES is single DES, so both MACs are the same (ISO/IEC 9797-1).
    #[test]
    fn the_macs_agree_where_the_halves_do() {
        let key = TdesKey::new([0x5A; 16]);
        for length in [0, 1, 7, 8, 9, 40] {
            let data = vec![0x33; length];
            assert_eq!(key.full_mac(&data), key.retail_mac([0; 8], &data), "{length} bytes");
        }
    }
}
