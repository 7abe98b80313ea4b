//! Key objects that a sealer made and signed: with a note, for others than the readers, and of no use to them.

use vault_core::recipient::Recipient;
use vault_proto::age_header::{Stanza, encode_argument};
use vault_proto::ids::{KeyId, OrganisationId, RecordingId};
use vault_proto::labels;
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::{Manifest, Suite};

use super::Outcome::{self, Damaged, MixUp, NotEntitled};
use super::Scenario;
use super::cast::{Cast, Person, key_of};
use super::draft::{AgeFile, Draft, recording_key};
use super::forged::forge;
use super::primitives::{FileKey, Payload, wrap, wrap_to_everybody};
use super::tampered::header_length;

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [contexts(cast), stanzas(cast), payloads(cast), texts(cast), identities(cast), opens(cast)]
        .into_iter()
        .flatten()
        .collect()
}

const SUITE: Suite = Suite::X25519;

fn recipient(person: &Person, suite: Suite) -> Recipient {
    person.identity(suite).recipient().clone()
}

/// Changes the stanzas of the key object.
fn with_stanzas<'a>(
    cast: &'a Cast,
    what: (&str, &str, Outcome),
    change: impl Fn(&FileKey, &mut Vec<Stanza>) + 'a,
) -> Scenario {
    forge(cast, what, |draft| {
        draft.on_stanzas = Box::new(move |file, file_key, stanzas| {
            if file == AgeFile::Key {
                change(file_key, stanzas);
            }
        });
    })
}

/// What the manifest of the recording called `name` says, whose key object is still to be made.
fn manifest_of(cast: &Cast, name: &str) -> Manifest {
    Draft::new(cast, SUITE, name, &[]).record().manifest
}

fn contexts(cast: &Cast) -> Vec<Scenario> {
    let mut all = vec![
        with_stanzas(
            cast,
            ("key-without-context", "a stock age file to the true readers", NotEntitled),
            |_, stanzas| drop(stanzas.remove(0)),
        ),
        with_stanzas(
            cast,
            ("key-context-behind-the-readers", "the context stanza last", NotEntitled),
            |_, stanzas| stanzas.rotate_left(1),
        ),
        with_stanzas(cast, ("key-context-twice", "the context stanza twice", NotEntitled), |_, stanzas| {
            stanzas.insert(1, stanzas[0].clone());
        }),
        with_stanzas(cast, ("key-context-with-a-body", "a context with a body", MixUp), |_, stanzas| {
            stanzas[0] = Stanza::new(stanzas[0].tag(), stanzas[0].args().to_vec(), vec![0; 32]).unwrap();
        }),
        with_stanzas(
            cast,
            ("key-context-padded", "a context in base64 with padding", MixUp),
            |_, stanzas| {
                let args = vec![format!("{}=", stanzas[0].args()[0])];
                stanzas[0] = Stanza::new(stanzas[0].tag(), args, vec![]).unwrap();
            },
        ),
    ];
    for what in ["organisation", "recording", "key"] {
        let name = format!("key-context-of-another-{what}");
        let text = format!("a key object in the context of another {what}");
        let Manifest { mut tenant, mut recording, mut key, .. } = manifest_of(cast, &name);
        match what {
            "organisation" => tenant = OrganisationId::from_bytes([7; 32]),
            "recording" => recording = RecordingId::from_bytes([7; 16]),
            _ => key = KeyId::from_bytes([7; 32]),
        }
        all.push(with_stanzas(cast, (&name, &text, MixUp), move |_, stanzas| {
            stanzas[0] = context_stanza(&labels::key_context(&tenant, &recording, &key)).unwrap();
        }));
    }
    all
}

/// Changes to the stanzas of two readers behind their context, all of which are refused as not entitled.
type Change<'a> = (&'a str, &'a str, Box<dyn Fn(&FileKey, &mut Vec<Stanza>) + 'a>);

