//! base64 with padding, in its one spelling (FORMAT.md, "Encodings"; RFC 4648, section 4).

use data_encoding::BASE64;

/// Bytes as base64.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes.as_ref())
}

/// The bytes of a text. `None` for every spelling but the one that [`encode`] writes: unused bits that are set, missing
/// padding, padding in the middle (as of texts that were put behind each other), line breaks.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    // The library takes padded texts behind each other for one; no other leniency of its own is known, and none is
    // relied on.
    (encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn one_value_has_one_spelling() {
        for text in [
            "Zg",
            "Zg=",
            "Zg===",
            "Zh==",
            "Zm9=",
            "Zg==Zm9v",
            "Zm8=Zm8=",
            "Zm9vZg==Zg==",
            "====",
            "=",
            "Zm9v\n",
            " Zm9v",
            "Zm-_",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_written(text in "[A-Za-z0-9+/=]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let written = encode(&bytes);
            prop_assert_eq!(decode(&written), Some(bytes));
            if let Some(read) = decode(&text) {
                prop_assert_eq!(encode(read), text);
            }
        }
    }
}
