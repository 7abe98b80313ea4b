#!/usr/bin/env python3
"""Opens the recordings of a sealed export, without any program of the recording vault.

    python3 open_recordings.py --key KEYFILE [-o OUTPUT_FOLDER] [RECORDING-ID-PREFIX ...]

KEYFILE is a text file with the 24 words, or with a line AGE-SECRET-KEY-1... or AGE-SECRET-KEY-PQ-1...; "-" reads the
standard input. Needs Python 3.9 or later and the package "cryptography". FORMAT.md, beside this file, is the format;
"section" below is a section of it. Other sources: C2SP age (https://c2sp.org/age), FIPS 203 (ML-KEM), X-Wing
(draft-connolly-cfrg-xwing-kem), RFC 9180 (HPKE), RFC 5869 (HKDF), RFC 6962 (Merkle tree), RFC 8032 (Ed25519).
"""
import argparse
import base64
import binascii
import functools
import getpass
import hashlib
import hmac
import json
import math
import os
import re
import shutil
import sys
import tempfile
import unicodedata
from collections import namedtuple
from datetime import datetime
from pathlib import Path

try:
    from cryptography.exceptions import InvalidSignature, InvalidTag
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:
    sys.exit('The Python package "cryptography" is missing. Install it with "python3 -m pip install cryptography", or\n'
             'on Debian and Ubuntu with "apt install python3-cryptography"; then run this again. Nothing was opened.')

LABEL = b"recording-vault/v1/"
CHUNK, TAG, NONCE = 65536, 16, 16                       # section 7
PART_CHUNKS, MAX_CHUNKS = (1, 3, 5, 15), 1020
MAX_ENVELOPE, MAX_PAYLOAD, MAX_HEADER, MAX_DETAILS = 88404, 65536, 32768, 4 << 20
MAX_KEY_TEXT = 1024
MAX_KEY_OBJECT = MAX_HEADER + NONCE + MAX_KEY_TEXT + TAG  # section 10
EPOCHS = range(1, 17)
NOT_CHECKED = """Who these people are was not checked here: the sealing device is one that the sealer's account lists,
but no organisation was pinned and no certificate was looked at, nor whether a key was out of date, and a recording
that is not in this folder is not missed. "vault-cli verify" checks what certificates say."""


class Refused(Exception):
    """Why a recording, or a key, is not used."""


def require(condition, reason):
    if not condition:
        raise Refused(reason)


def sha256(data):
    return hashlib.sha256(data).digest()


def labelled(label, data):
    """Section 2."""
    return sha256(LABEL + label.encode() + b"\0" + data)


