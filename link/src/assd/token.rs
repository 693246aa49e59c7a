//! Secure tokens: an APDU in blocks of 512 bytes.
//!
//! STL (2 bytes, counting itself), the APDU, zeros to the end of the block. A *checked* token, which is this project's
//! own addition, carries a CRC-32 in its last four bytes: the checksum of a block (CRC16) lets one in 65 536 badly
//! damaged blocks pass, and a command is no place for that.

use thiserror::Error;

/// Bytes of a block.
pub const BLOCK: usize = 512;
/// Shortest APDU a token can carry.
pub const TOKEN_MIN: usize = 4;
/// Longest APDU in a token of one block.
pub const SHORT_TOKEN_APDU_MAX: usize = BLOCK - 2;
/// Longest APDU in any token.
pub const APDU_MAX: usize = 0xFFFF - 2;
/// Bytes of the checksum of a checked token.
pub const CHECKSUM: usize = 4;
/// Bit of the argument of CMD34 and CMD35: the token is, or shall be, a checked one.
pub const CHECKED: u32 = 1 << 30;

/// Whether a token ends with its checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// As every card knows them.
    None,
    /// The last four bytes are the CRC-32 (ISO-HDLC) of all before them.
    Crc32,
}

/// Why blocks are no token. Says nothing of the content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TokenError {
    /// The APDU does not fit, or is too short to be one.
    #[error("an APDU of {0} bytes fits no token")]
    Length(usize),
    /// STL cannot be right.
    #[error("the token's length field says {0}, which cannot be")]
    Stl(u16),
    /// The checksum of a checked token.
    #[error("the token's checksum is wrong")]
    Checksum,
}

/// Blocks that a token with an APDU of this length takes.
#[must_use]
pub const fn blocks_of(apdu: usize, checksum: Checksum) -> usize {
    let tail = match checksum {
        Checksum::None => 0,
        Checksum::Crc32 => CHECKSUM,
    };
    (2 + apdu + tail).div_ceil(BLOCK)
}

/// Puts an APDU into blocks; what is left of the last one is zero.
///
/// # Errors
/// [`TokenError::Length`] below [`TOKEN_MIN`] or above [`APDU_MAX`].
pub fn write_token(apdu: &[u8], checksum: Checksum) -> Result<Vec<u8>, TokenError> {
    let stl = u16::try_from(apdu.len() + 2).ok().filter(|_| apdu.len() >= 2);
    let stl = stl.ok_or(TokenError::Length(apdu.len()))?;
    let mut blocks = vec![0; blocks_of(apdu.len(), checksum) * BLOCK];
    blocks[..2].copy_from_slice(&stl.to_be_bytes());
    blocks[2..2 + apdu.len()].copy_from_slice(apdu);
    if checksum == Checksum::Crc32 {
        let (body, tail) = blocks.split_at_mut(blocks_of(apdu.len(), checksum) * BLOCK - CHECKSUM);
        tail.copy_from_slice(&crc32fast::hash(body).to_be_bytes());
    }
    Ok(blocks)
}

/// The APDU in blocks. STL may be from 4 (a status word alone) to what the blocks hold.
///
/// # Errors
/// [`TokenError::Stl`], [`TokenError::Checksum`].
pub fn read_token(blocks: &[u8], checksum: Checksum) -> Result<&[u8], TokenError> {
    let body = match checksum {
        Checksum::None => blocks,
        Checksum::Crc32 => {
            let (body, tail) = blocks.split_last_chunk::<CHECKSUM>().ok_or(TokenError::Checksum)?;
            if crc32fast::hash(body) != u32::from_be_bytes(*tail) {
                return Err(TokenError::Checksum);
            }
            body
        }
    };
    let (head, rest) = body.split_first_chunk::<2>().ok_or(TokenError::Stl(0))?;
    let stl = u16::from_be_bytes(*head);
    let length = usize::from(stl).checked_sub(2).filter(|length| *length >= 2);
    length.and_then(|length| rest.get(..length)).ok_or(TokenError::Stl(stl))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_counts_itself_and_the_rest_is_zero() {
        let token = write_token(&[0x80, 0xCA, 0x9F, 0x7F], Checksum::None).unwrap();
        assert_eq!(token.len(), 512);
        assert_eq!(token[..7], [0x00, 0x06, 0x80, 0xCA, 0x9F, 0x7F, 0x00]);
        assert!(token[6..].iter().all(|byte| *byte == 0));
        assert_eq!(crate::sd::crc16(&token), 0xB1D4);
    }

    #[test]
    fn tokens_of_every_length_come_back() {
        for checksum in [Checksum::None, Checksum::Crc32] {
            for length in (4..1600).chain([65_500, APDU_MAX]) {
                let apdu: Vec<u8> = (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect();
                let token = write_token(&apdu, checksum).unwrap();
                assert_eq!(token.len(), blocks_of(length, checksum) * BLOCK);
                assert_eq!(read_token(&token, checksum).unwrap(), apdu);
            }
        }
        assert_eq!(write_token(&vec![0; APDU_MAX + 1], Checksum::None), Err(TokenError::Length(APDU_MAX + 1)));
        assert_eq!(write_token(&[0], Checksum::None), Err(TokenError::Length(1)));
        assert_eq!(blocks_of(SHORT_TOKEN_APDU_MAX, Checksum::None), 1);
        assert_eq!(blocks_of(SHORT_TOKEN_APDU_MAX, Checksum::Crc32), 2);
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        let mut block = [0; 512];
        for stl in [0_u16, 1, 2, 3, 513, 0xFFFF] {
            block[..2].copy_from_slice(&stl.to_be_bytes());
            assert_eq!(read_token(&block, Checksum::None), Err(TokenError::Stl(stl)));
        }
        assert!(read_token(&[], Checksum::None).is_err() && read_token(&[0, 4], Checksum::Crc32).is_err());
    }

    #[test]
    fn a_checked_token_notices_what_the_block_checksum_lets_pass() {
        let mut token = write_token(&[0x80, 0x5A, 0, 0], Checksum::Crc32).unwrap();
        // The generator of CRC16, 17 bits long, laid over the block: a damage that CRC16 does not see.
        let before = crate::sd::crc16(&token);
        for (byte, damage) in token[100..103].iter_mut().zip([0x88, 0x10, 0x80]) {
            *byte ^= damage;
        }
        assert_eq!(crate::sd::crc16(&token), before);
        assert_eq!(read_token(&token, Checksum::Crc32), Err(TokenError::Checksum));
    }
}
