//! What a store without any key can do to recordings: alter, exchange, drop, double, cut, lengthen.

use data_encoding::BASE64;
use vault_proto::geometry::{MAX_PART, MAX_PART_PLAINTEXT};
use vault_proto::statements::Suite;

use super::Outcome::{self, Damaged, MixUp, NotEntitled};
use super::cast::Cast;
use super::draft::{Draft, Objects, Recording};
use super::{Scenario, primitives};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [
        altered(cast),
        altered_key(cast),
        exchanged(cast),
        moved_within(cast),
        missing(cast),
        lengths(cast),
        respelt(cast),
        confused(cast),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const TAKES: &[(u8, usize)] = &[(0, 700), (1, 700)];

fn record(cast: &Cast, name: &str) -> Recording {
    Draft::new(cast, Suite::X25519, name, TAKES).record()
}

/// A change to what is stored, by name, with the class of refusal it has to meet.
type Change = (&'static str, &'static str, Outcome, fn(&mut Objects));

fn changed(cast: &Cast, recording: &Recording, changes: &[Change]) -> Vec<Scenario> {
    changes
        .iter()
        .map(|&(name, text, outcome, change)| {
            Scenario::refused(name, text, cast, recording, outcome).with(change)
        })
        .collect()
}

fn flip(bytes: &mut [u8], at: usize) {
    *bytes.get_mut(at).unwrap() ^= 1;
}

/// Exchanges the character behind `mark` for another that is as good there.
fn alter_after(bytes: &mut [u8], mark: &str) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let at = text.rfind(mark).unwrap() + mark.len();
    alter(bytes, at);
}

/// Exchanges a character of base64 for another.
fn alter(bytes: &mut [u8], at: usize) {
    let place = bytes.get_mut(at).unwrap();
    *place = if *place == b'B' { b'C' } else { b'B' };
}

/// Where the header of a whole age file ends.
pub(super) fn header_length(file: &[u8]) -> usize {
    let text = String::from_utf8_lossy(file);
    // Its MAC line: a mark, 43 characters, a line feed.
    text.find("\n--- ").unwrap() + 5 + 43 + 1
}

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(std::mem::take(bytes)).unwrap();
    assert!(text.contains(from));
    *bytes = text.replacen(from, to, 1).into_bytes();
}

fn details(objects: &mut Objects) -> &mut Vec<u8> {
    objects.details.as_mut().unwrap()
}

fn final_seal(objects: &mut Objects) -> &mut Vec<u8> {
    objects.final_seal.as_mut().unwrap()
}

/// The first segment is released where only the second is wrong.
fn after_first_segment(scenarios: Vec<Scenario>, recording: &Recording) -> Vec<Scenario> {
    scenarios.into_iter().map(|scenario| scenario.released(&recording.takes[0].plaintext)).collect()
}

