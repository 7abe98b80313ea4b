//! What two people compare to know that their programs see the same keys (FORMAT.md, "Comparing keys").
//!
//! * [`Comparison::code`]: six digits, read aloud. It hashes a nonce of each side; both nonces are committed to before
//!   either is revealed, so whoever stands between the two has one guess in a million, once for each time they try.
//! * [`Comparison::number`]: sixty digits, scanned or typed. It needs no nonces: it is too long to be met by search.

use crate::ids::{AccountId, ComparisonNonce, Digest, OrganisationId};
use crate::labels;

/// Digits of the code that is read aloud.
pub const CODE_DIGITS: usize = 6;
/// Digits of the number that is scanned or typed.
pub const NUMBER_DIGITS: usize = 60;

/// An account and the digest of its newest key list, as one of the two programs sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// The account.
    pub account: AccountId,
    /// Digest of its newest key list.
    pub key_list: Digest,
}

/// Two accounts under one organisation, as one of the two programs sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    organisation: OrganisationId,
    own: Side,
    other: Side,
}

/// An account cannot be compared with itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an account has nothing to compare with itself")]
pub struct SameAccount;

impl Comparison {
    /// Fixes what is compared. It must be fixed before any nonce is revealed.
    ///
    /// # Errors
    /// [`SameAccount`].
    pub fn new(organisation: OrganisationId, own: Side, other: Side) -> Result<Self, SameAccount> {
        if own.account == other.account { Err(SameAccount) } else { Ok(Self { organisation, own, other }) }
    }

    /// The person's own side.
    pub const fn own(&self) -> &Side {
        &self.own
    }

    /// The other person's side.
    pub const fn other(&self) -> &Side {
        &self.other
    }

    /// The commitment to one's own nonce.
    pub fn own_commitment(&self, nonce: &ComparisonNonce) -> Digest {
        commitment(&self.organisation, &self.own.account, &self.other.account, nonce)
    }

    /// The commitment that the other side must have made to `nonce`.
    pub fn other_commitment(&self, nonce: &ComparisonNonce) -> Digest {
        commitment(&self.organisation, &self.other.account, &self.own.account, nonce)
    }

    /// The six digits to read aloud; the same on both sides if both see the same keys and nonces.
    pub fn code(&self, own: &ComparisonNonce, other: &ComparisonNonce) -> String {
        let mut transcript = self.organisation.as_bytes().to_vec();
        for (side, nonce) in self.sorted((&self.own, own), (&self.other, other)) {
            transcript.extend_from_slice(side.account.as_bytes());
            transcript.extend_from_slice(side.key_list.as_bytes());
            transcript.extend_from_slice(nonce.as_bytes());
        }
        last_digits(&labels::labelled_hash(labels::COMPARE, &transcript), CODE_DIGITS)
    }

    /// The sixty digits to scan or type; the same on both sides if both see the same keys.
    pub fn number(&self) -> String {
        let mut transcript = self.organisation.as_bytes().to_vec();
        for (side, ()) in self.sorted((&self.own, ()), (&self.other, ())) {
            transcript.extend_from_slice(side.account.as_bytes());
            transcript.extend_from_slice(side.key_list.as_bytes());
        }
        last_digits(&labels::labelled_hash(labels::COMPARE_NUMBER, &transcript), NUMBER_DIGITS)
    }

    /// Both sides, that with the smaller account id first.
    fn sorted<'a, T>(&self, own: (&'a Side, T), other: (&'a Side, T)) -> [(&'a Side, T); 2] {
        if self.own.account < self.other.account { [own, other] } else { [other, own] }
    }
}

fn commitment(
    organisation: &OrganisationId,
    committer: &AccountId,
    other: &AccountId,
    nonce: &ComparisonNonce,
) -> Digest {
    let data = [organisation.as_bytes(), committer.as_bytes(), other.as_bytes(), nonce.as_bytes()]
        .map(<[u8; 32]>::as_slice)
        .concat();
    labels::labelled_hash(labels::COMPARE_COMMITMENT, &data)
}

/// The last `count` decimal digits of a digest read as a big-endian number, leading zeros kept. Of 2^256 possible
/// numbers each ending is met equally often but for a share below 10^-16, also with sixty digits.
fn last_digits(digest: &Digest, count: usize) -> String {
    let mut number = *digest.as_bytes();
    let mut digits: Vec<char> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut rest: u16 = 0;
        for byte in &mut number {
            let value = rest << 8 | u16::from(*byte);
            // Below 256, because the rest is below 10.
            *byte = u8::try_from(value / 10).unwrap_or(u8::MAX);
            rest = value % 10;
        }
        digits.extend(char::from_digit(u32::from(rest), 10));
    }
    digits.into_iter().rev().collect()
}

