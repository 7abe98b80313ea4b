//! Strict Bech32 (BIP 173) for age keys: one spelling per key, of any length.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, ByteIterExt, Checksum, Fe32IterExt, Fe1024, Hrp};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bech32 as age uses it. BIP 173 stops where the checksum stops promising to find every error; age drops that limit,
/// because a post-quantum recipient has 1,959 characters.
enum AgeBech32 {}

impl Checksum for AgeBech32 {
    type MidstateRepr = u32;
    type CorrectionField = Fe1024;
    const ROOT_GENERATOR: Fe1024 = Bech32::ROOT_GENERATOR;
    const ROOT_EXPONENTS: std::ops::RangeInclusive<usize> = Bech32::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = 4096;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32::TARGET_RESIDUE;
}

/// Which of the two cases Bech32 allows a kind of key is written in.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
}

/// Writes `bytes` under the human-readable part `hrp`, or nothing if `hrp` is not one.
pub(crate) fn encode(hrp: &str, case: Case, bytes: &[u8]) -> Option<Zeroizing<String>> {
    let parsed = Hrp::parse(hrp).ok()?;
    // Reserved in full, so that no shorter copy of a secret is left behind by growing.
    let mut out = Zeroizing::new(String::with_capacity(hrp.len() + 8 + bytes.len().div_ceil(5) * 8));
    let characters = bytes.iter().copied().bytes_to_fes().with_checksum::<AgeBech32>(&parsed).chars();
    out.extend(characters.map(|character| match case {
        Case::Lower => character.to_ascii_lowercase(),
        Case::Upper => character.to_ascii_uppercase(),
    }));
    Some(out)
}

/// Reads `text` into `out` if it is the one spelling of exactly `out.len()` bytes under `hrp`. `out` is of no use when
/// the answer is `None`.
pub(crate) fn decode(text: &str, hrp: &str, case: Case, out: &mut [u8]) -> Option<()> {
    let checked = CheckedHrpstring::new::<AgeBech32>(text).ok()?;
    let mut bytes = checked.byte_iter();
    for place in out.iter_mut() {
        *place = bytes.next()?;
    }
    // Writing it again and comparing settles the case, the human-readable part, the length and the padding bits at
    // once.
    let again = encode(hrp, case, out)?;
    bool::from(again.as_bytes().ct_eq(text.as_bytes())).then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_bech32() {
        AgeBech32::sanity_check();
    }

    proptest! {
        #[test]
        fn round_trip_and_one_spelling(
            bytes in prop::array::uniform32(any::<u8>()),
            at in any::<prop::sample::Index>(),
            with in "[ -~]",
        ) {
            let text = encode("age", Case::Lower, &bytes).unwrap();
            let mut back = [0; 32];
            prop_assert_eq!(decode(&text, "age", Case::Lower, &mut back), Some(()));
            prop_assert_eq!(back, bytes);

            let upper = text.to_ascii_uppercase();
            prop_assert_eq!(decode(&upper, "age", Case::Lower, &mut back), None);
            prop_assert_eq!(decode(&text, "age1pq", Case::Lower, &mut back), None);
            prop_assert_eq!(decode(&text, "age", Case::Lower, &mut [0; 31]), None);
            prop_assert_eq!(decode(&text, "age", Case::Lower, &mut [0; 33]), None);

            let at = at.index(text.len());
            let mut changed = text.to_string();
            changed.replace_range(at..=at, &with);
            if changed != *text {
                prop_assert_eq!(decode(&changed, "age", Case::Lower, &mut back), None);
            }
        }
    }
}
