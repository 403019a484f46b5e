-- What happens, in the order in which this controller has learnt of it: relays' events, and its own.
CREATE TABLE events (
    seq          BIGINT  NOT NULL PRIMARY KEY,
    -- By the clock of whoever saw it.
    at_us        BIGINT  NOT NULL,
    -- NULL = the controller itself.
    relay        TEXT,
    kind         TEXT    NOT NULL,
    -- Address or prefix, and its first and last address in a form that sorts; NULL = nobody.
    customer     TEXT,
    first_key    TEXT,
    last_key     TEXT,
    flag_id      BIGINT,
    -- Counts of a relay's figures, to be added up; NULL otherwise.
    messages     BIGINT,
    refused      BIGINT,
    spam         BIGINT,
    -- JSON.
    detail       TEXT    NOT NULL,
    CHECK ((customer IS NULL) = (first_key IS NULL)),
    CHECK ((customer IS NULL) = (last_key IS NULL)),
    CHECK ((messages IS NULL) = (refused IS NULL)),
    CHECK ((messages IS NULL) = (spam IS NULL))
);
CREATE INDEX events_at ON events (at_us);
CREATE INDEX events_customer ON events (first_key, seq);

-- Through which number each run of a relay has been taken.
CREATE TABLE event_runs (
    relay        TEXT    NOT NULL,
    run          TEXT    NOT NULL,
    through      BIGINT  NOT NULL,
    -- By this controller's clock.
    last_us      BIGINT  NOT NULL,
    PRIMARY KEY (relay, run)
);

-- One row: the last number that an event was given, whether it is still there or not.
CREATE TABLE event_numbers (
    one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    last_seq     BIGINT  NOT NULL
);
INSERT INTO event_numbers (one, last_seq) VALUES (1, 0);