fn altered(cast: &Cast) -> Vec<Scenario> {
    let recording = record(cast, "altered");
    let mut all = changed(
        cast,
        &recording,
        &[
            ("altered-manifest-payload", "a byte of the manifest's payload", Damaged, |o| {
                alter_after(&mut o.manifest, r#""payload":""#);
            }),
            ("altered-manifest-signature", "a byte of the manifest's signature", NotEntitled, |o| {
                alter_after(&mut o.manifest, r#""sig":""#);
            }),
            ("altered-manifest-type", "a character of the manifest's payload type", Damaged, |o| {
                replace(&mut o.manifest, "vault.manifest", "vault.manifesT");
            }),
            ("altered-seal-signature", "a byte of a seal's signature", NotEntitled, |o| {
                alter_after(&mut o.segments[0].seal, r#""sig":""#);
            }),
            ("altered-seal-payload", "a byte of a seal's payload", Damaged, |o| {
                alter_after(&mut o.segments[1].seal, r#""payload":""#);
            }),
            ("altered-final-signature", "a byte of the final seal's signature", NotEntitled, |o| {
                alter_after(final_seal(o), r#""sig":""#);
            }),
            ("altered-header-version", "the header's first line", Damaged, |o| {
                replace(&mut o.segments[0].header, "org/v1", "org/v2");
            }),
            ("altered-header-context", "a byte of the context stanza's argument", MixUp, |o| {
                alter_after(&mut o.segments[0].header, "/ctx1 ");
            }),
            ("altered-header-context-tag", "the tag of the context stanza", NotEntitled, |o| {
                replace(&mut o.segments[0].header, "/ctx1 ", "/ctx2 ");
            }),
            ("altered-header-mac", "a byte of the header's MAC", Damaged, |o| {
                alter_after(&mut o.segments[0].header, "--- ");
            }),
            ("altered-header-stanza", "a byte of the recipient stanza's key share", Damaged, |o| {
                alter_after(&mut o.segments[0].header, "-> X25519 ");
            }),
            ("altered-header-stanza-body", "a byte of the wrapped file key", Damaged, |o| {
                let mark = "\n--- ";
                let text = String::from_utf8(o.segments[0].header.clone()).unwrap();
                alter(&mut o.segments[0].header, text.find(mark).unwrap() - 3);
            }),
            ("altered-body-nonce", "a byte of the payload nonce", Damaged, |o| {
                flip(&mut o.segments[0].body, 3)
            }),
            ("altered-body", "a byte of a chunk", Damaged, |o| flip(&mut o.segments[0].body, 400)),
            ("altered-body-tag", "the last byte of a body", Damaged, |o| {
                let last = o.segments[0].body.len() - 1;
                flip(&mut o.segments[0].body, last);
            }),
            ("altered-parts", "a byte of a part's hash", Damaged, |o| flip(&mut o.segments[0].parts, 31)),
        ],
    );
    all.extend(after_first_segment(
        changed(
            cast,
            &recording,
            &[
                ("altered-second-body", "a byte of the second segment's body", Damaged, |o| {
                    flip(&mut o.segments[1].body, 400);
                }),
                ("altered-second-context", "the second segment's context stanza", MixUp, |o| {
                    alter_after(&mut o.segments[1].header, "/ctx1 ");
                }),
            ],
        ),
        &recording,
    ));
    all.extend(changed(
        cast,
        &recording,
        &[("altered-details", "a byte of the details", Damaged, |o| {
            let last = details(o).len() - 20;
            flip(details(o), last);
        })],
    ));

    let name = "missing-first-part";
    let recording = Draft::new(cast, Suite::X25519, name, &[(0, MAX_PART_PLAINTEXT + 90)]).record();
    let text = "a segment without the first of its two parts";
    all.push(Scenario::refused(name, text, cast, &recording, Damaged).with(|objects| {
        objects.segments[0].body.drain(..MAX_PART);
    }));
    all
}

/// The key object, at a place of each of its regions.
fn altered_key(cast: &Cast) -> Vec<Scenario> {
    changed(
        cast,
        &record(cast, "altered key"),
        &[
            ("altered-key-version", "the first line of the key object", Damaged, |o| {
                let text = b"age-encryption.org/v";
                o.key[text.len()] = b'2';
            }),
            ("altered-key-context", "a byte of the key object's context", MixUp, |o| {
                alter_after(&mut o.key, "/ctx1 ");
            }),
            ("altered-key-context-tag", "the tag of the key object's context stanza", NotEntitled, |o| {
                let length = String::from_utf8_lossy(&o.key).find("/ctx1 ").unwrap();
                o.key[length + 4] = b'2';
            }),
            ("altered-key-own-stanza", "a byte of the reader's stanza in the key object", Damaged, |o| {
                let at = String::from_utf8_lossy(&o.key).find("-> X25519 ").unwrap();
                alter(&mut o.key, at + 13);
            }),
            ("altered-key-other-stanza", "a byte of the other reader's stanza", Damaged, |o| {
                let at = header_length(&o.key) - 60;
                alter(&mut o.key, at);
            }),
            ("altered-key-mac", "a byte of the key object's MAC", Damaged, |o| {
                let at = header_length(&o.key) - 40;
                alter(&mut o.key, at);
            }),
            ("altered-key-nonce", "a byte of the key object's payload nonce", Damaged, |o| {
                let at = header_length(&o.key) + 3;
                flip(&mut o.key, at);
            }),
            ("altered-key-text", "a byte of the text in the key object", Damaged, |o| {
                let at = header_length(&o.key) + 20;
                flip(&mut o.key, at);
            }),
            ("altered-key-tag", "the last byte of the key object", Damaged, |o| {
                let last = o.key.len() - 1;
                flip(&mut o.key, last);
            }),
        ],
    )
}

/// A piece of one recording in place of that piece of another, of the same patient and clinician and of the same
/// lengths.
fn exchanged(cast: &Cast) -> Vec<Scenario> {
    let asked = record(cast, "exchanged, asked for");
    let other = record(cast, "exchanged, given");
    type Exchange = (&'static str, Outcome, fn(&mut Objects, &Objects));
    let exchanges: &[Exchange] = &[
        ("everything", MixUp, |to, from| *to = from.clone()),
        ("manifest", MixUp, |to, from| to.manifest.clone_from(&from.manifest)),
        ("everything-but-the-manifest", MixUp, |to, from| {
            let manifest = std::mem::take(&mut to.manifest);
            *to = from.clone();
            to.manifest = manifest;
        }),
        ("key", MixUp, |to, from| to.key.clone_from(&from.key)),
        ("all-segments", MixUp, |to, from| to.segments.clone_from(&from.segments)),
        ("segment", MixUp, |to, from| to.segments[0].clone_from(&from.segments[0])),
        ("seal", MixUp, |to, from| to.segments[0].seal.clone_from(&from.segments[0].seal)),
        ("header", MixUp, |to, from| to.segments[0].header.clone_from(&from.segments[0].header)),
        ("header-body-and-parts", MixUp, |to, from| {
            let seal = std::mem::take(&mut to.segments[0].seal);
            to.segments[0].clone_from(&from.segments[0]);
            to.segments[0].seal = seal;
        }),
        ("body", Damaged, |to, from| to.segments[0].body.clone_from(&from.segments[0].body)),
        ("parts", Damaged, |to, from| to.segments[0].parts.clone_from(&from.segments[0].parts)),
        ("body-and-parts", Damaged, |to, from| {
            to.segments[0].body.clone_from(&from.segments[0].body);
            to.segments[0].parts.clone_from(&from.segments[0].parts);
        }),
        ("final", MixUp, |to, from| to.final_seal.clone_from(&from.final_seal)),
        ("details", Damaged, |to, from| to.details.clone_from(&from.details)),
    ];
    let mut all: Vec<Scenario> = exchanges
        .iter()
        .map(|(what, outcome, exchange)| {
            let text = format!("from another recording of the same patient and clinician: {what}");
            Scenario::refused(&format!("exchanged-{what}"), &text, cast, &asked, *outcome)
                .with(|objects| exchange(objects, &other.objects))
        })
        .collect();
    let mut another = Cast::of("hospital");
    std::mem::swap(&mut another.patient, &mut another.other);
    let foreign = record(&another, "exchanged, another patient");
    let name = "exchanged-patients-everything";
    let text = "another patient's recording, for a clinician who can open both";
    all.push(
        Scenario::refused(name, text, cast, &asked, MixUp)
            .read_by(&cast.clinician, Suite::X25519)
            .with(|objects| *objects = foreign.objects.clone()),
    );
    let name = "exchanged-patients-segment";
    let text = "a segment of another patient's recording, for a clinician who can open both";
    all.push(
        Scenario::refused(name, text, cast, &asked, MixUp)
            .read_by(&cast.clinician, Suite::X25519)
            .with(|objects| objects.segments[0] = foreign.objects.segments[0].clone()),
    );
    let name = "exchanged-patients-header-body-and-parts";
    let text = "header, body and parts of another patient's segment, for a clinician who can open both";
    all.push(
        Scenario::refused(name, text, cast, &asked, MixUp).read_by(&cast.clinician, Suite::X25519).with(
            |objects| {
                let seal = objects.segments[0].seal.clone();
                objects.segments[0] = foreign.objects.segments[0].clone();
                objects.segments[0].seal = seal;
            },
        ),
    );
    all
}

fn swap<T>(objects: &mut Objects, piece: fn(&mut super::Segment) -> &mut T) {
    let (first, second) = objects.segments.split_at_mut(1);
    std::mem::swap(piece(&mut first[0]), piece(&mut second[0]));
}

fn moved_within(cast: &Cast) -> Vec<Scenario> {
    changed(
        cast,
        &record(cast, "moved"),
        &[
            ("moved-segments-exchanged", "the two segments in the other order", MixUp, |o| {
                o.segments.swap(0, 1)
            }),
            ("moved-headers-exchanged", "the headers of two segments exchanged", MixUp, |o| {
                swap(o, |segment| &mut segment.header);
            }),
            ("moved-bodies-exchanged", "the bodies of two segments exchanged", Damaged, |o| {
                swap(o, |segment| &mut segment.body);
            }),
            ("moved-parts-lists-exchanged", "the part lists of two segments exchanged", Damaged, |o| {
                swap(o, |segment| &mut segment.parts);
            }),
            (
                "moved-all-but-the-seals",
                "headers, bodies and part lists of two segments exchanged",
                MixUp,
                |o| {
                    o.segments.swap(0, 1);
                    swap(o, |segment| &mut segment.seal);
                },
            ),
            ("moved-seals-exchanged", "the seals of two segments exchanged", MixUp, |o| {
                swap(o, |segment| &mut segment.seal);
            }),
            ("doubled-segment", "the last segment twice", MixUp, |o| o.segments.push(o.segments[1].clone())),
            ("doubled-first-segment", "the first segment in place of the second", MixUp, |o| {
                o.segments[1] = o.segments[0].clone();
            }),
        ],
    )
}

fn missing(cast: &Cast) -> Vec<Scenario> {
    let recording = record(cast, "missing");
    let mut all = changed(
        cast,
        &recording,
        &[
            ("missing-manifest", "no manifest", Damaged, |o| o.manifest.clear()),
            ("missing-statements", "no statement of a member", Damaged, |o| o.statements.clear()),
            ("missing-key", "no key object", Damaged, |o| o.key.clear()),
            ("missing-first-key", "a key object of generation 1 and none of generation 0", Damaged, |o| {
                o.later_keys.insert(1, std::mem::take(&mut o.key));
            }),
            ("missing-first-segment", "the second segment stored as the first", MixUp, |o| {
                o.segments.remove(0);
            }),
            ("missing-last-segment", "the last segment dropped, with the final seal there", Damaged, |o| {
                o.segments.truncate(1);
            }),
            ("missing-all-segments", "no segment, with the final seal there", Damaged, |o| {
                o.segments.clear()
            }),
            ("missing-header", "no header", Damaged, |o| o.segments[0].header.clear()),
            ("missing-body", "no body", Damaged, |o| o.segments[0].body.clear()),
            ("missing-parts", "no part list", Damaged, |o| o.segments[0].parts.clear()),
            ("missing-seal", "no seal", Damaged, |o| o.segments[0].seal.clear()),
        ],
    );
    all.extend(changed(
        cast,
        &recording,
        &[("missing-details", "no details", Damaged, |o| o.details = None)],
    ));
    all
}

fn lengths(cast: &Cast) -> Vec<Scenario> {
    let recording = record(cast, "lengths");
    let mut all = changed(
        cast,
        &recording,
        &[
            ("cut-body", "the last byte of a body is missing", Damaged, |o| {
                o.segments[0].body.pop();
            }),
            ("cut-body-to-its-nonce", "a body that ends behind its nonce", Damaged, |o| {
                o.segments[0].body.truncate(16);
            }),
            ("cut-header", "the last byte of a header is missing", Damaged, |o| {
                o.segments[0].header.pop();
            }),
            ("cut-header-before-its-mac", "a header without its MAC line", Damaged, |o| {
                let length = o.segments[0].header.len() - 48;
                o.segments[0].header.truncate(length);
            }),
            ("cut-parts", "a part list of 31 bytes", Damaged, |o| {
                o.segments[0].parts.pop();
            }),
            ("cut-key", "the last byte of the key object is missing", Damaged, |o| {
                o.key.pop();
            }),
            ("cut-key-to-its-header", "a key object that ends behind its header", Damaged, |o| {
                let length = header_length(&o.key);
                o.key.truncate(length);
            }),
            ("cut-manifest", "the last byte of the manifest is missing", Damaged, |o| {
                o.manifest.pop();
            }),
            ("cut-final", "the last byte of the final seal is missing", Damaged, |o| {
                final_seal(o).pop();
            }),
            ("longer-key", "a byte behind the key object", Damaged, |o| o.key.push(0)),
            ("longer-key-than-any", "32 KiB behind the key object", Damaged, |o| {
                o.key.extend([0; 32 * 1024 + 1]);
            }),
            ("longer-body", "a byte behind a body", Damaged, |o| o.segments[0].body.push(0)),
            ("longer-body-by-a-chunk", "a body twice", Damaged, |o| {
                o.segments[0].body.extend_from_within(16..)
            }),
            ("longer-header", "a line feed behind a header", Damaged, |o| o.segments[0].header.push(b'\n')),
            ("longer-header-by-its-body", "a header with its body behind it", Damaged, |o| {
                let body = o.segments[0].body.clone();
                o.segments[0].header.extend(body);
            }),
            ("longer-parts", "a part list with its hash twice", Damaged, |o| {
                o.segments[0].parts.extend_from_within(..);
            }),
            ("longer-parts-by-a-byte", "a byte behind a part list", Damaged, |o| o.segments[0].parts.push(0)),
        ],
    );
    let details = changed(
        cast,
        &recording,
        &[
            ("cut-details", "the last byte of the details is missing", Damaged, |o| {
                details(o).pop();
            }),
            ("longer-details", "a byte behind the details", Damaged, |o| details(o).push(0)),
        ],
    );
    all.extend(details);
    all
}

/// Puts padding into the middle of an envelope's base64: of its first byte, then of the others.
fn respell(envelope: &mut Vec<u8>, field: &str) {
    let text = String::from_utf8(envelope.clone()).unwrap();
    let at = text.find(&format!(r#""{field}":""#)).unwrap() + field.len() + 4;
    let length = text[at..].find('"').unwrap();
    let bytes = BASE64.decode(&envelope[at..at + length]).unwrap();
    let otherwise = BASE64.encode(&bytes[..1]) + &BASE64.encode(&bytes[1..]);
    assert_eq!(BASE64.decode(otherwise.as_bytes()).unwrap(), bytes, "a lenient reader sees no difference");
    *envelope = [&text[..at], &otherwise, &text[at + length..]].concat().into();
}

/// Other spellings of the same envelope: its signature would still verify.
fn respelt(cast: &Cast) -> Vec<Scenario> {
    changed(
        cast,
        &record(cast, "respelt"),
        &[
            ("respelt-line-feed", "a line feed behind the manifest", Damaged, |o| o.manifest.push(b'\n')),
            ("respelt-white-space", "a space in the manifest's envelope", Damaged, |o| {
                replace(&mut o.manifest, r#"","payload":"#, r#"", "payload":"#);
            }),
            ("respelt-order", "the manifest's signatures before its payload type", Damaged, |o| {
                let text = String::from_utf8(o.manifest.clone()).unwrap();
                let at = text.find(r#","signatures""#).unwrap();
                o.manifest = format!("{{{},{}}}", &text[at + 1..text.len() - 1], &text[1..at]).into_bytes();
            }),
            ("respelt-escape", "an escaped letter in a seal's payload type", Damaged, |o| {
                replace(&mut o.segments[0].seal, "application/", r"\u0061pplication/");
            }),
            ("respelt-slash", "an escaped slash in the final seal's payload type", Damaged, |o| {
                replace(final_seal(o), "application/", r"application\/");
            }),
            ("respelt-unknown-field", "a field more in the manifest's envelope", Damaged, |o| {
                replace(&mut o.manifest, r#"{"payloadType""#, r#"{"extra":1,"payloadType""#);
            }),
            ("respelt-repeated-field", "the payload type twice", Damaged, |o| {
                let (kind, _) = primitives::taken_apart(&o.manifest);
                replace(&mut o.manifest, "{", &format!(r#"{{"payloadType":"{kind}","#));
            }),
            ("respelt-two-signatures", "the manifest's signature twice", Damaged, |o| {
                let text = String::from_utf8(o.manifest.clone()).unwrap();
                let at = text.find(r#"[{"keyid""#).unwrap();
                let signature = &text[at + 1..text.len() - 2];
                o.manifest = format!("{}[{signature},{signature}]}}", &text[..at]).into_bytes();
            }),
            ("respelt-no-signature", "the manifest without a signature", Damaged, |o| {
                let text = String::from_utf8(o.manifest.clone()).unwrap();
                let at = text.find(r#"[{"keyid""#).unwrap();
                o.manifest = format!("{}[]}}", &text[..at]).into_bytes();
            }),
            ("respelt-url-base64", "a signature in the base64 of URLs, cut by its padding", Damaged, |o| {
                let text = String::from_utf8(o.manifest.clone()).unwrap();
                o.manifest = text.replace("==\"}", "\"}").into_bytes();
            }),
            (
                "respelt-padded-payload",
                "a manifest's payload in two texts of base64 behind each other",
                Damaged,
                |o| {
                    respell(&mut o.manifest, "payload");
                },
            ),
            (
                "respelt-padded-signature",
                "a seal's signature in two texts of base64 behind each other",
                Damaged,
                |o| {
                    respell(&mut o.segments[0].seal, "sig");
                },
            ),
            ("respelt-key-id-in-capitals", "the key id in capitals", Damaged, |o| {
                let text = String::from_utf8(o.manifest.clone()).unwrap();
                let at = text.find(r#""keyid":""#).unwrap() + 9;
                o.manifest =
                    [&text[..at], &text[at..at + 64].to_uppercase(), &text[at + 64..]].concat().into();
            }),
            ("respelt-other-key-id", "the id of another key beside the true signature", NotEntitled, |o| {
                let text = String::from_utf8(o.manifest.clone()).unwrap();
                let at = text.find(r#""keyid":""#).unwrap() + 9;
                o.manifest = [&text[..at], &"0".repeat(64), &text[at + 64..]].concat().into();
            }),
            (
                "respelt-signature-that-wraps",
                "a signature whose scalar is more by the order",
                NotEntitled,
                |o| {
                    let mark = r#""sig":""#;
                    let text = String::from_utf8(o.manifest.clone()).unwrap();
                    let at = text.find(mark).unwrap() + mark.len();
                    let mut signature = BASE64.decode(&text.as_bytes()[at..at + 88]).unwrap();
                    add_order(&mut signature[32..]);
                    o.manifest = [&text[..at], &BASE64.encode(&signature), &text[at + 88..]].concat().into();
                },
            ),
            ("respelt-header-line-ends", "a header with carriage returns", Damaged, |o| {
                let text = String::from_utf8(o.segments[0].header.clone()).unwrap();
                o.segments[0].header = text.replace('\n', "\r\n").into();
            }),
            ("respelt-manifest-is-no-json", "a manifest that is 4 KiB of brackets", Damaged, |o| {
                o.manifest = vec![b'['; 4096];
            }),
        ],
    )
}

/// Adds the order of Ed25519's group to a scalar.
fn add_order(scalar: &mut [u8]) {
    let order = data_encoding::HEXLOWER
        .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .unwrap();
    let mut carried = 0;
    for (byte, order) in scalar.iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(order) + carried;
        [*byte, _] = sum.to_le_bytes();
        carried = sum >> 8;
    }
    assert_eq!(carried, 0);
}

/// Every signed statement of a recording in the place of every other kind.
fn confused(cast: &Cast) -> Vec<Scenario> {
    let recording = record(cast, "confused");
    let objects = &recording.objects;
    let member = cast.member(&cast.clinician, Suite::X25519);
    let kinds: [(&str, Vec<u8>); 6] = [
        ("manifest", objects.manifest.clone()),
        ("segment-seal", objects.segments[0].seal.clone()),
        ("final-seal", objects.final_seal.clone().unwrap()),
        ("issuer-certificate", member.issuer.into_bytes()),
        ("certificate", member.certificate.into_bytes()),
        ("key-list", member.key_list.into_bytes()),
    ];
    let mut all = Vec::new();
    for place in ["manifest", "segment-seal", "final-seal"] {
        for (kind, bytes) in &kinds {
            if *kind == place {
                continue;
            }
            let name = format!("confused-{kind}-as-{place}");
            let text = format!("a {kind} in the place of a {place}, with its own true signature");
            all.push(Scenario::refused(&name, &text, cast, &recording, Damaged).with(
                |objects| match place {
                    "manifest" => objects.manifest.clone_from(bytes),
                    "segment-seal" => objects.segments[0].seal.clone_from(bytes),
                    _ => objects.final_seal = Some(bytes.clone()),
                },
            ));
        }
    }
    let files: [Change; 4] = [
        ("confused-key-as-header", "the key object in the place of a header", MixUp, |o| {
            o.segments[0].header = o.key[..header_length(&o.key)].to_vec();
        }),
        ("confused-header-and-body-as-key", "a segment in the place of the key object", MixUp, |o| {
            o.key = [&o.segments[0].header[..], &o.segments[0].body].concat();
        }),
        ("confused-details-as-key", "the details in the place of the key object", MixUp, |o| {
            o.key = o.details.clone().unwrap();
        }),
        ("confused-key-as-details", "the key object in the place of the details", Damaged, |o| {
            o.details = Some(o.key.clone());
        }),
    ];
    all.extend(changed(cast, &recording, &files));
    all
}
