use reqwest::Method;
use vault_proto::age_header::{Header, Stanza, encode_argument};
use vault_proto::geometry::BodyEnd;
use vault_proto::ids::Digest;
use vault_proto::labels::context;
use vault_proto::problem::ProblemCode;
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::SegmentSeal;
use vault_proto::wire::path;

use crate::support::{Call, Draft, clinic};

/// A header of segment 0, different for each writer.
fn header_of(draft: &Draft<'_>, writer: u8) -> Vec<u8> {
    let context = context_stanza(&context(&draft.manifest.digest(), 0, 0)).unwrap();
    let stanza = Stanza::new("X25519", vec![encode_argument(&[writer; 32])], vec![writer; 32]).unwrap();
    Header::new(vec![context, stanza], [writer; 32]).unwrap().encode()
}

/// Two processes of one device fill one segment, over connections of their own, in opposite orders: one header wins,
/// each part is one writer's and whole, and only the seal of what is stored is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_of_one_segment_one_wins() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.create(&draft).await;
    let place = path::segment(&draft.id(), 0);
    let headers: Vec<Vec<u8>> = (0..8).map(|writer| header_of(&draft, writer)).collect();
    let opens =
        headers.iter().map(|header| server.put(&clinician, place.clone(), Draft::open_with(0, header)));
    let answers = futures_util::future::join_all(opens).await;
    let winner = answers.iter().position(|answer| answer.status == 201).unwrap();
    for (writer, answer) in answers.iter().enumerate() {
        if writer != winner {
            answer.refused(ProblemCode::Conflict);
        }
    }
    let header = server.get(&patient, path::header(&draft.id(), 0)).await.ok(200).body;
    assert!(header == headers[winner], "the header is the one that its row names");

    let own = draft.parts(0, 6_000_000);
    let other: Vec<Vec<u8>> = own.iter().map(|part| part.iter().map(|byte| byte ^ 0xff).collect()).collect();
    let own_puts = (0..own.len()).map(|part| (part, &own[part]));
    let other_puts = (0..own.len()).rev().map(|part| (part, &other[part]));
    let puts = own_puts
        .zip(other_puts)
        .flat_map(|(one, two)| [one, two])
        .map(|(number, bytes)| server.part(&draft, 0, number as u32, bytes));
    let answers = futures_util::future::join_all(puts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), own.len());
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), own.len());
    let hashes = server.get(&patient, path::parts(&draft.id(), 0)).await.ok(200).body;
    let body = server.get(&patient, path::body(&draft.id(), 0)).await.ok(200).body;
    let mut from = 0;
    let mut stored = Vec::new();
    for (number, hash) in hashes.chunks(32).enumerate() {
        let part = &body[from..from + own[number].len()];
        from += part.len();
        assert!(part == own[number] || part == other[number], "part {number} is a mixture");
        assert_eq!(Digest::of(part).as_bytes(), hash);
        stored.push(part.to_vec());
    }
    assert_eq!(stored.len(), own.len());
    let seal = |parts: &[Vec<u8>], header: &[u8]| {
        let seal = draft.segment_seal(0, parts, BodyEnd::Final, None);
        draft.sign_seal(&SegmentSeal { header: Digest::of(header), ..seal }).bytes().to_vec()
    };
    let put = async |seal| server.put(&clinician, path::seal(&draft.id(), 0), seal).await;
    for parts in [&own, &other] {
        if *parts != stored {
            put(seal(parts, &header)).await.refused(ProblemCode::StatementRefused);
        }
    }
    // Whose header lost cannot seal what readers would get with the other one.
    for lost in headers.iter().filter(|other| **other != header) {
        put(seal(&stored, lost)).await.refused(ProblemCode::StatementRefused);
    }
    put(seal(&stored, &header)).await.ok(201);
}

/// One process abandons the segment and fills it anew while another still sends parts of the old one: whatever came
/// when, rows and bytes agree, and the segment can be filled and sealed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoning_and_filling_do_not_mix() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.create(&draft).await;
    let parts = draft.parts(0, 4_000_000);
    let place = path::segment(&draft.id(), 0);
    for round in 0..4 {
        server.open(&draft, 0).await.ok(201);
        let late = (0u32..).zip(&parts).map(|(number, part)| server.part(&draft, 0, number, part));
        let late = futures_util::future::join_all(late);
        let abandon = Call::new(&clinician.device, Method::DELETE, place.clone(), Vec::new());
        let (late, abandoned) = tokio::join!(late, server.call(abandon));
        abandoned.ok(201);
        for answer in late {
            if answer.status != 201 {
                answer.refused(ProblemCode::OutOfOrder);
            }
        }
        server.get(&patient, path::body(&draft.id(), 0)).await.refused(ProblemCode::NotFound);
        let file = server.data().join(format!("blobs/rec/{}/seg/0/body", draft.id()));
        assert_eq!(std::fs::metadata(file).unwrap().len(), 0, "round {round}");
    }
    server.finish_from(&draft, &parts).await;
}

/// A part whose bytes were changed on the way is refused and asked for again; the good one then counts.
#[tokio::test]
async fn a_part_with_a_wrong_hash_is_asked_for_again() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.begin(&draft).await;
    let parts = draft.parts(0, 2_900_000);
    for (number, part) in (0u32..3).zip(&parts).rev() {
        let mut changed = part.clone();
        changed[part.len() - 1] ^= 1;
        let mut call = Call::new(&clinician.device, Method::PUT, path::part(&draft.id(), 0, number), changed);
        call.signed_body = Some(part.clone());
        server.call(call).await.refused(ProblemCode::DigestMismatch);
        server.part(&draft, 0, number, part).await.ok(201);
    }
    assert!(server.get(&patient, path::body(&draft.id(), 0)).await.ok(200).body == parts.concat());
}