def hkdf(secret, salt, info):
    """RFC 5869 with SHA-256 and 32 bytes of output."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\1", "sha256")


def unbase64(text, padded=True):
    """Canonical base64 only (section 1): what does not encode back to the same text is refused."""
    try:
        data = base64.b64decode(text + "=" * (0 if padded else -len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise Refused("malformed base64") from None
    back = base64.b64encode(data).decode()
    require((back if padded else back.rstrip("=")) == text, "malformed base64")
    return data


def read(path, limit):
    """A whole object, of a known largest size."""
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    require(len(data) <= limit, f"{path.name} is longer than any that is sealed")
    return data


# ---- ML-KEM-768 (FIPS 203). Not constant in time: made for one's own machine, not for a server.

Q, K = 3329, 3
BIT_REVERSED = [int(f"{i:07b}"[::-1], 2) for i in range(128)]
ZETAS = [pow(17, i, Q) for i in BIT_REVERSED]
GAMMAS = [pow(17, 2 * i + 1, Q) for i in BIT_REVERSED]


def ntt(poly):
    """Algorithm 9."""
    f, i = list(poly), 1
    for length in (128, 64, 32, 16, 8, 4, 2):
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = ZETAS[i] * f[j + length]
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
            i += 1
    return f


def ntt_inverse(poly):
    """Algorithm 10."""
    f, i = list(poly), 127
    for length in (2, 4, 8, 16, 32, 64, 128):
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, ZETAS[i] * (f[j + length] - t) % Q
            i -= 1
    return [x * 3303 % Q for x in f]


def add(*polys):
    return [sum(column) % Q for column in zip(*polys)]


def dot(left, right):
    """Sum of the products of two vectors in the NTT domain (algorithms 11 and 12)."""
    total = [0] * 256
    for f, g in zip(left, right):
        for i, gamma in enumerate(GAMMAS):
            a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
            total[2 * i] += a * c + b * d % Q * gamma
            total[2 * i + 1] += a * d + b * c
    return [x % Q for x in total]


def sample_ntt(seed):
    """Algorithm 7. A longer output of SHAKE begins with the shorter one."""
    length, f = 672, []
    while len(f) < 256:
        stream, f = hashlib.shake_128(seed).digest(length), []
        for a, b, c in zip(stream[::3], stream[1::3], stream[2::3]):
            f += [x for x in (a + 256 * (b % 16), b // 16 + 16 * c) if x < Q]
        length *= 2
    return f[:256]


def sample_cbd(seed, n):
    """Algorithm 8 with eta = 2, over PRF(seed, n)."""
    nibbles = [x >> s & 15 for x in hashlib.shake_256(seed + bytes([n])).digest(128) for s in (0, 4)]
    return [((x & 1) + (x >> 1 & 1) - (x >> 2 & 1) - (x >> 3)) % Q for x in nibbles]


def encode(d, poly):
    """Algorithm 5."""
    return sum(x << d * i for i, x in enumerate(poly)).to_bytes(32 * d, "little")


def decode(d, data):
    """Algorithm 6."""
    bits = int.from_bytes(data, "little")
    return [bits >> d * i & (1 << d) - 1 for i in range(256)]


def compress(d, poly):
    return [((x << d) + Q // 2) // Q % (1 << d) for x in poly]


def decompress(d, poly):
    return [(x * Q + (1 << d - 1)) >> d for x in poly]


class MlKem768:
    """A decapsulation key, from the seed (d, z)."""

    def __init__(self, d, z):
        """Algorithms 13 and 16."""
        expanded = hashlib.sha3_512(d + bytes([K])).digest()
        rho, sigma, self.z = expanded[:32], expanded[32:], z
        self.matrix = [[sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]
        self.s = [ntt(sample_cbd(sigma, n)) for n in range(K)]
        self.t = [add(dot(row, self.s), ntt(sample_cbd(sigma, K + i))) for i, row in enumerate(self.matrix)]
        self.public = b"".join(encode(12, poly) for poly in self.t) + rho

    def encrypt(self, message, randomness):
        """Algorithm 14."""
        y = [ntt(sample_cbd(randomness, n)) for n in range(K)]
        u = [add(ntt_inverse(dot(column, y)), sample_cbd(randomness, K + i))
             for i, column in enumerate(zip(*self.matrix))]
        v = add(ntt_inverse(dot(self.t, y)), sample_cbd(randomness, 2 * K), decompress(1, decode(1, message)))
        return b"".join(encode(10, compress(10, poly)) for poly in u) + encode(4, compress(4, v))

    def decapsulate(self, ciphertext):
        """Algorithms 15 and 18. A ciphertext that does not encrypt back to itself gives a key that nobody knows."""
        u = [decompress(10, decode(10, ciphertext[320 * i:320 * (i + 1)])) for i in range(K)]
        v = decompress(4, decode(4, ciphertext[960:]))
        product = ntt_inverse(dot(self.s, [ntt(poly) for poly in u]))
        message = encode(1, compress(1, [(a - b) % Q for a, b in zip(v, product)]))
        keys = hashlib.sha3_512(message + hashlib.sha3_256(self.public).digest()).digest()
        if hmac.compare_digest(self.encrypt(message, keys[32:]), ciphertext):
            return keys[:32]
        return hashlib.shake_256(self.z + ciphertext).digest(32)


# ---- Identities and stanzas (sections 3 and 4; C2SP age)

BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def regroup(values, bits_in, bits_out):
    """Cuts a row of bits anew; the rest that fills no whole group is returned apart."""
    groups, held, count = [], 0, 0
    for value in values:
        held, count = held << bits_in | value, count + bits_in
        while count >= bits_out:
            count -= bits_out
            groups.append(held >> count)
            held &= (1 << count) - 1
    return groups, held, count


def bech32_checksum(hrp, values):
    """The polynomial of BIP173, whose limit of 90 characters age does not have."""
    check = 1
    for value in [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp] + values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> i & 1 else 0
    return check


def bech32_encode(hrp, data):
    groups, held, count = regroup(data, 8, 5)
    groups += [held << 5 - count] if count else []
    check = bech32_checksum(hrp, groups + [0] * 6) ^ 1
    return hrp + "1" + "".join(BECH32[x] for x in groups + [check >> 5 * i & 31 for i in range(5, -1, -1)])


def bech32_decode(text):
    hrp, _, data = text.rpartition("1")
    require(hrp and len(data) >= 6 and set(data) <= set(BECH32), "it has characters that no key has")
    values = [BECH32.index(c) for c in data]
    require(bech32_checksum(hrp, values) == 1, "its checksum does not fit: it was copied with a mistake")
    data, held, count = regroup(values[:-6], 5, 8)
    require(held == 0 and count < 5, "it is malformed")
    return hrp, bytes(data)


def x25519(secret, share):
    """The shared secret; an all-zero one is refused (section 4)."""
    try:
        shared = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError:
        raise Refused("a recipient stanza has an unsafe key share") from None
    require(any(shared), "a recipient stanza has an unsafe key share")
    return shared


def unseal(key, nonce, data):
    """The plaintext, or None."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, data, None)
    except InvalidTag:
        return None


class X25519Identity:
    suite, tag, share_length = 1, "X25519", 32

    def __init__(self, secret):
        self.secret = secret

    @functools.cached_property
    def public(self):
        key = X25519PrivateKey.from_private_bytes(self.secret).public_key()
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def recipient(self):
        return bech32_encode("age", self.public)

    def wrap_key(self, share):
        return hkdf(x25519(self.secret, share), share + self.public, b"age-encryption.org/v1/X25519"), bytes(12)


class PqIdentity:
    suite, tag, share_length = 2, "mlkem768x25519", 1120

    def __init__(self, secret):
        self.secret = secret

    @functools.cached_property
    def keys(self):
        """X-Wing, expandDecapsulationKey. Made when first needed: it takes a moment."""
        expanded = hashlib.shake_256(self.secret).digest(96)
        return MlKem768(expanded[:32], expanded[32:64]), X25519Identity(expanded[64:])

    @property
    def recipient(self):
        return bech32_encode("age1pq", self.keys[0].public + self.keys[1].public)

    def wrap_key(self, share):
        """X-Wing's combiner, then the key schedule of HPKE's base mode (RFC 9180, section 5.1)."""
        ml_kem, curve = self.keys
        ciphertext, point = share[:1088], share[1088:]
        shared = ml_kem.decapsulate(ciphertext) + x25519(curve.secret, point) + point + curve.public
        shared = hashlib.sha3_256(shared + rb"\.//^" + b"\\").digest()
        suite = b"HPKE-v1HPKE" + bytes.fromhex("647a 0001 0003")  # X-Wing, HKDF-SHA256, ChaCha20-Poly1305

        def extract(salt, label, data):
            return hmac.digest(salt, suite + label + data, "sha256")

        def expand(label, length):
            info = length.to_bytes(2, "big") + suite + label + context
            return hmac.digest(secret, info + b"\1", "sha256")[:length]

        info = b"age-encryption.org/mlkem768x25519"
        context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
        secret = extract(shared, b"secret", b"")
        return expand(b"key", 32), expand(b"base_nonce", 12)


