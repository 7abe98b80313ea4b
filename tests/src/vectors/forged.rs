//! What somebody with a key can make: a sealer that breaks the format, a reader who re-authors.

use vault_core::recipient::Recipient;
use vault_proto::age_header::{Stanza, encode_argument};
use vault_proto::geometry::{CHUNK_PLAINTEXT, MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::ids::Digest;
use vault_proto::labels;
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::Suite;
use vault_proto::tree;

use super::Outcome::{self, Damaged, MixUp, NotEntitled};
use super::Scenario;
use super::cast::Cast;
use super::draft::{AgeFile, Draft, Recording, hashes_of, recording_key};
use super::growing::first_progress;
use super::primitives::{
    FileKey, Payload, digest, fixed_bytes, header, signed, wrap, wrap_pq_with_low_order, wrap_to_everybody,
};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [contexts(cast), stanzas(cast), streams(cast), seals(cast), ends(cast), reauthored(cast)]
        .into_iter()
        .flatten()
        .collect()
}

pub(super) fn forge<'a>(
    cast: &'a Cast,
    (name, text, outcome): (&str, &str, Outcome),
    change: impl FnOnce(&mut Draft<'a>),
) -> Scenario {
    let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600)]);
    change(&mut draft);
    Scenario::refused(name, text, cast, &draft.record(), outcome)
}

/// Changes the stanzas of segments, and leaves those of key and details as they are.
fn in_segments<'a>(
    cast: &'a Cast,
    what: (&str, &str, Outcome),
    change: impl Fn(&FileKey, &mut Vec<Stanza>) + 'a,
) -> Scenario {
    forge(cast, what, |draft| {
        draft.on_stanzas = Box::new(move |file, file_key, stanzas| {
            if matches!(file, AgeFile::Segment(_)) {
                change(file_key, stanzas);
            }
        });
    })
}

/// Exchanges the last character of 32 bytes in base64, whose last two bits are not used, for one that says the same.
fn set_unused_bit(character: &mut u8) {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = ALPHABET.iter().position(|letter| letter == character).unwrap();
    assert_eq!(value % 4, 0);
    *character = ALPHABET[value + 1];
}

fn context_of(index: u32, track: u8, name: &str) -> Stanza {
    context_stanza(&labels::context(&Digest::from_bytes(fixed_bytes(name)), index, track)).unwrap()
}

fn contexts(cast: &Cast) -> Vec<Scenario> {
    let mut all = vec![
        in_segments(
            cast,
            ("context-missing", "a stock age file to the true key in place of a segment", NotEntitled),
            |_, stanzas| drop(stanzas.remove(0)),
        ),
        in_segments(
            cast,
            ("context-behind-the-recipient", "the context stanza last", NotEntitled),
            |_, stanzas| stanzas.rotate_left(1),
        ),
        in_segments(cast, ("context-twice", "the context stanza twice", Damaged), |_, stanzas| {
            stanzas.insert(1, stanzas[0].clone());
        }),
        in_segments(
            cast,
            ("context-of-two-recordings", "a second context, of another recording", Damaged),
            |_, stanzas| stanzas.insert(1, context_of(0, 0, "another")),
        ),
        in_segments(
            cast,
            ("context-of-another-recording", "the context of another recording", MixUp),
            |_, stanzas| stanzas[0] = context_of(0, 0, "another"),
        ),
        in_segments(cast, ("context-with-a-body", "a context stanza with a body", MixUp), |_, stanzas| {
            stanzas[0] = Stanza::new(stanzas[0].tag(), stanzas[0].args().to_vec(), vec![0; 32]).unwrap();
        }),
        in_segments(
            cast,
            ("context-with-two-arguments", "a context stanza with an argument more", MixUp),
            |_, stanzas| {
                let args = [stanzas[0].args(), &["x".to_owned()]].concat();
                stanzas[0] = Stanza::new(stanzas[0].tag(), args, vec![]).unwrap();
            },
        ),
        in_segments(cast, ("context-padded", "a context in base64 with padding", MixUp), |_, stanzas| {
            let args = vec![format!("{}=", stanzas[0].args()[0])];
            stanzas[0] = Stanza::new(stanzas[0].tag(), args, vec![]).unwrap();
        }),
    ];
    // The context of this very recording, and of another place in it.
    for (name, index, track) in
        [("segment", 1, 0), ("track", 0, 1), ("details", labels::DETAILS_INDEX, labels::DETAILS_TRACK)]
    {
        let name = format!("context-of-another-{name}");
        let text = "the context of this recording and another place in it";
        let manifest = digest(&Draft::new(cast, Suite::X25519, &name, &[(0, 600)]).record().objects.manifest);
        all.push(in_segments(cast, (&name, text, MixUp), move |_, stanzas| {
            stanzas[0] = context_stanza(&labels::context(&manifest, index, track)).unwrap();
        }));
    }
    all
}

