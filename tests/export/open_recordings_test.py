"""Tests of the script that opens a sealed export, over the committed vectors and against independent values.

    python3 tests/export/open_recordings_test.py

Needs the package `cryptography` and nothing else. Where that package has ML-KEM, the script's own is compared with it.
"""
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
SCRIPT = ROOT / "vault-export/script/open_recordings.py"
VECTORS = ROOT / "tests/vectors/v1"

spec = importlib.util.spec_from_file_location("open_recordings", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

# What a reader that pins an organisation refuses and the script does not claim to see: it opens these. Exact, so that a
# check that goes missing is noticed, and one that is added is written down.
CERTIFICATES = "certificates and the organisation's statements are not checked"
ENTITLEMENT = "roles are those that certificates give, which are not checked"
DATES = "whether a certificate or key list counts at the time of sealing is not checked"
SEEN = "an export holds no key list and no end but those of its recordings: what a reader saw before is not there"
ACCOUNT = "a key file names no account: who reads is whoever holds the key"
NOT_CLAIMED = {
    "chain-certificate-of-elsewhere": CERTIFICATES,
    "chain-issued-by-the-root": CERTIFICATES,
    "chain-issuer-of-elsewhere": CERTIFICATES,
    "chain-issuer-of-nobody": CERTIFICATES,
    "chain-issuer-of-other-roles": ENTITLEMENT,
    "chain-organisation-of-elsewhere": CERTIFICATES,
    "chain-self-issued": CERTIFICATES,
    "chain-tenant-is-a-claim": CERTIFICATES,
    "chain-tenant-of-elsewhere": CERTIFICATES,
    "keys-device-of-other-roles": SEEN,
    "keys-of-a-lower-epoch": SEEN,
    "keys-of-another-chain": SEEN,
    "keys-other-in-the-same-epoch": SEEN,
    "keys-same-in-another-epoch": SEEN,
    "reader-with-another-key": ACCOUNT,
    "reader-with-another-name": ACCOUNT,
    "readers-in-another-role": ENTITLEMENT,
    "removed-added-device": SEEN,
    "removed-added-device-without-a-word": SEEN,
    "removed-and-restored": SEEN,
    "removed-at-another-sequence": SEEN,
    "removed-before-it-was-sealed": SEEN,
    "removed-from-the-chain": SEEN,
    "removed-two-lists-ago": SEEN,
    "removed-without-a-word": SEEN,
    "sealer-is-a-custodian": ENTITLEMENT,
    "sealer-is-an-auditor": ENTITLEMENT,
    "sealer-is-another-clinician": ENTITLEMENT,
    "sealer-is-another-patient": ENTITLEMENT,
    "statements-altered-signature": CERTIFICATES,
    "superseded-by-an-end-that-names-none": SEEN,
    "superseded-end-of-another": SEEN,
    "superseded-end-shown-again": SEEN,
    "window-certificate-expired": DATES,
    "window-certificate-issued-later": DATES,
    "window-certificate-to-come": DATES,
    "window-issuer-ended": CERTIFICATES,
    "window-issuer-expired": DATES,
    "window-issuer-to-come": DATES,
    "window-key-list-to-come": DATES,
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
        shutil.copytree(source, self.recording, ignore=shutil.ignore_patterns("scenario.json", "statements"))
        if (source / "statements").exists():
            shutil.copytree(source / "statements", self.folder / "statements")
        shutil.copy(SCRIPT, self.folder)
        (self.folder / "bip39-english.txt").write_text(word_list())
        self.key, self.output = Path(place) / "key.txt", Path(place) / "out"
        self.key.write_text(self.scenario["identity"] + "\n")

    def place(self, name):
        """Where an object of a vector lies in the export."""
        return (self.folder if name.parts[0] == "statements" else self.recording) / name

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
            if any(folder.glob("grant.*")):
                continue  # Each export brings the script of its own version, and none of this version has grants.
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
                    self.assertEqual("CUT OFF" in said or "EMPTY" in said, expected["outcome"] == "cut-off", said)
                elif status == 0:
                    opened_unclaimed.add(folder.name)
                else:
                    self.assertIn("FAILED", said)
                    self.assertIn("0 opened, 1 failed", said)
                    self.assertEqual(list(case.output.iterdir()), [], "something was left behind")
        self.assertEqual(len(seen), 7)
        self.assertEqual(opened_unclaimed, set(NOT_CLAIMED))

    def test_any_byte_changed_is_noticed(self):
        # Every object of one recording of each suite, at places that fall all over it.
        for vector in ("opens-x25519-1-bytes", "opens-pq-1-bytes"):
            names = sorted(path.relative_to(VECTORS / vector) for path in (VECTORS / vector).rglob("*")
                           if path.is_file() and path.name != "scenario.json")
            self.assertEqual(len(names), 13)
            for name in names:
                original = (VECTORS / vector / name).read_bytes()
                # The signatures of certificates are not checked; their digests are.
                end = original.index(b',"signatures"') if b"certificate.v1" in original else len(original)
                for at in sorted({0, end - 1, *range(1, end, max(1, end // 12))}):
                    with self.subTest(f"{vector}/{name}", at=at), export(vector) as case:
                        changed = bytearray(original)
                        changed[at] ^= 1
                        case.place(name).write_bytes(changed)
                        status, said, tracks = case.open()
                        self.assertEqual((status, tracks), (1, {}), said)

    def test_a_later_key_is_not_looked_at(self):
        with export("opens-pq-1-bytes") as case:
            (case.recording / "key.1").write_bytes(b"age-encryption.org/v1\n")
            self.assertEqual(case.open()[0], 0)
            (case.recording / "key.0").unlink()
            status, said, _ = case.open()
            self.assertEqual(status, 1)
            self.assertIn("key.0 is missing", said)


class Keys(unittest.TestCase):
    def read(self, text):
        with tempfile.TemporaryDirectory() as place:
            words = Path(place) / "words"
            words.write_text(word_list())
            return script.read_identities(text, words)

    def refused(self, text, because):
        with self.assertRaisesRegex(script.Refused, because):
            self.read(text)

    def test_words_give_the_identities_that_were_computed_elsewhere(self):
        # From vault-core's tests, which were computed with hmac and hashlib alone.
        identities = self.read(BIP39["7f" * 32])
        self.assertEqual(len(identities), 32)
        secrets = [script.bech32_encode("age-secret-key-", i.secret).upper() for i in identities if i.suite == 1]
        self.assertEqual(secrets[0], "AGE-SECRET-KEY-1C3N3XTDXP7D82Y6NCP7R6LQ07C9476NVQYVL63PPLK86QKY4GKCSQZZT2H")
        epoch = script.LABEL + b"identity/pq\0" + (258).to_bytes(4, "big")
        pq = script.PqIdentity(script.hkdf(b"\x7f" * 32, b"", epoch))
        self.assertEqual(script.bech32_encode("age-secret-key-pq-", pq.secret).upper(),
                         "AGE-SECRET-KEY-PQ-1WR9A9VK6C69T4KZ8GZWJ0PAMPQQFUVQADX5N4DLRMZ0W0G6AP4KSDHETYU")

    def test_each_vector_of_bip39_reads_however_it_is_written(self):
        for entropy, sentence in BIP39.items():
            seed = bytes.fromhex(entropy)
            expected = script.hkdf(seed, b"", script.LABEL + b"identity/pq\0\0\0\0\1")
            numbered = "\n".join(f"{n}. {word}" for n, word in enumerate(sentence.split(), 1))
            for text in (sentence, numbered, numbered.replace(" ", ""), sentence.upper().replace(" ", "\r\n\t"),
                         "# a sheet of paper\n" + sentence):
                self.assertEqual(self.read(text)[0].secret, expected)

    def test_mistakes_are_named(self):
        words = BIP39["7f" * 32].split()
        self.refused(" ".join(words[:-1]), "23 words")
        self.refused("", "0 words")
        self.refused(" ".join(["winner", "legal"] + words[2:]), "order")
        self.refused(" ".join(words[:4] + ["yeer"] + words[5:]), "word 5 ")
        key = "AGE-SECRET-KEY-1C3N3XTDXP7D82Y6NCP7R6LQ07C9476NVQYVL63PPLK86QKY4GKCSQZZT2H"
        self.refused(key.replace("C3N", "C3M"), "checksum")
        self.refused(key[:-1], "checksum")
        self.refused(key.replace("KEY-1C", "KEY-1c"), "capitals")
        self.refused("age-encryption.org/v1\n-> scrypt", "age -d")
        plugin = script.bech32_encode("age-secret-key-x-", bytes(32)).upper()
        self.refused(plugin, "no identity")

    def test_recipients_are_those_of_the_age_specification(self):
        # C2SP age's examples, as in vault-core's tests.
        x25519, pq = self.read("# a comment\n"
                               "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n"
                               "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR\n")
        self.assertEqual(x25519.recipient, "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj")
        self.assertTrue(pq.recipient.startswith(
            "age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zrqtzdxz95paef6"))
        self.assertTrue(pq.recipient.endswith("ty7saeq0d3fzv49zc0k"))

    def test_the_words_open_what_was_sealed_to_them(self):
        for vector, entropy in (("opens-pq-1-bytes", "00"), ("opens-x25519-1-bytes-by-the-clinician", "7f")):
            with self.subTest(vector), export(vector) as case:
                case.key.write_text(BIP39[entropy * 32])
                self.assertEqual(case.open()[0], 0)
                case.key.write_text(BIP39["ff" * 32])
                status, said, _ = case.open()
                self.assertEqual(status, 1)
                self.assertIn("not that of a reader", said)

    def test_an_unusable_key_file_opens_nothing(self):
        with export("opens-pq-1-bytes") as case:
            for content in (b"", b"\xff\xfe\0", b"abandon abandon"):
                case.key.write_bytes(content)
                status, said, tracks = case.open()
                self.assertEqual((status, tracks), (2, {}))
                self.assertIn("Nothing was opened", said)
            case.key.unlink()
            self.assertEqual(case.open()[0], 2)


class MlKem(unittest.TestCase):
    SEED, MESSAGE = bytes(range(64)), hashlib.sha256(b"message").digest()
    JUNK = hashlib.shake_256(b"no ciphertext").digest(1088)

    def setUp(self):
        self.key = script.MlKem768(self.SEED[:32], self.SEED[32:])
        randomness = hashlib.sha3_512(self.MESSAGE + hashlib.sha3_256(self.key.public).digest()).digest()
        self.ciphertext = self.key.encrypt(self.MESSAGE, randomness[32:])

    def test_values_computed_with_openssl(self):
        self.assertEqual(hashlib.sha256(self.key.public).hexdigest(),
                         "0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9")
        self.assertEqual(self.key.decapsulate(self.ciphertext).hex(),
                         "0a7af13250f8d6ec46019b17fc65abd3510ae0855f3bae67c245a4c8b4d20946")
        self.assertEqual(self.key.decapsulate(self.JUNK).hex(),
                         "255d2a300651c5e27d5c4c75bfcbcf7e345c8b96fee026820921fc0090fab4f2")

    def test_a_changed_ciphertext_is_rejected_implicitly(self):
        for at in (0, 319, 320, 959, 960, 1087):
            changed = bytearray(self.ciphertext)
            changed[at] ^= 1
            expected = hashlib.shake_256(self.SEED[32:] + changed).digest(32)
            self.assertEqual(self.key.decapsulate(bytes(changed)), expected)

    def test_agrees_with_the_library_where_it_has_ml_kem(self):
        try:
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
            theirs = MLKEM768PrivateKey.from_seed_bytes(self.SEED)
        except (ImportError, UnsupportedAlgorithm):
            self.skipTest("this version of cryptography has no ML-KEM; the fixed values above stand in")
        for n in range(20):
            seed = hashlib.shake_256(b"seed %d" % n).digest(64)
            theirs, ours = MLKEM768PrivateKey.from_seed_bytes(seed), script.MlKem768(seed[:32], seed[32:])
            self.assertEqual(theirs.public_key().public_bytes_raw(), ours.public)
            secret, ciphertext = theirs.public_key().encapsulate()
            self.assertEqual(ours.decapsulate(ciphertext), secret)
            self.assertEqual(ours.decapsulate(self.JUNK), theirs.decapsulate(self.JUNK))


class Parsers(unittest.TestCase):
    def refused(self, function, *arguments):
        with self.assertRaises(script.Refused, msg=repr(arguments)[:80]):
            function(*arguments)

    def test_a_key_text_is_a_note_and_one_identity(self):
        key = "AGE-SECRET-KEY-1C3N3XTDXP7D82Y6NCP7R6LQ07C9476NVQYVL63PPLK86QKY4GKCSQZZT2H"
        for note in ("", "# note: \n", "# note: Knee, left\n", "# note: " + "\U0001f3e5" * 128 + "\n"):
            self.assertEqual(script.read_key_text(f"{note}{key}\n".encode()).suite, 1)
        for text in ("", key, f"{key}\r\n", f"{key}\n\n", f"\n{key}\n", f"{key}\n{key}\n", f" {key}\n",
                     f"{key.lower()}\n", f"{key[:-1]}\n", f"# a comment\n{key}\n", f"#note: x\n{key}\n",
                     "# note: x\n", f"{key}\n# note: x\n", f"# note: x\n# note: y\n{key}\n",
                     f"# note: \x1b\n{key}\n", f"# note: \u202e\n{key}\n", f"# note: {'n' * 129}\n{key}\n",
                     f"# note: x\r{key}\n", key + "\n" * 1000):
            self.refused(script.read_key_text, text.encode())
        self.refused(script.read_key_text, b"# note: \xff\n" + key.encode() + b"\n")

    def test_base64_has_one_spelling(self):
        self.assertEqual(script.unbase64("AQ=="), b"\1")
        self.assertEqual(script.unbase64("AQ", padded=False), b"\1")
        for text in ("AQ", "AR==", "AQ==\n", "A Q==", "A-=="):
            self.refused(script.unbase64, text)
        for text in ("AQ==", "AR", "A"):
            self.refused(script.unbase64, text, False)

    def test_json_that_could_be_read_in_two_ways_is_refused(self):
        self.assertEqual(script.parse_json(b'{"a":[0,null]}', "x"), {"a": [0, None]})
        for text in (b'{"a":1,"a":1}', b"-1", b"-0", b"1.0", b"1e3", b"NaN", b"9" * 17, b"\xef\xbb\xbf1", b"1 1",
                     b"[" * 100000, b"\xff"):
            self.refused(script.parse_json, text, "x")

    def test_unsafe_ed25519_points_are_known(self):
        p = 2**255 - 19
        for y in (0, 1, p - 1, p, p + 1, 2**255 - 1):
            for sign in (0, 1 << 255):
                self.assertTrue(script.small_order((y | sign).to_bytes(32, "little")))
        for point in ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"):
            self.assertTrue(script.small_order(bytes.fromhex(point)))
        self.assertFalse(script.small_order(bytes.fromhex("58" + "66" * 31)))
        for first, rest, usable in ((3, 0, True), (2, 0, False), (1, 0, False), (0xF0, 0xFF, False)):
            for sign in (0, 0x80):
                point = bytes([first]) + bytes([rest]) * 30 + bytes([rest & 0x7F | sign])
                self.assertEqual(script.is_usable(point), usable, point.hex())

    def test_headers_have_one_spelling(self):
        version, mac = b"age-encryption.org/v1\n", b"--- " + b"A" * 43 + b"\n"
        good = version + b"-> a b\nAQ\n" + mac
        self.assertEqual(script.parse_header(good)[0], [("a", ["b"], b"\1")])
        for bad in (b"", version, version + b"-> a\n" + mac, version + b"->\n\n" + mac, version + b"-> a  b\n\n" + mac,
                    version + b"-> \xe9\n\n" + mac, version + b"-> a\r\n\n" + mac,
                    version + b"-> a\n" + b"A" * 68 + b"\n\n" + mac,
                    version + b"-> a\n\n---" + mac[4:], version + b"+> a\n\n" + mac, good[:-1]):
            self.refused(script.parse_header, bad)

    def test_a_body_has_a_possible_length(self):
        chunk = 65552
        for chunks in script.PART_CHUNKS:
            most = 16 + 1020 * chunk
            for length, parts, end in ((32, 1, "final"), (33, 1, "final"), (16 + chunks * chunk, 1, "cut"),
                                       (16 + 2 * chunks * chunk, 2, "cut"), (most, 1020 // chunks, "final")):
                script.plaintext_length({"body_length": length, "parts": parts, "end": end, "part_chunks": chunks})
            for length, parts, end in ((15, 1, "final"), (31, 1, "final"), (32, 2, "final"), (33, 1, "cut"),
                                       (16 + chunk + 16, 1, "final"), (16 + chunks * chunk - 1, 1, "cut"),
                                       (16 + 7 * chunk, 1, "cut"), (most + 17, 1020 // chunks + 1, "final")):
                self.refused(script.plaintext_length,
                             {"body_length": length, "parts": parts, "end": end, "part_chunks": chunks})


class Output(unittest.TestCase):
    def test_titles_are_made_harmless(self):
        for title, name in {
            "Visit / follow\\up": "Visit _ follow_up",
            "\x1b[2J\u202e../../etc": "[2J.._.._etc",
            "..hidden": "hidden",
            "  a\n\tb\u2028c  ": "a b c",
            "e\u0301te\u0301": "\u00e9t\u00e9",
            "\ud800\u200d\ufeff\x00": "",
            "x" * 500: "x" * 80,
        }.items():
            self.assertEqual(script.harmless(title), name.lstrip("."), ascii(title))
        self.assertLessEqual(len(script.harmless("\U0001f600" * 80).encode()), 200)
        for n in range(0x11000):
            name = script.harmless(f"a{chr(n)}b{chr(n)}.")
            self.assertFalse(any(unicodedata.category(c)[0] == "C" or c in "/\\" for c in name), hex(n))
            name.encode()

    def test_the_title_of_the_vector_names_a_folder_inside_the_output(self):
        with export("opens-title-of-control-characters") as case:
            self.assertEqual(case.open()[0], 0)
            (folder,) = case.output.iterdir()
            self.assertRegex(folder.name, r"^2026-11-21_[^/\x00-\x1f\u202e]*$")
            self.assertEqual(folder.stat().st_mode & 0o077, 0)

    def test_a_second_run_writes_beside_the_first(self):
        with export("opens-pq-1-bytes") as case:
            for count in (1, 2, 3):
                self.assertEqual(case.open()[0], 0)
                self.assertEqual(len(list(case.output.iterdir())), count)

    def test_one_failure_does_not_stop_the_others(self):
        with export("opens-pq-1-bytes") as case:
            for name in ("0" * 32, "f" * 32):
                shutil.copytree(case.recording, case.recording.parent / name)
            status, said, tracks = case.open()
            self.assertEqual((status, len(tracks)), (1, 1))
            self.assertIn("1 opened, 2 failed", said)
            self.assertIn("00000000 FAILED  the manifest is that of another recording", said)
            self.assertEqual(case.open(case.recording.name[:5].upper())[0], 0)
            status, said, _ = case.open("0123", case.recording.name[:5])
            self.assertEqual(status, 1)
            self.assertIn("'0123'", said)
            self.assertIn("1 opened, 1 failed", said)

    def test_a_missing_object_is_named(self):
        with export("missing-body") as case:
            self.assertRegex(case.open()[1], r"FAILED  seg/0/body is missing")

    def test_files_that_a_desktop_leaves_behind_do_no_harm(self):
        with export("opens-pq-1-bytes") as case:
            for folder in ("", "seg", "seg/0", ".."):
                (case.recording / folder / ".DS_Store").write_bytes(b"x")
            (case.recording / "seg/0/header.bak").write_bytes(b"x")
            self.assertEqual(case.open()[0], 0)

    def test_an_empty_export_is_no_success(self):
        with export("opens-pq-1-bytes") as case:
            shutil.rmtree(case.recording)
            self.assertEqual(case.open()[0], 1)

    def test_the_endings_are_those_of_the_client(self):
        source = (ROOT / "vault-engine/src/media_type.rs").read_text()
        known = re.findall(r'((?:"[a-z0-9./-]+"(?: \| )?)+) => \{?\s*known\(Player::\w+, "[a-z0-9/-]+", "(\w+)"\)', source)
        listed = {kind: ending for kinds, ending in known for kind in re.findall(r'"([^"]+)"', kinds)}
        documents = source[source.index("const DOCUMENTS"):source.index("];")]
        listed.update(re.findall(r'\("([a-z0-9./+-]+)", "(\w+)"\)', documents))
        self.assertEqual(script.EXTENSIONS, listed)
        self.assertEqual(script.extension("Video/WebM; codecs=opus"), "webm")
        for other in ("", "text/html", "video/webm/../x.sh", "x/webm.desktop"):
            self.assertEqual(script.extension(other), "bin")
        for start, ending in ((b"\x1aE\xdf\xa3....webm", "webm"), (b"\x1aE\xdf\xa3....", "mkv"), (b"....ftyp", "mp4"),
                              (b"....ftypM4A ", "m4a"), (b"....ftypqt  ", "mov"), (b"\xff\xf1\x50\x40", "aac"),
                              (b"\xff\xfb\x90\x64", "mp3"), (b"\xff\xf3\x84\xc4", "mp3"), (b"\xff\xfb\xff\xff", "bin"),
                              (b"\xff\xd8\xff\xe0", "jpg"), (b"\xff\xfb", "bin"), (b"%PDF-1.7", "pdf"),
                              (b"\x89PNG\r\n\x1a\n", "png"),
                              (b"OggS", "ogg"), (b"RIFF....WAVE", "wav"), (b"fLaC", "flac"), (b"ID3", "mp3"),
                              (b"", "bin"), (b"#!/bin/sh", "bin")):
            self.assertEqual(script.extension(script.sniff(start)), ending)

    def test_the_script_runs_by_itself_and_reads_the_key_from_standard_input(self):
        with export("opens-pq-65537-bytes") as case:
            command = [sys.executable, str(case.folder / SCRIPT.name), "--key", "-", "-o", str(case.output)]
            run = subprocess.run(command, input=case.key.read_bytes(), capture_output=True, check=False)
            self.assertEqual((run.returncode, run.stderr), (0, b""))
            self.assertIn(b"1 opened, 0 failed", run.stdout)
            self.assertIn(b"Who these people are was not checked", run.stdout)
            self.assertEqual(hashlib.sha256(case.tracks()[0]).hexdigest(),
                             case.scenario["expected"]["tracks"][0]["sha256"])

    def test_a_missing_package_is_said_plainly(self):
        run = subprocess.run([sys.executable, "-I", "-S", str(SCRIPT), "--key", "x"], capture_output=True, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"pip install cryptography", run.stderr)
        self.assertNotIn(b"Traceback", run.stderr)


if __name__ == "__main__":
    unittest.main()
