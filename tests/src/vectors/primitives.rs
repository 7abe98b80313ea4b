//! The format's cryptography a second time, from primitives: envelopes, stanzas, headers and STREAM chunks that
//! `vault-core` would refuse to make. What it makes and `vault-core` opens was therefore written twice.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use data_encoding::BASE64;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeS, Serializable};
use sha2::Sha256;
use vault_core::recipient::Recipient;
use vault_core::signing_key::SigningKey;
use vault_proto::age_header::{Header, Stanza, encode_argument, mac_input};
use vault_proto::envelope::Statement;
use vault_proto::geometry::{BodyEnd, CHUNK_PLAINTEXT};
use vault_proto::ids::{Digest, KeyId};
use vault_proto::labels;
use vault_proto::statements::Suite;
use x25519_dalek::{PublicKey, StaticSecret};

/// A file key in the open.
pub type FileKey = [u8; 16];

/// 32 bytes that follow from `name`: the secrets of the vectors, so that they are the same for ever.
#[must_use]
pub fn fixed_bytes(name: &str) -> [u8; 32] {
    *labels::labelled_hash("recording-vault/test-vectors", name.as_bytes()).as_bytes()
}

/// An envelope around any payload of any type.
#[must_use]
pub fn envelope(payload_type: &str, payload: &[u8], key_id: KeyId, signer: &SigningKey) -> Vec<u8> {
    let mut signed = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    signed.extend_from_slice(payload);
    format!(
        r#"{{"payloadType":"{payload_type}","payload":"{}","signatures":[{{"keyid":"{key_id}","sig":"{}"}}]}}"#,
        BASE64.encode(payload),
        BASE64.encode(&signer.sign(&signed)),
    )
    .into_bytes()
}

/// An envelope around a statement that nobody has checked.
#[must_use]
pub fn signed<T: Statement>(statement: &T, key_id: KeyId, signer: &SigningKey) -> Vec<u8> {
    envelope(T::PAYLOAD_TYPE, &serde_json::to_vec(statement).unwrap(), key_id, signer)
}

/// The payload type and the payload of an envelope.
#[must_use]
pub fn taken_apart(envelope: &[u8]) -> (String, Vec<u8>) {
    let value: serde_json::Value = serde_json::from_slice(envelope).unwrap();
    let text = |name: &str| value.get(name).and_then(serde_json::Value::as_str).unwrap().to_owned();
    (text("payloadType"), BASE64.decode(text("payload").as_bytes()).unwrap())
}

/// SHA-256 of an envelope's payload.
#[must_use]
pub fn digest(envelope: &[u8]) -> Digest {
    Digest::of(&taken_apart(envelope).1)
}

fn derive(salt: &[u8], secret: &[u8], info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut out).unwrap();
    out
}

fn seal(key: &[u8; 32], nonce: [u8; 12], plaintext: &[u8]) -> Vec<u8> {
    ChaCha20Poly1305::new(key.into()).encrypt(&Nonce::from(nonce), plaintext).unwrap()
}

/// A stanza that wraps `file_key` for `recipient`. `ephemeral` is used by the suite `x25519`.
#[must_use]
pub fn wrap(recipient: &Recipient, file_key: &[u8], ephemeral: [u8; 32]) -> Stanza {
    match recipient.suite() {
        Suite::X25519 => {
            let public: [u8; 32] = recipient.as_bytes().try_into().unwrap();
            let ephemeral = StaticSecret::from(ephemeral);
            let share = PublicKey::from(&ephemeral).to_bytes();
            let shared = ephemeral.diffie_hellman(&PublicKey::from(public));
            x25519_stanza(&share, &public, shared.as_bytes(), file_key)
        }
        Suite::Pq => {
            let public = <XWing as Kem>::PublicKey::from_bytes(recipient.as_bytes()).unwrap();
            let (enc, body) = hpke::single_shot_seal::<
                hpke::aead::ChaCha20Poly1305,
                hpke::kdf::HkdfSha256,
                XWing,
            >(
                &OpModeS::Base, &public, b"age-encryption.org/mlkem768x25519", file_key, &[]
            )
            .unwrap();
            Stanza::new("mlkem768x25519", vec![encode_argument(&enc.to_bytes())], body).unwrap()
        }
    }
}

/// A stanza whose key share is a point of low order: the shared secret is zero for everybody.
#[must_use]
pub fn wrap_to_everybody(recipient: &Recipient, file_key: &FileKey) -> Stanza {
    let public: [u8; 32] = recipient.as_bytes().try_into().unwrap();
    x25519_stanza(&[0; 32], &public, &[0; 32], file_key)
}

