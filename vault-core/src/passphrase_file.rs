//! A small content under a passphrase: an age file with one `scrypt` stanza, in memory.

use age::secrecy::{ExposeSecret, SecretString};
use age::{Identity as _, Recipient as _};
use thiserror::Error;
use vault_proto::age_header::{Header, HeaderError, Stanza, decode_argument};
use zeroize::Zeroizing;

use crate::age_file::{OpenError, SealError, open_payload, seal_with_stanzas};
use crate::file_key::{FILE_KEY_LEN, FileKey};
use crate::identity::SCRYPT_TAG;
use crate::random::RandomError;
use crate::wiped_stack::on_wiped_stack;

/// The work that each guess at a passphrase takes, as a power of two: scrypt with N = 2^n, r = 8, p = 1, as age has it,
/// which is 2^n KiB of memory and, on a machine of today, half a second for 17.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkFactor(u8);

impl WorkFactor {
    /// The least that is accepted: 32 MiB, for machines that have no more.
    pub const LEAST: Self = Self(15);
    /// The most: 256 MiB, as stock age writes.
    pub const MOST: Self = Self(18);

    /// The work factor 2^`exponent`; `None` outside [`Self::LEAST`] and [`Self::MOST`].
    pub fn new(exponent: u8) -> Option<Self> {
        (Self::LEAST.0..=Self::MOST.0).contains(&exponent).then_some(Self(exponent))
    }
}

/// 17, 128 MiB: the least that OWASP's cheat sheet on password storage advises for r = 8, p = 1. The memory is needed
/// for that half second alone, before anything is sealed or opened.
impl Default for WorkFactor {
    fn default() -> Self {
        Self(17)
    }
}

/// Which work factors are accepted, as powers of two. A file outside is refused before any work is done: one below
/// could have been planted to make guessing cheap, one above to make the reader run out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkFactors {
    floor: u8,
    ceiling: u8,
}

impl WorkFactors {
    /// What [`unlock`] accepts: all that [`WorkFactor`] can be.
    pub const ACCEPTED: Self = Self { floor: WorkFactor::LEAST.0, ceiling: WorkFactor::MOST.0 };

    /// Other bounds, for files of other programs. Below [`WorkFactors::ACCEPTED`] a passphrase is cheap to guess.
    #[must_use]
    pub fn new(floor: u8, ceiling: u8) -> Self {
        Self { floor, ceiling }
    }
}

/// Why nothing was locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LockError {
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The passphrase could not be worked into a key.
    #[error("the passphrase could not be worked into a key; nothing was written")]
    Derivation,
    /// The content could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Why a file stays locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnlockError {
    /// The file is whole as far as can be seen without its passphrase, and this is not its passphrase. Damage to the 32
    /// bytes that hold the wrapped key looks the same.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The passphrase may be right; the file is not as it was written.
    #[error(
        "this passphrase-protected file is damaged; the passphrase may well be right: restore the file from a copy"
    )]
    Damaged,
    /// The work factor is out of bounds. The passphrase was not used.
    #[error(
        "this file asks for a work factor of {work_factor}, only {floor} to {ceiling} are accepted: it was not written by this program"
    )]
    WorkFactor {
        /// What the file asks for, as a power of two.
        work_factor: u64,
        /// The least accepted.
        floor: u8,
        /// The most accepted.
        ceiling: u8,
    },
    /// Not an age file, or one for other kinds of recipients.
    #[error("this is not a passphrase-protected age file")]
    NotPassphraseFile,
    /// The content is longer than the caller allows.
    #[error("the content is longer than the {limit} bytes expected here")]
    TooLong {
        /// The caller's limit in bytes.
        limit: usize,
    },
}

/// Locks a content under a passphrase, as a file that any age program opens.
///
/// # Errors
/// [`LockError`].
pub fn lock(
    passphrase: &SecretString,
    plaintext: &[u8],
    work_factor: WorkFactor,
) -> Result<Vec<u8>, LockError> {
    on_wiped_stack(|| {
        let file_key = FileKey::generate()?;
        let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
        recipient.set_work_factor(work_factor.0);
        let lent = age_core::format::FileKey::init_with_mut(|key| key.copy_from_slice(file_key.expose()));
        let (stanzas, _) = recipient.wrap_file_key(&lent).map_err(|_| LockError::Derivation)?;
        let stanzas = stanzas.into_iter().map(|stanza| Stanza::new(&stanza.tag, stanza.args, stanza.body));
        let stanzas = stanzas.collect::<Result<Vec<_>, _>>().map_err(SealError::from)?;
        Ok(seal_with_stanzas(file_key, stanzas, plaintext)?)
    })
}

