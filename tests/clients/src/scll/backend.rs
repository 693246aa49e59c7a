//! The cryptography of SCP03 (GlobalPlatform Amendment D) with AES-128 in S8 mode, as `scll-core` asks for it. Written
//! from the specification, not from the card's: the two are to find each other's mistakes.

use aes::Aes128;
use aes::cipher::{BlockDecryptMut, BlockEncrypt, BlockEncryptMut, KeyInit, KeyIvInit, block_padding::NoPadding};
use cmac::{Cmac, Mac};
use heapless::Vec as Bounded;
use scll_core::backend::{
    KeyBackend, KeyHandle, KeyKind, Scp02Backend, Scp02Session, Scp03Backend, Scp03Session, ScpMode,
};
use scll_core::error::BackendError;
use scll_core::limits::{CAPDU_MAX, ENC_KEY_BLOCK_MAX, RAPDU_MAX, SCP03_S16_MAX};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Block = [u8; 16];

const MAC: usize = 8;
const EXTERNAL_AUTHENTICATE: u8 = 0x82;

/// Keys and channels.
#[derive(Default)]
pub struct Backend(Mutex<State>);

#[derive(Default)]
struct State {
    keys: Vec<Block>,
    channels: Vec<Channel>,
}

#[derive(Clone)]
struct Channel {
    enc: Block,
    mac: Block,
    rmac: Block,
    chain: Block,
    counter: u32,
    /// Known from EXTERNAL AUTHENTICATE on.
    level: Option<u8>,
}

fn crypto(why: &str) -> BackendError {
    BackendError::Crypto(why.try_into().unwrap_or_default())
}

fn unsupported() -> BackendError {
    BackendError::Unsupported("SCP03 with AES-128 in S8 mode only".try_into().unwrap_or_default())
}

fn bounded<const N: usize>(bytes: &[u8]) -> Result<Bounded<u8, N>, BackendError> {
    Bounded::from_slice(bytes).map_err(|()| crypto("too long"))
}

