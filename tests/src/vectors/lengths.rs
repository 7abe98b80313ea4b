//! How long tracks are: padding behind them, details that do not fit their segments, hashes that do not fit.

use vault_proto::geometry::{CHUNK_PLAINTEXT, PartChunks};
use vault_proto::ids::Digest;
use vault_proto::statements::{RecordingStatus, Suite};

use super::Outcome::{CutOff, Damaged};
use super::Scenario;
use super::cast::Cast;
use super::draft::Draft;
use super::forged::forge;

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [padding(cast), lengths(cast), hashes(cast), texts(cast), tracks(cast)].into_iter().flatten().collect()
}

fn padding(cast: &Cast) -> Vec<Scenario> {
    let draft = |name: &str, takes: &[(u8, usize)]| Draft::new(cast, Suite::X25519, name, takes);
    let opened =
        |name: &str, text: &str, draft: Draft<'_>| Scenario::opened(name, text, cast, &draft.record());
    let mut all = Vec::new();

    let name = "padding-up-to-a-padded-size";
    all.push(opened(name, "a track of 1,000 bytes and 24 zeros", draft(name, &[(0, 1_000)]).padded(0, 24)));

    let name = "padding-that-is-not-zeros";
    let mut other = draft(name, &[(0, 1_000)]).padded(0, 24);
    other.takes[0].plaintext[1_000..].fill(b'p');
    all.push(opened(name, "padding that is not zeros, which no reader sees", other));

    let name = "padding-of-whole-parts";
    let text = "parts of one chunk: the second holds the end of the track, two more hold padding";
    let parts = draft(name, &[(0, 70_000)]).in_parts_of(PartChunks::ONE).padded(0, 150_000);
    all.push(opened(name, text, parts));

    let name = "padding-behind-a-full-part";
    let text = "a track that ends with a part, and padding in the next";
    let behind = draft(name, &[(0, CHUNK_PLAINTEXT)]).in_parts_of(PartChunks::ONE).padded(0, 10);
    all.push(opened(name, text, behind));

    let name = "padding-of-a-whole-segment";
    let whole = draft(name, &[(0, 1_000), (0, 0)]).padded(0, 5).padded(1, 300);
    all.push(opened(name, "padding at the end of a segment, and another of nothing else", whole));

    let name = "padding-of-each-track";
    let text = "two tracks whose segments take turns, each with padding at its end";
    let each = draft(name, &[(0, 400), (1, 500), (0, 600), (1, 700)]).padded(2, 30).padded(3, 40);
    all.push(opened(name, text, each));

    let name = "padding-of-a-track-without-bytes";
    let text = "a track without a byte, and padding in its segment";
    all.push(opened(name, text, draft(name, &[(0, 0), (1, 9)]).padded(0, 20)));

    let name = "padding-of-a-recording-that-was-cut-off";
    let text = "padding in a recording whose final seal says that the rest is lost";
    let mut recovered = draft(name, &[(0, 1_000)]).padded(0, 24);
    recovered.on_final = Box::new(|seal| seal.status = RecordingStatus::Recovered);
    all.push(opened(name, text, recovered).ending(CutOff));

    let name = "padding-without-an-end";
    let text = "without a final seal nothing says where the track ends: all that proves is released";
    let mut draft = draft(name, &[(0, 1_000)]).padded(0, 24);
    draft.takes[0].padding = 0;
    all.push(opened(name, text, draft).ending(CutOff).with(|objects| {
        objects.final_seal = None;
        objects.details = None;
    }));
    all
}

/// Details that `change` has changed.
fn changed(cast: &Cast, name: &str, text: &str, change: impl Fn(&str) -> String + 'static) -> Scenario {
    forge(cast, (name, text, Damaged), |draft| draft.on_details = Box::new(move |text| *text = change(text)))
}

fn replaced(cast: &Cast, (name, text): (&str, &str), (old, new): (&'static str, &'static str)) -> Scenario {
    changed(cast, name, text, move |details| {
        assert!(details.contains(old));
        details.replacen(old, new, 1)
    })
}

