//! The page of an export: one file that a browser opens from the disk, without a network and without scripts.
//!
//! Every text from elsewhere is escaped by the template, made inert, and isolated in its direction. Even if a browser
//! found something to load or run in one, the page's own policy forbids everything but the export's media and this one
//! style sheet.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use vault_proto::base64;
use vault_proto::ids::Digest;

use super::catalogue::{Catalogue, ExportedFile, ExportedRecording, ExportedStatus};
use super::file_address::file_address;
use super::wording::{
    People, consultation, counted, length, moment, month, month_key, playing_time, short_text, size, span,
    title,
};
use vault_engine::media_type::{KnownMedia, Player};

/// The style sheet, which the policy names by its hash.
const STYLE: &str = include_str!("page.css");
/// Recordings from which on they stand under their months.
const MANY: usize = 7;

/// The page `index.html` of an export, for its top folder.
///
/// It shows titles cut to 200 characters; the catalogue has the whole text.
pub fn page(catalogue: &Catalogue) -> String {
    let style_hash = base64::encode(Digest::of(STYLE.as_bytes()).as_bytes());
    // `file:` is there for browsers to which a page from the disk has no origin, so that 'self' allows it nothing.
    let policy = format!(
        "default-src 'none'; media-src 'self' file:; style-src 'sha256-{style_hash}'; base-uri 'none'; form-action 'none'"
    );
    let people = People::of(catalogue);
    html! {
        (DOCTYPE)
        html lang="en" dir="ltr" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Your recordings" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(catalogue, &people))
                main {
                    (missing(catalogue))
                    (recordings(catalogue, &people))
                    (how_to_check())
                }
                (foot(catalogue))
            }
        }
    }
    .into_string()
}

fn head(catalogue: &Catalogue, people: &People) -> Markup {
    html! {
        header {
            h1 { "Your recordings" }
            p.soft {
                (counted(count(catalogue.recordings.len()), "recording"))
                ", exported on " (moment(catalogue.created)) " UTC for "
                (people.show(&catalogue.account))
            }
            p.note {
                strong { "These copies are not encrypted." }
                " Anyone who can open this folder can watch them. Keep it where only people you trust have access, and delete "
                "copies you no longer need."
            }
        }
    }
}

fn missing(catalogue: &Catalogue) -> Markup {
    html! {
        @if !catalogue.missing.is_empty() {
            section.warn aria-labelledby="missing" {
                h2 id="missing" {
                    (counted(count(catalogue.missing.len()), "recording")) " could not be exported"
                }
                p { "This export is not complete without them. Running the same export again tries them again." }
                ul {
                    @for (recording, reason) in &catalogue.missing {
                        li { "Recording " code { (recording.short()) "…" } ": " bdi { (short_text(reason)) } }
                    }
                }
            }
        }
    }
}

fn recordings(catalogue: &Catalogue, people: &People) -> Markup {
    if catalogue.recordings.len() < MANY {
        return html! {
            section aria-labelledby="recordings" {
                h2 id="recordings" { "Recordings" }
                @if catalogue.recordings.is_empty() { p { "There are none in this export." } }
                @for recording in &catalogue.recordings { (article(recording, people)) }
            }
        };
    }
    let mut months: BTreeMap<String, Vec<&ExportedRecording>> = BTreeMap::new();
    for recording in &catalogue.recordings {
        months.entry(month_key(recording.began())).or_default().push(recording);
    }
    html! {
        @if months.len() > 1 {
            nav aria-labelledby="months" {
                h2 id="months" { "By month" }
                ul {
                    @for (key, listed) in months.iter().rev() {
                        li { a href={ "#m" (key) } { (month_of(listed)) " (" (listed.len()) ")" } }
                    }
                }
            }
        }
        @for (key, listed) in months.iter().rev() {
            section aria-labelledby={ "m" (key) } {
                h2 id={ "m" (key) } { (month_of(listed)) }
                @for recording in listed { (article(recording, people)) }
            }
        }
    }
}

fn month_of(listed: &[&ExportedRecording]) -> String {
    listed.first().map(|recording| month(recording.began())).unwrap_or_default()
}

fn article(recording: &ExportedRecording, people: &People) -> Markup {
    let several = recording.files.len() > 1;
    html! {
        article aria-labelledby={ "r" (recording.recording) } {
            h3 id={ "r" (recording.recording) } { bdi { (title(recording)) } }
            @if recording.status == ExportedStatus::CutOff {
                p.warn {
                    strong { "Cut off." }
                    " The end of this recording is missing. What is here is its beginning, up to the last part that could be "
                    "checked."
                }
            }
            @if recording.status == ExportedStatus::Empty {
                p.warn {
                    strong { "Empty." }
                    " This recording was begun, and nothing was recorded: there is nothing in it to watch or hear."
                }
            }
            dl {
                dt { "When" }
                dd { (span(recording.began(), recording.ended)) }
                @if let Some(length) = length(recording) {
                    dt { "How long" }
                    dd { (length) }
                }
                dt { "Clinician" }
                dd { (people.show(&recording.clinician)) }
                dt { "Patient" }
                dd { (people.show(&recording.patient)) }
                dt { "Sealed by" }
                dd { (people.show(&recording.sealer)) ", from " (moment(recording.created)) " UTC" }
                @if let Some(consultation) = consultation(recording) {
                    dt { "Consultation" }
                    dd { bdi { (consultation) } }
                }
            }
            @if recording.files.is_empty() { p { "Nothing of this recording could be opened." } }
            @for file in &recording.files { (player(file, recording, several)) }
            (sums(recording))
        }
    }
}

