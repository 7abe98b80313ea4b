//! Sealing and opening parts, and everything that must not open.

use proptest::prelude::*;
use vault_proto::age_header::Stanza;
use vault_proto::geometry::MAX_PART_PLAINTEXT;

use super::*;

static_assertions::assert_impl_all!(PartJob: Send);
static_assertions::assert_impl_all!(PayloadOpener: Send, Sync);
static_assertions::assert_not_impl_any!(PayloadSealer: Clone, std::fmt::Debug, serde::Serialize);
static_assertions::assert_not_impl_any!(PartJob: Clone, std::fmt::Debug, serde::Serialize);
static_assertions::assert_not_impl_any!(PayloadOpener: Clone, std::fmt::Debug, serde::Serialize);

const LARGEST: PartChunks = PartChunks::FIFTEEN;

struct Sealed {
    opener: PayloadOpener,
    parts: Vec<Vec<u8>>,
}

/// Seals `plaintext` in the largest parts; without its last part's mark if `cut`.
fn seal(plaintext: &[u8], cut: bool) -> Sealed {
    seal_in(LARGEST, plaintext, cut)
}

fn seal_in(part_chunks: PartChunks, plaintext: &[u8], cut: bool) -> Sealed {
    let key = FileKey::generate().unwrap();
    let header = key.authenticate(vec![Stanza::new("a", vec![], vec![]).unwrap()]).unwrap();
    let copy = FileKey::try_fill(|out| {
        out.copy_from_slice(key.expose());
        Ok::<(), ()>(())
    })
    .unwrap_or_else(|()| panic!("copying a key"));
    let mut sealer = PayloadSealer::new(key, part_chunks).unwrap();
    let mut pieces: Vec<&[u8]> = plaintext.chunks(part_chunks.plaintext()).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let count = pieces.len();
    let mut parts = Vec::new();
    for (at, piece) in pieces.into_iter().enumerate() {
        let sealed = sealer.next_part(piece.to_vec(), !cut && at + 1 == count).unwrap().run().unwrap();
        assert_eq!(sealed.index as usize, at);
        parts.push(sealed.ciphertext);
    }
    let nonce: [u8; 16] = parts[0][..16].try_into().unwrap();
    let opener = PayloadOpener::new(&copy, &header, &nonce).unwrap_or_else(|_| panic!("own header"));
    Sealed { opener, parts }
}

