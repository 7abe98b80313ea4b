//! The pieces of EBML (RFC 8794) that indexing needs: ids, sizes, elements.

/// Most bytes of an element's id and size together.
pub(super) const MAX_HEADER: usize = 12;

/// Ids of elements (RFC 9559, section 5).
pub(super) mod id {
    pub(in crate::webm) const EBML: u32 = 0x1a45_dfa3;
    pub(in crate::webm) const VOID: u32 = 0xec;
    pub(in crate::webm) const CRC_32: u32 = 0xbf;
    pub(in crate::webm) const SEGMENT: u32 = 0x1853_8067;
    pub(in crate::webm) const SEEK_HEAD: u32 = 0x114d_9b74;
    pub(in crate::webm) const SEEK: u32 = 0x4dbb;
    pub(in crate::webm) const SEEK_ID: u32 = 0x53ab;
    pub(in crate::webm) const SEEK_POSITION: u32 = 0x53ac;
    pub(in crate::webm) const INFO: u32 = 0x1549_a966;
    pub(in crate::webm) const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
    pub(in crate::webm) const DURATION: u32 = 0x4489;
    pub(in crate::webm) const TRACKS: u32 = 0x1654_ae6b;
    pub(in crate::webm) const TRACK_ENTRY: u32 = 0xae;
    pub(in crate::webm) const TRACK_NUMBER: u32 = 0xd7;
    pub(in crate::webm) const TRACK_UID: u32 = 0x73c5;
    pub(in crate::webm) const TRACK_TYPE: u32 = 0x83;
    pub(in crate::webm) const DEFAULT_DURATION: u32 = 0x23_e383;
    pub(in crate::webm) const TAGS: u32 = 0x1254_c367;
    pub(in crate::webm) const CHAPTERS: u32 = 0x1043_a770;
    pub(in crate::webm) const ATTACHMENTS: u32 = 0x1941_a469;
    pub(in crate::webm) const CUES: u32 = 0x1c53_bb6b;
    pub(in crate::webm) const CUE_POINT: u32 = 0xbb;
    pub(in crate::webm) const CUE_TIME: u32 = 0xb3;
    pub(in crate::webm) const CUE_TRACK_POSITIONS: u32 = 0xb7;
    pub(in crate::webm) const CUE_TRACK: u32 = 0xf7;
    pub(in crate::webm) const CUE_CLUSTER_POSITION: u32 = 0xf1;
    pub(in crate::webm) const CLUSTER: u32 = 0x1f43_b675;
    pub(in crate::webm) const TIMESTAMP: u32 = 0xe7;
    pub(in crate::webm) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(in crate::webm) const BLOCK_GROUP: u32 = 0xa0;
    pub(in crate::webm) const BLOCK: u32 = 0xa1;
    pub(in crate::webm) const BLOCK_DURATION: u32 = 0x9b;
    pub(in crate::webm) const REFERENCE_BLOCK: u32 = 0xfb;
}

/// What the first bytes of something say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// The value, and how many bytes it took.
    Value(T, usize),
    /// More bytes are needed.
    More,
    /// No value begins like this.
    Malformed,
}

/// Length of a variable-length number that begins with `first`; at most `longest`.
fn length(first: u8, longest: usize) -> Option<usize> {
    Some(first.leading_zeros() as usize + 1).filter(|&length| length <= longest)
}

/// A floating-point number of 4 or 8 bytes, as elements hold it.
pub(super) fn float(payload: &[u8]) -> Option<f64> {
    match payload.len() {
        4 => Some(f32::from_be_bytes(payload.try_into().ok()?).into()),
        8 => Some(f64::from_be_bytes(payload.try_into().ok()?)),
        _ => None,
    }
}

/// An element's id, with its length marker.
pub(super) fn read_id(bytes: &[u8]) -> Read<u32> {
    let Some(&first) = bytes.first() else {
        return Read::More;
    };
    let Some(length) = length(first, 4) else {
        return Read::Malformed;
    };
    match bytes.get(..length) {
        Some(id) => Read::Value(id.iter().fold(0, |id, &byte| id << 8 | u32::from(byte)), length),
        None => Read::More,
    }
}