fn player(file: &ExportedFile, recording: &ExportedRecording, several: bool) -> Markup {
    let known = KnownMedia::of(&file.media_type);
    let kind = match known.map(|known| known.player) {
        Some(Player::Video) => "Video",
        Some(Player::Audio) => "Sound",
        Some(Player::Document) | None => "File",
    };
    let track = if several { format!(", track {}", file.track) } else { String::new() };
    let name = format!("{kind}{track}: {}", title(recording));
    let Some(address) = file_address(&recording.folder, &file.path) else {
        return html! {
            div.file {
                p { (kind) (track) ": this file's name cannot be linked safely. Look for it in the recording's folder." }
            }
        };
    };
    html! {
        div.file {
            @if several { p.soft { (kind) (track) @if let Some(time) = file.duration_ms { ", " (playing_time(time)) } } }
            @match known {
                Some(known) if known.player == Player::Video => {
                    video controls preload="metadata" aria-label=(name) { (source(&address, known)) }
                }
                Some(known) if known.player == Player::Audio => {
                    audio controls preload="metadata" aria-label=(name) { (source(&address, known)) }
                }
                Some(_) => {}
                None => p { "Browsers do not play files of this type. A media player may." },
            }
            p.links {
                a href=(address) { "Open " (kind.to_lowercase()) (track) }
                a href=(address) download { "Save a copy of " (kind.to_lowercase()) (track) }
                span.soft { (size(file.bytes)) }
            }
        }
    }
}

fn source(address: &str, known: KnownMedia) -> Markup {
    html! {
        @if known.announced { source src=(address) type=(known.media_type); } @else { source src=(address); }
    }
}

fn sums(recording: &ExportedRecording) -> Markup {
    html! {
        details {
            summary { "Checksums and identifiers" }
            dl {
                dt { "Recording" }
                dd { code { (recording.recording) } }
                @for (who, person) in
                    [("Patient", &recording.patient), ("Clinician", &recording.clinician), ("Sealer", &recording.sealer)]
                {
                    dt { (who) ", account" }
                    dd { code { (person.account) } }
                }
                dt { "Consultation" }
                dd { bdi { (short_text(&recording.consultation)) } }
                dt { "Folder" }
                dd { bdi { (short_text(&recording.folder)) } }
                @for file in &recording.files {
                    dt { "SHA-256 of " bdi { (short_text(&file.path)) } }
                    dd { code { (file.sha256) } }
                    @if file.sealed_sha256 != file.sha256 {
                        dt { "SHA-256 as sealed, without the index for seeking that was put in front" }
                        dd { code { (file.sealed_sha256) } }
                    }
                    dt { "Type of file, as its sealer named it" }
                    dd { bdi { (short_text(&file.media_type)) } }
                }
                dt { "SHA-256 of the manifest" }
                dd { code { (recording.manifest) } }
                dt { "SHA-256 of the final seal" }
                dd {
                    @if let Some(seal) = recording.final_seal { code { (seal) } } @else { "none: the end is missing" }
                }
            }
        }
    }
}

fn how_to_check() -> Markup {
    html! {
        section aria-labelledby="check" {
            h2 id="check" { "How to check this export" }
            p { "Both commands run in this folder and need no network." }
            pre tabindex="0" role="region" aria-label="Command that checks the copy" { code { "sha256sum -c SHA256SUMS" } }
            ul.proof {
                li {
                    strong { "Shows" } " that every listed file is still exactly as it was exported: nothing was damaged in "
                    "copying or on the disk. (On a Mac: " code { "shasum -a 256 -c SHA256SUMS" } ")"
                }
                li {
                    strong { "Does not show" } " who made the recordings. Someone who changes a file can change the list too."
                }
            }
            pre tabindex="0" role="region" aria-label="Command that checks the signatures" {
                code { "vault-cli verify ." }
            }
            ul.proof {
                li {
                    strong { "Shows" } " by whom each recording was sealed, as the organisation certified them; that these are the "
                    "very files that your own device opened and checked; and that every recording of your list is here. For a "
                    "recording that is cut off, that holds up to where it stops."
                }
                li {
                    strong { "Does not show" } " that the device's clock was right, or that what was said in front of it is true. "
                    "It also cannot know of recordings that your device was never shown."
                }
            }
        }
    }
}

fn foot(catalogue: &Catalogue) -> Markup {
    html! {
        footer {
            p { "All times are in UTC, as the clock of the device said that sealed the recording." }
            p { "Organisation: " code { (catalogue.organisation) } }
            p { "Your account: " code { (catalogue.account.account) } }
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
