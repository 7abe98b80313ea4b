use proptest::prelude::*;

use super::*;
use crate::made::catalogue_fixture::{HOSTILE, varied};

/// The tags of a page with the names of their attributes; what is within quotes belongs to a value.
fn tags(page: &str) -> Vec<String> {
    let (mut tags, mut tag, mut inside, mut quoted) = (Vec::new(), String::new(), false, false);
    // The style sheet is one constant.
    let page = page.replace(STYLE, "");
    for c in page.chars() {
        match c {
            '<' if !inside => inside = true,
            '>' if inside && !quoted => {
                tags.push(std::mem::take(&mut tag));
                inside = false;
            }
            '"' if inside => quoted = !quoted,
            _ if inside && !quoted => tag.push(c),
            _ => {}
        }
    }
    assert!(!inside && !quoted, "the page ends within a tag");
    tags
}

/// The same catalogue with one text in every place that holds one.
fn filled_with(text: &str) -> Catalogue {
    let mut catalogue = varied();
    catalogue.account.label = Some(text.to_owned());
    for (_, reason) in &mut catalogue.missing {
        *reason = text.to_owned();
    }
    for recording in &mut catalogue.recordings {
        recording.title = Some(text.to_owned());
        recording.consultation = text.to_owned();
        for person in [&mut recording.patient, &mut recording.clinician, &mut recording.sealer] {
            person.label = Some(text.to_owned());
        }
    }
    catalogue
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_changes_the_tags_of_the_page(text in "(?s).{0,80}|[<>\"'&/=a-z \\-!\\[\\]]{0,80}") {
        prop_assert_eq!(tags(&page(&filled_with(&text))), tags(&page(&filled_with("harmless"))));
    }

    #[test]
    fn no_media_type_or_path_reaches_the_page_as_it_is(text in "[<>\"'&/=a-z:%.\\\\ ]{1,40}") {
        let mut catalogue = varied();
        catalogue.recordings[0].files[0].media_type.clone_from(&text);
        catalogue.recordings[0].files[0].path.clone_from(&text);
        let page = page(&catalogue);
        for address in page.split("href=\"").skip(1).chain(page.split("src=\"").skip(1)) {
            let address = address.split('"').next().unwrap();
            prop_assert!(!address.contains("..") || !address.split('/').any(|step| step == ".."));
            prop_assert!(!address.contains(':'), "{}", address);
        }
        prop_assert!(!page.contains("<script"));
    }
}