@functools.lru_cache(maxsize=None)
def key_id(identity):
    return labelled("encryption-key", identity.recipient.encode()).hex()


def read_identity(word):
    """An identity as age writes it, in capitals or in small letters."""
    require(word in (word.upper(), word.lower()), "it has capitals and small letters")
    kinds = {"age-secret-key-": X25519Identity, "age-secret-key-pq-": PqIdentity}
    hrp, secret = bech32_decode(word.lower())
    require(hrp in kinds and len(secret) == 32, "it is no identity that recordings are sealed to")
    return kinds[hrp](secret)


def from_words(words, list_file):
    """BIP39: 11 bits a word, the last 8 of them the checksum. Then section 3.1."""
    listed = list_file.read_text("ascii").split()
    require(len(listed) == 2048, f"{list_file.name} beside this file is not the list of 2,048 words")
    require(len(words) == 24, f"there are {len(words)} words, and 24 are needed")
    for number, word in enumerate(words, 1):
        require(word in listed, f"word {number} is not a word of the list")
    bits = 0
    for word in words:
        bits = bits << 11 | listed.index(word)
    seed = (bits >> 8).to_bytes(32, "big")
    require(sha256(seed)[0] == bits & 255, "the words do not belong together: one of them, or their order, is wrong")
    return [kind(hkdf(seed, b"", LABEL + b"identity/" + name + b"\0" + epoch.to_bytes(4, "big")))
            for epoch in EPOCHS for kind, name in ((PqIdentity, b"pq"), (X25519Identity, b"x25519"))]


def read_identities(text, list_file):
    """The identities that a key file holds."""
    require(not text.startswith(("age-encryption.org/", "-----BEGIN AGE")),
            'it is locked with a passphrase. Unlock it first: "age -d -o key.txt FILE"')
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    if "AGE-SECRET-KEY-" not in text.upper():
        return from_words(re.sub(r"\d+[.):]?", " ", text).lower().split(), list_file)
    return [read_identity(word) for word in text.split()]


# ---- Statements (section 5)

def text_of(pattern):
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def number_of(low, end):
    return lambda value: type(value) is int and low <= value < end


