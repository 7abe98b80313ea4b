use super::one_of_each::one_of_each;
use super::*;

#[test]
fn nobody_adds_a_line_to_a_failure() {
    let failure: Failure = ClientError::Usage("a\u{1b}[2Jb\r\nDone.\u{202e}".into()).into();
    assert_eq!(failure.what, "A\u{fffd}[2Jb\u{fffd}\u{fffd}Done.\u{fffd}.");
}

#[test]
fn a_failure_begins_with_a_capital_and_leaves_names_as_they_are() {
    let what = |text: &str| Failure::usage(text).what;
    assert_eq!(what("the petname anna names nobody"), "The petname anna names nobody.");
    for name in [
        "talk.webm is a folder",
        "house/home is a folder",
        "https://vault.example is no address",
        "my_talk is a folder",
    ] {
        assert_eq!(what(name), format!("{name}."));
    }
}

/// The words are a contract with whoever explains them on the telephone. After a change that is meant, run the test
/// with `REWRITE_WORDS=1` and read the difference.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test may write what it compares with, if it is told to")]
fn each_failure_has_its_words() {
    let mut text = String::new();
    for (name, failure) in one_of_each() {
        let Failure { code, what, means, next, .. } = &failure;
        text += &format!("[{name}] {}\n{what}\n{means}\n{next}\n\n", code.word());
    }
    if std::env::var_os("REWRITE_WORDS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/failure/words.txt"), &text).unwrap();
    }
    assert_eq!(text, include_str!("words.txt"));
}

/// What is done by commands on a command line is done otherwise elsewhere.
#[test]
fn no_words_of_one_front_end() {
    for (name, failure) in one_of_each() {
        let words = format!("{}\n{}\n{}", failure.what, failure.means, failure.next);
        for word in
            ["vault-cli", "--home", "--server", "command", "typed", "keygen", "whoami", "ulimit", " -"]
        {
            // It is the operator who has to add an address.
            let words = words.replace("(vault-server serve --authority)", "");
            assert!(!words.contains(word), "{name}: {words}");
        }
    }
}
