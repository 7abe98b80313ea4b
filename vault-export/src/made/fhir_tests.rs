use std::collections::BTreeSet;

use super::*;
use crate::made::catalogue_fixture::varied;

fn documents(bundle: &Value) -> Vec<&Value> {
    let entries = bundle["entry"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| &entry["resource"])
        .filter(|r| r["resourceType"] == "DocumentReference")
        .collect()
}

/// Every string of a value.
fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

#[test]
fn addresses_are_uuids_used_once_and_every_reference_is_in_the_bundle() {
    for version in [FhirVersion::R4, FhirVersion::R5] {
        let bundle = bundle(&varied(), version);
        let mut addresses = BTreeSet::new();
        for entry in bundle["entry"].as_array().unwrap() {
            let address = entry["fullUrl"].as_str().unwrap();
            let uuid = address.strip_prefix("urn:uuid:").unwrap();
            let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12]);
            assert_eq!(&uuid[14..15], "8");
            assert!("89ab".contains(&uuid[19..20]));
            assert!(addresses.insert(address), "{address} stands twice");
        }
        for document in documents(&bundle) {
            let mut references = vec![&document["subject"], &document["custodian"]];
            references.extend(document["author"].as_array().unwrap());
            for reference in references {
                assert!(addresses.contains(reference["reference"].as_str().unwrap()), "{reference}");
            }
        }
    }
}

#[test]
fn every_recording_has_its_document_with_its_files() {
    let catalogue = varied();
    for version in [FhirVersion::R4, FhirVersion::R5] {
        let bundle = bundle(&catalogue, version);
        let documents = documents(&bundle);
        assert_eq!(documents.len(), catalogue.recordings.len());
        for (document, recording) in documents.iter().zip(&catalogue.recordings) {
            assert_eq!(document["identifier"][0]["value"], recording.recording.to_string());
            let expected = if recording.status == ExportedStatus::CutOff { "preliminary" } else { "final" };
            assert_eq!(document["docStatus"], expected);
            for (content, file) in document["content"].as_array().unwrap().iter().zip(&recording.files) {
                let attachment = &content["attachment"];
                assert_eq!(attachment["extension"][0]["valueString"], file.sha256.to_string());
                assert!(attachment.get("hash").is_none(), "hash is SHA-1");
                match version {
                    FhirVersion::R4 => assert_eq!(attachment["size"], file.bytes),
                    FhirVersion::R5 => assert_eq!(attachment["size"], file.bytes.to_string()),
                }
            }
        }
    }
}

#[test]
fn texts_are_within_fhir_whatever_the_catalogue_says() {
    for version in [FhirVersion::R4, FhirVersion::R5] {
        let bundle = bundle(&varied(), version);
        let mut found = Vec::new();
        strings(&bundle, &mut found);
        for text in found {
            assert!(!text.is_empty() && text.trim() == text, "{text:?}");
            assert!(
                !text.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}')),
                "{text:?}"
            );
            assert!(text.chars().count() <= 250, "{text:?}");
        }
    }
}

#[test]
fn what_a_field_cannot_hold_is_left_out() {
    let mut catalogue = varied();
    let recording = &mut catalogue.recordings[0];
    recording.files[0].bytes = 3_000_000_000;
    recording.files[0].path = "../../etc/passwd".to_owned();
    recording.started = Some("2026-11-21T10:00:00Z".parse().unwrap());
    recording.ended = Some("2026-11-21T09:00:00Z".parse().unwrap());
    let (old, new) = (bundle(&catalogue, FhirVersion::R4), bundle(&catalogue, FhirVersion::R5));
    let attachment = |bundle: &Value| documents(bundle)[0]["content"][0]["attachment"].clone();
    assert!(attachment(&old).get("size").is_none());
    assert_eq!(attachment(&new)["size"], "3000000000");
    assert!(attachment(&old).get("url").is_none());
    assert!(documents(&old)[0]["context"]["period"].get("end").is_none());
    assert!(documents(&new)[0]["period"].get("end").is_none());
}

/// Writes the bundles for the validators of `tests/fhir` where `VAULT_EXPORT_SAMPLE` names a folder.
#[test]
#[expect(clippy::disallowed_methods, reason = "what is made is handed to programs that nobody here wrote")]
fn the_bundles_are_json_that_reads_back() {
    for (version, name) in [(FhirVersion::R4, "fhir-r4.json"), (FhirVersion::R5, "fhir-r5.json")] {
        let bundle = bundle(&varied(), version);
        let text = serde_json::to_string_pretty(&bundle).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), bundle);
        if let Some(folder) = std::env::var_os("VAULT_EXPORT_SAMPLE") {
            std::fs::write(std::path::Path::new(&folder).join(name), text).unwrap();
        }
    }
}