/// Unlocks a file whose work factor is within [`WorkFactors::ACCEPTED`].
///
/// # Errors
/// [`UnlockError`]; nothing is released then.
pub fn unlock(passphrase: &SecretString, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnlockError> {
    unlock_within(passphrase, bytes, WorkFactors::ACCEPTED, bytes.len())
}

/// Unlocks a file whose work factor is within `accepted` and whose content has at most `limit` bytes.
///
/// # Errors
/// [`UnlockError`]; nothing is released then.
pub fn unlock_within(
    passphrase: &SecretString,
    bytes: &[u8],
    accepted: WorkFactors,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, UnlockError> {
    on_wiped_stack(|| {
        let (header, length) = Header::parse(bytes).map_err(|error| match error {
            HeaderError::NotAge | HeaderError::UnsupportedVersion => UnlockError::NotPassphraseFile,
            _ => UnlockError::Damaged,
        })?;
        let stanza = only_scrypt_stanza(&header)?;
        check_stanza(stanza, accepted)?;

        let mut identity = age::scrypt::Identity::new(passphrase.clone());
        identity.set_max_work_factor(accepted.ceiling);
        let stanza = age_core::format::Stanza {
            tag: stanza.tag().to_owned(),
            args: stanza.args().to_vec(),
            body: stanza.body().to_vec(),
        };
        let unwrapped = match identity.unwrap_stanza(&stanza) {
            Some(Ok(key)) => key,
            Some(Err(age::DecryptError::DecryptionFailed)) => return Err(UnlockError::WrongPassphrase),
            Some(Err(_)) | None => return Err(UnlockError::Damaged),
        };
        let file_key = FileKey::try_fill(|key| {
            key.copy_from_slice(unwrapped.expose_secret());
            Ok::<(), UnlockError>(())
        })?;
        let payload = bytes.get(length..).unwrap_or_default();
        let reader = open_payload(&file_key, &header, payload).map_err(|_| UnlockError::Damaged)?;
        reader.read_whole(payload.len(), limit).map_err(|error| match OpenError::from(error) {
            OpenError::Payload(crate::payload_reader::PayloadError::TooLong { limit }) => {
                UnlockError::TooLong { limit }
            }
            _ => UnlockError::Damaged,
        })
    })
}

fn only_scrypt_stanza(header: &Header) -> Result<&Stanza, UnlockError> {
    let is_scrypt = |stanza: &&Stanza| stanza.tag() == SCRYPT_TAG;
    match (header.stanzas(), header.stanzas().iter().find(is_scrypt)) {
        (_, None) => Err(UnlockError::NotPassphraseFile),
        ([only], Some(_)) => Ok(only),
        // C2SP `age`: a passphrase stanza has to be the only one.
        (_, Some(_)) => Err(UnlockError::Damaged),
    }
}

/// C2SP `age`, "scrypt recipient stanza", and our bounds. Everything is checked before the passphrase is used.
fn check_stanza(stanza: &Stanza, accepted: WorkFactors) -> Result<(), UnlockError> {
    let [salt, work_factor] = stanza.args() else {
        return Err(UnlockError::Damaged);
    };
    let digits_only = work_factor.bytes().all(|byte| byte.is_ascii_digit()) && !work_factor.starts_with('0');
    if decode_argument::<16>(salt).is_none() || stanza.body().len() != FILE_KEY_LEN + 16 || !digits_only {
        return Err(UnlockError::Damaged);
    }
    // More digits than fit are a work factor that is too high, not another kind of error.
    let work_factor = work_factor.parse::<u64>().unwrap_or(u64::MAX);
    let WorkFactors { floor, ceiling } = accepted;
    if work_factor < u64::from(floor) || work_factor > u64::from(ceiling) {
        return Err(UnlockError::WorkFactor { work_factor, floor, ceiling });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    fn with_stanza(args: &[&str], body: &[u8]) -> Vec<u8> {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let stanza = Stanza::new(SCRYPT_TAG, args, body.to_vec()).unwrap();
        let mut bytes = Header::new(vec![stanza], [0; 32]).unwrap().encode();
        bytes.extend_from_slice(&[0; 32]);
        bytes
    }

    const SALT: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn locked_content_comes_back_with_its_passphrase_only() {
        let passphrase = secret("correct horse");
        let locked = lock(&passphrase, b"identity file", WorkFactor::LEAST).unwrap();
        let (header, length) = Header::parse(&locked).unwrap();
        assert_eq!(header.stanzas()[0].args()[1], "15");
        assert_eq!(**unlock(&passphrase, &locked).unwrap(), *b"identity file");
        assert_eq!(unlock(&secret("correct horsf"), &locked).err(), Some(UnlockError::WrongPassphrase));
        assert_eq!(unlock(&secret(""), &locked).err(), Some(UnlockError::WrongPassphrase));
        assert_eq!(
            unlock_within(&passphrase, &locked, WorkFactors::ACCEPTED, 3).err(),
            Some(UnlockError::TooLong { limit: 3 })
        );

        // Damage is never called a wrong passphrase: in the MAC, the nonce, the content, or a cut.
        for at in [length - 3, length, length + 16, locked.len() - 1] {
            let mut damaged = locked.clone();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(unlock(&passphrase, &damaged).err(), Some(UnlockError::Damaged), "byte {at}");
        }
        for end in [length - 1, length, length + 15, locked.len() - 1] {
            assert_eq!(unlock(&passphrase, &locked[..end]).err(), Some(UnlockError::Damaged), "cut at {end}");
        }
    }

    #[test]
    fn a_file_is_locked_with_the_work_factor_that_was_asked_for() {
        assert_eq!(
            [14, 15, 18, 19].map(|n| WorkFactor::new(n).map(|n| n.0)),
            [None, Some(15), Some(18), None]
        );
        let passphrase = secret("correct horse");
        let locked = lock(&passphrase, b"identity file", WorkFactor::default()).unwrap();
        assert_eq!(Header::parse(&locked).unwrap().0.stanzas()[0].args()[1], "17");
        assert_eq!(**unlock(&passphrase, &locked).unwrap(), *b"identity file");
    }

    #[test]
    fn work_factors_out_of_bounds_are_refused_before_the_work() {
        // 2^63 would never end, so that this test ends shows that the work was not done.
        for (text, work_factor) in [
            ("1", 1),
            ("10", 10),
            ("14", 14),
            ("19", 19),
            ("63", 63),
            ("18446744073709551615", u64::MAX),
            ("99999999999999999999999", u64::MAX),
        ] {
            let file = with_stanza(&[SALT, text], &[0; 32]);
            assert_eq!(
                unlock(&secret("x"), &file).err(),
                Some(UnlockError::WorkFactor { work_factor, floor: 15, ceiling: 18 }),
                "{text}"
            );
        }
    }

    #[test]
    fn malformed_stanzas_are_damage() {
        for (args, body) in [
            (&[SALT][..], &[0; 32][..]),
            (&[SALT, "15", "x"], &[0; 32]),
            (&[SALT, "015"], &[0; 32]),
            (&[SALT, "+15"], &[0; 32]),
            (&[SALT, "0xf"], &[0; 32]),
            (&[SALT, "15x"], &[0; 32]),
            (&[SALT, "0"], &[0; 32]),
            (&[&SALT[1..], "15"], &[0; 32]),
            (&["AAAAAAAAAAAAAAAAAAAAAB", "15"], &[0; 32]),
            (&[SALT, "15"], &[0; 31]),
            (&[SALT, "15"], &[0; 33]),
        ] {
            let file = with_stanza(args, body);
            assert_eq!(unlock(&secret("x"), &file).err(), Some(UnlockError::Damaged), "{args:?}");
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        let reader = crate::identity::Identity::generate(vault_proto::statements::Suite::X25519).unwrap();
        let sealed = crate::age_file::seal_small(&[reader.recipient().clone()], None, b"x").unwrap();
        for file in [&sealed[..], b"", b"hello", b"age-encryption.org/v2\n", b"\x89PNG"] {
            let error = unlock(&secret("x"), file).err();
            let expected =
                if file.is_empty() { UnlockError::Damaged } else { UnlockError::NotPassphraseFile };
            assert_eq!(error, Some(expected), "{:?}", String::from_utf8_lossy(file));
        }
        let scrypt = Stanza::new(SCRYPT_TAG, vec![SALT.to_owned(), "15".to_owned()], vec![0; 32]).unwrap();
        let file = Header::new(vec![scrypt.clone(), scrypt], [0; 32]).unwrap().encode();
        assert_eq!(unlock(&secret("x"), &file).err(), Some(UnlockError::Damaged));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(unlock(&secret("x"), &bytes).is_err());
        }
    }
}
