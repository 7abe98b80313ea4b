//! An attacker's own age writer: it shares no code with the vault's sealing, takes raw file keys, and breaks rules on
//! purpose.

use age_core::format::FileKey;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, aead::Aead as _};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use vault_proto::age_header::{self, Header, Stanza};
use vault_proto::geometry::PAYLOAD_NONCE;
use vault_proto::ids::Digest;
use vault_proto::sealed_header::context_stanza;

/// A raw age file key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgedKey(pub [u8; 16]);

fn hkdf(salt: &[u8], key: &[u8], info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), key).expand(info, &mut out).expect("32 bytes");
    out
}

impl ForgedKey {
    /// Wraps it for an `age1…` recipient with the age crate.
    pub fn wrap(&self, recipient: &str) -> Stanza {
        let recipient: age::x25519::Recipient = recipient.parse().expect("an age1… recipient");
        let (stanzas, _) = age::Recipient::wrap_file_key(&recipient, &FileKey::new(Box::new(self.0)))
            .expect("the age crate wraps");
        let stanza = stanzas.into_iter().next().expect("one stanza");
        Stanza::new(&stanza.tag, stanza.args, stanza.body).expect("a stanza")
    }

    /// Wraps it with a key share that is the neutral element, so that no secret enters: anyone computes the same wrap
    /// key.
    pub fn wrap_with_low_order_share(&self, recipient: &[u8; 32]) -> Stanza {
        let share = [0; 32];
        let salt = [&share[..], recipient].concat();
        let wrap_key = hkdf(&salt, &[0; 32], b"age-encryption.org/v1/X25519");
        let cipher = ChaCha20Poly1305::new((&wrap_key).into());
        let body = cipher.encrypt((&[0; 12]).into(), &self.0[..]).expect("16 bytes");
        Stanza::new("X25519", vec![age_header::encode_argument(&share)], body).expect("a stanza")
    }
}

/// A header of these stanzas, `context` first if there is one, with the MAC of `mac_key`.
pub fn forge_header(context: Option<&Digest>, readers: Vec<Stanza>, mac_key: ForgedKey) -> Vec<u8> {
    let mut stanzas: Vec<Stanza> = Vec::new();
    stanzas.extend(context.map(|context| context_stanza(context).expect("a stanza")));
    stanzas.extend(readers);
    let input = age_header::mac_input(&stanzas).expect("a header");
    let mut mac =
        <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&hkdf(&[], &mac_key.0, b"header")).expect("any key");
    mac.update(&input);
    Header::new(stanzas, mac.finalize().into_bytes().into()).expect("a header").encode()
}

/// The payload key of a file key.
pub fn payload_key(key: ForgedKey, nonce: &[u8; PAYLOAD_NONCE]) -> [u8; 32] {
    hkdf(nonce, &key.0, b"payload")
}

/// Nonce of the only chunk of a payload: counter 0 and the final flag.
const ONLY_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Seals the only chunk of a payload.
pub fn seal_chunk(payload_key: &[u8; 32], plaintext: &[u8]) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new(payload_key.into());
    cipher.encrypt((&ONLY_CHUNK).into(), plaintext).expect("a short chunk")
}

/// A body, nonce included, that opens under two file keys: under `second` it holds `text` after 16 bytes of noise.
///
/// ChaCha20-Poly1305 commits to no key: for two known one-time keys the tags are two linear functions of a free block.
pub fn body_for_two_keys(first: ForgedKey, second: ForgedKey, text: &[u8]) -> Vec<u8> {
    let nonce = [7; PAYLOAD_NONCE];
    let keys = [payload_key(first, &nonce), payload_key(second, &nonce)];
    let ciphers = keys.map(|key| ChaCha20Poly1305::new((&key).into()));
    let streams = keys.map(|key| {
        let zeros = vec![0; 16 + text.len().next_multiple_of(16) + 16];
        let mut stream = ChaCha20Poly1305::new((&key).into())
            .encrypt((&ONLY_CHUNK).into(), &zeros[..])
            .expect("a short chunk");
        stream.truncate(zeros.len());
        stream
    });
    let [_, second_stream] = &streams;
    let mut plain = vec![0; 16];
    plain.extend_from_slice(text);
    plain.resize(second_stream.len(), b' ');
    let mut ciphertext: Vec<u8> = plain.iter().zip(second_stream).map(|(a, b)| a ^ b).collect();
    let one_time = keys.map(|key| OneTimeKey::new(&key));
    for filler in 0u64.. {
        let tail = ciphertext.len() - 8;
        ciphertext.splice(tail.., filler.to_le_bytes());
        let Some(block) = colliding_block(&one_time, &ciphertext) else { continue };
        ciphertext.splice(..16, block);
        let [one, _] = &one_time;
        let chunk = [&ciphertext[..], &one.tag(&ciphertext)].concat();
        if ciphers.iter().all(|cipher| cipher.decrypt((&ONLY_CHUNK).into(), &chunk[..]).is_ok()) {
            return [&nonce[..], &chunk].concat();
        }
    }
    unreachable!("every fourth filler or so has a block")
}