fn stanzas(cast: &Cast) -> Vec<Scenario> {
    let [patient, clinician, stranger] =
        [&cast.patient, &cast.clinician, &cast.other].map(|person| recipient(person, SUITE));
    let pq = [&cast.patient, &cast.clinician].map(|person| recipient(person, Suite::Pq));
    let of = |stanza: &Stanza, args: &[String], body: &[u8]| {
        Stanza::new(stanza.tag(), args.to_vec(), body.to_vec()).unwrap()
    };
    let changes: Vec<Change<'_>> = vec![
        ("key-to-nobody", "a context and no reader", Box::new(|_, all| all.truncate(1))),
        ("key-without-the-reader", "the patient is left out", Box::new(|_, all| drop(all.remove(1)))),
        ("key-without-the-other-reader", "the clinician is left out", Box::new(|_, all| drop(all.pop()))),
        (
            "key-to-one-more",
            "a stanza to an account that the manifest does not name",
            Box::new(|key, all| all.push(wrap(&stranger, key, [3; 32]))),
        ),
        (
            "key-to-a-stranger-for-the-reader",
            "the patient's stanza is one to another patient",
            Box::new(|key, all| all[1] = wrap(&stranger, key, [3; 32])),
        ),
        (
            "key-to-the-other-reader-twice",
            "the clinician twice, and the patient not at all",
            Box::new(|key, all| all[1] = wrap(&clinician, key, [3; 32])),
        ),
        (
            "key-stanza-of-the-other-suite",
            "the clinician's stanza is of suite pq",
            Box::new(|key, all| all[2] = wrap(&pq[1], key, [0; 32])),
        ),
        (
            "key-stanzas-of-the-other-suite",
            "both readers' stanzas are of suite pq",
            Box::new(|key, all| all.splice(1.., pq.iter().map(|to| wrap(to, key, [0; 32]))).for_each(drop)),
        ),
        (
            "key-stanza-unknown",
            "a stanza of an unknown type beside the readers'",
            Box::new(|_, all| all.push(Stanza::new("grease", vec![], vec![7; 20]).unwrap())),
        ),
        (
            "key-stanza-of-a-passphrase",
            "a passphrase stanza in place of the clinician's",
            Box::new(|_, all| {
                let args = vec![encode_argument(&[1; 16]), "10".to_owned()];
                all[2] = Stanza::new("scrypt", args, vec![7; 32]).unwrap();
            }),
        ),
        (
            "key-stanza-low-order-share",
            "a key share of low order: everybody can unwrap it",
            Box::new(|key, all| all[1] = wrap_to_everybody(&patient, key)),
        ),
        (
            "key-stanza-body-of-31-bytes",
            "a stanza body of 31 bytes",
            Box::new(|_, all| all[1] = of(&all[1], all[1].args(), &all[1].body()[..31])),
        ),
        (
            "key-stanza-two-arguments",
            "a stanza with an argument more",
            Box::new(|_, all| {
                all[1] = of(&all[1], &[all[1].args(), &["x".to_owned()]].concat(), all[1].body());
            }),
        ),
        (
            "key-stanza-file-key-of-17-bytes",
            "a wrapped file key that is a byte too long",
            Box::new(|key, all| all[1] = wrap(&patient, &[&key[..], &[0]].concat(), [5; 32])),
        ),
    ];
    let mut all: Vec<Scenario> = changes
        .into_iter()
        .map(|(name, text, change)| with_stanzas(cast, (name, text, NotEntitled), change))
        .collect();

    let name = "key-stanza-low-order-share-of-the-other";
    let text = "a key share of low order before the stanza of the reader";
    let to = recipient(&cast.patient, SUITE);
    let before = with_stanzas(cast, (name, text, NotEntitled), move |key, all| {
        all[1] = wrap_to_everybody(&to, key);
    });
    all.push(before.read_by(&cast.clinician, SUITE));

    let name = "key-stanza-pq-low-order-share";
    let mut draft = Draft::new(cast, Suite::Pq, name, &[(0, 60)]);
    draft.on_stanzas = Box::new(move |file, _, stanzas| {
        if file == AgeFile::Key {
            let mut share = data_encoding::BASE64_NOPAD.decode(stanzas[1].args()[0].as_bytes()).unwrap();
            share[1088..].fill(0);
            stanzas[1] = of(&stanzas[1], &[encode_argument(&share)], stanzas[1].body());
        }
    });
    let text = "a pq stanza with an X25519 share of low order";
    all.push(Scenario::refused(name, text, cast, &draft.record(), NotEntitled));
    all
}

/// Writes the payload of a key object whose text is given.
type Write = fn(Payload, &[u8]) -> Payload;

