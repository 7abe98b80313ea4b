//! An export as a FHIR `Bundle` of document references, for systems that keep health records.
//!
//! People and the organisation are entries of their own, known by the vault's identifiers. A recording's author is its
//! sealer, then its clinician. SHA-256 sums are extensions: FHIR's own `hash` is SHA-1.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use vault_proto::statements::Role;
use vault_proto::timestamp::Timestamp;

use super::catalogue::{Catalogue, ExportedFile, ExportedRecording, ExportedStatus, Person};
use super::file_address::file_address;
use super::inert_text::inert;
use super::wording::{person_name, title};
use vault_engine::media_type::{KnownMedia, Player};

const ACCOUNT: &str = "urn:recording-vault:account";
const ORGANISATION: &str = "urn:recording-vault:organisation";
const RECORDING: &str = "urn:recording-vault:recording";
const CONSULTATION: &str = "urn:recording-vault:consultation";
const SHA256: &str = "urn:recording-vault:sha256";
const MEDIA_KIND: &str = "http://terminology.hl7.org/CodeSystem/media-type";
/// Most characters of a consultation id.
const LONGEST_CONSULTATION: usize = 128;
/// Largest `unsignedInt`, which R4 gives the size of a file.
const LARGEST_UNSIGNED_INT: u64 = 2_147_483_647;

/// A release of FHIR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FhirVersion {
    /// Release 4, 4.0.1.
    R4,
    /// Release 5, 5.0.0.
    R5,
}

/// The bundle of an export: a `collection` with one `DocumentReference` per recording, and the people and the
/// organisation that they name. The same catalogue gives the same bundle. Attachments are relative to the export's top
/// folder.
pub fn bundle(catalogue: &Catalogue, version: FhirVersion) -> Value {
    let organisation = catalogue.organisation.to_string();
    let mut entries = vec![entry(
        urn("Organization", &organisation),
        json!({ "resourceType": "Organization", "identifier": [identifier(ORGANISATION, &organisation)] }),
    )];
    let mut named: Vec<String> = Vec::new();
    for recording in &catalogue.recordings {
        let patient = (&recording.patient, "Patient");
        for (person, kind) in
            [patient, author(&recording.clinician, recording), author(&recording.sealer, recording)]
        {
            let address = urn(kind, &person.account.to_string());
            if !named.contains(&address) {
                entries.push(entry(address.clone(), someone(person, kind, version)));
                named.push(address);
            }
        }
    }
    for recording in &catalogue.recordings {
        let address = urn("DocumentReference", &recording.recording.to_string());
        entries.push(entry(address, document(recording, &organisation, version)));
    }
    json!({
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": catalogue.created,
        "entry": entries,
    })
}

fn entry(address: String, resource: Value) -> Value {
    json!({ "fullUrl": address, "resource": resource })
}

/// Address of a resource within the bundle: a version 8 UUID of its kind and identifier.
fn urn(kind: &str, identifier: &str) -> String {
    let hash = Sha256::digest(format!("recording-vault fhir {kind} {identifier}"));
    let number = hash.iter().take(16).fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    let version = 0xf_u128 << 76;
    let variant = 0x3_u128 << 62;
    let uuid = (number & !version & !variant) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{uuid:032x}");
    let group = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-{}-{}-{}", group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32))
}

fn identifier(system: &str, value: &str) -> Value {
    json!({ "system": system, "value": value })
}

/// The kind of resource that stands for an author. The recording's own patient is the one patient of its entries.
fn author<'a>(person: &'a Person, recording: &ExportedRecording) -> (&'a Person, &'static str) {
    let kind = if person.account == recording.patient.account {
        "Patient"
    } else {
        match person.role {
            Role::Patient => "Patient",
            Role::Clinician | Role::Auditor | Role::Custodian => "Practitioner",
            Role::Recorder => "Device",
        }
    };
    (person, kind)
}

fn someone(person: &Person, kind: &str, version: FhirVersion) -> Value {
    let name = person_name(person);
    let mut resource = Map::new();
    resource.insert("resourceType".to_owned(), json!(kind));
    resource.insert("identifier".to_owned(), json!([identifier(ACCOUNT, &person.account.to_string())]));
    let (field, value) = match (kind, version) {
        ("Device", FhirVersion::R4) => {
            ("deviceName", json!([{ "name": name, "type": "user-friendly-name" }]))
        }
        ("Device", FhirVersion::R5) => ("name", json!([{ "value": name, "type": "user-friendly-name" }])),
        _ => ("name", json!([{ "text": name }])),
    };
    resource.insert(field.to_owned(), value);
    Value::Object(resource)
}

fn reference((person, kind): (&Person, &str)) -> Value {
    let account = person.account.to_string();
    json!({
        "reference": urn(kind, &account),
        "type": kind,
        "identifier": identifier(ACCOUNT, &account),
        "display": person_name(person),
    })
}

