//! Identities: the secret keys that file keys are unwrapped with.

use hpke::aead::{AeadTag, ChaCha20Poly1305 as HpkeChaCha20Poly1305};
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, HpkeError, Kem, OpModeR, Serializable, single_shot_open_inout_detached};
use thiserror::Error;
use vault_proto::age_header::{Header, Stanza, decode_argument};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::bech32_key::{self, Case};
use crate::chunk_aead::{ChunkAead, TAG_LEN};
use crate::file_key::{FILE_KEY_LEN, FileKey, derive};
use crate::random::RandomError;
use crate::recipient::{
    PQ_ENC_LEN, PQ_ENC_SHARE, PQ_INFO, PQ_TAG, Recipient, RecipientError, WRAP_NONCE, X25519_INFO,
    X25519_TAG, is_low_order,
};
use crate::secret_bytes::SecretBytes;
use crate::wiped_stack::on_wiped_stack;
use vault_proto::statements::Suite;

/// Tag of a stanza for a passphrase, which has to be the only one of its header.
pub const SCRYPT_TAG: &str = "scrypt";

const X25519_HRP: &str = "AGE-SECRET-KEY-";
const PQ_HRP: &str = "AGE-SECRET-KEY-PQ-";

/// The text is not an identity. The message names no part of it, since it may be nearly a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "this is not an age identity (AGE-SECRET-KEY-1… or AGE-SECRET-KEY-PQ-1…): copy it again, in full and unchanged"
)]
pub struct IdentityError;

/// A stanza carries the tag of a known suite and is not what that suite prescribes. The header is not trustworthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StanzaError {
    /// The wrong number of arguments, or an argument that is no canonical base64 of the right length.
    #[error("a recipient stanza has malformed arguments")]
    Arguments,
    /// The body is not exactly 32 bytes.
    #[error("a recipient stanza has a body of the wrong length")]
    BodyLength,
    /// The X25519 share is a point of low order: its secret is the same for everyone.
    #[error("a recipient stanza has an unsafe key share")]
    UnsafeShare,
}

/// Why no file key came out of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnwrapError {
    /// No stanza is for any of the identities.
    #[error("none of your keys opens this file: it was sealed to other recipients")]
    NoMatch,
    /// A stanza is malformed.
    #[error("the file's header is damaged or was made by a faulty program: {0}")]
    Malformed(#[from] StanzaError),
    /// A passphrase stanza next to other stanzas.
    #[error("the file's header is damaged or was made by a faulty program: a passphrase stanza is not alone")]
    PassphraseNotAlone,
}

/// A secret key that unwraps file keys. Wiped on drop.
pub struct Identity {
    secret: SecretBytes<32>,
    recipient: Recipient,
}

impl Identity {
    /// A new random identity.
    ///
    /// # Errors
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn generate(suite: Suite) -> Result<Self, RandomError> {
        // A random secret whose recipient is refused does not occur, and trying again is right if it did.
        loop {
            if let Ok(identity) = Self::from_secret(suite, SecretBytes::generate()?) {
                return Ok(identity);
            }
        }
    }

