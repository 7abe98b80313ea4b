//! X-Wing: the test vectors of draft-connolly-cfrg-xwing-kem, through identities, recipients and the HPKE stanza.
//!
//! The vectors are in the very `x-wing` package that the product is built with, and are read from there at test time.
//! Only hybrid vectors of whole files test more, and those run in `cctv_age.rs`: `hybrid_low_order` and
//! `hybrid_identity` among them.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::convert::Infallible;

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeS, Serializable, single_shot_seal_with_rng};
use serde::Deserialize;
use vault_core::identity::{Identity, StanzaError};
use vault_core::recipient::Recipient;
use vault_proto::age_header::Stanza;
use vault_proto::statements::Suite;

use crate::{age_bech32, registry_package};

#[derive(Deserialize)]
struct Vector {
    seed: String,
    eseed: String,
    ss: String,
    pk: String,
    ct: String,
}

/// Hands out the published randomness, once.
struct Published(Vec<u8>);

impl TryRng for Published {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("an encapsulation draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("an encapsulation draws bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<u8>>());
        Ok(())
    }
}

impl TryCryptoRng for Published {}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

#[test]
fn the_vectors_of_the_draft() {
    let vectors: Vec<Vector> =
        serde_json::from_str(&registry_package::read("x-wing", "tests/test-vectors.json")).unwrap();
    for vector in &vectors {
        let text = age_bech32::encode("age-secret-key-pq-", &hex(&vector.seed));
        let identity = Identity::parse(&text.to_ascii_uppercase()).unwrap();
        assert_eq!(identity.suite(), Suite::Pq);
        let public = hex(&vector.pk);
        assert_eq!(identity.recipient().as_bytes(), public);
        let recipient: Recipient = age_bech32::encode("age1pq", &public).parse().unwrap();
        assert_eq!(&recipient, identity.recipient());

        let key = <XWing as Kem>::PublicKey::from_bytes(&public).unwrap();
        let secret = <XWing as Kem>::PrivateKey::from_bytes(&hex(&vector.seed)).unwrap();
        let (shared, enc) = XWing::encap_with_rng(&key, None, &mut Published(hex(&vector.eseed))).unwrap();
        assert_eq!((&shared.0[..], &enc.to_bytes()[..]), (&hex(&vector.ss)[..], &hex(&vector.ct)[..]));
        assert_eq!(XWing::decap(&secret, None, &enc).unwrap().0[..], hex(&vector.ss));

        // The stanza with the published ciphertext, as any HPKE program makes it, unwraps with the product's identity.
        let (enc, body) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &key,
            b"age-encryption.org/mlkem768x25519",
            &[0x5a; 16],
            &[],
            &mut Published(hex(&vector.eseed)),
        )
        .unwrap();
        assert_eq!(enc.to_bytes()[..], hex(&vector.ct));
        let stanza =
            |enc: &[u8]| Stanza::new("mlkem768x25519", vec![BASE64_NOPAD.encode(enc)], body.clone()).unwrap();
        assert!(matches!(identity.unwrap(&stanza(&enc.to_bytes())), Ok(Some(_))));
        let mut changed = enc.to_bytes();
        changed[0] ^= 1;
        assert!(matches!(identity.unwrap(&stanza(&changed)), Ok(None)), "implicit rejection");
        changed[1088..].fill(0);
        assert!(matches!(identity.unwrap(&stanza(&changed)), Err(StanzaError::UnsafeShare)));
    }
    println!("{} vectors", vectors.len());
    assert!(vectors.len() >= 3, "{} vectors found", vectors.len());
}
