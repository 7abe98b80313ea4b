//! Addresses of an export's files, relative to the export's own folder.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Relative URL of a file in a folder of the export; `None` if it would lead anywhere else.
///
/// Browsers read `%2e%2e` as `..` too, so such a step cannot be made harmless by encoding.
pub(crate) fn file_address(folder: &str, path: &str) -> Option<String> {
    let steps: Vec<&str> = folder.split('/').chain(path.split('/')).collect();
    let harmless = |step: &&str| !matches!(*step, "" | "." | "..") && !step.contains('\0');
    steps.iter().all(harmless).then(|| {
        let encoded: Vec<String> =
            steps.iter().map(|step| utf8_percent_encode(step, RESERVED).to_string()).collect();
        encoded.join("/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_is_plain_leads_down_and_means_its_path(folder in "[^/]{1,20}(/[^/]{1,20})?", path in ".{0,30}") {
            if let Some(address) = file_address(&folder, &path) {
                prop_assert!(address.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b)));
                prop_assert!(address.split('/').all(|step| !matches!(step, "" | "." | "..")));
                let decoded = percent_encoding::percent_decode_str(&address).decode_utf8().unwrap().into_owned();
                prop_assert_eq!(decoded, format!("{folder}/{path}"));
            }
        }
    }

    #[test]
    fn characters_with_a_meaning_are_encoded() {
        assert_eq!(file_address("2026/a b", "c#d?e%.webm").as_deref(), Some("2026/a%20b/c%23d%3Fe%25.webm"));
        assert_eq!(
            file_address("javascript:x", "é\"'<>\\").as_deref(),
            Some("javascript%3Ax/%C3%A9%22%27%3C%3E%5C")
        );
    }

    #[test]
    fn no_address_leads_out_of_the_export() {
        for (folder, path) in [
            ("..", "a"),
            ("a", "../b"),
            ("a", "."),
            ("/a", "b"),
            ("a", "/b"),
            ("", "b"),
            ("a//b", "c"),
            ("a", ""),
            ("a", "b\0"),
        ] {
            assert_eq!(file_address(folder, path), None, "{folder:?} {path:?}");
        }
    }
}
