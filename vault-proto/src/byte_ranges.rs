//! Which bytes of a body a request asks for (RFC 9110, section 14).

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// Everything: there is no header, or one that is to be ignored (several ranges, another unit, malformed).
    Whole,
    /// One satisfiable range; never empty.
    Part(Range<u64>),
    /// One range that lies outside the body.
    Unsatisfiable,
}

/// Reads a `Range` header for a body of `length` bytes.
pub fn requested(header: Option<&str>, length: u64) -> Requested {
    header.and_then(single_range).map_or(Requested::Whole, |(first, last)| resolve(first, last, length))
}

/// The two numbers of the one range of bytes; `None` for every other form.
fn single_range(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = header.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim_matches([' ', '\t']).split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    match (first, last) {
        (None, None) => None,
        (Some(first), Some(last)) if first > last => None,
        both => Some(both),
    }
}

/// An absent number, or a decimal one; one too large for any body counts as the largest.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        Some(None)
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Some(Some(text.parse().unwrap_or(u64::MAX)))
    } else {
        None
    }
}

fn resolve(first: Option<u64>, last: Option<u64>, length: u64) -> Requested {
    let range = match (first, last) {
        (Some(first), last) => first..last.map_or(length, |last| last.saturating_add(1).min(length)),
        (None, suffix) => length.saturating_sub(suffix.unwrap_or(0))..length,
    };
    if range.is_empty() { Requested::Unsatisfiable } else { Requested::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_is_the_slice_it_names(first in 0u64..200, size in 1u64..200, length in 0u64..200) {
            let last = first + size - 1;
            let wanted: Vec<u64> = (0..length).filter(|byte| (first..=last).contains(byte)).collect();
            match requested(Some(&format!("bytes={first}-{last}")), length) {
                Requested::Part(range) => prop_assert_eq!(range.collect::<Vec<_>>(), wanted),
                Requested::Unsatisfiable => prop_assert!(wanted.is_empty()),
                Requested::Whole => prop_assert!(false, "a range was ignored"),
            }
            let from: Vec<u64> = (first.min(length)..length).collect();
            match requested(Some(&format!("bytes={first}-")), length) {
                Requested::Part(range) => prop_assert_eq!(range.collect::<Vec<_>>(), from),
                other => prop_assert!(other == Requested::Unsatisfiable && from.is_empty()),
            }
            let tail: Vec<u64> = (length.saturating_sub(size)..length).collect();
            match requested(Some(&format!("bytes=-{size}")), length) {
                Requested::Part(range) => prop_assert_eq!(range.collect::<Vec<_>>(), tail),
                other => prop_assert!(other == Requested::Unsatisfiable && tail.is_empty()),
            }
        }

        #[test]
        fn any_text_gives_a_range_within_the_body(header in "(bytes=)?[-0-9, a-z=]{0,40}", length: u64) {
            if let Requested::Part(range) = requested(Some(&header), length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }
    }

    #[test]
    fn ignored_and_refused() {
        let ignored =
            ["bytes=0-1,3-4", "chunks=0-1", "bytes=5-2", "bytes=-", "bytes=+1-2", "bytes=a-b", "0-1"];
        for header in ignored {
            assert_eq!(requested(Some(header), 10), Requested::Whole, "{header}");
        }
        assert_eq!(requested(None, 10), Requested::Whole);
        for header in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(requested(Some(header), 10), Requested::Unsatisfiable, "{header}");
        }
        assert_eq!(requested(Some("Bytes=0-99999999999999999999"), 10), Requested::Part(0..10));
        assert_eq!(requested(Some("bytes=0-0"), 0), Requested::Unsatisfiable);
    }
}
