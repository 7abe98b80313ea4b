"""Tests of the script that opens a sealed export, over the committed vectors and against independent values.

    python3 tests/export/open_recordings_test.py

Needs the package `cryptography` and nothing else. Where that package has ML-KEM, the script's own is compared with it.
"""
import base64
import contextlib
import hashlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "vault-client/src/export/open_recordings.py"
VECTORS = ROOT / "tests/vectors/v1"

spec = importlib.util.spec_from_file_location("open_recordings", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

# Refusals of a reader that pins an organisation, which the script does not claim: it opens these. Exact, so that a
# check that goes missing is noticed, and one that is added is written down.
CERTIFICATE = "what the issuer's and the organisation's statements say is not looked at, only whose key list is beside"
NOT_CLAIMED = {
    "chain-account-is-no-hash": CERTIFICATE,
}

# BIP39's test vectors: entropy and words. The word list of the tests is made of them (11 bits a word).
BIP39 = {
    "00" * 32: "abandon " * 23 + "art",
    "7f" * 32: "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful "
               "legal winner thank year wave sausage worth title",
    "80" * 32: "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor "
               "acoustic avoid letter advice cage absurd amount doctor acoustic bless",
    "ff" * 32: "zoo " * 23 + "vote",
    "f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f":
        "void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen patrol "
        "group space point ten exist slush involve unfold",
}


def word_list():
    words = [f"unused{chr(97 + i // 26 // 26)}{chr(97 + i // 26 % 26)}{chr(97 + i % 26)}" for i in range(2048)]
    for entropy, sentence in BIP39.items():
        bits = int(entropy, 16) << 8 | hashlib.sha256(bytes.fromhex(entropy)).digest()[0]
        for place, word in enumerate(sentence.split()):
            words[bits >> 11 * (23 - place) & 2047] = word
    return "\n".join(words) + "\n"


class Export:
    """A folder as an export lays it out, for one recording of a vector."""

    def __init__(self, vector, place):
        self.folder = Path(place) / "export"
        self.folder.mkdir()
        source = VECTORS / vector
        self.scenario = json.loads((source / "scenario.json").read_text())
        self.recording = self.folder / "rec" / self.scenario["requested"]
        shutil.copytree(source, self.recording, ignore=shutil.ignore_patterns("scenario.json"))
        shutil.copy(SCRIPT, self.folder)
        (self.folder / "bip39-english.txt").write_text(word_list())
        self.key, self.output = Path(place) / "key.txt", Path(place) / "out"
        self.key.write_text(self.scenario["identity"] + "\n")

    def open(self, *more):
        """Exit status, what was printed, and the tracks written, by number."""
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = script.main(["--key", str(self.key), "-o", str(self.output), *more], self.folder)
        out.flush()
        return status, out.buffer.getvalue().decode() + err.getvalue(), self.tracks()

    def tracks(self):
        files = [path for path in self.output.rglob("*") if path.is_file()] if self.output.exists() else []
        return {int(re.fullmatch(r"track-(\d+)\.\w+", path.name)[1]): path.read_bytes() for path in files}


@contextlib.contextmanager
def export(vector):
    with tempfile.TemporaryDirectory() as place:
        yield Export(vector, place)


class Vectors(unittest.TestCase):
    def test_every_vector_ends_as_it_has_to(self):
        opened_unclaimed, seen = set(), set()
        for folder in sorted(VECTORS.iterdir()):
            with self.subTest(folder.name), export(folder.name) as case:
                status, said, tracks = case.open()
                expected = case.scenario["expected"]
                seen.add(expected["outcome"])
                self.assertIn(status, (0, 1), said)
                if expected["outcome"] in ("opens", "cut-off"):
                    self.assertEqual(status, 0, said)
                    self.assertEqual({number: (len(data), hashlib.sha256(data).hexdigest())
                                      for number, data in tracks.items()},
                                     {track["track"]: (track["length"], track["sha256"])
                                      for track in expected["tracks"]})
                    self.assertEqual("CUT OFF" in said, expected["outcome"] == "cut-off", said)
                elif status == 0:
                    opened_unclaimed.add(folder.name)
                else:
                    self.assertIn("FAILED", said)
                    self.assertIn("0 opened, 1 failed", said)
                    self.assertEqual(list(case.output.iterdir()), [], "something was left behind")
        self.assertEqual(len(seen), 7)
        self.assertEqual(opened_unclaimed, set(NOT_CLAIMED))


if __name__ == "__main__":
    unittest.main()