/// Reads a number as a person typed or scanned it: [`NUMBER_DIGITS`] digits, with any white space between them. `None`
/// if it is not one.
pub fn parse_number(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    (digits.len() == NUMBER_DIGITS && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

/// Digits in groups, for reading: of three for a code, of five for a number.
pub fn grouped(digits: &str) -> String {
    let size = if digits.len() <= CODE_DIGITS { 3 } else { 5 };
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % size == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn side(account: [u8; 32], key_list: [u8; 32]) -> Side {
        Side { account: AccountId::from_bytes(account), key_list: Digest::from_bytes(key_list) }
    }

    fn nonce(bytes: [u8; 32]) -> ComparisonNonce {
        ComparisonNonce::from_bytes(bytes)
    }

    fn comparison(organisation: [u8; 32], own: Side, other: Side) -> Comparison {
        Comparison::new(OrganisationId::from_bytes(organisation), own, other).unwrap()
    }

    /// From `tests/vectors/comparing-keys.json`, made by a program that shares no code with this one.
    #[test]
    fn the_vectors_hold() {
        let text = include_str!("../../tests/vectors/comparing-keys.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        assert!(vectors.len() >= 3);
        for vector in vectors {
            let bytes = |name: &str| -> [u8; 32] {
                let text = vector[name].as_str().unwrap();
                data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
            };
            let own = side(bytes("own_account"), bytes("own_key_list"));
            let other = side(bytes("other_account"), bytes("other_key_list"));
            let seen = comparison(bytes("organisation"), own, other);
            let (own_nonce, other_nonce) = (nonce(bytes("own_nonce")), nonce(bytes("other_nonce")));
            assert_eq!(seen.own_commitment(&own_nonce).to_string(), vector["own_commitment"]);
            assert_eq!(seen.other_commitment(&other_nonce).to_string(), vector["other_commitment"]);
            assert_eq!(seen.code(&own_nonce, &other_nonce), vector["code"].as_str().unwrap());
            assert_eq!(seen.number(), vector["number"].as_str().unwrap());
        }
    }

    proptest! {
        #[test]
        fn both_sides_derive_the_same(
            organisation: [u8; 32], a: [u8; 32], b: [u8; 32], lists: [[u8; 32]; 2], nonces: [[u8; 32]; 2],
        ) {
            prop_assume!(a != b);
            let (first, second) = (side(a, lists[0]), side(b, lists[1]));
            let (n, m) = (nonce(nonces[0]), nonce(nonces[1]));
            let here = comparison(organisation, first, second);
            let there = comparison(organisation, second, first);
            prop_assert_eq!(here.code(&n, &m), there.code(&m, &n));
            prop_assert_eq!(here.number(), there.number());
            prop_assert_eq!(here.own_commitment(&n), there.other_commitment(&n));
            // Nobody's commitment can be handed back as the other's.
            prop_assert_ne!(here.own_commitment(&n), here.other_commitment(&n));
            prop_assert_eq!(here.code(&n, &m).len(), CODE_DIGITS);
            prop_assert_eq!(here.number().len(), NUMBER_DIGITS);
            let typed = grouped(&here.number());
            prop_assert_eq!(parse_number(&typed), Some(here.number()));
        }

        #[test]
        fn everything_that_is_seen_enters_the_number(
            organisation: [u8; 32], a: [u8; 32], b: [u8; 32], lists: [[u8; 32]; 2], what in 0usize..5, bit in 0usize..256,
        ) {
            let flipped = |bytes: [u8; 32], place: usize| {
                let mut bytes = bytes;
                if place == what {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                bytes
            };
            let (a2, b2) = (flipped(a, 0), flipped(b, 1));
            prop_assume!(a != b && a2 != b2 && (a2, b2) != (b, a));
            let before = comparison(organisation, side(a, lists[0]), side(b, lists[1]));
            let after = comparison(
                flipped(organisation, 4),
                side(a2, flipped(lists[0], 2)),
                side(b2, flipped(lists[1], 3)),
            );
            prop_assert_ne!(before.number(), after.number());
        }

        #[test]
        fn numbers_that_are_typed_are_read_without_panic(text in "[0-9 \\-a-f\t\n]{0,80}") {
            if let Some(number) = parse_number(&text) {
                prop_assert_eq!(number.len(), NUMBER_DIGITS);
            }
        }
    }

    /// A man in the middle who fixes all he can choose still meets each digit at each place: the nonce decides.
    #[test]
    fn the_other_nonce_alone_spreads_the_code() {
        let seen = comparison([1; 32], side([2; 32], [3; 32]), side([4; 32], [5; 32]));
        let mut met = [[false; 10]; CODE_DIGITS];
        for round in 0..400u16 {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&round.to_be_bytes());
            let code = seen.code(&nonce([6; 32]), &nonce(bytes));
            for (place, digit) in code.bytes().enumerate() {
                met[place][usize::from(digit - b'0')] = true;
            }
        }
        assert!(met.iter().flatten().all(|met| *met), "{met:?}");
    }

    #[test]
    fn digits_are_those_of_the_big_endian_number() {
        let mut bytes = [0; 32];
        bytes[30..].copy_from_slice(&12_345u16.to_be_bytes());
        assert_eq!(last_digits(&Digest::from_bytes(bytes), 6), "012345");
        assert_eq!(last_digits(&Digest::from_bytes(bytes), 3), "345");
        // 2^256 - 1
        let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        assert_eq!(last_digits(&Digest::from_bytes([255; 32]), 60), most[most.len() - 60..]);
        assert_eq!(grouped("012345"), "012 345");
        assert_eq!(
            Comparison::new(
                OrganisationId::from_bytes([0; 32]),
                side([1; 32], [2; 32]),
                side([1; 32], [3; 32])
            ),
            Err(SameAccount)
        );
    }
}
