//! `SHA256SUMS`: which files belong to an export, by digest.

use std::collections::BTreeMap;

use vault_proto::ids::Digest;

/// The files that belong to an export, by their path in it.
pub type Sums = BTreeMap<String, Digest>;

/// Writes sums as `sha256sum` does. Names hold no line feeds and no backslashes: they are made here.
pub fn write_sums(sums: &Sums) -> String {
    sums.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect()
}

/// Reads what [`write_sums`] writes; `None` for anything else, also a name that leads out of the export.
pub fn read_sums(text: &str) -> Option<Sums> {
    let mut sums = Sums::new();
    for line in text.split_terminator('\n') {
        let (digest, name) = line.split_once("  ")?;
        let inside = name.split('/').all(|piece| !matches!(piece, "" | "." | ".."));
        let plain = inside && !name.contains(['\\', '\0']);
        let new = sums.insert(name.to_owned(), digest.parse().ok().filter(|_| plain)?).is_none();
        if !new {
            return None;
        }
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_as_they_are_written_and_lead_nowhere_else() {
        let mut sums = Sums::new();
        sums.insert("recordings/2026 a  b (1)/x.webm".to_owned(), Digest::of(b"x"));
        sums.insert("index.html".to_owned(), Digest::of(b"y"));
        let text = write_sums(&sums);
        assert_eq!(read_sums(&text), Some(sums));
        let digest = Digest::of(b"z");
        for name in ["../x", "/etc/passwd", "a//b", "a/./b", "a/..", "", "a\\b"] {
            assert_eq!(read_sums(&format!("{digest}  {name}\n")), None, "{name}");
        }
        assert_eq!(read_sums(&format!("{text}{text}")), None);
        assert_eq!(read_sums("nothing\n"), None);
    }
}
