-- What two accounts store for each other while they compare their keys: opaque values, gone after some minutes.
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
