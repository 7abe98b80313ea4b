-- Whose index this is, and how far it has come; docs/OPERATING.md says what mark and commits are for. Written by `init`.
CREATE TABLE vault (
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    vault        BLOB NOT NULL CHECK (length(vault) = 16),
    organisation BLOB NOT NULL CHECK (length(organisation) = 32),
    generation   INTEGER NOT NULL CHECK (generation >= 1),
    mark         INTEGER NOT NULL CHECK (mark >= 1),
    commits      INTEGER NOT NULL CHECK (commits >= 0)
) STRICT;

-- Statements that are named by their digests: those of accounts, and those of members of recordings. Each once and for
-- good; each is an object as well.
CREATE TABLE statements (
    digest   BLOB PRIMARY KEY CHECK (length(digest) = 32),
    envelope BLOB NOT NULL
) STRICT;

-- Accounts: the current certificate, and every key list from number 1.
CREATE TABLE accounts (
    account     BLOB PRIMARY KEY CHECK (length(account) = 32),
    issuer      BLOB NOT NULL REFERENCES statements (digest),
    certificate BLOB NOT NULL REFERENCES statements (digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_lists (
    account  BLOB NOT NULL REFERENCES accounts (account),
    number   INTEGER NOT NULL CHECK (number >= 1),
    key_list BLOB NOT NULL REFERENCES statements (digest),
    PRIMARY KEY (account, number)
) STRICT, WITHOUT ROWID;

-- Devices of the current key lists. A key belongs to one account.
CREATE TABLE devices (
    key_id  BLOB PRIMARY KEY CHECK (length(key_id) = 32),
    account BLOB NOT NULL REFERENCES accounts (account)
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_by_account ON devices (account);

-- Requests seen, by the beginning of SHA-256(key id, nonce); those created before the floor are forgotten and refused.
CREATE TABLE nonces (
    id      BLOB PRIMARY KEY CHECK (length(id) = 16),
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_created ON nonces (created);
CREATE TABLE nonce_floor (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    created  INTEGER NOT NULL
) STRICT;
INSERT INTO nonce_floor (only_row, created) VALUES (1, 0);

CREATE TABLE recordings (
    number         INTEGER PRIMARY KEY AUTOINCREMENT,
    recording      BLOB NOT NULL UNIQUE CHECK (length(recording) = 16),
    patient        BLOB NOT NULL,
    clinician      BLOB NOT NULL,
    sealer         BLOB NOT NULL,
    sealer_key     BLOB NOT NULL,
    sequence       INTEGER NOT NULL,
    manifest       BLOB NOT NULL,
    -- Of its key object of generation 0, whose digest is in the manifest.
    key_length     INTEGER NOT NULL CHECK (key_length > 0),
    -- Of its parts.
    bytes          INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    -- Of all that is stored of it, each object once: what counts against the room.
    stored         INTEGER NOT NULL CHECK (stored >= bytes),
    details_digest BLOB,
    details_length INTEGER,
    final_seal     BLOB,
    last_stored    INTEGER NOT NULL,
    UNIQUE (sealer_key, sequence)
) STRICT;
-- Begun, and nothing is stored of their content.
CREATE INDEX empty_recordings ON recordings (sealer) WHERE bytes = 0;

-- Who finds a recording in the list: patient, clinician and sealer, each once.
CREATE TABLE participants (
    account BLOB NOT NULL,
    number  INTEGER NOT NULL REFERENCES recordings (number),
    PRIMARY KEY (account, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE segments (
    number        INTEGER NOT NULL REFERENCES recordings (number),
    segment       INTEGER NOT NULL CHECK (segment >= 0),
    track         INTEGER NOT NULL,
    part_chunks   INTEGER NOT NULL CHECK (part_chunks IN (1, 3, 5, 15)),
    header        BLOB NOT NULL,
    header_length INTEGER NOT NULL,
    -- Parts from part 0 to the first gap or the first part that is not full, and their bytes.
    run_parts     INTEGER NOT NULL DEFAULT 0,
    run_bytes     INTEGER NOT NULL DEFAULT 0,
    run_ended     INTEGER NOT NULL DEFAULT 0,
    parts_root    BLOB,
    seal          BLOB,
    PRIMARY KEY (number, segment)
) STRICT, WITHOUT ROWID;

CREATE TABLE parts (
    number  INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    part    INTEGER NOT NULL CHECK (part >= 0),
    digest  BLOB NOT NULL CHECK (length(digest) = 32),
    length  INTEGER NOT NULL CHECK (length > 0),
    PRIMARY KEY (number, segment, part),
    FOREIGN KEY (number, segment) REFERENCES segments (number, segment)
) STRICT, WITHOUT ROWID;

-- What changed, committed with the change. Of what is done to one thing again and again, the last time; of parts that are
-- dropped, that they were: so there are never more than things that are stored, and keeping on asking adds none.
CREATE TABLE events (
    event      INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    account    BLOB NOT NULL,
    key_id     BLOB NOT NULL,
    action     TEXT NOT NULL,
    recording  BLOB,
    segment    INTEGER,
    part       INTEGER,
    request_id TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX last_events ON events (recording, action, ifnull(segment, -1), ifnull(part, -1))
    WHERE recording IS NOT NULL;

-- What two accounts store for each other while they compare their keys: opaque values, gone after some minutes, and no
-- event is left of them.
CREATE TABLE comparisons (
    -- Of two sides the one with the smaller number was there first.
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    account    BLOB NOT NULL CHECK (length(account) = 32),
    other      BLOB NOT NULL CHECK (length(other) = 32),
    commitment BLOB NOT NULL CHECK (length(commitment) = 32),
    nonce      BLOB CHECK (length(nonce) = 32),
    created    INTEGER NOT NULL,
    UNIQUE (account, other)
) STRICT;
CREATE INDEX comparisons_by_created ON comparisons (created);

-- Signed progress of growing segments: for each, the newest that the parts stored without a gap cover, and those that wait
-- for a part still missing.
CREATE TABLE progress (
    number   INTEGER NOT NULL,
    segment  INTEGER NOT NULL,
    parts    INTEGER NOT NULL CHECK (parts > 0),
    envelope BLOB NOT NULL,
    PRIMARY KEY (number, segment, parts),
    FOREIGN KEY (number, segment) REFERENCES segments (number, segment)
) STRICT;