fn payloads(cast: &Cast) -> Vec<Scenario> {
    let wrong: [(&str, &str, Write); 5] = [
        ("key-payload-without-a-chunk", "a nonce and no chunk", |payload, _| payload),
        ("key-payload-without-final-mark", "a chunk that is not marked as final", |payload, text| {
            payload.chunk(0, false, text)
        }),
        ("key-payload-counter-from-one", "a chunk of number 1", |payload, text| payload.chunk(1, true, text)),
        ("key-payload-empty-final-chunk", "the text and an empty final chunk", |payload, text| {
            payload.chunk(0, false, text).chunk(1, true, b"")
        }),
        ("key-payload-of-two-chunks", "the text in two chunks", |payload, text| {
            payload.chunk(0, false, &text[..40]).chunk(1, true, &text[40..])
        }),
    ];
    let mut all: Vec<Scenario> = wrong
        .into_iter()
        .map(|(name, text, write)| {
            forge(cast, (name, text, NotEntitled), |draft| {
                let line = format!("{}\n", *recording_key(SUITE, name).export());
                draft.on_body = Box::new(move |file, file_key, body| {
                    if file == AgeFile::Key {
                        *body = write(Payload::new(file_key, [6; 16]), line.as_bytes()).bytes();
                    }
                });
            })
        })
        .collect();
    let object = |what: (&str, &str, Outcome), change: fn(&mut Vec<u8>)| {
        forge(cast, what, |draft| draft.on_key_object = Box::new(change))
    };
    all.extend([
        forge(
            cast,
            ("key-payload-of-another-key", "a text that the file key does not open", NotEntitled),
            |draft| {
                draft.on_body = Box::new(|file, _, body| {
                    if file == AgeFile::Key {
                        *body = Payload::new(&[1; 16], [1; 16]).chunk(0, true, b"AGE-SECRET-KEY-1\n").bytes();
                    }
                });
            },
        ),
        object(("key-without-payload", "a header and nothing behind it", NotEntitled), |object| {
            let length = header_length(object);
            object.truncate(length);
        }),
        object(("key-other-mac", "a MAC that does not fit", NotEntitled), |object| {
            let at = header_length(object) - 40;
            object[at] = if object[at] == b'A' { b'B' } else { b'A' };
        }),
        object(("key-header-line-ends", "a header with carriage returns", NotEntitled), |object| {
            let length = header_length(object);
            let header = String::from_utf8(object[..length].to_vec()).unwrap().replace('\n', "\r\n");
            object.splice(..length, header.bytes());
        }),
        object(("key-with-a-byte-behind", "a byte behind the text's chunk", NotEntitled), |object| {
            object.push(0);
        }),
        object(("key-longer-than-any", "33,825 bytes", Damaged), |object| object.resize(33_825, 0)),
    ]);
    let name = "key-in-the-clear";
    let line = format!("{}\n", *recording_key(SUITE, name).export());
    all.push(forge(cast, (name, "an identity that is not sealed at all", NotEntitled), |draft| {
        draft.on_key_object = Box::new(move |object| *object = line.clone().into_bytes());
    }));
    all
}

/// A text of a key object, from the true one.
type Text = fn(&str) -> String;

fn texts(cast: &Cast) -> Vec<Scenario> {
    let wrong: [(&str, &str, Text); 21] = [
        ("empty", "no text", |_| String::new()),
        ("without-line-feed", "a line that does not end", |line| line.trim_end().to_owned()),
        ("with-carriage-return", "a line that ends in carriage return and line feed", |line| {
            line.replace('\n', "\r\n")
        }),
        ("two-identities", "the identity twice", |line| line.repeat(2)),
        ("blank-line-before", "an empty line before the identity", |line| format!("\n{line}")),
        ("blank-line-behind", "an empty line behind the identity", |line| format!("{line}\n")),
        ("space-before", "a space before the identity", |line| format!(" {line}")),
        ("space-behind", "a space behind the identity", |line| line.replace('\n', " \n")),
        ("in-small-letters", "an identity in small letters", |line| line.to_lowercase()),
        ("of-another-checksum", "an identity whose checksum does not fit", |line| {
            let (rest, last) = line.trim_end().split_at(line.len() - 2);
            format!("{rest}{}\n", if last == "Q" { 'P' } else { 'Q' })
        }),
        ("of-another-comment", "a comment that is no note, as age-keygen writes it", |line| {
            format!("# created: 2026-11-21T09:30:00Z\n{line}")
        }),
        ("note-without-space", "a note without the space behind its name", |line| {
            format!("#note: mine\n{line}")
        }),
        ("note-in-capitals", "a note whose name is in capitals", |line| format!("# Note: mine\n{line}")),
        ("two-notes", "two notes", |line| format!("# note: one\n# note: two\n{line}")),
        ("note-behind", "a note behind the identity", |line| format!("{line}# note: mine\n")),
        ("note-alone", "a note and no identity", |_| "# note: mine\n".to_owned()),
        ("note-with-an-escape", "a note that begins a terminal's command", |line| {
            format!("# note: \u{1b}[2J\n{line}")
        }),
        ("note-with-a-carriage-return", "a note that returns to its beginning", |line| {
            format!("# note: mine\r\n{line}")
        }),
        ("note-that-deceives", "a note that turns the writing direction", |line| {
            format!("# note: Dr \u{202e}regnaD\n{line}")
        }),
        ("note-of-129-characters", "a note of 129 characters", |line| {
            format!("# note: {}\n{line}", "n".repeat(129))
        }),
        ("of-1025-bytes", "a text of 1,025 bytes", |line| {
            format!("# note: {}\n{line}", "n".repeat(1025 - "# note: \n".len() - line.len()))
        }),
    ];
    let mut all: Vec<Scenario> = wrong
        .into_iter()
        .map(|(name, text, change)| {
            let name = format!("key-text-{name}");
            let text = format!("in the key object: {text}");
            forge(cast, (&name, &text, NotEntitled), |draft| {
                draft.on_key_text = Box::new(move |line| {
                    let changed = change(line);
                    assert_ne!(changed, *line);
                    *line = changed;
                });
            })
        })
        .collect();

    let name = "key-text-note-is-no-text";
    let line = format!("\n{}\n", *recording_key(SUITE, name).export());
    all.push(forge(cast, (name, "in the key object: a note that is no UTF-8", NotEntitled), |draft| {
        draft.on_body = Box::new(move |file, file_key, body| {
            if file == AgeFile::Key {
                let text = [b"# note: \xff", line.as_bytes()].concat();
                *body = Payload::new(file_key, [6; 16]).chunk(0, true, &text).bytes();
            }
        });
    }));
    all
}

