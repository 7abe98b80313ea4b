"""The grammar of docs/FORMAT.md, section 16, over the committed vectors: it takes the texts that they hold, and none of
those once it is spoilt.

    python3 tests/format/grammar_test.py

Needs the package `abnf`.
"""
import base64
import json
import re
import unittest
from pathlib import Path

from abnf import ParseError, Rule

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests/vectors/v1"


class Format(Rule):
    """The rules of the document."""


def load():
    document = (ROOT / "docs/FORMAT.md").read_text()
    (grammar,) = re.findall(r"^```abnf\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    names = re.findall(r"^([a-z0-9-]+) +=", grammar, re.MULTILINE)
    Format.load_grammar(grammar.replace("\n", "\r\n"))
    return names


NAMES = load()


def takes(rule, text):
    try:
        Format(rule).parse_all(text)
    except ParseError:
        return False
    return True


def envelopes(folder):
    for path in [folder / "manifest", folder / "final", *folder.glob("seg/*/seal"), *folder.glob("seg/*/progress")]:
        if path.exists():
            yield path.read_text()
    yield from (path.read_text() for path in folder.glob("statements/*"))


def header(data):
    return data[: data.index(b"\n", data.index(b"\n--- ") + 1) + 1].decode()


def texts():
    """Rule and text, of the vectors that open."""
    for folder in sorted(VECTORS.glob("opens-*")):
        scenario = json.loads((folder / "scenario.json").read_text())
        yield "id", scenario["organisation"]
        yield "id", scenario["account"]
        yield "recording", scenario["requested"]
        yield "identity", scenario["identity"]
        for text in envelopes(folder):
            envelope = json.loads(text)
            yield "payload-type", envelope["payloadType"]
            payload = json.loads(base64.b64decode(envelope["payload"]))
            for name in ["created", "recorded", "ended", "issued", "not_before", "not_after"]:
                if isinstance(payload.get(name), str):
                    yield "time", payload[name]
            if "consultation" in payload:
                yield "consultation", payload["consultation"]
            for key in payload.get("encryption", []):
                if key["suite"] == 1:
                    yield "recipient", key["recipient"]
        for path in [folder / "key.0", folder / "details", *folder.glob("seg/*/header")]:
            if path.exists() and scenario["requested"]:
                yield "sealed-header", header(path.read_bytes())


# What the vectors hold no plain text of.
WRITTEN = [
    ("number", "0"),
    ("number", "9007199254740991"),
    ("word", "clinician-shares"),
    ("label", ""),
    ("label", "Klinik am Ägyptischen Platz 🏥"),
    ("recipient", "age1" + "q" * 58),
    ("recipient", "age1pq1" + "l" * 1952),
    ("base64", ""),
    ("base64np", "YQ"),
    ("time", "1970-01-01T00:00:00Z"),
    ("time", "9999-12-31T23:59:59Z"),
    ("key-text", "# note: on call\nAGE-SECRET-KEY-1" + "Q" * 58 + "\n"),
    ("key-text", "AGE-SECRET-KEY-PQ-1" + "Q" * 58 + "\n"),
    ("identity-file", f"# recording-vault: identity v1\n# account-root: {'0' * 64}\n# device-secret: {'a' * 64}\n"
     f"# epoch: 12\nAGE-SECRET-KEY-1{'Q' * 58}\n"),
    ("registrar-file", f"# recording-vault: registrar v1\n# organisation-root-secret: {'0' * 64}\n"
     f"# issuer-secret: {'f' * 64}\n"),
    ("sums", f"{'0' * 64}  recordings/2026 a  b (1)/x.webm\n{'1' * 64}  index.html\n"),
]

REFUSED = [
    ("id", "A" * 64),
    ("id", "a" * 63),
    ("number", "01"),
    ("number", "-1"),
    ("number", "1.0"),
    ("consultation", ""),
    ("consultation", "a b"),
    ("consultation", "a" * 129),
    ("word", "Patient"),
    ("word", "a" * 33),
    ("label", "a\u202eb"),
    ("label", "a\nb"),
    ("label", "a" * 129),
    ("time", "2026-11-21T09:30:00+00:00"),
    ("time", "2026-11-21t09:30:00z"),
    ("time", "2026-11-21T09:30:00.0Z"),
    ("time", "2026-11-21T09:30:60Z"),
    ("time", "2026-13-21T09:30:00Z"),
    ("time", "2026-00-21T09:30:00Z"),
    ("time", "1969-12-31T23:59:59Z"),
    ("time", "0001-01-01T00:00:00Z"),
    ("base64", "YQ"),
    ("base64", "YQ="),
    ("base64np", "YQ=="),
    ("base64np", "Y"),
    ("payload-type", "application/vnd.recording-vault.manifest.v01+json"),
    ("payload-type", "application/vnd.recording-vault.manifest.v0+json"),
    ("payload-type", "application/vnd.recording-vault.manifest.v1234567890+json"),
    ("recipient", "AGE1" + "q" * 58),
    ("recipient", "age1" + "b" * 58),
    ("identity", "age-secret-key-1" + "q" * 58),
    ("key-text", "AGE-SECRET-KEY-1" + "Q" * 58),
    ("sums", f"{'0' * 64} *index.html\n"),
    ("sums", f"{'0' * 64}  a\\b\n"),
]


def spoilt(text):
    """The text with one thing wrong that no rule allows anywhere."""
    yield text + "\n"
    yield " " + text
    yield text[:-1]
    yield "\ufeff" + text


class Grammar(unittest.TestCase):
    def test_every_rule_stands_once(self):
        self.assertEqual(len(NAMES), len(set(NAMES)))
        self.assertGreater(len(NAMES), 30)

    def test_texts_of_the_vectors(self):
        seen = set()
        for rule, text in set(texts()):
            seen.add(rule)
            self.assertTrue(takes(rule, text), (rule, text))
        self.assertLessEqual({"id", "recording", "identity", "payload-type", "time", "consultation", "sealed-header"}, seen)

    def test_envelopes_of_the_vectors(self):
        for folder in sorted(VECTORS.glob("opens-x25519-*")):
            for text in envelopes(folder):
                self.assertTrue(takes("envelope", text), text)
                for wrong in [text.replace('":"', '": "', 1), text.replace("payloadType", "payloadtype"), *spoilt(text)]:
                    self.assertFalse(takes("envelope", wrong), wrong)

    def test_texts_written_here(self):
        for rule, text in WRITTEN:
            self.assertTrue(takes(rule, text), (rule, text))
        for rule, text in REFUSED:
            self.assertFalse(takes(rule, text), (rule, text))

    def test_spoilt_texts(self):
        fixed = {"id", "recording", "identity", "time", "recipient", "sealed-header"}
        for rule, text in sorted(set(texts()))[:400]:
            for wrong in spoilt(text) if rule in fixed else []:
                self.assertFalse(takes(rule, wrong), (rule, wrong))


if __name__ == "__main__":
    unittest.main()
