//! A catalogue with recordings of every kind, hostile ones among them.

use vault_proto::ids::{AccountId, Digest, OrganisationId, RecordingId};
use vault_proto::statements::Role;
use vault_proto::timestamp::Timestamp;

use super::catalogue::{Catalogue, ExportedFile, ExportedRecording, ExportedStatus, Person};

/// Texts that try to be more than text.
pub(crate) const HOSTILE: [&str; 10] = [
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "</title></style></h3><h1>Mine",
    "' onclick='alert(1)",
    "a\u{0}b\u{1b}[2J\r\nSet-Cookie: c",
    "invoice\u{202e}gpj.exe",
    "\u{2067}\u{2066}x\u{200b}\u{feff}",
    "&lt;b&gt; &#x3c;script&#x3e; {{7*7}} ${x}",
    "\u{2028}\u{200d}\u{3164}",
];

pub(crate) fn somebody(byte: u8, role: Role, label: Option<&str>) -> Person {
    Person { account: AccountId::from_bytes([byte; 32]), role, label: label.map(str::to_owned) }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn file(track: u8, path: &str, media_type: &str, bytes: u64) -> ExportedFile {
    ExportedFile {
        track,
        path: path.to_owned(),
        media_type: media_type.to_owned(),
        bytes,
        sha256: Digest::of(path.as_bytes()),
        duration_ms: Some(8_701),
        sealed_bytes: bytes,
        sealed_sha256: Digest::of(path.as_bytes()),
    }
}

fn recording(byte: u8, title: Option<&str>, began: &str, ended: Option<&str>) -> ExportedRecording {
    ExportedRecording {
        recording: RecordingId::from_bytes([byte; 16]),
        folder: format!("recordings/2026-11-{byte:02} consultation"),
        consultation: format!("visit-{byte}"),
        title: title.map(str::to_owned),
        status: if ended.is_some() { ExportedStatus::Complete } else { ExportedStatus::CutOff },
        created: time(began),
        started: ended.map(|_| time(began)),
        ended: ended.map(time),
        patient: somebody(1, Role::Patient, Some("Anna Kowalska")),
        clinician: somebody(2, Role::Clinician, Some("Dr. Grégoire Maison")),
        sealer: somebody(3, Role::Recorder, Some("Room 12")),
        manifest: Digest::of(&[byte]),
        final_seal: ended.map(|_| Digest::of(&[byte, byte])),
        files: vec![file(1, "video.webm", "video/webm; codecs=\"vp9,opus\"", 91_234)],
    }
}

/// Five recordings: with an index, of sound and several tracks, hostile, without a title, cut off; and two that are
/// missing.
pub(crate) fn varied() -> Catalogue {
    let mut first =
        recording(5, Some("Knee, follow-up"), "2026-11-19T14:05:00Z", Some("2026-11-19T14:31:00Z"));
    first.files[0].sealed_sha256 = Digest::of(b"as sealed");
    let mut sound =
        recording(4, Some("Telephone call"), "2026-11-12T23:55:00Z", Some("2026-11-13T00:10:00Z"));
    sound.sealer = sound.clinician.clone();
    sound.files = vec![
        file(1, "sound.ogg", "audio/ogg", 61_000),
        file(2, "screen #2?.webm", "video/webm", 91_234),
        file(3, "notes.bin", "text/html\"><script>", 12),
    ];
    let mut hostile = recording(
        3,
        Some(&HOSTILE.join(" ").repeat(60)),
        "2026-10-30T08:00:00Z",
        Some("2026-10-30T07:00:00Z"),
    );
    hostile.clinician.label = Some(HOSTILE[2].to_owned());
    hostile.patient.label = Some(HOSTILE[6].to_owned());
    hostile.sealer.label = Some(HOSTILE[9].to_owned());
    hostile.consultation = HOSTILE[5].to_owned();
    hostile.folder = "recordings/\"><script>".to_owned();
    let untitled = recording(2, None, "2026-10-02T09:30:00Z", Some("2026-10-02T10:45:10Z"));
    let mut cut_off = recording(1, None, "2026-09-15T10:00:00Z", None);
    cut_off.sealer = cut_off.patient.clone();
    Catalogue {
        account: somebody(1, Role::Patient, Some("Anna Kowalska")),
        organisation: OrganisationId::from_bytes([9; 32]),
        created: time("2026-11-21T09:30:00Z"),
        recordings: vec![first, sound, hostile, untitled, cut_off],
        missing: vec![
            (
                RecordingId::from_bytes([0xaa; 16]),
                "damaged: segment 2, part 7 does not match its seal".to_owned(),
            ),
            (RecordingId::from_bytes([0xbb; 16]), HOSTILE[3].to_owned()),
        ],
    }
}