fn stanzas(cast: &Cast) -> Vec<Scenario> {
    // The key of the recording of that name.
    let key = |name: &str| recording_key(Suite::X25519, name).recipient().clone();
    let patient = cast.patient.identity(Suite::X25519).recipient().clone();
    let (also, pq) = (patient.clone(), cast.patient.identity(Suite::Pq).recipient().clone());
    let (everybody, longer) = ("stanza-low-order-share", "stanza-file-key-of-17-bytes");
    let (everybodys, longers, own) = (key(everybody), key(longer), key("stanza-twice-to-the-key"));
    let with_body =
        |stanza: &Stanza, body: Vec<u8>| Stanza::new(stanza.tag(), stanza.args().to_vec(), body).unwrap();
    let mut all = vec![
        in_segments(cast, ("stanza-unknown", "a stanza of an unknown type", Damaged), |_, stanzas| {
            stanzas.push(Stanza::new("grease", vec![], vec![7; 20]).unwrap());
        }),
        in_segments(
            cast,
            ("stanza-of-the-other-suite", "a stanza of suite pq", Damaged),
            move |file_key, stanzas| stanzas[1] = wrap(&pq, file_key, [0; 32]),
        ),
        in_segments(cast, ("stanza-of-a-passphrase", "a passphrase stanza", Damaged), |_, stanzas| {
            let args = vec![encode_argument(&[1; 16]), "10".to_owned()];
            stanzas.push(Stanza::new("scrypt", args, vec![7; 32]).unwrap());
        }),
        in_segments(cast, ("stanza-of-no-recipient", "a context and no recipient", Damaged), |_, stanzas| {
            stanzas.truncate(1);
        }),
        in_segments(
            cast,
            ("stanza-to-a-reader", "a segment to the patient in place of the recording's key", Damaged),
            move |file_key, stanzas| stanzas[1] = wrap(&patient, file_key, [3; 32]),
        ),
        in_segments(
            cast,
            ("stanza-also-to-a-reader", "a segment to the recording's key and to the patient", Damaged),
            move |file_key, stanzas| stanzas.push(wrap(&also, file_key, [3; 32])),
        ),
        in_segments(
            cast,
            ("stanza-twice-to-the-key", "a segment to the recording's key, twice", Damaged),
            move |file_key, stanzas| stanzas.push(wrap(&own, file_key, [3; 32])),
        ),
        in_segments(
            cast,
            (everybody, "a key share of low order: everybody can unwrap it", Damaged),
            move |file_key, stanzas| stanzas[1] = wrap_to_everybody(&everybodys, file_key),
        ),
        in_segments(
            cast,
            ("stanza-body-of-31-bytes", "a stanza body of 31 bytes", Damaged),
            move |_, stanzas| {
                stanzas[1] = with_body(&stanzas[1], stanzas[1].body()[..31].to_vec());
            },
        ),
        in_segments(
            cast,
            (longer, "a wrapped file key that is a byte too long", Damaged),
            move |file_key, stanzas| stanzas[1] = wrap(&longers, &[&file_key[..], &[0]].concat(), [5; 32]),
        ),
        in_segments(
            cast,
            ("stanza-two-arguments", "a stanza with an argument more", Damaged),
            |_, stanzas| {
                let args = [stanzas[1].args(), &["x".to_owned()]].concat();
                stanzas[1] = Stanza::new(stanzas[1].tag(), args, stanzas[1].body().to_vec()).unwrap();
            },
        ),
    ];
    let written = |name: &str, text: &str, change: fn(&str) -> usize| {
        forge(cast, (name, text, Damaged), |draft| {
            draft.on_header = Box::new(move |file, _, header| {
                if matches!(file, AgeFile::Segment(_)) {
                    let text = String::from_utf8(header.clone()).unwrap();
                    set_unused_bit(&mut header[change(&text)]);
                }
            });
        })
    };
    all.extend([
        in_segments(
            cast,
            ("stanza-share-not-canonical", "a key share in base64 with a bit that is not used", Damaged),
            |_, stanzas| {
                let mut share = stanzas[1].args()[0].clone().into_bytes();
                set_unused_bit(share.last_mut().unwrap());
                let args = vec![String::from_utf8(share).unwrap()];
                stanzas[1] = Stanza::new(stanzas[1].tag(), args, stanzas[1].body().to_vec()).unwrap();
            },
        ),
        written(
            "stanza-body-not-canonical",
            "a stanza body in base64 with a bit that is not used",
            |header| header.find("\n--- ").unwrap() - 1,
        ),
        written("stanza-mac-not-canonical", "a MAC in base64 with a bit that is not used", |header| {
            header.len() - 2
        }),
    ]);
    let name = "stanza-pq-low-order-share-that-fits";
    let mut draft = Draft::new(cast, Suite::Pq, name, &[(0, 60)]);
    draft.on_stanzas = Box::new(move |file, file_key, stanzas| {
        if matches!(file, AgeFile::Segment(_)) {
            let secret = fixed_bytes(&format!("{name} key"));
            stanzas[1] = wrap_pq_with_low_order(&stanzas[1], &secret, file_key);
        }
    });
    let text = "a pq stanza that wraps the file key with an X25519 share of low order";
    all.push(Scenario::refused(name, text, cast, &draft.record(), Damaged));
    let name = "stanza-pq-cut-short";
    let mut draft = Draft::new(cast, Suite::Pq, name, &[(0, 60)]);
    draft.on_stanzas = Box::new(|file, _, stanzas| {
        if matches!(file, AgeFile::Segment(_)) {
            let share = stanzas[1].args()[0][..1000].to_owned();
            stanzas[1] = Stanza::new(stanzas[1].tag(), vec![share], stanzas[1].body().to_vec()).unwrap();
        }
    });
    all.push(Scenario::refused(
        name,
        "a pq stanza whose key share is cut short",
        cast,
        &draft.record(),
        Damaged,
    ));
    let name = "stanza-pq-low-order-share";
    let mut draft = Draft::new(cast, Suite::Pq, name, &[(0, 60)]);
    draft.on_stanzas = Box::new(|file, _, stanzas| {
        if matches!(file, AgeFile::Segment(_)) {
            let mut enc = data_encoding::BASE64_NOPAD.decode(stanzas[1].args()[0].as_bytes()).unwrap();
            enc[1088..].fill(0);
            let args = vec![encode_argument(&enc)];
            stanzas[1] = Stanza::new(stanzas[1].tag(), args, stanzas[1].body().to_vec()).unwrap();
        }
    });
    all.push(Scenario::refused(
        name,
        "a pq stanza with an X25519 share of low order",
        cast,
        &draft.record(),
        Damaged,
    ));
    all
}