fn identities(cast: &Cast) -> Vec<Scenario> {
    let holding = |name: &str, text: &str, line: String| {
        forge(cast, (name, text, NotEntitled), |draft| {
            draft.on_key_text = Box::new(move |text| *text = format!("{line}\n"));
        })
    };
    let other = |suite| recording_key(suite, "another recording");
    let mut all = vec![
        holding(
            "key-of-another-recording",
            "the key of another recording",
            other(SUITE).export().to_string(),
        ),
        holding("key-of-the-other-suite", "a key of suite pq", other(Suite::Pq).export().to_string()),
        holding(
            "key-of-the-reader",
            "the patient's own identity",
            cast.patient.identity(SUITE).export().to_string(),
        ),
        holding("key-is-a-recipient", "a recipient in place of the identity", {
            recording_key(SUITE, "key-is-a-recipient").recipient().to_string()
        }),
    ];

    let name = "key-of-the-other-suite-that-is-named";
    let pq = other(Suite::Pq);
    let (named, line) = (key_of(&pq), format!("{}\n", *pq.export()));
    let text = "a manifest of suite x25519 that names a key of suite pq, which the key object holds";
    all.push(forge(cast, (name, text, NotEntitled), |draft| {
        draft.on_manifest = Box::new(move |manifest| manifest.key = named);
        draft.on_key_text = Box::new(move |text| text.clone_from(&line));
    }));
    all
}

fn opens(cast: &Cast) -> Vec<Scenario> {
    let noted = |suite: Suite, name: &str, text: &str, note: String| {
        let mut draft = Draft::new(cast, suite, name, &[(0, 600)]);
        draft.on_key_text = Box::new(move |line| *line = format!("# note: {note}\n{line}"));
        Scenario::opened(name, text, cast, &draft.record())
    };
    let name = "opens-beside-a-later-key";
    let recording = Draft::new(cast, SUITE, name, &[(0, 600)]).record();
    let other = Draft::new(cast, SUITE, "a later key", &[]).record().objects.key;
    vec![
        noted(SUITE, "opens-key-with-a-note", "a note in the key object", "Knee, left".to_owned()),
        noted(
            Suite::Pq,
            "opens-pq-key-with-a-note",
            "a note in the key object",
            "Knie, links – neu".to_owned(),
        ),
        noted(SUITE, "opens-key-with-an-empty-note", "an empty note", String::new()),
        noted(
            SUITE,
            "opens-key-with-a-note-of-128-characters",
            "a note of 128 characters beyond the basic plane",
            "\u{1f3e5}".repeat(128),
        ),
        Scenario::opened(
            name,
            "a key object of generation 1, which is another's, beside generation 0",
            cast,
            &recording,
        )
        .with(|objects| drop(objects.later_keys.insert(1, other))),
    ]
}