fn lengths(cast: &Cast) -> Vec<Scenario> {
    let mut all = vec![
        replaced(
            cast,
            ("lengths-one-more", "a byte more than its segment holds"),
            (r#""bytes":600"#, r#""bytes":601"#),
        ),
        replaced(
            cast,
            ("lengths-of-2-to-the-53", "more bytes than there can be"),
            (r#""bytes":600"#, r#""bytes":9007199254740992"#),
        ),
        replaced(
            cast,
            ("lengths-with-a-point", "a length with a point"),
            (r#""bytes":600"#, r#""bytes":600.0"#),
        ),
        replaced(cast, ("lengths-below-zero", "a length below zero"), (r#""bytes":600"#, r#""bytes":-600"#)),
        replaced(
            cast,
            ("lengths-duration-of-2-to-the-53", "a duration that is no number of the format"),
            (r#""duration_ms":null"#, r#""duration_ms":9007199254740992"#),
        ),
    ];
    let name = "lengths-one-more-of-a-later-track";
    let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600), (7, 80)]);
    draft.on_details = Box::new(|text| *text = text.replacen(r#""bytes":80"#, r#""bytes":81"#, 1));
    all.push(Scenario::refused(
        name,
        "a byte more than the segment of track 7 holds",
        cast,
        &draft.record(),
        Damaged,
    ));

    // As many as the segments of both tracks hold together.
    let name = "lengths-exchanged";
    let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600), (1, 80)]);
    draft.on_details = Box::new(|text| {
        let exchanged = text.replacen(r#""bytes":600"#, r#""bytes":x"#, 1);
        *text = exchanged.replacen(r#""bytes":80"#, r#""bytes":600"#, 1).replacen(
            r#""bytes":x"#,
            r#""bytes":80"#,
            1,
        );
    });
    all.push(Scenario::refused(name, "the lengths of two tracks, exchanged", cast, &draft.record(), Damaged));
    all
}

fn hashes(cast: &Cast) -> Vec<Scenario> {
    // The hash that stands first in the details, exchanged for another.
    let with_hash = |draft: &mut Draft<'_>, hash: String| {
        draft.on_details = Box::new(move |text| {
            let from = text.find(r#""sha256":""#).unwrap() + 9;
            text.replace_range(from..from + 66, &hash);
        });
    };
    let quoted = |bytes: &[u8]| format!("\"{}\"", Digest::of(bytes));
    let mut all = Vec::new();

    let name = "sha256-of-something-else";
    let text = "the hash of something else: the track ends with its first part, and nothing is released";
    all.push(forge(cast, (name, text, Damaged), |draft| with_hash(draft, quoted(b"something else"))));

    let name = "sha256-of-something-else-in-the-last-part";
    let text = "the hash of something else: all parts but the last are released";
    let takes = [(0, 2 * CHUNK_PLAINTEXT + 10), (0, 30)];
    let mut draft = Draft::new(cast, Suite::X25519, name, &takes).in_parts_of(PartChunks::ONE);
    with_hash(&mut draft, quoted(b"something else"));
    let before = draft.takes[0].plaintext.clone();
    all.push(Scenario::refused(name, text, cast, &draft.record(), Damaged).released(&before));

    let name = "sha256-of-something-else-before-padding";
    let text = "the hash of something else: what is refused is the part in which the track ends, not the padding behind it";
    let takes = [(0, CHUNK_PLAINTEXT + 10)];
    let mut draft =
        Draft::new(cast, Suite::X25519, name, &takes).in_parts_of(PartChunks::ONE).padded(0, 70_000);
    with_hash(&mut draft, quoted(b"something else"));
    let before = draft.takes[0].plaintext[..CHUNK_PLAINTEXT].to_vec();
    all.push(Scenario::refused(name, text, cast, &draft.record(), Damaged).released(&before));

    let name = "sha256-with-the-padding";
    let text = "the hash of the track together with its padding";
    let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 1_000)]).padded(0, 24);
    let padded = quoted(&draft.takes[0].plaintext);
    with_hash(&mut draft, padded);
    all.push(Scenario::refused(name, text, cast, &draft.record(), Damaged));

    let name = "sha256-of-a-track-without-bytes";
    let text = "a track without a byte, and the hash of something";
    let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 0)]);
    with_hash(&mut draft, quoted(b"something"));
    all.push(Scenario::refused(name, text, cast, &draft.record(), Damaged));

    let name = "sha256-of-another-track";
    let text = "two tracks, the first with the hash of the second";
    let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 60), (1, 60)]);
    let second = quoted(&draft.takes[1].plaintext);
    with_hash(&mut draft, second);
    all.push(Scenario::refused(name, text, cast, &draft.record(), Damaged));

    let name = "sha256-in-capitals";
    let text = "a hash in capitals";
    all.push(changed(cast, name, text, |details| {
        let from = details.find(r#""sha256":""#).unwrap() + 10;
        let (before, hash) = details.split_at(from);
        format!("{before}{}{}", hash[..64].to_uppercase(), &hash[64..])
    }));

    let name = "opens-without-a-hash";
    let text = "a track whose sealer has not seen all of it, and so left no hash";
    let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600)]);
    with_hash(&mut draft, "null".to_owned());
    all.push(Scenario::opened(name, text, cast, &draft.record()));
    all
}