def is_time(value):
    try:
        return TIME_TEXT(value) and bool(datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return False


def list_of(fields, low, high):
    return lambda value: isinstance(value, list) and low <= len(value) <= high and all(has(x, fields) for x in value)


def has(value, fields):
    """Whether a value is an object of exactly these fields, each as it has to be."""
    return isinstance(value, dict) and value.keys() == fields.keys() and all(fields[k](value[k]) for k in fields)


class Fields(dict):
    """An object, and which of its fields stood there more than once."""

    def __init__(self, pairs):
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.repeated = {name for name in self if names.count(name) > 1} if len(self) < len(pairs) else set()


def knows(value, fields, optional=()):
    """Whether a value is an object with these fields, each once and as it has to be; unknown ones are ignored."""
    return (isinstance(value, Fields) and not value.repeated & {*fields, *optional}
            and all(fields[name](value.get(name, ...)) for name in fields))


def or_null(check):
    return lambda value: value is None or check(value)


TIME_TEXT = text_of(r"(19[7-9]|[2-9]\d\d)\d-\d\d-\d\dT\d\d:\d\d:\d\dZ".replace(r"\d", "[0-9]"))
ID_16 = text_of("[0-9a-f]{32}")
ID, INDEX, TRACK, LENGTH = text_of("[0-9a-f]{64}"), number_of(0, 1 << 32), number_of(0, 255), number_of(0, 1 << 53)
SUITE = number_of(1, 3)
ROLE = text_of("patient|clinician|recorder|auditor|custodian")
NOT_IN_LABELS = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def is_label(value):
    """At most 128 characters, none of which ends a line, controls a terminal or turns the direction of writing."""
    return len(value) <= 128 and not NOT_IN_LABELS.search(value)


def is_null(value):
    return value is None


def is_allowed(value):
    return value in ([], ["clinician-readmits"], ["clinician-shares"], ["clinician-readmits", "clinician-shares"])


def is_key(value):
    return ID(value) and is_usable(bytes.fromhex(value))


def is_role_list(value):
    return value in (["auth"], ["seal"], ["auth", "seal"])


def is_issuers_roles(value):
    return isinstance(value, list) and 1 <= len(value) <= 16 and all(ROLE(role) for role in value)


ROOTED = {"manifest": ID, "index": INDEX, "track": TRACK}
TREE = {"parts": number_of(1, MAX_CHUNKS + 1), "parts_root": ID, "header": ID, "previous": or_null(ID),
        "part_chunks": lambda value: type(value) is int and value in PART_CHUNKS}
KINDS = {
    "issuer-certificate": {"organisation": ID, "root": is_key, "issuer": is_key, "not_before": is_time,
                           "not_after": is_time, "number": number_of(1, 1 << 53),
                           "ended": list_of({"issuer": is_key, "from": is_time}, 0, 16),
                           "revocations": lambda value: isinstance(value, bool), "roles": is_issuers_roles},
    "certificate": {"organisation": ID, "account": ID, "role": ROLE,
                    "label": or_null(lambda value: isinstance(value, str) and is_label(value)),
                    "issued": is_time, "not_before": is_time, "not_after": is_time,
                    "succeeds": or_null(ID), "guardians": list_of({"account": ID, "until": is_time}, 0, 4)},
    "key-list": {"account": ID, "root": ID, "number": number_of(1, 1 << 53), "previous": or_null(ID),
                 "created": is_time, "epoch": number_of(1, 1 << 32),
                 "encryption": list_of({"suite": SUITE, "recipient": text_of(
                     f"age1[{BECH32}]{{58}}|age1pq1[{BECH32}]{{1952}}")}, 1, 4),
                 "devices": list_of({"key": is_key, "roles": is_role_list}, 1, 16),
                 "removed": list_of({"key": is_key, "sequence": number_of(0, 1 << 53), "since": or_null(is_time)},
                                    0, 256),
                 "allows": is_allowed},
    "device": {"account": ID, "key_list": ID, "key": is_key, "roles": is_role_list, "by": ID, "created": is_time},
    "manifest": {"suite": SUITE, "recording": ID_16, "salt": ID_16, "tenant": ID,
                 "consultation": text_of("[A-Za-z0-9._:-]{1,128}"), "patient": ID, "clinician": ID,
                 "key": ID, "key_object": ID, "readers": list_of({"account": ID, "key": ID, "role": text_of(
                     "patient|clinician"), "until": is_null}, 2, 2), "sealer": ID, "sealer_key": ID,
                 "sequence": number_of(1, 1 << 53), "members": list_of({
                     "account": ID, "issuer": ID, "certificate": ID, "key_list": ID, "device": or_null(ID)}, 1, 17),
                 "directory_checkpoint": or_null(ID),
                 "created": is_time, "policy": is_allowed, "replaces": is_null},
    "segment-seal": {**ROOTED, "body_length": LENGTH, **TREE, "end": text_of("final|cut"), "supersedes": or_null(ID)},
    "segment-progress": {**ROOTED, **TREE, "recorded": is_time, "tail": is_null},
    "final-seal": {"manifest": ID, "segments": number_of(1, 10001), "last_seal": ID, "total_length": LENGTH,
                   "details": ID, "ended": is_time, "status": text_of("complete|recovered"), "supersedes": or_null(ID)},
}


def is_ascending(items):
    return all(before < item for before, item in zip(items, items[1:]))


def is_certificate(fields):
    """What its fields alone do not say (section 5.1)."""
    guardians = [guardian["account"] for guardian in fields["guardians"]]
    return (fields["not_before"] < fields["not_after"] and is_ascending(guardians)
            and fields["account"] not in [fields["succeeds"], *guardians])


def is_key_list(fields):
    """Likewise."""
    keys, devices = fields["encryption"], [device["key"] for device in fields["devices"] + fields["removed"]]
    return (all((key["suite"] == 2) == key["recipient"].startswith("age1pq1") for key in keys)
            and is_ascending([key["suite"] for key in keys]) and len(set(devices)) == len(devices)
            and (fields["number"] == 1) == (fields["previous"] is None))


def is_issuer_certificate(fields):
    """Likewise."""
    return (fields["not_before"] < fields["not_after"] and is_ascending(fields["roles"])
            and is_ascending([ended["issuer"] for ended in fields["ended"]])
            and fields["organisation"] == labelled("organisation", bytes.fromhex(fields["root"])).hex())


def is_device(fields):
    """Likewise."""
    return fields["by"] != device_id(fields["key"])


def is_progress(fields):
    """Likewise."""
    return fields["parts"] <= MAX_CHUNKS // fields["part_chunks"]


def device_id(key):
    return labelled("device-key", bytes.fromhex(key)).hex()


WHOLE = {"issuer-certificate": is_issuer_certificate, "certificate": is_certificate, "key-list": is_key_list,
         "device": is_device, "segment-progress": is_progress}
Statement = namedtuple("Statement", "fields digest signer signed signature")
ENVELOPE = re.compile(
    rb'\{"payloadType":"application/vnd\.recording-vault\.([a-z-]+)\.v([0-9]{1,9})\+json",'
    rb'"payload":"([A-Za-z0-9+/=]*)","signatures":\[\{"keyid":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/=]{88})"\}\]\}')


def parse_json(data, what, strict=True):
    """JSON as section 1 has it: repeated fields, fractions and negative numbers are refused.

    Unless strict, fields that are not known may be repeated and hold other numbers; as none of these is an integer, no
    known field takes one.
    """
    def unique(pairs):
        fields = Fields(pairs)
        require(not strict or not fields.repeated, f"{what} repeats a field")
        return fields

    def whole(digits):
        allowed = digits.isdigit() and len(digits) <= 16
        require(allowed or not strict, f"{what} has a number that is not allowed")
        return int(digits) if allowed else math.nan

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_int=whole, parse_float=whole,
                          parse_constant=whole)
    except (ValueError, RecursionError):
        raise Refused(f"{what} is damaged: it is no JSON") from None


def parse_statement(data, kind, what):
    match = ENVELOPE.fullmatch(data)
    require(match and len(data) <= MAX_ENVELOPE, f"{what} is damaged: it is no signed statement")
    found, version, payload, signer, signature = (group.decode() for group in match.groups())
    require(found == kind, f"{what} is damaged: it is a {found}")
    require(re.fullmatch("[1-9][0-9]*", version), f"{what} is damaged: it is no signed statement")
    require(version == "1", f"{what} is of a newer format than this script")
    payload, name = unbase64(payload), f"application/vnd.recording-vault.{kind}.v1+json"
    require(len(payload) <= MAX_PAYLOAD, f"{what} is damaged: it is too long")
    fields = parse_json(payload, what)
    require(has(fields, KINDS[kind]), f"{what} is damaged or of a newer format: its fields are not those of a {kind}")
    require(kind not in WHOLE or WHOLE[kind](fields), f"{what} is damaged: its fields do not fit each other")
    signed = f"DSSEv1 {len(name)} {name} {len(payload)} ".encode() + payload
    return Statement(fields, sha256(payload).hex(), signer, signed, unbase64(signature))


def small_order(point):
    """Whether an encoded Ed25519 point is of order 1, 2, 4 or 8, or no canonical encoding (section 4)."""
    p = 2**255 - 19
    y = int.from_bytes(point, "little") & (1 << 255) - 1
    eighth = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    return y >= p or y in (0, 1, p - 1, eighth, p - eighth)


