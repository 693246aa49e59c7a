//! INSTALL \[for load\] and LOAD (GPC 2.3.1, sections 11.5.2.3.1 and 11.6.2).

use super::IssueError;
use crate::aid::Aid;
use crate::apdu::{CommandApdu, Form};

/// Most blocks of one load: their number has one byte.
pub const BLOCKS_MAX: usize = 256;

/// How a load file is cut into LOAD commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocks {
    /// Blocks of this many bytes, 1 to 255. Up to 247 leave room for the MAC of a secure channel, should a block ever
    /// travel alone.
    Size(u8),
    /// One LOAD in the direct form, of any size.
    Direct,
}

impl Default for Blocks {
    fn default() -> Self {
        Blocks::Size(247)
    }
}

/// Appends `bytes` behind their length in one byte.
pub(crate) fn push_counted(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), IssueError> {
    out.push(u8::try_from(bytes.len()).map_err(|_| IssueError::TooLong)?);
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a length in BER: one byte to 127, then `81`, `82`, `83` or `84` and as many bytes (GPC 2.3.1 section 11.1.5).
pub(crate) fn push_ber_length(out: &mut Vec<u8>, length: u32) {
    let bytes = length.to_be_bytes();
    if length < 0x80 {
        out.extend(bytes.last());
        return;
    }
    let used = bytes.iter().skip_while(|&&byte| byte == 0);
    out.push(match length {
        ..0x100 => 0x81,
        0x100..0x1_0000 => 0x82,
        0x1_0000..0x100_0000 => 0x83,
        _ => 0x84,
    });
    out.extend(used);
}

/// The data of INSTALL \[for load\]: package, security domain, no hash, no parameters, no token.
pub(super) fn for_load(package: &Aid, security_domain: Option<&Aid>) -> Result<Vec<u8>, IssueError> {
    let mut data = Vec::new();
    push_counted(&mut data, package.as_bytes())?;
    push_counted(&mut data, security_domain.map_or(&[], Aid::as_bytes))?;
    data.extend([0, 0, 0]);
    Ok(data)
}

/// The load file: `C4`, length, load file data.
pub(crate) fn load_file(data: &[u8]) -> Result<Vec<u8>, IssueError> {
    let length = u32::try_from(data.len()).map_err(|_| IssueError::TooLong)?;
    let mut file = Vec::with_capacity(data.len() + 6);
    file.push(0xC4);
    push_ber_length(&mut file, length);
    file.extend_from_slice(data);
    Ok(file)
}

/// The LOAD commands that bring `file`.
pub(crate) fn commands(file: &[u8], blocks: Blocks) -> Result<Vec<CommandApdu<'_>>, IssueError> {
    const LAST: u8 = 0x80;
    let size = match blocks {
        Blocks::Direct => {
            let form = Form::Direct;
            return Ok(vec![CommandApdu { cla: 0x80, ins: 0xE8, p1: LAST, p2: 0, data: file, le: None, form }]);
        }
        Blocks::Size(0) => return Err(IssueError::BlockSize),
        Blocks::Size(size) => usize::from(size),
    };
    let count = file.len().div_ceil(size);
    if count > BLOCKS_MAX {
        return Err(IssueError::TooManyBlocks { bytes: file.len(), size, blocks: count });
    }
    let numbered = (0..=u8::MAX).zip(file.chunks(size));
    let command = |(number, block): (u8, _)| {
        let p1 = if usize::from(number) + 1 == count { LAST } else { 0 };
        CommandApdu::new(0x80, 0xE8, p1, number, block).with_le(256)
    };
    Ok(numbered.map(command).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_short_as_ber_allows() {
        for (length, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x81, 0x80]),
            (255, &[0x81, 0xFF]),
            (256, &[0x82, 0x01, 0x00]),
            (65_535, &[0x82, 0xFF, 0xFF]),
            (65_536, &[0x83, 0x01, 0x00, 0x00]),
            (0x100_0000, &[0x84, 0x01, 0x00, 0x00, 0x00]),
        ] {
            let mut out = Vec::new();
            push_ber_length(&mut out, length);
            assert_eq!(out, bytes, "{length}");
        }
    }

    #[test]
    fn blocks_are_numbered_and_the_last_is_marked() {
        let file = [0x55; 500];
        let commands = commands(&file, Blocks::Size(247)).expect("blocks");
        let heads: Vec<_> = commands.iter().map(|c| (c.p1, c.p2, c.data.len(), c.le)).collect();
        assert_eq!(heads, [(0, 0, 247, Some(256)), (0, 1, 247, Some(256)), (0x80, 2, 6, Some(256))]);
    }

    #[test]
    fn the_256th_block_is_the_last_that_can_be() {
        let file = vec![0; 256 * 10 + 1];
        let commands_of = |length: usize| commands(&file[..length], Blocks::Size(10)).map(|commands| commands.len());
        assert_eq!(commands_of(2560), Ok(256));
        let error = commands_of(2561).expect_err("too many");
        assert_eq!(error, IssueError::TooManyBlocks { bytes: 2561, size: 10, blocks: 257 });
        assert!(error.to_string().contains("--direct"), "{error}");
        assert_eq!(commands(&file, Blocks::Size(0)), Err(IssueError::BlockSize));
    }

    #[test]
    fn the_direct_form_brings_any_size_at_once() {
        let file = vec![0; 70_000];
        let commands = commands(&file, Blocks::Direct).expect("one");
        assert_eq!(commands.len(), 1);
        assert_eq!((commands[0].p1, commands[0].form, commands[0].le), (0x80, Form::Direct, None));
        assert_eq!(commands[0].data.as_ptr(), file.as_ptr());
    }
}