/// Bodies whose hashes are signed and whose chunks are not those of the format.
fn streams(cast: &Cast) -> Vec<Scenario> {
    let full = [b'm'; CHUNK_PLAINTEXT];
    let nonce = [6; 16];
    type Write = fn(Payload, &[u8]) -> Payload;
    let wrong: [(&str, &str, Outcome, Write); 8] = [
        ("stream-without-final-mark", "the last chunk is not marked as final", NotEntitled, |p, _| {
            p.chunk(0, false, b"media")
        }),
        ("stream-final-mark-too-early", "both chunks are marked as final", NotEntitled, |p, full| {
            p.chunk(0, true, full).chunk(1, true, b"media")
        }),
        ("stream-counter-from-one", "the chunks count from one", NotEntitled, |p, _| {
            p.chunk(1, true, b"media")
        }),
        ("stream-counter-repeated", "two chunks of number 0", NotEntitled, |p, full| {
            p.chunk(0, false, full).chunk(0, true, b"media")
        }),
        ("stream-chunks-exchanged", "the first chunk's number is the second's", NotEntitled, |p, full| {
            p.chunk(1, false, full).chunk(0, true, b"media")
        }),
        ("stream-short-chunk-first", "a short chunk before the last one", NotEntitled, |p, full| {
            p.chunk(0, false, b"media").chunk(1, true, full)
        }),
        ("stream-empty-final-chunk", "a full chunk and an empty final one", Damaged, |p, full| {
            p.chunk(0, false, full).chunk(1, true, b"")
        }),
        ("stream-no-chunk", "a nonce and no chunk", Damaged, |p, _| p),
    ];
    let mut all: Vec<Scenario> = wrong
        .into_iter()
        .map(|(name, text, outcome, write)| {
            forge(cast, (name, text, outcome), |draft| {
                draft.on_body = Box::new(move |file, file_key, body| {
                    if matches!(file, AgeFile::Segment(_)) {
                        *body = write(Payload::new(file_key, nonce), &full).bytes();
                    }
                });
            })
            // Its sum would not fit, and it is looked at first.
            .with(|objects| objects.final_seal = None)
        })
        .collect();
    let name = "stream-cut-with-a-final-mark";
    let mut draft =
        Draft::new(cast, Suite::X25519, name, &[(0, CHUNK_PLAINTEXT)]).in_parts_of(PartChunks::ONE).cut(0);
    let plaintext = draft.takes[0].plaintext.clone();
    draft.on_body = Box::new(move |file, file_key, body| {
        if matches!(file, AgeFile::Segment(_)) {
            *body = Payload::new(file_key, nonce).all(&plaintext, super::draft::FINAL).bytes();
        }
    });
    let text = "a body that is cut, and whose last chunk is marked as final";
    all.push(Scenario::refused(name, text, cast, &draft.record(), NotEntitled));
    all.push(forge(
        cast,
        ("stream-of-another-key", "a body made with another key than its header wraps", NotEntitled),
        |draft| {
            draft.on_body = Box::new(move |file, _, body| {
                if matches!(file, AgeFile::Segment(_)) {
                    *body = Payload::new(&[1; 16], nonce).all(&[b'm'; 600], super::draft::FINAL).bytes();
                }
            });
        },
    ));
    all
}

