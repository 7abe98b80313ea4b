use reqwest::Method;
use vault_proto::http_signature::CoveredHeader;
use vault_proto::ids::RecordingId;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::{RecordingPage, path};

use crate::support::{Answer, Call, Draft, Organisation, Person, Server, clinic};

/// An answer without what differs from request to request.
fn shape(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let body = String::from_utf8_lossy(&answer.body).replace(id, "ID");
    (answer.status, headers, body)
}

/// Three recordings of three patients: each caller against each recording and each kind of request.
#[tokio::test]
async fn nobody_reads_or_notices_what_is_not_theirs() {
    let organisation = Organisation::new(1);
    let patients: Vec<Person> = (10..13).map(|seed| organisation.person(seed, Role::Patient)).collect();
    let clinicians: Vec<Person> = (20..23).map(|seed| organisation.person(seed, Role::Clinician)).collect();
    let recorder = organisation.person(30, Role::Recorder);
    let outsiders = [organisation.person(31, Role::Recorder), organisation.person(32, Role::Auditor)];
    let server = Server::start(&organisation).await;
    let everyone: Vec<&Person> =
        patients.iter().chain(&clinicians).chain([&recorder]).chain(&outsiders).collect();
    server.enrol(&everyone).await;
    let mut recordings = Vec::new();
    for number in 0..3 {
        let draft =
            Draft::new(&organisation, number as u64 + 1, &patients[number], &clinicians[number], &recorder);
        let body = server.finish(&draft, 1_200_000 + number as u64).await;
        recordings.push((draft, body));
    }
    let nothing = RecordingId::from_bytes([0; 16]);
    for (number, (draft, body)) in recordings.iter().enumerate() {
        let id = draft.id();
        for caller in &everyone {
            let reader =
                std::ptr::eq(*caller, &patients[number]) || std::ptr::eq(*caller, &clinicians[number]);
            let sealer = std::ptr::eq(*caller, &recorder);
            let statements = [path::recording as fn(&RecordingId) -> String, |id| path::parts(id, 0)];
            let content = [
                (|id| path::key(id, 0)) as fn(&RecordingId) -> String,
                |id| path::key(id, 1),
                |id| path::header(id, 0),
                |id| path::body(id, 0),
                path::details,
            ];
            for (place, allowed) in statements
                .iter()
                .map(|place| (place, reader || sealer))
                .chain(content.iter().map(|place| (place, reader)))
            {
                let answer = server.get(caller, place(&id)).await;
                if allowed && place(&id) == path::key(&id, 1) {
                    answer.refused(ProblemCode::NotFound);
                } else if allowed {
                    answer.ok(200);
                } else if sealer {
                    answer.refused(ProblemCode::Forbidden);
                } else {
                    let absent = server.get(caller, place(&nothing)).await;
                    absent.refused(ProblemCode::NotFound);
                    assert_eq!(shape(&answer), shape(&absent));
                }
            }
            let writes = [
                (path::segment(&id, 1), draft.open(1, 0)),
                (path::part(&id, 0, 0), body[..32].to_vec()),
                (path::seal(&id, 0), draft.manifest.bytes().to_vec()),
                (path::details(&id), draft.details()),
                (path::final_seal(&id), draft.manifest.bytes().to_vec()),
            ];
            for (place, bytes) in writes {
                if sealer {
                    continue;
                }
                let code = if reader { ProblemCode::Forbidden } else { ProblemCode::NotFound };
                server.put(caller, place, bytes).await.refused(code);
            }
        }
        let fetched = server.get(&patients[number], path::body(&id, 0)).await.ok(200);
        assert!(fetched.body == *body);
    }
    for (number, patient) in patients.iter().enumerate() {
        let page: RecordingPage = server.get(patient, path::RECORDINGS).await.ok(200).json();
        let ids: Vec<RecordingId> = page.recordings.iter().map(|entry| entry.recording).collect();
        assert_eq!(ids, [recordings[number].0.id()]);
    }
    for outsider in &outsiders {
        let page: RecordingPage = server.get(outsider, path::RECORDINGS).await.ok(200).json();
        assert_eq!(page.recordings, []);
    }
}

#[tokio::test]
async fn a_key_is_asked_for_by_its_generation() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.create(&draft).await;
    let place = path::key(&draft.id(), 0);
    let answer = server.get(&patient, &place).await.ok(200);
    assert_eq!(answer.body, draft.key_object);
    assert_eq!(answer.headers["cache-control"], "private, no-store");
    let keys = place.strip_suffix('0').unwrap();
    for none in ["1", "4294967295", "4294967296", "00", "+0", "%2B0", "-1", "x", "", "0/"] {
        server.get(&patient, format!("{keys}{none}")).await.refused(ProblemCode::NotFound);
    }
    // One spelling of everything, not of numbers alone.
    for (plain, escaped) in [("/v1/", "/%761/"), ("/keys/", "/%6beys/"), ("/keys/0", "/keys/%30")] {
        assert!(place.contains(plain));
        server.get(&patient, place.replace(plain, escaped)).await.refused(ProblemCode::NotFound);
    }
    let unsigned = server.send(Method::GET, &place, &[], Vec::new()).await;
    unsigned.refused(ProblemCode::SignatureMissing);
}

