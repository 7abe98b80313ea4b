//! Sizes that tell little of what they hold: Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
//! Communication with PURBs", section 4; FORMAT.md, "Padded sizes").

/// The smallest padded size that holds `length` bytes: `length` rounded up so far that only its first bits count, about
/// as many as its number of bits has bits. It is larger by less than 12 %, by less the longer it is. A padded size is
/// its own.
pub const fn padded_size(length: u64) -> u64 {
    let Some(exponent @ 1..) = length.checked_ilog2() else {
        return length;
    };
    let kept = exponent.ilog2() + 1;
    // Above the largest multiple there is nothing to round up to; no length comes near it.
    match length.checked_next_multiple_of(1 << (exponent - kept)) {
        Some(padded) => padded,
        None => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_what_it_is_for_costs_little_and_is_its_own(length in 0u64..1 << 53, bits in 0u32..53) {
            let length = length >> bits;
            let padded = padded_size(length);
            prop_assert!(padded >= length);
            prop_assert!((padded - length) * 100 <= length * 12, "{length} becomes {padded}");
            prop_assert_eq!(padded_size(padded), padded);
            // Whatever lies between has the same: a size tells no more than that.
            prop_assert_eq!(padded_size(length + (padded - length) / 2), padded);
        }
    }

    #[test]
    fn values_of_the_definition() {
        // By hand: E = floor(log2 L), S = floor(log2 E) + 1, a multiple of 2^(E - S).
        for (length, padded) in [
            (0, 0),
            (1, 1),
            (7, 7),
            (8, 8),
            (9, 10),
            (17, 18),
            (100, 104),
            (4096, 4096),
            (4097, 4352),
            (65_537, 67_584),
            (1_000_000, 1_015_808),
            (u64::MAX, u64::MAX),
        ] {
            assert_eq!(padded_size(length), padded, "{length}");
        }
    }
}