fn seals(cast: &Cast) -> Vec<Scenario> {
    let digest = Digest::from_bytes(fixed_bytes("a digest of nothing"));
    let seal = |what, change: fn(&mut vault_proto::statements::SegmentSeal)| {
        forge(cast, what, |draft| draft.on_seal = Box::new(change))
    };
    vec![
        seal(("seal-other-header", "the digest of another header", NotEntitled), |seal| {
            seal.header = Digest::of(b"another header");
        }),
        seal(("seal-other-root", "the root of another part list", Damaged), |seal| {
            seal.parts_root = tree::parts_root(&[Digest::of(b"another part")]);
        }),
        seal(("seal-other-manifest", "the digest of another manifest", MixUp), |seal| {
            seal.manifest = Digest::of(b"another manifest");
        }),
        seal(("seal-other-index", "segment 1 where segment 0 is expected", MixUp), |seal| {
            seal.index = 1;
            seal.previous = Some(Digest::of(b"a seal"));
        }),
        seal(("seal-index-of-10000", "an index that no segment has", Damaged), |seal| {
            seal.index = 10_000;
            seal.previous = Some(Digest::of(b"a seal"));
        }),
        forge(
            cast,
            ("seal-other-track", "a track other than that of the header's context", MixUp),
            |draft| {
                draft.on_seal = Box::new(|seal| seal.track = 9);
                draft.on_details = Box::new(|text| *text = text.replacen(r#""track":0"#, r#""track":9"#, 1));
            },
        ),
        forge(
            cast,
            ("seal-track-of-the-details", "the track that stands for the details", Damaged),
            // All else is as it has to be for such a track.
            |draft| draft.takes.iter_mut().for_each(|take| take.track = 255),
        ),
        seal(("seal-previous-of-the-first", "a first segment that follows on another", Damaged), |seal| {
            seal.previous = Some(Digest::of(b"a seal"));
        }),
        seal(("seal-too-many-parts", "a number of parts that the length does not have", Damaged), |seal| {
            seal.parts = 2;
        }),
        seal(("seal-impossible-length", "a length that no body has", Damaged), |seal| seal.body_length = 31),
        seal(("seal-cut-amid-a-part", "a cut that is not at the end of a part", Damaged), |seal| {
            seal.end = vault_proto::geometry::BodyEnd::Cut;
        }),
        forge(cast, ("seal-other-length", "a length one byte more than the body's", Damaged), |draft| {
            draft.on_seal = Box::new(|seal| seal.body_length += 1);
            draft.on_final = Box::new(|seal| seal.total_length += 1);
        }),
        forge(
            cast,
            ("seal-root-of-more-parts", "the root of a list with a hash more than there are parts", Damaged),
            |draft| {
                let hashes = hashes_of(&draft.record().objects.segments[0].body, draft.part_chunks);
                let root = tree::parts_root(&[hashes[0], digest]);
                draft.on_seal = Box::new(move |seal| seal.parts_root = root);
            },
        )
        .with(|objects| objects.segments[0].parts.extend(digest.as_bytes())),
        forge(
            cast,
            ("seal-broken-chain", "a second segment that follows on another first", Damaged),
            |draft| {
                draft.takes.push(draft.takes[0].clone());
                draft.on_seal = Box::new(move |seal| {
                    if seal.index == 1 {
                        seal.previous = Some(digest);
                    }
                });
            },
        ),
        forge(cast, ("seal-index-skipped", "segments 0 and 2", MixUp), |draft| {
            draft.takes.push(draft.takes[0].clone());
            draft.on_seal = Box::new(|seal| seal.index *= 2);
        }),
    ]
}

fn ends(cast: &Cast) -> Vec<Scenario> {
    let end = |what, change: fn(&mut vault_proto::statements::FinalSeal)| {
        forge(cast, what, |draft| draft.on_final = Box::new(change))
    };
    let mut all = vec![
        end(("final-other-manifest", "the digest of another manifest", MixUp), |seal| {
            seal.manifest = Digest::of(b"another manifest");
        }),
        end(("final-more-segments", "two segments counted, one there", Damaged), |seal| seal.segments = 2),
        end(("final-no-segment", "no segment counted", Damaged), |seal| seal.segments = 0),
        end(("final-other-last-seal", "the digest of another last seal", Damaged), |seal| {
            seal.last_seal = Digest::of(b"another seal");
        }),
        end(("final-other-length", "a total that the segments do not add up to", Damaged), |seal| {
            seal.total_length -= 1;
        }),
    ];
    all.push(forge(cast, ("final-other-details", "the digest of other details", Damaged), |draft| {
        draft.on_final = Box::new(|seal| seal.details = Digest::of(b"other details"));
    }));
    all.push(forge(cast, ("details-no-json", "details that are no JSON", Damaged), |draft| {
        draft.on_details = Box::new(|text| *text = "Consultation".to_owned());
    }));
    all.push(forge(
        cast,
        ("details-without-tracks", "details without a field they must have", Damaged),
        |draft| {
            draft.on_details = Box::new(|text| *text = text.replace(r#""tracks""#, r#""trucks""#));
        },
    ));
    all.push(forge(cast, ("details-repeated-field", "details with two titles", Damaged), |draft| {
        draft.on_details = Box::new(|text| *text = text.replacen('{', r#"{"title":"Another","#, 1));
    }));
    all.push(forge(
        cast,
        ("details-without-context", "details that are a stock age file", NotEntitled),
        |draft| {
            draft.on_stanzas = Box::new(|file, _, stanzas| {
                if file == AgeFile::Details {
                    stanzas.remove(0);
                }
            });
        },
    ));
    all.push(forge(
        cast,
        ("details-context-of-a-segment", "details in the context of segment 0", MixUp),
        |draft| {
            draft.on_stanzas = Box::new(|file, _, stanzas| {
                if file == AgeFile::Details {
                    stanzas[0] = context_of(0, 0, "any");
                }
            });
        },
    ));
    let clinician = cast.clinician.identity(Suite::X25519).recipient().clone();
    for (name, text, keep) in [
        ("details-to-a-reader", "details to the clinician in place of the recording's key", false),
        ("details-also-to-a-reader", "details to the recording's key and to the clinician", true),
    ] {
        let to = clinician.clone();
        all.push(forge(cast, (name, text, Damaged), move |draft| {
            draft.on_stanzas = Box::new(move |file, file_key, stanzas| {
                if file == AgeFile::Details {
                    stanzas.truncate(if keep { 2 } else { 1 });
                    stanzas.push(wrap(&to, file_key, [3; 32]));
                }
            });
        }));
    }
    all.push(forge(
        cast,
        ("details-of-another-key", "details whose body has another key", NotEntitled),
        |draft| {
            draft.on_body = Box::new(|file, _, body| {
                if file == AgeFile::Details {
                    *body = Payload::new(&[1; 16], [1; 16]).chunk(0, true, b"{}").bytes();
                }
            });
        },
    ));
    all
}

/// What a reader, who has the recording's key and so every file key, can make of a recording.
fn reauthored(cast: &Cast) -> Vec<Scenario> {
    let record = |name: &str| Draft::new(cast, Suite::X25519, name, &[(0, 600)]).record();
    let mut all = Vec::new();
    let forged_body = |recording: &Recording| {
        Payload::new(&recording.file_keys[0], [2; 16]).all(&[b'x'; 600], super::draft::FINAL).bytes()
    };
    let list = |body: &[u8]| -> Vec<u8> {
        hashes_of(body, PartChunks::FIFTEEN).iter().flat_map(|hash| *hash.as_bytes()).collect()
    };
    // In the true context and with a true MAC.
    let header_to = |recording: &Recording, file_key: &FileKey, recipients: &[&Recipient]| {
        let context = labels::context(&digest(&recording.objects.manifest), 0, 0);
        let mut stanzas = vec![context_stanza(&context).unwrap()];
        stanzas.extend(recipients.iter().map(|recipient| wrap(recipient, file_key, [4; 32])));
        header(stanzas, file_key)
    };

    let name = "reauthored-body";
    let recording = record(name);
    let text = "another body under the true header: stock age opens it";
    all.push(Scenario::refused(name, text, cast, &recording, Damaged).with(|objects| {
        objects.segments[0].body = forged_body(&recording);
    }));

    let name = "reauthored-body-and-parts";
    let recording = record(name);
    let text = "another body under the true header, with its part list";
    all.push(Scenario::refused(name, text, cast, &recording, Damaged).with(|objects| {
        let body = forged_body(&recording);
        objects.segments[0].parts = list(&body);
        objects.segments[0].body = body;
    }));

    for (name, signer, own_key_id) in [
        ("reauthored-and-self-sealed", &cast.patient, true),
        ("reauthored-and-sealed-under-a-false-name", &cast.patient, false),
    ] {
        let recording = record(name);
        let text = "another body under the true header, with a seal that the other reader signed";
        let body = forged_body(&recording);
        let mut seal = recording.seals[0].clone();
        seal.parts_root = tree::parts_root(&hashes_of(&body, PartChunks::FIFTEEN));
        let key_id = if own_key_id { signer.device_id() } else { recording.manifest.sealer_key };
        let scenario = Scenario::refused(name, text, cast, &recording, NotEntitled).with(|objects| {
            objects.segments[0].seal = signed(&seal, key_id, &signer.device);
            objects.segments[0].parts = list(&body);
            objects.segments[0].body = body;
            objects.final_seal = None;
            objects.details = None;
        });
        all.push(scenario.read_by(&cast.clinician, Suite::X25519));
    }

    let name = "reauthored-header";
    let recording = record(name);
    let text = "a header that wraps the true file key to the true key once more: its body opens as it did";
    all.push(Scenario::refused(name, text, cast, &recording, NotEntitled).with(|objects| {
        objects.segments[0].header =
            header_to(&recording, &recording.file_keys[0], &[recording.key.recipient()]);
    }));

    let name = "reauthored-segment";
    let recording = record(name);
    let text = "another segment under the true context, sealed to the true key: stock age opens it";
    all.push(Scenario::refused(name, text, cast, &recording, NotEntitled).with(|objects| {
        let segment = &mut objects.segments[0];
        segment.header = header_to(&recording, &[8; 16], &[recording.key.recipient()]);
        segment.body = Payload::new(&[8; 16], [2; 16]).all(&[b'x'; 600], super::draft::FINAL).bytes();
        segment.parts = list(&segment.body);
    }));

    let clinician = cast.clinician.identity(Suite::X25519);
    for (name, text, also) in [
        ("reauthored-for-a-reader", "the true file key, wrapped to a reader in place of the key", false),
        ("reauthored-for-one-more", "the true file key, wrapped to the key and to a reader", true),
    ] {
        let recording = record(name);
        let key = recording.key.recipient();
        let recipients: &[&Recipient] =
            if also { &[key, clinician.recipient()] } else { &[clinician.recipient()] };
        let scenario = Scenario::refused(name, text, cast, &recording, Damaged).with(|objects| {
            objects.segments[0].header = header_to(&recording, &recording.file_keys[0], recipients);
        });
        all.push(scenario.read_by(&cast.clinician, Suite::X25519));
    }

    let name = "reauthored-growing-segment";
    let takes = [(0, MAX_PART_PLAINTEXT)];
    let recording = Draft::new(cast, Suite::X25519, name, &takes).cut(0).record();
    let text = "a growing segment whose true progress stands beside a header that another reader made";
    let progress = first_progress(&recording.seals[0]);
    let progress = signed(&progress, recording.manifest.sealer_key, &cast.clinician.device);
    all.push(Scenario::refused(name, text, cast, &recording, NotEntitled).with(|objects| {
        let segment = &mut objects.segments[0];
        segment.header = header_to(&recording, &recording.file_keys[0], &[recording.key.recipient()]);
        segment.seal.clear();
        segment.progress = progress;
        // No reader comes as far as the body.
        segment.body.truncate(64);
        objects.final_seal = None;
        objects.details = None;
    }));

    let name = "reauthored-details";
    let recording = record(name);
    let text = "details that another reader sealed to the recording's key";
    all.push(Scenario::refused(name, text, cast, &recording, Damaged).with(|objects| {
        let context = labels::details_context(&digest(&objects.manifest));
        let stanzas =
            vec![context_stanza(&context).unwrap(), wrap(recording.key.recipient(), &[8; 16], [4; 32])];
        let details = objects.details.as_mut().unwrap();
        *details = header(stanzas, &[8; 16]);
        details.extend(Payload::new(&[8; 16], [2; 16]).all(b"{}", super::draft::FINAL).bytes());
    }));

    for (name, text, outcome, context) in [
        (
            "reauthored-key",
            "a key object with the true key that another reader sealed: its manifest names the first",
            Damaged,
            None,
        ),
        (
            "reauthored-key-elsewhere",
            "a key object with the true key for another recording",
            MixUp,
            Some(Digest::of(b"elsewhere")),
        ),
    ] {
        let recording = record(name);
        all.push(Scenario::refused(name, text, cast, &recording, outcome).with(|objects| {
            let manifest = &recording.manifest;
            let context = context
                .unwrap_or_else(|| labels::key_context(&manifest.tenant, &manifest.recording, &manifest.key));
            let mut stanzas = vec![context_stanza(&context).unwrap()];
            for (at, person) in (0..).zip([&cast.patient, &cast.clinician]) {
                let recipient = person.identity(Suite::X25519).recipient().clone();
                stanzas.push(wrap(&recipient, &[8; 16], [at + 40; 32]));
            }
            objects.key = header(stanzas, &[8; 16]);
            let text = format!("{}\n", *recording.key.export());
            let payload = Payload::new(&[8; 16], [2; 16]).all(text.as_bytes(), super::draft::FINAL);
            objects.key.extend(payload.bytes());
        }));
    }
    all
}