/// A variable-length number; `None` if all its bits are ones, which as a size means that it is unknown.
pub(super) fn read_number(bytes: &[u8]) -> Read<Option<u64>> {
    let Some(&first) = bytes.first() else {
        return Read::More;
    };
    let Some(length) = length(first, 8) else {
        return Read::Malformed;
    };
    let Some(number) = bytes.get(..length) else {
        return Read::More;
    };
    let bits = 7 * u32::try_from(length).unwrap_or(8);
    let mask = (1u64 << bits) - 1;
    let value = number.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte)) & mask;
    Read::Value((value != mask).then_some(value), length)
}

/// An unsigned integer of at most 8 bytes, as elements hold it.
pub(super) fn unsigned(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// The elements that `payload` is a sequence of: id, the whole element, its payload. Ends with `None` where that is no
/// such sequence.
pub(super) fn children(payload: &[u8]) -> impl Iterator<Item = Option<(u32, &[u8], &[u8])>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let found = child(rest);
        rest = found.map_or(&[], |(_, whole, _)| rest.get(whole.len()..).unwrap_or_default());
        Some(found)
    })
}

fn child(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let Read::Value(id, id_length) = read_id(bytes) else {
        return None;
    };
    let Read::Value(Some(size), size_length) = read_number(bytes.get(id_length..)?) else {
        return None;
    };
    let start = id_length + size_length;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    Some((id, bytes.get(..end)?, bytes.get(start..end)?))
}

/// What stands for a size that is not known.
pub(super) const UNKNOWN_SIZE: u64 = (1 << 56) - 1;

/// Writes an element's id and its size, the latter always in 8 bytes.
pub(super) fn write_header(out: &mut Vec<u8>, id: u32, size: u64) {
    let bytes = id.to_be_bytes();
    let leading = id.leading_zeros() as usize / 8;
    out.extend_from_slice(bytes.get(leading..).unwrap_or_default());
    // Sizes are of what is in memory or in a recording, both far below 2^56.
    out.extend_from_slice(&(size & UNKNOWN_SIZE | 1 << 56).to_be_bytes());
}

/// Writes an element.
pub(super) fn write(out: &mut Vec<u8>, id: u32, payload: &[u8]) {
    write_header(out, id, payload.len() as u64);
    out.extend_from_slice(payload);
}

/// Writes an element that holds an unsigned integer, always in 8 bytes: how long it is does not depend on its value.
pub(super) fn write_unsigned(out: &mut Vec<u8>, id: u32, value: u64) {
    write(out, id, &value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_in_every_length() {
        assert_eq!(read_number(&[0x82]), Read::Value(Some(2), 1));
        assert_eq!(read_number(&[0x40, 0x02]), Read::Value(Some(2), 2));
        assert_eq!(read_number(&[0x01, 0, 0, 0, 0, 0, 0, 2]), Read::Value(Some(2), 8));
        assert_eq!(read_number(&[0xff]), Read::Value(None, 1));
        assert_eq!(read_number(&[0x01, 255, 255, 255, 255, 255, 255, 255]), Read::Value(None, 8));
        assert_eq!(read_number(&[0x40]), Read::More);
        assert_eq!(read_number(&[0x00]), Read::Malformed);
        assert_eq!(read_id(&[0x1a, 0x45, 0xdf, 0xa3]), Read::Value(id::EBML, 4));
        assert_eq!(read_id(&[0x08, 0, 0, 0, 0]), Read::Malformed);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            id in prop::sample::select(&[id::EBML, id::VOID, id::DURATION, id::TIMESTAMP_SCALE][..]),
            payload in prop::collection::vec(any::<u8>(), 0..200),
            value in any::<u64>(),
        ) {
            let mut out = Vec::new();
            write(&mut out, id, &payload);
            write_unsigned(&mut out, id, value);
            let found: Vec<_> = children(&out).map(|child| child.map(|(id, _, payload)| (id, payload))).collect();
            prop_assert_eq!(found, [Some((id, &payload[..])), Some((id, &value.to_be_bytes()[..]))]);
            prop_assert_eq!(unsigned(&value.to_be_bytes()), Some(value));
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(children(&bytes).count() <= bytes.len());
        }
    }
}