def is_usable(point):
    """Whether signatures can be checked with an encoded Ed25519 point: one of the curve, and none of small order."""
    p = 2**255 - 19
    y = int.from_bytes(point, "little") & (1 << 255) - 1
    d = -121665 * pow(121666, p - 2, p)
    x_squared = (y * y - 1) * pow(d * y * y + 1, p - 2, p) % p
    return not small_order(point) and pow(x_squared, (p - 1) // 2, p) == 1


def check_signature(statement, key, expected_id, what):
    """Ed25519 by the key whose id the kind calls for (section 5)."""
    require(statement.signer == expected_id, f"{what} is not signed by the key that had to sign it")
    try:
        require(not small_order(key) and not small_order(statement.signature[:32]), f"{what} has an unsafe signature")
        Ed25519PublicKey.from_public_bytes(key).verify(statement.signature, statement.signed)
    except (InvalidSignature, ValueError):
        raise Refused(f"the signature of {what} is wrong") from None


# ---- Headers and payloads (sections 7 to 9; C2SP age)

def parse_header(data):
    """The stanzas, the MAC, what the MAC is over, and the length."""
    lines, position, stanzas = [], 0, []

    def line():
        nonlocal position
        end = data.find(b"\n", position, MAX_HEADER)
        require(end >= 0, "a header is cut short or too long")
        text, position = data[position:end], end + 1
        require(all(32 <= byte < 127 for byte in text), "a header is malformed")
        return text.decode()

    require(line() == "age-encryption.org/v1", "a header is of no known age version")
    while True:
        first = line()
        if first.startswith("---"):
            require(first.startswith("--- "), "a header is malformed")
            mac = unbase64(first[4:], padded=False)
            return stanzas, mac, data[:position - len(first) + 2], position
        words, body = first.split(" "), b""
        require(words[0] == "->" and len(words) > 1 and all(words), "a header is malformed")
        while True:
            text = line()
            require(len(text) <= 64, "a header is malformed")
            body += unbase64(text, padded=False)
            if len(text) < 64:
                break
        stanzas.append((words[1], words[2:], body))


def open_header(data, context, identity, recipients=1):
    """The file key of a sealed header to so many recipients, and the header's length (section 9)."""
    stanzas, mac, under_mac, length = parse_header(data)
    context_stanza = ("recording-vault/ctx1", [base64.b64encode(context).decode().rstrip("=")], b"")
    require(stanzas and stanzas[0] == context_stanza, "a header belongs to another recording or segment, or to none")
    require(len(stanzas) - 1 == recipients, "a header is for others than it has to be")
    require(all(tag == identity.tag for tag, _, _ in stanzas[1:]), "a header has a stanza that does not belong there")
    for _, arguments, body in stanzas[1:]:
        require(len(arguments) == 1 and len(body) == 32, "a recipient stanza is malformed")
        share = unbase64(arguments[0], padded=False)
        require(len(share) == identity.share_length, "a recipient stanza is malformed")
        file_key = unseal(*identity.wrap_key(share), body)
        if file_key is not None:
            fits = hmac.compare_digest(hmac.digest(hkdf(file_key, b"", b"header"), under_mac, "sha256"), mac)
            require(fits, "a header was changed: its MAC does not fit")
            return file_key, length
    raise Refused("a header has no stanza that opens with the key that it is for")


def open_file(data, context, identity, recipients=1):
    """The plaintext of a whole age file (sections 10 and 11)."""
    file_key, length = open_header(data, context, identity, recipients)
    nonce, chunks = data[length:length + NONCE], data[length + NONCE:]
    require(chunks, "a file ends behind its header")
    return b"".join(decrypt_chunks(hkdf(file_key, nonce, b"payload"), chunks, 0, True))


def read_key_text(text):
    """The identity in a key object's text, behind a note or not (section 10)."""
    require(len(text) <= MAX_KEY_TEXT, "its text is too long")
    try:
        match = re.fullmatch("(?:# note: ([^\n]*)\n)?(AGE-SECRET-KEY-[A-Z0-9-]+)\n", text.decode("utf-8"))
    except ValueError:
        match = None
    require(match and is_label(match[1] or ""), "its text is not that of a key")
    return read_identity(match[2])


def decrypt_chunks(key, data, counter, ends):
    """Plaintext chunk by chunk of whole chunks from number `counter` on (C2SP age, "Payload")."""
    for start in range(0, len(data), CHUNK + TAG):
        chunk = data[start:start + CHUNK + TAG]
        last = ends and start + CHUNK + TAG >= len(data)
        plain = unseal(key, counter.to_bytes(11, "big") + bytes([last]), chunk)
        require(plain is not None, "a chunk does not open with its segment's key")
        require(len(plain) == CHUNK or last and (plain or counter == 0), "a chunk has a length that is not allowed")
        yield plain
        counter += 1


def merkle_root(leaves):
    """RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + merkle_root(leaves[:split]) + merkle_root(leaves[split:]))


def plaintext_length(seal):
    """Of a body, if its length, its parts and its end fit each other (section 7)."""
    stream, part = seal["body_length"] - NONCE, seal["part_chunks"] * (CHUNK + TAG)
    require(-(-stream // part) == seal["parts"] <= MAX_CHUNKS // seal["part_chunks"],
            "a seal names a length that no body has")
    last = stream % (CHUNK + TAG)
    possible = stream % part == 0 if seal["end"] == "cut" else last == 0 or last > TAG or stream == TAG
    require(possible, "a seal names a length that no body has")
    return stream - -(-stream // (CHUNK + TAG)) * TAG


# ---- Recordings (sections 6 and 10 to 13)

class Recording:
    """The checked statements of one recording, and its key."""

    def __init__(self, folder, identities):
        self.folder, self.statements = folder, folder.parent.parent / "statements"
        self.manifest = parse_statement(read(folder / "manifest", MAX_ENVELOPE), "manifest", "the manifest")
        m = self.manifest.fields
        require(m["recording"] == folder.name, "the manifest is that of another recording")
        own_id = labelled("recording", bytes.fromhex(m["sealer_key"] + m["salt"]))[:16].hex()
        require(m["recording"] == own_id, "the manifest is damaged: its id is not that of its sealer's device and salt")
        people = [(m["patient"], "patient"), (m["clinician"], "clinician")]
        require(m["patient"] != m["clinician"] and [(r["account"], r["role"]) for r in m["readers"]] == people,
                "the manifest is damaged: its readers are not the patient and the clinician")
        self.check_people()
        self.check_seals()
        identity = next((i for i in identities if i.suite == m["suite"] and
                         key_id(i) in [r["key"] for r in m["readers"]]), None)
        require(identity, "this key is not that of a reader of this recording")
        self.key = self.open_key(identity)

    def named(self, digest, kind, what):
        """The statement with this digest."""
        statement = parse_statement(read(self.statements / digest, MAX_ENVELOPE), kind, what)
        require(statement.digest == digest, f"{what} is damaged: it is not the one that the manifest names")
        return statement

    def check_people(self):
        """The statements that the manifest names, and its signature. Certificates are there, and not checked."""
        m, lists, added = self.manifest.fields, {}, None
        people = sorted({m["patient"], m["clinician"], m["sealer"]})
        require([member["account"] for member in m["members"]] == people,
                "the manifest is damaged: its members are not its patient, its clinician and its sealer alone")
        for account, member in zip(people, m["members"]):
            self.named(member["issuer"], "issuer-certificate", "an issuer's certificate")
            certificate = self.named(member["certificate"], "certificate", "a certificate")
            require(certificate.fields["account"] == account, "a certificate is that of another account")
            lists[account] = statement = self.named(member["key_list"], "key-list", "a key list")
            root = bytes.fromhex(statement.fields["root"])
            require(statement.fields["account"] == account == labelled("account", root).hex(),
                    "a key list is that of another account")
            check_signature(statement, root, account, "a key list")
            if member["device"] is not None:
                require(account == m["sealer"], "a device was added for somebody who did not seal")
                added = self.named(member["device"], "device", "the statement that adds a device")
        for reader in m["readers"]:
            keys = [labelled("encryption-key", k["recipient"].encode()).hex()
                    for k in lists[reader["account"]].fields["encryption"] if k["suite"] == m["suite"]]
            require(reader["key"] in keys, "a reader's key is not in that person's key list")
        require(m["policy"] == lists[m["patient"]].fields["allows"], "the policy is not what the patient allows")
        devices = lists[m["sealer"]].fields["devices"]
        if added:
            devices = devices + [self.check_added(added, lists[m["sealer"]])]
        self.device = next((bytes.fromhex(d["key"]) for d in devices
                            if "seal" in d["roles"] and device_id(d["key"]) == m["sealer_key"]), None)
        require(self.device, "the sealing device is not in the sealer's key list")
        check_signature(self.manifest, self.device, m["sealer_key"], "the manifest")

    def check_added(self, added, key_list):
        """A device that another one added to a key list (section 6)."""
        what, by = "the statement that adds a device", added.fields["by"]
        known = {device_id(d["key"]) for d in key_list.fields["devices"] + key_list.fields["removed"]}
        require(device_id(added.fields["key"]) == self.manifest.fields["sealer_key"], f"{what} is for another one")
        require(self.manifest.fields["sealer_key"] not in known, f"{what} is for one that the key list knows")
        require(added.fields["account"] == key_list.fields["account"], f"{what} is that of another account")
        require(added.fields["key_list"] == key_list.digest, f"{what} is for another key list")
        signer = next((d for d in key_list.fields["devices"] if device_id(d["key"]) == by and "auth" in d["roles"]), None)
        require(signer, f"{what} is not by a device that may add one")
        check_signature(added, bytes.fromhex(signer["key"]), by, what)
        require(set(added.fields["roles"]) <= set(signer["roles"]), f"{what} gives a role that its signer has not")
        return added.fields

    def statement(self, path, kind, what):
        """A statement of this recording's sealer about this recording."""
        statement = parse_statement(read(path, MAX_ENVELOPE), kind, what)
        require(statement.fields["manifest"] == self.manifest.digest, f"{what} is that of another recording")
        check_signature(statement, self.device, self.manifest.fields["sealer_key"], what)
        return statement

    def check_seals(self):
        """Section 13, step 3. `segments` is what is proved of each segment."""
        self.segments, digests, lengths = [], [None], []
        final = self.folder / "final"
        self.final = self.statement(final, "final-seal", "the final seal").fields if final.exists() else None
        count = sum(re.fullmatch("[0-9]+", path.name) is not None for path in (self.folder / "seg").glob("*"))
        for index in range(count):
            folder, what = self.folder / "seg" / str(index), f"the seal of segment {index}"
            if not (folder / "seal").exists() and not self.final:
                require(index == count - 1, f"segment {index} has no seal, and others follow")
                break
            seal = self.statement(folder / "seal", "segment-seal", what)
            require(seal.fields["index"] == index, f"{what} is that of another segment")
            require(seal.fields["previous"] == digests[-1], f"{what} does not follow on the one before")
            lengths.append(plaintext_length(seal.fields))
            digests.append(seal.digest)
            self.segments.append(seal.fields)
        if self.final:
            told = [self.final[name] for name in ("segments", "last_seal", "total_length")]
            require(told == [len(lengths), digests[-1], sum(lengths)], "the final seal counts other segments")
            return
        for index in (len(lengths), len(lengths) - 1):
            path = self.folder / "seg" / str(index) / "progress"
            if path.exists():
                progress = self.statement(path, "segment-progress", "the progress").fields
                require(progress["index"] == index, "the progress is that of another segment")
                require(progress["previous"] == digests[index], "the progress does not follow on the last seal")
                if index == len(lengths):
                    length = NONCE + progress["parts"] * progress["part_chunks"] * (CHUNK + TAG)
                    self.segments.append({**progress, "body_length": length, "end": "cut", "growing": True})
                return

    def open_key(self, identity):
        """Section 13, step 4: the recording's own identity, of generation 0."""
        m = self.manifest.fields
        data = read(self.folder / "key.0", MAX_KEY_OBJECT)
        require(sha256(data).hex() == m["key_object"], "the key is not the one that the manifest was signed with")
        context = labelled("key-context", bytes.fromhex(m["tenant"] + m["recording"] + m["key"]))
        try:
            key = read_key_text(open_file(data, context, identity, len(m["readers"])))
        except Refused as error:
            raise Refused(f"the key of the recording cannot be used: {error}") from None
        require(key.suite == m["suite"] and key_id(key) == m["key"], "the key is not that of this recording")
        return key

    def context(self, index, track):
        return labelled("context", bytes.fromhex(self.manifest.digest) + index.to_bytes(4, "big") + bytes([track]))

    def details(self):
        """Section 11; None if there is no final seal to say which details they are."""
        if not self.final:
            return None
        data = read(self.folder / "details", MAX_DETAILS)
        require(sha256(data).hex() == self.final["details"], "the details are not those that were sealed")
        text = open_file(data, self.context((1 << 32) - 1, 255), self.key).rstrip(b" ")
        require(text.endswith(b"}"), "the details are damaged: something follows on them")
        details = parse_json(text, "the text of the details", strict=False)
        track = {"track": TRACK, "media_type": lambda value: isinstance(value, str), "bytes": LENGTH,
                 "duration_ms": or_null(LENGTH), "sha256": or_null(ID)}
        known = {"title": or_null(lambda value: isinstance(value, str)), "started": is_time, "ended": is_time,
                 "tracks": lambda value: isinstance(value, list) and all(knows(x, track, ["seek"]) for x in value)}
        require(knows(details, known), "the details are damaged")
        held = {}
        for seal in self.segments:
            held[seal["track"]] = held.get(seal["track"], 0) + plaintext_length(seal)
        require([t["track"] for t in details["tracks"]] == sorted(held), "the details name other tracks than there are")
        for t in details["tracks"]:
            require(t["bytes"] <= held[t["track"]], f"track {t['track']} is longer than what there is of it")
            require(t["bytes"] or t["sha256"] in (None, sha256(b"").hex()), f"track {t['track']} has a wrong hash")
        return details

    def plaintext(self, index):
        """The plaintext of a segment, each part only after its hash and all of its chunks were checked."""
        seal, folder = self.segments[index], self.folder / "seg" / str(index)
        header = read(folder / "header", MAX_HEADER)
        file_key, length = open_header(header, self.context(index, seal["track"]), self.key)
        require(length == len(header), f"the header of segment {index} is followed by something else")
        require(sha256(header).hex() == seal["header"], f"the header of segment {index} is not the one that was sealed")
        parts, chunks = read(folder / "parts", 32 * MAX_CHUNKS), seal["part_chunks"]
        parts = parts[:32 * seal["parts"]] if "growing" in seal else parts
        hashes = [parts[at:at + 32] for at in range(0, len(parts), 32)]
        require(len(parts) == 32 * seal["parts"] and merkle_root(hashes).hex() == seal["parts_root"],
                f"the list of parts of segment {index} is not the one that was sealed")
        with open(folder / "body", "rb") as body:
            left = seal["body_length"]
            require("growing" in seal or os.fstat(body.fileno()).st_size == left,
                    f"the body of segment {index} was cut or added to")
            for number, expected in enumerate(hashes):
                data = body.read(min(left, chunks * (CHUNK + TAG) + (NONCE if number == 0 else 0)))
                left -= len(data)
                require(sha256(data) == expected, f"segment {index}, part {number} is not the part that was sealed")
                if number == 0:
                    key, data = hkdf(file_key, data[:NONCE], b"payload"), data[NONCE:]
                ends = seal["end"] == "final" and number + 1 == len(hashes)
                yield b"".join(decrypt_chunks(key, data, chunks * number, ends))


# ---- Output

EXTENSIONS = {"video/webm": "webm", "video/mp4": "mp4", "video/x-m4v": "mp4", "video/ogg": "ogg",
              "video/quicktime": "mov", "video/x-matroska": "mkv", "video/matroska": "mkv", "video/3gpp": "3gp",
              "video/mpeg": "mpg", "video/mp2t": "ts", "video/x-msvideo": "avi", "video/avi": "avi",
              "audio/webm": "webm", "audio/mp4": "m4a", "audio/x-m4a": "m4a", "audio/ogg": "ogg", "audio/wav": "wav",
              "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav", "audio/aac": "aac",
              "audio/flac": "flac", "audio/x-flac": "flac", "audio/mpeg": "mp3", "audio/amr": "amr",
              "audio/3gpp": "3gp", "application/pdf": "pdf", "text/plain": "txt", "text/csv": "csv",
              "text/markdown": "md", "text/vtt": "vtt", "application/json": "json", "application/fhir+json": "json",
              "application/rtf": "rtf", "text/rtf": "rtf", "application/zip": "zip", "application/dicom": "dcm",
              "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
              "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
              "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
              "application/vnd.oasis.opendocument.text": "odt",
              "application/vnd.oasis.opendocument.spreadsheet": "ods",
              "application/vnd.oasis.opendocument.presentation": "odp", "image/jpeg": "jpg", "image/png": "png",
              "image/gif": "gif", "image/webp": "webp", "image/avif": "avif", "image/heic": "heic",
              "image/tiff": "tif", "image/bmp": "bmp"}


def extension(media_type):
    """Only of the list: a media type is its sealer's word, and must not choose what a desktop does with a file."""
    return EXTENSIONS.get(media_type.split(";")[0].strip().lower(), "bin")


def sniff(start):
    """The media type that a file's first bytes announce, for a recording without details."""
    if start.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"webm" in start else "video/x-matroska"
    for offset, mark, kind in ((4, b"ftypM4A ", "audio/mp4"), (4, b"ftypM4B ", "audio/mp4"),
                               (4, b"ftypqt  ", "video/quicktime"), (4, b"ftyp", "video/mp4"), (0, b"OggS", "audio/ogg"),
                               (8, b"WAVE", "audio/wav"), (0, b"fLaC", "audio/flac"), (0, b"ID3", "audio/mpeg"),
                               (0, b"%PDF-", "application/pdf"), (0, b"\x89PNG\r\n\x1a\n", "image/png"),
                               (0, b"\xff\xd8\xff", "image/jpeg")):
        if start[offset:offset + len(mark)] == mark:
            return kind
    if start[:1] == b"\xff" and len(start) > 2:  # sound without a container begins with the head of a frame
        if start[1] in (0xf0, 0xf1, 0xf8, 0xf9):
            return "audio/aac"
        if start[1] in (0xe2, 0xe3, 0xf2, 0xf3, 0xfa, 0xfb) and start[2] >> 4 != 0xf and (start[2] >> 2) & 3 != 3:
            return "audio/mpeg"
    return ""


def harmless(title):
    """A title as a file's name: no separators, no control, direction-changing or unassigned characters."""
    title = unicodedata.normalize("NFC", title)
    title = "".join(" " if c.isspace() else "_" if c in '/\\:*?"<>|' else c
                    for c in title if c.isspace() or unicodedata.category(c)[0] != "C")
    title = " ".join(title.split())[:80].encode()[:200].decode(errors="ignore")
    return title.strip(" .")


def open_recording(folder, output, identities):
    """Opens one recording; returns the line to say of it."""
    recording = Recording(folder, identities)
    details = recording.details()
    types = {t["track"]: t["media_type"] for t in details["tracks"]} if details else {}
    # Section 7: what follows on so many bytes is padding. Without details nothing says how many.
    left = {t["track"]: t["bytes"] for t in details["tracks"]} if details else None
    day = (details["started"] if details else recording.manifest.fields["created"])[:10]
    name = f"{day}_{harmless(details['title'] or '') if details else ''}"
    name = name if len(name) > 11 else name + folder.name[:8]
    aside = Path(tempfile.mkdtemp(prefix=f".opening-{folder.name[:8]}-", dir=output))
    try:
        written, tracks, hashes = 0, {}, {}
        for index, seal in enumerate(recording.segments):
            track = seal["track"]
            with open(aside / f"track-{track}", "ab") as out:
                for plain in recording.plaintext(index):
                    if details:
                        plain = plain[:left[track]]
                        left[track] -= len(plain)
                    tracks[track] = tracks.get(track) or plain[:64]
                    hashes.setdefault(track, hashlib.sha256()).update(plain)
                    written += out.write(plain)
        for t in details["tracks"] if details else []:
            require(t["sha256"] in (None, hashes[t["track"]].hexdigest()),
                    f"track {t['track']} is not the one that was sealed")
        for track, start in tracks.items():
            kind = extension(types.get(track, "") if details else sniff(start))
            os.rename(aside / f"track-{track}", aside / f"track-{track}.{kind}")
        target, tries = output / name, 1
        while target.exists():
            target, tries = output / f"{name}_{folder.name[:8]}{'' if tries == 1 else f'_{tries}'}", tries + 1
        os.rename(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    whole = recording.final and recording.final["status"] == "complete"
    if not whole and not written:
        return f"EMPTY   {target.name}  Nothing was recorded."
    many = "1 track" if len(tracks) == 1 else f"{len(tracks)} tracks"
    return f"{'OPENED ' if whole else 'CUT OFF'} {target.name}  ({many}, {written:,} bytes)" + (
        "" if whole else "  The end of this recording is missing.")


def main(arguments=None, here=Path(__file__).resolve().parent):
    parser = argparse.ArgumentParser(description="Opens the recordings of this folder.")
    parser.add_argument("--key", required=True, help='file with the 24 words or an AGE-SECRET-KEY line; "-": typed in')
    parser.add_argument("-o", "--output", type=Path, default=Path("opened"), help='folder to write to ("opened")')
    parser.add_argument("prefixes", nargs="*", metavar="RECORDING-ID-PREFIX", help="only these recordings")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if options.key != "-":
            text = Path(options.key).read_text("utf-8-sig")
        elif sys.stdin.isatty():
            text = getpass.getpass("The 24 words, or the AGE-SECRET-KEY line, in one line (not shown): ")
        else:
            text = sys.stdin.read()
        identities = read_identities(text, here / "bip39-english.txt")
    except (OSError, ValueError, Refused) as error:
        reason = "it is no text" if isinstance(error, UnicodeError) else error
        print(f"The key cannot be used: {reason}. Nothing was opened.", file=sys.stderr)
        return 2
    ids = sorted(p.name for p in (here / "rec").glob("*") if p.is_dir() and re.fullmatch("[0-9a-f]{32}", p.name))
    wanted = [i for i in ids if not options.prefixes or i.startswith(tuple(p.lower() for p in options.prefixes))]
    unknown = [p for p in options.prefixes if not any(i.startswith(p.lower()) for i in ids)]
    failed = len(unknown) + (not ids)
    for prefix in unknown:
        print(f"No recording here has an id that begins with {prefix!r}.")
    options.output.mkdir(parents=True, exist_ok=True)
    for number in wanted:
        try:
            print(number[:8], open_recording(here / "rec" / number, options.output, identities), flush=True)
        except (OSError, ValueError, Refused) as error:
            if isinstance(error, FileNotFoundError):
                error = f"{os.path.relpath(error.filename, here).removeprefix(f'rec/{number}/')} is missing"
            print(f"{number[:8]} FAILED  {error}. Nothing of this recording was written.", flush=True)
            failed += 1
    print(f"\n{len(wanted) + len(unknown) - failed if ids else 0} opened, {failed} failed. {NOT_CHECKED}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