#[test]
fn hostile_texts_stay_texts() {
    let harmless = tags(&page(&filled_with("harmless")));
    for text in HOSTILE {
        let page = page(&filled_with(text));
        assert_eq!(tags(&page), harmless, "{text:?}");
        assert!(!page.contains("<script") && !page.contains("<img"), "{text:?}");
        assert!(!page.chars().any(|c| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}')));
    }
}

#[test]
fn people_are_called_by_name_and_told_apart_where_two_have_the_same() {
    let mut catalogue = varied();
    let beside = |page: &str| page.matches(", account 0").count();
    let before = page(&catalogue);
    assert!(
        before.contains("<dd><bdi>Dr. Grégoire Maison</bdi></dd>")
            && before.contains("<bdi>Anna Kowalska</bdi> (you)")
    );
    assert_eq!(beside(&before), 0, "no hexadecimal beside a name");
    // Another account of the same name.
    catalogue.recordings[0].sealer.label = Some("Anna Kowalska".to_owned());
    let after = page(&catalogue);
    assert!(after.contains("<bdi>Anna Kowalska</bdi>, account 030303030303…"));
    assert!(after.contains("<bdi>Anna Kowalska</bdi> (you), account 010101010101…"));
}

#[test]
fn a_consultation_without_a_name_has_none_and_media_show_their_first_picture() {
    let mut catalogue = varied();
    catalogue.recordings[0].consultation = "unnamed-4629aa10bb20cc30".to_owned();
    catalogue.recordings[0].files[0].media_type = "application/pdf".to_owned();
    let page = page(&catalogue);
    let shown = page.split("<summary>").next().unwrap();
    assert!(
        !shown.contains("unnamed-") && page.contains("unnamed-4629aa10bb20cc30"),
        "only among the identifiers"
    );
    assert!(page.contains("preload=\"metadata\"") && !page.contains("preload=\"none\""));
    // A document is linked, and nothing says that it cannot be shown.
    assert_eq!(page.matches("Browsers do not play files of this type").count(), 1);
}

#[test]
fn a_long_title_is_cut_and_every_title_is_isolated() {
    let page = page(&filled_with(&"ש".repeat(10_000)));
    assert!(!page.contains(&"ש".repeat(201)));
    assert!(page.contains(&format!("<bdi>{}…</bdi></h3>", "ש".repeat(200))));
}

#[test]
fn the_policy_names_no_other_origin_and_the_style_sheet_that_is_there() {
    let page = page(&varied());
    let policy =
        page.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(policy.starts_with("default-src 'none';"));
    for word in policy.split([' ', ';']).filter(|word| !word.is_empty()) {
        let allowed =
            ["default-src", "media-src", "style-src", "base-uri", "form-action", "'none'", "'self'", "file:"];
        assert!(allowed.contains(&word) || word.starts_with("'sha256-"), "{word}");
    }
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    assert!(
        policy.contains(&format!("'sha256-{}'", base64::encode(Digest::of(style.as_bytes()).as_bytes())))
    );
    assert!(
        !page.contains("http:")
            && !page.contains("https:")
            && !page.contains("url(")
            && !page.contains("style=")
    );
}

#[test]
fn what_is_not_whole_is_named_in_words() {
    let mut catalogue = varied();
    let page_of_all = page(&catalogue);
    assert_eq!(page_of_all.matches("Cut off.").count(), 1);
    assert!(page_of_all.contains("2 recordings could not be exported"));
    assert!(page_of_all.contains("damaged: segment 2, part 7"));
    catalogue.missing.clear();
    assert!(!page(&catalogue).contains("could not be exported"));
}

#[test]
fn only_listed_media_types_are_named_to_the_browser() {
    let page = page(&varied());
    assert!(page.contains("src=\"recordings/2026-11-05%20consultation/video.webm\" type=\"video/webm\""));
    assert!(page.contains("recordings/2026-11-04%20consultation/screen%20%232%3F.webm"));
    assert!(page.contains("Browsers do not play files of this type"));
    assert!(!page.contains("type=\"text/html"));
}

#[test]
fn a_file_that_would_lead_out_of_the_export_has_no_link() {
    let mut catalogue = varied();
    catalogue.recordings[0].files[0].path = "../../x".to_owned();
    let page = page(&catalogue);
    assert!(page.contains("cannot be linked safely"));
    for address in page.split("href=\"").skip(1).chain(page.split("src=\"").skip(1)) {
        assert!(!address.split('"').next().unwrap().contains(".."), "a link leads out");
    }
}

#[test]
fn many_recordings_stand_under_their_months_whatever_their_order() {
    let mut catalogue = varied();
    let mut more = varied().recordings;
    for (number, recording) in more.iter_mut().enumerate() {
        recording.recording =
            vault_proto::ids::RecordingId::from_bytes([0x80 + u8::try_from(number).unwrap(); 16]);
    }
    catalogue.recordings.append(&mut more);
    let page = page(&catalogue);
    for id in ["m2026-11", "m2026-10", "m2026-09"] {
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
        assert_eq!(page.matches(&format!("href=\"#{id}\"")).count(), 1, "{id}");
    }
    assert_eq!(page.matches("<article").count(), 10);
}

/// Writes pages for the browser where `VAULT_EXPORT_SAMPLE` names a folder.
#[test]
#[expect(clippy::disallowed_methods, reason = "what is made is handed to programs that nobody here wrote")]
fn a_page_is_one_document() {
    let page = page(&varied());
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\""));
    assert_eq!(page.matches("<h1").count(), 1);
    assert_eq!(page.matches("<main").count(), 1);
    if let Some(folder) = std::env::var_os("VAULT_EXPORT_SAMPLE") {
        std::fs::write(std::path::Path::new(&folder).join("index.html"), page).unwrap();
    }
}
