//! Sessions of other people's cards and programs, from `tests/recordings`.

use super::bytes;

/// A recorded session.
pub struct Recording {
    pub name: &'static str,
    /// ENC, MAC, DEK.
    pub keys: [Vec<u8>; 3],
    /// The AID from which the card derived its challenge, where known.
    pub aid: Option<Vec<u8>>,
    /// Commands as sent, with the response data where it was recorded.
    pub exchanges: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Recording {
    /// The response to INITIALIZE UPDATE, which comes first.
    pub fn response(&self) -> &[u8] {
        self.exchanges[0].1.as_deref().expect("recorded")
    }

    /// The host's challenge.
    pub fn host_challenge(&self) -> &[u8] {
        let command = &self.exchanges[0].0;
        &command[5..5 + usize::from(command[4])]
    }

    /// EXTERNAL AUTHENTICATE.
    pub fn authenticate(&self) -> &[u8] {
        &self.exchanges[1].0
    }

    /// What was said through the channel.
    pub fn dialogue(&self) -> &[(Vec<u8>, Option<Vec<u8>>)] {
        &self.exchanges[2..]
    }

    /// Key number `index` as an AES-128 or triple DES key.
    pub fn key(&self, index: usize) -> [u8; 16] {
        self.keys[index].as_slice().try_into().expect("16 bytes")
    }
}

/// Reads the sessions of one file.
pub fn recordings(text: &'static str) -> Vec<Recording> {
    let mut all: Vec<Recording> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_end_matches(']');
            all.push(Recording { name, keys: [vec![], vec![], vec![]], aid: None, exchanges: Vec::new() });
            continue;
        }
        let (what, value) = line.split_once(' ').expect("a word and its value");
        let last = all.last_mut().expect("a name comes first");
        match what {
            "keys" => {
                let keys: Vec<Vec<u8>> = value.split(' ').map(bytes).collect();
                last.keys = keys.try_into().expect("three keys");
            }
            "aid" => last.aid = Some(bytes(value)),
            ">" => last.exchanges.push((bytes(value), None)),
            "<" => last.exchanges.last_mut().expect("a command").1 = Some(bytes(value)),
            _ => panic!("{line}"),
        }
    }
    all
}
