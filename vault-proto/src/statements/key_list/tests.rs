use super::*;

/// A recipient of this suite, as far as can be seen without its checksum.
fn recipient(suite: Suite, letter: &str) -> String {
    match suite {
        Suite::X25519 => format!("age1{}", letter.repeat(58)),
        Suite::Pq => format!("age1pq1{}", letter.repeat(1_952)),
    }
}

#[test]
fn a_recipient_is_of_its_suite_and_of_its_length() {
    for suite in [Suite::X25519, Suite::Pq] {
        let good = recipient(suite, "q");
        let other = if suite == Suite::Pq { Suite::X25519 } else { Suite::Pq };
        assert!(is_recipient_of(suite, &good) && !is_recipient_of(other, &good));
        for wrong in [
            String::new(),
            "age1".to_owned(),
            good[..good.len() - 1].to_owned(),
            format!("{good}q"),
            good.to_uppercase(),
            good.replacen("age1", "age2", 1),
            good.replace('q', "1"),
            good.replace('q', "b"),
            good.replace("qq", "é"),
        ] {
            assert!(!is_recipient_of(suite, &wrong), "{wrong}");
        }
    }
}

#[test]
fn a_usable_key_is_a_canonical_point_of_large_order() {
    let with = |first: u8, middle: u8, last: u8| {
        let mut bytes = [middle; 32];
        (bytes[0], bytes[31]) = (first, last);
        PublicKey::from_bytes(bytes)
    };
    // The coordinate 3 is of a point, 2 of none.
    assert!(with(3, 0, 0).is_usable() && with(3, 0, 0x80).is_usable());
    assert!(!with(2, 0, 0).is_usable());
    // 3 once more, above the prime.
    assert!(!with(0xf0, 0xff, 0x7f).is_usable() && !with(0xf0, 0xff, 0xff).is_usable());
    // Of order 1, 2 and 4.
    assert!(!with(1, 0, 0).is_usable() && !with(0xec, 0xff, 0x7f).is_usable() && !with(0, 0, 0).is_usable());
}