    /// Reads `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`, in capitals and without anything around it.
    ///
    /// # Errors
    /// [`IdentityError`] for everything else.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        on_wiped_stack(|| {
            for (suite, hrp) in [(Suite::X25519, X25519_HRP), (Suite::Pq, PQ_HRP)] {
                let read =
                    SecretBytes::try_fill(|out| bech32_key::decode(text, hrp, Case::Upper, out).ok_or(()));
                if let Ok(secret) = read {
                    return Self::from_secret(suite, secret).map_err(|_| IdentityError);
                }
            }
            Err(IdentityError)
        })
    }

    /// Writes the identity as any age program reads it. The text is the secret itself; it is wiped on drop.
    #[must_use]
    pub fn export(&self) -> Zeroizing<String> {
        let hrp = match self.suite() {
            Suite::X25519 => X25519_HRP,
            Suite::Pq => PQ_HRP,
        };
        bech32_key::encode(hrp, Case::Upper, self.secret.expose()).unwrap_or_default()
    }

    /// The identity whose secret is `secret`: the X25519 scalar before clamping, or the X-Wing decapsulation key.
    ///
    /// # Errors
    /// [`RecipientError::UnsafeKey`] if it has no safe recipient, which no secret is known to do.
    pub(crate) fn from_secret(suite: Suite, secret: SecretBytes<32>) -> Result<Self, RecipientError> {
        on_wiped_stack(|| {
            let recipient = match suite {
                Suite::X25519 => {
                    let secret = StaticSecret::from(*secret.expose());
                    Recipient::from_x25519(PublicKey::from(&secret).to_bytes())?
                }
                Suite::Pq => {
                    let secret = <XWing as Kem>::PrivateKey::from_bytes(secret.expose());
                    let secret = secret.map_err(|_| RecipientError::UnsafeKey)?;
                    let mut public = Box::new([0; 1216]);
                    public.copy_from_slice(&XWing::sk_to_pk(&secret).to_bytes());
                    Recipient::from_pq(public)?
                }
            };
            Ok(Self { secret, recipient })
        })
    }

    /// The suite that this identity belongs to.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.recipient.suite()
    }

    /// The recipient that belongs to this identity.
    #[must_use]
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// Unwraps the file key of a stanza; `None` if the stanza is for someone else. Which of the two it is cannot be
    /// seen from the stanza alone: a stanza for this identity with a changed body is also `None`.
    ///
    /// # Errors
    /// [`StanzaError`] if the stanza has this suite's tag and is malformed.
    pub fn unwrap(&self, stanza: &Stanza) -> Result<Option<FileKey>, StanzaError> {
        on_wiped_stack(|| match (self.suite(), stanza.tag()) {
            (Suite::X25519, X25519_TAG) => self.unwrap_x25519(stanza),
            (Suite::Pq, PQ_TAG) => self.unwrap_pq(stanza),
            _ => Ok(None),
        })
    }

    fn unwrap_x25519(&self, stanza: &Stanza) -> Result<Option<FileKey>, StanzaError> {
        let (share, ciphertext, tag) = take_apart::<32>(stanza)?;
        let secret = StaticSecret::from(*self.secret.expose());
        let shared = secret.diffie_hellman(&PublicKey::from(*share));
        if !shared.was_contributory() {
            return Err(StanzaError::UnsafeShare);
        }
        let salt = [&share[..], self.recipient.as_bytes()].concat();
        let wrap_key = derive(Some(&salt), shared.as_bytes(), &[X25519_INFO]);
        let opened = FileKey::try_fill(|key| {
            key.copy_from_slice(ciphertext);
            ChunkAead::new(wrap_key.expose()).open(&WRAP_NONCE, key, tag)
        });
        Ok(opened.ok())
    }

    fn unwrap_pq(&self, stanza: &Stanza) -> Result<Option<FileKey>, StanzaError> {
        let (enc, ciphertext, tag) = take_apart::<PQ_ENC_LEN>(stanza)?;
        let share = enc.get(PQ_ENC_SHARE..).and_then(|share| <&[u8; 32]>::try_from(share).ok());
        // The KEM itself accepts such a share; C2SP `age` wants it refused.
        if share.is_none_or(is_low_order) {
            return Err(StanzaError::UnsafeShare);
        }
        let opened = FileKey::try_fill(|key| {
            key.copy_from_slice(ciphertext);
            single_shot_open_inout_detached::<HpkeChaCha20Poly1305, HkdfSha256, XWing>(
                &OpModeR::Base,
                &<XWing as Kem>::PrivateKey::from_bytes(self.secret.expose())?,
                &<XWing as Kem>::EncappedKey::from_bytes(&enc[..])?,
                PQ_INFO,
                InOutBuf::from(&mut key[..]),
                &[],
                &AeadTag::from_bytes(tag)?,
            )?;
            Ok::<(), HpkeError>(())
        });
        Ok(opened.ok())
    }
}