/// The pq stanza with its X25519 share exchanged for one of low order, and with the file key wrapped as fits that: HPKE
/// base mode (RFC 9180), from the shared secret on. `secret` is the recipient's.
#[must_use]
pub fn wrap_pq_with_low_order(stanza: &Stanza, secret: &[u8; 32], file_key: &FileKey) -> Stanza {
    const SUITE: [u8; 10] = *b"HPKE\x64\x7a\x00\x01\x00\x03";
    let mut enc = data_encoding::BASE64_NOPAD.decode(stanza.args()[0].as_bytes()).unwrap();
    enc[1088..].fill(0);
    let secret = <XWing as Kem>::PrivateKey::from_bytes(secret).unwrap();
    let shared =
        XWing::decap(&secret, None, &<XWing as Kem>::EncappedKey::from_bytes(&enc).unwrap()).unwrap();
    let extract = |salt: &[u8], label: &[u8], input: &[u8]| {
        let input = [b"HPKE-v1", &SUITE[..], label, input].concat();
        Hkdf::<Sha256>::extract(Some(salt), &input).0.to_vec()
    };
    let psk = extract(&[], b"psk_id_hash", &[]);
    let info = extract(&[], b"info_hash", b"age-encryption.org/mlkem768x25519");
    let context = [&[0][..], &psk, &info].concat();
    let secret = Hkdf::<Sha256>::from_prk(&extract(&shared.0, b"secret", &[])).unwrap();
    let expand = |label: &[u8], out: &mut [u8]| {
        let length = u16::try_from(out.len()).unwrap().to_be_bytes();
        let info = [&length[..], b"HPKE-v1", &SUITE, label, &context].concat();
        secret.expand(&info, out).unwrap();
    };
    let (mut key, mut nonce) = ([0; 32], [0; 12]);
    expand(b"key", &mut key);
    expand(b"base_nonce", &mut nonce);
    Stanza::new(stanza.tag(), vec![encode_argument(&enc)], seal(&key, nonce, file_key)).unwrap()
}

fn x25519_stanza(share: &[u8; 32], public: &[u8; 32], shared: &[u8; 32], file_key: &[u8]) -> Stanza {
    let key = derive(&[&share[..], public].concat(), shared, b"age-encryption.org/v1/X25519");
    Stanza::new("X25519", vec![encode_argument(share)], seal(&key, [0; 12], file_key)).unwrap()
}

/// A header of these stanzas with the MAC of `file_key`.
#[must_use]
pub fn header(stanzas: Vec<Stanza>, file_key: &FileKey) -> Vec<u8> {
    let key = derive(&[], file_key, b"header");
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key).unwrap();
    mac.update(&mac_input(&stanzas).unwrap());
    Header::new(stanzas, mac.finalize().into_bytes().into()).unwrap().encode()
}

/// The text of the identity whose secret is `secret`: Bech32 in capitals, of a length that BIP173 does not have.
#[must_use]
pub fn identity_text(suite: Suite, secret: &[u8; 32]) -> String {
    let prefix = match suite {
        Suite::X25519 => "age-secret-key-",
        Suite::Pq => "age-secret-key-pq-",
    };
    let bits: Vec<u8> = secret.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut values: Vec<u8> = bits
        .chunks(5)
        .map(|group| group.iter().zip([16, 8, 4, 2, 1]).map(|(bit, weight)| bit * weight).sum())
        .collect();
    let spread = prefix.bytes().map(|c| c >> 5).chain([0]).chain(prefix.bytes().map(|c| c & 31));
    let sum = spread.chain(values.iter().copied()).chain([0; 6]).fold(1, bech32_step) ^ 1;
    values.extend((0..6).rev().map(|place| u8::try_from(sum >> (5 * place) & 31).unwrap()));
    let data =
        values.iter().map(|&value| char::from(b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"[usize::from(value)]));
    format!("{prefix}1{}", data.collect::<String>()).to_uppercase()
}

fn bech32_step(sum: u32, value: u8) -> u32 {
    let generators = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let added = generators.iter().enumerate().filter(|(bit, _)| sum >> (25 + bit) & 1 == 1);
    added.fold((sum & 0x01ff_ffff) << 5 ^ u32::from(value), |next, (_, generator)| next ^ generator)
}

/// A payload that is written chunk by chunk, with any number and any mark on each.
pub struct Payload {
    key: [u8; 32],
    bytes: Vec<u8>,
}

impl Payload {
    /// Begins with the nonce.
    #[must_use]
    pub fn new(file_key: &FileKey, nonce: [u8; 16]) -> Self {
        Self { key: derive(&nonce, file_key, b"payload"), bytes: nonce.to_vec() }
    }

    /// Adds one chunk.
    #[must_use]
    pub fn chunk(mut self, number: u64, is_final: bool, plaintext: &[u8]) -> Self {
        let mut nonce = [0; 12];
        nonce.get_mut(3..11).unwrap().copy_from_slice(&number.to_be_bytes());
        nonce[11] = u8::from(is_final);
        self.bytes.extend(seal(&self.key, nonce, plaintext));
        self
    }

    /// All chunks of `plaintext`, as the format wants them.
    #[must_use]
    pub fn all(mut self, plaintext: &[u8], end: BodyEnd) -> Self {
        let count = plaintext.len().div_ceil(CHUNK_PLAINTEXT).max(1);
        for number in 0..count {
            let from = number * CHUNK_PLAINTEXT;
            let chunk = plaintext.get(from..plaintext.len().min(from + CHUNK_PLAINTEXT)).unwrap();
            self = self.chunk(number as u64, end == BodyEnd::Final && number + 1 == count, chunk);
        }
        self
    }

    /// The nonce and the chunks.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}