#[tokio::test]
async fn ranges_are_the_bytes_they_name() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let body = server.finish(&draft, 1_500_000).await;
    let length = body.len();
    let fetch = async |headers: &[(&str, &str)]| {
        let mut call = Call::new(&patient.device, Method::GET, path::body(&draft.id(), 0), Vec::new());
        call.headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        server.call(call).await
    };
    let piece = 256 * 1024;
    for (first, last) in
        [(0, 0), (0, piece - 1), (1, piece), (piece, 3 * piece + 7), (length - 1, length - 1)]
    {
        let answer = fetch(&[("range", &format!("bytes={first}-{last}"))]).await.ok(206);
        assert!(answer.body == body[first..=last], "{first}-{last}");
        assert_eq!(answer.headers["content-range"], format!("bytes {first}-{last}/{length}"));
        assert_eq!(answer.headers["accept-ranges"], "bytes");
        assert_eq!(answer.headers["cache-control"], "private, no-store");
    }
    assert!(fetch(&[("range", "bytes=-70000")]).await.ok(206).body == body[length - 70_000..]);
    assert!(fetch(&[("range", "bytes=1000000-")]).await.ok(206).body == body[1_000_000..]);
    for ignored in ["bytes=0-1,5-6", "parts=0-1", "bytes=9-3", "bytes"] {
        assert!(fetch(&[("range", ignored)]).await.ok(200).body == body);
    }
    let twice = [("range", "bytes=0-1"), ("range", "bytes=0-1")];
    fetch(&twice).await.refused(ProblemCode::SignatureMissing);
    let outside = fetch(&[("range", &format!("bytes={length}-"))]).await;
    outside.refused(ProblemCode::RangeNotSatisfiable);
    assert_eq!(outside.headers["content-range"], format!("bytes */{length}"));
    let tag = fetch(&[]).await.ok(200).headers["etag"].to_str().unwrap().to_owned();
    for tag in [&tag, "\"another\""] {
        fetch(&[("range", "bytes=0-9"), ("if-range", tag)]).await.refused(ProblemCode::SignatureMissing);
        fetch(&[("if-range", tag)]).await.refused(ProblemCode::SignatureMissing);
    }
}

#[tokio::test]
async fn lists_come_in_pages_newest_first() {
    let organisation = Organisation::new(1);
    let (patient, clinician, stranger) = (
        organisation.person(10, Role::Patient),
        organisation.person(11, Role::Clinician),
        organisation.person(12, Role::Patient),
    );
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician, &stranger]).await;
    let mut expected = Vec::new();
    for number in 1..=120 {
        // Every third one is another patient's.
        let whose = if number % 3 == 0 { &stranger } else { &patient };
        let draft = Draft::new(&organisation, number, whose, &clinician, &clinician);
        server.create(&draft).await;
        if number % 3 != 0 {
            expected.push(draft.id());
        }
    }
    expected.reverse();
    for limit in [1, 7, 79, 80, 81, 500] {
        let mut seen = Vec::new();
        let mut after = String::new();
        let mut pages = 0;
        loop {
            let place = format!("/v1/recordings?limit={limit}{after}");
            let page: RecordingPage = server.get(&patient, place).await.ok(200).json();
            assert!(page.recordings.len() <= limit);
            seen.extend(page.recordings.iter().map(|entry| entry.recording));
            pages += 1;
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "limit {limit}");
        assert_eq!(pages, expected.len().div_ceil(limit));
    }
    let whole = expected[3].to_string();
    let foreign = Draft::new(&organisation, 3, &stranger, &clinician, &clinician).id();
    for (prefix, count) in [(&whole[..8], 80), (&whole[..31], 1), (&whole, 1), (&foreign.to_string(), 0)] {
        let place = format!("/v1/recordings?prefix={prefix}");
        let page: RecordingPage = server.get(&patient, place).await.ok(200).json();
        let matching = expected.iter().filter(|id| id.to_string().starts_with(prefix)).count();
        let at_least = page.recordings.len();
        assert_eq!(at_least, matching);
        assert!(at_least >= count.min(1) && (count > 1 || at_least <= 16), "{prefix}");
    }
    for query in [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=x",
        "limit=1&limit=2",
        "prefix=abcdef0",
        "prefix=ABABABAB",
        "after=x",
        "after=00000000000000000000000000000000",
        &format!("after={foreign}"),
        "other=1",
    ] {
        server.get(&patient, format!("/v1/recordings?{query}")).await.refused(ProblemCode::BadRequest);
    }
}

/// Which bytes are asked for is signed: what stands between client and server cannot ask for others in its name.
#[tokio::test]
async fn a_range_is_signed() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let body = server.finish(&draft, 200_000).await;
    let fetch = async |sent: &[(&str, &str)], signed: Option<(CoveredHeader, &str)>| {
        let mut call = Call::new(&patient.device, Method::GET, path::body(&draft.id(), 0), Vec::new());
        call.headers = sent.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        call.signed_header = Some(signed.map(|(header, value)| (header, value.to_owned())));
        server.call(call).await
    };
    let range = |value| Some((CoveredHeader::Range, value));
    let whole = ("range", "bytes=0-9");
    assert_eq!(fetch(&[whole], range("bytes=0-9")).await.ok(206).body, body[..10]);
    fetch(&[("range", "bytes=0-8")], range("bytes=0-9")).await.refused(ProblemCode::SignatureInvalid);
    for (sent, signed) in [
        (vec![whole], None),
        (vec![], range("bytes=0-9")),
        (vec![whole], Some((CoveredHeader::SegmentProgress, "bytes=0-9"))),
        (vec![whole, whole], range("bytes=0-9")),
        (vec![whole, ("x-segment-progress", "{}")], range("bytes=0-9")),
        (vec![("x-segment-progress", "{}")], None),
    ] {
        fetch(&sent, signed).await.refused(ProblemCode::SignatureMissing);
    }
}
