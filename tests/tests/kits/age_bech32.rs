//! Bech32 (BIP 173) without its limit of length, as age writes keys; apart from the product's code and its crate.

#![expect(clippy::indexing_slicing, reason = "a test's helpers fail by panicking, as its test functions do")]

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

fn checksum(values: impl Iterator<Item = u8>) -> u32 {
    values.fold(1, |sum, value| {
        let top = sum >> 25;
        let shifted = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(shifted, |sum, (_, generator)| sum ^ generator)
    })
}

/// Writes `bytes` under a human-readable part, in lower case.
pub(crate) fn encode(prefix: &str, bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut values: Vec<u8> = bits
        .chunks(5)
        .map(|chunk| (0..5).fold(0, |value, at| value << 1 | chunk.get(at).copied().unwrap_or(0)))
        .collect();
    let expanded =
        prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31));
    let sum = checksum(expanded.chain(values.iter().copied()).chain([0; 6])) ^ 1;
    values.extend((0..6).rev().map(|at| (sum >> (5 * at) & 31).to_le_bytes()[0]));
    let data: String = values.iter().map(|&value| char::from(ALPHABET[usize::from(value)])).collect();
    format!("{prefix}1{data}")
}
