//! Recognising where a cluster or another recording begins among bytes that are not understood.
//!
//! An id alone has 4 bytes, which a compressed medium has by accident once in 4 GiB. What a recorder always writes
//! behind it makes that once in more bytes than anybody records.

use super::ebml::{Read, id, read_id, read_number};

/// Most bytes of a header of EBML that is believed.
const MAX_EBML: u64 = 4096;

/// Most bytes that are looked at before it is clear what begins: id and size, a checksum, a timestamp, one byte more.
#[cfg(test)]
pub(super) const MAX_BEGINNING: usize = 4 + 8 + 13 + 17 + 1;

/// How many of these bytes lie before the first place where a cluster or another recording may begin; at their end
/// there may be less than an id. Every byte of a medium passes here, so the first byte decides in most cases.
pub(super) fn next_beginning(bytes: &[u8]) -> usize {
    let mut from = 0;
    loop {
        let rest = bytes.get(from..).unwrap_or_default();
        let Some(first) = rest.iter().position(|byte| matches!(byte, 0x1a | 0x1f)) else {
            return bytes.len();
        };
        let rest = rest.get(first..).unwrap_or_default();
        let may_begin = match rest.first_chunk::<4>() {
            Some(id) => matches!(u32::from_be_bytes(*id), id::CLUSTER | id::EBML),
            None => begins_an_id(rest),
        };
        if may_begin {
            return from + first;
        }
        from += first + 1;
    }
}

/// Whether an id of a cluster or of EBML begins with these bytes.
fn begins_an_id(bytes: &[u8]) -> bool {
    [id::CLUSTER, id::EBML].iter().any(|id| id.to_be_bytes().starts_with(bytes))
}

/// Whether bytes are a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    Yes,
    No,
    /// More bytes are needed.
    More,
}

/// Whether a cluster or another recording begins with these bytes.
pub(super) fn beginning(bytes: &[u8]) -> Beginning {
    let Some((first, rest)) = bytes.split_first_chunk::<4>() else {
        return if begins_an_id(bytes) { Beginning::More } else { Beginning::No };
    };
    let found = match u32::from_be_bytes(*first) {
        id::CLUSTER => cluster(rest),
        id::EBML => recording(rest),
        _ => Err(Beginning::No),
    };
    found.map_or_else(|not| not, |()| Beginning::Yes)
}

/// Whether `rest` goes on as a cluster does: a timestamp, perhaps behind a checksum, and another element.
fn cluster(rest: &[u8]) -> Result<(), Beginning> {
    let (_, mut rest) = size(rest)?;
    if rest.first() == Some(&0xbf) {
        (_, rest) = element(rest, 0xbf, 4..=4)?;
    }
    let (_, rest) = element(rest, id::TIMESTAMP, 1..=8)?;
    match rest.first() {
        None => Err(Beginning::More),
        // A block, a group, where the cluster is, how long the one before is, silent tracks, or the next cluster.
        Some(0xa3 | 0xa0 | 0xa7 | 0xab | 0x58 | 0x1f) => Ok(()),
        Some(_) => Err(Beginning::No),
    }
}

/// Whether `rest` goes on as a header of EBML does: all that is in one has an id of two bytes, which begin so.
fn recording(rest: &[u8]) -> Result<(), Beginning> {
    let (size, rest) = size(rest)?;
    if size.is_none_or(|size| size > MAX_EBML) {
        return Err(Beginning::No);
    }
    match rest.first() {
        None => Err(Beginning::More),
        Some(0x42) => Ok(()),
        Some(_) => Err(Beginning::No),
    }
}

/// The size that `bytes` begin with, and what follows.
fn size(bytes: &[u8]) -> Result<(Option<u64>, &[u8]), Beginning> {
    match read_number(bytes) {
        Read::Value(size, length) => Ok((size, bytes.get(length..).unwrap_or_default())),
        Read::More => Err(Beginning::More),
        Read::Malformed => Err(Beginning::No),
    }
}

/// The payload of the element `id` that `bytes` begin with, of as many bytes, and what follows.
fn element(
    bytes: &[u8],
    id: u32,
    lengths: std::ops::RangeInclusive<u64>,
) -> Result<(&[u8], &[u8]), Beginning> {
    let length = match read_id(bytes) {
        Read::Value(found, length) if found == id => length,
        Read::More => return Err(Beginning::More),
        _ => return Err(Beginning::No),
    };
    let (size, rest) = size(bytes.get(length..).unwrap_or_default())?;
    let size = size.filter(|size| lengths.contains(size)).ok_or(Beginning::No)?;
    let size = usize::try_from(size).map_err(|_| Beginning::No)?;
    rest.split_at_checked(size).ok_or(Beginning::More)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_recorders_write_is_recognised_and_nothing_shorter() {
        let chromium = b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x82\x04\x87\xa3";
        let firefox = b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x81\x06\xa3";
        let sized = b"\x1f\x43\xb6\x75\x41\x00\xbf\x84\x01\x02\x03\x04\xe7\x81\x00\xab";
        let ebml = b"\x1a\x45\xdf\xa3\x9f\x42";
        for bytes in [&chromium[..], firefox, sized, ebml] {
            assert_eq!(beginning(bytes), Beginning::Yes, "{bytes:x?}");
            for length in 0..bytes.len() {
                assert_eq!(beginning(&bytes[..length]), Beginning::More, "{length} of {bytes:x?}");
            }
        }
        for bytes in [
            &b"\x1f\x43\xb6\x76"[..],
            b"\x1f\x43\xb6\x75\x00",
            b"\x1f\x43\xb6\x75\x81\xa3",
            b"\x1a\x45\xdf\xa3\xff",
        ] {
            assert_eq!(beginning(bytes), Beginning::No, "{bytes:x?}");
        }
    }

    #[test]
    fn the_next_place_is_found_also_in_part() {
        for (bytes, at) in [
            (&b"\x1f\x1f\x43\xb6\x75"[..], 1),
            (b"\x00\x1a\x45\xdf\xa3\x1f\x43\xb6\x75", 1),
            (b"\x00\x1f\x43\xb6", 1),
            (b"\x1f\x1f", 1),
            (b"\x1f\x00\x1f\x43", 2),
            (b"\x1f\x43\xb6\x76", 4),
            (b"", 0),
        ] {
            assert_eq!(next_beginning(bytes), at, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_soon_clear(bytes in prop::collection::vec(any::<u8>(), MAX_BEGINNING), cluster in any::<bool>()) {
            let mut bytes = bytes;
            bytes[..4].copy_from_slice(&if cluster { id::CLUSTER } else { id::EBML }.to_be_bytes());
            prop_assert_ne!(beginning(&bytes), Beginning::More);
        }
    }
}
