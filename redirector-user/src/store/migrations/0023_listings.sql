-- What lists in the DNS say of customers' addresses, from the first look that found one there. What is over is kept until
-- that is forgotten.
CREATE TABLE listings (
    id           BIGINT  NOT NULL PRIMARY KEY,
    zone         TEXT    NOT NULL,
    address      TEXT    NOT NULL,
    -- The address in a form that sorts.
    address_key  TEXT    NOT NULL,
    -- JSON: the codes that it answers.
    codes        TEXT    NOT NULL,
    words        TEXT    NOT NULL,
    first_us     BIGINT  NOT NULL,
    last_us      BIGINT  NOT NULL,
    -- A second look has found it, too; NULL = one is due.
    opened_us    BIGINT,
    -- Since when it was not found any more; NULL = it was at the last look.
    absent_us    BIGINT,
    closed_us    BIGINT,
    -- 'delisted', or 'unwatched': nobody asks any more.
    closed_by    TEXT    CHECK (closed_by IN ('delisted', 'unwatched')),
    -- JSON: what was sent from there until it was opened; NULL = it is not open yet, or that was erased.
    evidence     TEXT,
    CHECK ((closed_us IS NULL) = (closed_by IS NULL)),
    CHECK (closed_us IS NULL OR opened_us IS NOT NULL),
    CHECK (evidence IS NULL OR opened_us IS NOT NULL)
);

-- One at a time.
CREATE UNIQUE INDEX listings_standing ON listings (zone, address) WHERE closed_us IS NULL;
CREATE INDEX listings_address ON listings (address_key, id);

-- One row: the number of the last.
CREATE TABLE listing_state (
    one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    last_id      BIGINT  NOT NULL
);
INSERT INTO listing_state (one, last_id) VALUES (1, 0);

-- How far the round over all IPv4 addresses is, for each list.
CREATE TABLE listing_sweeps (
    zone         TEXT    NOT NULL PRIMARY KEY,
    -- Which addresses: a round over others begins anew.
    ranges       TEXT    NOT NULL,
    began_us     BIGINT  NOT NULL,
    place        BIGINT  NOT NULL,
    -- When the last round ended; NULL = this is the first.
    finished_us  BIGINT
);