/// The text of the details.
fn texts(cast: &Cast) -> Vec<Scenario> {
    let behind = |name, text, behind: &'static str| {
        changed(cast, name, text, move |details| format!("{details}{behind}"))
    };
    let mut all = vec![
        behind("details-and-a-line-feed", "details with a line feed behind them", "\n"),
        behind("details-and-a-tab-behind-spaces", "details with a tab behind spaces", "  \t"),
        behind("details-and-more-text", "details with a letter behind spaces", "  x"),
        behind("details-twice-one-behind-the-other", "details with an empty object behind them", "{}"),
        changed(cast, "details-byte-order-mark", "details with a byte order mark before them", |details| {
            format!("\u{feff}{details}")
        }),
        changed(cast, "details-as-array", "details as an array of their values", |details| {
            let tracks = &details[details.find(r#""tracks":"#).unwrap() + 9..details.len() - 1];
            format!(r#"["Consultation","2026-11-21T09:30:00Z","2026-11-21T09:45:00Z",{tracks}]"#)
        }),
        changed(cast, "details-track-as-array", "a track as an array of its values", |details| {
            let hash = &details[details.find(r#""sha256":"#).unwrap() + 9..][..66];
            let before = &details[..details.find(r#"{"track""#).unwrap()];
            format!(r#"{before}[0,"video/webm",600,null,{hash}]]}}"#)
        }),
        replaced(
            cast,
            ("details-repeated-field-of-a-track", "a track with two lengths"),
            (r#""bytes":600"#, r#""bytes":601,"bytes":600"#),
        ),
        replaced(
            cast,
            ("details-without-a-title", "details without a field that may be null"),
            (r#""title":"Consultation","#, ""),
        ),
        replaced(
            cast,
            ("details-without-a-duration", "a track without a field that may be null"),
            (r#""duration_ms":null,"#, ""),
        ),
        changed(cast, "details-without-a-hash", "a track without the field for its hash", |details| {
            let from = details.find(r#","sha256""#).unwrap();
            format!("{}{}", &details[..from], &details[from + 76..])
        }),
    ];
    for (name, text, length) in [
        ("opens-details-padded", "details with spaces up to 4,096 bytes, as sealers write them", 4096),
        ("opens-details-with-a-space", "details with one space behind them", 0),
        ("opens-details-of-two-chunks", "details with spaces into a second chunk", CHUNK_PLAINTEXT + 100),
    ] {
        let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600)]);
        draft.on_details = Box::new(move |text| {
            let spaces = length.saturating_sub(text.len()).max(1);
            text.push_str(&" ".repeat(spaces));
        });
        all.push(Scenario::opened(name, text, cast, &draft.record()));
    }
    let name = "opens-unknown-fields-twice-in-details";
    let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 300)]);
    draft.on_details =
        Box::new(|text| *text = text.replacen('{', r#"{"more":1,"more":[{"a":1.5,"a":-2e9}],"#, 1));
    let text = "details with a field that is not known, twice, and with one in it";
    all.push(Scenario::opened(name, text, cast, &draft.record()));
    all
}

/// The tracks of the details, beside those of the segments.
fn tracks(cast: &Cast) -> Vec<Scenario> {
    let with_tracks = |name: &str, text: &str, change: fn(Vec<String>) -> Vec<String>| {
        let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600), (1, 70), (5, 0)]);
        draft.on_details = Box::new(move |text| {
            let from = text.find(r#""tracks":["#).unwrap() + 10;
            let tracks =
                text[from + 1..text.len() - 3].split("},{").map(|track| format!("{{{track}}}")).collect();
            *text = format!("{}{}]}}", &text[..from], change(tracks).join(","));
        });
        Scenario::refused(name, text, cast, &draft.record(), Damaged)
    };
    vec![
        with_tracks("details-track-missing", "details without the second of three tracks", |mut tracks| {
            tracks.remove(1);
            tracks
        }),
        with_tracks(
            "details-empty-track-missing",
            "details without a track that holds nothing",
            |mut tracks| {
                tracks.pop();
                tracks
            },
        ),
        with_tracks("details-no-track", "details without a track", |_| Vec::new()),
        with_tracks("details-track-twice", "details with a track twice", |mut tracks| {
            tracks.insert(1, tracks[0].clone());
            tracks
        }),
        with_tracks(
            "details-track-twice-and-another-missing",
            "details with a track twice for another",
            |mut tracks| {
                tracks[1] = tracks[0].clone();
                tracks
            },
        ),
        with_tracks("details-tracks-descending", "details whose tracks do not ascend", |mut tracks| {
            tracks.reverse();
            tracks
        }),
        with_tracks(
            "details-track-unknown",
            "details with a track more, which has no segment",
            |mut tracks| {
                let more = tracks[2].replacen(r#""track":5"#, r#""track":6"#, 1);
                tracks.push(more);
                tracks
            },
        ),
    ]
}
