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