fn cmac(key: &Block, parts: &[&[u8]]) -> Block {
    let mut mac = <Cmac<Aes128> as KeyInit>::new(key.into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Section 4.1.5: one block is enough for AES-128 and for a cryptogram.
fn derive(key: &Block, constant: u8, bits: u16, context: &[&[u8]]) -> Block {
    let [high, low] = bits.to_be_bytes();
    let label = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, constant, 0, high, low, 1];
    cmac(key, &[&[&label[..]], context].concat())
}

/// Section 6.2.6 and 6.2.7: the ICV is the encrypted counter.
fn icv(key: &Block, counter: u32, response: bool) -> Block {
    let mut block = [0; 16];
    block[12..].copy_from_slice(&counter.to_be_bytes());
    block[0] = if response { 0x80 } else { 0 };
    let mut block = block.into();
    Aes128::new(key.into()).encrypt_block(&mut block);
    block.into()
}

/// AES-CBC of whole blocks.
fn encrypted(key: &Block, iv: &Block, mut data: Vec<u8>) -> Result<Vec<u8>, BackendError> {
    let (encryptor, length) = (cbc::Encryptor::<Aes128>::new(key.into(), iv.into()), data.len());
    encryptor.encrypt_padded_mut::<NoPadding>(&mut data, length).map_err(|_| crypto("not whole blocks"))?;
    Ok(data)
}

fn padded(data: &[u8]) -> Vec<u8> {
    let mut padded = [data, &[0x80]].concat();
    padded.resize(padded.len().next_multiple_of(16), 0);
    padded
}

impl Channel {
    fn wrap(&mut self, command: &[u8]) -> Result<Vec<u8>, BackendError> {
        let (&[cla, ins, p1, p2], body) = command.split_first_chunk().ok_or_else(|| crypto("no header"))?;
        let (data, le) = match body.split_first() {
            None => (&body[..0], body),
            Some((_, [])) => (&body[..0], body),
            Some((&length, rest)) => rest.split_at_checked(usize::from(length)).ok_or_else(|| crypto("short"))?,
        };
        let mut data = data.to_vec();
        if let Some(level) = self.level {
            self.counter += 1;
            if level & 0x02 != 0 && !data.is_empty() {
                let iv = icv(&self.enc, self.counter, false);
                data = encrypted(&self.enc, &iv, padded(&data))?;
            }
        } else if ins == EXTERNAL_AUTHENTICATE {
            self.level = Some(p1);
        }
        let length = u8::try_from(data.len() + MAC).map_err(|_| crypto("too long"))?;
        let header = [cla | 0x04, ins, p1, p2, length];
        self.chain = cmac(&self.mac, &[&self.chain, &header, &data]);
        Ok([&header, &data[..], &self.chain[..MAC], le].concat())
    }

    fn unwrap(&self, response: &[u8]) -> Result<Vec<u8>, BackendError> {
        let level = self.level.ok_or_else(|| crypto("not open"))?;
        let (data, sw) = response.split_last_chunk::<2>().ok_or_else(|| crypto("no status word"))?;
        if level & 0x10 == 0 || !(sw == &[0x90, 0x00] || matches!(sw[0], 0x62 | 0x63)) {
            return Ok(response.to_vec());
        }
        let (data, mac) = data.split_last_chunk::<MAC>().ok_or_else(|| crypto("no R-MAC"))?;
        if cmac(&self.rmac, &[&self.chain, data, sw])[..MAC] != *mac {
            return Err(crypto("R-MAC"));
        }
        let mut plain = data.to_vec();
        if level & 0x20 != 0 && !data.is_empty() {
            let iv = icv(&self.enc, self.counter, true);
            let decryptor = cbc::Decryptor::<Aes128>::new(&self.enc.into(), &iv.into());
            decryptor.decrypt_padded_mut::<NoPadding>(&mut plain).map_err(|_| crypto("R-ENC length"))?;
            let end = plain.iter().rposition(|byte| *byte != 0).filter(|end| plain[*end] == 0x80);
            plain.truncate(end.ok_or_else(|| crypto("R-ENC padding"))?);
        }
        plain.extend_from_slice(sw);
        Ok(plain)
    }
}

impl Backend {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, handle: &KeyHandle) -> Result<Block, BackendError> {
        self.state().keys.get(usize::from(handle.index())).copied().ok_or_else(|| crypto("no such key"))
    }

    fn channel<T>(
        &self,
        session: &Scp03Session,
        act: impl FnOnce(&mut Channel) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let mut state = self.state();
        act(state.channels.get_mut(usize::from(session.index())).ok_or_else(|| crypto("no such channel"))?)
    }

    fn cryptogram(
        &self,
        session: &Scp03Session,
        constant: u8,
        context: &[&[u8]],
    ) -> Result<Bounded<u8, SCP03_S16_MAX>, BackendError> {
        self.channel(session, |channel| bounded(&derive(&channel.mac, constant, 64, context)[..8]))
    }
}

impl KeyBackend for Backend {
    fn import_key(&self, kind: KeyKind, bytes: &[u8]) -> Result<KeyHandle, BackendError> {
        let key = Block::try_from(bytes).ok().filter(|_| kind == KeyKind::Aes128).ok_or_else(unsupported)?;
        let mut state = self.state();
        let index = u16::try_from(state.keys.len()).map_err(|_| unsupported())?;
        state.keys.push(key);
        Ok(KeyHandle::new(index))
    }

    fn generate_key(&self, kind: KeyKind) -> Result<KeyHandle, BackendError> {
        let mut key = [0; 16];
        self.random_bytes(&mut key)?;
        self.import_key(kind, &key)
    }

    fn compute_kcv(&self, handle: &KeyHandle) -> Result<[u8; 3], BackendError> {
        let mut block = [0x01; 16].into();
        Aes128::new(&self.key(handle)?.into()).encrypt_block(&mut block);
        Ok([block[0], block[1], block[2]])
    }

    fn random_bytes(&self, out: &mut [u8]) -> Result<(), BackendError> {
        getrandom::fill(out).map_err(|_| BackendError::Rng("the system has none".try_into().unwrap_or_default()))
    }

    fn ct_eq(&self, a: &[u8], b: &[u8]) -> bool {
        a == b
    }
}