/// The first block for which both one-time keys give the ciphertext one tag, if it exists.
fn colliding_block(keys: &[OneTimeKey; 2], ciphertext: &[u8]) -> Option<[u8; 16]> {
    let [one, two] = keys;
    let mut rest = ciphertext.to_vec();
    rest.splice(..16, [0; 16]);
    // accumulator = block · r^n + everything else, with the 2^128 that marks a full block in "everything else".
    let power = |key: &OneTimeKey| {
        let blocks = ciphertext.len() / 16 + 1;
        (0..blocks).fold(Field::ONE, |power, _| power.times(key.r))
    };
    let wanted = Field::new(two.s.wrapping_sub(one.s));
    let constant = wanted.plus(two.accumulate(&rest)).minus(one.accumulate(&rest));
    let block = constant.times(power(one).minus(power(two)).inverse());
    (block.high == 0).then(|| block.low.to_le_bytes())
}

/// One-time key of Poly1305.
struct OneTimeKey {
    r: Field,
    s: u128,
}

impl OneTimeKey {
    /// The key that ChaCha20-Poly1305 takes from block 0 of its key stream (RFC 8439, section 2.6).
    fn new(key: &[u8; 32]) -> Self {
        let block = chacha20_block(key, 0, &ONLY_CHUNK);
        let (halves, _) = block.as_chunks::<16>();
        let half = |at: usize| halves.get(at).map_or(0, |half| u128::from_le_bytes(*half));
        Self { r: Field::new(half(0) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff), s: half(1) }
    }

    fn accumulate(&self, ciphertext: &[u8]) -> Field {
        let (blocks, _) = ciphertext.as_chunks::<16>();
        let lengths = (ciphertext.len() as u128) << 64;
        let blocks = blocks.iter().map(|block| u128::from_le_bytes(*block)).chain([lengths]);
        blocks.fold(Field::ZERO, |sum, block| sum.plus(Field { high: 1, low: block }).times(self.r))
    }

    fn tag(&self, ciphertext: &[u8]) -> [u8; 16] {
        self.accumulate(ciphertext).low.wrapping_add(self.s).to_le_bytes()
    }
}

/// A number below 2^130 − 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Field {
    high: u128,
    low: u128,
}

impl Field {
    const ZERO: Self = Self::new(0);
    const ONE: Self = Self::new(1);
    const PRIME: Self = Self { high: 3, low: u128::MAX - 4 };

    const fn new(low: u128) -> Self {
        Self { high: 0, low }
    }

    fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        let sum = Self { high: self.high + other.high + u128::from(carry), low };
        if sum >= Self::PRIME { sum.less(Self::PRIME) } else { sum }
    }

    const fn less(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self { high: self.high - other.high - borrow as u128, low }
    }

    fn minus(self, other: Self) -> Self {
        self.plus(if other == Self::ZERO { other } else { Self::PRIME.less(other) })
    }

    const fn bit(self, at: u32) -> bool {
        (if at < 128 { self.low >> at } else { self.high >> (at - 128) }) & 1 == 1
    }

    fn times(self, other: Self) -> Self {
        (0..130).rev().fold(Self::ZERO, |product, at| {
            let doubled = product.plus(product);
            if other.bit(at) { doubled.plus(self) } else { doubled }
        })
    }

    /// By Fermat: the power to 2^130 − 7.
    fn inverse(self) -> Self {
        let exponent = Self::PRIME.less(Self::new(2));
        (0..130).rev().fold(Self::ONE, |power, at| {
            let squared = power.times(power);
            if exponent.bit(at) { squared.times(self) } else { squared }
        })
    }
}

/// A block of the ChaCha20 key stream (RFC 8439, section 2.3).
fn chacha20_block(key: &[u8; 32], counter: u32, nonce: &[u8; 12]) -> Vec<u8> {
    let words = |bytes: &[u8]| -> Vec<u32> {
        bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
    };
    let mut start = words(b"expand 32-byte k");
    start.extend(words(key));
    start.push(counter);
    start.extend(words(nonce));
    let mut state: [u32; 16] = start.try_into().expect("sixteen words");
    let start = state;
    for _ in 0..10 {
        for [a, b, c, d] in [
            [0, 4, 8, 12],
            [1, 5, 9, 13],
            [2, 6, 10, 14],
            [3, 7, 11, 15],
            [0, 5, 10, 15],
            [1, 6, 11, 12],
            [2, 7, 8, 13],
            [3, 4, 9, 14],
        ] {
            quarter_round(&mut state, a, b, c, d);
        }
    }
    state.iter().zip(start).flat_map(|(word, start)| word.wrapping_add(start).to_le_bytes()).collect()
}

#[expect(clippy::indexing_slicing, reason = "the indices are constants below sixteen")]
const fn quarter_round(state: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(16);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(12);
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(8);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(7);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_body_opens_under_two_keys() {
        let (first, second) = (ForgedKey([1; 16]), ForgedKey([2; 16]));
        let body = body_for_two_keys(first, second, b"what the second one reads");
        let nonce = body[..16].try_into().unwrap();
        let [one, two] = [first, second].map(|key| {
            let cipher = ChaCha20Poly1305::new((&payload_key(key, &nonce)).into());
            cipher.decrypt((&ONLY_CHUNK).into(), &body[16..]).unwrap()
        });
        assert_ne!(one, two);
        assert!(two[16..].starts_with(b"what the second one reads"));
    }
}