fn media(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn parts_open_alone_and_in_any_order() {
    for part_chunks in PartChunks::ALL {
        let full = part_chunks.plaintext();
        for len in [
            0,
            1,
            CHUNK_PLAINTEXT - 1,
            CHUNK_PLAINTEXT,
            CHUNK_PLAINTEXT + 1,
            full - 1,
            full,
            full + 1,
            2 * full,
            2 * full + 3 * CHUNK_PLAINTEXT + 5,
        ] {
            let plaintext = media(len);
            let sealed = seal_in(part_chunks, &plaintext, false);
            let count = sealed.parts.len();
            for at in (0..count).rev() {
                let (place, part) = ((at as u32, part_chunks), sealed.parts[at].clone());
                let opened = sealed.opener.open_part(place, part, at + 1 == count, BodyEnd::Final).unwrap();
                let from = at * full;
                assert_eq!(opened, plaintext[from..len.min(from + full)], "{len} bytes, part {at}");
            }
        }
    }
}

#[test]
fn a_body_is_the_same_whatever_its_parts() {
    let plaintext = media(31 * CHUNK_PLAINTEXT + 7);
    for part_chunks in PartChunks::ALL {
        let sealed = seal_in(part_chunks, &plaintext, false);
        let body = sealed.parts.concat();
        for other in PartChunks::ALL {
            let parts: Vec<&[u8]> = std::iter::once(&body[..other.full_length(0).min(body.len())])
                .chain(body[other.full_length(0).min(body.len())..].chunks(other.ciphertext()))
                .collect();
            let count = parts.len();
            let opened = parts.iter().enumerate().map(|(at, part)| {
                let place = (at as u32, other);
                sealed.opener.open_part(place, part.to_vec(), at + 1 == count, BodyEnd::Final).unwrap()
            });
            assert!(opened.collect::<Vec<_>>().concat() == plaintext, "{part_chunks:?} read as {other:?}");
        }
    }
}

#[test]
fn a_cut_body_opens_only_as_a_cut_body() {
    let plaintext = media(2 * MAX_PART_PLAINTEXT);
    let sealed = seal(&plaintext, true);
    let open = |at: u32, end| {
        sealed.opener.open_part((at, LARGEST), sealed.parts[at as usize].clone(), at == 1, end)
    };
    assert_eq!(open(0, BodyEnd::Cut).unwrap(), plaintext[..MAX_PART_PLAINTEXT]);
    assert_eq!(open(1, BodyEnd::Cut).unwrap(), plaintext[MAX_PART_PLAINTEXT..]);
    assert_eq!(open(1, BodyEnd::Final), Err(OpenPartError::Chunk { index: 1, chunk: 14 }));

    let whole = seal(&plaintext, false);
    let open = |end| whole.opener.open_part((1, LARGEST), whole.parts[1].clone(), true, end);
    assert_eq!(open(BodyEnd::Cut), Err(OpenPartError::Chunk { index: 1, chunk: 14 }));
    assert!(open(BodyEnd::Final).is_ok());
    let short = seal(&media(100), false);
    let len = short.parts[0].len();
    assert_eq!(
        short.opener.open_part((0, LARGEST), short.parts[0].clone(), true, BodyEnd::Cut),
        Err(OpenPartError::Length { index: 0, len })
    );
}

#[test]
fn moved_dropped_and_lengthened_parts_are_refused() {
    let sealed = seal(&media(2 * MAX_PART_PLAINTEXT + 70_000), false);
    let open = |index: u32, part: Vec<u8>, ends| {
        sealed.opener.open_part((index, LARGEST), part, ends, BodyEnd::Final)
    };
    let [first, second, last] = [0, 1, 2].map(|at| sealed.parts[at].clone());
    assert_eq!(open(2, second.clone(), false), Err(OpenPartError::Chunk { index: 2, chunk: 0 }));
    assert_eq!(open(0, second.clone(), false), Err(OpenPartError::Length { index: 0, len: second.len() }));
    assert_eq!(
        open(0, [&first[..16], &second].concat(), false),
        Err(OpenPartError::Chunk { index: 0, chunk: 0 })
    );
    assert_eq!(open(1, first.clone(), false), Err(OpenPartError::Length { index: 1, len: first.len() }));
    assert_eq!(open(1, second.clone(), true), Err(OpenPartError::Chunk { index: 1, chunk: 14 }));
    assert_eq!(open(2, last.clone(), false), Err(OpenPartError::Length { index: 2, len: last.len() }));
    assert_eq!(open(1, last.clone(), true), Err(OpenPartError::Chunk { index: 1, chunk: 0 }));
    let beyond = LARGEST.max_parts();
    assert_eq!(open(beyond, last.clone(), true), Err(OpenPartError::Index { index: beyond }));

    let mut wrong_nonce = first.clone();
    wrong_nonce[0] ^= 1;
    assert_eq!(open(0, wrong_nonce, false), Err(OpenPartError::Nonce));
    for len in [0, 1, 15, CHUNK_CIPHERTEXT, CHUNK_CIPHERTEXT + 15, CHUNK_CIPHERTEXT + 16, last.len() - 1] {
        assert!(open(2, last[..len].to_vec(), true).is_err(), "{len}");
    }
    assert!(open(2, [&last[..], &[0]].concat(), true).is_err());
    assert_eq!(open(2, vec![0; 16], true), Err(OpenPartError::Length { index: 2, len: 16 }));
}

#[test]
fn an_empty_final_chunk_is_refused_even_when_it_is_authentic() {
    let sealed = seal(&media(MAX_PART_PLAINTEXT), true);
    let key = ChunkAead::new(sealed.opener.key.expose());
    let Ok(tag) = key.seal(&stream_nonce(15, true), &mut []) else { panic!("sealing nothing") };
    assert_eq!(
        sealed.opener.open_part((1, LARGEST), tag.to_vec(), true, BodyEnd::Final),
        Err(OpenPartError::Length { index: 1, len: 16 })
    );
    let one = seal(&media(CHUNK_PLAINTEXT), false);
    let key = ChunkAead::new(one.opener.key.expose());
    let mut body = one.parts[0][..16].to_vec();
    let mut chunk = media(CHUNK_PLAINTEXT);
    let Ok(tag) = key.seal(&stream_nonce(0, false), &mut chunk) else { panic!("sealing") };
    body.extend_from_slice(&chunk);
    body.extend_from_slice(&tag);
    let Ok(tag) = key.seal(&stream_nonce(1, true), &mut []) else { panic!("sealing nothing") };
    body.extend_from_slice(&tag);
    let len = body.len();
    assert_eq!(
        one.opener.open_part((0, LARGEST), body, true, BodyEnd::Final),
        Err(OpenPartError::Length { index: 0, len })
    );
}

#[test]
fn the_sealer_refuses_what_cannot_stand() {
    let sealer = || PayloadSealer::new(FileKey::generate().unwrap(), LARGEST).unwrap();
    let full = LARGEST.plaintext();
    let mut one = sealer();
    assert_eq!(one.next_part(vec![0; 5], false).err(), Some(SealPartError::NotFull { len: 5, full }));
    let over = MAX_PART_PLAINTEXT + 1;
    assert_eq!(one.next_part(vec![0; over], false).err(), Some(SealPartError::NotFull { len: over, full }));
    assert_eq!(one.next_part(vec![0; over], true).err(), Some(SealPartError::TooLong { len: over, full }));
    assert_eq!(one.parts_left(), LARGEST.max_parts());
    assert_eq!(one.next_part(vec![0; MAX_PART_PLAINTEXT], false).unwrap().index(), 0);
    assert_eq!(one.next_part(vec![], true).err(), Some(SealPartError::EmptyEnd));
    assert_eq!(one.next_part(vec![1], true).unwrap().index(), 1);
    assert_eq!(one.parts_left(), 0);
    assert_eq!(one.next_part(vec![1], true).err(), Some(SealPartError::Complete));
    assert_eq!(one.next_part(vec![0; MAX_PART_PLAINTEXT], false).err(), Some(SealPartError::Complete));

    let mut whole = sealer();
    whole.next = LARGEST.max_parts() - 1;
    assert_eq!(whole.next_part(vec![0; MAX_PART_PLAINTEXT], false).err(), Some(SealPartError::Full));
    let job = whole.next_part(vec![0; MAX_PART_PLAINTEXT], true).unwrap();
    assert_eq!(job.index(), LARGEST.max_parts() - 1);
    assert_eq!(whole.next_part(vec![], true).err(), Some(SealPartError::Complete));
}

#[test]
fn a_reserved_buffer_is_sealed_where_it_lies() {
    let mut sealer = PayloadSealer::new(FileKey::generate().unwrap(), LARGEST).unwrap();
    let mut buffer = PayloadSealer::part_buffer();
    buffer.resize(MAX_PART_PLAINTEXT, 7);
    let place = buffer.as_ptr();
    let sealed = sealer.next_part(buffer, false).unwrap().run().unwrap();
    assert_eq!(sealed.ciphertext.as_ptr(), place);
    assert_eq!(sealed.ciphertext.len(), MAX_PART);
}

#[test]
fn no_two_chunks_share_a_nonce() {
    let mut seen = std::collections::HashSet::new();
    for chunk in 0..u64::from(MAX_CHUNKS) {
        for is_final in [false, true] {
            assert!(seen.insert(stream_nonce(chunk, is_final)));
        }
    }
    assert_eq!(stream_nonce(1_019, true), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0x03, 0xfb, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn one_flipped_bit_is_refused(len in 0..3 * CHUNK_PLAINTEXT, at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let sealed = seal(&media(len), false);
        let mut part = sealed.parts[0].clone();
        let at = at.index(part.len());
        part[at] ^= 1 << bit;
        prop_assert!(sealed.opener.open_part((0, LARGEST), part, true, BodyEnd::Final).is_err());
    }

    #[test]
    fn every_cut_is_refused(len in 1..3 * CHUNK_PLAINTEXT, at in any::<prop::sample::Index>()) {
        let sealed = seal(&media(len), false);
        let mut part = sealed.parts[0].clone();
        part.truncate(at.index(part.len()));
        prop_assert!(sealed.opener.open_part((0, LARGEST), part, true, BodyEnd::Final).is_err());
    }
}