fn document(recording: &ExportedRecording, organisation: &str, version: FhirVersion) -> Value {
    let id = recording.recording.to_string();
    let (doc_status, end) = match recording.status {
        ExportedStatus::Complete => ("final", ""),
        ExportedStatus::CutOff => ("preliminary", " (cut off: the end is missing)"),
        ExportedStatus::Empty => ("preliminary", " (empty: nothing was recorded)"),
    };
    let mut authors = vec![reference(author(&recording.sealer, recording))];
    if recording.clinician.account != recording.sealer.account {
        authors.push(reference(author(&recording.clinician, recording)));
    }
    let mut content: Vec<Value> = recording
        .files
        .iter()
        .map(|file| json!({ "attachment": attachment(file, recording, version) }))
        .collect();
    if content.is_empty() {
        // At least one is required.
        content.push(json!({ "attachment": { "title": title(recording), "creation": recording.created } }));
    }
    let mut resource = Map::new();
    let mut put = |field: &str, value: Value| {
        resource.insert(field.to_owned(), value);
    };
    put("resourceType", json!("DocumentReference"));
    put("identifier", json!([identifier(RECORDING, &id)]));
    put("status", json!("current"));
    put("docStatus", json!(doc_status));
    put("type", json!({ "text": "Recording of a consultation" }));
    if let Some(kind) = media_kind(recording) {
        put("category", json!([{ "coding": [{ "system": MEDIA_KIND, "code": kind }] }]));
    }
    put("subject", reference((&recording.patient, "Patient")));
    put("date", json!(recording.created));
    put("author", json!(authors));
    put(
        "custodian",
        json!({
            "reference": urn("Organization", organisation),
            "type": "Organization",
            "identifier": identifier(ORGANISATION, organisation),
        }),
    );
    put("description", json!(format!("{}{end}", title(recording))));
    put("content", json!(content));
    let consultation = consultation(recording);
    match version {
        FhirVersion::R4 => {
            put("masterIdentifier", identifier(RECORDING, &id));
            let mut context = Map::new();
            if let Some(consultation) = consultation {
                context.insert("encounter".to_owned(), json!([consultation]));
            }
            context.insert("period".to_owned(), period(recording.began(), recording.ended));
            put("context", Value::Object(context));
        }
        FhirVersion::R5 => {
            if let Some(consultation) = consultation {
                put("context", json!([consultation]));
            }
            put("period", period(recording.began(), recording.ended));
        }
    }
    Value::Object(resource)
}

/// The consultation, known only by its identifier.
fn consultation(recording: &ExportedRecording) -> Option<Value> {
    let consultation = inert(&recording.consultation, LONGEST_CONSULTATION)?;
    Some(json!({ "type": "Encounter", "identifier": identifier(CONSULTATION, &consultation) }))
}

/// A period must not end before it begins, and a clock that was set back makes such a pair.
fn period(began: Timestamp, ended: Option<Timestamp>) -> Value {
    match ended.filter(|ended| *ended >= began) {
        Some(ended) => json!({ "start": began, "end": ended }),
        None => json!({ "start": began }),
    }
}

/// `video` where any file is one, `audio` where sound is all there is to play.
fn media_kind(recording: &ExportedRecording) -> Option<&'static str> {
    let known: Vec<Player> = recording
        .files
        .iter()
        .filter_map(|file| KnownMedia::of(&file.media_type))
        .map(|known| known.player)
        .collect();
    if known.contains(&Player::Video) {
        Some("video")
    } else {
        known.contains(&Player::Audio).then_some("audio")
    }
}

fn attachment(file: &ExportedFile, recording: &ExportedRecording, version: FhirVersion) -> Value {
    let mut attachment = Map::new();
    let mut put = |field: &str, value: Value| {
        attachment.insert(field.to_owned(), value);
    };
    put("extension", json!([{ "url": SHA256, "valueString": file.sha256 }]));
    let known = KnownMedia::of(&file.media_type);
    put("contentType", json!(known.map_or(vault_engine::media_type::UNKNOWN, |known| known.media_type)));
    if let Some(address) = file_address(&recording.folder, &file.path) {
        put("url", json!(address));
    }
    put("title", json!(title(recording)));
    put("creation", json!(recording.created));
    match version {
        FhirVersion::R4 => {
            if file.bytes <= LARGEST_UNSIGNED_INT {
                put("size", json!(file.bytes));
            }
        }
        FhirVersion::R5 => {
            // An integer64 is a string in JSON.
            if i64::try_from(file.bytes).is_ok() {
                put("size", json!(file.bytes.to_string()));
            }
            if let Some(milliseconds) = file.duration_ms {
                put("duration", seconds(milliseconds));
            }
        }
    }
    Value::Object(attachment)
}

/// Seconds to the millisecond. Playing times beyond 2⁵³ milliseconds, which a float cannot hold, are only claimed.
fn seconds(milliseconds: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 milliseconds, which is 285,000 years")]
    let seconds = milliseconds as f64 / 1000.0;
    json!(seconds)
}

#[cfg(test)]
#[path = "fhir_tests.rs"]
mod tests;