impl Scp03Backend for Backend {
    fn scp03_derive_session(
        &self,
        enc: &KeyHandle,
        mac: &KeyHandle,
        mode: ScpMode,
        host: &[u8],
        card: &[u8],
    ) -> Result<Scp03Session, BackendError> {
        if mode != ScpMode::S8 {
            return Err(unsupported());
        }
        let (enc, mac) = (self.key(enc)?, self.key(mac)?);
        let session_key = |key, constant| derive(key, constant, 128, &[host, card]);
        let (enc, rmac, mac) = (session_key(&enc, 0x04), session_key(&mac, 0x07), session_key(&mac, 0x06));
        let mut state = self.state();
        let index = u16::try_from(state.channels.len()).map_err(|_| unsupported())?;
        state.channels.push(Channel { enc, mac, rmac, chain: [0; 16], counter: 0, level: None });
        Ok(Scp03Session::new(index))
    }

    fn scp03_card_cryptogram(
        &self,
        session: &Scp03Session,
        host: &[u8],
        card: &[u8],
    ) -> Result<Bounded<u8, SCP03_S16_MAX>, BackendError> {
        self.cryptogram(session, 0x00, &[host, card])
    }

    fn scp03_host_cryptogram(
        &self,
        session: &Scp03Session,
        host: &[u8],
        card: &[u8],
    ) -> Result<Bounded<u8, SCP03_S16_MAX>, BackendError> {
        self.cryptogram(session, 0x01, &[host, card])
    }

    fn scp03_pseudo_card_challenge(
        &self,
        enc: &KeyHandle,
        mode: ScpMode,
        sequence: &[u8; 3],
        aid: &[u8],
    ) -> Result<Bounded<u8, SCP03_S16_MAX>, BackendError> {
        bounded(&derive(&self.key(enc)?, 0x02, mode.l_bits(), &[sequence, aid])[..mode.field_len().min(16)])
    }

    fn scp03_wrap_command(
        &self,
        session: &mut Scp03Session,
        command: &[u8],
    ) -> Result<Bounded<u8, CAPDU_MAX>, BackendError> {
        self.channel(session, |channel| bounded(&channel.wrap(command)?))
    }

    fn scp03_unwrap_response(
        &self,
        session: &mut Scp03Session,
        response: &[u8],
    ) -> Result<Bounded<u8, RAPDU_MAX>, BackendError> {
        self.channel(session, |channel| bounded(&channel.unwrap(response)?))
    }

    fn scp03_encrypt_put_key_payload(
        &self,
        dek: &KeyHandle,
        new: &KeyHandle,
    ) -> Result<Bounded<u8, ENC_KEY_BLOCK_MAX>, BackendError> {
        bounded(&encrypted(&self.key(dek)?, &[0; 16], self.key(new)?.to_vec())?)
    }
}

impl Scp02Backend for Backend {
    fn scp02_derive_session(
        &self,
        _enc: &KeyHandle,
        _mac: &KeyHandle,
        _dek: &KeyHandle,
        _sequence: [u8; 2],
    ) -> Result<Scp02Session, BackendError> {
        Err(unsupported())
    }

    fn scp02_card_cryptogram(&self, _: &Scp02Session, _: &[u8; 8], _: &[u8; 8]) -> Result<[u8; 8], BackendError> {
        Err(unsupported())
    }

    fn scp02_host_cryptogram(&self, _: &Scp02Session, _: &[u8; 8], _: &[u8; 8]) -> Result<[u8; 8], BackendError> {
        Err(unsupported())
    }

    fn scp02_wrap_command(&self, _: &mut Scp02Session, _: &[u8]) -> Result<Bounded<u8, CAPDU_MAX>, BackendError> {
        Err(unsupported())
    }

    fn scp02_unwrap_response(&self, _: &mut Scp02Session, _: &[u8]) -> Result<Bounded<u8, RAPDU_MAX>, BackendError> {
        Err(unsupported())
    }

    fn scp02_encrypt_put_key_payload_for_session(
        &self,
        _: &Scp02Session,
        _: &KeyHandle,
    ) -> Result<Bounded<u8, ENC_KEY_BLOCK_MAX>, BackendError> {
        Err(unsupported())
    }
}