/// The key share, the ciphertext of the file key and its tag.
type Parts<'a, const N: usize> = (Box<[u8; N]>, &'a [u8; FILE_KEY_LEN], &'a [u8; TAG_LEN]);

/// Takes a stanza of one argument and a body of exactly 32 bytes apart. The length is checked before any decryption: a
/// longer body could be made to open under many keys, and so tell which of them a person holds.
fn take_apart<const N: usize>(stanza: &Stanza) -> Result<Parts<'_, N>, StanzaError> {
    let [share] = stanza.args() else {
        return Err(StanzaError::Arguments);
    };
    let share = decode_argument::<N>(share).ok_or(StanzaError::Arguments)?;
    let (ciphertext, tag) =
        stanza.body().split_first_chunk::<FILE_KEY_LEN>().ok_or(StanzaError::BodyLength)?;
    let tag = <&[u8; TAG_LEN]>::try_from(tag).map_err(|_| StanzaError::BodyLength)?;
    Ok((Box::new(share), ciphertext, tag))
}

/// Unwraps the file key of a header with the first identity that has one. The header's MAC is not yet checked:
/// [`crate::payload::PayloadOpener::new`] does that, or [`FileKey::verify`].
///
/// # Errors
/// [`UnwrapError::NoMatch`] if no stanza is for any of the identities; the others if a stanza is malformed.
pub fn unwrap_header(identities: &[&Identity], header: &Header) -> Result<FileKey, UnwrapError> {
    if header.stanzas().len() > 1 && header.stanzas().iter().any(|stanza| stanza.tag() == SCRYPT_TAG) {
        return Err(UnwrapError::PassphraseNotAlone);
    }
    for identity in identities {
        for stanza in header.stanzas() {
            if let Some(file_key) = identity.unwrap(stanza)? {
                return Ok(file_key);
            }
        }
    }
    Err(UnwrapError::NoMatch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vault_proto::age_header::encode_argument;

    use super::*;

    static_assertions::assert_not_impl_any!(
        Identity: Clone, Copy, std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq
    );

    const X25519: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    const PQ: &str = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR";

    #[test]
    fn the_identities_of_the_specification_read_and_print() {
        let identity = Identity::parse(X25519).unwrap();
        assert_eq!(identity.suite(), Suite::X25519);
        assert_eq!(*identity.export(), X25519);
        assert_eq!(
            identity.recipient().to_string(),
            "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
        );
        let identity = Identity::parse(PQ).unwrap();
        assert_eq!(identity.suite(), Suite::Pq);
        assert_eq!(*identity.export(), PQ);
        let recipient = identity.recipient().to_string();
        assert!(
            recipient.starts_with(
                "age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zrqtzdxz95paef6"
            )
        );
        assert!(recipient.ends_with("ty7saeq0d3fzv49zc0k"), "{recipient}");
        assert_eq!(recipient.parse::<Recipient>().as_ref(), Ok(identity.recipient()));
    }

    #[test]
    fn anything_but_the_one_spelling_is_refused() {
        let pq_prefix_on_x25519 = X25519.replace("KEY-1", "KEY-PQ-1");
        for text in [
            "",
            "AGE-SECRET-KEY-1",
            &X25519.to_ascii_lowercase(),
            &X25519.replace("AGE", "age"),
            &format!("{X25519}\n"),
            &format!(" {X25519}"),
            &X25519[..X25519.len() - 1],
            &X25519.replace("GFPY", "GFPZ"),
            &PQ.to_ascii_lowercase(),
            &pq_prefix_on_x25519,
            "AGE-PLUGIN-YUBIKEY-1GFPYYSJZGFPYYSJZ",
            "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
        ] {
            assert!(Identity::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_the_right_identity_unwraps() {
        for suite in [Suite::X25519, Suite::Pq] {
            let (mine, other) = (Identity::generate(suite).unwrap(), Identity::generate(suite).unwrap());
            let key = FileKey::generate().unwrap();
            let stanza = mine.recipient().wrap(&key).unwrap();
            let back = mine.unwrap(&stanza).unwrap().expect("own stanza");
            assert_eq!(back.expose(), key.expose());
            assert!(other.unwrap(&stanza).unwrap().is_none());
            let of_other_suite = if suite == Suite::Pq { Suite::X25519 } else { Suite::Pq };
            assert!(Identity::generate(of_other_suite).unwrap().unwrap(&stanza).unwrap().is_none());
        }
    }

    #[test]
    fn malformed_stanzas_are_errors_not_strangers() {
        for suite in [Suite::X25519, Suite::Pq] {
            let identity = Identity::generate(suite).unwrap();
            let good = identity.recipient().wrap(&FileKey::generate().unwrap()).unwrap();
            let (tag, argument, body) = (good.tag(), good.args()[0].clone(), good.body().to_vec());
            let with = |args: &[&str], body: &[u8]| {
                let args = args.iter().map(|&arg| arg.to_owned()).collect();
                identity.unwrap(&Stanza::new(tag, args, body.to_vec()).unwrap()).err()
            };
            assert_eq!(with(&[], &body), Some(StanzaError::Arguments));
            assert_eq!(with(&[&argument, "x"], &body), Some(StanzaError::Arguments));
            assert_eq!(with(&[&argument[1..]], &body), Some(StanzaError::Arguments));
            assert_eq!(with(&[&format!("{argument}=")], &body), Some(StanzaError::Arguments));
            for length in [0, 15, 16, 31] {
                assert_eq!(with(&[&argument], &body[..length]), Some(StanzaError::BodyLength));
            }
            assert_eq!(with(&[&argument], &[&body[..], &[0]].concat()), Some(StanzaError::BodyLength));

            let mut share = data_encoding::BASE64_NOPAD.decode(argument.as_bytes()).unwrap();
            let point = share.len() - 32;
            share[point..].fill(0);
            assert_eq!(with(&[&encode_argument(&share)], &body), Some(StanzaError::UnsafeShare));
        }
    }

    #[test]
    fn a_passphrase_stanza_has_to_be_alone() {
        let identity = Identity::generate(Suite::X25519).unwrap();
        let key = FileKey::generate().unwrap();
        let scrypt = Stanza::new(SCRYPT_TAG, vec![], vec![]).unwrap();
        let header =
            key.authenticate(vec![identity.recipient().wrap(&key).unwrap(), scrypt.clone()]).unwrap();
        assert_eq!(unwrap_header(&[&identity], &header).err(), Some(UnwrapError::PassphraseNotAlone));
        let header = key.authenticate(vec![scrypt]).unwrap();
        assert_eq!(unwrap_header(&[&identity], &header).err(), Some(UnwrapError::NoMatch));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_changed_stanza_never_unwraps(pq in any::<bool>(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let suite = if pq { Suite::Pq } else { Suite::X25519 };
            let identity = Identity::generate(suite).unwrap();
            let good = identity.recipient().wrap(&FileKey::generate().unwrap()).unwrap();
            let mut share = data_encoding::BASE64_NOPAD.decode(good.args()[0].as_bytes()).unwrap();
            let mut body = good.body().to_vec();
            let at = at.index(share.len() + body.len());
            match at.checked_sub(share.len()) {
                None => share[at] ^= 1 << bit,
                Some(at) => body[at] ^= 1 << bit,
            }
            let changed = Stanza::new(good.tag(), vec![encode_argument(&share)], body).unwrap();
            prop_assert!(!matches!(identity.unwrap(&changed), Ok(Some(_))));
        }

        #[test]
        fn arbitrary_text_is_no_identity(text in ".{0,90}") {
            prop_assert!(Identity::parse(&text).is_err());
            prop_assert!(text.parse::<Recipient>().is_err());
        }
    }
}
